"""DAgger: the mixing schedule, whose states are visited, and what is booked."""

import numpy as np
import pytest
import torch

from envs.errors import ConfigError
from tests.transfer.teachers import context, learner_of
from tests.transfer.test_distill import agreement, crossing, visited
from transfer.distillation.playing import Manner, Playing
from transfer.method import Teacher, compose, make_method


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"decay": 0.5, "rounds": 4}, [1.0, 0.5, 0.25, 0.125]),
        ({"decay": 0.0, "rounds": 3}, [1.0, 0.0, 0.0]),
        ({"mixing": "linear", "rounds": 5}, [1.0, 0.75, 0.5, 0.25, 0.0]),
        ({"mixing": "linear", "rounds": 1}, [1.0]),
    ],
)
def test_the_mixing_schedule(settings, expected):
    dagger = make_method({"method": "dagger", **settings})
    assert [dagger.beta(i) for i in range(dagger.settings.rounds)] == expected


@pytest.mark.parametrize("beta", [1.0, 0.25, 0.0])
def test_the_mixture_takes_as_many_of_the_teachers_actions_as_it_should(beta):
    """The teacher always goes left, the student right."""
    run = context()
    with torch.no_grad():
        run.teacher.network.action_net.weight.zero_()
        run.teacher.network.action_net.bias.copy_(torch.tensor([20.0, -20.0]))
    taken = []
    playing = Playing(run.task, [Teacher(run.teacher, run.mapping)], Manner(), 4, 0)
    step = playing.venv.step_arrays
    playing.venv.__class__ = type("Noting", (type(playing.venv),), {"step_arrays": noting(step, taken)})
    data = playing.take(2000, lambda _: None, student=lambda seen: np.ones(len(seen), np.int64), beta=beta)
    playing.close()
    share = 1.0 - np.concatenate(taken).mean()
    assert abs(share - beta) <= 5 * np.sqrt(beta * (1 - beta) / 2000)
    assert (data.lessons[0].outputs.head.argmax(dim=-1) == 0).all()  # the labels are the teacher's all the same


def noting(step, taken):
    def step_arrays(self, actions):
        taken.append(actions.copy())
        return step(actions)

    return step_arrays


@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "dqn"])
def test_dagger_teaches_in_rounds_and_books_each_step(algorithm):
    run = context(algorithm=algorithm, source="ppo", net_arch=[16], activation="relu")
    settings = {"transitions": 1602, "rounds": 4, "epochs": 25, "batch_size": 64, "learning_rate": 0.01, "n_envs": 8}
    methods = compose([{"method": "dagger", "random": 0.3, **settings}])
    learner, booked = learner_of(methods, run), []
    methods.prepare(learner, booked.append)
    assert booked == [8] * 200
    assert [note.split(",")[0] for note in methods.notes()] == [f"dagger: round {i}" for i in range(4)]
    assert "1,600 transitions" in methods.notes()[-1]
    assert agreement(learner, run, visited(run)) > 0.93


def test_fewer_transitions_than_rounds_are_refused():
    methods = compose([{"method": "dagger", "transitions": 3}])
    with pytest.raises(ConfigError, match="3 transitions are fewer than 5 rounds"):
        methods.check(crossing())
