"""Observations that come with the legal moves, by PettingZoo's classic convention.

A game with legal moves shows a Dict of two parts: what is seen, and a mask (n_actions,) with 1 for each legal action.
"""

from typing import Any, TypeGuard

from gymnasium import spaces

SEEN = "observation"
"""The part that is seen."""
MASK = "action_mask"
"""The part that says which actions are legal: int8 (n_actions,), 1 = legal."""


def is_masked(space: spaces.Space[Any]) -> TypeGuard[spaces.Dict]:
    """Whether observations of this space come with the legal moves."""
    return isinstance(space, spaces.Dict) and space.spaces.keys() == {SEEN, MASK}


def inner(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """The space of what is seen: without the mask, where there is one."""
    return space[SEEN] if is_masked(space) else space


def with_mask(space: spaces.Space[Any], n_actions: int) -> spaces.Dict:
    """The space of what is seen, and a mask of `n_actions` beside it."""
    return spaces.Dict({SEEN: space, MASK: spaces.MultiBinary(n_actions)})
