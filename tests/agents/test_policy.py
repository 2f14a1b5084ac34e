"""Policies: what they do is Stable-Baselines3's, what is saved comes back, and loading runs nothing."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from stable_baselines3.common.vec_env import DummyVecEnv

from agents.algorithms import build_learner
from agents.build import load_tensors, tensors_of
from agents.networks import action_head, update_normaliser
from agents.policy import Policy, load_policy
from envs.errors import CheckpointError
from envs.interface import Interface
from envs.task import Change, Task

SPACES: dict[str, tuple[spaces.Space[Any], spaces.Space[Any]]] = {
    "vector": (spaces.Box(-np.inf, np.inf, (4,), np.float32), spaces.Discrete(3)),
    "continuous": (
        spaces.Box(-1, 1, (3,), np.float32),
        spaces.Box(np.float32([-2, 0]), np.float32([0.5, 3]), dtype=np.float32),
    ),
    "pixels": (spaces.Box(0, 255, (40, 36, 3), np.uint8), spaces.Discrete(4)),
    "symbols": (spaces.Box(0, np.tile(np.uint8([10, 5, 1]), (7, 7, 1)), (7, 7, 3), np.uint8), spaces.Discrete(7)),
    "dict": (
        spaces.Dict({"eye": spaces.Box(0, 255, (40, 36, 3), np.uint8), "leg": spaces.Box(-1, 1, (2,), np.float32)}),
        spaces.Discrete(2),
    ),
    "mission": (
        spaces.Dict(
            {
                "image": spaces.Box(0, np.tile(np.uint8([10, 5, 2]), (7, 7, 1)), (7, 7, 3), np.uint8),
                "direction": spaces.Discrete(4),
                "mission": spaces.Discrete(12),
            }
        ),
        spaces.Discrete(7),
    ),
    "levers": (spaces.Box(-1, 1, (3,), np.float32), spaces.MultiDiscrete([2, 3])),
}


class Still(gym.Env[Any, Any]):
    """Shows random observations of a space; nothing matters."""

    def __init__(self, kind: str) -> None:
        self.observation_space, self.action_space = SPACES[kind]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, False, {}


def policy_for(algorithm: str, kind: str, seed: int = 0, **settings: Any) -> tuple[Any, Policy]:
    """A learner and its policy, whose weights are random enough for actions to differ."""
    venv = DummyVecEnv([lambda: Still(kind)])
    if "buffer_size" not in settings and algorithm in ("dqn", "sac", "td3"):
        settings["buffer_size"] = 10
    learner = build_learner(algorithm, venv, settings, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in learner.policy.named_parameters():
            scale = 0.2 if "cnn" not in name else 0.05
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    known = Interface(*SPACES[kind])
    policy = Policy.of(learner, Task(game="Still-v0"), known, algorithm, settings, {"seed": seed})
    if kind == "pixels":  # no action is best everywhere
        heads = policy.outputs(torch.as_tensor(observations_of(kind))).head
        action_head(learner.policy).bias.data -= heads.median(dim=0).values
    return learner, policy


def observations_of(kind: str, number: int = 9) -> Any:
    space = SPACES[kind][0]
    if isinstance(space, spaces.Dict):
        return {key: drawn(part, number) for key, part in space.spaces.items()}
    return drawn(space, number)


def drawn(space: spaces.Space[Any], number: int) -> np.ndarray:
    """Observations (number, ...); pictures of different colours, as noise looks all the same to a CNN."""
    space.seed(3)
    batch = np.stack([space.sample() for _ in range(number)])
    if batch.ndim == 4 and batch.max() > 10:
        batch = batch * np.random.default_rng(4).uniform(0, 1, (number, 1, 1, 3)) ** 3
    return batch.astype(space.dtype)


CASES = [
    ("ppo", "vector", {"normalise_observations": True}),
    ("ppo", "continuous", {}),
    ("ppo", "continuous", {"use_sde": True}),
    ("ppo", "pixels", {}),
    ("a2c", "dict", {}),
    ("ppo", "mission", {}),
    ("dqn", "mission", {}),
    ("ppo", "symbols", {"encoder": "planes-conv"}),
    ("a2c", "levers", {"net_arch": [8], "activation": "relu"}),
    ("dqn", "symbols", {}),
    ("dqn", "pixels", {}),
    ("sac", "continuous", {"net_arch": [16]}),
    ("td3", "continuous", {"net_arch": {"pi": [16], "qf": [8, 8]}}),
]
cases = pytest.mark.parametrize(("algorithm", "kind", "settings_"), CASES)


@cases
def test_greedy_actions_are_those_of_stable_baselines3(algorithm: str, kind: str, settings_: dict[str, Any]) -> None:
    learner, policy = policy_for(algorithm, kind, **settings_)
    observations = observations_of(kind)
    expected, _ = learner.policy.predict(observations, deterministic=True)
    actions = policy.act(observations, mode="greedy")
    np.testing.assert_array_equal(actions, expected)
    assert actions.shape == (9, *SPACES[kind][1].shape)
    assert len(np.unique(actions, axis=0)) > 1
    assert all(SPACES[kind][1].contains(action) for action in actions)


@pytest.mark.parametrize(("algorithm", "kind"), [("ppo", "vector"), ("ppo", "continuous"), ("sac", "continuous")])
def test_sampled_actions_are_those_of_stable_baselines3(algorithm: str, kind: str) -> None:
    learner, policy = policy_for(algorithm, kind)
    observations = observations_of(kind, 50)
    torch.manual_seed(5)
    expected, _ = learner.policy.predict(observations, deterministic=False)
    actions = policy.act(observations, mode="sampled", generator=torch.Generator().manual_seed(5))
    np.testing.assert_array_equal(actions, expected)
    assert (actions != policy.act(observations, mode="greedy")).any()


def test_a_generator_is_moved_on_and_the_global_one_is_not() -> None:
    _, policy = policy_for("ppo", "vector")
    observations, generator = observations_of("vector", 200), torch.Generator().manual_seed(0)
    before = torch.get_rng_state()
    first = policy.act(observations, mode="sampled", generator=generator)
    second = policy.act(observations, mode="sampled", generator=generator)
    assert torch.equal(torch.get_rng_state(), before)
    assert (first != second).any()
    policy.act(observations, mode="sampled")
    assert not torch.equal(torch.get_rng_state(), before)


def test_state_dependent_noise_leaves_the_training_its_noise() -> None:
    learner, policy = policy_for("ppo", "continuous", use_sde=True)
    noise = learner.policy.action_dist.exploration_mat.clone()
    sampled = policy.act(observations_of("continuous"), mode="sampled")
    assert (sampled != policy.act(observations_of("continuous"), mode="greedy")).any()
    assert torch.equal(learner.policy.action_dist.exploration_mat, noise)


def test_outputs_take_images_as_environments_give_them_and_as_buffers_hold_them() -> None:
    _, policy = policy_for("ppo", "pixels")
    images = torch.as_tensor(observations_of("pixels"))
    given, held = policy.outputs(images), policy.outputs(images.permute(0, 3, 1, 2))
    assert torch.equal(given.head, held.head)
    assert not given.head.requires_grad
    assert (given.head.argmax(dim=1).numpy() == policy.act(images.numpy(), mode="greedy")).all()


@cases
def test_what_is_saved_comes_back(algorithm: str, kind: str, settings_: dict[str, Any], tmp_path: Path) -> None:
    learner, policy = policy_for(algorithm, kind, **settings_)
    if settings_.get("normalise_observations"):
        update_normaliser(learner.policy, observations_of(kind, 50) * 7 + 3)
    policy.task = Task(game="Still-v0", arguments={"size": 3}, change=Change(sticky=0.25))
    policy.save(tmp_path / "policy")
    before = torch.get_rng_state()
    found = load_policy(tmp_path / "policy")
    assert torch.equal(torch.get_rng_state(), before)
    assert found.task == policy.task
    assert (found.algorithm, found.provenance) == (algorithm, {"seed": 0})
    assert found.interface == policy.interface
    assert found.architecture == policy.architecture
    assert found.hyperparameters == policy.hyperparameters
    own, back = policy.network.state_dict(), found.network.state_dict()
    assert own.keys() == back.keys()
    assert all(torch.equal(own[name], back[name]) for name in own)
    observations = observations_of(kind)
    for mode in ("greedy", "sampled"):
        actions = [
            one.act(observations, mode=mode, generator=torch.Generator().manual_seed(1))  # type: ignore[arg-type]
            for one in (policy, found)
        ]
        np.testing.assert_array_equal(*actions)


def test_shared_tensors_are_saved_once(tmp_path: Path) -> None:
    _, policy = policy_for("ppo", "pixels")
    policy.save(tmp_path)
    names = load_file(tmp_path / "policy.safetensors").keys()
    assert not any(name.startswith(("pi_features", "vf_features")) for name in names)


def test_saving_again_replaces_the_folder_and_leaves_nothing_beside(tmp_path: Path) -> None:
    _, first = policy_for("ppo", "vector", seed=0)
    _, second = policy_for("ppo", "vector", seed=1)
    first.save(tmp_path / "policy")
    second.save(tmp_path / "policy")
    assert [entry.name for entry in tmp_path.iterdir()] == ["policy"]
    found = load_policy(tmp_path / "policy")
    assert torch.equal(found.network.value_net.weight, second.network.value_net.weight)  # type: ignore[attr-defined]


def test_a_failed_save_leaves_the_old_policy(tmp_path: Path) -> None:
    _, policy = policy_for("ppo", "vector")
    policy.save(tmp_path / "policy")
    policy.provenance = {"not JSON": object()}
    with pytest.raises(TypeError):
        policy.save(tmp_path / "policy")
    assert [entry.name for entry in tmp_path.iterdir()] == ["policy"]
    assert load_policy(tmp_path / "policy").provenance == {"seed": 0}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "policy"
    policy_for("ppo", "vector", net_arch=[4])[1].save(folder)
    return folder


def copy_of(saved: Path, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name in ("policy.json", "policy.safetensors"):
        (folder / name).write_bytes((saved / name).read_bytes())
    return folder


def refused(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_policy(folder)
    text = str(caught.value)
    assert "\n" not in text
    assert str(folder) in text
    return text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tensors: tensors.pop("value_net.bias"), "it misses value_net.bias"),
        (lambda tensors: tensors.update(extra=torch.ones(2)), "it adds extra"),
        (lambda tensors: tensors.update({"value_net.bias": torch.ones(2)}), r"value_net.bias is \(2,\) float32, exp"),
        (lambda tensors: tensors.update({"value_net.bias": torch.ones(1).double()}), "float64, expected .* float32"),
    ],
)
def test_other_tensors_than_the_networks_are_refused(saved: Path, tmp_path: Path, change: Any, words: str) -> None:
    folder = copy_of(saved, tmp_path)
    tensors = load_file(folder / "policy.safetensors")
    change(tensors)
    save_file(tensors, folder / "policy.safetensors")
    with pytest.raises(CheckpointError, match=words):
        load_policy(folder)
    refused(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "other"}, "not a policy of Headstart"),
        ({"version": 2}, "has version 2 of the format; this Headstart reads version 1"),
        ({"algorithm": "pppo"}, "unknown algorithm 'pppo': did you mean"),
        ({"algorithm": ["ppo"]}, "describes no network"),
        ({"interface": {}}, "not a description of observation and action spaces"),
        ({"task": {"game": 3}}, "names no task"),
        ({"architecture": {"net_arch": "wide"}}, "describes no network|net_arch"),
        ({"architecture": {"net_arch": [5]}}, "does not fit its architecture"),
        ({"architecture": 3}, "describes no network"),
        ({"provenance": None}, "describes no network"),
    ],
)
def test_other_documents_are_refused(saved: Path, tmp_path: Path, change: dict[str, Any], words: str) -> None:
    folder = copy_of(saved, tmp_path)
    document = json.loads((folder / "policy.json").read_text())
    (folder / "policy.json").write_text(json.dumps(document | change))
    with pytest.raises(CheckpointError, match=words):
        load_policy(folder)
    refused(folder)


def test_a_document_without_an_entry_is_refused(saved: Path, tmp_path: Path) -> None:
    folder = copy_of(saved, tmp_path)
    document = json.loads((folder / "policy.json").read_text())
    del document["hyperparameters"]
    (folder / "policy.json").write_text(json.dumps(document))
    assert "has no entry 'hyperparameters'" in refused(folder)


def test_nothing_a_folder_and_a_text_are_no_policies(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="found nothing, expected a run folder, a policy folder or"):
        load_policy(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"found a folder without policy\.json"):
        load_policy(tmp_path)
    (tmp_path / "policy.json").write_text("{")
    assert "is not JSON" in refused(tmp_path)
    (tmp_path / "policy.json").write_text("[" * 100_000)
    assert "is not JSON" in refused(tmp_path)


@given(length=st.integers(0, 10**9))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_truncated_file_is_refused(saved: Path, tmp_path: Path, length: int) -> None:
    folder = copy_of(saved, tmp_path)
    whole = (folder / "policy.safetensors").read_bytes()
    (folder / "policy.safetensors").write_bytes(whole[: length % len(whole)])
    assert "not a whole safetensors file" in refused(folder)


@given(where=st.integers(0, 10**9), byte=st.integers(0, 255))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_document_is_refused_or_harmless(saved: Path, tmp_path: Path, where: int, byte: int) -> None:
    folder = copy_of(saved, tmp_path)
    content = bytearray((folder / "policy.json").read_bytes())
    content[where % len(content)] = byte
    (folder / "policy.json").write_bytes(bytes(content))
    with contextlib.suppress(CheckpointError):
        load_policy(folder)


def test_a_missing_weights_file_is_refused(saved: Path, tmp_path: Path) -> None:
    folder = copy_of(saved, tmp_path)
    (folder / "policy.safetensors").unlink()
    assert "policy.safetensors" in refused(folder)


def test_a_pickle_under_the_weights_name_is_not_run(saved: Path, tmp_path: Path) -> None:
    folder, sign = copy_of(saved, tmp_path), tmp_path / "sign"

    class Payload:
        def __reduce__(self) -> Any:
            return (Path.touch, (sign,))

    torch.save({"value_net.bias": Payload()}, folder / "policy.safetensors")
    assert "not a whole safetensors file" in refused(folder)
    assert not sign.exists()


def test_a_document_may_not_choose_what_is_imported(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, sign = copy_of(saved, tmp_path), tmp_path / "sign"
    (tmp_path / "visitor.py").write_text(
        f"open({str(sign)!r}, 'w').close()\n"
        "from stable_baselines3.common.torch_layers import FlattenExtractor\n"
        "class Encoder(FlattenExtractor): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    document = json.loads((folder / "policy.json").read_text())
    document["architecture"]["encoder"] = "visitor:Encoder"
    (folder / "policy.json").write_text(json.dumps(document))
    assert "import visitor first" in refused(folder)
    assert not sign.exists()
    try:
        load_policy(folder, architecture={"encoder": "visitor:Encoder"})
    finally:
        sys.modules.pop("visitor", None)
    assert sign.exists()


def test_tensors_are_copied_not_shared() -> None:
    _, one = policy_for("ppo", "vector", seed=0)
    _, two = policy_for("ppo", "vector", seed=1)
    load_tensors(two.network, tensors_of(one.network), "memory")
    with torch.no_grad():
        one.network.value_net.bias.fill_(9)  # type: ignore[attr-defined, operator]
    assert two.network.value_net.bias.item() != 9  # type: ignore[attr-defined, operator]
