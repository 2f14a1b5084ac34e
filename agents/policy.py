"""A trained policy as data: a network, what it plays and where it came from; saved and loaded without pickle.

    <folder>/policy.safetensors   weights, the normaliser's buffers included
    <folder>/policy.json          spaces, architecture, algorithm, hyperparameters, task, provenance
    <folder>/optimiser.safetensors  what the learner kept besides, where it is the last policy of a training

Loading one executes nothing that the folder says: the network is built from names that Headstart knows, and the
tensors must be exactly the ones it has.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from gymnasium import spaces
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.distributions import CategoricalDistribution
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from torch import Tensor

from agents import files
from agents.build import build_network, load_tensors, refuse_foreign_code, tensors_of
from agents.config import Mode
from agents.generators import drawing_from
from agents.masking import MaskedActorCritic, features_of, insist_on_a_move, masked, masks_of
from agents.networks import architecture as architecture_of
from agents.outputs import Observations, Outputs, policy_outputs
from envs.errors import CheckpointError, HeadstartError
from envs.interface import Interface
from envs.observations import each
from envs.task import Task

if TYPE_CHECKING:
    from agents.compiled.learner import CompiledPPO
    from agents.compiled.q_learner import CompiledDQN

FORMAT = "headstart-policy"
VERSION = 1
"""Of the format; raised when a reader of the older one would misunderstand a file."""


@dataclass
class Policy:
    """A network that plays, with all that is needed to build it again."""

    network: BasePolicy
    """Stable-Baselines3's policy; a training's own where the policy is `of` a learner."""
    interface: Interface
    """Of the game, as its environments give and take it."""
    algorithm: str
    """The name of the algorithm that trained it."""
    architecture: dict[str, Any]
    """What `agents.networks.architecture` says of the hyperparameters."""
    hyperparameters: dict[str, Any]
    """The algorithm's, complete."""
    task: Task | None = None
    """What it was trained on, if known."""
    provenance: dict[str, Any] = field(default_factory=dict)
    """Where and when it was trained: versions, steps, seed."""
    learning: dict[str, Tensor] = field(default_factory=dict, repr=False)
    """What its learner kept besides, as `agents.optimising.learning_state` says; empty if that is not known."""

    @classmethod
    def of(
        cls,
        learner: BaseAlgorithm,
        task: Task | None,
        interface: Interface,
        algorithm: str,
        hyperparameters: Mapping[str, Any],
        provenance: Mapping[str, Any] | None = None,
    ) -> Self:
        """The policy of a learner, sharing its network."""
        hyperparameters = dict(hyperparameters)
        return cls(
            learner.policy,
            interface,
            algorithm,
            architecture_of(hyperparameters),
            hyperparameters,
            task,
            dict(provenance or {}),
        )

    def __post_init__(self) -> None:
        if isinstance(self.network, MaskedActorCritic) and self.task is not None:
            self.network.game = self.task.game

    def act(
        self,
        observations: np.ndarray | dict[str, np.ndarray],
        *,
        mode: Mode,
        generator: torch.Generator | None = None,
    ) -> np.ndarray:
        """Actions for a batch of B observations as environments give them, ready for `env.step`: (B, ...).

        Continuous actions are clipped to the space's bounds, or scaled to them if the policy squashes. Policies that
        know no chance, such as DQN's, are greedy in both modes. Draws come from the generator, or from torch's
        global one. Raises GameError where observations say which actions are legal, and none is.
        """
        if self.network.training:
            self.network.set_training_mode(False)
        with torch.inference_mode(), drawing_from(generator):
            actions = _choose(self.network, self.seen(observations), greedy=mode == "greedy").cpu().numpy()
        space = self.network.action_space
        actions = actions.reshape(-1, *(space.shape or ()))
        if isinstance(space, spaces.Box):
            if self.network.squash_output:
                return np.asarray(self.network.unscale_action(actions))
            return np.asarray(np.clip(actions, space.low, space.high))
        return actions

    def player(
        self, *, mode: Mode, generator: torch.Generator | None = None
    ) -> Callable[[np.ndarray | dict[str, np.ndarray]], np.ndarray]:
        """`act` for many batches, as long as the weights do not change: in compiled code where that knows the network.

        It draws what `act` draws.
        """
        compiled = self._compiled()
        if compiled is None:
            return partial(self.act, mode=mode, generator=generator)
        compiled.load()
        greedy = mode == "greedy"
        return lambda observations: compiled.choose(each(np.asarray, observations), greedy=greedy, generator=generator)

    def reader(self) -> Callable[[Observations], Outputs]:
        """`outputs` for many batches, as long as the weights do not change: in compiled code where that knows the
        network."""
        compiled = self._compiled()
        if compiled is None:
            return self.outputs
        compiled.load()
        return lambda observations: compiled.outputs(each(np.asarray, observations))

    def _compiled(self) -> "CompiledPPO | CompiledDQN | None":
        from agents.compiled import compiled_dqn, compiled_ppo

        return compiled_ppo(self.network) or compiled_dqn(self.network)

    @torch.no_grad()
    def outputs(self, observations: Observations) -> Outputs:
        """The heads, without gradient, on a batch as environments give it or as a buffer holds it."""
        if self.network.training:
            self.network.set_training_mode(False)
        return policy_outputs(self.network, self.seen(observations))

    def seen(self, observations: Any) -> Any:
        """Observations as the network takes them: tensors on its device, images with their channels first."""
        space = self.network.observation_space
        if isinstance(space, spaces.Dict):
            return {key: self._tensor(observations[key], part) for key, part in space.spaces.items()}
        return self._tensor(observations, space)

    def _tensor(self, observations: Any, space: spaces.Space[Any]) -> Tensor:
        batch = torch.as_tensor(observations, device=self.network.device)
        if batch.ndim == 4 and batch.shape[1:] != space.shape:
            batch = batch.permute(0, 3, 1, 2)
        return batch

    def save(self, folder: Path) -> None:
        """Write the folder, or replace it, in one step."""
        with files.folder_beside(Path(folder)) as beside:
            tensors = {name: tensor.contiguous().clone() for name, tensor in tensors_of(self.network).items()}
            (beside / "policy.safetensors").write_bytes(save(tensors))  # a full disk is an OSError then
            if self.learning:
                (beside / "optimiser.safetensors").write_bytes(save(self.learning))
            (beside / "policy.json").write_text(json.dumps(self._document(), indent=1), encoding="utf-8")

    def digest(self) -> str:
        """16 hexadecimal digits: a hash of the weights and of all that is said of them, their provenance left out."""
        said = {name: value for name, value in self._document().items() if name != "provenance"}
        digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
        for kind, tensors in (("policy", tensors_of(self.network)), ("optimiser", self.learning)):
            for name, tensor in sorted(tensors.items()):
                digest.update(f"{kind} {name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]

    def _document(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": VERSION,
            "algorithm": self.algorithm,
            "architecture": self.architecture,
            "hyperparameters": self.hyperparameters,
            "task": None if self.task is None else self.task.model_dump(mode="json"),
            "interface": self.interface.to_json(),
            "provenance": self.provenance,
        }


def load_policy(path: str | Path, *, task: Task | None = None, architecture: Mapping[str, Any] | None = None) -> Policy:
    """Read a policy folder, a run folder or a Stable-Baselines3 zip.

    Args:
        path: the folder or zip.
        task: what a zip plays; a folder knows.
        architecture: what a zip does not say in readable form, such as {"activation": "relu"}; of a folder, the
            encoder of the form `module:Class` that it may import.

    Raises:
        CheckpointError: there is no such thing, or it cannot, or must not, be read.
    """
    path = Path(path)
    if path.is_file():
        from agents.zips import read_zip

        return read_zip(path, task, architecture)
    if (path / "policy.json").is_file():
        return _load_folder(path, architecture or {})
    if not (path / "config.json").is_file():
        expected = "a run folder, a policy folder or a Stable-Baselines3 zip"
        found = "a folder without policy.json" if path.is_dir() else "nothing"
        raise CheckpointError(f"{path}: found {found}, expected {expected}")
    if not (path / "DONE").exists():
        what = "failed" if (path / "FAILED").exists() else "is unfinished"
        raise CheckpointError(
            f"run {path.name} {what} and has no final policy: train it to the end, or name a folder of its snapshots"
        )
    return _load_folder(path / "policy", architecture or {})


def _load_folder(folder: Path, allowed: Mapping[str, Any]) -> Policy:
    described = folder / "policy.json"
    document = _read_document(described)
    try:
        interface = Interface.from_json(document["interface"])
        task = None if document["task"] is None else Task.model_validate(document["task"])
        algorithm, architecture = document["algorithm"], dict(document["architecture"])
        hyperparameters, provenance = dict(document["hyperparameters"]), dict(document["provenance"])
        refuse_foreign_code(architecture, allowed)
        network = build_network(algorithm, architecture, interface)
    except HeadstartError as error:
        raise CheckpointError(f"{described}: {error}") from error
    except ValidationError as error:
        raise CheckpointError(f"{described} names no task: {error.errors()[0]['msg']}") from error
    except KeyError as error:
        raise CheckpointError(f"{described} has no entry {error}: expected what Policy.save writes") from error
    except (TypeError, ValueError, AttributeError, AssertionError, RuntimeError, OverflowError, MemoryError) as error:
        raise CheckpointError(f"{described} describes no network that can be built: {_one_line(error)}") from error
    file, beside = folder / "policy.safetensors", folder / "optimiser.safetensors"
    load_tensors(network, _tensors(file), str(file))
    learning = _tensors(beside) if beside.exists() else {}
    return Policy(network, interface, algorithm, architecture, hyperparameters, task, provenance, learning)


def _tensors(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{file} is not a whole safetensors file: {_one_line(error)}; train or copy the policy again"
        ) from error


def _read_document(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{file} is not JSON: {_one_line(error)}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise CheckpointError(f'{file} is not a policy of Headstart: expected "format": "{FORMAT}"')
    if document.get("version") != VERSION:
        raise CheckpointError(
            f"{file} has version {document.get('version')!r} of the format; this Headstart reads version {VERSION}"
        )
    return document


def _choose(network: BasePolicy, observations: Any, *, greedy: bool) -> Tensor:
    """The network's actions, before any scaling."""
    if isinstance(network, ActorCriticPolicy) and type(network.action_dist) is CategoricalDistribution:
        logits = _logits(network, observations)
        if greedy:
            return logits.argmax(dim=1)
        return torch.multinomial(torch.softmax(logits, dim=-1), 1).squeeze(1)
    if isinstance(network, ActorCriticPolicy) and network.use_sde and not greedy:
        # The noise matrix belongs to the training: draw from the same Gaussian without it.
        distribution: Any = network.get_distribution(observations)
        actions: Tensor = distribution.distribution.sample()
        return actions if distribution.bijector is None else distribution.bijector.forward(actions)
    return network._predict(observations, deterministic=greedy)


def _logits(network: ActorCriticPolicy, observations: Any) -> Tensor:
    """Logits (B, n) of an actor-critic with discrete actions, without its critic and SB3's distribution objects."""
    masks = masks_of(network, observations)
    if isinstance(network, MaskedActorCritic):
        insist_on_a_move(masks, network.game)
    features = features_of(network, observations, network.pi_features_extractor)
    return masked(network.action_net(network.mlp_extractor.forward_actor(features)), masks)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
