"""Episodes as arrays, and their transitions side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from envs.errors import ConfigError
from envs.observations import taken


@dataclass(frozen=True)
class Episode:
    """What one player saw, did and earned, from a reset on; T transitions, at least one."""

    observations: Any
    """(T + 1, …), an array or one for each part; the last one is the final observation."""
    actions: np.ndarray
    """(T, …), as the environment took them."""
    rewards: np.ndarray
    """(T,)."""
    terminated: bool
    """Whether the game ended it; else it was cut off, by a time limit or because nobody looked any further."""
    seed: int | None = None
    """What its environment was reset with, where that is known."""

    def __len__(self) -> int:
        return len(self.rewards)


@dataclass(frozen=True)
class Transitions:
    """N transitions, those of an episode in their order."""

    observations: Any
    """(N, …)."""
    following: Any
    """What was seen next, (N, …); at an episode's end its final observation."""
    actions: np.ndarray
    """(N, …)."""
    rewards: np.ndarray
    """(N,)."""
    terminated: np.ndarray
    """Whether the game ended the episode here: (N,) bool."""
    cut: np.ndarray
    """Whether the episode was cut off here: (N,) bool."""

    def __len__(self) -> int:
        return len(self.rewards)


def transitions(episodes: Sequence[Episode]) -> Transitions:
    """All transitions of some episodes. Raises ConfigError if there are none."""
    lengths = [len(episode) for episode in episodes]
    if not sum(lengths):
        raise ConfigError("found no episodes: expected at least one")
    ends = np.cumsum(lengths) - 1
    terminated, cut = np.zeros(sum(lengths), dtype=bool), np.zeros(sum(lengths), dtype=bool)
    terminated[ends] = [episode.terminated for episode in episodes]
    cut[ends] = ~terminated[ends]
    return Transitions(
        _joined([taken(episode.observations, slice(None, -1)) for episode in episodes]),
        _joined([taken(episode.observations, slice(1, None)) for episode in episodes]),
        np.concatenate([episode.actions for episode in episodes]),
        np.concatenate([episode.rewards for episode in episodes]),
        terminated,
        cut,
    )


def _joined(observations: list[Any]) -> Any:
    if isinstance(observations[0], dict):
        return {name: np.concatenate([part[name] for part in observations]) for name in observations[0]}
    return np.concatenate(observations)
