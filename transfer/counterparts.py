"""Which modules of a teacher's and a student's network are each other's, and what must be alike in both."""

import re
from collections.abc import Iterator

from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from torch import Tensor, nn

from agents.mapped import MappedEncoder
from agents.networks import encoders, normaliser
from envs.errors import MappingError
from transfer.layers import ACTION_CRITICS, KINDS


def check_kinds(teacher: BasePolicy, student: BasePolicy) -> None:
    """Raises MappingError unless both are networks of one kind, size and activation."""
    for kind in KINDS:
        if isinstance(teacher, kind) != isinstance(student, kind):
            raise MappingError(
                f"the teacher's network is a {type(teacher).__name__}, the student's a {type(student).__name__}: "
                "weights are carried between algorithms with the same kind of network"
            )
    if _shape(teacher) != _shape(student):
        raise differ(teacher, student)


def pairs(teacher: BasePolicy, student: BasePolicy) -> Iterator[tuple[str, nn.Module, nn.Module]]:
    """The modules of both networks, by name, without DQN's target network, which follows the other, and without a
    frozen input layer that only the student has."""
    theirs, ours = dict(teacher.named_modules()), dict(student.named_modules())
    if depth(student) > depth(teacher):
        ours = {
            _LAYER.sub(r"\1", name, count=1): module for name, module in ours.items() if not _added_layer(name, ours)
        }
    if theirs.keys() != ours.keys():
        raise differ(teacher, student)
    for name, module in theirs.items():
        if name.partition(".")[0] != "q_net_target":
            yield name, module, ours[name]


_LAYER = re.compile(r"(features_extractor)\.inner(?=\.|$)")


def _added_layer(name: str, modules: dict[str, nn.Module]) -> bool:
    """Whether a module of the student is its outermost mapped encoder, or the layer in it."""
    encoder, _, inside = name.partition("features_extractor.")
    outermost = name.endswith("features_extractor") and isinstance(modules[name], MappedEncoder)
    return outermost or (inside.partition(".")[0] == "layer" and f"{encoder}features_extractor.inner" in modules)


def tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """A module's own parameters and the buffers that a checkpoint would hold."""
    yield from module.named_parameters(recurse=False)
    for key, buffer in module.named_buffers(recurse=False):
        if key not in module._non_persistent_buffers_set:
            yield key, buffer


def put(name: str, ours: Tensor, value: Tensor) -> None:
    if ours.shape != value.shape:
        raise MappingError(
            f"the layer {name} is {tuple(value.shape)} in the teacher as mapped, {tuple(ours.shape)} in the student: "
            "set the student's net_arch and encoder to the teacher's"
        )
    ours.copy_(value)


def _shape(network: BasePolicy) -> tuple[str, ...]:
    """Hidden sizes, activation, encoder and critics of actions, in words."""
    arch = getattr(network, "net_arch", None)
    if isinstance(arch, list):
        arch = {"pi": arch, "vf": arch} if isinstance(network, ActorCriticPolicy) else arch
    activation = getattr(getattr(network, "activation_fn", None), "__name__", "")
    normalised = "" if normaliser(network) is None else " with a normaliser"
    encoder = encoders(network)[0]
    while isinstance(encoder, MappedEncoder):
        encoder = encoder.inner
    words = str(arch), activation, type(encoder).__name__ + normalised
    if not isinstance(network, ACTION_CRITICS):
        return words
    shared = " that share the actor's encoder" if network.share_features_extractor else ""
    return *words, f"{network.critic.n_critics} critics{shared}"


def differ(teacher: BasePolicy, student: BasePolicy) -> MappingError:
    theirs, ours = ", ".join(_shape(teacher)), ", ".join(_shape(student))
    critics = ", n_critics, share_features_extractor" if isinstance(teacher, ACTION_CRITICS) else ""
    return MappingError(
        f"the teacher's network is {theirs}, the student's {ours}: "
        f"set net_arch, activation, encoder{critics} and normalise_observations to the teacher's"
    )


def depth(policy: BasePolicy) -> int:
    """How many frozen input layers an encoder is behind."""
    encoder, found = encoders(policy)[0], 0
    while isinstance(encoder, MappedEncoder):
        encoder, found = encoder.inner, found + 1
    return found
