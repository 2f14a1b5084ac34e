"""What one sample costs in one epoch of PPO's update, by every way that was tried: one command prints a table.

    .venv/bin/python benchmarks/updates.py [--repeats 5] [--samples 8192]

All ways take the same rollout through the same network (two halves of 64 and 64 tanh units). They run in alternation in
one process, on one thread unless the table says otherwise; a time is CPU time, the median of the repeats.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import nn
from torch.nn import functional as F

from agents.encoders import PlanesEncoder
from agents.ppo import PPO

NUMBERS = spaces.Box(-10, 10, (4,), np.float32)
SYMBOLS = spaces.Box(0, np.broadcast_to(np.array((10, 5, 2), np.uint8), (7, 7, 3)), dtype=np.uint8)
SIZES = (64, 256, 2048)
SEEDS = 10


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--samples", type=int, default=8192, help="transitions of a rollout")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name, space, actions in (("4 numbers, 2 actions", NUMBERS, 2), ("7x7x3 symbols, 7 actions", SYMBOLS, 7)):
        print(f"\n{name}: microseconds a sample and epoch, by minibatch")
        print(f"{'':42}" + "".join(f"{size:>8}" for size in SIZES))
        rows: dict[str, list[float]] = {}
        for size in SIZES:
            for way, seconds in measured(ways(space, actions, size, options.samples), options.repeats).items():
                rows.setdefault(way, []).append(seconds / options.samples * 1e6)
        for way, found in rows.items():
            print(f"{way:42}" + "".join(f"{value:8.2f}" for value in found))


def measured(ways: dict[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Median seconds of each way, in alternation, after one round that counts for nothing."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for round_ in range(repeats + 1):
        for way, run in ways.items():
            start = time.process_time()
            shares = run()
            if round_:
                times[way].append((time.process_time() - start) / shares)
    return {way: statistics.median(found) for way, found in times.items()}


def ways(space: spaces.Box, n_actions: int, size: int, samples: int) -> dict[str, Callable[[], float]]:
    """Name → one epoch; it answers how many epochs' worth of samples it took."""
    plain, autograd, compiled = (
        learner(algorithm, space, n_actions, size, samples) for algorithm in (stable_baselines3.PPO, PPO, PPO)
    )
    autograd.compiles = False
    found: dict[str, Callable[[], float]] = {
        "Stable-Baselines3": lambda: epoch(plain),
        "ours, autograd": lambda: epoch(autograd),
        "ours, autograd, two threads": lambda: threads(lambda: epoch(autograd)),
        "ours, autograd, bfloat16": lambda: halved(lambda: epoch(autograd)),
        "ours, compiled": lambda: epoch(compiled),
    }
    if space is NUMBERS:
        found[f"autograd, {SEEDS} seeds as one batch of matrices"] = seeds_together(size, samples)
    return found


def learner(algorithm: Any, space: spaces.Box, n_actions: int, size: int, samples: int) -> Any:
    """A learner with a full rollout of noise."""
    import gymnasium as gym

    class Still(gym.Env[np.ndarray, int]):
        observation_space, action_space = space, spaces.Discrete(n_actions)

    kwargs = {"features_extractor_class": PlanesEncoder} if space is SYMBOLS else {}
    made = algorithm(
        "MlpPolicy", DummyVecEnv([Still]), n_steps=samples, batch_size=size, n_epochs=1, device="cpu", seed=0,
        policy_kwargs=kwargs,
    )  # fmt: skip
    made.set_logger(Logger(None, []))
    rng, buffer = np.random.default_rng(0), made.rollout_buffer
    if space is SYMBOLS:  # about half of what an agent sees is the commonest thing there, and states are mostly nought
        buffer.observations[:] = rng.integers(0, 3, buffer.observations.shape) * (
            rng.random(buffer.observations.shape) < 0.25
        )
    else:
        buffer.observations[:] = rng.normal(size=buffer.observations.shape)
    buffer.actions[:] = rng.integers(0, n_actions, buffer.actions.shape)
    buffer.log_probs[:] = -np.log(n_actions) + rng.normal(0, 0.1, buffer.log_probs.shape)
    buffer.advantages[:], buffer.returns[:] = (rng.normal(size=buffer.returns.shape) for _ in range(2))
    buffer.pos, buffer.full = samples, True
    return made


def epoch(made: Any) -> float:
    """One epoch of the learner's own update."""
    made.train()
    return 1.0


def threads(run: Callable[[], float]) -> float:
    """With two threads; CPU time then counts both."""
    torch.set_num_threads(2)
    try:
        return run()
    finally:
        torch.set_num_threads(1)


def halved(run: Callable[[], float]) -> float:
    """With products in bfloat16."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return run()


class Several(nn.Module):
    """The same two stacks for several seeds: weights (seeds, n_in, n_out)."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList(
            nn.Parameter(torch.randn(SEEDS, *shape) * 0.1)
            for shape in ((4, 64), (64, 64), (64, 2), (4, 64), (64, 64), (64, 1))
        )
        self.biases = nn.ParameterList(nn.Parameter(torch.zeros(SEEDS, 1, weight.shape[2])) for weight in self.weights)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(seeds, B, 4) → logits (seeds, B, 2), values (seeds, B, 1)."""
        found = []
        for half in range(2):
            out = x
            for layer in range(3 * half, 3 * half + 3):
                out = torch.baddbmm(self.biases[layer], out, self.weights[layer])
                out = out if layer % 3 == 2 else torch.tanh(out)
            found.append(out)
        return found


def seeds_together(size: int, samples: int) -> Callable[[], float]:
    """One epoch of `samples` transitions for all seeds at once."""
    network = Several()
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-4, eps=1e-5, fused=True)
    x = torch.randn(SEEDS, samples, 4)
    actions = torch.randint(0, 2, (SEEDS, samples, 1))
    advantages, returns, old = (torch.randn(SEEDS, samples) for _ in range(3))

    def run() -> float:
        order = torch.randperm(samples)
        for start in range(0, samples, size):
            rows = order[start : start + size]
            logits, values = network(x[:, rows])
            log_probs = torch.log_softmax(logits, dim=-1)
            ratio = (log_probs.gather(2, actions[:, rows]).squeeze(2) - 0.01 * old[:, rows]).exp()
            gain = advantages[:, rows]
            clipped = ratio.clamp(0.8, 1.2)
            loss = -torch.min(gain * ratio, gain * clipped).mean(dim=1).sum()
            loss = loss + 0.5 * F.mse_loss(values.squeeze(2), returns[:, rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 0.5)
            optimiser.step()
        return SEEDS

    return run


if __name__ == "__main__":
    main()
