"""Actor-critics that play legal moves only: sb3-contrib's numbers, and illegal moves neither played nor learnt from."""

import copy
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import sb3_contrib
import torch
from gymnasium import spaces
from stable_baselines3 import A2C
from stable_baselines3 import PPO as PlainPPO
from stable_baselines3.common.vec_env import DummyVecEnv

from agents.encoders import FlatEncoder, PlanesConvEncoder, PlanesEncoder
from agents.maskable import MaskablePPO
from agents.masking import ILLEGAL, MaskedActorCritic, masked
from agents.outputs import Batch, policy_outputs
from agents.ppo import PPO
from envs.errors import ConfigError, GameError
from envs.masks import MASK, SEEN, with_mask
from tests.agents.toys import DISCRETE, PLANES, Moves, moves, quiet, toys

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")

SMALL: dict[str, Any] = {"n_steps": 32, "batch_size": 48, "n_epochs": 3, "seed": 5, "device": "cpu"}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "entropy": {"ent_coef": 0.1, "clip_range_vf": 0.1},
    "early stop": {"target_kl": 0.001, "learning_rate": 0.01},
    "separate encoders": {"policy_kwargs": {"share_features_extractor": False}},
}
VECTOR = spaces.Box(-1, 1, (3,), np.float32)


def learner(algorithm: Any = PPO, seen: spaces.Space[Any] = PLANES, **settings: Any) -> Any:
    """A learner whose rollout is full, by PyTorch."""
    made = quiet(algorithm("MultiInputPolicy", moves(seen), **(SMALL | settings)))
    made.compiles = False
    _, callback = made._setup_learn(1000, None)
    made.collect_rollouts(made.env, callback, made.rollout_buffer, made.n_steps)
    return made


class Seen(gym.ObservationWrapper[Any, Any, Any]):
    """What is looked at alone, as sb3-contrib's buffer wants it; masks are asked for."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.observation_space = env.observation_space[SEEN]

    def observation(self, observation: Any) -> Any:
        return observation[SEEN]

    def action_masks(self) -> np.ndarray:
        """Of the toy."""
        return self.env.action_masks()  # type: ignore[attr-defined, no-any-return]


def theirs(**settings: Any) -> Any:
    """The same learner of sb3-contrib's."""
    made = quiet(sb3_contrib.MaskablePPO("MlpPolicy", DummyVecEnv([lambda: Seen(Moves())] * 4), **(SMALL | settings)))
    _, callback = made._setup_learn(1000, None)
    made.collect_rollouts(made.env, callback, made.rollout_buffer, made.n_steps)
    return made


def assert_same_parameters(ours: Any, other: Any, tolerance: float = 2e-6) -> None:
    expected = dict(other.policy.named_parameters())
    assert expected.keys() == dict(ours.policy.named_parameters()).keys()
    for name, parameter in ours.policy.named_parameters():
        torch.testing.assert_close(parameter, expected[name], rtol=0, atol=tolerance, msg=name)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("algorithm", [PPO, MaskablePPO])
def test_a_rollout_and_an_update_are_sb3_contribs(algorithm: Any, setting: str) -> None:
    ours, other = learner(algorithm, **SETTINGS[setting]), theirs(**SETTINGS[setting])
    assert isinstance(ours.policy, MaskedActorCritic)
    assert_same_parameters(ours, other, tolerance=0)
    held, expected = ours.rollout_buffer, other.rollout_buffer
    np.testing.assert_array_equal(held.observations[SEEN], expected.observations)
    np.testing.assert_array_equal(held.observations[MASK], expected.action_masks)
    for name in ("actions", "rewards", "values", "log_probs", "advantages", "returns"):
        np.testing.assert_allclose(getattr(held, name), getattr(expected, name), atol=1e-6, err_msg=name)
    before = copy.deepcopy(ours.policy.state_dict())
    for made in (ours, other):
        np.random.seed(1)  # noqa: NPY002
        made.train()
        made.train()
    assert any(not torch.equal(before[key], value) for key, value in ours.policy.state_dict().items())
    assert_same_parameters(ours, other)
    logged, wanted = ours.logger.name_to_value, other.logger.name_to_value
    assert logged.keys() == wanted.keys()
    for key, value in wanted.items():
        assert logged[key] == pytest.approx(value, abs=2e-5, rel=1e-4), key


def test_an_update_of_ours_is_that_of_plain_sb3_on_the_same_policy() -> None:
    ours = learner()
    other = quiet(PlainPPO(MaskedActorCritic, moves(), **SMALL))
    other.policy.load_state_dict(ours.policy.state_dict())
    other.rollout_buffer = copy.deepcopy(ours.rollout_buffer)
    for made in (ours, other):
        np.random.seed(1)  # noqa: NPY002
        made.train()
    assert_same_parameters(ours, other)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_convolution_sees_the_board_alone(frozen: bool) -> None:
    kwargs = {"features_extractor_class": PlanesConvEncoder, "net_arch": []}
    ours = learner(policy_kwargs=kwargs)
    other = quiet(PlainPPO(MaskedActorCritic, moves(), policy_kwargs=kwargs, **SMALL))
    other.policy.load_state_dict(ours.policy.state_dict())
    other.rollout_buffer = copy.deepcopy(ours.rollout_buffer)
    for made in (ours, other):
        made.policy.features_extractor.requires_grad_(not frozen)
        np.random.seed(1)  # noqa: NPY002
        made.train()
    assert_same_parameters(ours, other)


def test_illegal_actions_have_no_probability_no_entropy_and_no_gradient() -> None:
    logits = torch.randn(50, 5, requires_grad=True)
    masks = (torch.rand(50, 5) < 0.5).int()
    masks[:, 2] = 1
    distribution = torch.distributions.Categorical(logits=masked(logits, masks))
    assert (distribution.probs[masks == 0] == 0).all()
    alone = [torch.distributions.Categorical(logits=row[on == 1]) for row, on in zip(logits, masks, strict=True)]
    entropies = torch.stack([one.entropy() for one in alone])
    torch.testing.assert_close(distribution.entropy(), entropies)
    (distribution.entropy() + distribution.log_prob(torch.full((50,), 2))).sum().backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert (logits.grad[masks == 0] == 0).all()
    assert torch.isfinite(logits.grad).all()
    assert masked(logits, None) is logits


def test_what_reads_a_policy_reads_masked_logits() -> None:
    made = learner()
    observations = {key: torch.as_tensor(held[0]) for key, held in made.rollout_buffer.observations.items()}
    illegal = observations[MASK] == 0
    outputs = policy_outputs(made.policy, observations)
    assert outputs.kind == "categorical"
    assert (outputs.log_probabilities().exp()[illegal] == 0).all()
    torch.testing.assert_close(
        outputs.log_probabilities(),
        torch.log_softmax(made.policy.get_distribution(observations).distribution.logits, -1),
    )
    torch.testing.assert_close(outputs.value, made.policy.predict_values(observations).flatten())
    seen = []

    def loss(batch: Batch) -> torch.Tensor:
        torch.testing.assert_close(
            batch.outputs.log_probabilities(), policy_outputs(made.policy, batch.observations).log_probabilities()
        )
        assert isinstance(batch.observations, dict)
        seen.append(float(batch.outputs.log_probabilities().detach()[batch.observations[MASK] == 0].exp().sum()))
        return 0.1 * batch.outputs.log_probabilities().exp().square().mean()

    made.auxiliary = loss
    made.train()
    assert seen == [0.0] * 9


@pytest.mark.parametrize("algorithm", [PPO, MaskablePPO, PlainPPO, A2C, sb3_contrib.TRPO])
def test_a_training_plays_legal_moves_only(algorithm: Any) -> None:
    kwargs = {"seed": 1, "device": "cpu", "n_steps": 16} | ({} if algorithm is A2C else {"batch_size": 32})
    made = quiet(algorithm(MaskedActorCritic, moves(), **kwargs))
    made.learn(256)  # an illegal move raises


def test_a_game_with_a_rule_is_learnt() -> None:
    made = quiet(PPO("MultiInputPolicy", moves(VECTOR, 3, n_envs=8), **SMALL | {"learning_rate": 0.003, "n_epochs": 8}))
    made.learn(12_000)
    observations = {SEEN: np.zeros((2, 3), np.float32), MASK: np.array([[1, 1, 1], [0, 1, 1]], np.int8)}
    assert made.predict(observations, deterministic=True)[0].tolist() == [0, 1]


def test_predict_takes_masks_as_sb3_contribs_does() -> None:
    made = MaskablePPO("MultiInputPolicy", moves(), **SMALL)
    for n in range(5):
        only = np.eye(5, dtype=bool)[n]
        seen = PLANES.sample()
        assert made.predict(seen, action_masks=only)[0] == n
        assert made.predict({SEEN: seen, MASK: np.ones(5, np.int8)}, action_masks=only)[0] == n
        assert made.predict(np.stack([seen] * 3), action_masks=np.stack([only] * 3))[0].tolist() == [n] * 3


def test_no_legal_action_is_one_clear_line() -> None:
    made = learner()
    made.policy.game = "own/Stuck-v0"
    observation = {SEEN: PLANES.sample(), MASK: np.zeros(5, np.int8)}
    with pytest.raises(GameError, match=r"^game 'own/Stuck-v0' returned an action_mask without any legal action"):
        made.predict(observation)
    batch = {key: torch.as_tensor(value)[None] for key, value in observation.items()}
    with pytest.raises(GameError, match="without any legal action"):
        made.policy(batch)
    assert torch.isfinite(made.policy.predict_values(batch)).all()  # where an episode has ended nobody moves


def test_other_spaces_are_refused() -> None:
    with pytest.raises(ConfigError, match="maskable-ppo: expected a game whose observations are a Dict of 'obs"):
        MaskablePPO("MlpPolicy", toys(DISCRETE), **SMALL)
    for observations, actions, words in (
        (PLANES, DISCRETE, "expected observations that are a Dict of 'observation' and 'action_mask'"),
        (with_mask(PLANES, 4), DISCRETE, r"counts 4 actions, expected Discrete\(4\), found Discrete\(3\)"),
        (with_mask(PLANES, 3), spaces.Discrete(3, start=1), r"expected Discrete\(3\)"),
        (with_mask(spaces.Dict({"a": PLANES}), 3), DISCRETE, "must be one array, found Dict"),
    ):
        with pytest.raises(ConfigError, match=words):
            MaskedActorCritic(observations, actions, lambda _: 0.0)


@pytest.mark.parametrize(
    ("encoder", "kwargs"), [(PlanesEncoder, {}), (FlatEncoder, {"normalise": True}), (PlanesConvEncoder, {})]
)
def test_the_encoder_is_one_for_what_is_looked_at(encoder: Any, kwargs: dict[str, Any]) -> None:
    policy = MaskedActorCritic(
        with_mask(PLANES, 5),
        spaces.Discrete(5),
        lambda _: 0.0,
        features_extractor_class=encoder,
        features_extractor_kwargs=kwargs,
    )
    assert type(policy.features_extractor) is encoder
    assert policy.features_extractor._observation_space == PLANES


def test_a_zip_of_ours_is_read_by_ours(tmp_path: Path) -> None:
    made = learner(MaskablePPO)
    made.save(tmp_path / "ours.zip")
    again = MaskablePPO.load(tmp_path / "ours.zip", env=moves(), device="cpu")
    assert_same_parameters(made, again, tolerance=0)
    assert ILLEGAL == -1e8
