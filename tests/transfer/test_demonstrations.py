"""Episodes as data: recorded from resets, written for Minari and read back without a change, into replay buffers."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents.evaluation import SEED_BASE
from envs.errors import ConfigError
from envs.interface import Interface
from envs.task import Task
from envs.vector import make_vec, seed_each
from tests.transfer.teachers import SHORT, context, make_teacher
from tests.transfer.test_replay import prepared
from transfer.carry import interface_of
from transfer.cli.app import run
from transfer.demonstrations import Episode, load, save, transitions
from transfer.demonstrations.datasets import digest
from transfer.demonstrations.playing import demonstrate
from transfer.methods.replay import ReplaySettings

minari = pytest.importorskip("minari")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))


def policy():
    return make_teacher("ppo", interface_of(SHORT), {"net_arch": [8], "activation": "tanh"})


def episodes(n=3, **settings):
    known, played = demonstrate(policy(), SHORT, n, seed=4, **settings)
    return known, played


def test_episodes_replay_from_their_seeds():
    _, played = episodes(5)
    assert len(played) == 5
    assert len({episode.seed for episode in played}) == 5
    venv = make_vec(SHORT, n_envs=1)
    for episode in played:
        assert episode.seed < SEED_BASE
        seed_each(venv, [episode.seed])
        seen = [venv.reset()[0]]
        for action, reward in zip(episode.actions, episode.rewards, strict=True):
            observation, paid, dones, infos = venv.step(np.array([action]))
            seen.append(infos[0]["terminal_observation"] if dones[0] else observation[0])
            assert paid[0] == reward
        assert dones[0]
        assert episode.terminated == (not infos[0]["TimeLimit.truncated"])
        np.testing.assert_array_equal(np.stack(seen), episode.observations)
    venv.close()


def test_a_data_set_is_what_was_played_in_minaris_own_words():
    known, played = episodes()
    save("test/cartpole-v0", played, known, task=SHORT, algorithm="ppo")
    opened = minari.load_dataset("test/cartpole-v0")
    assert opened.total_episodes == 3
    assert opened.total_steps == sum(map(len, played))
    for found, episode in zip(opened.iterate_episodes(), played, strict=True):
        np.testing.assert_array_equal(found.observations, episode.observations)
        np.testing.assert_array_equal(found.actions, episode.actions)
        np.testing.assert_array_equal(found.rewards, episode.rewards)
        assert found.terminations.sum() == found.terminations[-1] == episode.terminated
        assert found.truncations.sum() == found.truncations[-1] == (not episode.terminated)
    assert Task.model_validate_json(opened.storage.metadata["headstart_task"]) == SHORT


def test_a_data_set_comes_back_as_it_was_written():
    known, played = episodes()
    save("test/back-v0", played, known, task=SHORT)
    for found, episode in zip(load("test/back-v0"), played, strict=True):
        np.testing.assert_array_equal(found.observations, episode.observations)
        np.testing.assert_array_equal(found.actions, episode.actions)
        np.testing.assert_array_equal(found.rewards, episode.rewards)
        assert (found.terminated, found.seed) == (episode.terminated, episode.seed)


def test_pictures_and_parts_are_not_compressed_with_loss():
    space = spaces.Dict(
        {"picture": spaces.Box(0, 255, (32, 32, 3), np.uint8), "speed": spaces.Box(-1, 1, (2,), np.float32)}
    )
    draw = np.random.default_rng(0)
    seen = {
        "picture": draw.integers(0, 256, (5, 32, 32, 3), dtype=np.uint8),
        "speed": draw.uniform(-1, 1, (5, 2)).astype(np.float32),
    }
    episode = Episode(seen, np.array([0, 1, 0, 1]), np.ones(4), terminated=True)
    save("test/pictures-v0", [episode], Interface(space, spaces.Discrete(2)), task=SHORT)
    (found,) = load("test/pictures-v0")
    for name, part in seen.items():
        np.testing.assert_array_equal(found.observations[name], part)


def test_transitions_of_episodes_side_by_side():
    one = Episode(np.arange(3.0)[:, None], np.array([0, 1]), np.array([1.0, 2.0]), terminated=True)
    two = Episode(np.arange(10.0, 12.0)[:, None], np.array([1]), np.array([3.0]), terminated=False)
    flat = transitions([one, two])
    assert flat.observations.ravel().tolist() == [0, 1, 10]
    assert flat.following.ravel().tolist() == [1, 2, 11]
    assert flat.terminated.tolist() == [False, True, False]
    assert flat.cut.tolist() == [False, False, True]
    with pytest.raises(ConfigError, match="found no episodes"):
        transitions([])


@pytest.mark.parametrize("n_envs", [1, 2])
def test_a_data_set_fills_a_buffer_without_a_step_of_the_target(n_envs):
    known, played = episodes()
    save("test/seed-v0", played, known, task=SHORT)
    known_run = context(SHORT, algorithm="dqn", source="dqn", n_envs=n_envs)
    learner, booked, methods, _ = prepared([{"method": "replay", "dataset": "test/seed-v0"}], known_run)
    flat, buffer = transitions(played), learner.replay_buffer
    rows = len(flat) // n_envs
    assert booked == []
    assert (buffer.pos, learner.num_timesteps) == (rows, 0)
    for name, expected in (("observations", flat.observations), ("next_observations", flat.following)):
        held = getattr(buffer, name)[:rows].swapaxes(0, 1).reshape(-1, 4)
        np.testing.assert_array_equal(held, expected[: rows * n_envs])
    ended = (buffer.dones * (1 - buffer.timeouts))[:rows].swapaxes(0, 1).ravel()
    np.testing.assert_array_equal(ended, flat.terminated[: rows * n_envs])
    assert learner.learning_starts == max(0, 50 - rows * n_envs)
    assert "not counted" in methods.notes()[0]


def test_a_runs_key_holds_the_files_of_its_data_set():
    known, played = episodes()
    save("test/key-v0", played, known, task=SHORT)
    settings = ReplaySettings(dataset="test/key-v0")
    assert settings.sha256 == digest("test/key-v0")
    assert ReplaySettings.model_validate(settings.model_dump()) == settings


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda known, played: load("test/none-v0"), "there is no data set 'test/none-v0'"),
        (lambda known, played: save("test/a-v0", [], known, task=SHORT), "would hold no episodes"),
        (lambda known, played: [save("test/a-v0", played, known, task=SHORT) for _ in "ab"], "there is a data set"),
        (lambda known, played: save("a b c", played, known, task=SHORT), "Minari does not write the data set 'a b c'"),
    ],
)
def test_what_is_not_there_or_makes_no_sense_is_said_in_one_line(act, words):
    known, played = episodes(1)
    with pytest.raises(ConfigError, match=words) as error:
        act(known, played)
    assert "\n" not in str(error.value)


def test_a_data_set_of_another_game_is_refused():
    space = spaces.Box(-1, 1, (3,), np.float32)
    strange = Episode(np.zeros((3, 3), np.float32), np.array([0, 1]), np.ones(2), terminated=True)
    save("test/strange-v0", [strange], Interface(space, spaces.Discrete(2)), task=SHORT)
    known = context(SHORT, algorithm="dqn", source="dqn", n_envs=1)
    with pytest.raises(ConfigError, match="'test/strange-v0' has observations"):
        prepared([{"method": "replay", "dataset": "test/strange-v0"}], known)


def test_the_same_seed_plays_the_same_episodes_and_touches_no_global_generator():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = (episodes(2, epsilon=0.5)[1] for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.observations, other.observations)
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_the_command_line_writes_a_data_set_or_a_zip_and_not_both(tmp_path, capsys):
    found = policy()
    found.task = SHORT
    found.save(tmp_path / "policy")
    where = str(tmp_path / "policy")
    assert run(["export", where, "--minari", "test/line-v0", "--episodes", "2", "--change", "time_limit=7"]) == 0
    assert capsys.readouterr().out.startswith("wrote the data set test/line-v0: 2 episodes, mean return 7.00")
    assert [len(episode) for episode in load("test/line-v0")] == [7, 7]
    assert run(["export", where]) == 2
    assert "expected one of --sb3 FILE.zip and --minari ID" in capsys.readouterr().err
    assert run(["export", where, "--minari", "test/line-v0"]) == 2
    assert "there is a data set 'test/line-v0' already" in capsys.readouterr().err
