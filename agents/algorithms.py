"""Algorithms by name, their hyperparameters made complete, and learners built from both."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise, VectorizedActionNoise
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from agents.config import Mode
from agents.generators import derived_seed, preserved
from agents.hyperparameters import complete, parameters, schedule
from agents.masking import masked_class
from agents.networks import ARCHITECTURE, POLICY_ARGUMENTS, architecture, policy_kwargs
from agents.presets import preset
from agents.progressive import policy_class, progressive_kwargs
from envs.errors import ConfigError
from envs.masks import inner, is_masked
from envs.registry import Registry
from envs.task import Task

ALGORITHMS = Registry(
    "algorithm",
    {
        "ppo": "agents.ppo:PPO",
        "dqn": "agents.dqn:DQN",
        "maskable-ppo": "agents.maskable:MaskablePPO",
        "sb3-ppo": "stable_baselines3:PPO",
        "sb3-dqn": "stable_baselines3:DQN",
        "a2c": "stable_baselines3:A2C",
        "sac": "stable_baselines3:SAC",
        "td3": "stable_baselines3:TD3",
        "ddpg": "stable_baselines3:DDPG",
        "trpo": "sb3_contrib:TRPO",
        "qrdqn": "sb3_contrib:QRDQN",
        "tqc": "sb3_contrib:TQC",
        "ars": "sb3_contrib:ARS",
        "crossq": "sb3_contrib:CrossQ",
    },
    group="headstart.algorithms",
)

ANY_SPACE = ("Box", "Discrete", "MultiDiscrete", "MultiBinary")
ACTION_SPACES = {
    **dict.fromkeys(("ppo", "sb3-ppo", "a2c", "trpo"), ANY_SPACE),
    **dict.fromkeys(("dqn", "sb3-dqn", "qrdqn", "maskable-ppo"), ("Discrete",)),
    **dict.fromkeys(("sac", "td3", "ddpg", "tqc", "crossq"), ("Box",)),
    "ars": ("Box", "Discrete"),
}
"""The action spaces that each algorithm can act in; a plug-in's own constructor checks its."""

NOT_THE_CONSTRUCTORS = {
    *("n_envs", "noise_type", "noise_std", "normalise_rewards"),
    *ARCHITECTURE,
    *POLICY_ARGUMENTS,
}
BUILT = ("progressive",)
"""Parts of an architecture that methods build, and no user's hyperparameters name."""
SCHEDULES = ("learning_rate", "clip_range", "clip_range_vf", "delta_std")


def on_policy(name: str) -> bool:
    """Whether an algorithm learns from its own rollouts only. Raises UnknownName or MissingExtra."""
    return issubclass(ALGORITHMS.load(name), OnPolicyAlgorithm)


def default_mode(name: str) -> Mode:
    """How policies are evaluated unless said: sampled where learners act on their policy, else greedy."""
    return "sampled" if on_policy(name) else "greedy"


def resolve(task: Task, algorithm: str, overrides: dict[str, Any]) -> dict[str, Any]:
    """The complete hyperparameters of a run, as plain JSON: presets, then overrides, then constructor's defaults.

    Raises UnknownName, MissingExtra, or ConfigError for a key or value that makes no sense.
    """
    found = ALGORITHMS.load(algorithm)
    known = parameters(found)
    tuned = {key: value for key, value in preset(algorithm, task).items() if key in known}
    return complete(algorithm, found, tuned | overrides)


def build_learner(
    name: str,
    venv: VecEnv,
    hyperparameters: dict[str, Any],
    *,
    seed: int,
    device: str = "cpu",
    tensorboard: Path | None = None,
) -> BaseAlgorithm:
    """The Stable-Baselines3 learner of a run, on its training environments.

    With `normalise_rewards` the environments are wrapped in SB3's VecNormalize. The learner's own seed is derived from
    the run's, as SB3 seeds environment i with seed + i: neighbouring runs would share environments.

    Raises ConfigError if the algorithm cannot act in the environments' action space, or a value makes no sense.
    """
    algorithm = ALGORITHMS.load(name)
    check_action_space(name, venv.action_space)
    given = dict(hyperparameters)
    built = {key: given.pop(key) for key in BUILT if key in given}
    values = complete(name, algorithm, given)
    if values["n_envs"] != venv.num_envs:
        raise ConfigError(f"n_envs: found {values['n_envs']}, but there are {venv.num_envs} environments")
    arguments = _constructor_arguments(values, venv)
    if values["normalise_rewards"]:
        venv = VecNormalize(venv, norm_obs=False, norm_reward=True, gamma=values.get("gamma", 0.99))
    learner: BaseAlgorithm = algorithm(
        _policy_class(name, algorithm, venv.observation_space, built),
        venv,
        policy_kwargs=_policy_arguments(name, algorithm, values | built, venv.observation_space),
        seed=learner_seed(seed),
        device=device,
        tensorboard_log=None if tensorboard is None else str(tensorboard),
        **arguments,
    )
    return learner


def build_policy(
    name: str,
    architecture: dict[str, Any],
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
) -> BasePolicy:
    """A fresh policy of an algorithm's class, without learner or environments: what a checkpoint's weights go into.

    Raises UnknownName, MissingExtra or ConfigError.
    """
    algorithm = ALGORITHMS.load(name)
    check_action_space(name, action_space)
    policy_class = _policy_class(name, algorithm, observation_space, architecture)
    arguments = _policy_arguments(name, algorithm, architecture, observation_space)
    if architecture.get("use_sde"):
        arguments["use_sde"] = True
    if name == "ars":
        policy: BasePolicy = policy_class(observation_space, action_space, **arguments)
    else:
        policy = policy_class(observation_space, action_space, lambda _: 0.0, **arguments)
    return policy


def learner_seed(seed: int) -> int:
    """SB3's seed for a run's seed: far from those of neighbouring runs."""
    return derived_seed(seed, 0, below=2**31)


def check_action_space(name: str, space: spaces.Space[Any]) -> None:
    """Raises ConfigError, naming the algorithms that do fit, if this one cannot act in the space."""
    kind = type(space).__name__
    expected = ACTION_SPACES.get(name)
    if expected is not None and kind not in expected:
        fitting = [other for other, kinds in ACTION_SPACES.items() if kind in kinds]
        which = f"these fit: {', '.join(fitting)}" if fitting else "no algorithm here can act in it"
        raise ConfigError(f"{name} acts in {' or '.join(expected)} spaces, found {space}: {which}")
    if isinstance(space, spaces.Box) and not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise ConfigError(f"the action space {space} has no finite bounds; give it some with a wrapper of the game")


def _policy_class(
    name: str, algorithm: type[BaseAlgorithm], space: spaces.Space[Any], architecture: dict[str, Any]
) -> type[BasePolicy]:
    """SB3's class of policies for a space, or the progressive one beside it, or the one that knows legal moves."""
    check_masks(name, algorithm, space)
    found = algorithm.policy_aliases[_policy_name(name, algorithm, inner(space))]
    found = found if architecture.get("progressive") is None else policy_class(found)
    return masked_class(found, space)


def check_masks(name: str, algorithm: type[BaseAlgorithm], space: spaces.Space[Any]) -> None:
    """Raises ConfigError if observations say which actions are legal and the algorithm would not listen."""
    if not is_masked(space) or issubclass(algorithm.policy_aliases["MlpPolicy"], ActorCriticPolicy):
        return
    raise ConfigError(
        f"{name} knows no legal moves, and the game's observations say which actions are legal: expected ppo, "
        "maskable-ppo, sb3-ppo, a2c or trpo"
    )


def _policy_name(name: str, algorithm: type[BaseAlgorithm], space: spaces.Space[Any]) -> str:
    wanted = "MultiInputPolicy" if isinstance(space, spaces.Dict) else "MlpPolicy"
    if wanted not in algorithm.policy_aliases:
        raise ConfigError(f"{name} cannot learn from observations that are a Dict; take ppo, dqn or sac")
    return wanted


def _policy_arguments(
    name: str, algorithm: type[BaseAlgorithm], values: dict[str, Any], space: spaces.Space[Any]
) -> dict[str, Any]:
    kwargs = policy_kwargs(architecture(values), space)
    if values.get("progressive") is not None:
        described = values["progressive"]
        kwargs = progressive_kwargs(kwargs, partial(_column, described["column"]), described)
    if name != "ars":
        return kwargs
    if values.get("normalise_observations") or values.get("encoder") not in (None, "auto", "flat"):
        raise ConfigError("ars: its policy takes flat observations as they are; leave encoder and normaliser alone")
    return {key: value for key, value in kwargs.items() if not key.startswith("features_extractor")}


def _column(described: dict[str, Any], space: spaces.Space[Any]) -> BasePolicy:
    """The network that a progressive one's earlier columns are; its head, which nobody reads, has two actions."""
    with preserved():
        return build_policy(described["algorithm"], described["architecture"], space, spaces.Discrete(2))


def _constructor_arguments(values: dict[str, Any], venv: VecEnv) -> dict[str, Any]:
    """The hyperparameters as SB3's constructors take them."""
    arguments = {key: value for key, value in values.items() if key not in NOT_THE_CONSTRUCTORS}
    for key in SCHEDULES:
        if arguments.get(key) is not None:
            arguments[key] = schedule(arguments[key])
    if isinstance(arguments.get("train_freq"), list):
        arguments["train_freq"] = tuple(arguments["train_freq"])
    if arguments.get("optimize_memory_usage"):
        arguments["replay_buffer_kwargs"] = {"handle_timeout_termination": False}
    if values.get("noise_type") is not None:
        arguments["action_noise"] = _noise(values["noise_type"], values["noise_std"], venv)
    return arguments


def _noise(kind: str, std: float, venv: VecEnv) -> Any:
    size = int(np.prod(venv.action_space.shape or (1,)))
    of_kind = {"normal": NormalActionNoise, "ornstein-uhlenbeck": OrnsteinUhlenbeckActionNoise}[kind]
    noise = of_kind(mean=np.zeros(size), sigma=std * np.ones(size))
    return noise if venv.num_envs == 1 else VectorizedActionNoise(noise, venv.num_envs)
