"""A policy network from its description and its tensors alone."""

import sys
from collections.abc import Collection, Mapping
from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from stable_baselines3.common.vec_env import VecTransposeImage
from torch import Tensor

from agents.algorithms import build_policy
from agents.generators import preserved
from envs.errors import CheckpointError
from envs.interface import Interface


def build_network(algorithm: str, architecture: Mapping[str, Any], interface: Interface) -> BasePolicy:
    """The network that a learner of this algorithm would build, with arbitrary weights, in evaluation mode.

    Draws from no global generator. Raises UnknownName, MissingExtra or ConfigError.
    """
    with preserved():
        space = seen_space(interface.observation_space)
        network = build_policy(algorithm, dict(architecture), space, interface.action_space)
    network.set_training_mode(False)
    return network


def seen_space(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """The observation space as Stable-Baselines3's networks see it: pictures with their channels first."""
    if isinstance(space, spaces.Dict):
        return spaces.Dict({key: seen_space(part) for key, part in space.spaces.items()})
    if isinstance(space, spaces.Box) and is_image_space(space) and not is_image_space_channels_first(space):
        return VecTransposeImage.transpose_space(space)
    return space


def refuse_foreign_code(architecture: Mapping[str, Any], allowed: Mapping[str, Any]) -> None:
    """A checkpoint must not choose which module is imported: its caller may.

    Raises CheckpointError for a `module:Class` encoder whose module is neither imported nor allowed by name.
    """
    earlier = architecture.get("progressive")
    if earlier is not None:
        refuse_foreign_code(earlier["column"]["architecture"], allowed)
    encoder = architecture.get("encoder")
    if not isinstance(encoder, str) or ":" not in encoder or encoder == allowed.get("encoder"):
        return
    module = encoder.partition(":")[0]
    if module not in sys.modules:
        raise CheckpointError(
            f"it names the encoder {encoder!r}, whose module a checkpoint may not have imported: import {module} "
            f"first, or give architecture={{'encoder': {encoder!r}}}"
        )


def tensors_of(network: BasePolicy) -> dict[str, Tensor]:
    """Every parameter and buffer once, under its first name; they share the network's memory."""
    first = aliases(network)
    return {name: tensor for name, tensor in network.state_dict().items() if first[name] == name}


def aliases(network: BasePolicy) -> dict[str, str]:
    """Every name in a network's state → the first name of the same memory."""
    first: dict[tuple[int, torch.Size], str] = {}
    found = {}
    for name, tensor in network.state_dict().items():
        found[name] = first.setdefault((tensor.data_ptr(), tensor.shape), name) if tensor.numel() else name
    return found


def load_tensors(network: BasePolicy, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy tensors into a network that must have exactly these. Raises CheckpointError, naming what differs."""
    own = tensors_of(network)
    missing, unexpected = own.keys() - tensors.keys(), tensors.keys() - own.keys()
    if missing or unexpected:
        parts = [f"{what} {_some(names)}" for what, names in (("misses", missing), ("adds", unexpected)) if names]
        raise CheckpointError(f"{where} does not fit its architecture and game: it {' and '.join(parts)}")
    for name, tensor in own.items():
        found = tensors[name]
        if found.shape != tensor.shape or found.dtype != tensor.dtype:
            raise CheckpointError(
                f"{where} does not fit its architecture and game: {name} is {_shape(found)}, expected {_shape(tensor)}"
            )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def _shape(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def _some(names: Collection[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:3]) + (f" and {len(shown) - 3} more" if len(shown) > 3 else "")
