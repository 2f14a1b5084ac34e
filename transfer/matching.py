"""Which of a target's actions are which of a source's: by equal names, by pairs or by identity; else an error.

Observations are matched in `transfer.seeing`, with the same words.
"""

from collections.abc import Mapping as Pairs
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces

from envs.errors import MappingError
from envs.interface import Interface, in_words
from envs.registry import did_you_mean
from transfer.cells import Resize, by_cells

Indices = tuple[int | None, ...]
"""For each part of the target the source's part that stands for it, or None for a new one."""


class Matched(NamedTuple):
    """Actions, matched."""

    indices: Indices | None
    """None: identity."""
    merged: dict[int, tuple[int, ...]]
    """The target's actions that stand for several of the source's, and which."""


def match_actions(
    source: Interface, target: Interface, pairs: Pairs[str, str | list[str]], resize: Resize = "crop"
) -> Matched:
    """For each of the target's actions, or dimensions, the source's: by pairs, by cells, by names."""
    both = source.actions is not None and target.actions is not None
    kinds = {type(side.action_space) for side in (source, target)}
    if kinds == {spaces.Discrete, spaces.Box}:
        raise MappingError(
            f"the actions do not map: {sides(source, target, 'action')}; discrete and continuous actions map by a "
            'mapping.function only, or say that they are not mapped: mapping.actions = "none" (--map actions=none)'
        )
    if both and kinds == {spaces.Discrete}:
        several = {name: tuple(others) for name, others in pairs.items() if not isinstance(others, str)}
        first = {name: other if isinstance(other, str) else _first(name, other) for name, other in pairs.items()}
        placed = by_cells(source, target, resize)
        ours = target.actions or ()
        known = None if placed is None else {ours[i]: those[0] for i, those in placed.items()}
        found = by_names("action", source.actions or (), ours, first, known=known)
        merged = {i: those for i, those in (placed or {}).items() if len(those) > 1 and ours[i] not in pairs}
        merged |= _merged(source.actions or (), ours, several)
        return Matched(None if not merged and _unchanged(found, source.actions) else found, merged)
    if both and kinds == {spaces.Box}:
        single = {name: other if isinstance(other, str) else _first(name, other) for name, other in pairs.items()}
        found = by_names("action", source.actions or (), target.actions or (), single, once=True)
        return Matched(_dimensions(source, target, found), {})
    if pairs:
        raise MappingError(
            "pairs of actions were given, but the actions of both sides are not named or not of one kind: "
            + sides(source, target, "action")
        )
    if alike(source.action_space, target.action_space, bounds=True):
        return Matched(None, {})
    if kinds == {spaces.Box} and source.action_space.shape == target.action_space.shape and not both:
        return Matched(_dimensions(source, target, tuple(range(size(target.action_space)))), {})
    raise MappingError(
        f"the actions do not map: {sides(source, target, 'action')}; "
        'actions map by names, which a game gives in metadata["headstart"]["actions"], or if the spaces are equal; or '
        'say that they are not mapped: mapping.actions = "none" (--map actions=none)'
    )


def by_names(
    kind: str,
    source: tuple[str, ...],
    target: tuple[str, ...],
    pairs: Pairs[str, str],
    *,
    once: bool = False,
    given_otherwise: bool = False,
    known: Pairs[str, int] | None = None,
) -> Indices:
    """Equal names, overridden by pairs. With `once`, a source's part stands for one of the target's only.

    `known` gives the source's part for names of the target instead of equal names.

    Raises MappingError if nothing is found, unless something is `given_otherwise`.
    """
    known = {name: source.index(name) for name in target if name in source} if known is None else dict(known)
    given = {}
    for ours, theirs in pairs.items():
        position(f"target {kind}", ours, target)
        given[ours] = position(f"source {kind}", theirs, source)
    if once:
        for index in given.values():
            takers = [name for name, i in given.items() if i == index]
            if len(takers) > 1:
                both = " and ".join(map(repr, takers))
                raise MappingError(f"source {kind} {source[index]!r} is paired with {both}: keep one of them")
        known = {name: index for name, index in known.items() if index not in given.values()}
    known |= given
    if not known and not given_otherwise:
        flag = "action" if kind == "action" else "feature"
        otherwise = ', or say mapping.actions = "none" (--map actions=none)' if kind == "action" else ""
        raise MappingError(
            f"no {kind} of the target is called as one of the source: the source has {', '.join(source)}; the target "
            f"has {', '.join(target)}; pair them, as in --{flag} {target[0]}={source[0]}, or in a study file under "
            f"mapping.{kind}s{otherwise}"
        )
    return tuple(known.get(name) for name in target)


def _first(name: str, others: list[str]) -> str:
    if not others:
        raise MappingError(f"the action {name!r} is paired with an empty list: expected names of the source's actions")
    return others[0]


def _merged(
    source: tuple[str, ...], target: tuple[str, ...], several: Pairs[str, tuple[str, ...]]
) -> dict[int, tuple[int, ...]]:
    found = {}
    for name, others in several.items():
        indices = tuple(position("source action", other, source) for other in others)
        if len(set(indices)) < len(indices):
            raise MappingError(f"the action {name!r} is paired with {', '.join(others)}: give each once")
        if len(indices) > 1:
            found[target.index(name)] = indices
    return found


def _dimensions(source: Interface, target: Interface, found: Indices) -> Indices | None:
    """Continuous dimensions map where both have finite bounds, or the same; None if they all pass unchanged."""
    theirs, ours = bounds(source.action_space), bounds(target.action_space)
    names = target.actions or tuple(f"dimension {i}" for i in range(len(found)))
    for name, mine, j in zip(names, ours, found, strict=True):
        if j is not None and mine != theirs[j] and not np.isfinite([*mine, *theirs[j]]).all():
            raise MappingError(
                f"the continuous action {name!r} runs from {mine[0]:g} to {mine[1]:g} in the target, from "
                f"{theirs[j][0]:g} to {theirs[j][1]:g} in the source: expected finite bounds, or the same"
            )
    unchanged = found == tuple(range(len(theirs))) and ours == theirs
    return None if unchanged else found


def bounds(space: Any) -> list[tuple[float, float]]:
    """Lowest and highest value of each dimension of a Box."""
    return [(float(low), float(high)) for low, high in zip(space.low.flat, space.high.flat, strict=True)]


def position(kind: str, name: str, names: tuple[str, ...]) -> int:
    """Where a name is. Raises UnknownName, with a suggestion."""
    if name not in names:
        raise did_you_mean(kind, name, names)
    return names.index(name)


def _unchanged(found: Indices, source: tuple[str, ...] | None) -> bool:
    return found == tuple(range(len(source or ())))


def alike(source: spaces.Space[Any], target: spaces.Space[Any], *, bounds: bool = False) -> bool:
    """Whether a network sees the two spaces alike: bounds do not matter to it where observations are floats."""
    if isinstance(source, spaces.Box) and isinstance(target, spaces.Box):
        kinds = (np.issubdtype(source.dtype, np.floating), np.issubdtype(target.dtype, np.floating))
        if all(kinds) and not bounds:
            return source.shape == target.shape
    return bool(source == target)


def size(space: spaces.Space[Any]) -> int:
    """How many features or actions (or their dimensions) a space has."""
    return int(space.n) if isinstance(space, spaces.Discrete) else int(np.prod(space.shape or (1,)))


def sides(source: Interface, target: Interface, what: str) -> str:
    """Both sides in words."""

    def side(interface: Interface) -> str:
        space = interface.observation_space if what == "observation" else interface.action_space
        names = interface.features if what == "observation" else interface.actions
        return f"{in_words(space)} {'without names' if names is None else 'of ' + ', '.join(names)}"

    return f"the source has {side(source)}; the target has {side(target)}"
