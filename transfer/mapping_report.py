"""What a mapping carries, drops and adds, in the names of the two games."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

from gymnasium import spaces

from agents.mapped import ChoiceMap, Constant, GridMap, Part, VectorMap
from envs.interface import Interface
from transfer.matching import bounds
from transfer.naming import SINGLE, names_of, parts_of, space_seen

if TYPE_CHECKING:
    from transfer.mapping import Mapping


@dataclass(frozen=True)
class Side:
    """Features or actions."""

    identity: bool
    """Whether all pass unchanged."""
    carried: tuple[tuple[str, str], ...]
    """Pairs (target's, source's)."""
    new: tuple[str, ...]
    """The target's that the source does not know."""
    dropped: tuple[str, ...]
    """The source's that the target lacks."""

    mapped: bool = True
    """False where a user said that they are not mapped."""

    @classmethod
    def nothing(cls, source: tuple[str, ...] | None, target: tuple[str, ...] | None) -> Self:
        """Of what is not mapped."""
        return cls(False, (), target or (), source or (), False)

    @classmethod
    def of(
        cls,
        source: tuple[str, ...] | None,
        target: tuple[str, ...] | None,
        indices: tuple[int | None, ...] | None,
    ) -> Self:
        """From the names of both sides and, for each of the target's, the index of the source's."""
        if indices is None:
            names = target or source or ()
            return cls(True, tuple((name, name) for name in names), (), ())
        known = source or tuple(map(str, range(len(indices))))
        names = target or tuple(map(str, range(len(indices))))
        pairs = list(zip(names, indices, strict=True))
        return cls(
            False,
            tuple((name, known[i]) for name, i in pairs if i is not None),
            tuple(name for name, i in pairs if i is None),
            tuple(name for i, name in enumerate(known) if i not in indices),
        )


@dataclass(frozen=True)
class Report:
    """A mapping, told."""

    features: Side
    actions: Side
    fill: dict[str, float | None]
    """What the source sees of the features, planes and parts that the target lacks: a number, or None for its mean."""
    said: tuple[str, ...] = ()
    """What else was done to observations and actions: cells cropped, symbols seen as others, bounds scaled."""
    kind: str = "features"
    """What observations are made of: features, planes or parts."""
    continuous: bool = False
    """Whether actions are numbers rather than choices."""

    @classmethod
    def of(cls, mapping: "Mapping") -> Self:
        """Of a mapping."""
        source, target, observed = mapping.source, mapping.target, mapping.observed
        said = tuple(_said(mapping))
        acted = Side.of(source.actions, target.actions, mapping.actions)
        merged = {(source.actions or ())[i] for several in mapping.merged.values() for i in several}
        acted = replace(acted, dropped=tuple(name for name in acted.dropped if name not in merged))
        acted = acted if mapping.carries_actions else Side.nothing(source.actions, target.actions)
        told = said, _kind(source), mapping.continuous
        if not mapping.carries_observations:
            return cls(Side.nothing(source.features, target.features), acted, {}, *told)
        if observed is None:
            return cls(Side.of(source.features, target.features, None), acted, {}, *told)
        carried: list[tuple[str, str]] = []
        dropped: list[str] = []
        fill: dict[str, float | None] = {}
        for part in observed.parts:
            for theirs, ours, standing in _entries(part, source, target):
                if ours is None:
                    dropped.append(theirs)
                    fill[theirs] = standing
                else:
                    carried.append((ours, theirs))
        order = _all_names(target)
        known = {ours for ours, _ in carried}
        carried.sort(key=lambda pair: order.index(pair[0]))
        seen = Side(False, tuple(carried), tuple(name for name in order if name not in known), tuple(dropped))
        return cls(seen, acted, fill, *told)

    def to_json(self) -> dict[str, Any]:
        """The report as a document."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The report for a person, a line each."""
        return [*self._told(self.kind, self.features), *self._told("actions", self.actions), *self.said]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _told(self, kind: str, side: Side) -> list[str]:
        if side.identity:
            names = f": {', '.join(name for name, _ in side.carried)}" if side.carried else ""
            return [f"{kind} carried as they are{names}"]
        if not side.mapped:
            return [f"{kind} not mapped"]
        pairs = [ours if ours == theirs else f"{ours} (as {theirs})" for ours, theirs in side.carried]
        lines = [f"{kind} carried: {', '.join(pairs)}"]
        if side.new:
            lines.append(f"{kind} new in the target, which {self._fate(kind)}: {', '.join(side.new)}")
        if side.dropped and kind == "actions":
            lines.append(f"actions only the source has, dropped: {', '.join(side.dropped)}")
        elif side.dropped:
            lines.append(f"{kind} only the source has, filled: {', '.join(map(self._filled, side.dropped))}")
        return lines

    def _fate(self, kind: str) -> str:
        """How what is new starts."""
        if kind != "actions":
            return "start unread"
        return "start in the middle of their ranges" if self.continuous else "start below the carried ones"

    def _filled(self, name: str) -> str:
        value = self.fill.get(name)
        return f"{name} = {'its mean' if value is None else format(value, 'g')}"


def _entries(part: Part, source: Interface, target: Interface) -> Iterator[tuple[str, str | None, float | None]]:
    """Of each of a part's features or planes: the source's name, the target's or None, and what then stands for it."""
    theirs = _names(source, part.source)
    ours = () if part.target is None else _names(target, part.target)
    match part.how:
        case Constant(value=value):
            yield part.source or SINGLE, None, value
        case VectorMap(entries=entries, fill=fill):
            for name, entry, stated in zip(theirs, entries, fill, strict=True):
                yield name, None if entry is None else ours[entry], stated
        case GridMap(channels=channels):
            for name, channel in zip(theirs, channels, strict=True):
                yield name, None if channel.target is None else ours[channel.target], channel.fill
        case _:
            yield from ((name, mine, None) for name, mine in zip(theirs, ours, strict=False))


def _names(interface: Interface, key: str) -> tuple[str, ...]:
    """What a part's features, planes or the part itself are called in a report."""
    space = parts_of(interface)[key]
    before = f"{key}." if key else ""
    names = names_of(interface, key)
    if names is not None:
        return tuple(before + name for name in names)
    if isinstance(space, spaces.Box) and len(space.shape) in (1, 3):
        return tuple(f"{before}{i}" for i in range(space.shape[-1]))
    return (key or SINGLE,)


def _all_names(interface: Interface) -> list[str]:
    return [name for key in parts_of(interface) for name in _names(interface, key)]


def _kind(interface: Interface) -> str:
    space = space_seen(interface)
    if isinstance(space, spaces.Dict):
        return "parts"
    return "planes" if len(space.shape or ()) == 3 else "features"


def _said(mapping: "Mapping") -> Iterator[str]:
    """What else was done, a line each."""
    for part in () if mapping.observed is None else mapping.observed.parts:
        if isinstance(part.how, GridMap) and part.target is not None:
            yield from _grid(mapping, part.source, part.target, part.how)
        if isinstance(part.how, ChoiceMap) and part.target is not None:
            where = part.source or SINGLE
            yield from _symbols(
                mapping.target.values.get(part.target or SINGLE), mapping.source.values.get(where), part.how.table
            )
    for target, several in mapping.merged.items():
        ours, theirs = mapping.target.actions or (), mapping.source.actions or ()
        yield f"{ours[target]} stands for several: {', '.join(theirs[i] for i in several)}"
    yield from _scaled(mapping)


def _grid(mapping: "Mapping", source: str, target: str, how: GridMap) -> Iterator[str]:
    height, width = parts_of(mapping.target)[target].shape[:2]
    ours, theirs = f"{height}×{width}", f"{len(how.rows)}×{len(how.columns)}"
    if ours != theirs:
        verb = "taken cell by cell from the nearest"
        if _straight(how.rows) and _straight(how.columns):
            beyond = None in (*how.rows, *how.columns)
            less = height > len(how.rows) - how.rows.count(None) or width > len(how.columns) - how.columns.count(None)
            verb = " and ".join(word for word, done in (("cropped", less), ("padded", beyond)) if done)
        yield f"cells {ours} in the target, {verb} to the source's {theirs}"
    names, others = _names(mapping.target, target), _names(mapping.source, source)
    for channel, name in zip(how.channels, others, strict=True):
        if channel.table is not None and channel.target is not None:
            bare, mine = name.rpartition(".")[2], names[channel.target].rpartition(".")[2]
            yield from _symbols(mapping.target.values.get(mine), mapping.source.values.get(bare), channel.table)


def _straight(axis: tuple[int | None, ...]) -> bool:
    known = [i for i in axis if i is not None]
    return all(b - a == 1 for a, b in pairwise(known))


def _symbols(ours: Any, theirs: Any, table: tuple[int, ...]) -> Iterator[str]:
    """Symbols that are seen as others."""
    changed = []
    for value, seen in enumerate(table):
        mine = ours[value] if ours and value < len(ours) else str(value)
        other = theirs[seen] if theirs and seen < len(theirs) else str(seen)
        if mine != other:
            changed.append(f"{mine} as {other}")
    if changed:
        yield f"symbols seen as others: {', '.join(changed)}"


def _scaled(mapping: "Mapping") -> Iterator[str]:
    if not mapping.continuous or mapping.actions is None or not isinstance(mapping.source.action_space, spaces.Box):
        return
    theirs, ours = bounds(mapping.source.action_space), bounds(mapping.target.action_space)
    names = mapping.target.actions or tuple(f"dimension {i}" for i in range(len(ours)))
    for name, mine, j in zip(names, ours, mapping.actions, strict=True):
        if j is not None and mine != theirs[j]:
            yield f"{name} scaled from {theirs[j][0]:g}…{theirs[j][1]:g} to {mine[0]:g}…{mine[1]:g}"
        if j is None:
            yield f"{name} is new: in the middle of its range, standard deviation {mapping.spread:g} of its half"
