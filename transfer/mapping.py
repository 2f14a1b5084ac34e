"""The inter-task mapping (Taylor & Stone 2009): what a source's policy makes of a target's observations and actions.

    target observation ──observations──▶ source observation ──policy──▶ heads ──outputs──▶ target actions

It is built from names. Equal names map; pairs add to them or override them; equal spaces without names map by
identity; anything else is a `MappingError` that lists both sides. `transfer.seeing` matches observations,
`transfer.matching` actions; `transfer.folding` puts both into a student's network.
"""

from collections.abc import Callable
from collections.abc import Mapping as Pairs
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agents.mapped import InputLayer, ObservationMap, VectorMap
from agents.outputs import Observations, Outputs
from envs.errors import MappingError
from envs.interface import Interface
from envs.masks import MASK, SEEN, is_masked
from envs.validation import validated
from transfer import acting
from transfer.mapping_report import Report
from transfer.matching import Indices, Matched, match_actions, size
from transfer.naming import parts_of, space_seen
from transfer.pairing import MARGIN, NONE, SPREAD, Pairing
from transfer.seeing import match_observations

if TYPE_CHECKING:
    from stable_baselines3.common.policies import BasePolicy

    from agents.policy import Policy

__all__ = ["MARGIN", "SPREAD", "Mapping"]


@dataclass(frozen=True)
class Mapping:
    """A map between two interfaces; make one with `Mapping.between`."""

    source: Interface
    target: Interface
    observed: ObservationMap | None = None
    """Where each part of what the source sees comes from; None: observations map by identity."""
    actions: Indices | None = None
    """For each of the target's actions (or dimensions) the source's, the first of them where it stands for several;
    None: actions map by identity."""
    merged: Pairs[int, tuple[int, ...]] = field(default_factory=dict)
    """The target's actions that stand for several of the source's, and which."""
    margin: float = MARGIN
    """How far below the mean of the mapped actions' outputs a new action starts; positive."""
    spread: float = SPREAD
    """Standard deviation of a new continuous dimension, in halves of its range."""
    carries_observations: bool = True
    """False where a user said that observations are not mapped: then only what lies behind the first layers is carried,
    and the teacher cannot be asked."""
    carries_actions: bool = True
    """False where a user said that actions are not mapped: then only the torso can be reused."""

    @classmethod
    def between(cls, source: Interface, target: Interface, told: Pairing | None = None, **said: Any) -> "Mapping":
        """The mapping by names, and by what else is told.

        Args:
            source: the teacher's game.
            target: the student's.
            told: further pairs and settings; or instead
            said: the fields of a `Pairing`, such as `features={"target's name": "source's name"}`.

        Raises MappingError if the two do not map, UnknownName if a pair names what neither has, ConfigError for a
        setting that makes no sense.
        """
        margin = said.get("margin", MARGIN)
        if isinstance(margin, int | float) and not margin > 0:
            raise MappingError(f"the margin of new actions is {margin}: expected a positive number")
        told = told if told is not None else validated(Pairing, {k: v for k, v in said.items() if v is not None})
        if told.function is not None:
            from transfer.custom import replaced

            return replaced(source, target, told)
        seen, acts = told.features != NONE, told.actions != NONE
        observed = match_observations(source, target, told) if seen else None
        pairs = told.actions if isinstance(told.actions, dict) else {}
        found = match_actions(source, target, pairs, told.resize) if acts else Matched(None, {})
        return cls(source, target, observed, *found, told.margin, told.spread, seen, acts)

    @property
    def identity(self) -> bool:
        """Whether observations and actions both pass unchanged."""
        carried = self.carries_observations and self.carries_actions
        return carried and self.observed is None and self.actions is None

    @property
    def carries_weights(self) -> bool:
        """Whether a student's network can start as teacher∘mapping."""
        return True

    @property
    def continuous(self) -> bool:
        """Whether actions are numbers rather than choices."""
        return isinstance(self.target.action_space, spaces.Box)

    @cached_property
    def features(self) -> Indices | None:
        """For each of the target's features the source's, where both observe vectors; None where observations pass
        unchanged. Of other observations that are mapped, empty: `observed` tells."""
        if self.observed is None:
            return None
        how = self.observed.parts[0].how
        if len(self.observed.parts) > 1 or not isinstance(how, VectorMap):
            return ()
        count = size(space_seen(self.target))
        return tuple(how.entries.index(i) if i in how.entries else None for i in range(count))

    @cached_property
    def missing(self) -> tuple[int, ...]:
        """The features of a source's vector that the target lacks."""
        how = None if self.observed is None else self.observed.parts[0].how
        return tuple(i for i, j in enumerate(how.entries) if j is None) if isinstance(how, VectorMap) else ()

    def filling(self, mean: Tensor | None = None) -> Tensor:
        """What stands for the missing features of a vector, (n_source,): the given fill, else the mean, else 0."""
        how = None if self.observed is None else self.observed.parts[0].how
        values = torch.zeros(size(space_seen(self.source))) if mean is None else mean.float().clone()
        if isinstance(how, VectorMap):
            for index, value in enumerate(how.fill):
                if value is not None:
                    values[index] = value
        return values

    def observations(self, target: Observations, fill: Tensor | None = None) -> Observations:
        """What the source sees of observations (B, …) as games or buffers give them, with `fill` (n_source,) where a
        vector of the target has nothing. Raises MappingError where observations are not mapped.

        A source that sees masks is shown all its actions as legal: which of the target's are, `teacher` sees to.
        """
        if not self.carries_observations:
            raise MappingError(
                'the observations are not mapped (mapping.features = "none"): the source cannot be asked'
            )
        bare = isinstance(target, dict) and is_masked(self.target.observation_space)
        seen = self._seen(target[SEEN] if bare else target, fill)  # type: ignore[index]
        if not is_masked(self.source.observation_space) or isinstance(seen, dict):
            return seen
        masks = torch.ones(len(seen), size(self.source.action_space), dtype=torch.int8, device=seen.device)
        return {SEEN: seen, MASK: masks}

    def _seen(self, target: Observations, fill: Tensor | None) -> Observations:
        if self.observed is None:
            return target
        given = {key: _channels_last(each, space) for (key, space), each in self._zipped(target)}
        layer = self._layer(fill)
        seen: Observations = layer.to(next(iter(given.values())).device)(given)
        return seen

    def _zipped(self, target: Observations) -> list[tuple[tuple[str, Any], Tensor]]:
        parts = parts_of(self.target)
        return [((key, space), target[key] if isinstance(target, dict) else target) for key, space in parts.items()]

    def _layer(self, fill: Tensor | None) -> InputLayer:
        described = self.observed if self.observed is not None else ObservationMap(parts=())
        if fill is not None:
            described = self.standing(fill)
        elif "layer" in self.__dict__:
            return self.__dict__["layer"]  # type: ignore[no-any-return]
        layer = InputLayer(described, space_seen(self.source), preprocessed=False)
        if fill is None:
            self.__dict__["layer"] = layer
        return layer

    def standing(self, fill: Tensor) -> ObservationMap:
        """The map of observations with these numbers (n_source,) where a vector's features are missing."""
        parts = []
        for part in () if self.observed is None else self.observed.parts:
            how = part.how
            if isinstance(how, VectorMap) and len(how.entries) == len(fill):
                values = tuple(float(v) if j is None else None for j, v in zip(how.entries, fill.tolist(), strict=True))
                part = part.model_copy(update={"how": VectorMap(entries=how.entries, fill=values)})
            parts.append(part)
        return ObservationMap(parts=tuple(parts))

    def outputs(self, teacher: Outputs, *, squashed: bool = False) -> Outputs:
        """The source's heads in the target's actions; exact: k actions that stand for one share its probability.

        New actions get the mean of the mapped actions' logits (or action values) less the margin. The mean is at most
        the log of the mean exponential (Jensen), so each has at most 1/(n + 1) of the probability beside n mapped ones,
        and is never the greedy one. An action that stands for several of the source's gets the mean of their logits
        plus log m (of their values the mean): linear, so that it folds; all their probability where they are alike.

        Args:
            teacher: the heads.
            squashed: whether a `gaussian` head is squashed and scaled to the space's bounds afterwards, as SAC's is.

        Raises MappingError where actions are not mapped.
        """
        if not self.carries_actions:
            raise MappingError('the actions are not mapped (mapping.actions = "none"): only the torso can be carried')
        if self.actions is None:
            return teacher
        if self.continuous:
            scaled = acting.Dimensions.of(self, squashed=squashed or teacher.kind == "deterministic")
            log_std = None if teacher.log_std is None else scaled.log_std(teacher.log_std)
            return replace(teacher, head=scaled.means(teacher.head), log_std=log_std)
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
        return acting.rows(self.actions, self.merged, source, shift=shift and bias, margin=self.margin if bias else 0.0)

    @property
    def matched(self) -> tuple[int, ...]:
        """The target's actions that the source knows: those over which distillation losses are taken."""
        if not self.carries_actions:
            return ()
        count = size(self.target.action_space)
        return tuple(i for i in range(count) if self.actions is None or self.actions[i] is not None)

    def teacher(self, policy: "Policy") -> Callable[[Observations], Outputs]:
        """The teacher of the target task: policy∘mapping, on observations as its games or its buffer give them.

        Where these say which actions are legal, the others' logits or values are at `agents.masking.ILLEGAL`, whatever
        the source's game allowed. The policy's weights are those of now.
        """
        from transfer.folding import means

        mean = means(policy.network) if self.missing else None
        fill = self.filling(mean) if self.missing else None
        read, squashed = policy.reader(), bool(policy.network.squash_output)
        masked = is_masked(self.target.observation_space)

        def outputs(observations: Observations) -> Outputs:
            given: Any = observations
            if isinstance(given, dict):
                given = {key: torch.as_tensor(part) for key, part in given.items()}
            elif isinstance(given, np.ndarray):
                given = torch.as_tensor(given)
            heads = read(self.observations(given, fill))
            if not self.carries_actions:
                return heads
            acted = self.outputs(heads, squashed=squashed)
            return acting.legal(acted, given[MASK]) if masked else acted

        return outputs

    def architecture(self, teacher: "Policy") -> dict[str, Any]:
        """The architecture of a student that can start as teacher∘mapping: the teacher's; where the map of observations
        does not fold into its first layers, with a frozen input layer before its encoder (`agents.mapped`)."""
        from transfer.folding import student_architecture

        return student_architecture(self, teacher)

    def fold(self, teacher: "Policy", student: "BasePolicy", *, heads: bool = True, value_scale: float = 1.0) -> Report:
        """Copy the teacher into the student so that student = teacher∘mapping, to float tolerance, everywhere.

        Args:
            teacher: whose weights are carried.
            student: a network of the `architecture` for the target's spaces; changed in place.
            heads: whether the action and value heads are carried too; never where actions are not mapped.
            value_scale: the state values are multiplied by it.

        Raises MappingError if the networks differ in more than what is mapped.
        """
        from transfer.folding import fold, what_is_frozen

        fold(self, teacher.network, student, heads=heads and self.carries_actions, value_scale=value_scale)
        report = self.report()
        return replace(report, said=(*report.said, *what_is_frozen(self, teacher.network, student)))

    def report(self) -> Report:
        """What is carried, what is dropped, what is new, in names."""
        return Report.of(self)


def _channels_last(observations: Tensor, space: Any) -> Tensor:
    """Pictures as environments give them, whose channels SB3 puts first."""
    if observations.ndim == 4 and observations.shape[1:] != space.shape:
        return observations.permute(0, 2, 3, 1)
    return observations
