"""Distillation from a data set: teachers label its states, nothing is played, and what does not fit is refused."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from envs.errors import ConfigError
from envs.interface import Interface
from tests.transfer.teachers import SHORT, carried, context, learner_of, run_config
from tests.transfer.test_distill import QUICK, agreement
from transfer.carry import train_run
from transfer.demonstrations import Episode, save, transitions
from transfer.demonstrations.playing import demonstrate
from transfer.method import Crossing, compose

minari = pytest.importorskip("minari")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "datasets"))


def written(teacher, name="test/played-v0", episodes=20):
    """The states of a data set that this teacher played, half at random."""
    known, played = demonstrate(teacher, SHORT, episodes, seed=4, epsilon=0.5)
    save(name, played, known, task=SHORT)
    return torch.as_tensor(transitions(played).observations)


def distilled(run, **settings):
    methods = compose([{"method": "distill", **QUICK, "transitions": None, "dataset": "test/played-v0", **settings}])
    learner, booked = learner_of(methods, run), []
    methods.prepare(learner, booked.append)
    return learner, booked, methods


def crossing(run, **settings):
    config = run_config(SHORT)
    return Crossing(config, config, run.mapping)


@pytest.mark.parametrize(("source", "algorithm", "settings"), [("ppo", "dqn", {}), ("dqn", "ppo", {"features": 0.1})])
def test_a_student_agrees_with_its_teacher_on_the_data_sets_states_and_no_step_is_booked(source, algorithm, settings):
    run = context(SHORT, algorithm=algorithm, source=source, net_arch=[16], activation="relu")
    seen = written(run.teacher)
    learner, booked, methods = distilled(run, **settings)
    assert agreement(learner, run, seen) > 0.95
    assert (booked, learner.num_timesteps) == ([], 0)
    assert f"test/played-v0, no step of the target: {len(seen):,} transitions" in methods.notes()[0]


def test_only_as_many_states_as_were_asked_for():
    run = context(SHORT)
    written(run.teacher)
    _, _, methods = distilled(run, transitions=50, epochs=1)
    assert ": 50 transitions" in methods.notes()[0]


def test_a_run_ends_with_the_data_set_or_learns_on_and_its_key_holds_the_files(tmp_path):
    source = train_run(run_config(SHORT), tmp_path)
    written(source.policy())
    by = {"method": "distill", **QUICK, "transitions": None, "epochs": 1, "dataset": "test/played-v0"}
    ended = carried(run_config(SHORT, seed=1), source.config, [{**by, "then_learn": False}])
    assert ended.transfer["by"][0]["sha256"]
    plain = carried(run_config(SHORT, seed=1), source.config, ["distill"])
    assert "dataset" not in plain.transfer["by"][0], "keys of runs without a data set stay as they were"
    assert "dataset" in ended.transfer["by"][0]
    run = train_run(ended, tmp_path)
    assert run.done
    assert run.policy().act(np.zeros((2, 4), np.float32), mode="greedy").shape == (2,)
    learnt = train_run(carried(run_config(SHORT, seed=1), source.config, [by]), tmp_path)
    assert learnt.done


def strange(observations, actions, space):
    episode = Episode(observations, actions, np.ones(len(actions)), terminated=True)
    seen = spaces.Box(-9, 9, observations.shape[1:], np.float32)
    save("test/strange-v0", [episode], Interface(seen, space), task=SHORT)


@pytest.mark.parametrize(
    ("observations", "actions", "space", "words"),
    [
        (np.zeros((3, 3), np.float32), np.array([0, 1]), spaces.Discrete(2), "has observations .* take another"),
        (np.zeros((3, 4), np.float32), np.array([0, 2]), spaces.Discrete(3), r"has actions \[0, 2\]"),
        (np.zeros((3, 4), np.float32), np.zeros((2, 1), np.float32), spaces.Box(-1, 1, (1,)), "actions of the shape"),
    ],
)
def test_a_data_set_of_other_spaces_is_refused_before_anything_is_trained(observations, actions, space, words):
    strange(observations, actions, space)
    methods = compose([{"method": "distill", "dataset": "test/strange-v0"}])
    with pytest.raises(ConfigError, match=words) as error:
        methods.check(crossing(context(SHORT)))
    assert "\n" not in str(error.value)


def test_what_makes_no_sense_with_a_data_set_is_refused_in_one_line(tmp_path):
    run = context(SHORT)
    with pytest.raises(ConfigError, match="there is no data set 'test/none-v0'"):
        compose([{"method": "distill", "dataset": "test/none-v0"}])
    written(run.teacher)
    for settings in ({"on": "source"}, {"view": "source"}):
        methods = compose([{"method": "distill", "dataset": "test/played-v0", **settings}])
        with pytest.raises(ConfigError, match="leave on and view out"):
            methods.check(crossing(run))
    methods = compose([{"method": "distill", "dataset": "test/played-v0", "sha256": "0" * 64}])
    with pytest.raises(ConfigError, match="has changed"):
        methods.check(crossing(run))


def test_a_data_set_without_episodes_is_refused():
    run = context(SHORT)
    written(run.teacher, episodes=1)
    import h5py

    opened = minari.load_dataset("test/played-v0")
    with h5py.File(opened.storage.data_path / "main_data.hdf5", "a") as file:
        for name in list(file):
            del file[name]
    opened.storage.update_metadata({"total_episodes": 0, "total_steps": 0})
    methods = compose([{"method": "distill", "dataset": "test/played-v0"}])
    with pytest.raises(ConfigError, match=r"'test/played-v0' (holds no episodes|cannot be read)") as error:
        methods.check(crossing(run))
    assert "\n" not in str(error.value)
