"""A small study with a dial, as typed: run, looked at, reported."""

import json
from pathlib import Path

import pytest

from transfer.cli.app import run

SMALL = "set = { n_envs = 2, n_steps = 32, batch_size = 64, n_epochs = 1 }"
STUDY = f"""
name = "turned"
seeds = 1
[source]
game = "headstart/CartPole-v1"
steps = 64
evaluation = {{ every = 64, episodes = 1 }}
{SMALL}
[target]
game = "headstart/CartPole-v1"
steps = 64
{SMALL}
[evaluation]
every = 32
episodes = 1
[dial]
argument = "length"
values = [0.5, 2]
[arms.scratch]
[arms.finetune]
by = ["finetune"]
"""


def test_a_study_with_a_dial_is_run_looked_at_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADSTART_RUNS", raising=False)
    monkeypatch.setattr("transfer.report.draw", lambda document: {})
    (tmp_path / "turned.toml").write_text(STUDY)

    assert run(["study", "turned.toml", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "arms scratch, finetune; length at 0.5, 2; 1 seed" in said
    assert "5 runs to train" in said
    assert run(["study", "turned.toml", "--dry-run", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["runs"]
    assert [entry.get("at") for entry in listed] == [None, *["length=0.5"] * 2, *["length=2"] * 2]

    assert run(["study", "turned.toml", "--workers", "2"]) == 0
    said = capsys.readouterr()
    assert "finetune length=2 seed 0: done, return " in said.err
    folder = tmp_path / "results" / "turned"
    document = json.loads((folder / "results.json").read_text())
    assert document["dial"]["values"] == [0.5, 2]
    assert len(document["dial"]["arms"]["finetune"]["total_reward"]) == 2
    assert (folder / "length=2" / "report.html").is_file()

    assert run(["status", "turned"]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [line[:-7] for line in lines] == [
        ["source"],
        ["scratch", "length=0.5"],
        ["finetune", "length=0.5"],
        ["scratch", "length=2"],
        ["finetune", "length=2"],
    ]
    assert run(["status", "turned", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["runs"]
    assert [entry.get("at") for entry in found] == [None, *["length=0.5"] * 2, *["length=2"] * 2]

    before = (folder / "results.json").read_text()
    assert run(["report", "turned"]) == 0
    assert (folder / "results.json").read_text() == before
