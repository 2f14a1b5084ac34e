"""What all verbs say things with, and the small verbs, as typed."""

import json
import sys
from pathlib import Path

import pytest

from transfer.cli import console
from transfer.cli.app import run
from transfer.cli.doctor import needed

KEY, WORDS = "0123456789abcdef", "many words that a narrow terminal has no room for"
QUICK = ["--set", "n_envs=2", "--set", "n_steps=16", "--set", "batch_size=16", "--set", "n_epochs=1"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder, which holds the runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADSTART_RUNS", raising=False)
    return tmp_path


def drawn(columns: int | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """A table's lines on a terminal of so many columns, or on none."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: columns is not None)
    monkeypatch.setenv("COLUMNS", str(columns or 80))
    monkeypatch.setenv("TERM", "dumb")
    console.table(("key", "what", "size"), [(KEY, WORDS, "9 B"), ("ab", "few", "10 kB")], right=("size",))
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("columns", [None, 30, 200])
def test_a_row_of_a_table_is_one_line(
    columns: int | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert drawn(columns, monkeypatch, capsys) == [
        f"{'key':<16}  {'what':<{len(WORDS)}}   size",
        f"{KEY}  {WORDS}    9 B",
        f"{'ab':<16}  {'few':<{len(WORDS)}}  10 kB",
    ]


def test_on_a_narrow_terminal_the_widest_column_is_folded_and_no_key_is_cut(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = drawn(60, monkeypatch, capsys)
    assert max(map(len, lines)) == 60
    assert [line[:16].rstrip() for line in lines] == ["key", KEY, "", "ab"]
    assert " ".join(line[18:53].strip() for line in lines[1:3]) == WORDS


@pytest.mark.parametrize("arguments", [["--version"], ["--version", "games"]])
def test_the_version(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert run(arguments) == 0
    assert capsys.readouterr() == (f"headstart {version('headstart')}\n", "")


def test_the_last_line_of_a_training_tells_its_last_evaluation(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = ["train", "headstart/CartPole-v1", "--steps", "64", "--every", "32", "--episodes", "2", *QUICK]
    assert run(train) == 0
    said = capsys.readouterr()
    last = said.out.split("→")[1].split()[0]
    assert said.err.splitlines()[-1] == f"headstart/CartPole-v1 seed 0: 64 of 64 steps, return {last}"


def test_runs_are_shown_exported_and_removed_each_with_one_document(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str) -> dict[str, object]:
        capsys.readouterr()
        assert run([*arguments, "--json"]) == 0
        document: dict[str, object] = json.loads(capsys.readouterr().out)
        return document

    assert run(["train", "headstart/CartPole-v1", "--steps", "32", "--episodes", "2", *QUICK]) == 0
    (done,) = (here / "runs").iterdir()
    assert run(["train", "FrozenLake-v1", "--steps", "32", "--change", "wrong=1", *QUICK]) == 2
    failed = next(folder for folder in (here / "runs").iterdir() if folder != done)

    assert said("export", done.name[:6], "--sb3", "policy.zip") == {"run": done.name[:6], "file": "policy.zip"}
    assert (here / "policy.zip").is_file()
    assert "wrong" in str(said("runs", "show", failed.name)["failure"])
    assert run(["runs", "show", failed.name]) == 0
    assert "failed: game FrozenLake-v1(wrong=1) cannot be made" in capsys.readouterr().out
    pruned = said("runs", "prune", "--dry-run")["removed"]
    assert isinstance(pruned, list)
    assert [entry["key"] for entry in pruned] == [failed.name]
    assert failed.is_dir()
    assert said("runs", "prune")["removed"] == pruned
    assert not failed.exists()
    assert run(["runs", "rm", done.name]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("1 run, ")
    assert not done.exists()


def test_an_evaluation_changes_a_game_over_its_own_changes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limited = ["--change", "time_limit=5", "--change", "gravity=9.0"]
    assert run(["train", "headstart/CartPole-v1", "--steps", "32", "--episodes", "2", *QUICK, *limited]) == 0
    (trained,) = (here / "runs").iterdir()
    capsys.readouterr()
    assert run(["evaluate", trained.name, "--episodes", "3", "--change", "sticky=0.5", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["task"] == "headstart/CartPole-v1(gravity=9.0, time_limit=5, sticky=0.5)"
    assert document["returns"] == [5.0] * 3


def test_the_doctor_trains(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"torch", "stable-baselines3", "safetensors"} <= set(needed())
    assert not {"ruff", "minatar"} & set(needed())
    assert run(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "a training runs: all is well"

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no room")

    monkeypatch.setattr("transfer.carry.train_run", broken)
    assert run(["doctor", "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["faults"] == [
        f"{game}: a training of 64 steps fails: RuntimeError: no room"
        for game in ("headstart/CartPole-v1", "headstart/DoorKey-5x5-v0")
    ]
