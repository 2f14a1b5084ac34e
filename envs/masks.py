"""Observations that say which actions are legal: PettingZoo's convention of a Dict with an `action_mask`.

    Dict(observation: X, action_mask: MultiBinary(n))        1 where an action is legal

A part of such an observation that a network sees is X alone; the mask decides which of its actions count.
"""

from typing import Any

from gymnasium import spaces

SEEN = "observation"
"""The part that is looked at."""
MASK = "action_mask"
"""The part that says which actions are legal, (n,) int8."""


def is_masked(space: spaces.Space[Any]) -> bool:
    """Whether a space's observations say which actions are legal."""
    if not isinstance(space, spaces.Dict) or set(space.spaces) != {SEEN, MASK}:
        return False
    mask = space[MASK]
    return isinstance(mask, spaces.MultiBinary) and isinstance(mask.n, int)


def inner(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """What is looked at: X of a space with a mask, else the space itself."""
    return space[SEEN] if isinstance(space, spaces.Dict) and is_masked(space) else space


def with_mask(space: spaces.Space[Any], n: int) -> spaces.Dict:
    """The space of observations from `space` and masks of n actions."""
    return spaces.Dict({SEEN: space, MASK: spaces.MultiBinary(n)})
