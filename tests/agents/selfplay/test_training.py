"""Trainings against somebody: what decides them, and that a kill changes nothing."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.algorithms import resolve
from agents.config import Evaluation, RunConfig
from agents.evaluation import SEED_BASE, Evaluator
from agents.runs import Run
from agents.selfplay.references import resolved
from agents.training import train
from envs.errors import CheckpointError, ConfigError, OpponentError, UnknownName
from envs.task import Task
from tests.agents.killed import interrupted, killed, outcome

SMALL = {"n_envs": 4, "n_steps": 16, "batch_size": 32, "n_epochs": 1, "net_arch": [8]}


def config(steps: int = 320, seed: int = 0, **arguments: Any) -> RunConfig:
    task = Task(game="headstart/TicTacToe-v0", arguments=arguments)
    return RunConfig(
        task=task,
        hyperparameters=resolve(task, "ppo", SMALL),
        steps=steps,
        seed=seed,
        evaluation=Evaluation(every=160, episodes=4),
    )


LEAGUE = ["league:pfsp,every=64,capacity=3,latest=0.3", "random"]


def test_checkpoints_and_deaths_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = config(opponent=LEAGUE, against=["random", "scripted"])
    whole = train(ours, tmp_path / "whole")
    deaths = 0
    while interrupted(train, ours, tmp_path / "broken", at=2, monkeypatch=monkeypatch):
        deaths += 1
    assert deaths >= 3
    broken = train(ours, tmp_path / "broken")
    assert broken.provenance["resume"] == "exact"
    assert outcome(broken) == outcome(whole)


MOODY = """
import os
from envs.turns.opponents import Random

class Moody(Random):
    name, moves = "moody", 0

    def choose(self, games, boards, observations, masks, generators):
        self.moves += len(boards)
        if self.moves > 150 and "TIRED" in os.environ:
            raise ConnectionError("gone home")
        return super().choose(games, boards, observations, masks, generators)
"""


def test_an_opponent_who_fails_late_loses_no_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named in one line, and once it plays again the training goes on from its checkpoint, to the same end."""
    (tmp_path / "moodyplayer.py").write_text(MOODY)
    monkeypatch.syspath_prepend(tmp_path)
    ours = config(opponent="moodyplayer:Moody")
    whole = train(ours, tmp_path / "whole")
    monkeypatch.setenv("TIRED", "yes")
    with pytest.raises(OpponentError, match=r"^opponent 'moody' raised ConnectionError.'gone home'.$"):
        train(ours, tmp_path / "broken", checkpoint_seconds=0)
    failed = Run(tmp_path / "broken" / ours.key())
    assert failed.state == "failed"
    assert "its last checkpoint is kept: the same command goes on from there" in (failed.path / "log.txt").read_text()
    assert 0 in failed.snapshots()
    monkeypatch.delenv("TIRED")
    done = train(ours, tmp_path / "broken")
    assert done.state == "done"
    assert done.failure is None
    assert done.provenance["resumed"][0] >= 128
    assert outcome(done) == outcome(whole)


def test_our_own_fault_keeps_no_checkpoint(tmp_path: Path) -> None:
    """Who knows what it holds: the same command starts afresh."""
    ours = config(opponent="random")
    whole = train(ours, tmp_path / "whole")

    def stumble(step: int, _: float) -> None:
        if step == 160:
            raise IndexError("ours")

    with pytest.raises(IndexError):
        train(ours, tmp_path / "broken", checkpoint_seconds=0, on_evaluation=stumble)
    done = train(ours, tmp_path / "broken")
    assert done.provenance["resumed"] == []
    assert outcome(done) == outcome(whole)


@pytest.mark.slow
def test_sigkill_at_any_moment(tmp_path: Path) -> None:
    ours = config(steps=2000, opponent=LEAGUE)
    whole = train(ours, tmp_path / "whole")
    for delay in (0.3, 0.7, 1.1):
        killed(train, ours, tmp_path / "broken", delay)
    assert outcome(train(ours, tmp_path / "broken")) == outcome(whole)


def test_the_opponent_decides_the_run(tmp_path: Path) -> None:
    finals = {}
    for opponent in ("self", "random", "league"):
        run = train(config(opponent=opponent), tmp_path)
        finals[opponent] = (run.path / "policy" / "policy.safetensors").read_bytes()
    assert len(set(finals.values())) == 3
    assert len({config(opponent=name).key() for name in finals}) == 3


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A folder of runs, and a finished one."""
    root = tmp_path_factory.mktemp("runs")
    return root, train(config(seed=7, opponent="random"), root)


def test_a_run_as_opponent_is_named_by_its_key(home: tuple[Path, Run], tmp_path: Path) -> None:
    root, earlier = home
    for named in (earlier.key, earlier.key[:6], str(earlier.path)):
        task = Task(game="headstart/TicTacToe-v0", arguments={"opponent": ["random", f"run:{named}"]})
        assert resolved(task, root).arguments["opponent"] == ["random", f"run:{earlier.key}"]
    by_beginning = train(config(opponent=f"run:{earlier.key[:6]}", against=f"run:{earlier.path}"), root)
    assert by_beginning.key == config(opponent=f"run:{earlier.key}", against=f"run:{earlier.key}").key()
    assert by_beginning.config.task.arguments["opponent"] == f"run:{earlier.key}"


def test_tasks_without_runs_stay_as_they_are(tmp_path: Path) -> None:
    task = Task(game="headstart/TicTacToe-v0", arguments={"opponent": ["league", "random"]})
    assert resolved(task, tmp_path) is task


def test_runs_that_cannot_be_played_against(home: tuple[Path, Run], tmp_path: Path) -> None:
    root, earlier = home
    with pytest.raises(UnknownName, match="unknown run"):
        train(config(opponent="run:ffff"), root)
    with pytest.raises(CheckpointError, match="is not under"):
        train(config(opponent=f"run:{earlier.path}"), tmp_path)
    other = Task(game="headstart/ConnectFour-v0", arguments={"rows": 4, "columns": 5, "opponent": f"run:{earlier.key}"})
    settings = config().model_copy(update={"task": other})
    with pytest.raises(ConfigError, match="was trained with observations"):
        train(settings, root)


def test_an_evaluation_meets_every_opponent_and_every_seat(home: tuple[Path, Run]) -> None:
    root, earlier = home
    task = Task(game="headstart/TicTacToe-v0", arguments={"against": ["random", f"run:{earlier.key}"]})
    with Evaluator(task, episodes=8, mode="sampled", root=root) as evaluator:
        results = evaluator.evaluate(earlier.policy())
        venv: Any = evaluator.venv.unwrapped
        assert [opponent.name for opponent in venv.pool.opponents] == ["random", f"run:{earlier.key}"]
    assert set(np.unique(results.returns)) <= {-1.0, 0.0, 1.0}
    np.testing.assert_array_equal(results.seeds, SEED_BASE + np.arange(8))


def test_an_evaluation_asks_nobody_for_moves_that_do_not_count(home: tuple[Path, Run]) -> None:
    """Games that are over rest, and results are those of games that go on."""
    root, earlier = home
    policy = earlier.policy()
    with Evaluator(earlier.config.task, episodes=12, mode="sampled", root=root) as evaluator:
        venv: Any = evaluator.venv.unwrapped
        asked: list[int] = []
        venv.on_reply = lambda boards, _: asked.append(len(boards))
        results, needed = evaluator.evaluate(policy), sum(asked)
        venv.once = False
        asked.clear()
        again = evaluator.evaluate(policy)
    assert results.returns.tolist() == again.returns.tolist()
    assert results.lengths.tolist() == again.lengths.tolist()
    assert needed < sum(asked)
    assert needed <= results.lengths.sum() + 6  # a reply a move, and those who move first


def test_an_evaluation_is_not_against_somebody_who_changes() -> None:
    task = Task(game="headstart/TicTacToe-v0", arguments={"against": "self"})
    with pytest.raises(ConfigError, match="changes as the learner does"):
        Evaluator(task, episodes=2, mode="sampled")


def test_the_evaluations_of_self_play_are_those_against_the_stated_pool(home: tuple[Path, Run]) -> None:
    """What is written is what an evaluation of the same policy against the same pool gives."""
    root, _ = home
    run = train(config(opponent="self", against="random"), root)
    with (run.path / "evaluations.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if int(row["step"]) == 320]
    with Evaluator(run.config.task, episodes=4, mode="sampled", seed=run.config.seed) as evaluator:
        again = evaluator.evaluate(run.policy(), 320)
    assert [float(row["return"]) for row in rows] == again.returns.tolist()
    assert json.loads((run.path / "config.json").read_text())["task"]["arguments"]["against"] == "random"
