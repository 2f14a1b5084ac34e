"""Games that say which moves are legal, through all that trains, keeps, evaluates and shows policies."""

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sb3_contrib
import torch
from gymnasium import spaces

from agents.algorithms import build_learner, build_policy, resolve
from agents.config import Evaluation, Mode, RunConfig
from agents.encoders import PlanesConvEncoder, PlanesEncoder
from agents.evaluation import evaluate
from agents.masking import MaskedActorCritic, MaskedProgressive
from agents.networks import normaliser
from agents.outputs import policy_outputs
from agents.parts import parts
from agents.policy import load_policy
from agents.rollout import Decision, Frame, Player
from agents.training import train
from agents.watch.bars import _number
from agents.watch.pictures import features_of
from agents.watch.terminal import _bar, line
from agents.zips import write_zip
from envs.errors import CheckpointError, ConfigError, GameError
from envs.masks import MASK, SEEN, with_mask
from envs.task import Task
from envs.vector import make_vec
from tests.agents.killed import interrupted, outcome
from tests.agents.toys import PLANES, Moves, fresh

GAME = Task(game="tests.agents.test_masked_play:game")
VECTOR = Task(game="tests.agents.test_masked_play:vector")
STUCK = Task(game="tests.agents.test_masked_play:stuck")
SMALL: dict[str, Any] = {"n_envs": 4, "n_steps": 16, "batch_size": 32, "n_epochs": 2, "net_arch": [8]}


def game() -> Moves:
    """A board."""
    return Moves()


def vector() -> Moves:
    """Numbers to look at."""
    return Moves(spaces.Box(-3, 3, (4,), np.float32))


class Stuck(Moves):
    """After two steps nothing is legal."""

    def _seen(self) -> dict[str, np.ndarray]:
        seen = super()._seen()
        if self.steps >= 2:
            seen[MASK][:] = 0
        return seen


def stuck() -> Stuck:
    """See there."""
    return Stuck()


def some(task: Task, steps: int = 20) -> dict[str, np.ndarray]:
    """A batch of observations."""
    env = game() if task is GAME else vector()
    seen = [env.reset(seed=seed)[0] for seed in range(steps)]
    return {key: np.stack([one[key] for one in seen]) for key in (SEEN, MASK)}


@pytest.mark.parametrize("algorithm", ["ppo", "maskable-ppo", "sb3-ppo", "a2c", "trpo"])
def test_who_acts_on_its_policy_knows_legal_moves(algorithm: str) -> None:
    venv = make_vec(GAME, n_envs=2, seed=1)
    values = resolve(GAME, algorithm, {"n_envs": 2, "net_arch": [8]})
    learner = build_learner(algorithm, venv, values, seed=3)
    assert isinstance(learner.policy, MaskedActorCritic)
    assert type(learner.policy.features_extractor) is PlanesEncoder
    assert set(parts(learner.policy)) == {"torso.0", "action_head", "value_head"}
    venv.close()


@pytest.mark.parametrize("algorithm", ["dqn", "sb3-dqn", "qrdqn", "ars"])
def test_who_does_not_says_so(algorithm: str) -> None:
    venv = make_vec(GAME, n_envs=1, seed=1)
    with pytest.raises(
        ConfigError, match=rf"^{algorithm} knows no legal moves, .* expected ppo, maskable-ppo, sb3-ppo"
    ):
        build_learner(algorithm, venv, resolve(GAME, algorithm, {"n_envs": 1}), seed=3)
    venv.close()


def test_who_insists_on_masks_refuses_other_games() -> None:
    task = Task(game="headstart/CartPole-v1")
    venv = make_vec(task, n_envs=2)
    with pytest.raises(ConfigError, match="maskable-ppo: expected a game whose observations are a Dict"):
        build_learner("maskable-ppo", venv, resolve(task, "maskable-ppo", {"n_envs": 2, "batch_size": 32}), seed=3)


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        (GAME, {}),
        (GAME, {"encoder": "planes-conv", "net_arch": []}),
        (GAME, {"encoder": "flat"}),
        (VECTOR, {"normalise_observations": True}),
        (GAME, {"share_features_extractor": False}),
    ],
)
def test_a_policy_that_was_saved_plays_as_before(task: Task, settings: dict[str, Any], tmp_path: Path) -> None:
    policy, observations = fresh(task, "maskable-ppo", **settings), some(task)
    policy.save(tmp_path / "policy")
    again = load_policy(tmp_path / "policy")
    assert again.interface == policy.interface
    assert isinstance(again.network, MaskedActorCritic)
    assert again.network.game == task.game
    modes: list[Mode] = ["greedy", "sampled"]
    for mode in modes:
        acted = []
        for one in (policy, again):
            acted.append(one.act(observations, mode=mode, generator=torch.Generator().manual_seed(1)))
            acted.append(one.player(mode=mode, generator=torch.Generator().manual_seed(1))(observations))
        assert all(np.array_equal(acted[0], other) for other in acted)
        assert (np.take_along_axis(observations[MASK], acted[0][:, None], axis=1) == 1).all()
    read, looked = policy.reader()(observations), policy.outputs(observations)  # type: ignore[arg-type]
    torch.testing.assert_close(read.log_probabilities(), looked.log_probabilities(), rtol=0, atol=2e-6)
    assert (read.log_probabilities().exp().numpy()[observations[MASK] == 0] == 0).all()


def test_a_grid_too_small_for_filters_is_refused() -> None:
    with pytest.raises(ConfigError, match="a grid of 2×5 is smaller than its 3×3 filters"):
        build_policy(
            "ppo",
            {"encoder": "planes-conv"},
            with_mask(spaces.Box(0, 1, (2, 5, 2), np.uint8), 4),
            spaces.Discrete(4),
        )


def test_the_smallest_board_has_one_position() -> None:
    space = with_mask(spaces.Box(0, 1, (3, 3, 2), np.uint8), 9)
    policy = build_policy("ppo", {"encoder": "planes-conv", "net_arch": []}, space, spaces.Discrete(9))
    assert isinstance(policy.features_extractor, PlanesConvEncoder)  # type: ignore[attr-defined]
    seen = {key: torch.as_tensor(part)[None] for key, part in space.sample().items()}
    seen[MASK][:, 4] = 1
    assert policy_outputs(policy, seen).head.shape == (1, 9)


def test_a_progressive_network_knows_legal_moves() -> None:
    described = {
        "net_arch": [8],
        "progressive": {
            "column": {"algorithm": "maskable-ppo", "architecture": {"net_arch": [6]}},
            "scale": 0.01,
            "start": "zero",
        },
    }
    made = [build_policy("ppo", described, with_mask(PLANES, 5), spaces.Discrete(5)) for _ in range(2)]
    assert isinstance(made[0], MaskedProgressive)
    outputs = policy_outputs(made[0], {key: torch.as_tensor(part) for key, part in some(GAME).items()})
    assert (outputs.log_probabilities().exp().detach().numpy()[some(GAME)[MASK] == 0] == 0).all()


def test_what_is_evaluated_and_watched_plays_legal_moves() -> None:
    policy = fresh(GAME)
    assert evaluate(policy, GAME, episodes=5).lengths.min() >= 1  # an illegal move raises
    for player in (Player(policy, GAME, seed=4), Player(None, GAME, seed=4)):
        for frame in player.episode(0):
            if frame.over:
                continue
            decision = frame.decisions[0]
            assert isinstance(frame.observation, dict)
            assert decision.legal is not None
            assert decision.numbers is not None
            np.testing.assert_array_equal(decision.legal, frame.observation[MASK] == 1)
            assert (decision.numbers[~decision.legal] == 0).all()
            assert decision.numbers.sum() == pytest.approx(1)
            assert decision.legal[decision.action]
        player.close()


def test_illegal_actions_are_shown_as_a_dash() -> None:
    decision = Decision(
        ("left", "up", "right"),
        "categorical",
        np.array([0.25, 0.0, 0.75]),
        action=2,
        legal=np.array([True, False, True]),
    )
    observation = {SEEN: np.zeros(2, np.float32), MASK: np.array([1, 0, 1], np.int8)}
    frame = Frame(0, 0, observation, (decision,), None, 0.0)
    assert line(frame).endswith("left 25% up – right 75%")
    assert [_number(decision, index) for index in range(3)] == ["25 %", "–", "75 %"]
    assert _bar(decision, 1, 4) == "         – "
    assert len(_bar(decision, 0, 4)) == len(_bar(decision, 1, 4))
    assert features_of(observation, ("x", "y")) == [("x", 0.0), ("y", 0.0)]


@pytest.mark.parametrize("random", [False, True])
def test_a_game_without_a_legal_move_is_named(random: bool) -> None:
    words = r"^game 'tests.agents.test_masked_play:stuck' returned an action_mask without any legal action"
    player = Player(None if random else fresh(STUCK), STUCK, seed=4)
    with pytest.raises(GameError, match=words):
        list(chain.from_iterable(map(player.episode, range(20))))


@pytest.mark.parametrize("algorithm", ["ppo", "sb3-ppo"])
def test_a_training_names_the_game_without_a_legal_move(algorithm: str, tmp_path: Path) -> None:
    config = RunConfig(
        task=STUCK,
        algorithm=algorithm,
        hyperparameters=resolve(STUCK, algorithm, SMALL),
        steps=400,
        evaluation=Evaluation(every=400, episodes=1),
    )
    with pytest.raises(GameError, match=r"^game 'tests.agents.test_masked_play:stuck' returned an action_mask without"):
        train(config, tmp_path)


def test_a_run_that_dies_ends_as_one_that_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = RunConfig(
        task=VECTOR,
        algorithm="maskable-ppo",
        hyperparameters=resolve(VECTOR, "maskable-ppo", {**SMALL, "normalise_observations": True}),
        steps=300,
        seed=3,
        evaluation=Evaluation(every=100, episodes=3),
    )
    whole = train(wanted, tmp_path / "whole")
    assert all(interrupted(train, wanted, tmp_path / "dying", at, monkeypatch) for at in (2, 3))
    run = train(wanted, tmp_path / "dying")
    assert run.provenance["resume"] == "exact"
    assert outcome(run) == outcome(whole)
    found = normaliser(run.policy().network)
    assert found is not None
    assert found.count.min() >= 256


@pytest.mark.parametrize(
    ("task", "settings"),
    [(GAME, {"learning_rate": "lin_0.001"}), (VECTOR, {}), (GAME, {"encoder": "planes-conv", "net_arch": []})],
)
def test_a_zip_opens_in_sb3_contrib_and_here(task: Task, settings: dict[str, Any], tmp_path: Path) -> None:
    policy, observations = fresh(task, **settings), some(task)
    write_zip(policy, tmp_path / "ours.zip")
    theirs = sb3_contrib.MaskablePPO.load(tmp_path / "ours.zip", device="cpu")
    actions = policy.act(observations, mode="greedy")
    seen, masks = observations[SEEN], observations[MASK]
    np.testing.assert_array_equal(theirs.predict(seen, deterministic=True, action_masks=masks)[0], actions)
    values = theirs.policy.predict_values(torch.as_tensor(seen)).detach().flatten()
    torch.testing.assert_close(values, policy.outputs(observations).value, rtol=0, atol=1e-6)  # type: ignore[arg-type]
    again = load_policy(tmp_path / "ours.zip", task=task)
    np.testing.assert_array_equal(again.act(observations, mode="greedy"), actions)
    if "encoder" not in settings:
        assert "agents." not in str(theirs.policy_kwargs)


def test_a_zip_that_sb3_contrib_has_no_class_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^sb3-contrib plays legal moves with MaskablePPO alone, .* one of a2c"):
        write_zip(fresh(GAME, "a2c"), tmp_path / "ours.zip")
