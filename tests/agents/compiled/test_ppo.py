"""PPO in compiled code against PyTorch's autograd and against plain SB3, for every kind of network it knows."""

from typing import Any

import numpy as np
import pytest
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer
from torch import nn

from agents.compiled import ppo as kernels
from agents.compiled import stacks
from agents.compiled.learner import CompiledPPO
from agents.encoders import FlatEncoder, PlanesEncoder, SymbolsEncoder
from agents.masking import MaskedActorCritic
from agents.outputs import Batch, policy_outputs
from agents.ppo import PPO
from envs.errors import GameError
from envs.masks import MASK, inner, is_masked, with_mask
from envs.observations import each
from envs.task import Change, Task
from envs.vector import make_vec
from tests.agents.toys import BOX, DISCRETE, moves, quiet, toys

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")

NUMBERS = spaces.Box(-3, 3, (5,), np.float32)
SYMBOLS = spaces.Box(0, np.broadcast_to(np.array((10, 5, 2), np.uint8), (3, 4, 3)), dtype=np.uint8)
MIXED = spaces.Box(0, np.broadcast_to(np.array((4, 1), np.uint8), (3, 3, 2)), dtype=np.uint8)
PLANES = spaces.Box(0, 1, (4, 4, 3), dtype=np.bool_)
MISSION = spaces.Dict({"image": SYMBOLS, "direction": spaces.Discrete(4), "mission": spaces.Discrete(255)})
BITS = spaces.Box(0, 1, (7,), np.uint8)
PARTS = spaces.Dict({"b": PLANES, "c": spaces.Discrete(1), "d": MIXED})
NETWORKS: dict[str, tuple[spaces.Space[Any], dict[str, Any]]] = {
    "numbers": (NUMBERS, {}),
    "deep relu": (NUMBERS, {"net_arch": [32, 16, 8], "activation_fn": nn.ReLU}),
    "no hidden layer": (NUMBERS, {"net_arch": []}),
    "unlike halves": (NUMBERS, {"net_arch": {"pi": [16], "vf": [32, 32]}}),
    "normalised": (
        NUMBERS,
        {"features_extractor_class": FlatEncoder, "features_extractor_kwargs": {"normalise": True}},
    ),
    "symbols": (SYMBOLS, {"features_extractor_class": PlanesEncoder}),
    "symbols without hidden layer": (SYMBOLS, {"features_extractor_class": PlanesEncoder, "net_arch": []}),
    "symbols and planes": (MIXED, {"features_extractor_class": PlanesEncoder}),
    "planes": (PLANES, {"features_extractor_class": PlanesEncoder}),
    "mission": (MISSION, {"features_extractor_class": SymbolsEncoder}),
    "parts": (PARTS, {"features_extractor_class": SymbolsEncoder}),
    "bits": (BITS, {}),
}
MASKED: dict[str, tuple[spaces.Space[Any], dict[str, Any]]] = {
    "masked planes": (with_mask(PLANES, 5), {"features_extractor_class": PlanesEncoder}),
    "masked symbols": (with_mask(SYMBOLS, 5), {"features_extractor_class": PlanesEncoder}),
    "masked numbers": (
        with_mask(NUMBERS, 5),
        {"features_extractor_class": FlatEncoder, "features_extractor_kwargs": {"normalise": True}},
    ),
    "masked bits": (with_mask(BITS, 5), {"net_arch": []}),
}
SIZES = {"n_steps": 300, "batch_size": 700, "n_epochs": 2}  # a minibatch of several chunks, and a stump


def learner(algorithm: Any, network: str, **settings: Any) -> Any:
    """A learner whose rollout is full, the same for every algorithm."""
    observations, kwargs = (NETWORKS | MASKED)[network]
    masked = is_masked(observations)
    policy = "MultiInputPolicy" if isinstance(observations, spaces.Dict) else "MlpPolicy"
    made = algorithm(
        MaskedActorCritic if masked else policy,
        moves(inner(observations), n_envs=3) if masked else toys(DISCRETE, observations, n_envs=3),
        policy_kwargs=dict(kwargs),
        seed=4,
        device="cpu",
        **(SIZES | settings),
    )
    _, callback = quiet(made)._setup_learn(1000, None)
    if isinstance(made, PPO):
        made.compiles = False
    made.collect_rollouts(made.env, callback, made.rollout_buffer, made.n_steps)
    rng = np.random.default_rng(0)
    made.rollout_buffer.log_probs += rng.normal(0, 0.2, made.rollout_buffer.log_probs.shape).astype(np.float32)
    return made


def assert_alike(ours: Any, theirs: Any, tolerance: float = 2e-6) -> None:
    expected = dict(theirs.policy.named_parameters())
    for name, parameter in ours.policy.named_parameters():
        torch.testing.assert_close(parameter, expected[name], rtol=0, atol=tolerance, msg=name)


@pytest.mark.parametrize("network", NETWORKS | MASKED)
def test_an_update_of_large_minibatches_is_sb3s(network: str) -> None:
    ours, theirs = learner(PPO, network), learner(stable_baselines3.PPO, network)
    ours.compiles = True
    assert ours._compiled() is not None
    for made in (ours, theirs):
        np.random.seed(1)  # noqa: NPY002
        made.train()
        made.train()
    assert_alike(ours, theirs)
    first, second = (made.policy.optimizer.state_dict()["state"] for made in (ours, theirs))
    for index, state in second.items():
        for key, value in state.items():
            torch.testing.assert_close(first[index][key], value, rtol=1e-3, atol=1e-6, msg=key)


@pytest.mark.parametrize("network", ["numbers", "symbols", "mission", "masked planes"])
def test_frozen_layers_rates_of_their_own_and_an_auxiliary_loss_are_autograds(network: str) -> None:
    def added(batch: Batch) -> torch.Tensor:
        assert batch.outputs.value is not None
        decay = sum(p.square().sum() for p in batch.policy.action_net.parameters())
        likely = batch.outputs.log_probabilities().exp()[:, 1].mean()
        return 0.3 * likely + batch.outputs.value.square().mean() + 0.1 * decay

    made = []
    for compiles in (True, False):
        one = learner(PPO, network)
        for parameter in one.policy.value_net.parameters():
            parameter.requires_grad_(False)
        head = list(one.policy.action_net.parameters())
        rest = [p for p in one.policy.parameters() if not any(p is other for other in head)]
        one.policy.optimizer = torch.optim.Adam([{"params": rest}, {"params": head, "lr": 1.0}], lr=3e-4, eps=1e-5)
        one._update_learning_rate = lambda optimisers: None  # groups keep their rates
        one.policy.optimizer.param_groups[1]["lr"] = 3e-3
        one.compiles, one.auxiliary = compiles, added
        before = one.policy.value_net.weight.detach().clone()
        np.random.seed(1)  # noqa: NPY002
        one.train()
        assert torch.equal(one.policy.value_net.weight, before)
        made.append(one)
    assert_alike(*made, tolerance=1e-5)
    logged, expected = (one.logger.name_to_value for one in made)
    for key, value in expected.items():
        assert logged[key] == pytest.approx(value, abs=2e-5, rel=1e-3), key


@pytest.mark.parametrize(
    ("game", "limit", "backend", "policy", "encoder"),
    [
        ("headstart/CartPole-v1", 20, "batched", "MlpPolicy", FlatEncoder),
        ("headstart/GoToDoor-5x5-v0", 5, "batched", "MultiInputPolicy", SymbolsEncoder),
        ("headstart/GoToDoor-5x5-v0", 5, "dummy", "MultiInputPolicy", SymbolsEncoder),
        ("MinAtar/Breakout-v1", 20, "batched", "MlpPolicy", PlanesEncoder),
    ],
)
def test_a_training_on_a_game_is_sb3s(game: str, limit: int, backend: Any, policy: str, encoder: Any) -> None:
    learners = []
    task = Task(game=game, change=Change(time_limit=limit))  # so that episodes are cut off
    for algorithm in (PPO, stable_baselines3.PPO):
        venv = make_vec(task, n_envs=6, seed=3, backend=backend)
        kwargs = {"features_extractor_class": encoder}
        settings: dict[str, Any] = {"n_steps": 64, "batch_size": 96, "n_epochs": 2, "seed": 3, "device": "cpu"}
        made = quiet(algorithm(policy, venv, policy_kwargs=kwargs, **settings))
        made.learn(64 * 6 * 3)
        learners.append(made)
    ours, theirs = learners
    assert ours._compiled() is not None
    assert_alike(ours, theirs, tolerance=2e-5)
    for name in ("rewards", "advantages", "returns", "values", "log_probs", "episode_starts"):
        first, second = (np.asarray(getattr(one.rollout_buffer, name)) for one in learners)
        flat = second.reshape(6, 64).T if theirs.rollout_buffer.generator_ready and name in FLATTENED else second
        np.testing.assert_allclose(first.reshape(64, 6), flat.reshape(64, 6), atol=2e-4, err_msg=name)
    assert [e["r"] for e in ours.ep_info_buffer] == [e["r"] for e in theirs.ep_info_buffer]
    assert max(e["l"] for e in ours.ep_info_buffer) == limit


FLATTENED = {"values", "log_probs", "advantages", "returns"}


def test_advantages_are_sb3s() -> None:
    rng = np.random.default_rng(2)
    buffer = RolloutBuffer(50, NUMBERS, DISCRETE, "cpu", gae_lambda=0.9, gamma=0.97, n_envs=4)
    buffer.rewards[:] = rng.normal(size=(50, 4))
    buffer.values[:] = rng.normal(size=(50, 4))
    buffer.episode_starts[:] = rng.random((50, 4)) < 0.1
    last, ended = rng.normal(size=4).astype(np.float32), rng.random(4) < 0.5
    buffer.compute_returns_and_advantage(torch.from_numpy(last), ended)
    advantages, returns = np.zeros((50, 4), np.float32), np.zeros((50, 4), np.float32)
    kernels.estimate(buffer.rewards, buffer.values, buffer.episode_starts, last, ended, 0.97, 0.9, advantages, returns)
    np.testing.assert_allclose(advantages, buffer.advantages, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(returns, buffer.returns, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("network", NETWORKS | MASKED)
def test_acting_draws_what_the_network_draws(network: str) -> None:
    made = learner(PPO, network)
    observations = each(lambda held: held.reshape(-1, *held.shape[2:]), made.rollout_buffer.observations)
    compiled = CompiledPPO.of(made.policy)
    assert compiled is not None
    compiled.load()
    made.policy.set_training_mode(False)
    torch.manual_seed(7)
    actions, values, log_probs = compiled.act(observations)
    torch.manual_seed(7)
    with torch.no_grad():
        theirs = made.policy(each(torch.as_tensor, observations))
    assert (actions == theirs[0].numpy()).mean() > 0.999  # a tie within rounding may fall either way
    same = actions == theirs[0].numpy()
    np.testing.assert_allclose(values, theirs[1].numpy().ravel(), atol=2e-6)
    np.testing.assert_allclose(log_probs[same], theirs[2].numpy()[same], atol=2e-6)


def test_illegal_actions_are_never_drawn_and_are_exactly_impossible() -> None:
    made = learner(PPO, "masked planes")
    compiled = CompiledPPO.of(made.policy)
    assert compiled is not None
    compiled.load()
    observations = each(lambda held: held.reshape(-1, *held.shape[2:]), made.rollout_buffer.observations)
    masks = observations[MASK]
    for greedy in (False, True):
        actions, _, log_probs = compiled.act(observations, greedy=greedy)
        assert (np.take_along_axis(masks, actions[:, None], axis=1) == 1).all()
        assert np.isfinite(log_probs).all()
    looked = compiled.outputs(observations)
    assert (looked.log_probabilities().exp().numpy()[masks == 0] == 0).all()
    torch.testing.assert_close(
        looked.log_probabilities(),
        policy_outputs(made.policy, each(torch.as_tensor, observations)).log_probabilities(),
        rtol=0,
        atol=2e-6,
    )
    stuck = {**observations, MASK: np.zeros_like(masks)}
    with pytest.raises(GameError, match="without any legal action"):
        compiled.act(stuck)
    np.testing.assert_array_equal(compiled.values(stuck), compiled.values(observations))


def test_a_symbol_beyond_its_bound_touches_no_foreign_memory() -> None:
    made = learner(PPO, "symbols")
    compiled = CompiledPPO.of(made.policy)
    assert compiled is not None
    compiled.load()
    beyond = np.full((1, 3, 4, 3), 255, np.uint8)
    highest = np.broadcast_to(np.array((10, 5, 2), np.uint8), (1, 3, 4, 3)).copy()
    np.testing.assert_array_equal(compiled.values(beyond), compiled.values(highest))


def test_a_part_that_counts_beyond_a_byte_learns_through_pytorch() -> None:
    space = spaces.Dict({"image": SYMBOLS, "mission": spaces.Discrete(256)})
    kwargs = {"features_extractor_class": SymbolsEncoder}
    settings: dict[str, Any] = {"n_steps": 8, "batch_size": 16, "device": "cpu", "policy_kwargs": kwargs}
    made = quiet(PPO("MultiInputPolicy", toys(DISCRETE, space), **settings))
    assert made._compiled() is None
    made.learn(32)


def test_the_fast_tanh_is_tanh() -> None:
    values = np.linspace(-12, 12, 100_001, dtype=np.float32).reshape(1, -1)
    found = values.copy()
    stacks.activate(found, np.zeros(values.size, np.float32), stacks.TANH)
    np.testing.assert_allclose(found, np.tanh(values.astype(np.float64)), atol=4e-7)


@pytest.mark.parametrize(
    ("action_space", "kwargs"),
    [
        (BOX, {}),
        (DISCRETE, {"share_features_extractor": False}),
        (DISCRETE, {"activation_fn": nn.ELU}),
        (DISCRETE, {"optimizer_class": torch.optim.AdamW}),
    ],
    ids=["continuous", "two encoders", "elu", "adamw"],
)
def test_what_compiled_code_does_not_know_learns_through_pytorch(action_space: Any, kwargs: dict[str, Any]) -> None:
    made = quiet(PPO("MlpPolicy", toys(action_space), policy_kwargs=kwargs, n_steps=8, batch_size=16, device="cpu"))
    assert made._compiled() is None
    before = made.policy.action_net.weight.detach().clone()
    made.learn(64)
    assert not torch.equal(made.policy.action_net.weight, before)
