"""Runs with methods that are killed and started again: what methods keep is saved with them."""

import time

import numpy as np
import pytest

from agents.training import train
from envs.task import Task
from tests.agents.killed import interrupted, killed, outcome
from tests.transfer.teachers import SHORT, carried, run_config
from transfer.carry import train_run

LONG = {"steps": 100, "offline": 10}
SAMPLE = {
    "finetune+kickstart": ("ppo", "ppo", [{"method": "finetune"}, {"method": "kickstart"}]),
    "shape": ("ppo", "ppo", [{"method": "shape", "until": 0.7}]),
    "shape, off policy": ("ppo", "dqn", [{"method": "shape"}]),
    "guide": ("ppo", "ppo", [{"method": "guide", "schedule": "random", "horizon": 5}]),
}
MORE = {
    "guide, curriculum": ("ppo", "ppo", [{"method": "guide", "schedule": "curriculum", "horizon": 5}]),
    "guide, off policy": ("ppo", "dqn", [{"method": "guide", "horizon": 5, "mode": "sampled"}]),
    "advice back": ("ppo", "ppo", [{"method": "advice"}]),
    "advice ahead": ("ppo", "dqn", [{"method": "advice"}]),
    "progressive": ("ppo", "ppo", [{"method": "progressive"}]),
    "thawing+ewc": ("ppo", "ppo", [{"method": "finetune", "freeze": ["torso"], "unfreeze": 0.5}, {"method": "ewc"}]),
    "rates+l2sp": ("ppo", "ppo", [{"method": "finetune", "decay": 0.5}, {"method": "l2sp"}]),
    "perturb": ("a2c", "a2c", [{"method": "finetune"}, {"method": "perturb"}]),
    "qdagger": ("dqn", "dqn", [{"method": "qdagger", **LONG}]),
    "replay": ("ppo", "dqn", [{"method": "replay", "steps": 100, "learn": 10}]),
    "replay, shared": ("dqn", "dqn", [{"method": "replay", "steps": 100, "share": 0.5}]),
    "dagger": ("ppo", "ppo", [{"method": "dagger", "transitions": 100}]),
}
KILLS = 4
"""By SIGKILL in the proofs, of each case."""


def run_of(case, root, task=SHORT):
    """The config of a run whose source is trained."""
    source, target, by = {**SAMPLE, **MORE}[case]
    origin = run_config(task, algorithm=source, steps=200)
    train(origin, root)
    return carried(run_config(task, algorithm=target, steps=400), origin, by)


def dies_at(case, boundaries, root, monkeypatch):
    wanted = run_of(case, root / "dying")
    run_of(case, root / "whole")
    whole = train_run(wanted, root / "whole")
    deaths = sum(interrupted(train_run, wanted, root / "dying", at, monkeypatch) for at in boundaries)
    run = train_run(wanted, root / "dying")
    assert deaths == len(boundaries) == len(run.provenance["resumed"])
    assert run.provenance["resume"] == "exact"
    assert outcome(run) == outcome(whole)


@pytest.mark.parametrize("case", SAMPLE)
def test_a_run_with_methods_that_dies_at_boundaries_ends_as_one_that_does_not(case, tmp_path, monkeypatch):
    dies_at(case, (2, 3), tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("case", {**SAMPLE, **MORE})
def test_whatever_the_boundary(case, tmp_path, monkeypatch):
    dies_at(case, (1, 2, 2), tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("case", {**SAMPLE, **MORE})
def test_whatever_the_moment(case, tmp_path):
    wanted = run_of(case, tmp_path / "whole")
    begun = time.monotonic()
    whole = train_run(wanted, tmp_path / "whole")
    took, draw, deaths = time.monotonic() - begun, np.random.default_rng(len(case)), 0
    for place in range(10 * KILLS):
        root = tmp_path / str(place)
        run_of(case, root)
        deaths += sum(killed(train_run, wanted, root, draw.uniform(0.0, 1.2 * took)) for _ in range(2))
        assert outcome(train_run(wanted, root)) == outcome(whole)
        if deaths >= KILLS:
            return
    pytest.fail(f"of {KILLS} deaths only {deaths} came before the run was done")


def test_a_guide_of_objects_is_resumed_too(tmp_path, monkeypatch):
    task = Task(game="Acrobot-v1", change={"time_limit": 20})
    origin = run_config(task, steps=64)
    train(origin, tmp_path)
    wanted = carried(run_config(task, steps=320), origin, [{"method": "guide", "horizon": 4, "schedule": "random"}])
    assert interrupted(train_run, wanted, tmp_path, 3, monkeypatch)
    train(origin, tmp_path / "whole")
    assert outcome(train_run(wanted, tmp_path)) == outcome(train_run(wanted, tmp_path / "whole"))
