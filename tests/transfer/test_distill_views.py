"""One game in two views: a student on pixels, a teacher on symbols."""

import numpy as np
import pytest

from agents.algorithms import resolve
from agents.config import Evaluation, RunConfig
from envs.errors import ConfigError, MappingError
from envs.task import Change, Task
from envs.vector import make_vec
from tests.transfer.pictures import painted
from transfer.carry import Carry, carrying, check, train_run
from transfer.distillation.views import TwoViews
from transfer.method import compose

PICTURES, LAST = "tests.transfer.pictures:Pictures", "tests.transfer.pictures:Last"
GRID = "headstart/Empty-5x5-v0"
SEEN = Task(game=GRID, change=Change(observation=PICTURES, time_limit=7, sticky=0.2, actions=(2, 0)))
FAST = {"n_envs": 2, "n_steps": 16, "batch_size": 16, "n_epochs": 1, "net_arch": [8]}


def test_both_see_the_same_state_after_every_step_and_reset():
    views = TwoViews(SEEN, (None, PICTURES, LAST), 3)
    views.venv.seed(5)
    plain = make_vec(SEEN, n_envs=3, seed=5)
    seen, expected = views.venv.reset(), plain.reset()
    rng, ends, before, begun = np.random.default_rng(0), 0, views.seen(0), np.full(3, True)
    for _ in range(40):
        symbols = views.seen(0)
        assert np.array_equal(seen, expected)
        assert np.array_equal(seen, np.stack([painted(one) for one in symbols]))
        assert np.array_equal(seen, views.seen(1))
        assert np.array_equal(views.seen(2), np.where(begun[:, None, None, None], symbols, before))
        before, actions = symbols, rng.integers(2, size=3)
        seen, _, begun, _ = views.venv.step(actions)
        expected, _, begun_too, _ = plain.step(actions)
        assert np.array_equal(begun, begun_too)
        ends += begun.sum()
    assert ends > 10


def config(task, steps, **hyperparameters):
    return RunConfig(
        task=task,
        algorithm="ppo",
        hyperparameters=resolve(task, "ppo", FAST | hyperparameters),
        steps=steps,
        evaluation=Evaluation(every=steps, episodes=2),
    )


def test_a_student_on_pixels_learns_from_a_teacher_on_symbols(tmp_path):
    source = train_run(config(Task(game=GRID, change=Change(time_limit=20)), 64), tmp_path)
    target = Task(game=GRID, change=Change(time_limit=20, observation=PICTURES))
    told = {"method": "distill", "then_learn": False, "epochs": 2, "n_envs": 4, "batch_size": 64, "view": "source"}
    student = train_run(carrying(config(target, 200), Carry(source=source.key, by=(told,))), tmp_path)
    assert student.done
    assert student.policy().interface.observation_space.shape == (42, 42, 3)
    assert student.provenance["steps_before_learning"] == student.provenance["steps_taken"] == 200
    assert "distill: distilled on" in (student.path / "log.txt").read_text()


def test_without_the_sources_view_the_two_do_not_map():
    source = config(Task(game=GRID), 64)
    target = carrying(
        config(Task(game=GRID, change=Change(observation=PICTURES)), 200), Carry(source="x", by=("distill",))
    )
    with pytest.raises(MappingError):
        check(target, source)


def test_methods_that_read_the_teacher_on_what_the_student_sees_are_refused():
    with pytest.raises(ConfigError, match='view = "source" shows the teacher what the student does not see'):
        compose([{"method": "distill", "view": "source"}, "kickstart"])
