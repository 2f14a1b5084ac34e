"""The inter-task mapping (Taylor & Stone 2009): what a source's policy makes of a target's observations and actions.

    target observation ──observations──▶ source observation ──policy──▶ heads ──outputs──▶ target actions

It is built from names. Equal names map; pairs add to them or override them; equal spaces without names map by
identity; anything else is a `MappingError` that lists both sides.
"""

from collections.abc import Callable
from collections.abc import Mapping as Pairs
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agents.outputs import Observations, Outputs
from envs.errors import MappingError
from envs.interface import Interface
from envs.registry import did_you_mean
from transfer.mapping_report import Report

if TYPE_CHECKING:
    from stable_baselines3.common.policies import BasePolicy

    from agents.policy import Policy

MARGIN = 1.0
"""How far below the mean of the mapped actions' outputs a new action starts."""

Indices = tuple[int | None, ...]
"""For each part of the target the source's part that stands for it, or None for a new one."""


@dataclass(frozen=True)
class Mapping:
    """A map between two interfaces; make one with `Mapping.between`."""

    source: Interface
    target: Interface
    features: Indices | None = None
    """For each of the target's features the source's; None: observations map by identity."""
    actions: Indices | None = None
    """For each of the target's actions (or dimensions) the source's; None: actions map by identity."""
    fill: Pairs[int, float] = field(default_factory=dict)
    """What the source sees of its features that the target lacks, where it is not the source's mean."""
    margin: float = MARGIN
    """How far below the mean of the mapped actions' outputs a new action starts; positive."""

    @classmethod
    def between(
        cls,
        source: Interface,
        target: Interface,
        *,
        features: Pairs[str, str] | None = None,
        actions: Pairs[str, str] | None = None,
        fill: Pairs[str, float] | None = None,
        margin: float = MARGIN,
    ) -> Self:
        """The mapping by names, where `features` and `actions` are further pairs, target's name → source's.

        Raises MappingError if the two do not map, UnknownName if a pair names what neither has.
        """
        if not margin > 0:
            raise MappingError(f"the margin of new actions is {margin}: expected a positive number")
        columns = _features(source, target, features or {})
        filled = {}
        for name, value in (fill or {}).items():
            index = _position("source feature", name, source.features or ())
            if columns is None or index in columns:
                raise MappingError(f"source feature {name!r} has a fill, but is carried: leave the fill out")
            filled[index] = float(value)
        return cls(source, target, columns, _actions(source, target, actions or {}), filled, margin)

    @property
    def identity(self) -> bool:
        """Whether observations and actions both pass unchanged."""
        return self.features is None and self.actions is None

    @property
    def continuous(self) -> bool:
        """Whether actions are numbers rather than choices."""
        return isinstance(self.target.action_space, spaces.Box)

    @cached_property
    def missing(self) -> tuple[int, ...]:
        """The source's features that the target lacks."""
        if self.features is None:
            return ()
        return tuple(i for i in range(_size(self.source.observation_space)) if i not in self.features)

    def filling(self, mean: Tensor | None = None) -> Tensor:
        """What stands for the missing features, (n_source,): the given fill, else the mean, else 0."""
        values = torch.zeros(_size(self.source.observation_space)) if mean is None else mean.float().clone()
        for index, value in self.fill.items():
            values[index] = value
        return values

    def observations(self, target: Observations, fill: Tensor | None = None) -> Observations:
        """What the source sees: (B, n_target) → (B, n_source), with `fill` (n_source,) where the target has nothing."""
        if self.features is None:
            return target
        if isinstance(target, dict):
            raise MappingError("observations of several parts map by identity only")
        standing = self.filling() if fill is None else fill
        seen = standing.to(target.device, torch.float32).repeat(len(target), 1)  # (B, n_source)
        pairs = [(i, j) for i, j in enumerate(self.features) if j is not None]
        seen[:, [j for _, j in pairs]] = target.float()[:, [i for i, _ in pairs]]
        return seen

    def outputs(self, teacher: Outputs) -> Outputs:
        """The source's heads in the target's actions; exact: k actions that stand for one share its probability.

        New actions get the mean of the mapped actions' logits (or action values) less the margin. The mean is at most
        the log of the mean exponential (Jensen), so each has at most 1/(n + 1) of the probability beside n mapped ones,
        and is never the greedy one.
        """
        if self.actions is None:
            return teacher
        if self.continuous:
            index = torch.tensor([i for i in self.actions if i is not None], device=teacher.head.device)
            log_std = None if teacher.log_std is None else teacher.log_std[..., index]
            return replace(teacher, head=teacher.head[..., index], log_std=log_std)
        head = self.rows(teacher.head.T, shift=teacher.kind == "categorical").T
        value = head.max(dim=-1).values if teacher.kind == "q" else teacher.value
        return replace(teacher, head=head, value=value)

    def rows(self, source: Tensor, *, shift: bool, bias: bool = True) -> Tensor:
        """The target's rows of a discrete head, (n_source, …) → (n_target, …): its outputs, or its last layer.

        Args:
            source: a row for each of the source's actions.
            shift: whether the rows are logits, from which log k is subtracted where k actions share one.
            bias: whether constants are to be added; not to the weights of a linear layer.
        """
        if self.actions is None:
            return source
        mapped = [i for i in self.actions if i is not None]
        index = torch.tensor(mapped, device=source.device)
        carried = source[index]
        if shift and bias:
            shared = torch.tensor([mapped.count(i) for i in mapped], device=source.device, dtype=source.dtype)
            carried = carried - shared.log().reshape(-1, *[1] * (source.dim() - 1))
        new = carried.mean(dim=0) - (self.margin if bias else 0.0)
        rows = iter(carried)
        return torch.stack([new if i is None else next(rows) for i in self.actions])

    @property
    def matched(self) -> tuple[int, ...]:
        """The target's actions that the source knows: those over which distillation losses are taken."""
        count = _size(self.target.action_space)
        return tuple(i for i in range(count) if self.actions is None or self.actions[i] is not None)

    def teacher(self, policy: "Policy") -> Callable[[Observations], Outputs]:
        """The teacher of the target task: policy∘mapping, on observations as its games or its buffer give them."""
        from transfer.folding import means

        fill = self.filling(means(policy.network))

        def outputs(observations: Observations) -> Outputs:
            given = torch.as_tensor(observations) if isinstance(observations, np.ndarray) else observations
            return self.outputs(policy.outputs(self.observations(given, fill)))

        return outputs

    def fold(self, teacher: "Policy", student: "BasePolicy", *, heads: bool = True, value_scale: float = 1.0) -> Report:
        """Copy the teacher into the student so that student = teacher∘mapping, to float tolerance, everywhere.

        Args:
            teacher: whose weights are carried.
            student: a network of the same kind and hidden sizes, for the target's spaces; changed in place.
            heads: whether the action and value heads are carried too.
            value_scale: the state values are multiplied by it.

        Raises MappingError if the networks differ in more than what is mapped.
        """
        from transfer.folding import fold

        fold(self, teacher.network, student, heads=heads, value_scale=value_scale)
        return self.report()

    def report(self) -> Report:
        """What is carried, what is dropped, what is new, in names."""
        return Report.of(self.source, self.target, self.features, self.actions, self.fill, self.missing)


def _features(source: Interface, target: Interface, pairs: Pairs[str, str]) -> Indices | None:
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


def _actions(source: Interface, target: Interface, pairs: Pairs[str, str]) -> Indices | None:
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
        _position(f"target {kind}", ours, target)
        given[ours] = _position(f"source {kind}", theirs, source)
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


def _position(kind: str, name: str, names: tuple[str, ...]) -> int:
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


def _size(space: spaces.Space[Any]) -> int:
    """How many features or actions (or their dimensions) a space has."""
    return int(space.n) if isinstance(space, spaces.Discrete) else int(np.prod(space.shape or (1,)))


def _sides(source: Interface, target: Interface, what: str) -> str:
    """Both sides in words."""

    def side(interface: Interface) -> str:
        space = interface.observation_space if what == "observation" else interface.action_space
        names = interface.features if what == "observation" else interface.actions
        return f"{_space(space)} {'without names' if names is None else 'of ' + ', '.join(names)}"

    return f"the source has {side(source)}; the target has {side(target)}"


def _space(space: spaces.Space[Any]) -> str:
    if isinstance(space, spaces.Box):
        return f"Box{space.shape}"
    return f"Discrete({space.n})" if isinstance(space, spaces.Discrete) else " ".join(str(space).split())
