"""Stable-Baselines3's zips: the same actions both ways, and nothing in one is ever run."""

import base64
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from agents.algorithms import resolve
from agents.policy import Policy, load_policy
from agents.zips import net_arch_of, read_zip, write_zip
from envs.errors import CheckpointError
from envs.task import Task

CARTPOLE, PENDULUM = Task(game="headstart/CartPole-v1"), Task(game="Pendulum-v1")
GAMES = {"headstart/CartPole-v1": "CartPole-v1", "Pendulum-v1": "Pendulum-v1"}

CASES: dict[str, tuple[str, Task, dict[str, Any]]] = {
    "ppo": ("PPO", CARTPOLE, {"policy_kwargs": {"net_arch": [32], "activation_fn": nn.ReLU}}),
    "ppo by parts": ("PPO", CARTPOLE, {"policy_kwargs": {"net_arch": {"pi": [8], "vf": [16, 4]}, "ortho_init": False}}),
    "ppo without layers": ("PPO", CARTPOLE, {"policy_kwargs": {"net_arch": []}}),
    "ppo continuous": ("PPO", PENDULUM, {"learning_rate": lambda progress: 1e-3 * progress}),
    "ppo with gSDE": ("PPO", PENDULUM, {"use_sde": True, "policy_kwargs": {"log_std_init": -1.0}}),
    "a2c": ("A2C", CARTPOLE, {}),
    "dqn": ("DQN", CARTPOLE, {"policy_kwargs": {"net_arch": [10, 12]}}),
    "sac": ("SAC", PENDULUM, {"policy_kwargs": {"net_arch": [16]}}),
    "td3": ("TD3", PENDULUM, {"policy_kwargs": {"net_arch": {"pi": [16], "qf": [8, 8]}}}),
    "ddpg": ("DDPG", PENDULUM, {"policy_kwargs": {"net_arch": [16, 8]}}),
}


def observations(task: Task, number: int = 20) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(number, 4 if task is CARTPOLE else 3)).astype(np.float32)


def made(case: str, path: Path) -> Any:
    """A learner of plain SB3, saved."""
    name, task, settings = CASES[case]
    learner = getattr(sb3, name)("MlpPolicy", GAMES[task.game], device="cpu", seed=1, **settings)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in learner.policy.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    learner.save(path)
    return learner


@pytest.mark.parametrize("case", CASES)
def test_zips_of_plain_sb3_act_the_same_here_and_back_there(case: str, tmp_path: Path) -> None:
    name, task, _ = CASES[case]
    learner = made(case, tmp_path / "one.zip")
    seen = observations(task)
    expected, _ = learner.predict(seen, deterministic=True)
    policy = load_policy(tmp_path / "one.zip", task=task)
    assert policy.algorithm == case.split()[0]
    assert policy.task == task
    np.testing.assert_array_equal(policy.act(seen, mode="greedy"), expected)
    assert len(np.unique(expected, axis=0)) > 1

    write_zip(policy, tmp_path / "two.zip")
    back = getattr(sb3, name).load(tmp_path / "two.zip", device="cpu")
    np.testing.assert_array_equal(back.predict(seen, deterministic=True)[0], expected)
    assert back.gamma == learner.gamma
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["one.zip", "two.zip"]


@pytest.mark.parametrize("name", ["TRPO", "QRDQN", "TQC", "CrossQ"])
def test_zips_of_sb3_contrib_act_the_same(name: str, tmp_path: Path) -> None:
    contrib = pytest.importorskip("sb3_contrib")
    task = CARTPOLE if name in ("TRPO", "QRDQN") else PENDULUM
    arch = {"policy_kwargs": {"net_arch": [16]}}
    learner = getattr(contrib, name)("MlpPolicy", GAMES[task.game], device="cpu", seed=1, **arch)
    learner.save(tmp_path / "one.zip")
    policy = load_policy(tmp_path / "one.zip", task=task)
    assert policy.algorithm == name.lower()
    expected, _ = learner.predict(observations(task), deterministic=True)
    np.testing.assert_array_equal(policy.act(observations(task), mode="greedy"), expected)


def test_a_zip_can_go_on_learning_in_sb3(tmp_path: Path) -> None:
    learner = made("dqn", tmp_path / "one.zip")
    write_zip(load_policy(tmp_path / "one.zip", task=CARTPOLE), tmp_path / "two.zip")
    back = sb3.DQN.load(tmp_path / "two.zip", env=gym.make("CartPole-v1"), device="cpu", buffer_size=200)
    assert back.batch_size == learner.batch_size
    back.learn(20)


def test_a_policy_of_ours_opens_in_plain_sb3(tmp_path: Path) -> None:
    from agents.algorithms import build_learner
    from envs.vector import interface, make_vec

    hyperparameters = resolve(
        CARTPOLE, "ppo", {"n_envs": 2, "n_steps": 32, "batch_size": 32, "learning_rate": "lin_0.01"}
    )
    venv = make_vec(CARTPOLE, n_envs=2)
    learner = build_learner("ppo", venv, hyperparameters, seed=0)
    policy = Policy.of(learner, CARTPOLE, interface(venv), "ppo", hyperparameters)
    write_zip(policy, tmp_path / "ours.zip")
    with zipfile.ZipFile(tmp_path / "ours.zip") as archive:
        readable = json.loads(archive.read("data"))
        opened = base64.b64decode(readable["policy_kwargs"][":serialized:"])
        assert b"agents" not in opened
        assert "auxiliary" not in readable
    back = sb3.PPO.load(tmp_path / "ours.zip", device="cpu")
    seen = observations(CARTPOLE)
    np.testing.assert_array_equal(back.predict(seen, deterministic=True)[0], policy.act(seen, mode="greedy"))
    assert (back.n_steps, back.batch_size, back.learning_rate(1.0)) == (32, 32, 0.01)
    again = read_zip(tmp_path / "ours.zip", CARTPOLE)
    assert again.hyperparameters["n_steps"] == 32


def test_our_own_encoders_come_back(tmp_path: Path) -> None:
    from agents.algorithms import build_learner
    from agents.networks import update_normaliser
    from envs.vector import interface, make_vec

    hyperparameters = resolve(CARTPOLE, "a2c", {"normalise_observations": True, "n_envs": 1})
    venv = make_vec(CARTPOLE)
    learner = build_learner("a2c", venv, hyperparameters, seed=0)
    update_normaliser(learner.policy, observations(CARTPOLE) * 5 + 2)
    policy = Policy.of(learner, CARTPOLE, interface(venv), "a2c", hyperparameters)
    write_zip(policy, tmp_path / "ours.zip")
    back = read_zip(tmp_path / "ours.zip", CARTPOLE)
    assert back.hyperparameters["normalise_observations"] is True
    seen = torch.as_tensor(observations(CARTPOLE))
    assert torch.equal(back.outputs(seen).head, policy.outputs(seen).head)


def test_an_encoder_of_missions_comes_back(tmp_path: Path) -> None:
    from agents.algorithms import build_learner
    from envs.vector import interface, make_vec

    task = Task(game="headstart/GoToDoor-5x5-v0")
    hyperparameters = resolve(task, "ppo", {"n_envs": 2, "n_steps": 32, "batch_size": 32})
    venv = make_vec(task, n_envs=2, seed=0)
    learner = build_learner("ppo", venv, hyperparameters, seed=0)
    policy = Policy.of(learner, task, interface(venv), "ppo", hyperparameters)
    write_zip(policy, tmp_path / "ours.zip")
    seen: Any = venv.reset()
    for back in (read_zip(tmp_path / "ours.zip", task), sb3.PPO.load(tmp_path / "ours.zip", device="cpu")):
        if isinstance(back, Policy):
            assert type(back.network.features_extractor).__name__ == "SymbolsEncoder"
            np.testing.assert_array_equal(back.act(seen, mode="greedy"), policy.act(seen, mode="greedy"))
        else:
            np.testing.assert_array_equal(back.predict(seen, deterministic=True)[0], policy.act(seen, mode="greedy"))


class Payload:
    """Whoever unpickles it makes a file."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> Any:
        return (Path.touch, (self.sign,))


def rewritten(path: Path, change: Any) -> None:
    """The zip with `change(members)` done to it."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def edited(path: Path, **entries: Any) -> None:
    def change(members: dict[str, bytes]) -> None:
        members["data"] = json.dumps(json.loads(members["data"]) | entries).encode()

    rewritten(path, change)


def refused(path: Path, task: Task | None = CARTPOLE) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_policy(path, task=task)
    text = str(caught.value)
    assert "\n" not in text
    assert path.name in text
    return text


def packed(what: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(what, buffer)
    return buffer.getvalue()


def test_pickles_in_data_are_never_opened(tmp_path: Path) -> None:
    made("ppo", tmp_path / "one.zip")
    sign = tmp_path / "sign"
    poison = base64.b64encode(pickle.dumps(Payload(sign))).decode()

    def change(members: dict[str, bytes]) -> None:
        data = json.loads(members["data"])
        for key, entry in data.items():
            if isinstance(entry, dict) and ":serialized:" in entry:
                data[key][":serialized:"] = poison
        data["extra"] = {":type:": "<class 'dict'>", ":serialized:": poison}
        members["data"] = json.dumps(data).encode()
        members["pytorch_variables.pth"] = packed({"x": Payload(sign)})

    rewritten(tmp_path / "one.zip", change)
    load_policy(tmp_path / "one.zip", task=CARTPOLE)
    assert not sign.exists()
    with pytest.raises(Exception):  # noqa: B017
        sb3.PPO.load(tmp_path / "one.zip")
    assert sign.exists()  # so the payload was live


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_among_the_weights_is_refused(tmp_path: Path, legacy: bool) -> None:
    made("ppo", tmp_path / "one.zip")
    sign = tmp_path / "sign"
    poison = pickle.dumps(Payload(sign)) if legacy else packed({"value_net.bias": Payload(sign)})
    rewritten(tmp_path / "one.zip", lambda members: members.update({"policy.pth": poison}))
    assert "holds more than weights, and opening it could run code; refused" in refused(tmp_path / "one.zip")
    assert not sign.exists()


def test_the_game_has_to_be_named(tmp_path: Path) -> None:
    made("ppo", tmp_path / "one.zip")
    assert "name its game with --game" in refused(tmp_path / "one.zip", None)


def test_another_games_spaces_are_refused(tmp_path: Path) -> None:
    made("ppo continuous", tmp_path / "one.zip")
    assert "does not fit its architecture and game" in refused(tmp_path / "one.zip")


def test_an_algorithm_that_cannot_play_the_game_is_refused(tmp_path: Path) -> None:
    made("dqn", tmp_path / "one.zip")
    assert "does not fit Pendulum-v1: dqn acts in Discrete" in refused(tmp_path / "one.zip", PENDULUM)


class Snake(nn.Module):
    """An activation that nobody knows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.sin(x) ** 2


class Own(BaseFeaturesExtractor):
    """An encoder that nobody knows."""

    def __init__(self, space: Any) -> None:
        super().__init__(space, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"activation_fn": Snake}, r"its activation is <class '.*Snake'>, which is none of .*tanh.*'activation'"),
        ({"features_extractor_class": Own}, r"its encoder is <class '.*Own'>, which is none of .*'encoder'"),
        ({"features_extractor_kwargs": {}, "optimizer_class": torch.optim.SGD}, None),
        ({"normalize_images": False}, "made with normalize_images, which cannot be read safely"),
        ({"log_std_init": 0.0, "squash_output": False}, "made with squash_output"),
    ],
)
def test_only_known_parts_are_read(kwargs: dict[str, Any], words: str | None, tmp_path: Path) -> None:
    sb3.PPO("MlpPolicy", "CartPole-v1", device="cpu", policy_kwargs=kwargs).save(tmp_path / "one.zip")
    if words is None:
        load_policy(tmp_path / "one.zip", task=CARTPOLE)
        return
    with pytest.raises(CheckpointError, match=words):
        load_policy(tmp_path / "one.zip", task=CARTPOLE)
    refused(tmp_path / "one.zip")


def test_what_cannot_be_read_can_be_given(tmp_path: Path) -> None:
    kwargs = {"activation_fn": Snake}
    sb3.PPO("MlpPolicy", "CartPole-v1", device="cpu", policy_kwargs=kwargs).save(tmp_path / "one.zip")
    policy = load_policy(tmp_path / "one.zip", task=CARTPOLE, architecture={"activation": "elu"})
    assert policy.architecture["activation"] == "elu"


def test_layers_that_the_weights_do_not_show_are_refused(tmp_path: Path) -> None:
    made("ppo", tmp_path / "one.zip")
    edited(tmp_path / "one.zip", policy_kwargs={"net_arch": [33]})
    assert "says net_arch is {'pi': [33], 'vf': [33]}, but its weights show" in refused(tmp_path / "one.zip")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"policy_class": {"__module__": "mine"}}, "its policy is of the module 'mine', which is not read"),
        ({"policy_class": None}, "of the module None"),
        ({"policy_kwargs": "?"}, "its policy_kwargs are not readable"),
    ],
)
def test_unreadable_data_are_refused(entry: dict[str, Any], words: str, tmp_path: Path) -> None:
    made("ppo", tmp_path / "one.zip")
    edited(tmp_path / "one.zip", **entry)
    assert words in refused(tmp_path / "one.zip")


def test_foreign_and_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.zip"
    path.write_bytes(b"no zip")
    assert "is not a Stable-Baselines3 zip" in refused(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("letter.txt", "hello")
    assert "is not a Stable-Baselines3 zip" in refused(path)
    made("ppo", path)
    rewritten(path, lambda members: members.update({"data": b"{"}))
    assert "is damaged" in refused(path)
    made("ppo", path)
    rewritten(path, lambda members: members.update({"policy.pth": members["policy.pth"][:900]}))
    assert "is damaged" in refused(path)
    made("ppo", path)
    rewritten(path, lambda members: members.update({"policy.pth": packed([1])}))
    assert "expected a document and named weights" in refused(path)
    made("ppo", path)
    path.write_bytes(path.read_bytes()[:-500])
    assert "is not a Stable-Baselines3 zip" in refused(path)


def test_twins_that_differ_are_refused(tmp_path: Path) -> None:
    from agents.zips import _without_aliases

    weights = {"a": torch.ones(2), "b": torch.zeros(2)}
    with pytest.raises(CheckpointError, match="b and a differ, but its policy shares them"):
        _without_aliases(tmp_path, weights, {"a": "a", "b": "a"})
    assert _without_aliases(tmp_path, {"b": torch.ones(2)}, {"a": "a", "b": "a"}).keys() == {"a"}


def test_a_policy_that_knows_no_game_cannot_be_written(tmp_path: Path) -> None:
    made("ppo", tmp_path / "one.zip")
    policy = load_policy(tmp_path / "one.zip", task=CARTPOLE)
    policy.task = None
    with pytest.raises(CheckpointError, match="does not know its game"):
        write_zip(policy, tmp_path / "two.zip")


def test_net_arch_is_seen_in_the_weights() -> None:
    weights = {
        "mlp_extractor.policy_net.0.weight": torch.ones(8, 4),
        "mlp_extractor.policy_net.2.weight": torch.ones(6, 8),
        "mlp_extractor.policy_net.10.weight": torch.ones(5, 6),
        "mlp_extractor.value_net.0.weight": torch.ones(3, 4),
        "action_net.weight": torch.ones(2, 5),
    }
    assert net_arch_of(weights) == {"pi": [8, 6, 5], "vf": [3]}
