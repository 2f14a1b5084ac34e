"""The inter-task mapping (Taylor & Stone 2009): what a source's policy makes of a target's observations and actions.

    target observation ──observations──▶ source observation ──policy──▶ heads ──outputs──▶ target actions

It is built from names. Equal names map; pairs add to them or override them; equal spaces without names map by
identity; anything else is a `MappingError` that lists both sides.
"""

from collections.abc import Callable
from collections.abc import Mapping as Pairs
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agents.outputs import Observations, Outputs
from envs.errors import MappingError
from envs.interface import Interface
from transfer.mapping_report import Report
from transfer.matching import Indices, match_actions, match_features, position, size

if TYPE_CHECKING:
    from stable_baselines3.common.policies import BasePolicy

    from agents.policy import Policy

MARGIN = 1.0
"""How far below the mean of the mapped actions' outputs a new action starts."""


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
        columns = match_features(source, target, features or {})
        filled = {}
        for name, value in (fill or {}).items():
            index = position("source feature", name, source.features or ())
            if columns is None or index in columns:
                raise MappingError(f"source feature {name!r} has a fill, but is carried: leave the fill out")
            filled[index] = float(value)
        return cls(source, target, columns, match_actions(source, target, actions or {}), filled, margin)

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
        return tuple(i for i in range(size(self.source.observation_space)) if i not in self.features)

    def filling(self, mean: Tensor | None = None) -> Tensor:
        """What stands for the missing features, (n_source,): the given fill, else the mean, else 0."""
        values = torch.zeros(size(self.source.observation_space)) if mean is None else mean.float().clone()
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
        count = size(self.target.action_space)
        return tuple(i for i in range(count) if self.actions is None or self.actions[i] is not None)

    def teacher(self, policy: "Policy") -> Callable[[Observations], Outputs]:
        """The teacher of the target task: policy∘mapping, on observations as its games or its buffer give them.

        The policy's weights are those of now.
        """
        from transfer.folding import means

        fill = self.filling(means(policy.network))
        read = policy.reader()

        def outputs(observations: Observations) -> Outputs:
            given = torch.as_tensor(observations) if isinstance(observations, np.ndarray) else observations
            return self.outputs(read(self.observations(given, fill)))

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
