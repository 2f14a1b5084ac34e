"""What a report leaves for other programs: tables as CSV and Parquet, TensorBoard's files, matrices of studies."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.config import Evaluation, RunConfig
from envs.errors import ConfigError, UnknownName
from envs.task import Task
from transfer.report import boards, export, matrix
from transfer.report.results import results
from transfer.study.data import ArmData, StudyData
from transfer.study.plan import plan
from transfer.study.spec import Study

STEPS = (0, 100, 200)
EPISODES = 2


def spec(name: str = "made-up") -> Study:
    evaluation = {"every": 100, "episodes": EPISODES}
    return Study.model_validate(
        {
            "name": name,
            "seeds": 2,
            "source": {"game": "CartPole-v1", "steps": 200, "set": {"gamma": 0.9}, "evaluation": evaluation},
            "target": {"game": "CartPole-v1", "steps": 200},
            "evaluation": evaluation,
            "arms": {"scratch": {}, "finetune": {"by": ["finetune"]}},
        }
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished run folders of the study, made up: episode e of evaluation i returns 10·i + e."""
    root = tmp_path_factory.mktemp("runs")
    for planned in plan(spec(), root).runs:
        folder = root / planned.key
        folder.mkdir()
        (folder / "config.json").write_text(planned.config.model_dump_json())
        rows = [
            [step, e, 7 + e, 10 * i + e, 50, int(e == 0), int(e == 1)]
            for i, step in enumerate(STEPS)
            for e in range(EPISODES)
        ]
        with (folder / "evaluations.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerows([["step", "episode", "seed", "return", "length", "terminated", "truncated"], *rows])
        (folder / "DONE").touch()
    return root


def study(name: str = "made-up", source: str = "A-v0", target: str = "B-v0", gain: float = 50.0) -> StudyData:
    def arm(which: str, level: float) -> ArmData:
        scores = level + np.random.default_rng(len(which)).normal(0, 1, (5, len(STEPS)))
        seeds = tuple(range(5))
        return ArmData(which, () if which == "scratch" else (which,), scores, seeds, tuple(f"k{i}" for i in seeds))

    arms = {"scratch": arm("scratch", 100.0), "finetune": arm("finetune", 100.0 + gain)}
    said = {"name": name, "source": {"game": source}, "target": {"game": target}}
    return StudyData(name, said, np.array(STEPS), arms, 0.0, 200.0, (120.0,), source_steps=200)


def test_a_row_for_every_episode_and_for_every_seed_and_metric(runs: Path, tmp_path: Path) -> None:
    written = export.write(plan(spec(), runs), results(study()), tmp_path, "csv")
    assert [file.name for file in written] == ["episodes.csv", "metrics.csv"]
    with (tmp_path / "episodes.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == list(export.EPISODES)
    assert len(rows) == 3 * 2 * len(STEPS) * EPISODES  # source and two arms, two seeds
    last = rows[-1]
    assert (last["arm"], last["seed"], last["step"], last["episode"]) == ("finetune", "1", "200", "1")
    assert (last["return"], last["episode_seed"], last["terminated"], last["truncated"]) == (
        "21.0",
        "8",
        "false",
        "true",
    )
    with (tmp_path / "metrics.csv").open() as file:
        found = list(csv.DictReader(file))
    assert list(found[0]) == list(export.METRICS)
    assert len(found) == 2 * 5 * 4
    scratch = [row for row in found if row["arm"] == "scratch" and row["metric"] == "time_to_threshold"]
    assert {(row["threshold"], row["value"], row["reached"]) for row in scratch} == {("120.0", "200.0", "false")}
    finals = [float(row["value"]) for row in found if row["arm"] == "finetune" and row["metric"] == "final"]
    assert finals == [seed["final"] for seed in results(study())["arms"]["finetune"]["per_seed"]]


def test_parquet_holds_the_same_with_types(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra export is not installed")
    monkeypatch.setattr(export, "CHUNK", 5)
    export.write(plan(spec(), runs), results(study()), tmp_path, "parquet")
    export.write(plan(spec(), runs), results(study()), tmp_path, "csv")
    for name, columns in (("episodes", export.EPISODES), ("metrics", export.METRICS)):
        table = parquet.read_table(tmp_path / f"{name}.parquet")
        assert {field.name: str(field.type).replace("double", "float64") for field in table.schema} == columns
        with (tmp_path / f"{name}.csv").open() as file:
            rows = list(csv.reader(file))[1:]
        words = {None: "", True: "true", False: "false"}
        plain = [
            [words[x] if x is None or isinstance(x, bool) else str(x) for x in row.values()]
            for row in table.to_pylist()
        ]
        assert plain == rows


def test_parquet_without_its_package_says_what_to_install(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigError, match=re.escape("pip install 'headstart[export]'")):
        export.write(plan(spec(), runs), results(study()), tmp_path, "parquet")
    assert list(tmp_path.iterdir()) == []


def test_tensorboard_has_all_arms_curves_and_hyperparameters(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = RunConfig(
        task=Task(game="CartPole-v1"),
        algorithm="ppo",
        hyperparameters={"n_steps": 32, "net_arch": [64, 64], "clip_range_vf": None},
        steps=200,
        evaluation=Evaluation(every=100),
    )
    (tmp_path / "runs" / "k0").mkdir(parents=True)
    (tmp_path / "runs" / "k0" / "config.json").write_text(config.model_dump_json())
    document = results(study())
    for _ in range(2):  # the second takes the place of the first
        folder = boards.write({None: document}, tmp_path, tmp_path / "runs")
    assert sorted(path.name for path in folder.iterdir()) == ["finetune", "scratch"]
    for name, arm in document["arms"].items():
        assert len(list((folder / name).glob("events*"))) == 1
        events = EventAccumulator(str(folder / name)).Reload()
        curve = events.Scalars("return")
        assert [event.step for event in curve] == list(STEPS)
        assert [event.value for event in curve] == pytest.approx(arm["curve"]["mean"])
        assert {"return_low", "return_high"} <= set(events.Tags()["scalars"])
        seed = EventAccumulator(str(folder / name / "seed-0")).Reload()
        assert seed.Scalars("result/final")[0].value == pytest.approx(arm["per_seed"][0]["final"])
        content = seed.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
        assert all(word in content for word in (b"n_steps", b"net_arch", b"[64, 64]", name.encode()))


# Matrices


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """Three finished studies, of which only results.json is needed."""
    for name, source, target, gain in (
        ("ab", "A-v0", "B-v0", 50.0),
        ("ac", "A-v0", "C-v0", -50.0),
        ("bc", "B-v0", "C-v0", 0.1),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps(results(study(name, source, target, gain))))
    return tmp_path


def test_a_matrix_has_a_cell_for_each_source_and_target(finished: Path) -> None:
    document = matrix.write(["ab", str(finished / "ac"), str(finished / "bc" / "results.json")], finished, "all")
    assert (document["sources"], document["targets"]) == (["A-v0", "B-v0"], ["B-v0", "C-v0"])
    assert document["studies"] == [["ab", "ac"], [None, "bc"]]
    cells = document["arms"]["finetune"]
    assert [[cell and cell["verdict"] for cell in row] for row in cells] == [["helps", "hurts"], [None, "no evidence"]]
    own = json.loads((finished / "ac" / "results.json").read_text())["arms"]["finetune"]["total_reward"]
    assert cells[0][1]["value"] == own["value"]
    gaps = [
        json.loads((finished / name / "results.json").read_text())["arms"]["finetune"]["transfer_ratio"]["gap_closed"]
        for name in ("ab", "ac", "bc")
    ]
    mean = sum(gap["value"] for gap in gaps[:2]) / 2
    assert document["forward_transfer"]["finetune"] == [
        {"value": pytest.approx(mean), "targets": 2},
        {"value": gaps[2]["value"], "targets": 1},
    ]
    assert json.loads((finished / "all" / "matrix.json").read_text()) == document
    page, text = (finished / "all" / "report.html").read_text(), (finished / "all" / "report.md").read_text()
    for said in ("▲ helps", "▼ hurts", "no study", "−50"):
        assert said in page
    assert "| A-v0 |" in text
    assert (finished / "all" / "figures" / "matrix-finetune.png").is_file()


def test_what_cannot_be_combined_is_refused(finished: Path) -> None:
    other = results(study("other"))
    with pytest.raises(ConfigError, match="ab and other both go from A-v0 to B-v0"):
        matrix.combined([results(study("ab")), other], "x")
    with pytest.raises(ConfigError, match="found primary metrics jumpstart, total_reward; expected one"):
        matrix.combined([{**other, "primary": "jumpstart"}, results(study("ab"))], "x")
    with pytest.raises(ConfigError, match="found 1 study, expected at least two"):
        matrix.write(["ab"], finished, "x")
    with pytest.raises(ConfigError, match="there is a study of this name"):
        matrix.write(["ab", "ac"], finished, "bc")
    with pytest.raises(UnknownName, match="did you mean 'ab'"):
        matrix.write(["abb", "ac"], finished, "x")
    (finished / "old").mkdir()
    (finished / "old" / "results.json").write_text(json.dumps({**other, "format": 0}))
    with pytest.raises(ConfigError, match="expected results of format 1"):
        matrix.write(["old", "ac"], finished, "x")


def test_the_verb_writes_what_is_asked_for(
    runs: Path, finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from transfer.cli.app import run

    def said(*arguments: str) -> list[str]:
        assert run(["report", *arguments, "--results", str(finished), "--runs", str(runs)]) == 0
        return capsys.readouterr().out.splitlines()

    monkeypatch.setattr("transfer.report.draw", lambda document: {})
    kept: dict[str, Any] = spec().model_dump(mode="json", exclude_defaults=True)
    (finished / "made-up").mkdir()
    monkeypatch.setattr("transfer.study.spec.load_study", lambda file: spec())
    (finished / "made-up" / "study.toml").write_text(f"name = {kept['name']!r}\n")
    lines = said("made-up", "--export", "csv", "--tensorboard")
    assert [line.partition(":")[0] for line in lines[:3]] == ["report", "table", "table"]
    assert lines[3].startswith("tensorboard --logdir")
    assert said("ab", "ac", "bc", "--matrix", "all") == [f"report: {(finished / 'all' / 'report.html').resolve()}"]
    assert run(["report", "ab", "nosuch", "--matrix", "x", "--results", str(finished)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
