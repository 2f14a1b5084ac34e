"""DQN in compiled code against PyTorch's autograd and against plain SB3, for every kind of network it knows."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnvWrapper, VecNormalize
from stable_baselines3.dqn.policies import DQNPolicy
from torch import nn

from agents.compiled.q_learner import CompiledDQN
from agents.dqn import DQN
from agents.outputs import Batch, policy_outputs
from agents.policy import Policy
from agents.ppo import PPO
from agents.transitions import explore
from envs.observations import each
from envs.task import Task
from envs.vector import interface, make_vec
from tests.agents.compiled import test_ppo
from tests.agents.toys import DISCRETE, quiet, toys

NETWORKS = {name: network for name, network in test_ppo.NETWORKS.items() if name != "unlike halves"} | {
    "deep tanh": (test_ppo.NUMBERS, {"net_arch": [32, 16, 8], "activation_fn": nn.Tanh}),
    "double numbers": (spaces.Box(-3, 3, (5,), np.float64), {}),
    "zoo": (test_ppo.NUMBERS, {"net_arch": [256, 256]}),
}
MEMORY = {"optimize_memory_usage": True, "replay_buffer_kwargs": {"handle_timeout_termination": False}}
assert_alike = test_ppo.assert_alike


def learner(algorithm: Any, network: str, **settings: Any) -> Any:
    """A learner whose replay buffer has been filled once and a half, the same for every algorithm."""
    observations, kwargs = NETWORKS[network]
    made = algorithm(
        "MultiInputPolicy" if isinstance(observations, spaces.Dict) else "MlpPolicy",
        toys(DISCRETE, observations, n_envs=3),
        policy_kwargs=dict(kwargs),
        seed=4,
        device="cpu",
        **({"buffer_size": 600, "learning_starts": 900, "learning_rate": 1e-3} | settings),
    )
    quiet(made).learn(900)
    with torch.no_grad():
        for parameter in made.q_net_target.parameters():
            parameter += 0.1  # so that it is not the network that learns
    return made


@pytest.mark.parametrize("batch_size", [32, 300])
@pytest.mark.parametrize("network", NETWORKS)
def test_rounds_of_updates_are_sb3s(network: str, batch_size: int) -> None:
    ours, theirs = (learner(algorithm, network) for algorithm in (DQN, stable_baselines3.DQN))
    assert ours._compiled() is not None
    assert ours._compiled().reads(ours.replay_buffer)
    for made in (ours, theirs):
        np.random.seed(1)  # noqa: NPY002
        for _ in range(2):
            made.train(gradient_steps=5, batch_size=batch_size)
    assert_alike(ours, theirs, tolerance=4e-6)
    assert ours.logger.name_to_value["train/loss"] == pytest.approx(theirs.logger.name_to_value["train/loss"], rel=1e-4)
    assert ours._n_updates == theirs._n_updates == 10
    first, second = (made.policy.optimizer.state_dict()["state"] for made in (ours, theirs))
    assert first.keys() == second.keys()
    for index, state in second.items():
        for key, value in state.items():
            torch.testing.assert_close(first[index][key], value, rtol=1e-3, atol=1e-6, msg=key)


@pytest.mark.parametrize("full", [True, False])
def test_transitions_that_share_an_array_are_drawn_as_sb3_draws_them(full: bool) -> None:
    made = [
        learner(algorithm, "planes", **MEMORY, **({} if full else {"buffer_size": 1200}))
        for algorithm in (DQN, stable_baselines3.DQN)
    ]
    assert all(one.replay_buffer.full == full for one in made)
    for one in made:
        np.random.seed(1)  # noqa: NPY002
        one.train(gradient_steps=9, batch_size=16)
    assert_alike(*made)


def test_a_round_drawn_in_parts_is_the_same_round(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for at_once in (1, 200, 2**21):
        monkeypatch.setattr("agents.compiled.q_learner.AT_ONCE", at_once)
        one = learner(DQN, "symbols")
        np.random.seed(1)  # noqa: NPY002
        one.train(gradient_steps=7, batch_size=20)
        made.append(one)
    assert_alike(made[0], made[2], tolerance=1e-7)
    assert_alike(made[1], made[2], tolerance=1e-7)


@pytest.mark.parametrize("network", ["numbers", "symbols", "mission"])
def test_frozen_layers_rates_of_their_own_and_an_auxiliary_loss_are_autograds(network: str) -> None:
    def added(batch: Batch) -> torch.Tensor:
        assert batch.outputs.value is not None
        decay = sum(p.square().sum() for p in batch.policy.q_net.parameters())
        imitated = -batch.outputs.log_probabilities()[:, 1].mean()
        seen = policy_outputs(batch.policy, batch.observations).head.detach()
        return 0.3 * imitated + (batch.outputs.value - seen.mean()).square().mean() + 0.1 * decay

    made = []
    for compiles in (True, False):
        one = learner(DQN, network)
        first = one.q_net.q_net[0]
        first.bias.requires_grad_(False)
        rest = [p for p in one.q_net.parameters() if p is not first.weight]
        one.policy.optimizer = torch.optim.Adam([{"params": rest}, {"params": [first.weight], "lr": 1.0}], lr=3e-4)
        one._update_learning_rate = lambda optimisers: None  # groups keep their rates
        one.policy.optimizer.param_groups[1]["lr"] = 3e-3
        one.compiles, one.auxiliary = compiles, added
        before = first.bias.detach().clone()
        np.random.seed(1)  # noqa: NPY002
        one.train(gradient_steps=6, batch_size=300)
        assert torch.equal(first.bias, before)
        made.append(one)
    assert_alike(*made, tolerance=1e-5)
    logged, expected = (one.logger.name_to_value for one in made)
    assert logged.keys() == expected.keys() >= {"train/auxiliary_loss"}
    for key, value in expected.items():
        assert logged[key] == pytest.approx(value, abs=2e-5, rel=1e-3), key


TRAININGS: dict[str, dict[str, Any]] = {
    "warming up": {"learning_starts": 300},
    "at once": {"learning_starts": 0, "exploration_initial_eps": 0.5, "exploration_fraction": 0.9},
    "soft targets": {"learning_starts": 64, "tau": 0.3, "target_update_interval": 8, "gradient_steps": 3},
    "as many as steps": {"learning_starts": 64, "gradient_steps": -1, "train_freq": 3, "batch_size": 8},
    "overwriting": {"learning_starts": 64, "buffer_size": 120, "target_update_interval": 30},
    "little memory": {"learning_starts": 64, "buffer_size": 240, **MEMORY},
}


@pytest.mark.parametrize("n_envs", [1, 6])
@pytest.mark.parametrize("setting", TRAININGS)
def test_a_training_on_a_batched_game_is_sb3s(setting: str, n_envs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    learners, draws = [], []
    for algorithm in (DQN, stable_baselines3.DQN):
        venv = make_vec("headstart/CartPole-v1", n_envs=n_envs, seed=3)
        venv.env_method("__setattr__", "max_episode_steps", 10)  # so that episodes are cut off
        made = quiet(algorithm("MlpPolicy", venv, seed=3, device="cpu", **TRAININGS[setting]))
        if algorithm is DQN:  # SB3's ways must not be taken
            for name in ("_sample_action", "_store_transition"):
                monkeypatch.setattr(stable_baselines3.DQN, name, None)
            monkeypatch.setattr(made.policy, "predict", None)
        made.learn(900)
        monkeypatch.undo()
        draws.append((np.random.get_state()[1].tolist(), made.action_space.np_random.bit_generator.state))  # noqa: NPY002
        learners.append(made)
    ours, theirs = learners
    assert ours._compiled() is not None
    assert ours._n_updates == theirs._n_updates > 0
    assert draws[0] == draws[1]
    assert_alike(ours, theirs, tolerance=2e-5)
    buffers = [made.replay_buffer for made in learners]
    assert (buffers[0].pos, buffers[0].full) == (buffers[1].pos, buffers[1].full)
    held = {"observations", "actions", "rewards", "dones", "timeouts"} | (
        set() if "memory" in setting else {"next_observations"}
    )
    for name in held:
        first, second = (getattr(buffer, name) for buffer in buffers)
        assert first.dtype == second.dtype
        np.testing.assert_array_equal(first, second, err_msg=name)
    assert buffers[0].timeouts.any() or "memory" in setting
    assert [(e["r"], e["l"]) for e in ours.ep_info_buffer] == [(e["r"], e["l"]) for e in theirs.ep_info_buffer]
    assert ours._episode_num == theirs._episode_num > 0
    np.testing.assert_array_equal(ours._last_obs, theirs._last_obs)
    np.testing.assert_array_equal(ours._last_original_obs, theirs._last_original_obs)
    assert ours.exploration_rate == theirs.exploration_rate


@pytest.mark.parametrize("game", ["headstart/DoorKey-5x5-v0", "MinAtar/Breakout-v1"])
def test_a_training_on_symbols_is_that_of_pytorch(game: str) -> None:
    from agents.algorithms import ALGORITHMS, build_learner
    from agents.hyperparameters import complete

    learners = []
    for algorithm in ("dqn", "sb3-dqn"):
        chosen = {"n_envs": 2, "learning_starts": 100, "buffer_size": 150, "target_update_interval": 20, "seed": 1}
        chosen = {k: v for k, v in chosen.items() if k != "seed"} | {"net_arch": [32], "encoder": "auto"}
        if "MinAtar" in game:
            chosen["encoder"] = "planes"
        values = complete(algorithm, ALGORITHMS.load(algorithm), chosen)
        made: Any = build_learner(algorithm, make_vec(game, n_envs=2, seed=1), values, seed=1, device="cpu")
        learners.append(quiet(made).learn(500))
    ours, theirs = learners
    assert ours._compiled() is not None
    assert ours._compiled().reads(ours.replay_buffer)
    assert_alike(ours, theirs, tolerance=2e-5)
    for name in ("observations", "next_observations"):
        first, second = (getattr(made.replay_buffer, name) for made in learners)
        each_array = first if isinstance(first, dict) else {"": first}
        for key, array in each_array.items():
            expected = second[key] if key else second
            assert array.dtype == expected.dtype
            assert array.dtype.itemsize == 1 or key in ("direction", "mission")
            np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("network", NETWORKS)
def test_acting_takes_the_networks_best_actions(network: str) -> None:
    made = learner(DQN, network)
    held = made.replay_buffer.observations
    observations = each(lambda array: array.reshape(-1, *array.shape[2:]), held)
    compiled = CompiledDQN.of(made.policy)
    assert compiled is not None
    compiled.load()
    with torch.no_grad():
        expected = policy_outputs(made.policy, each(torch.as_tensor, observations))
    found = compiled.outputs(observations)
    assert found.kind == "q"
    torch.testing.assert_close(found.head, expected.head, rtol=0, atol=4e-6)
    torch.testing.assert_close(found.value, expected.value, rtol=0, atol=4e-6)
    np.testing.assert_array_equal(compiled.act(observations), found.head.argmax(dim=1).numpy())


def test_a_player_of_a_checkpoint_acts_as_its_network() -> None:
    made = learner(DQN, "numbers")
    venv = toys(DISCRETE, test_ppo.NUMBERS)
    policy = Policy.of(made, Task(game="toy"), interface(venv), "dqn", {})
    observations = made.replay_buffer.observations.reshape(-1, 5)
    assert policy._compiled() is not None
    for mode in ("greedy", "sample"):
        np.testing.assert_array_equal(policy.player(mode=mode)(observations), policy.act(observations, mode=mode))


def test_weights_and_moments_changed_from_outside_are_taken_over() -> None:
    made = [learner(algorithm, "numbers") for algorithm in (DQN, stable_baselines3.DQN)]
    for one in made:
        np.random.seed(1)  # noqa: NPY002
        one.train(gradient_steps=3, batch_size=16)
        state = one.policy.optimizer.state_dict()
        for entry in state["state"].values():
            entry["exp_avg"] = entry["exp_avg"] * 0.5
            entry["step"] = entry["step"] + 5
        one.policy.optimizer.load_state_dict(state)
        with torch.no_grad():
            one.q_net.q_net[0].weight.data.mul_(0.5)
        one.train(gradient_steps=3, batch_size=16)
    assert_alike(*made)
    compiled, plain = made[0], made[1]
    compiled.compiles = False  # PyTorch goes on from where compiled code was
    for one in (compiled, plain):
        np.random.seed(1)  # noqa: NPY002
        one.train(gradient_steps=3, batch_size=16)
    assert_alike(compiled, plain)


def test_plain_sb3_goes_on_from_a_zip_after_compiled_and_pytorchs_updates(tmp_path: Path) -> None:
    ours = learner(DQN, "numbers")
    for compiles in (True, False, True):
        ours.compiles = compiles
        ours.train(gradient_steps=3, batch_size=16)
    ours.save(tmp_path / "ours.zip")
    theirs = quiet(stable_baselines3.DQN.load(tmp_path / "ours.zip", device="cpu"))
    theirs.replay_buffer = ours.replay_buffer
    for one in (ours, theirs):
        np.random.seed(1)  # noqa: NPY002
        one.train(gradient_steps=3, batch_size=16)
    assert_alike(ours, theirs)


def test_an_action_that_the_network_has_not_touches_no_foreign_memory() -> None:
    made = learner(DQN, "numbers")
    made.replay_buffer.actions[:] = 3
    before = made.q_net.q_net[0].weight.detach().clone()
    with pytest.raises(IndexError, match="64 of 64 transitions of the replay buffer hold an unknown action"):
        made.train(gradient_steps=2, batch_size=32)
    assert torch.equal(made.q_net.q_net[0].weight, before)


class Stop(BaseCallback):
    """Stops after some steps, and notes what it is shown."""

    def _on_step(self) -> bool:
        assert {"actions", "rewards", "dones", "infos", "new_obs", "replay_buffer"} <= self.locals.keys()
        assert len(self.locals["infos"]) == self.training_env.num_envs
        return self.n_calls < 40


def test_a_callback_ends_collecting_and_leaves_all_as_sb3_does() -> None:
    made = []
    for algorithm in (DQN, stable_baselines3.DQN):
        venv = make_vec("headstart/CartPole-v1", n_envs=2, seed=0)
        one = quiet(algorithm("MlpPolicy", venv, seed=0, device="cpu", learning_starts=10))
        one.learn(500, callback=Stop())
        made.append(one)
    assert made[0].num_timesteps == made[1].num_timesteps == 80
    assert made[0].replay_buffer.pos == made[1].replay_buffer.pos == 39
    assert_alike(*made)


def test_whole_episodes_can_be_asked_for_of_one_environment_only() -> None:
    made = []
    for algorithm in (DQN, stable_baselines3.DQN):
        venv = make_vec("headstart/CartPole-v1", n_envs=1, seed=0)
        settings = {"learning_starts": 20, "train_freq": (2, "episode"), "gradient_steps": -1}
        made.append(quiet(algorithm("MlpPolicy", venv, seed=0, device="cpu", **settings)).learn(300))
    assert made[0]._n_updates == made[1]._n_updates > 0
    assert_alike(*made, tolerance=2e-5)
    one = quiet(DQN("MlpPolicy", toys(DISCRETE), train_freq=(1, "episode"), device="cpu"))
    with pytest.raises(ValueError, match="train_freq counts episodes, which takes one environment; found 4"):
        one.learn(50)


class Doubtful(DQNPolicy):
    """Whatever it does otherwise, compiled code does not know it."""


FALLING_BACK: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "elu": ({}, {"activation_fn": nn.ELU}),
    "adamw": ({}, {"optimizer_class": torch.optim.AdamW}),
    "weight decay": ({}, {"optimizer_kwargs": {"weight_decay": 0.1}}),
    "a policy of its own": ({"policy": Doubtful}, {}),
    "n-step": ({"n_steps": 3}, {}),
}


@pytest.mark.parametrize("kind", FALLING_BACK)
def test_what_compiled_code_does_not_know_learns_through_pytorch(kind: str) -> None:
    made = []
    settings, kwargs = FALLING_BACK[kind]
    for algorithm in (DQN, stable_baselines3.DQN):
        chosen = {
            "policy": "MlpPolicy",
            "learning_starts": 40,
            "seed": 0,
            "device": "cpu",
            "buffer_size": 500,
        } | settings
        one = quiet(algorithm(env=toys(DISCRETE), policy_kwargs=kwargs, **chosen))
        made.append(one.learn(200))
    ours = made[0]
    assert ours._compiled() is None or not ours._compiled().reads(ours.replay_buffer)
    assert_alike(*made, tolerance=1e-5)


def test_normalised_environments_and_a_subclass_that_acts_by_itself_are_left_to_sb3() -> None:
    class Shy(DQN):
        def _sample_action(self, *args: Any, **kwargs: Any) -> Any:
            actions, _ = super()._sample_action(*args, **kwargs)
            return 0 * actions, 0 * actions

    settings = {"learning_starts": 40, "seed": 0, "device": "cpu", "buffer_size": 500}
    shy = quiet(Shy("MlpPolicy", toys(DISCRETE), **settings)).learn(200)
    assert not shy.replay_buffer.actions.any()
    made = [
        quiet(algorithm("MlpPolicy", VecNormalize(toys(DISCRETE)), **settings)).learn(200)
        for algorithm in (DQN, stable_baselines3.DQN)
    ]
    assert_alike(*made, tolerance=1e-5)


def test_images_are_collected_with_arrays_and_learnt_through_pytorch() -> None:
    space = spaces.Box(0, 255, (36, 36, 3), np.uint8)
    settings = {"learning_starts": 20, "seed": 0, "device": "cpu", "buffer_size": 100, "batch_size": 8}
    made = [
        quiet(algorithm("CnnPolicy", toys(DISCRETE, space, n_envs=2), **settings)).learn(60)
        for algorithm in (DQN, stable_baselines3.DQN)
    ]
    assert made[0]._compiled() is None
    assert_alike(*made, tolerance=1e-5)
    np.testing.assert_array_equal(made[0].replay_buffer.next_observations, made[1].replay_buffer.next_observations)


class Forgetful(VecEnvWrapper):
    """Does not say what an episode ended with, as SB3 asks of all environments."""

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Any:
        observations, rewards, dones, infos = self.venv.step_wait()
        for info in infos:
            info.pop("terminal_observation", None)
            info.pop("TimeLimit.truncated", None)
        return observations, rewards, dones, infos


@pytest.mark.parametrize("ours", [DQN, PPO])
def test_environments_that_forget_last_observations_are_played_as_sb3_plays_them(ours: Any) -> None:
    settings = {"learning_starts": 40, "buffer_size": 500} if ours is DQN else {"n_steps": 32, "batch_size": 64}
    made = [
        quiet(algorithm("MlpPolicy", Forgetful(toys(DISCRETE)), seed=0, device="cpu", **settings)).learn(256)
        for algorithm in (ours, getattr(stable_baselines3, ours.__name__))
    ]
    assert_alike(*made, tolerance=2e-5)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
@pytest.mark.parametrize("n_actions", [2, 3, 18])
def test_random_actions_are_the_spaces_samples(kind: Any, n_actions: int) -> None:
    space, expected = (spaces.Discrete(n_actions, seed=5, dtype=kind) for _ in range(2))
    learner = SimpleNamespace(action_space=space, num_timesteps=0)
    for n in (3, 1, 4, 33):
        found = explore(learner, lambda observations: np.zeros(0), None, learning_starts=10, n=n)
        np.testing.assert_array_equal(found, [expected.sample() for _ in range(n)])
    assert space.np_random.bit_generator.state == expected.np_random.bit_generator.state
