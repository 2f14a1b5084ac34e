"""`headstart study` and `headstart status`, as typed."""

import json
from pathlib import Path

import pytest

from tests.transfer.small import SMALL, small_study
from transfer.cli.app import run
from transfer.cli.study import duration

STUDY = small_study("typed", seeds=1, source=(64, 64), target=(64, 32))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a study file in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADSTART_RUNS", raising=False)
    (tmp_path / "typed.toml").write_text(STUDY)
    return tmp_path


def test_a_dry_run_says_what_would_be_trained_and_trains_nothing(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["study", "typed.toml", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "study typed: arms scratch, finetune; 1 seed; primary metric total_reward" in said
    assert "seeds: 1, arms besides scratch: 1; that cannot give a verdict" in said
    assert "3 runs to train (0 finished already), 192 steps" in said
    assert [path.name for path in here.iterdir()] == ["typed.toml"]


def test_a_dry_run_in_json_lists_the_runs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["study", "typed.toml", "--dry-run", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [entry["arm"] for entry in document["runs"]] == ["source", "scratch", "finetune"]
    assert document["runs"][2]["after"] == document["runs"][0]["key"]
    assert document["steps"] == 192


def test_a_study_is_run_looked_at_and_run_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["study", "typed.toml", "--workers", "2"]) == 0
    said = capsys.readouterr()
    assert f"report: {here / 'results' / 'typed' / 'report.html'}" in said.out
    for name in ("source", "scratch", "finetune"):
        assert f"{name} seed 0: done, return " in said.err

    assert run(["study", "typed.toml", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["arms"]) == {"scratch", "finetune"}

    assert run(["study", "typed.toml"]) == 0
    assert "nothing to train: all of its 3 runs are finished" in capsys.readouterr().out

    assert run(["status", "typed"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["arm", "done", "running", "failed", "waiting", "steps", "last", "return", "left"]
    assert [line.split()[:6] for line in lines[1:]] == [
        [arm, "1", "0", "0", "0", "100"] for arm in ("source", "scratch", "finetune")
    ]
    assert run(["status", "typed.toml", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [entry["phase"] for entry in found["runs"]] == ["done"] * 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["study", "nosuch.toml"], "error: there is no study file 'nosuch.toml'"),
        (["study", "bad.toml"], "error: bad.toml: target.steps: found 0, expected at least 1"),
        (["study", "typed.toml", "--workers", "0"], "error: "),
        (["status", "nosuch"], "error: unknown study 'nosuch'"),
        (["status", "nosuch.toml"], "error: there is no study file 'nosuch.toml'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    (here / "bad.toml").write_text(STUDY.replace("steps = 64\n" + SMALL + "\n[evaluation]", "steps = 0\n[evaluation]"))
    assert run(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(words)
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "1 s"), (40, "40 s"), (700, "12 min"), (12600, "3.5 h")])
def test_durations_are_rounded(seconds: float, words: str) -> None:
    assert duration(seconds) == words
