"""Data augmentation: the changes themselves, where they enter learning, and that evaluation never sees them."""

from collections import namedtuple

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.algorithms import resolve
from agents.augmentation import Augmentation, cutout, images, reach, shift
from agents.auxiliary import attach
from agents.config import Evaluation, RunConfig
from agents.evaluation import Evaluator
from envs.batched import stepped
from envs.errors import ConfigError
from envs.task import Change, Task
from envs.vector import make_vec
from tests.transfer.teachers import FAST, SHORT, carried, context, learner_of
from transfer.carry import check, train_run
from transfer.method import compose, make_method
from transfer.methods.augment import AugmentedVecEnv, augmented

BREAKOUT = Task(game="MinAtar/Breakout-v1", change=Change(time_limit=12))
GRID = Task(game="headstart/Empty-5x5-v0", change=Change(time_limit=12))
PICTURE = spaces.Box(0, 255, (12, 10, 3), np.uint8)
PLANES = spaces.Box(0, 1, (6, 5, 4), bool)
SYMBOLS = spaces.Box(0, np.full((7, 7, 3), 10, np.uint8), (7, 7, 3), np.uint8)


def drawn(space, n=4, seed=0):
    space.seed(seed)
    return np.stack([space.sample() for _ in range(n)])


def augmentation(space, *changes, seed=0):
    return Augmentation(space, list(changes) or [shift(None)], seed)


# The changes


@settings(max_examples=40, deadline=None)
@given(height=st.integers(3, 9), width=st.integers(3, 9), n=st.integers(1, 4), seed=st.integers(0, 99))
def test_a_shift_is_a_crop_of_the_padded_image(height, width, n, seed):
    """DrQ's definition by hand: one of the (2n + 1)² crops of the padded image, all channels alike."""
    for low, high, mode in ((0, 255, "edge"), (0, 9, "constant")):
        space = spaces.Box(low, high, (height, width, 2), np.uint8)
        batch = drawn(space, 3, seed)
        before = batch.copy()
        found = augmentation(space, shift(n), seed=seed)(batch)
        assert np.array_equal(batch, before)
        assert found.dtype == batch.dtype
        for one, original in zip(found, batch, strict=True):
            padded = np.pad(original, ((n, n), (n, n), (0, 0)), mode=mode)
            crops = [padded[i : i + height, j : j + width] for i in range(2 * n + 1) for j in range(2 * n + 1)]
            assert any(np.array_equal(one, crop) for crop in crops)


def test_every_shift_is_as_likely_as_every_other():
    space = spaces.Box(0, 9, (5, 5, 1), np.uint8)
    batch = np.zeros((9000, 5, 5, 1), np.uint8)
    batch[:, 2, 2] = 9
    counts = augmentation(space, shift(1))(batch).astype(bool).sum(axis=0)[..., 0]
    assert counts.sum() == 9000
    assert (counts[1:4, 1:4] > 800).all()  # of 1000 expected; five standard deviations are 150


@settings(max_examples=40, deadline=None)
@given(height=st.integers(4, 12), width=st.integers(4, 12), least=st.floats(0.05, 0.5), seed=st.integers(0, 99))
def test_a_cutout_is_one_blank_rectangle(height, width, least, seed):
    space = spaces.Box(0, 255, (height, width, 3), np.uint8)
    found = augmentation(space, cutout(least, 0.6), seed=seed)(np.full((5, height, width, 3), 200, np.uint8))
    for one in found:
        blank = (one == 0).all(axis=2)
        assert np.array_equal(blank, (one == 0).any(axis=2))
        rows, columns = blank.any(axis=1), blank.any(axis=0)
        assert np.array_equal(blank, np.outer(rows, columns))
        for sides, size in ((rows, height), (columns, width)):
            where = np.flatnonzero(sides)
            assert np.array_equal(where, np.arange(where[0], where[-1] + 1))
            low = max(1, round(least * size))
            assert low <= len(where) <= max(low, round(0.6 * size))


def test_channels_may_come_first():
    first = spaces.Box(0, 255, (3, 12, 10), np.uint8)
    batch = drawn(PICTURE)
    one = augmentation(PICTURE, shift(2), cutout(0.1, 0.3), seed=5)(batch)
    other = augmentation(first, shift(2), cutout(0.1, 0.3), seed=5)(torch.as_tensor(batch).permute(0, 3, 1, 2))
    assert isinstance(other, torch.Tensor)
    assert np.array_equal(other.permute(0, 2, 3, 1).numpy(), one)


def test_a_dict_has_its_images_changed_and_nothing_else():
    space = spaces.Dict({"direction": spaces.Discrete(4), "image": SYMBOLS, "position": spaces.Box(0, 1, (2,))})
    assert list(images(space)) == ["image"]
    batch = {"direction": np.arange(4), "image": drawn(SYMBOLS), "position": np.ones((4, 2))}
    found = augmentation(space)(batch)
    assert found["direction"] is batch["direction"]
    assert found["position"] is batch["position"]
    assert not np.array_equal(found["image"], batch["image"])


def test_what_is_an_image():
    assert images(PICTURE)[""].picture
    assert not images(PLANES)[""].picture
    assert not images(SYMBOLS)[""].picture
    assert images(spaces.Box(-1, 1, (3,))) == {}
    assert reach(84, 84) == 4
    assert reach(10, 10) == 1
    low = np.broadcast_to(np.array([-1.0, 2.0], np.float32), (4, 4, 2))
    assert images(spaces.Box(low, np.full_like(low, 5.0)))[""].blank.tolist() == [-1.0, 2.0]


@pytest.mark.parametrize("space", [PICTURE, PLANES, SYMBOLS])
def test_the_same_seed_draws_the_same(space):
    batch = drawn(space)
    one, two = (augmentation(space, shift(2), cutout(0.2, 0.5), seed=7)(batch) for _ in range(2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, augmentation(space, shift(2), cutout(0.2, 0.5), seed=8)(batch))


# The world


@pytest.mark.parametrize("task", [BREAKOUT, GRID])
def test_both_paths_of_a_step_show_the_same(task):
    """`step` and `step_arrays` draw alike, ends of episodes included."""
    both = []
    for _ in range(2):
        venv = make_vec(task, n_envs=3, seed=1)
        both.append(AugmentedVecEnv(venv, Augmentation(venv.observation_space, [shift(1)], 3)))
    one, two = both
    assert_same(one.reset(), two.reset())
    actions = np.random.default_rng(0).integers(one.action_space.n, size=(30, 3))
    ends = 0
    for row in actions:
        observations, rewards, dones, infos = one.step(row)
        step = stepped(two, row)
        assert_same(observations, step.observations)
        assert np.array_equal(rewards, step.rewards)
        assert np.array_equal(dones, step.dones)
        for place, i in enumerate(step.ended.tolist()):
            ends += 1
            last = infos[i]["terminal_observation"]
            assert_same(last, each_at(step.final_observations, place))
            assert_same(last, step.infos[i]["terminal_observation"])
            assert_same(last, list(step.infos)[i]["terminal_observation"])
    assert ends > 3


def each_at(observations, place):
    if isinstance(observations, dict):
        return {key: value[place] for key, value in observations.items()}
    return observations[place]


def assert_same(one, two):
    if isinstance(one, dict):
        assert all(np.array_equal(one[key], two[key]) for key in one)
    else:
        assert np.array_equal(one, two)


def test_the_world_shows_what_the_game_shows_shifted():
    plain, venv = (make_vec(BREAKOUT, n_envs=2, seed=1) for _ in range(2))
    shown = AugmentedVecEnv(venv, Augmentation(venv.observation_space, [shift(1)], 3))
    raw, seen = plain.reset(), shown.reset()
    same = 0
    for _ in range(20):
        for before, after in zip(raw, seen, strict=True):
            padded = np.pad(before, ((1, 1), (1, 1), (0, 0)))
            crops = [padded[i : i + 10, j : j + 10] for i in range(3) for j in range(3)]
            assert any(np.array_equal(after, crop) for crop in crops)
            same += np.array_equal(before, after)
        raw, seen = plain.step(np.zeros(2, int))[0], shown.step(np.zeros(2, int))[0]
    assert same < 20  # of 40: a ninth of them are not shifted


# The replay


def breakout_run(algorithm="dqn"):
    return context(BREAKOUT, algorithm=algorithm, source=algorithm, architecture={"net_arch": [8]}, encoder="planes")


def test_a_replay_buffers_minibatches_are_augmented_each_observation_by_itself():
    Samples = namedtuple("Samples", "observations next_observations rewards")
    batch = torch.as_tensor(drawn(PLANES, 64))
    sample = augmented(lambda n: Samples(batch[:n], batch[:n], torch.ones(n)), augmentation(PLANES))
    data = sample(64)
    assert data.observations.dtype == torch.bool
    assert not torch.equal(data.observations, batch)
    assert not torch.equal(data.observations, data.next_observations)
    assert torch.equal(data.rewards, torch.ones(64))


@pytest.mark.parametrize("algorithm", ["dqn", "sb3-dqn"])
def test_a_dqn_learns_from_augmented_minibatches_and_acts_on_what_it_sees(algorithm):
    run = breakout_run(algorithm)
    learner = learner_of(compose(["augment"]), run)
    assert not isinstance(learner.env, AugmentedVecEnv)
    learner.learn(100)
    buffer = learner.replay_buffer
    stored = {row.tobytes() for row in buffer.observations[: buffer.pos].reshape(-1, 400)}
    stored |= {row.tobytes() for row in buffer.next_observations[: buffer.pos].reshape(-1, 400)}
    learnt = [row.tobytes() in stored for row in buffer.sample(64).observations.numpy().reshape(64, -1)]
    assert sum(learnt) < 32  # a ninth of them are not shifted
    assert learner._n_updates > 0


def test_compiled_code_does_not_read_an_augmented_buffer_past_its_sampling():
    learner = learner_of(compose(["augment"]), breakout_run())
    plain = learner_of(compose(["kickstart"]), breakout_run())
    assert plain._compiled() is not None
    assert plain._compiled().reads(plain.replay_buffer)
    assert not learner._compiled().reads(learner.replay_buffer)


def test_another_loss_sees_the_augmented_minibatch():
    learner = learner_of(compose(["augment"]), breakout_run("sb3-dqn"))
    seen, drawn_before = [], learner.replay_buffer.sample
    learner.replay_buffer.sample = lambda *a, **k: seen.append(drawn_before(*a, **k)) or seen[-1]
    told = []
    attach(learner, lambda batch: told.append(batch.observations))
    learner.learn(80)
    assert told
    assert all(torch.equal(data.observations, given) for data, given in zip(seen, told, strict=True))


# Runs


def config(task, algorithm, seed=0):
    return RunConfig(
        task=task,
        algorithm=algorithm,
        hyperparameters=resolve(task, algorithm, FAST[algorithm] | {"encoder": "auto"}),
        steps=256,
        seed=seed,
        evaluation=Evaluation(every=128, episodes=3, mode="greedy"),
    )


@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "dqn"])
def test_a_run_is_repeated_bit_for_bit_and_evaluation_never_sees_it(algorithm, tmp_path, monkeypatch):
    evaluating, calls = [], []
    evaluate, augment = Evaluator.evaluate, Augmentation.__call__

    def evaluated(*arguments):
        evaluating.append(True)
        results = evaluate(*arguments)
        evaluating.clear()
        return results

    def called(self, observations):
        calls.append(bool(evaluating))
        return augment(self, observations)

    monkeypatch.setattr(Evaluator, "evaluate", evaluated)
    monkeypatch.setattr(Augmentation, "__call__", called)
    source = train_run(config(BREAKOUT, algorithm), tmp_path / "a")
    train_run(config(BREAKOUT, algorithm), tmp_path / "b")
    assert not calls
    by = [{"method": "augment", "changes": ["shift", "cutout"]}]
    changed = carried(config(BREAKOUT, algorithm, seed=1), source.config, by)
    runs = [train_run(changed, tmp_path / name) for name in "ab"]
    assert calls
    assert not any(calls)
    one, two = (run.policy().network.state_dict() for run in runs)
    assert all(torch.equal(one[key], two[key]) for key in one)
    scratch = train_run(config(BREAKOUT, algorithm, seed=1), tmp_path / "a")
    assert np.array_equal(runs[0].evaluations().returns[0], scratch.evaluations().returns[0])
    learnt = scratch.policy().network.state_dict()
    assert any(not torch.equal(one[key], learnt[key]) for key in one)


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_grids_in_a_dict_are_learnt_from(algorithm, tmp_path):
    source = train_run(config(GRID, algorithm), tmp_path)
    run = train_run(carried(config(GRID, algorithm, seed=1), source.config, ["finetune", "augment"]), tmp_path)
    assert run.done
    assert "each observation learnt from is changed by shift" in (run.path / "log.txt").read_text()


# What is refused


def test_vectors_are_refused_in_one_line():
    source = RunConfig(task=SHORT, algorithm="ppo", steps=1)
    with pytest.raises(ConfigError, match=r"augment shifts pictures.* shows Box\(4,\): leave augment out") as error:
        check(carried(source, source, ["augment"]), source)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"changes": ["blur"]}, "blur|shift"),
        ({"shift": 0}, "shift"),
        ({"smallest": 0.5, "largest": 0.2}, "smallest <= largest"),
        ({"changes": []}, "changes"),
    ],
)
def test_wrong_settings_are_refused(wrong, words):
    with pytest.raises(ConfigError, match=words):
        make_method({"method": "augment", **wrong})
