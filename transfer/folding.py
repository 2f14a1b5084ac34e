"""Folding a mapping into a network: the student starts as teacher∘mapping, to float tolerance, on every observation.

Selecting, permuting and filling features is linear, so it goes into the first layers: W' = W·A, and what stands for a
missing feature goes into the bias. Selecting, sharing and adding actions is affine in logits and action values, so it
goes into the rows of the last layer. Everything between is copied.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.dqn.policies import DQNPolicy
from torch import Tensor, nn

from agents.encoders import Normaliser
from agents.networks import action_head, first_linears, normaliser, value_head
from envs.errors import MappingError

if TYPE_CHECKING:
    from transfer.mapping import Mapping


def means(network: BasePolicy) -> Tensor | None:
    """The means (n_source,) by which a policy normalises its observations, or None if it does not."""
    found = normaliser(network)
    return None if found is None else found.mean.detach().clone()


@torch.no_grad()
def fold(
    mapping: "Mapping", teacher: BasePolicy, student: BasePolicy, *, heads: bool = True, value_scale: float = 1.0
) -> None:
    """Copy the teacher into the student through the mapping; see `Mapping.fold`."""
    _check_kinds(teacher, student)
    if not isinstance(teacher, ActorCriticPolicy | DQNPolicy):
        _copy(mapping, teacher, student, heads)
        return
    plan = _Plan.of(mapping, teacher, heads, value_scale)
    for name, theirs, ours in _pairs(teacher, student):
        if isinstance(theirs, Normaliser) and isinstance(ours, Normaliser):
            _statistics(mapping, theirs, ours)
        elif isinstance(theirs, nn.Linear) and isinstance(ours, nn.Linear):
            plan.linear(name, theirs, ours)
        else:
            plan.rest(name, theirs, ours)
    if isinstance(student, DQNPolicy):
        student.q_net_target.load_state_dict(student.q_net.state_dict())


@dataclass(frozen=True)
class _Plan:
    """Which of a network's layers are mapped, and how."""

    mapping: "Mapping"
    first: frozenset[int]
    actor: nn.Module
    critic: nn.Module | None
    normaliser: Normaliser | None
    heads: bool
    value_scale: float

    @classmethod
    def of(cls, mapping: "Mapping", teacher: BasePolicy, heads: bool, value_scale: float) -> "_Plan":
        first = frozenset(map(id, first_linears(teacher))) if mapping.features is not None else frozenset()
        critic = value_head(teacher)
        return cls(mapping, first, action_head(teacher), critic, normaliser(teacher), heads, value_scale)

    def linear(self, name: str, theirs: nn.Linear, ours: nn.Linear) -> None:
        """One layer: its columns if it reads the observation, its rows if it is a head."""
        if theirs in (self.actor, self.critic) and not self.heads:
            return
        weight: Tensor = theirs.weight
        bias: Tensor = theirs.bias
        if id(theirs) in self.first:
            weight, bias = self._columns(weight, bias)
        if theirs is self.actor:
            weight, bias = self._rows(weight, bias)
        if theirs is self.critic:
            weight, bias = weight * self.value_scale, bias * self.value_scale
        _put(f"{name}.weight", ours.weight, weight)
        _put(f"{name}.bias", ours.bias, bias)

    def rest(self, name: str, theirs: nn.Module, ours: nn.Module) -> None:
        """Tensors outside linear layers: all as they are, a policy's own standard deviations by dimension."""
        own = dict(_tensors(ours))
        for key, value in _tensors(theirs):
            if key == "log_std" and not name:
                if self.heads:
                    _put(key, own[key], self._dimensions(value))
                continue
            _put(f"{name}.{key}", own[key], value)

    def _columns(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """W·A and b + W·(what stands for the missing features, as the layer sees it)."""
        columns, missing = self.mapping.features or (), list(self.mapping.missing)
        mapped = weight.new_zeros(weight.shape[0], len(columns))
        for i, j in enumerate(columns):
            if j is not None:
                mapped[:, i] = weight[:, j]
        known = self.normaliser
        fill = self.mapping.filling(None if known is None else known.mean).to(weight)
        seen = fill if known is None else known(fill[None])[0]
        return mapped, bias + weight[:, missing] @ seen[missing]

    def _rows(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """The action head's rows for the target's actions."""
        if self.mapping.actions is None:
            return weight, bias
        if self.mapping.continuous:
            return self._dimensions(weight.T).T, self._dimensions(bias)
        logits = self.critic is not None
        return (
            self.mapping.rows(weight, shift=logits, bias=False),
            self.mapping.rows(bias, shift=logits),
        )

    def _dimensions(self, value: Tensor) -> Tensor:
        if self.mapping.actions is None:
            return value
        return value[..., [i for i in self.mapping.actions if i is not None]]


def _statistics(mapping: "Mapping", theirs: Normaliser, ours: Normaliser) -> None:
    """Means, variances and counts by feature; a new feature starts with none seen."""
    if mapping.features is None:
        for key, value in _tensors(theirs):
            _put(key, dict(_tensors(ours))[key], value)
        return
    ours.mean.zero_()
    ours.var.fill_(1.0)
    ours.count.zero_()
    for i, j in enumerate(mapping.features):
        if j is not None:
            for key in ("mean", "var", "count"):
                getattr(ours, key)[i] = getattr(theirs, key)[j]


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
    """The modules of both networks, by name, without DQN's target network, which follows the other."""
    theirs, ours = dict(teacher.named_modules()), dict(student.named_modules())
    if theirs.keys() != ours.keys():
        raise _differ(teacher, student)
    for name, module in theirs.items():
        if name.partition(".")[0] != "q_net_target":
            yield name, module, ours[name]


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
    return str(arch), activation, network.features_extractor_class.__name__ + normalised


def _differ(teacher: BasePolicy, student: BasePolicy) -> MappingError:
    theirs, ours = ", ".join(_shape(teacher)), ", ".join(_shape(student))
    return MappingError(
        f"the teacher's network is {theirs}, the student's {ours}: "
        "set net_arch, activation, encoder and normalise_observations to the teacher's"
    )
