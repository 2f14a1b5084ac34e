"""Which parts of a source's observations come from where in a target's: by names, by pairs, or because spaces agree.

The result is data (`agents.mapped.ObservationMap`): for every part of what the source sees its place in the target's
observation, or a constant. Vectors go by their features; grids by planes, by the values of symbols and by their size;
Discrete parts by their values; Dicts part by part.
"""

from collections.abc import Mapping as Pairs
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium import spaces

from agents.encoders import channel_highs
from agents.mapped import Channel, ChoiceMap, Constant, GridMap, ObservationMap, Part, Same, VectorMap
from envs.errors import MappingError
from envs.interface import Interface, in_words
from transfer import cells
from transfer.matching import alike, by_names, position, sides
from transfer.naming import SINGLE, Place, names_of, parts_of, vocabulary
from transfer.pairing import NONE, Pairing


def match_observations(source: Interface, target: Interface, told: Pairing) -> ObservationMap | None:
    """Where each part of the source's observation comes from; None if observations pass unchanged.

    Raises MappingError, listing both sides, if they do not map; UnknownName for a pair that names what neither has.
    """
    ours, theirs = vocabulary(target), vocabulary(source)
    _check_pairs(source, target, told, bool(ours and theirs))
    kind = "plane" if any(_grid(space) for space in parts_of(source).values()) else "feature"
    pairs = []
    for mine, other in told.seen.items():
        position(f"target {kind}", mine, tuple(ours))
        position(f"source {kind}", other, tuple(theirs))
        pairs.append((ours[mine], theirs[other]))
    _check_once(told.seen, theirs, kind)
    matched = _match_parts(source, target, told.parts, pairs)
    for our, their in pairs:
        if matched.get(their.part) != our.part:
            raise MappingError(
                f"a pair is between the part {our.part!r} of the target and {their.part!r} of the source, which are "
                "not mapped onto each other: pair them under mapping.parts"
            )
    builder = _Builder(source, target, told, pairs)
    parts = tuple(Part(source=key, target=mine, how=builder.how(key, mine)) for key, mine in matched.items())
    builder.check_fill(parts)
    same = all(isinstance(part.how, Same) and part.source == part.target for part in parts)
    return None if same and len(parts) == len(parts_of(target)) else ObservationMap(parts=parts)


@dataclass(frozen=True)
class _Builder:
    """One part after the other."""

    source: Interface
    target: Interface
    told: Pairing
    pairs: list[tuple[Place, Place]]

    def how(self, key: str, mine: str | None) -> Any:
        """What the source's part `key` is made of, from the target's part `mine`."""
        space = parts_of(self.source)[key]
        if mine is None:
            return Constant(value=self._number(key, self.told.fill.get(key or SINGLE, 0.0), key))
        other = parts_of(self.target)[mine]
        if _vector(space) and _vector(other):
            return self._vector(key, mine)
        if _grid(space) and _grid(other):
            return self._grid(key, mine)
        if isinstance(space, spaces.Discrete) and isinstance(other, spaces.Discrete):
            return self._choice(key, mine)
        if alike(space, other):
            return Same()
        raise self._unmapped(key)

    def _vector(self, key: str, mine: str) -> Any:
        space, other = parts_of(self.source)[key], parts_of(self.target)[mine]
        theirs, ours = names_of(self.source, key), names_of(self.target, mine)
        if theirs is None or ours is None:
            if (theirs is None) == (ours is None) and alike(space, other):
                return Same()
            if alike(space, other):
                return Same()
            raise self._unmapped(key)
        pairs = {ours[a.index]: theirs[b.index] for a, b in self.pairs if b.part == key}
        found = by_names("feature", theirs, ours, pairs, once=True)
        if found == tuple(range(len(theirs))):
            return Same()
        entries = tuple(found.index(i) if i in found else None for i in range(len(theirs)))
        fill = tuple(self._filled(key, name) if entries[i] is None else None for i, name in enumerate(theirs))
        return VectorMap(entries=entries, fill=fill)

    def _choice(self, key: str, mine: str) -> Any:
        space, other = parts_of(self.source)[key], parts_of(self.target)[mine]
        theirs, ours = self.source.values.get(key or SINGLE), self.target.values.get(mine or SINGLE)
        if theirs and ours and len(theirs) == space.n and len(ours) == other.n:
            given = {a.value: b.value for a, b in self.pairs if b.part == key}
            rest = self._number(key, self.told.fill.get(key or SINGLE, 0.0), key or SINGLE)
            table = [given.get(u, theirs.index(name) if name in theirs else int(rest)) for u, name in enumerate(ours)]
            return Same() if table == list(range(space.n)) else ChoiceMap(table=tuple(int(v or 0) for v in table))
        if space == other:
            return Same()
        raise MappingError(
            f"the part {key or SINGLE!r} is {in_words(space)} in the source and {in_words(other)} in the target, and "
            f'their values have no names: leave it out by mapping.parts.{mine or SINGLE} = "none", which the source '
            f"sees as mapping.fill.{key or SINGLE}"
        )

    def _grid(self, key: str, mine: str) -> Any:
        space, other = parts_of(self.source)[key], parts_of(self.target)[mine]
        highs, their_highs = channel_highs(other), channel_highs(space)
        floats = np.dtype(space.dtype).kind == "f" and np.dtype(other.dtype).kind == "f"
        if (highs is None) != (their_highs is None) or (highs is None and not floats and space.dtype != other.dtype):
            raise self._unmapped(key)
        channels = self._channels(key, mine, their_highs, highs)
        rows = self._axis(space.shape[0], other.shape[0], 0)
        columns = self._axis(space.shape[1], other.shape[1], 1)
        simple = [c.target == i and c.table is None for i, c in enumerate(channels)]
        same_size = rows == tuple(range(other.shape[0])) and columns == tuple(range(other.shape[1]))
        if same_size and all(simple) and len(channels) == other.shape[2] and highs == their_highs:
            return Same()
        return GridMap(rows=rows, columns=columns, channels=channels)

    def _channels(self, key: str, mine: str, their_highs: Any, highs: Any) -> tuple[Channel, ...]:
        space, other = parts_of(self.source)[key], parts_of(self.target)[mine]
        theirs, ours = names_of(self.source, key), names_of(self.target, mine)
        pairs = [(a, b) for a, b in self.pairs if b.part == key]
        if theirs is None or ours is None:
            if space.shape[2] != other.shape[2] or their_highs != highs:
                raise self._unmapped(key)
            chosen: dict[int, int] = {i: i for i in range(space.shape[2])}
            theirs = tuple(f"plane {i}" for i in range(space.shape[2]))
        else:
            between = {ours[a.index]: theirs[b.index] for a, b in pairs if a.value is None and b.value is None}
            symbols = self._read_as_planes(theirs, key, mine, their_highs, pairs)
            found = by_names("plane", theirs, ours, between, once=True, given_otherwise=bool(symbols))
            chosen = {j: i for i, j in enumerate(found) if j is not None}
            chosen |= {c: i for c, (i, _) in symbols.items()}
            tables = {c: values for c, (_, values) in symbols.items()}
            return tuple(
                self._channel(key, c, name, chosen.get(c), their_highs, highs, pairs, mine, tables.get(c))
                for c, name in enumerate(theirs)
            )
        return tuple(
            self._channel(key, c, name, chosen.get(c), their_highs, highs, pairs, mine, None)
            for c, name in enumerate(theirs)
        )

    def _read_as_planes(
        self, theirs: tuple[str, ...], key: str, mine: str, highs: Any, pairs: list[tuple[Place, Place]]
    ) -> dict[int, tuple[int, set[int]]]:
        """The source's 0/1 planes that are symbols in the target: plane → (channel, symbols)."""
        found: dict[int, tuple[int, set[int]]] = {}
        known = vocabulary(self.target)
        paired = {b.index for _, b in pairs}
        for c, name in enumerate(theirs):
            place = known.get(name)
            if highs and highs[c] == 1 and c not in paired and place and place.part == mine and place.value is not None:
                found[c] = (place.index, {place.value})
        for a, b in pairs:
            if a.value is None or b.value is not None:
                continue
            if not (highs and highs[b.index] == 1):
                raise MappingError(
                    f"a symbol is paired with {theirs[b.index]!r}, which holds symbols: name one of them"
                )
            channel, values = found.get(b.index, (a.index, set()))
            if channel != a.index:
                raise MappingError(f"source plane {theirs[b.index]!r} is paired with symbols of two planes: keep one")
            found[b.index] = (channel, values | {a.value})
        return found

    def _channel(
        self,
        key: str,
        index: int,
        name: str,
        chosen: int | None,
        their_highs: Any,
        highs: Any,
        pairs: list[tuple[Place, Place]],
        mine: str,
        symbols: set[int] | None,
    ) -> Channel:
        pad = float(self._number(name, self.told.pad.get(name, 0.0), name))
        if chosen is None:
            return Channel(target=None, fill=float(self._filled(key, name) or 0.0), pad=pad)
        if symbols is not None:
            shown = tuple(int(u in symbols) for u in range(highs[chosen] + 1))
            return Channel(target=chosen, table=shown, pad=pad)
        given = {a.value: b.value for a, b in pairs if a.value is not None and b.value is not None and b.index == index}
        for a, b in pairs:
            if b.value is not None and b.index == index and (a.value is None or a.index != chosen):
                raise MappingError(
                    f"a pair makes a symbol of the source's {name!r} from what is not in the target's plane for it: "
                    "pair symbols of the planes that map onto each other"
                )
        if highs is None:
            return Channel(target=chosen, pad=pad)
        ours = names_of(self.target, mine)
        table = self._table(name, None if ours is None else ours[chosen], their_highs[index], highs[chosen], given)
        return Channel(target=chosen, table=table, pad=pad)

    def _table(self, theirs: str, ours: str | None, high: int, our_high: int, given: Any) -> tuple[int, ...] | None:
        """For each of the target's symbols the source's: by name where both are named, else by number; None: the same.

        One that the source does not know is seen as its first.
        """
        known, names = self.source.values.get(theirs, ()), self.target.values.get(ours or "", ())
        if len(known) == high + 1 and len(names) == our_high + 1:
            table = [known.index(name) if name in known else 0 for name in names]
        else:
            table = [value if value <= high else 0 for value in range(our_high + 1)]
        for value, other in given.items():
            table[value] = other
        return None if table == list(range(our_high + 1)) else tuple(table)

    def _axis(self, theirs: int, ours: int, axis: int) -> cells.Axis:
        """For each of the source's rows (or columns) the target's."""
        return cells.axis(self.source, self.target, axis, theirs, ours, self.told.resize)

    def _filled(self, key: str, name: str) -> float | None:
        value = self.told.fill.get(name, self.told.fill.get(f"{key}.{name}"))
        return None if value is None else float(self._number(name, value, name))

    def _number(self, name: str, value: float | str, symbols: str) -> float:
        if not isinstance(value, str):
            return value
        known = self.source.values.get(symbols, ())
        if not known:
            raise MappingError(f"{name!r} is given {value!r}: expected a number, as its values have no names")
        return position(f"value of {name!r}:", value, known)

    def check_fill(self, parts: tuple[Part, ...]) -> None:
        """Raises UnknownName for a fill or pad of what the source has not, MappingError for what is carried."""
        missing = missing_names(self.source, parts)
        every = (*vocabulary(self.source), *(key or SINGLE for key in parts_of(self.source)))
        for name in self.told.fill:
            position("source feature", name, every)
            bare = name.rpartition(".")[2]
            if name not in missing and bare not in missing:
                raise MappingError(f"source feature {name!r} has a fill, but is carried: leave the fill out")
        for name in self.told.pad:
            position("source plane", name, every)

    def _unmapped(self, key: str) -> MappingError:
        where = f" in the part {key!r}" if key else ""
        return MappingError(
            f"the observations do not map{where}: {sides(self.source, self.target, 'observation')}; vectors and planes "
            'map by names, which a game gives in metadata["headstart"]["features"], anything else only if equal, or by '
            "a mapping.function"
        )


def missing_names(source: Interface, parts: tuple[Part, ...]) -> set[str]:
    """What the source reads and the target lacks: parts by their keys, features and planes by their names."""
    missing = set()
    for part in parts:
        names = names_of(source, part.source) or ()
        match part.how:
            case Constant() | ChoiceMap():
                missing.add(part.source or SINGLE)
            case VectorMap(entries=entries):
                missing |= {name for name, entry in zip(names, entries, strict=True) if entry is None}
            case GridMap(channels=channels):
                missing |= {name for name, c in zip(names, channels, strict=False) if c.target is None}
    return missing


def _match_parts(
    source: Interface, target: Interface, told: Pairs[str, str], pairs: list[tuple[Place, Place]]
) -> dict[str, str | None]:
    """For each of the source's parts the target's: by key, by pairs, or as the only one of its kind."""
    theirs, ours = parts_of(source), parts_of(target)
    given: dict[str, str] = {}
    unread = set()
    for mine, other in told.items():
        position("part of the target:", mine, tuple(key or SINGLE for key in ours))
        if other == NONE:
            unread.add(mine)
            continue
        position("part of the source:", other, tuple(key or SINGLE for key in theirs))
        given["" if other == SINGLE and "" in theirs else other] = "" if mine == SINGLE and "" in ours else mine
    if len(set(given.values())) < len(told) - len(unread):
        raise MappingError(
            f"mapping.parts pairs a part twice: {dict(told)}: give each of the target's one of the source's"
        )
    free = {key: space for key, space in ours.items() if (key or SINGLE) not in unread and key not in given.values()}
    matched: dict[str, str | None] = {}
    for key, space in theirs.items():
        if key in given:
            matched[key] = given[key]
        elif key in free:
            matched[key] = key
        elif ("" in theirs) != ("" in ours):
            fitting = [mine for mine, other in free.items() if _kind(other) == _kind(space)]
            alone = sum(_kind(other) == _kind(space) for other in theirs.values()) == 1
            matched[key] = fitting[0] if len(fitting) == 1 and alone else None
        else:
            matched[key] = None
    if all(mine is None for mine in matched.values()):
        raise MappingError(
            f"the observations do not map: {sides(source, target, 'observation')}; no part of the target is one of the "
            "source's: pair them under mapping.parts"
        )
    return matched


def _check_pairs(source: Interface, target: Interface, told: Pairing, named: bool) -> None:
    if told.seen and not named:
        raise MappingError(
            "pairs of features were given, but the features of both sides are not named: "
            + sides(source, target, "observation")
        )


def _check_once(pairs: Pairs[str, str], theirs: Pairs[str, Place], kind: str) -> None:
    """A feature or plane of the source stands for one of the target's only; symbols may be many to one."""
    for other in pairs.values():
        takers = [mine for mine, name in pairs.items() if theirs[name] == theirs[other]]
        if len(takers) > 1 and theirs[other].value is None and kind == "feature":
            both = " and ".join(map(repr, takers))
            raise MappingError(f"source {kind} {other!r} is paired with {both}: keep one of them")


def _kind(space: spaces.Space[Any]) -> str:
    if _grid(space):
        return "symbols" if channel_highs(space) is not None else "grid"
    return "vector" if _vector(space) else type(space).__name__


def _vector(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) == 1


def _grid(space: spaces.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and len(space.shape) == 3
