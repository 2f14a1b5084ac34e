"""What a mapping carries, drops and adds, in the names of the two games."""

from collections.abc import Mapping as Pairs
from dataclasses import asdict, dataclass
from typing import Any, Self

from envs.interface import Interface


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
        known, names = source or (), target or ()
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
    """What the source sees of the features that the target lacks: a number, or None for its own mean."""

    @classmethod
    def of(
        cls,
        source: Interface,
        target: Interface,
        features: tuple[int | None, ...] | None,
        actions: tuple[int | None, ...] | None,
        fill: Pairs[int, float],
        missing: tuple[int, ...],
    ) -> Self:
        """From the parts of a `Mapping`."""
        names = source.features or ()
        return cls(
            Side.of(source.features, target.features, features),
            Side.of(source.actions, target.actions, actions),
            {names[i]: fill.get(i) for i in missing},
        )

    def to_json(self) -> dict[str, Any]:
        """The report as a document."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The report for a person, a line each."""
        return [*self._told("features", self.features), *self._told("actions", self.actions)]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _told(self, kind: str, side: Side) -> list[str]:
        if side.identity:
            names = f": {', '.join(name for name, _ in side.carried)}" if side.carried else ""
            return [f"{kind} carried as they are{names}"]
        pairs = [ours if ours == theirs else f"{ours} (as {theirs})" for ours, theirs in side.carried]
        lines = [f"{kind} carried: {', '.join(pairs)}"]
        if side.new:
            fate = "start unread" if kind == "features" else "start below the carried ones"
            lines.append(f"{kind} new in the target, which {fate}: {', '.join(side.new)}")
        if side.dropped and kind == "features":
            lines.append(f"features only the source has, filled: {', '.join(map(self._filled, side.dropped))}")
        elif side.dropped:
            lines.append(f"actions only the source has, dropped: {', '.join(side.dropped)}")
        return lines

    def _filled(self, name: str) -> str:
        value = self.fill.get(name)
        return f"{name} = {'its mean' if value is None else format(value, 'g')}"
