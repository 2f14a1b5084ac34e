"""Folding a mapping into a network: the student starts as teacher∘mapping, to float tolerance, on every observation.

Selecting, permuting and filling features and planes is affine, so it goes into the first layers: W' = W·A, and what
stands for a missing feature goes into the bias. What does not fold is a frozen input layer of the student's encoder.
Selecting, sharing and adding actions is affine in logits and action values, so it goes into the rows of the last layer.
Everything between is copied.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.dqn.policies import DQNPolicy
from torch import Tensor, nn

from agents.build import seen_space
from agents.encoders import Normaliser, PlanesConvEncoder, choose_encoder
from agents.mapped import GridMap, MappedEncoder, describe
from agents.networks import action_head, encoders, first_linears, normaliser, value_head
from envs.errors import MappingError
from transfer.acting import Dimensions
from transfer.affine import Affine, Cells, affine, through_filters

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
    source = seen_space(mapping.source.observation_space)
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
    spaces = mapping.source.observation_space, mapping.target.observation_space
    encoder = encoders(teacher)[0]
    found = affine(mapping.observed, *spaces, encoder)
    if found is None:
        return through_filters(mapping.observed, *spaces, encoder)
    return found if normaliser(teacher) is None or found.one_to_one else None


@torch.no_grad()
def fold(
    mapping: "Mapping", teacher: BasePolicy, student: BasePolicy, *, heads: bool = True, value_scale: float = 1.0
) -> None:
    """Copy the teacher into the student through the mapping; see `Mapping.fold`."""
    _check_kinds(teacher, student)
    if not isinstance(teacher, ActorCriticPolicy | DQNPolicy):
        _copy(mapping, teacher, student, heads)
        return
    plan = _Plan.of(mapping, teacher, student, heads, value_scale)
    for name, theirs, ours in _pairs(teacher, student):
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
    first: frozenset[int]
    """Layers that read the observation's features, and the filters that read its planes."""
    behind: dict[int, tuple[int, int]]
    """Layers that read what the filters found: on how many rows and columns of the target."""
    input: Affine | Cells | None
    actor: nn.Module
    critic: nn.Module | None
    normaliser: Normaliser | None
    heads: bool
    value_scale: float

    @classmethod
    def of(
        cls, mapping: "Mapping", teacher: BasePolicy, student: BasePolicy, heads: bool, value_scale: float
    ) -> "_Plan":
        first: list[nn.Module] = []
        behind: dict[int, tuple[int, int]] = {}
        into = None
        convolutional = [encoder for encoder in encoders(teacher) if isinstance(encoder, PlanesConvEncoder)]
        if not mapping.carries_observations:
            first = [encoder.network[0] for encoder in convolutional] or list(first_linears(teacher))
        elif mapping.observed is not None and _depth(student) == _depth(teacher):
            into = _folds(mapping, teacher)
            if into is None:
                raise MappingError(
                    f"the map of observations does not fold into the encoder {type(encoders(teacher)[0]).__name__}: "
                    "give the student the architecture that Mapping.architecture says, with a frozen input layer"
                )
            if isinstance(into, Affine):
                first = list(first_linears(teacher))
            else:
                shape = mapping.target.observation_space.shape or ()
                first = [encoder.network[0] for encoder in convolutional]
                behind = {id(encoder.network[3]): (shape[0] - 2, shape[1] - 2) for encoder in convolutional}
        return cls(
            mapping,
            frozenset(map(id, first)),
            behind,
            into,
            action_head(teacher),
            value_head(teacher),
            normaliser(teacher),
            heads,
            value_scale,
        )

    def linear(self, name: str, theirs: nn.Linear, ours: nn.Linear) -> None:
        """One layer: its columns if it reads the observation, its rows if it is a head."""
        if theirs in (self.actor, self.critic) and not self.heads:
            return
        weight: Tensor = theirs.weight
        bias: Tensor = theirs.bias
        if id(theirs) in self.first:
            if not self.mapping.carries_observations:
                return
            weight, bias = self._columns(weight, bias)
        elif id(theirs) in self.behind:
            weight = self._cropped(weight, *self.behind[id(theirs)])
        if theirs is self.actor:
            weight, bias = self._rows(weight, bias)
        if theirs is self.critic:
            weight, bias = weight * self.value_scale, bias * self.value_scale
        _put(f"{name}.weight", ours.weight, weight)
        _put(f"{name}.bias", ours.bias, bias)

    def filters(self, name: str, theirs: nn.Conv2d, ours: nn.Conv2d) -> None:
        """Filters over planes: what they read is mapped, and constant planes go into the bias, as nothing is padded."""
        if id(theirs) not in self.first:
            self.rest(name, theirs, ours)
            return
        if not isinstance(self.input, Cells):
            return
        weight, bias = theirs.weight, theirs.bias
        mapped = torch.einsum("opij,pq->oqij", weight, self.input.matrix.to(weight))
        _put(f"{name}.weight", ours.weight, mapped)
        if bias is not None and ours.bias is not None:
            _put(f"{name}.bias", ours.bias, bias + weight.sum(dim=(2, 3)) @ self.input.constant.to(weight))

    def rest(self, name: str, theirs: nn.Module, ours: nn.Module) -> None:
        """Tensors outside linear layers: all as they are, a policy's own standard deviations by dimension."""
        own = dict(_tensors(ours))
        for key, value in _tensors(theirs):
            if key == "log_std" and not name:
                if self.heads:
                    _put(key, own[key], self._deviations(value))
                continue
            _put(f"{name}.{key}", own[key], value)

    def statistics(self, theirs: Normaliser, ours: Normaliser) -> None:
        """Means, variances and counts by feature; a new feature starts with none seen."""
        if not self.mapping.carries_observations:
            return
        if not isinstance(self.input, Affine):
            for key, value in _tensors(theirs):
                _put(key, dict(_tensors(ours))[key], value)
            return
        ours.mean.zero_()
        ours.var.fill_(1.0)
        ours.count.zero_()
        rows, columns = self.input.rows.to(ours.mean.device), self.input.columns.to(ours.mean.device)
        for key in ("mean", "var", "count"):
            getattr(ours, key)[columns] = getattr(theirs, key)[rows]

    def _columns(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """W·A and b + W·c, with c as the layer sees it: normalised, and at the mean where nothing else is said."""
        assert isinstance(self.input, Affine)
        constant, known = self.input.constant.to(weight), self.normaliser
        standing = torch.ones(len(constant), dtype=torch.bool)
        standing[self.input.rows] = False
        if known is not None:
            stated = torch.where(constant.isnan(), known.mean.to(weight), constant)
            constant = torch.where(standing.to(weight.device), known(stated[None])[0], torch.zeros_like(stated))
        return _added(bias, *self.input.fold(weight, constant.nan_to_num()))

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

    def _rows(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """The action head's rows for the target's actions."""
        if self.mapping.actions is None:
            return weight, bias
        if self.mapping.continuous:
            scaled = Dimensions.of(self.mapping, squashed=False)
            return scaled.weights(weight), scaled.means(bias)
        logits = self.critic is not None
        return (
            self.mapping.rows(weight, shift=logits, bias=False),
            self.mapping.rows(bias, shift=logits),
        )

    def _deviations(self, value: Tensor) -> Tensor:
        if self.mapping.actions is None:
            return value
        scaled = Dimensions.of(self.mapping, squashed=False)
        if value.dim() > 1 and scaled.new:
            raise MappingError(
                "a new continuous action has no standard deviation of its own where deviations depend on the state: "
                "set use_sde to false, or pair it with one of the source's"
            )
        return scaled.log_std(value)


def _added(bias: Tensor, weight: Tensor, constant: Tensor) -> tuple[Tensor, Tensor]:
    return weight, bias + constant


def _depth(policy: BasePolicy) -> int:
    """How many frozen input layers an encoder is behind."""
    encoder, depth = encoders(policy)[0], 0
    while isinstance(encoder, MappedEncoder):
        encoder, depth = encoder.inner, depth + 1
    return depth


def _copy(mapping: "Mapping", teacher: BasePolicy, student: BasePolicy, heads: bool) -> None:
    """A whole network of a kind whose layers are not mapped singly."""
    kind = type(teacher).__name__
    if not mapping.identity or not heads:
        what = "map by identity only" if not mapping.identity else "are carried whole or not at all"
        raise MappingError(
            f"networks of the kind {kind} {what}: expected equal spaces and all layers, or PPO, A2C or DQN"
        )
    own = student.state_dict()
    for key, value in teacher.state_dict().items():
        if key not in own:
            raise _differ(teacher, student)
        _put(key, own[key], value)


def _check_kinds(teacher: BasePolicy, student: BasePolicy) -> None:
    """Raises MappingError unless both are networks of one kind, size and activation."""
    for kind in (ActorCriticPolicy, DQNPolicy):
        if isinstance(teacher, kind) != isinstance(student, kind):
            raise MappingError(
                f"the teacher's network is a {type(teacher).__name__}, the student's a {type(student).__name__}: "
                "weights are carried between algorithms with the same kind of network"
            )
    if _shape(teacher) != _shape(student):
        raise _differ(teacher, student)


def _pairs(teacher: BasePolicy, student: BasePolicy) -> Iterator[tuple[str, nn.Module, nn.Module]]:
    """The modules of both networks, by name, without DQN's target network, which follows the other, and without a
    frozen input layer that only the student has."""
    theirs, ours = dict(teacher.named_modules()), dict(student.named_modules())
    if _depth(student) > _depth(teacher):
        ours = {
            _LAYER.sub(r"\1", name, count=1): module for name, module in ours.items() if not _added_layer(name, ours)
        }
    if theirs.keys() != ours.keys():
        raise _differ(teacher, student)
    for name, module in theirs.items():
        if name.partition(".")[0] != "q_net_target":
            yield name, module, ours[name]


_LAYER = re.compile(r"(features_extractor)\.inner(?=\.|$)")


def _added_layer(name: str, modules: dict[str, nn.Module]) -> bool:
    """Whether a module of the student is its outermost mapped encoder, or the layer in it."""
    encoder, _, inside = name.partition("features_extractor.")
    outermost = name.endswith("features_extractor") and isinstance(modules[name], MappedEncoder)
    return outermost or (inside.partition(".")[0] == "layer" and f"{encoder}features_extractor.inner" in modules)


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """A module's own parameters and the buffers that a checkpoint would hold."""
    yield from module.named_parameters(recurse=False)
    for key, buffer in module.named_buffers(recurse=False):
        if key not in module._non_persistent_buffers_set:
            yield key, buffer


def _put(name: str, ours: Tensor, value: Tensor) -> None:
    if ours.shape != value.shape:
        raise MappingError(
            f"the layer {name} is {tuple(value.shape)} in the teacher as mapped, {tuple(ours.shape)} in the student: "
            "set the student's net_arch and encoder to the teacher's"
        )
    ours.copy_(value)


def _shape(network: BasePolicy) -> tuple[str, str, str]:
    """Hidden sizes, activation and encoder, in words."""
    arch = getattr(network, "net_arch", None)
    if isinstance(arch, list):
        arch = {"pi": arch, "vf": arch} if isinstance(network, ActorCriticPolicy) else arch
    activation = getattr(getattr(network, "activation_fn", None), "__name__", "")
    normalised = "" if normaliser(network) is None else " with a normaliser"
    encoder = encoders(network)[0]
    while isinstance(encoder, MappedEncoder):
        encoder = encoder.inner
    return str(arch), activation, type(encoder).__name__ + normalised


def _differ(teacher: BasePolicy, student: BasePolicy) -> MappingError:
    theirs, ours = ", ".join(_shape(teacher)), ", ".join(_shape(student))
    return MappingError(
        f"the teacher's network is {theirs}, the student's {ours}: "
        "set net_arch, activation, encoder and normalise_observations to the teacher's"
    )
