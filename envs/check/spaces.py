"""Spaces and what lies in them: says which entry is wrong and by how much, where Gymnasium says only that one is."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from envs.check.report import Fault

Space = spaces.Space[Any]


def of_observations(space: Any, what: str = "observation_space") -> Iterator[Fault]:
    """Faults of an observation space."""
    if isinstance(space, spaces.Discrete) and space.start != 0:
        yield Fault(
            f"{what} counts from {space.start}: {space}",
            "a Discrete space that counts from 0, as networks do",
            f"use spaces.Discrete({space.n}) and subtract {space.start} from what is returned",
        )
    if isinstance(space, spaces.Dict):
        for key, part in space.spaces.items():
            if isinstance(part, spaces.Dict):
                yield _unsupported(f"{what}[{key!r}]", part, "one level of keys: flatten the inner Dict")
            else:
                yield from of_observations(part, f"{what}[{key!r}]")
        return
    yield from _of_a_kind(space, what, "Box, Discrete, MultiDiscrete, MultiBinary, or a Dict of these")


def of_actions(space: Any, what: str = "action_space") -> Iterator[Fault]:
    """Faults of an action space."""
    yield from _of_a_kind(space, what, "Discrete, Box, MultiDiscrete or MultiBinary")
    if isinstance(space, spaces.Box) and not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        yield Fault(
            f"{what} is a Box without finite bounds: {one_number(space.low)} to {one_number(space.high)}",
            "a lowest and a highest number for each dimension",
            f"give it bounds, such as spaces.Box(-1, 1, {space.shape}), and scale the action inside step()",
        )


def _of_a_kind(space: Any, what: str, kinds: str) -> Iterator[Fault]:
    if not isinstance(space, spaces.Space):
        yield Fault(
            f"{what} is {_shown(space)}, a {type(space).__name__}",
            f"a space of gymnasium.spaces: {kinds}",
            f"set self.{what.partition('[')[0]} in __init__, for instance to spaces.Discrete(4)",
        )
    elif not isinstance(space, (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)):
        yield _unsupported(what, space, kinds)


def _unsupported(what: str, space: Space, kinds: str) -> Fault:
    return Fault(
        f"{what} is of the kind {type(space).__name__}, which no learner here reads",
        kinds,
        "flatten it, for instance with gymnasium.wrappers.FlattenObservation, or return a Dict of arrays",
    )


def misfit(value: Any, space: Space, where: str, names: Sequence[str] | None = None) -> tuple[str, Fault] | None:
    """Why an observation does not lie in its space: a kind ("shape", "dtype", …) and the fault; None if it does."""
    if isinstance(space, spaces.Dict):
        return _misfit_of_dict(value, space, where)
    if isinstance(space, spaces.Discrete):
        return None if space.contains(value) else ("type", _outside(value, space, where))
    if not isinstance(value, np.ndarray):
        return "type", Fault(
            f"the observation {where} is a {type(value).__name__}",
            f"a numpy array of shape {space.shape} and dtype {space.dtype}",
            f"return np.array(…, dtype=np.{space.dtype})",
        )
    if value.shape != space.shape:
        return "shape", Fault(
            f"the observation {where} has the shape {value.shape}",
            f"the shape {space.shape} of observation_space",
            "make the two agree",
        )
    if space.dtype is not None and not np.can_cast(value.dtype, space.dtype):
        return "dtype", Fault(
            f"the observation {where} has the dtype {value.dtype}",
            f"{space.dtype}, as observation_space says",
            f"return observation.astype(np.{space.dtype})",
        )
    return _misfit_of_numbers(value, space, where, names)


def _misfit_of_dict(value: Any, space: spaces.Dict, where: str) -> tuple[str, Fault] | None:
    if not isinstance(value, dict) or value.keys() != space.spaces.keys():
        found = f"the keys {sorted(value)}" if isinstance(value, dict) else f"a {type(value).__name__}"
        return "keys", Fault(
            f"the observation {where} is {found}",
            f"a dictionary with the keys {sorted(space.spaces)} of observation_space",
            "return every key, and no other, each time",
        )
    parts = (misfit(value[key], part, f"{where}, key {key!r},") for key, part in space.spaces.items())
    return next((found for found in parts if found), None)


def _misfit_of_numbers(
    value: np.ndarray, space: Space, where: str, names: Sequence[str] | None
) -> tuple[str, Fault] | None:
    nan = np.isnan(value) if np.issubdtype(value.dtype, np.floating) else np.zeros(value.shape, bool)
    if nan.any():
        return "nan", Fault(
            f"the observation {where} holds NaN at {entry(nan, names)}",
            "numbers only",
            "look for a division by zero or a root of a negative number in what that entry is computed from",
        )
    if space.contains(value):
        return None
    if not isinstance(space, spaces.Box):
        return "bounds", _outside(value, space, where)
    below, above = value < space.low, value > space.high
    wrong = below if below.any() else above
    bound, side = (space.low, "below the lowest") if below.any() else (space.high, "above the highest")
    at = tuple(np.argwhere(wrong)[0]) if wrong.any() else ()
    return "bounds", Fault(
        f"the observation {where} is {value[at]!s} at {entry(wrong, names)}, {side} of its bounds, {bound[at]!s}",
        "every entry within the bounds of observation_space",
        "widen the bounds (low and high of the Box), or clip the observation to them",
    )


def _outside(value: Any, space: Space, where: str) -> Fault:
    return Fault(
        f"the observation {where} is {_shown(value)} ({type(value).__name__})",
        f"an element of {space}",
        "return what observation_space says, or change observation_space",
    )


def entry(wrong: np.ndarray, names: Sequence[str] | None) -> str:
    """The first True of a mask in words: "entry 2 ('angle')", and how many more there are."""
    at = tuple(int(index) for index in np.argwhere(wrong)[0]) if wrong.any() else ()
    place = str(at[0]) if len(at) == 1 else str(at)
    name = f" ({names[at[-1]]!r})" if names is not None and at and at[-1] < len(names) else ""
    more = int(wrong.sum()) - 1
    return f"entry {place}{name}" + (f" and {more} more" if more > 0 else "")


def count_of_features(space: Any) -> int | None:
    """How many names of features fit: entries of a vector, planes of an image; None where names do not apply."""
    if isinstance(space, (spaces.Box, spaces.MultiBinary, spaces.MultiDiscrete)) and space.shape:
        return int(space.shape[-1])
    return int(space.n) if isinstance(space, spaces.Discrete) else None


def count_of_actions(space: Any) -> int | None:
    """How many names of actions fit: one for each discrete action, or for each dimension."""
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    return int(space.shape[0]) if isinstance(space, spaces.Space) and space.shape else None


def one_number(bounds: np.ndarray) -> str:
    """A bound, as one number where all entries agree."""
    return str(bounds.flat[0]) if bounds.size and (bounds == bounds.flat[0]).all() else str(bounds.tolist())


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
