"""When a game counts as learnt: the same definition for everybody, whatever library learns.

- CartPole: the mean return of greedy play over 100 episodes, the same first states for all, is at least 475.
- MinAtar Breakout: the mean return of the last 100 training episodes is at least 10.
- DoorKey: the mean return of 100 fresh episodes, actions sampled, is at least 0.9.

Checks sit on a grid of steps and are taken from the clock. Needs numpy.
"""

from collections.abc import Callable

import numpy as np

EPISODES = 100
THRESHOLDS = {"cartpole": 475.0, "doorkey": 0.9, "breakout": 10.0}

Array = np.ndarray


def greedy_cartpole(act: Callable[[Array], Array], seed: int = 2**30) -> float:
    """Mean return of 100 episodes of CartPole-v1.

    Args:
        act: observations (n, 4) float32 → actions (n,), 0 or 1.
        seed: decides the first states.
    """
    states = np.random.default_rng(seed).uniform(-0.05, 0.05, (EPISODES, 4))
    returns = np.zeros(EPISODES)
    playing = np.arange(EPISODES)
    for _ in range(500):
        actions = np.asarray(act(states[playing].astype(np.float32)))
        states[playing] = _advanced(states[playing], actions)
        returns[playing] += 1
        x, theta = states[playing, 0], states[playing, 2]
        playing = playing[(np.abs(x) <= 2.4) & (np.abs(theta) <= 12 * 2 * np.pi / 360)]
        if not len(playing):
            break
    return float(returns.mean())


def _advanced(states: Array, actions: Array) -> Array:
    """One step of CartPole-v1 (Barto, Sutton & Anderson 1983), as Gymnasium takes it: (n, 4) → (n, 4)."""
    x, x_dot, theta, theta_dot = states.T
    force = np.where(actions == 1, 10.0, -10.0)
    sin, cos = np.sin(theta), np.cos(theta)
    push = (force + 0.05 * theta_dot**2 * sin) / 1.1
    theta_acc = (9.8 * sin - cos * push) / (0.5 * (4 / 3 - 0.1 * cos**2 / 1.1))
    x_acc = push - 0.05 * theta_acc * cos / 1.1
    return np.stack(
        [x + 0.02 * x_dot, x_dot + 0.02 * x_acc, theta + 0.02 * theta_dot, theta_dot + 0.02 * theta_acc], axis=1
    )
