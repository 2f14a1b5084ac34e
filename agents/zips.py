"""Stable-Baselines3's zips, read without unpickling anything and written so that plain SB3 opens them.

A zip holds `data` (JSON in which objects are base64 pickles beside a few readable words on them) and `policy.pth` (the
weights). The weights are read with torch's `weights_only`; of `data` only what is plain JSON, or names a class of a
short list, is used. Pickles are never opened. Spaces come from the game that the caller names.
"""

import inspect
import io
import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from agents import files
from agents.algorithms import ALGORITHMS, SCHEDULES, build_learner
from agents.build import aliases, build_network, load_tensors, tensors_of
from agents.encoders import PlanesEncoder
from agents.generators import preserved
from agents.hyperparameters import complete, schedule
from agents.masking import MaskedActorCritic
from agents.networks import ACTIVATIONS, policy_kwargs
from agents.networks import architecture as architecture_of
from agents.policy import Policy
from envs.errors import CheckpointError, HeadstartError
from envs.masks import inner
from envs.task import Task
from envs.vector import interface, make_vec

MOST_BYTES = {"data": 2**28, "policy.pth": 2**32}
"""Of the members that are read, unpacked."""

READABLE = {
    *("net_arch", "activation_fn", "features_extractor_class", "features_extractor_kwargs"),
    *("share_features_extractor", "n_critics", "n_quantiles", "use_sde", "full_std", "use_expln"),
}
"""Policy arguments that are understood."""
WITHOUT_EFFECT = {"ortho_init", "log_std_init", "optimizer_class", "optimizer_kwargs", ":type:", ":serialized:"}
"""Policy arguments that decide how a network is made or trained, but not what its weights compute."""

EXTRACTORS = {
    "stable_baselines3.common.torch_layers.FlattenExtractor": "flat",
    "stable_baselines3.common.torch_layers.NatureCNN": "nature",
    "stable_baselines3.common.torch_layers.CombinedExtractor": "combined",
    "agents.encoders.FlatEncoder": "flat",
    "agents.encoders.PlanesEncoder": "planes",
    "agents.encoders.PlanesConvEncoder": "planes-conv",
    "agents.encoders.SymbolsEncoder": "symbols",
}
MASKABLE = ("ppo", "maskable-ppo", "sb3-ppo")
"""Algorithms whose policies sb3-contrib's MaskablePPO can have."""
SETTINGS = (
    *("learning_rate", "n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda", "clip_range", "clip_range_vf"),
    *("normalize_advantage", "ent_coef", "vf_coef", "max_grad_norm", "target_kl"),
)
"""Hyperparameters that it has, too."""
ACTOR_CRITIC = "stable_baselines3.common.policies"
ALGORITHM_OF_MODULE = {
    "stable_baselines3.dqn.policies": "dqn",
    "stable_baselines3.sac.policies": "sac",
    "sb3_contrib.qrdqn.policies": "qrdqn",
    "sb3_contrib.tqc.policies": "tqc",
    "sb3_contrib.crossq.policies": "crossq",
    "sb3_contrib.common.maskable.policies": "maskable-ppo",
}

HIDDEN = (
    ("pi", re.compile(r"(?:mlp_extractor\.policy_net|actor\.latent_pi|actor\.mu)\.(\d+)\.weight")),
    ("vf", re.compile(r"mlp_extractor\.value_net\.(\d+)\.weight")),
    ("qf", re.compile(r"critic\.(?:qf0|q_networks\.0)\.(\d+)\.weight")),
    ("q", re.compile(r"(?:q_net\.q_net|quantile_net\.quantile_net)\.(\d+)\.weight")),
)
"""Where each part of `net_arch` stands among the weights; layers are numbered in order."""
WITH_HEAD = re.compile(r"actor\.mu\.\d|critic\.|q_net\.|quantile_net\.")
"""Stacks whose last linear layer is their head, not a hidden one."""


def read_zip(path: str | Path, task: Task | None, architecture: Mapping[str, Any] | None = None) -> Policy:
    """The policy of a zip.

    Args:
        path: the zip.
        task: what it plays: its spaces are not readable in the zip.
        architecture: what the zip does not say in readable form, such as {"activation": "relu"}.

    Raises:
        CheckpointError: it is no such zip, or what is needed of it can only be had by running what it holds.
    """
    path = Path(path)
    data, weights = _contents(path)
    if task is None:
        raise CheckpointError(
            f"{path}: a Stable-Baselines3 zip does not say in readable form what it plays; name its game with --game"
        )
    algorithm = _algorithm(path, data)
    described = _described(path, data, weights, dict(architecture or {}))
    with preserved():
        venv = make_vec(task)
        known = interface(venv)
        venv.close()
    try:
        hyperparameters = _hyperparameters(algorithm, data, described)
        network = build_network(algorithm, architecture_of(hyperparameters), known)
    except HeadstartError as error:
        raise CheckpointError(f"{path} does not fit {task}: {error}") from error
    load_tensors(network, _without_aliases(path, weights, aliases(network)), f"{path} ({algorithm}, as {task})")
    provenance = {"zip": path.name, "stable_baselines3": _text(path, "_stable_baselines3_version")}
    return Policy(network, known, algorithm, architecture_of(hyperparameters), hyperparameters, task, provenance)


def write_zip(policy: Policy, path: str | Path, task: Task | None = None) -> None:
    """Write a zip that Stable-Baselines3's own class of the algorithm loads, such as `PPO.load`.

    Encoders that SB3 has itself need no Headstart to load; `planes`, `symbols` and a normaliser do. A PPO that plays
    legal moves becomes sb3-contrib's MaskablePPO of what is looked at, to be called with `action_masks`.

    Raises:
        CheckpointError: the policy does not know its task, and none is given; or SB3 has no class for its network.
    """
    if policy.architecture.get("progressive") is not None:
        raise CheckpointError("Stable-Baselines3 has no progressive networks: keep the policy's own folder instead")
    if isinstance(policy.network, MaskedActorCritic):
        _write(path, _maskable(policy))
        return
    task = task or policy.task
    if task is None:
        raise CheckpointError("a zip needs the game's spaces: the policy does not know its game; name it")
    own = {"ppo": "sb3-ppo", "dqn": "sb3-dqn"}.get(policy.algorithm, policy.algorithm)
    with preserved():
        venv: VecEnv = make_vec(task, n_envs=policy.hyperparameters.get("n_envs", 1))
        try:
            slots = {"n_envs": venv.num_envs}
            small = {"buffer_size": 1} if "buffer_size" in policy.hyperparameters else {}
            learner = build_learner(own, venv, {**policy.hyperparameters, **slots, **small}, seed=0)
            load_tensors(learner.policy, tensors_of(policy.network), "the policy")
            learner.policy.set_training_mode(False)
            for name, size in small.items():
                setattr(learner, name, policy.hyperparameters.get(name, size))
            _write(path, learner)
        finally:
            venv.close()


def _write(path: str | Path, learner: BaseAlgorithm) -> None:
    packed = io.BytesIO()  # a zip on a full disk could not be closed
    learner.save(packed)
    with files.file_beside(Path(path)) as beside:
        beside.write_bytes(packed.getvalue())


def _maskable(policy: Policy) -> BaseAlgorithm:
    """sb3-contrib's learner with a policy's network. Raises CheckpointError where it has no such network."""
    if type(policy.network) is not MaskedActorCritic or policy.algorithm not in MASKABLE:
        raise CheckpointError(
            f"sb3-contrib plays legal moves with MaskablePPO alone, and this policy is one of {policy.algorithm}: keep "
            "the policy's own folder instead"
        )
    from sb3_contrib import MaskablePPO
    from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy

    network, space = policy.network, inner(policy.network.observation_space)
    kwargs = policy_kwargs(policy.architecture, space)
    encoder = network.features_extractor
    if type(encoder) is PlanesEncoder and encoder.normaliser is None and encoder.planes.all_binary:
        kwargs |= {"features_extractor_class": FlattenExtractor, "features_extractor_kwargs": {}}  # the same numbers
    known = inspect.signature(MaskableActorCriticPolicy).parameters
    settings = {key: policy.hyperparameters[key] for key in SETTINGS if key in policy.hyperparameters}
    schedules = {key: schedule(settings[key]) for key in SCHEDULES if settings.get(key) is not None}
    learner: Any = MaskablePPO(
        "MlpPolicy",
        None,  # type: ignore[arg-type]
        policy_kwargs={key: value for key, value in kwargs.items() if key in known},
        device="cpu",
        _init_setup_model=False,
        **(settings | schedules),
    )
    learner.observation_space, learner.action_space = space, network.action_space
    learner.n_envs = policy.hyperparameters.get("n_envs", 1)
    with preserved():
        learner._setup_model()
    load_tensors(learner.policy, tensors_of(network), "the policy")
    learner.policy.set_training_mode(False)
    return learner  # type: ignore[no-any-return]


def _contents(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The document and the weights of a zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member, most in MOST_BYTES.items():
                if archive.getinfo(member).file_size > most:
                    raise CheckpointError(f"{path}: its {member} is larger than {most:,} bytes; this is no policy")
            document, packed = (archive.read(member) for member in MOST_BYTES)
    except (OSError, zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError) as error:
        raise CheckpointError(f"{path} is not a Stable-Baselines3 zip: {_one_line(error)}") from error
    try:
        data = json.loads(document)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a pickle of another protocol may not be read: an error says so
            weights = torch.load(io.BytesIO(packed), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: policy.pth holds more than weights, and opening it could run code; refused"
        ) from error
    except (ValueError, RecursionError, RuntimeError, EOFError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged: {_one_line(error)}") from error
    tensors = isinstance(weights, dict) and all(isinstance(value, Tensor) for value in weights.values())
    if not isinstance(data, dict) or not tensors:
        raise CheckpointError(f"{path} is not a Stable-Baselines3 zip: expected a document and named weights")
    return data, dict(weights)


def _algorithm(path: Path, data: Mapping[str, Any]) -> str:
    """From the module of the policy's class, and from which keys there are."""
    about = data.get("policy_class")
    module = about.get("__module__") if isinstance(about, dict) else None
    if module == ACTOR_CRITIC:
        if "clip_range" in data:
            return "ppo"
        return "trpo" if "cg_max_steps" in data else "a2c"
    if module == "stable_baselines3.td3.policies":
        smoothed = data.get("policy_delay") != 1 or data.get("target_noise_clip") != 0.0
        return "td3" if smoothed else "ddpg"
    if module in ALGORITHM_OF_MODULE:
        return ALGORITHM_OF_MODULE[module]
    known = ", ".join(sorted({ACTOR_CRITIC, "stable_baselines3.td3.policies", *ALGORITHM_OF_MODULE}))
    raise CheckpointError(f"{path}: its policy is of the module {module!r}, which is not read; expected one of {known}")


def _described(
    path: Path, data: Mapping[str, Any], weights: Mapping[str, Tensor], given: dict[str, Any]
) -> dict[str, Any]:
    """The architecture in Headstart's words: what was given, then what the zip says, then what its weights show."""
    said = data.get("policy_kwargs", {})
    if not isinstance(said, dict):
        raise CheckpointError(f"{path}: its policy_kwargs are not readable; train the policy again with Headstart")
    extras = said.get("features_extractor_kwargs") or {}
    unknown = sorted(said.keys() - READABLE - WITHOUT_EFFECT)
    if extras not in ({}, {"normalise": True}):
        unknown.append("features_extractor_kwargs")
    if unknown:
        raise CheckpointError(f"{path}: its policy was made with {', '.join(unknown)}, which cannot be read safely")
    found: dict[str, Any] = {"net_arch": net_arch_of(weights), "normalise_observations": bool(extras)}
    found |= {key: said[key] for key in READABLE & said.keys() if isinstance(said[key], bool | int)}
    if data.get("use_sde") is True:
        found["use_sde"] = True
    if "activation_fn" in said and "activation" not in given:
        found["activation"] = _named(path, said["activation_fn"], _activations(), "activation")
    if "encoder" not in given:
        found["encoder"] = _encoder(path, said, weights)
    if said.get("net_arch") is not None:
        _check_net_arch(path, said["net_arch"], found["net_arch"])
    return found | given


def _encoder(path: Path, said: Mapping[str, Any], weights: Mapping[str, Tensor]) -> str:
    """The class that the zip names; SB3's default for its policy's name shows in the names of the weights."""
    shown = "flat"
    if any("features_extractor.cnn." in name for name in weights):
        shown = "nature"
    if any("features_extractor.extractors." in name for name in weights):
        shown = "combined"
    if "features_extractor_class" not in said:
        return shown
    return _named(path, said["features_extractor_class"], _extractors(), "encoder")


def _named(path: Path, text: Any, allowed: Mapping[str, str], flag: str) -> str:
    """The name that stands for a class written as ``<class 'module.Name'>``."""
    found = allowed.get(text) if isinstance(text, str) else None
    if found is None:
        raise CheckpointError(
            f"{path}: its {flag} is {text}, which is none of {', '.join(sorted(set(allowed.values())))}; if one of "
            f"these computes the same, give load_policy architecture={{{flag!r}: NAME}}"
        )
    return found


def _activations() -> dict[str, str]:
    return {str(found): name for name, found in ACTIVATIONS.items()}


def _extractors() -> dict[str, str]:
    return {f"<class '{name}'>": ours for name, ours in EXTRACTORS.items()}


def net_arch_of(weights: Mapping[str, Tensor]) -> Any:
    """`net_arch` as the shapes of the weights show it: a list where all parts agree or there is one, else by part."""
    parts: dict[str, list[int]] = {}
    for part, pattern in HIDDEN:
        layers = [(int(match[1]), name) for name in weights if (match := pattern.fullmatch(name))]
        linear = [(number, name) for number, name in sorted(layers) if weights[name].ndim == 2]
        hidden = linear[:-1] if linear and WITH_HEAD.match(linear[-1][1]) else linear
        if linear or part in ("pi", "vf"):
            parts[part] = [int(weights[name].shape[0]) for _, name in hidden]
    if "q" in parts:
        return parts["q"]
    if "qf" in parts:
        parts.pop("vf")
    return parts


def _check_net_arch(path: Path, said: Any, shown: Any) -> None:
    """What a zip says of its layers must be what its weights show."""
    if isinstance(said, list) and len(said) == 1 and isinstance(said[0], dict):  # of SB3 before 1.8
        said = said[0]
    if isinstance(shown, dict) and isinstance(said, list):
        said = dict.fromkeys(shown, said)
    if said != shown:
        raise CheckpointError(f"{path}: it says net_arch is {said}, but its weights show {shown}; refused")


def _hyperparameters(algorithm: str, data: Mapping[str, Any], described: Mapping[str, Any]) -> dict[str, Any]:
    """The complete hyperparameters: plain numbers of the zip where they make sense, defaults elsewhere."""
    found = ALGORITHMS.load(algorithm)
    values = complete(algorithm, found, {})
    for key in values.keys() & data.keys():
        if isinstance(data[key], bool | int | float | str):
            try:
                complete(algorithm, found, {key: data[key]} | _partners(key, data))
            except HeadstartError:
                continue
            values[key] = data[key]
    known = values.keys() & described.keys()
    return complete(algorithm, found, values | {key: described[key] for key in known})


def _partners(key: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes of a rollout only make sense together."""
    together = ("n_envs", "n_steps", "batch_size")
    return {other: data[other] for other in together if key in together and other in data}


def _without_aliases(path: Path, weights: Mapping[str, Tensor], first: Mapping[str, str]) -> dict[str, Tensor]:
    """Each weight once; twins that the network shares must be equal."""
    kept = {name: tensor for name, tensor in weights.items() if first.get(name, name) == name}
    for name in weights.keys() - kept.keys():
        twin = kept.setdefault(first[name], weights[name])
        if twin.shape != weights[name].shape or not torch.equal(twin, weights[name]):
            raise CheckpointError(f"{path}: {name} and {first[name]} differ, but its policy shares them; refused")
    return kept


def _text(path: Path, member: str) -> str | None:
    with zipfile.ZipFile(path) as archive:
        return archive.read(member)[:40].decode("utf-8", "replace").strip() if member in archive.namelist() else None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
