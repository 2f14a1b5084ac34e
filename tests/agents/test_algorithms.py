"""Algorithms: names, presets, hyperparameters and the learners built from them."""

import json
from typing import Any

import numpy as np
import pytest
import stable_baselines3 as sb3
import torch
from gymnasium import spaces
from stable_baselines3.common.noise import OrnsteinUhlenbeckActionNoise, VectorizedActionNoise
from stable_baselines3.common.vec_env import VecNormalize

from agents import presets
from agents.algorithms import (
    ACTION_SPACES,
    ALGORITHMS,
    build_learner,
    build_policy,
    learner_seed,
    on_policy,
    resolve,
)
from agents.encoders import Normaliser
from agents.hyperparameters import complete, parameters, schedule
from agents.networks import architecture
from agents.ppo import PPO
from envs.errors import ConfigError, HeadstartError, MissingExtra, UnknownName
from envs.task import Task
from tests.agents.toys import BOX, DISCRETE, moves, quiet, toys

CARTPOLE, PENDULUM = Task(game="CartPole-v1"), Task(game="Pendulum-v1")
NAMES = sorted(ACTION_SPACES)


def task_for(name: str) -> Task:
    return CARTPOLE if "Discrete" in ACTION_SPACES[name] else PENDULUM


def space_for(name: str) -> spaces.Space[Any]:
    return DISCRETE if "Discrete" in ACTION_SPACES[name] else BOX


def test_every_algorithm_says_what_it_acts_in() -> None:
    assert set(ALGORITHMS.names()) == set(ACTION_SPACES)


@pytest.mark.parametrize("name", NAMES)
def test_resolved_hyperparameters_are_complete_plain_json_and_build_a_learner(name: str) -> None:
    resolved = resolve(task_for(name), name, {})
    assert json.loads(json.dumps(resolved)) == resolved
    assert set(resolved) == set(parameters(ALGORITHMS.load(name)))
    assert resolve(task_for(name), name, resolved) == resolved
    small = {"buffer_size": 100} if "buffer_size" in resolved else {}
    n_envs = resolved["n_envs"]
    venv = moves(n_envs=n_envs) if name == "maskable-ppo" else toys(space_for(name), n_envs=n_envs)
    learner = build_learner(name, venv, resolved | small, seed=0)
    assert type(learner) is ALGORITHMS.load(name)
    policy = build_policy(name, architecture(resolved), learner.observation_space, learner.action_space)
    policy.load_state_dict(learner.policy.state_dict())


@pytest.mark.parametrize("name", ["ppo", "sb3-ppo", "a2c", "dqn", "sac", "td3", "ddpg"])
def test_explicit_defaults_build_what_sb3_builds(name: str) -> None:
    algorithm = ALGORITHMS.load(name)
    values = {key: default for key, (default, _) in parameters(algorithm).items()}
    values |= {"n_critics": 1} if name == "ddpg" else {}
    values |= {"n_steps": 64} if on_policy(name) else {"buffer_size": 100}
    ours = build_learner(name, toys(space_for(name), n_envs=1), values, seed=3)
    fewer = {key: values[key] for key in ("n_steps", "buffer_size") if key in values}
    theirs = algorithm("MlpPolicy", toys(space_for(name), n_envs=1), seed=learner_seed(3), device="cpu", **fewer)
    ignored = ("env", "policy", "action_noise", "_vec_normalize_env", "lr_schedule", "rollout_buffer", "replay_buffer")
    for key in parameters(algorithm).keys() & vars(ours).keys() - set(ignored):
        if isinstance(getattr(theirs, key), int | float | str | bool | None):
            assert getattr(ours, key) == getattr(theirs, key), key
    assert str(ours.policy) == str(theirs.policy)
    for (key, one), other in zip(ours.policy.state_dict().items(), theirs.policy.state_dict().values(), strict=True):
        assert torch.equal(one, other), key


def test_presets_go_from_default_to_family_to_game(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = {
        "ppo": {
            "default": {"source": "a", "n_steps": 1, "gamma": 0.1, "vf_coef": 0.1},
            "family": {"classic": {"source": "b", "gamma": 0.2, "vf_coef": 0.2}},
            "game": {"CartPole-v1": {"source": "c", "vf_coef": 0.3}},
        }
    }
    monkeypatch.setattr(presets, "_presets", lambda: tables)
    assert presets.preset("ppo", CARTPOLE) == {"n_steps": 1, "gamma": 0.2, "vf_coef": 0.3}
    assert presets.preset("sb3-ppo", CARTPOLE) == presets.preset("ppo", CARTPOLE)
    assert presets.preset("sac", CARTPOLE) == {}


def all_tables() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (name, where, table)
        for name, tables in presets._presets().items()
        for where, table in [
            ("default", tables.get("default", {})),
            *tables.get("family", {}).items(),
            *tables.get("game", {}).items(),
        ]
    ]


@pytest.mark.parametrize(
    ("name", "where", "table"), all_tables(), ids=lambda value: value if type(value) is str else ""
)
def test_every_preset_has_a_source_and_makes_sense(name: str, where: str, table: dict[str, Any]) -> None:
    assert table["source"]
    default = presets._presets()[name].get("default", {})
    values = {key: value for key, value in (default | table).items() if key != "source"}
    known = parameters(ALGORITHMS.load(name))
    assert set(values) <= set(known)
    resolve(Task(game="Pendulum-v1" if name == "crossq" else "CartPole-v1"), name, values)


def test_a_preset_of_zoo_is_what_zoo_says() -> None:
    pendulum = {"n_envs": 8, "n_steps": 8, "gae_lambda": 0.9, "gamma": 0.9, "vf_coef": 0.4, "learning_rate": "lin_7e-4"}
    values = pendulum | {"use_sde": True, "log_std_init": -2, "ortho_init": False}
    normalised = {"normalise_observations": True, "normalise_rewards": True}
    assert resolve(PENDULUM, "a2c", {}) == complete("a2c", ALGORITHMS.load("a2c"), values | normalised)
    acrobot = resolve(Task(game="Acrobot-v1"), "ppo", {})
    assert acrobot["normalise_observations"] is acrobot["normalise_rewards"] is True
    assert (acrobot["n_envs"], acrobot["n_steps"]) == (16, 256)


def test_overrides_win_over_presets() -> None:
    assert resolve(CARTPOLE, "ppo", {"gamma": 0.5})["gamma"] == 0.5


@pytest.mark.parametrize(
    ("name", "overrides", "words"),
    [
        ("ppo", {"n_step": 8}, "unknown hyperparameter of ppo 'n_step': did you mean 'n_steps'"),
        ("dqn", {"buffersize": 8}, "unknown hyperparameter of dqn 'buffersize': did you mean 'buffer_size'"),
        ("ppo", {"normalize_observations": True}, "did you mean 'normalise_observations'"),
        ("ppo", {"policy_kwargs": {}}, "unknown hyperparameter of ppo 'policy_kwargs'"),
        ("ppo", {"n_steps": "many"}, "n_steps: found 'many', expected a whole number"),
        ("ppo", {"n_steps": 2.5}, "n_steps: found 2.5, expected a whole number"),
        ("ppo", {"n_steps": True}, "n_steps: found True, expected a whole number"),
        ("ppo", {"gamma": "high"}, "gamma: found 'high', expected a number"),
        ("ppo", {"gamma": 1.5}, "gamma: found 1.5, expected a number from 0 to 1"),
        ("ppo", {"gamma": float("nan")}, "gamma: found nan, expected a number"),
        ("ppo", {"ent_coef": -1}, "ent_coef: found -1, expected 0 or more"),
        ("ppo", {"n_envs": 0}, "n_envs: found 0, expected 1 or more"),
        ("ppo", {"n_steps": None}, "n_steps: found None, expected a whole number"),
        ("ppo", {"learning_rate": "linear"}, "learning_rate: found 'linear', expected a number or a schedule such as"),
        ("ppo", {"normalize_advantage": 1}, "normalize_advantage: found 1, expected true or false"),
        (
            "ppo",
            {"batch_size": 100},
            "batch_size: found 100, expected a divisor of n_envs × n_steps = 32 × 64 = 2048, ",
        ),
        ("ppo", {"n_envs": 2}, "such as 32 or 64 or 128"),
        ("ppo", {"n_envs": 1, "n_steps": 1, "batch_size": 1}, "batch_size: found 1, expected 2 or more"),
        ("ppo", {"net_arch": "big"}, r"expected hidden sizes such as \[64, 64\] or {pi = \[64\], vf = \[64\]}"),
        ("dqn", {"net_arch": {"pi": [4], "vf": [4]}}, r"expected hidden sizes such as \[64, 64\]$"),
        ("td3", {"net_arch": {"pi": [4], "vf": [4]}}, r"{pi = \[64\], qf = \[64\]}"),
        ("ppo", {"net_arch": [0]}, "net_arch: found"),
        ("ppo", {"activation": "tan"}, "activation: found 'tan', expected one of tanh, relu"),
        ("ppo", {"encoder": 3}, "encoder: found 3, expected a text"),
        ("sac", {"ent_coef": "automatic"}, "ent_coef: found 'automatic', expected a number, 'auto' or"),
        ("dqn", {"train_freq": [4, "days"]}, "train_freq: found .* expected a whole number or such as"),
        ("td3", {"noise_type": "white"}, "noise_type: found 'white', expected one of normal, ornstein-uhlenbeck"),
        ("ppoo", {}, "unknown algorithm 'ppoo': did you mean 'ppo'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(name: str, overrides: dict[str, Any], words: str) -> None:
    with pytest.raises(HeadstartError, match=words) as error:
        resolve(CARTPOLE, name, overrides)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("ppo", {"learning_rate": "lin_0.1", "clip_range_vf": None, "target_kl": 0.1, "n_steps": 64.0}),
        ("ppo", {"net_arch": {"pi": [4], "vf": []}, "activation": "elu"}),
        ("sac", {"ent_coef": "auto_0.1", "net_arch": {"pi": [4], "qf": [5]}}),
        ("dqn", {"train_freq": [1, "episode"], "net_arch": []}),
        ("td3", {"noise_type": None}),
    ],
)
def test_what_makes_sense_is_kept(name: str, overrides: dict[str, Any]) -> None:
    resolved = resolve(CARTPOLE, name, overrides)
    assert {key: resolved[key] for key in overrides} == overrides
    assert isinstance(resolved.get("n_steps", 1), int)


def test_a_schedule_falls_to_nought_with_the_budget() -> None:
    falling = schedule("lin_0.4")
    assert callable(falling)
    assert [falling(remaining) for remaining in (1.0, 0.5, 0.0)] == pytest.approx([0.4, 0.2, 0.0])
    assert schedule(3) == 3.0
    with pytest.raises(ConfigError, match=r"found 'cos_1', expected a number or a schedule such as 'lin_0.001'"):
        schedule("cos_1")


def test_settings_reach_the_learner() -> None:
    values = resolve(
        CARTPOLE, "ppo", {"n_envs": 2, "n_steps": 8, "batch_size": 16, "net_arch": [5], "activation": "relu"}
    )
    values |= {"normalise_rewards": True, "normalise_observations": True, "gamma": 0.7, "learning_rate": "lin_0.25"}
    learner = build_learner("ppo", toys(DISCRETE, n_envs=2), values, seed=0)
    assert isinstance(learner, PPO)
    assert isinstance(learner.env, VecNormalize)
    assert (learner.env.norm_obs, learner.env.norm_reward, learner.env.gamma) == (False, True, 0.7)
    assert learner.lr_schedule(0.5) == 0.125
    assert learner.policy.mlp_extractor.policy_net[0].out_features == 5
    assert isinstance(learner.policy.mlp_extractor.policy_net[1], torch.nn.ReLU)
    assert isinstance(learner.policy.features_extractor.normaliser, Normaliser)
    quiet(learner).learn(32)


def test_noise_reaches_each_environment() -> None:
    values = resolve(PENDULUM, "td3", {"n_envs": 2, "noise_type": "ornstein-uhlenbeck", "noise_std": 0.3})
    learner = build_learner("td3", toys(BOX, n_envs=2), values | {"buffer_size": 100}, seed=0)
    assert isinstance(learner.action_noise, VectorizedActionNoise)
    assert isinstance(learner.action_noise.base_noise, OrnsteinUhlenbeckActionNoise)
    assert learner.action_noise().shape == (2, 2)


def test_a_frugal_replay_buffer_can_be_asked_for() -> None:
    values = resolve(CARTPOLE, "sb3-dqn", {"optimize_memory_usage": True, "buffer_size": 100})
    learner = build_learner("sb3-dqn", toys(DISCRETE, n_envs=1), values, seed=0)
    assert learner.replay_buffer.optimize_memory_usage  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "space", "words"),
    [
        ("sac", DISCRETE, r"sac acts in Box spaces, found Discrete\(3\): these fit: ppo, sb3-ppo, a2c, trpo, dqn"),
        ("dqn", BOX, r"dqn acts in Discrete spaces, found Box.*: these fit: .*sac, td3"),
        ("ppo", spaces.Box(-np.inf, np.inf, (1,), np.float32), "has no finite bounds"),
        ("ars", spaces.MultiBinary(2), "ars acts in Box or Discrete spaces.*these fit: ppo, sb3-ppo, a2c, trpo$"),
    ],
)
def test_an_action_space_that_does_not_fit_is_refused_in_words(name: str, space: spaces.Space[Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build_learner(name, toys(space, n_envs=1), {}, seed=0)


def test_dict_observations_are_for_those_who_have_a_policy_for_them() -> None:
    several = spaces.Dict({"a": spaces.Box(-1, 1, (2,), np.float32)})
    with pytest.raises(ConfigError, match="crossq cannot learn from observations that are a Dict"):
        build_learner("crossq", toys(BOX, several, n_envs=1), {}, seed=0)
    learner = build_learner("ppo", toys(DISCRETE, several, n_envs=1), {"n_steps": 64}, seed=0)
    quiet(learner).learn(64)


def test_ars_takes_observations_as_they_are() -> None:
    with pytest.raises(ConfigError, match="ars: its policy takes flat observations"):
        build_learner("ars", toys(DISCRETE, n_envs=1), {"normalise_observations": True}, seed=0)


def test_the_number_of_environments_is_the_runs() -> None:
    with pytest.raises(ConfigError, match="n_envs: found 3, but there are 2 environments"):
        build_learner("a2c", toys(DISCRETE, n_envs=2), {"n_envs": 3}, seed=0)


def test_seeds_of_neighbouring_runs_share_no_environments() -> None:
    seeds = [learner_seed(seed) for seed in range(200)]
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert min(np.diff(np.sort(seeds))) > 256
    assert seeds == [learner_seed(seed) for seed in range(200)]


def test_the_seed_decides_the_training() -> None:
    def weights(seed: int) -> torch.Tensor:
        learner = build_learner("ppo", toys(DISCRETE, n_envs=2), {"n_envs": 2, "n_steps": 32}, seed=seed)
        return quiet(learner).learn(64).policy.action_net.weight.detach()

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_on_policy_algorithms_are_known() -> None:
    assert [name for name in NAMES if on_policy(name)] == ["a2c", "maskable-ppo", "ppo", "sb3-ppo", "trpo"]
    with pytest.raises(UnknownName):
        on_policy("nothing")


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    with pytest.raises(MissingExtra, match=r"pip install 'headstart\[contrib\]'"):
        resolve(CARTPOLE, "trpo", {})


def test_ours_are_sb3s_subclasses() -> None:
    assert issubclass(ALGORITHMS.load("ppo"), sb3.PPO)
    assert issubclass(ALGORITHMS.load("dqn"), sb3.DQN)
