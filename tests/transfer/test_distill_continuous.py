"""Distillation of continuous policies, within a kind of algorithm and between kinds."""

import pytest

from agents.algorithms import resolve
from agents.config import RunConfig
from envs.errors import ConfigError
from envs.task import Task
from tests.transfer.teachers import learner_of, make_teacher
from tests.transfer.test_distill import visited
from transfer.carry import interface_of
from transfer.distillation.loss import greedy_actions
from transfer.mapping import Mapping
from transfer.method import Context, Crossing, compose

PENDULUM = Task(game="Pendulum-v1")
QUICK = {"transitions": 800, "epochs": 60, "batch_size": 64, "learning_rate": 0.01, "n_envs": 4, "random": 0.3}


def continuous(source, target):
    """A run on Pendulum, with a random teacher."""
    known = interface_of(PENDULUM)
    return Context(
        teacher=make_teacher(source, known, {"net_arch": [8]}),
        mapping=Mapping.between(known, known),
        task=PENDULUM,
        algorithm=target,
        hyperparameters=resolve(PENDULUM, target, {"net_arch": [32], "n_envs": 1}),
        steps=10_000,
        seed=0,
    )


@pytest.mark.parametrize(
    ("source", "target", "loss"),
    [("sac", "sac", "kl"), ("a2c", "a2c", "kl"), ("td3", "ddpg", "kl"), ("sac", "td3", "mse"), ("ppo", "sac", "mse")],
)
def test_the_student_comes_to_act_as_its_teacher(source, target, loss):
    run = continuous(source, target)
    methods = compose([{"method": "distill", "loss": loss, **QUICK}])
    learner, booked = learner_of(methods, run), []
    methods.prepare(learner, booked.append)
    assert sum(booked) == 800
    seen = visited(run)
    space = run.mapping.target.action_space
    acts = [
        greedy_actions(policy.outputs(seen), space, squashed=policy.network.squash_output).head.clamp(-1, 1)
        for policy in (run.teacher, methods.methods[0].student(learner))
    ]
    assert (acts[0] - acts[1]).abs().mean() < 0.1


@pytest.mark.parametrize(("loss", "words"), [("kl", "take mse"), ("nll", "nll is of single actions")])
def test_what_cannot_be_compared_is_refused(loss, words):
    config = RunConfig(task=PENDULUM, algorithm="ppo", steps=1000)
    mapping = Mapping.between(interface_of(PENDULUM), interface_of(PENDULUM))
    crossing = Crossing(config, config.model_copy(update={"algorithm": "sac"}), mapping)
    with pytest.raises(ConfigError, match=words):
        compose([{"method": "distill", "loss": loss}]).check(crossing)
