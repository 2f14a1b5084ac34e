"""Folding a mapping into a network: the student starts as teacher∘mapping, to float tolerance, on every observation.

Selecting, permuting and filling features and planes is affine, so it goes into the first layers: W' = W·A, and what
stands for a missing feature goes into the bias. What does not fold is a frozen input layer of the student's encoder.
Selecting, sharing and adding actions is affine in logits and action values, so it goes into the rows of the last layer;
where a critic reads actions, into the columns of its first. Everything between is copied.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.dqn.policies import DQNPolicy
from torch import Tensor, nn

from agents.build import seen_space
from agents.encoders import Normaliser, PlanesConvEncoder, choose_encoder
from agents.mapped import GridMap, describe
from agents.networks import encoders, normaliser, value_head
from envs.errors import MappingError
from transfer.acting import Dimensions
from transfer.affine import Affine, Cells, affine, through_filters
from transfer.counterparts import check_kinds, depth, differ, pairs, put, tensors
from transfer.layers import KINDS, Heads, reading, reading_actions
from transfer.matching import size
from transfer.naming import space_seen

if TYPE_CHECKING:
    from agents.policy import Policy
    from transfer.mapping import Mapping


def means(network: BasePolicy) -> Tensor | None:
    """The means (n_source,) by which a policy normalises its observations, or None if it does not."""
    found = normaliser(network)
    return None if found is None else found.mean.detach().clone()


def student_architecture(mapping: "Mapping", teacher: "Policy") -> dict[str, Any]:
    """See `Mapping.architecture`."""
    if mapping.observed is None or not mapping.carries_observations or _folds(mapping, teacher.network) is not None:
        return dict(teacher.architecture)
    source = seen_space(space_seen(mapping.source))
    inner = teacher.architecture.get("encoder") or "auto"
    if inner == "auto":
        inner = choose_encoder(source)
    if isinstance(inner, str) and ":" in inner:
        raise MappingError(
            f"the map of observations does not fold into the encoder {inner!r}: expected one of Headstart's, behind an "
            "input layer, or equal observations"
        )
    found = means(teacher.network)
    described = mapping.observed if not mapping.missing else mapping.standing(mapping.filling(found))
    return {**teacher.architecture, "encoder": describe(described, source, inner)}


def _folds(mapping: "Mapping", teacher: BasePolicy) -> Affine | Cells | None:
    """The map of observations as the teacher's first layers can take it in; None if they cannot."""
    if mapping.observed is None:
        return None
    spaces = space_seen(mapping.source), space_seen(mapping.target)
    encoder = encoders(teacher)[0]
    found = affine(mapping.observed, *spaces, encoder)
    if found is None:
        return through_filters(mapping.observed, *spaces, encoder)
    return found if normaliser(teacher) is None or found.one_to_one else None


def what_is_frozen(mapping: "Mapping", teacher: BasePolicy, student: BasePolicy) -> list[str]:
    """A line about the frozen input layer that a student has and its teacher has not, if there is one."""
    if mapping.observed is None or depth(student) == depth(teacher):
        return []
    encoder, how = encoders(teacher)[0], mapping.observed.parts[0].how
    beyond = isinstance(how, GridMap) and None in (*how.rows, *how.columns)
    halved = isinstance(encoder, PlanesConvEncoder) and beyond
    why = ": some windows of its filters lie partly beyond the target's edge" if halved else ""
    return [
        f"observations pass a frozen input layer, as their map does not fold into the {type(encoder).__name__}{why}"
    ]


@torch.no_grad()
def fold(
    mapping: "Mapping", teacher: BasePolicy, student: BasePolicy, *, heads: bool = True, value_scale: float = 1.0
) -> None:
    """Copy the teacher into the student through the mapping; see `Mapping.fold`."""
    check_kinds(teacher, student)
    if not isinstance(teacher, KINDS):
        _copy(mapping, teacher, student, heads)
        return
    plan = _Plan.of(mapping, teacher, student, heads, value_scale)
    for name, theirs, ours in pairs(teacher, student):
        if isinstance(theirs, Normaliser) and isinstance(ours, Normaliser):
            plan.statistics(theirs, ours)
        elif isinstance(theirs, nn.Linear) and isinstance(ours, nn.Linear):
            plan.linear(name, theirs, ours)
        elif isinstance(theirs, nn.Conv2d) and isinstance(ours, nn.Conv2d):
            plan.filters(name, theirs, ours)
        else:
            plan.rest(name, theirs, ours)
    if isinstance(student, DQNPolicy):
        student.q_net_target.load_state_dict(student.q_net.state_dict())


@dataclass(frozen=True)
class _Plan:
    """Which of a network's layers are mapped, and how."""

    mapping: "Mapping"
    first: dict[nn.Module, Normaliser | None]
    """Layers that read the observation's features, and what normalises them; the filters that read its planes."""
    behind: dict[nn.Module, tuple[int, int]]
    """Layers that read what the filters found: on how many rows and columns of the target."""
    input: Affine | Cells | None
    acted: frozenset[nn.Module]
    """Layers that read actions behind the features."""
    last: Heads
    states: nn.Module | None
    """The last layer of a critic of states."""
    mean: Tensor | None
    """(n_source,), by which the acting network normalises."""
    squashed: bool
    """Whether actions are scaled to their bounds behind the heads."""
    heads: bool
    value_scale: float

    @classmethod
    def of(
        cls, mapping: "Mapping", teacher: BasePolicy, student: BasePolicy, heads: bool, value_scale: float
    ) -> "_Plan":
        first: dict[nn.Module, Normaliser | None] = {}
        behind: dict[nn.Module, tuple[int, int]] = {}
        into = None
        convolutional = [encoder for encoder in encoders(teacher) if isinstance(encoder, PlanesConvEncoder)]
        filters: dict[nn.Module, Normaliser | None] = dict.fromkeys(encoder.network[0] for encoder in convolutional)
        if not mapping.carries_observations:
            first = filters or reading(teacher)
        elif mapping.observed is not None and depth(student) == depth(teacher):
            into = _folds(mapping, teacher)
            if into is None:
                raise MappingError(
                    f"the map of observations does not fold into the encoder {type(encoders(teacher)[0]).__name__}: "
                    "give the student the architecture that Mapping.architecture says, with a frozen input layer"
                )
            if isinstance(into, Affine):
                first = reading(teacher)
            else:
                shape = space_seen(mapping.target).shape or ()
                first = filters
                behind = {encoder.network[3]: (shape[0] - 2, shape[1] - 2) for encoder in convolutional}
        return cls(
            mapping,
            first,
            behind,
            into,
            frozenset(reading_actions(teacher)),
            Heads.of(teacher),
            value_head(teacher),
            means(teacher),
            bool(teacher.squash_output),
            heads,
            value_scale,
        )

    def linear(self, name: str, theirs: nn.Linear, ours: nn.Linear) -> None:
        """One layer: its columns if it reads the observation or actions, its rows if it is a head."""
        if theirs in self.last and not self.heads:
            return
        weight: Tensor = theirs.weight
        bias: Tensor = theirs.bias
        acted = size(self.mapping.source.action_space) if theirs in self.acted else 0
        features = weight.shape[1] - acted
        weight, of_actions = weight[:, :features], weight[:, features:]
        if theirs in self.first:
            if not self.mapping.carries_observations:
                return
            weight, bias = self._columns(weight, bias, self.first[theirs])
        elif theirs in self.behind:
            weight = self._cropped(weight, *self.behind[theirs])
        if acted:
            weight = torch.cat([weight, self._of_actions(of_actions, ours.weight)], dim=1)
        weight, bias = self._rows(theirs, weight, bias)
        put(f"{name}.weight", ours.weight, weight)
        put(f"{name}.bias", ours.bias, bias)

    def filters(self, name: str, theirs: nn.Conv2d, ours: nn.Conv2d) -> None:
        """Filters over planes: what they read is mapped, and constant planes go into the bias, as nothing is padded."""
        if theirs not in self.first:
            self.rest(name, theirs, ours)
            return
        if not isinstance(self.input, Cells):
            return
        weight, bias = theirs.weight, theirs.bias
        mapped = torch.einsum("opij,pq->oqij", weight, self.input.matrix.to(weight))
        put(f"{name}.weight", ours.weight, mapped)
        if bias is not None and ours.bias is not None:
            put(f"{name}.bias", ours.bias, bias + weight.sum(dim=(2, 3)) @ self.input.constant.to(weight))

    def rest(self, name: str, theirs: nn.Module, ours: nn.Module) -> None:
        """Tensors outside linear layers: all as they are, a policy's own standard deviations by dimension."""
        own = dict(tensors(ours))
        for key, value in tensors(theirs):
            if key == "log_std":
                if self.heads:
                    put(key, own[key], self._deviations(value))
                continue
            put(f"{name}.{key}", own[key], value)

    def statistics(self, theirs: Normaliser, ours: Normaliser) -> None:
        """Means, variances and counts by feature; a new feature starts with none seen."""
        if not self.mapping.carries_observations:
            return
        if not isinstance(self.input, Affine):
            for key, value in tensors(theirs):
                put(key, dict(tensors(ours))[key], value)
            return
        ours.mean.zero_()
        ours.var.fill_(1.0)
        ours.count.zero_()
        rows, columns = self.input.rows.to(ours.mean.device), self.input.columns.to(ours.mean.device)
        for key in ("mean", "var", "count"):
            getattr(ours, key)[columns] = getattr(theirs, key)[rows]

    def _columns(self, weight: Tensor, bias: Tensor, known: Normaliser | None) -> tuple[Tensor, Tensor]:
        """W·A and b + W·c, with c as the layer sees it: normalised, and at the mean where nothing else is said."""
        assert isinstance(self.input, Affine)
        constant = self.input.constant.to(weight)
        standing = torch.ones(len(constant), dtype=torch.bool)
        standing[self.input.rows] = False
        if known is not None and self.mean is not None:
            stated = torch.where(constant.isnan(), self.mean.to(weight), constant)
            constant = torch.where(standing.to(weight.device), known(stated[None])[0], torch.zeros_like(stated))
        return _added(bias, *self.input.fold(weight, constant.nan_to_num()))

    def _of_actions(self, weight: Tensor, own: Tensor) -> Tensor:
        """A critic's columns for the target's actions: a new one is not read, one that only the source has is at the
        middle of its range, which is 0; the student's own columns where actions are not mapped."""
        if not self.mapping.carries_actions:
            return own[:, own.shape[1] - size(self.mapping.target.action_space) :]
        if self.mapping.actions is None:
            return weight
        return Dimensions.of(self.mapping, squashed=True).weights(weight.T).T

    def _cropped(self, weight: Tensor, height: int, width: int) -> Tensor:
        """Columns (n, 16·h·w) for what the filters find on the target's larger grid; 0 outside the source's."""
        assert self.mapping.observed is not None
        how = self.mapping.observed.parts[0].how
        assert isinstance(how, GridMap)
        top, left = int(how.rows[0] or 0), int(how.columns[0] or 0)
        h, w = len(how.rows) - 2, len(how.columns) - 2
        wide = weight.new_zeros(len(weight), weight.shape[1] // (h * w), height, width)
        wide[:, :, top : top + h, left : left + w] = weight.reshape(len(weight), -1, h, w)
        return wide.flatten(1)

    def _rows(self, theirs: nn.Module, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """A head's rows for the target's actions; any other layer's as they are."""
        if theirs is self.states:
            return weight * self.value_scale, bias * self.value_scale
        deviations = theirs in self.last.deviations
        if self.mapping.actions is None or not (deviations or theirs in self.last.acting):
            return weight, bias
        if self.mapping.continuous:
            scaled = Dimensions.of(self.mapping, squashed=self.squashed)
            return scaled.weights(weight), scaled.log_std(bias) if deviations else scaled.means(bias)
        logits = self.states is not None
        return (
            self.mapping.rows(weight, shift=logits, bias=False),
            self.mapping.rows(bias, shift=logits),
        )

    def _deviations(self, value: Tensor) -> Tensor:
        """Of a policy whose layers compute none: by dimension (d,), or of gSDE by feature and dimension."""
        if self.mapping.actions is None:
            return value
        scaled = Dimensions.of(self.mapping, squashed=self.squashed)
        if value.dim() > 1 and scaled.new:
            raise MappingError(
                "a new continuous action has no standard deviation of its own where deviations depend on the state: "
                "set use_sde to false, or pair it with one of the source's"
            )
        if value.dim() > 1 and value.shape[1] != size(self.mapping.source.action_space):
            return self._shared_by_dimensions(value, scaled)
        return scaled.log_std(value)

    def _shared_by_dimensions(self, value: Tensor, scaled: Dimensions) -> Tensor:
        """(n, 1), one deviation for all dimensions (`full_std` false): all must be scaled alike."""
        if len(set(scaled.log_scale.tolist())) > 1:
            raise MappingError(
                "actions are scaled by different factors, and the source's have one standard deviation for all "
                "(full_std is false): expected a source with full_std, or equal bounds"
            )
        return value + scaled.log_scale[0].to(value)


def _added(bias: Tensor, weight: Tensor, constant: Tensor) -> tuple[Tensor, Tensor]:
    return weight, bias + constant


def _copy(mapping: "Mapping", teacher: BasePolicy, student: BasePolicy, heads: bool) -> None:
    """A whole network of a kind whose layers are not mapped singly."""
    kind = type(teacher).__name__
    if not mapping.identity or not heads:
        what = "map by identity only" if not mapping.identity else "are carried whole or not at all"
        raise MappingError(
            f"networks of the kind {kind} {what}: expected equal spaces and all layers, or PPO, A2C, DQN, SAC, TD3 or "
            "DDPG"
        )
    own = student.state_dict()
    for key, value in teacher.state_dict().items():
        if key not in own:
            raise differ(teacher, student)
        put(key, own[key], value)
