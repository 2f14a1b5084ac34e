"""Batches of observations, which are one array, or a dictionary of arrays where an observation has several parts."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def each(function: Callable[[Any], Any], observations: Any) -> Any:
    """The function of the array, or of each of the arrays."""
    if isinstance(observations, dict):
        return {name: function(array) for name, array in observations.items()}
    return function(observations)


def taken(observations: Any, which: Any) -> Any:
    """Some of a batch, or one."""
    return each(lambda array: array[which], observations)


def stacked(observations: Sequence[Any]) -> Any:
    """A batch of single observations, of which there is at least one."""
    if isinstance(observations[0], dict):
        return {name: np.stack([one[name] for one in observations]) for name in observations[0]}
    return np.stack(observations)


def put(held: Any, where: Any, observations: Any) -> None:
    """A batch into its place in arrays (n_steps, n_envs, …), whatever shape is held there for one observation."""
    if isinstance(held, dict):
        for name, array in held.items():
            put(array, where, observations[name])
    else:
        held[where] = observations.reshape(-1, *held.shape[2:])
