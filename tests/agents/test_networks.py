"""Networks by their parts: encoders, the normaliser, first layers and heads."""

from typing import Any

import numpy as np
import pytest
import sb3_contrib
import stable_baselines3 as sb3
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor, NatureCNN
from torch import nn
from torch.nn import functional as F

from agents import networks
from agents.dqn import DQN
from agents.encoders import (
    FlatEncoder,
    Normaliser,
    Planes,
    PlanesConvEncoder,
    PlanesEncoder,
    SymbolsEncoder,
    channel_highs,
    choose_encoder,
    find_encoder,
    learns,
)
from agents.ppo import PPO
from envs.errors import ConfigError, HeadstartError, UnknownName
from tests.agents.toys import BOX, DISCRETE, off_policy_learner, on_policy_learner, quiet, toys

VECTOR = spaces.Box(-np.inf, np.inf, (4,), np.float32)
IMAGE = spaces.Box(0, 255, (36, 36, 3), np.uint8)
SMALL_IMAGE = spaces.Box(0, 255, (35, 84, 3), np.uint8)


def grid(highs: list[int], side: int = 7, kind: type = np.uint8) -> spaces.Box:
    high = np.broadcast_to(np.array(highs), (side, side, len(highs))).astype(kind)
    return spaces.Box(np.zeros_like(high), high, dtype=kind)


MINIGRID = grid([10, 5, 2])
MINATAR = grid([1] * 4, side=10)
MISSION = spaces.Dict({"mission": spaces.Discrete(5), "image": MINIGRID, "direction": spaces.Discrete(4)})


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        (VECTOR, "flat"),
        (spaces.Discrete(4), "flat"),
        (spaces.MultiDiscrete([2, 3]), "flat"),
        (MINIGRID, "planes"),
        (MINATAR, "planes"),
        (grid([1, 1], kind=np.bool_), "planes"),
        (IMAGE, "nature"),
        (spaces.Dict({"a": VECTOR}), "combined"),
        (MISSION, "symbols"),
        (spaces.Dict({"a": MINIGRID, "b": MINATAR}), "symbols"),
        (spaces.Dict({"a": MINIGRID, "b": VECTOR}), "combined"),
        (spaces.Dict({"a": MINIGRID, "b": IMAGE}), "combined"),
        (spaces.Dict({"a": MINIGRID, "b": spaces.Discrete(3, start=1)}), "combined"),
        (spaces.Dict({"a": spaces.Discrete(3)}), "combined"),
        (spaces.Box(0, 1, (7, 7, 3), np.float32), "flat"),
        (spaces.Box(0, 200, (7, 7, 3), np.uint8), "flat"),
        (spaces.Box(-1, 5, (7, 7, 3), np.int64), "flat"),
    ],
    ids=str,
)
def test_auto_chooses_the_encoder_by_the_observations(space: spaces.Space[Any], expected: str) -> None:
    assert choose_encoder(space) == expected
    assert find_encoder("auto", space, False) == find_encoder(expected, space, False)


def test_what_plain_sb3_has_is_sb3s_own_so_that_zips_open_there() -> None:
    assert find_encoder("flat", VECTOR, False) == (FlattenExtractor, {})
    assert find_encoder("nature", IMAGE, False) == (NatureCNN, {})
    assert find_encoder("combined", spaces.Dict({"a": VECTOR}), False) == (CombinedExtractor, {})
    assert find_encoder("flat", VECTOR, True) == (FlatEncoder, {"normalise": True})


def test_a_plug_in_encoder_is_named_by_its_module() -> None:
    assert find_encoder("agents.encoders:PlanesConvEncoder", MINATAR, False)[0] is PlanesConvEncoder


@pytest.mark.parametrize(
    ("name", "space", "normalise", "words"),
    [
        ("plane", MINIGRID, False, "unknown encoder 'plane': did you mean 'planes'"),
        ("nature", VECTOR, False, "encoder nature: expected an image of uint8"),
        ("auto", SMALL_IMAGE, False, "encoder nature: found images of 35×84, expected at least 36×36"),
        ("nature", SMALL_IMAGE, False, 'or take encoder = "flat"'),
        ("combined", VECTOR, False, "encoder combined: expected a Dict"),
        ("nature", IMAGE, True, "normalise_observations: the encoder nature has no normaliser"),
        ("symbols", MISSION, True, "normalise_observations: the encoder symbols has no normaliser"),
        ("agents.nowhere:Encoder", VECTOR, False, "no module 'agents.nowhere'"),
        ("agents.encoders:Normaliser", VECTOR, False, "expected a subclass of"),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused_in_words(
    name: str, space: spaces.Space[Any], normalise: bool, words: str
) -> None:
    with pytest.raises(HeadstartError, match=words):
        find_encoder(name, space, normalise)


def test_planes_of_no_grid_are_refused_in_words() -> None:
    with pytest.raises(ConfigError, match="encoder planes: expected a grid of integers from 0 to at most 32"):
        PlanesEncoder(VECTOR)
    with pytest.raises(ConfigError, match="encoder symbols: expected a Dict of at least one grid of symbols"):
        SymbolsEncoder(spaces.Dict({"a": MINIGRID, "b": VECTOR}))
    with pytest.raises(ConfigError, match="smaller than its 3×3 filters"):
        PlanesConvEncoder(grid([1], side=2))


@settings(max_examples=40, deadline=None)
@given(
    highs=st.lists(st.integers(1, 12), min_size=1, max_size=4),
    sides=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    seed=st.integers(0, 1000),
)
def test_planes_are_the_one_hot_of_each_channel(highs: list[int], sides: tuple[int, int], seed: int) -> None:
    high = np.broadcast_to(np.array(highs), (*sides, len(highs))).astype(np.uint8)
    space = spaces.Box(np.zeros_like(high), high, dtype=np.uint8)
    assert channel_highs(space) == highs
    symbols = np.random.default_rng(seed).integers(0, high, size=(5, *high.shape), endpoint=True, dtype=np.uint8)
    tensor = torch.as_tensor(symbols)
    parts = [
        tensor[..., c : c + 1].float() if h == 1 else F.one_hot(tensor[..., c].long(), h + 1).float()
        for c, h in enumerate(highs)
    ]
    expected = torch.cat(parts, dim=-1).flatten(1)
    encoder = PlanesEncoder(space)
    assert torch.equal(encoder(preprocess_obs(tensor, space)), expected)
    assert torch.equal(encoder(tensor), expected)
    assert encoder.features_dim == expected.shape[1]
    for plane, (channel, value) in enumerate(encoder.planes.labels):
        found = expected.view(5, *encoder.planes.shape)[..., plane]
        assert torch.equal(found, (tensor[..., channel] == value).float())


@pytest.mark.parametrize("trailing", [(), (1,)], ids=["as given", "as a buffer holds them"])
def test_symbols_are_the_one_hot_of_each_part_in_gymnasiums_order(trailing: tuple[int, ...]) -> None:
    MISSION.seed(0)
    drawn = [MISSION.sample() for _ in range(6)]
    seen = {key: torch.as_tensor(np.stack([np.asarray(one[key]) for one in drawn])) for key in MISSION.spaces}
    counted = {key: value if key == "image" else value.reshape(6, *trailing) for key, value in seen.items()}
    encoder = SymbolsEncoder(MISSION)
    features = encoder(preprocess_obs(counted, MISSION))
    expected = [F.one_hot(seen["direction"], 4), PlanesEncoder(MINIGRID)(seen["image"]), F.one_hot(seen["mission"], 5)]
    assert torch.equal(features, torch.cat([part.float() for part in expected], dim=1))
    assert encoder.features_dim == features.shape[1] == 4 + 7 * 7 * 20 + 5
    assert encoder.sizes == {"direction": 4, "image": 7 * 7 * 20, "mission": 5}
    assert not learns(encoder)


def test_planes_are_not_part_of_a_checkpoint() -> None:
    assert not PlanesEncoder(MINIGRID).state_dict()
    assert not SymbolsEncoder(MISSION).state_dict()
    assert Planes(MINIGRID).size == 7 * 7 * 20


def test_the_convolution_sees_planes_as_channels() -> None:
    encoder = PlanesConvEncoder(MINATAR)
    assert encoder(torch.zeros(2, 10, 10, 4)).shape == (2, 128)
    first, pixel = encoder.network[0], torch.zeros(1, 10, 10, 4)
    pixel[0, 3, 5, 2] = 1
    difference = first(encoder.planes(pixel).view(1, 10, 10, 4).permute(0, 3, 1, 2)) - first(torch.zeros(1, 4, 10, 10))
    torch.testing.assert_close(difference[0, :, 3, 5], first.weight[:, 2, 0, 0])
    assert learns(encoder)
    assert not learns(PlanesEncoder(MINATAR, normalise=True))


@settings(max_examples=30, deadline=None)
@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=5), seed=st.integers(0, 1000))
def test_the_normalisers_statistics_are_those_of_all_it_saw(sizes: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    batches = [generator.normal(3.0, 2.0, (size, 3)).astype(np.float32) for size in sizes]
    norm = Normaliser(3)
    for batch in batches:
        norm.update(torch.as_tensor(batch))
    seen = np.concatenate(batches)
    np.testing.assert_allclose(norm.mean, seen.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(norm.var, seen.var(axis=0), rtol=1e-3, atol=1e-5)
    assert norm.count.tolist() == [sum(sizes)] * 3


def test_the_normaliser_is_sb3s_formula() -> None:
    generator = np.random.default_rng(0)
    seen, new = generator.normal(5, 3, (500, 2)), generator.normal(5, 30, (100, 2))
    norm, theirs = Normaliser(2), RunningMeanStd(epsilon=1e-12, shape=(2,))
    norm.update(torch.as_tensor(seen))
    theirs.update(seen)
    expected = np.clip((new - theirs.mean) / np.sqrt(theirs.var + 1e-8), -10, 10)
    found = norm(torch.as_tensor(new, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    assert abs(found).max() == 10


def test_features_keep_counts_of_their_own() -> None:
    norm = Normaliser(2)
    norm.count[0], norm.mean[0], norm.var[0] = 1e6, 7.0, 4.0
    norm.update(torch.tensor([[1.0, 1.0], [3.0, 3.0]]))
    assert norm.mean[0].item() == pytest.approx(7.0, abs=1e-3)
    assert norm.mean[1].item() == pytest.approx(2.0)
    assert norm.var[1].item() == pytest.approx(1.0)


def test_a_normaliser_that_saw_nothing_leaves_features_alone() -> None:
    features = torch.linspace(-9, 9, 20).view(10, 2)
    norm = Normaliser(2)
    assert torch.equal(norm(features), features)
    norm.update(torch.zeros(0, 2))
    assert torch.equal(norm(features), features)


def normalised(algorithm: Any, **more: Any) -> Any:
    kwargs = networks.policy_kwargs({"normalise_observations": True, **more}, spaces.Box(-1, 1, (3,), np.float32))
    return {"policy_kwargs": kwargs}


def test_an_on_policy_normaliser_moves_only_between_an_update_and_the_next_rollout() -> None:
    venv = toys(DISCRETE)
    learner = quiet(PPO("MlpPolicy", venv, n_steps=16, batch_size=32, seed=1, device="cpu", **normalised(PPO)))
    norm = networks.normaliser(learner.policy)
    assert norm is not None
    counts: list[tuple[str, float]] = []
    train, collect = learner.train, learner.collect_rollouts

    def noting(name: str, function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            counts.append((name, norm.count[0].item()))
            return result

        return call

    learner.train, learner.collect_rollouts = noting("train", train), noting("collect", collect)
    learner.learn(3 * 64, callback=networks.NormaliserCallback())
    assert counts == [
        *(("collect", 0.0), ("train", 0.0)),
        *(("collect", 64.0), ("train", 64.0)),
        *(("collect", 128.0), ("train", 128.0)),
    ]


def test_the_normaliser_sees_the_rollouts_observations() -> None:
    learner = on_policy_learner(sb3.A2C, DISCRETE, n_steps=16, **normalised(sb3.A2C))
    norm = networks.normaliser(learner.policy)
    assert norm is not None
    callback = networks.NormaliserCallback()
    callback.init_callback(learner)
    seen = learner.rollout_buffer.observations.reshape(-1, 3)
    callback.on_rollout_end()
    learner.train()
    learner.rollout_buffer.reset()
    callback.on_rollout_start()
    np.testing.assert_allclose(norm.mean, seen.mean(axis=0), atol=1e-6)


@pytest.mark.parametrize(("algorithm", "action_space"), [(DQN, DISCRETE), (sb3.SAC, BOX), (sb3.TD3, BOX)])
def test_an_off_policy_normaliser_moves_now_and_then_and_takes_the_targets_along(
    algorithm: Any, action_space: spaces.Space[Any]
) -> None:
    learner = off_policy_learner(algorithm, action_space, **normalised(algorithm))
    learner.learn(250, callback=networks.NormaliserCallback(every=100), reset_num_timesteps=False)
    found = networks.normalisers(learner.policy)
    assert len(found) >= 2
    for norm in found:
        assert norm.count.tolist() == [200.0] * 3
        assert torch.equal(norm.mean, found[0].mean)
        assert norm.mean.abs().max() > 0
        assert torch.equal(norm.var, found[0].var)


def test_updating_a_policy_without_a_normaliser_does_nothing() -> None:
    learner = on_policy_learner(sb3.A2C, DISCRETE)
    networks.update_normaliser(learner.policy, np.ones((4, 3), np.float32))
    assert networks.normaliser(learner.policy) is None
    learner.learn(40, callback=networks.NormaliserCallback())


ALGORITHMS = [
    (PPO, DISCRETE, 2),
    (sb3.A2C, BOX, 2),
    (DQN, DISCRETE, 1),
    (sb3.SAC, BOX, 1),
    (sb3.TD3, BOX, 1),
]


@pytest.mark.parametrize("hidden", [[5, 6], []], ids=["mlp", "linear"])
@pytest.mark.parametrize(("algorithm", "action_space", "n_first"), ALGORITHMS)
def test_first_layers_and_heads_are_those_that_act(
    algorithm: Any, action_space: spaces.Space[Any], n_first: int, hidden: list[int]
) -> None:
    kwargs = networks.policy_kwargs({"net_arch": hidden, "activation": "relu"}, spaces.Box(-1, 1, (3,), np.float32))
    policy = algorithm("MlpPolicy", toys(action_space, n_envs=1), policy_kwargs=kwargs, device="cpu").policy
    first, head = networks.first_linears(policy), networks.action_head(policy)
    if hidden:
        assert [layer.out_features for layer in first] == [5] * n_first
    assert all(layer.in_features == 3 for layer in first)
    assert head.in_features == (hidden or [3])[-1]
    with torch.no_grad():
        for layer in policy.modules():
            if isinstance(layer, nn.Linear):
                layer.weight.zero_()
                layer.bias.zero_()
        head.bias += torch.arange(float(head.out_features)) / 4
    action, _ = policy.predict(np.zeros((1, 3), np.float32), deterministic=True)
    if action_space is DISCRETE:
        assert action.tolist() == [2]
    else:
        squashed = algorithm in (sb3.SAC, sb3.TD3)
        np.testing.assert_allclose(action, [[0.0, np.tanh(0.25) if squashed else 0.25]], atol=1e-6)


def test_the_value_head_is_the_critics() -> None:
    policy = on_policy_learner(PPO, DISCRETE).policy
    head = networks.value_head(policy)
    assert head is policy.value_net
    assert networks.value_head(off_policy_learner(DQN, DISCRETE).policy) is None


def test_an_unknown_kind_of_policy_is_refused_in_words() -> None:
    policy = sb3_contrib.QRDQN("MlpPolicy", toys(DISCRETE), device="cpu", buffer_size=10).policy
    for look in (networks.first_linears, networks.action_head):
        with pytest.raises(ConfigError, match="QRDQNPolicy have no layers that transfer can read"):
            look(policy)


def test_an_architecture_is_the_part_of_the_hyperparameters_that_decides_the_network() -> None:
    hyperparameters = {"net_arch": [8], "activation": "relu", "encoder": "flat", "gamma": 0.9, "use_sde": False}
    document = networks.architecture(hyperparameters | {"normalise_observations": True, "log_std_init": -1.0})
    assert document == {
        "net_arch": [8],
        "activation": "relu",
        "encoder": "flat",
        "normalise_observations": True,
        "log_std_init": -1.0,
        "use_sde": False,
    }
    assert networks.policy_kwargs(document, VECTOR) == {
        "features_extractor_class": FlatEncoder,
        "features_extractor_kwargs": {"normalise": True},
        "net_arch": [8],
        "activation_fn": nn.ReLU,
        "log_std_init": -1.0,
    }


def test_an_unknown_activation_is_refused_in_words() -> None:
    with pytest.raises(UnknownName, match="unknown activation 'rellu': did you mean 'relu'"):
        networks.policy_kwargs({"activation": "rellu"}, VECTOR)
