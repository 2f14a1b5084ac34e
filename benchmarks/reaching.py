"""How long one training takes until it reaches a mean return and holds it: CPU seconds from the start of learning.

CPU seconds of one process with one thread, since wall time is noisy beside other work; importing, compiling and
looking at the learner are not counted. A threshold counts as reached where a check passes and so do the next two.
"""

import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList

from agents.algorithms import build_learner
from agents.config import Mode
from agents.evaluation import Evaluator
from agents.networks import NormaliserCallback, normaliser
from agents.policy import Policy
from agents.training import training_seed
from envs.errors import ConfigError
from envs.task import Task
from envs.vector import interface, make_vec

Check = Literal["greedy", "sampled", "training"]

EPISODES = 100
HELD = 3
"""Checks in a row that must pass."""
SPACING = 0.05
"""Of the time so far: how long until the next check."""
WORTH_A_LOOK = 0.8
"""Sampled evaluations wait until the training episodes are this share of the way to the threshold."""


@dataclass(frozen=True)
class Target:
    """What is to be reached."""

    game: str
    threshold: float
    """Mean return over `EPISODES` episodes."""
    check: Check
    """Held-out episodes, greedy or sampled; or the last episodes of training."""
    steps: int
    """The budget: schedules end there, and what is not reached by then is not reached."""
    cap: float
    """CPU seconds after which a training is given up."""
    random: float = 0.0
    """What random play scores."""

    def progress(self, score: float) -> float:
        """How far a score is from random play (0) to the threshold (1)."""
        return float(np.clip((score - self.random) / (self.threshold - self.random), 0.0, 1.0))


@dataclass(frozen=True)
class Attempt:
    """One training."""

    seed: int
    seconds: float | None
    """CPU seconds until the threshold was reached; None if it was not."""
    steps: int
    """Transitions until then, or in all."""
    score: float
    """Of the last check."""

    def cost(self, target: Target) -> float:
        """Seconds; where the threshold was not reached, from the cap up to twice that for random play's score."""
        return target.cap * (2 - target.progress(self.score)) if self.seconds is None else self.seconds


class _Look(BaseCallback):
    """Looks at the learner before a rollout, stops it when the threshold is held or the time is up."""

    def __init__(self, target: Target, policy: Policy, evaluator: Evaluator | None, limit: float) -> None:
        super().__init__()
        self.target, self.policy, self.evaluator, self.limit = target, policy, evaluator, limit
        self.score = target.random
        self._passed: list[tuple[float, int]] = []
        self._due = self._apart = 0.0
        self._started = time.process_time()

    def begin(self) -> None:
        """Start the clock."""
        self._started = time.process_time()

    def attempt(self, seed: int) -> Attempt:
        """What came of it. Checks that passed until the end of the budget count as held."""
        if self._passed:
            seconds, steps = self._passed[0]
            return Attempt(seed, round(seconds, 3), steps, round(self.score, 3))
        return Attempt(seed, None, self.num_timesteps, round(self.score, 3))

    def look(self) -> None:
        """Check the score, off the clock."""
        at, began = self._clock(), time.process_time()
        self.score = self._score()
        self._passed = [*self._passed, (at, self.num_timesteps)] if self.score >= self.target.threshold else []
        self._due = at * (1 + SPACING) + 0.005
        self._apart += time.process_time() - began

    def _on_rollout_start(self) -> None:
        if self.num_timesteps and self._clock() >= self._due and len(self._passed) < HELD:
            self.look()

    def _on_step(self) -> bool:
        return len(self._passed) < HELD and (bool(self._passed) or self._clock() < self.limit)

    def _clock(self) -> float:
        return time.process_time() - self._started - self._apart

    def _score(self) -> float:
        last = [float(episode["r"]) for episode in self.model.ep_info_buffer or ()]
        recent = float(np.mean(last)) if len(last) == EPISODES else self.target.random
        if self.evaluator is None:
            return recent
        if self.target.check == "sampled" and self.target.progress(recent) < WORTH_A_LOOK:
            return recent
        return self.evaluator.evaluate(self.policy, self.num_timesteps).mean


def attempt(target: Target, hyperparameters: dict[str, Any], seed: int, limit: float | None = None) -> Attempt:
    """Train once with PPO.

    Args:
        target: what is to be reached, and the budget.
        hyperparameters: complete.
        seed: decides everything random, but for the moments of checks: those follow the clock.
        limit: CPU seconds after which to give up, if fewer than the target's cap.

    Raises what `make_vec` and `build_learner` raise.
    """
    torch.set_num_threads(1)
    task = Task(game=target.game)
    venv = make_vec(task, n_envs=hyperparameters["n_envs"])
    try:
        learner = build_learner("ppo", venv, hyperparameters, seed=seed)
        learner.env.seed(training_seed(seed))  # type: ignore[union-attr]
        policy = Policy.of(learner, task, interface(venv), "ppo", hyperparameters)
        return _learnt(target, learner, policy, seed, min(target.cap, limit or target.cap))
    finally:
        venv.close()


def _learnt(target: Target, learner: BaseAlgorithm, policy: Policy, seed: int, limit: float) -> Attempt:
    mode: Mode = "greedy" if target.check == "greedy" else "sampled"
    evaluator = None if target.check == "training" else Evaluator(target.game, episodes=EPISODES, mode=mode, seed=seed)
    look = _Look(target, policy, evaluator, limit)
    callbacks = [look, *([NormaliserCallback()] if normaliser(learner.policy) is not None else [])]
    try:
        look.begin()
        learner.learn(target.steps, callback=CallbackList(callbacks), log_interval=None)  # type: ignore[arg-type]
        if not look.attempt(seed).seconds:
            look.look()
        return look.attempt(seed)
    except (ValueError, ConfigError):  # weights that are no numbers any more
        return Attempt(seed, None, learner.num_timesteps, target.random)
    finally:
        if evaluator is not None:
            evaluator.close()
