"""Which parts of a target are which of a source: by equal names, by pairs or by identity; or an error listing both."""

from collections.abc import Mapping as Pairs
from typing import Any

import numpy as np
from gymnasium import spaces

from envs.errors import MappingError
from envs.interface import Interface, in_words
from envs.registry import did_you_mean

Indices = tuple[int | None, ...]
"""For each part of the target the source's part that stands for it, or None for a new one."""


def match_features(source: Interface, target: Interface, pairs: Pairs[str, str]) -> Indices | None:
    """For each of the target's features the source's; None for identity."""
    both = source.features is not None and target.features is not None
    vectors = _vector(source.observation_space) and _vector(target.observation_space)
    if both and vectors:
        found = _by_names("feature", source.features or (), target.features or (), pairs, once=True)
        return None if _unchanged(found, source.features) else found
    if pairs:
        raise MappingError(
            "pairs of features were given, but "
            + ("only vectors map by names" if both else "the features of both sides are not named")
            + f": {_sides(source, target, 'observation')}"
        )
    same_names = not both or source.features == target.features
    if same_names and _alike(source.observation_space, target.observation_space):
        return None
    raise MappingError(
        f"the observations do not map: {_sides(source, target, 'observation')}; "
        'vectors map by names, which a game gives in metadata["headstart"]["features"], anything else only if equal'
    )


def match_actions(source: Interface, target: Interface, pairs: Pairs[str, str]) -> Indices | None:
    """For each of the target's actions the source's; None for identity."""
    both = source.actions is not None and target.actions is not None
    kinds = {type(side.action_space) for side in (source, target)}
    if both and kinds == {spaces.Discrete}:
        found = _by_names("action", source.actions or (), target.actions or (), pairs)
        return None if _unchanged(found, source.actions) else found
    if both and kinds == {spaces.Box}:
        found = _by_names("action", source.actions or (), target.actions or (), pairs, once=True)
        _check_dimensions(source, target, found)
        return None if _unchanged(found, source.actions) else found
    if pairs:
        raise MappingError(
            "pairs of actions were given, but the actions of both sides are not named or not of one kind: "
            + _sides(source, target, "action")
        )
    if _alike(source.action_space, target.action_space, bounds=True):
        return None
    raise MappingError(
        f"the actions do not map: {_sides(source, target, 'action')}; "
        'actions map by names, which a game gives in metadata["headstart"]["actions"], or if the spaces are equal'
    )


def _by_names(
    kind: str, source: tuple[str, ...], target: tuple[str, ...], pairs: Pairs[str, str], *, once: bool = False
) -> Indices:
    """Equal names, overridden by pairs. With `once`, a source's part stands for one of the target's only."""
    known = {name: source.index(name) for name in target if name in source}
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
    if not known:
        raise MappingError(
            f"no {kind} of the target is called as one of the source: the source has {', '.join(source)}; the target "
            f"has {', '.join(target)}; pair them, as in --{kind} {target[0]}={source[0]}, or in a study file under "
            f"mapping.{kind}s"
        )
    return tuple(known.get(name) for name in target)


def _check_dimensions(source: Interface, target: Interface, found: Indices) -> None:
    """Continuous dimensions map only where all of the target's have one and their bounds agree."""
    theirs, ours = _bounds(source.action_space), _bounds(target.action_space)
    for name, mine, j in zip(target.actions or (), ours, found, strict=True):
        if j is None:
            raise MappingError(
                f"the target's continuous action {name!r} has none in the source, which has "
                f"{', '.join(source.actions or ())}: pair it with one under mapping.actions"
            )
        if mine != theirs[j]:
            raise MappingError(
                f"the continuous action {name!r} runs from {mine[0]:g} to {mine[1]:g} in the target, from "
                f"{theirs[j][0]:g} to {theirs[j][1]:g} in the source: expected the same bounds; change one of the games"
            )


def _bounds(space: Any) -> list[tuple[float, float]]:
    """Lowest and highest value of each dimension of a Box."""
    return [(float(low), float(high)) for low, high in zip(space.low.flat, space.high.flat, strict=True)]


def position(kind: str, name: str, names: tuple[str, ...]) -> int:
    """Where a name is. Raises UnknownName, with a suggestion."""
    if name not in names:
        raise did_you_mean(kind, name, names)
    return names.index(name)


def _vector(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) == 1


def _unchanged(found: Indices, source: tuple[str, ...] | None) -> bool:
    return found == tuple(range(len(source or ())))


def _alike(source: spaces.Space[Any], target: spaces.Space[Any], *, bounds: bool = False) -> bool:
    """Whether a network sees the two spaces alike: bounds do not matter to it where observations are floats."""
    if isinstance(source, spaces.Box) and isinstance(target, spaces.Box):
        kinds = (np.issubdtype(source.dtype, np.floating), np.issubdtype(target.dtype, np.floating))
        if all(kinds) and not bounds:
            return source.shape == target.shape
    return bool(source == target)


def size(space: spaces.Space[Any]) -> int:
    """How many features or actions (or their dimensions) a space has."""
    return int(space.n) if isinstance(space, spaces.Discrete) else int(np.prod(space.shape or (1,)))


def _sides(source: Interface, target: Interface, what: str) -> str:
    """Both sides in words."""

    def side(interface: Interface) -> str:
        space = interface.observation_space if what == "observation" else interface.action_space
        names = interface.features if what == "observation" else interface.actions
        return f"{in_words(space)} {'without names' if names is None else 'of ' + ', '.join(names)}"

    return f"the source has {side(source)}; the target has {side(target)}"
