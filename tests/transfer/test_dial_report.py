"""The report of a study with a dial: one curve over its values, one verdict over all of them, a report at each."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from transfer.report import figures, write
from transfer.report.dial import turned
from transfer.report.results import results
from transfer.study.data import ArmData, DialData, StudyData

STEPS = np.arange(0, 1100, 100)


def arm(name: str, level: float, seed: int, n: int = 5) -> ArmData:
    """Scores around one level (n_seeds, n_evaluations)."""
    scores = level + np.random.default_rng(seed).normal(0, 3, (n, len(STEPS)))
    seeds = tuple(range(n))
    methods = () if name == "scratch" else (name,)
    return ArmData(name, methods, scores, seeds, tuple(f"{name}-{seed}-{i}" for i in seeds))


def point(value: float, *others: ArmData, **rest: Any) -> StudyData:
    arms = {one.name: one for one in (arm("scratch", 100.0, int(10 * value)), *others)}
    spec = {"name": f"made-up, length={value}", "primary": "total_reward", "target": {"game": "Hard-v0"}}
    runs = {key: {"training_cpu_seconds": 1.0} for one in arms.values() for key in one.run_keys}
    given: dict[str, Any] = {"source_steps": 500, "thresholds": (150.0,), "provenance": {"host": "x", "runs": runs}}
    return StudyData(f"made-up, length={value}", spec, STEPS, arms, **(given | rest))


def dialled(**rest: Any) -> DialData:
    """Fine-tuning helps near, not in the middle, and hurts far; kickstarting helps everywhere."""
    points = tuple(
        point(value, arm("finetune", 100.0 + gain, 50 + i), arm("kickstart", 150.0, 90 + i))
        for i, (value, gain) in enumerate([(0.5, 60.0), (1.0, 0.0), (4.0, -60.0)])
    )
    study = {"name": "made-up", "primary": "total_reward", "seeds": [0, 1, 2, 3, 4], "target": {"game": "Hard-v0"}}
    labels = tuple(f"length={value}" for value in (0.5, 1.0, 4.0))
    return replace(DialData("made-up", study, "length", (0.5, 1.0, 4.0), labels, points), **rest)


def test_each_metric_is_a_list_over_the_values() -> None:
    document, points = turned(dialled())
    dial = document["dial"]
    assert (dial["argument"], dial["values"]) == ("length", [0.5, 1.0, 4.0])
    assert set(dial["arms"]) == {"finetune", "kickstart"}
    for metric in ("jumpstart", "asymptotic", "total_reward", "transfer_ratio", "time_to_threshold"):
        assert dial["arms"]["finetune"][metric] == [found["arms"]["finetune"][metric] for found in points]
    assert [entry["total_reward"]["value"] > 90 for entry in dial["levels"]["scratch"]] == [True] * 3
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert len(document["provenance"]["runs"]) == 3 * 3 * 5


def test_the_verdict_holds_over_all_arms_and_values() -> None:
    document, points = turned(dialled())
    verdicts = [verdict["verdict"] for verdict in document["dial"]["arms"]["finetune"]["verdict"]]
    assert verdicts == ["helps", "no evidence", "hurts"]
    assert document["dial"]["arms"]["finetune"]["conclusion"] == (
        "finetune, total reward over length: helps at 0.5; hurts at 4; no evidence at 1."
    )
    for data, found in zip(dialled().points, points, strict=True):
        alone, verdict = results(data)["arms"]["finetune"]["verdict"], found["arms"]["finetune"]["verdict"]
        assert verdict["p"] >= alone["p"] - 1e-3, "the relabellings drawn differ"
        assert verdict["p_single"] == alone["p_single"]
        assert "values of the dial" in found["measured"]["test"]["method"]
    assert points[0]["arms"]["finetune"]["conclusion"].endswith("over all arms and all values of the dial.")


def test_what_does_not_hold_everywhere_says_where() -> None:
    lost = replace(dialled().points[1].arms["finetune"], failed=("seed 5: it broke",))
    few = replace(dialled().points[1], arms={**dialled().points[1].arms, "finetune": lost})
    given = dialled()
    data = replace(given, points=(given.points[0], few, given.points[2]), missing=("length=9: not trained",))
    notes = turned(data)[0]["notes"]
    assert notes[0] == "Not measured: length=9: not trained"
    assert [
        note for note in notes if note.startswith("At length=1.0: finetune: 1 of 6 seeds missing (seed 5: it broke)")
    ]


def test_pages_with_the_curve_and_a_page_for_each_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transfer.report.draw", lambda document: {})
    document = write(dialled(), tmp_path)
    assert json.loads((tmp_path / "results.json").read_text()) == document
    text, page = (tmp_path / "report.md").read_text(), (tmp_path / "report.html").read_text()
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == re.findall(r"<h2>(.*?)</h2>", page)
    for found in document["dial"]["arms"].values():
        assert found["conclusion"] in text
        assert found["conclusion"] in page
    rows = [line for line in text.splitlines() if line.startswith("| finetune |")]
    assert [word in rows[0] for word in ("(helps, p", "(no evidence, p", "(hurts, p")] == [True] * 3
    assert not re.search(r"\b(nan|None|inf|Undefined)\b", text)
    assert (tmp_path / "figures" / "transfer_over_distance.png").stat().st_size > 10_000
    assert "<svg" in page
    for label in ("length=0.5", "length=1.0", "length=4.0"):
        assert f'href="{label}/report.html"' in page
        assert f"({label}/report.md)" in text
        assert json.loads((tmp_path / label / "results.json").read_text())["arms"]["finetune"]["verdict"]


def test_no_interval_of_the_curve_hides_another() -> None:
    document = turned(dialled())[0]
    drawn = figures.over_distance(document)
    drawn.draw_without_rendering()
    for axes in drawn.axes:
        intervals = [line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_alpha() == 0.6]
        at = [line.get_transform().transform(line.get_xydata()) for line in intervals]
        assert len({round(float(ends[0, 0]), 1) for ends in at}) == len(intervals) == 6
        for ends in at:
            assert axes.bbox.contains(*ends[0])
            assert axes.bbox.contains(*ends[1])


@pytest.mark.parametrize("seeds", [1, 0])
def test_too_few_seeds_for_a_test_still_give_a_report(
    seeds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transfer.report.draw", lambda document: {})
    points = tuple(
        replace(
            found, arms={"scratch": arm("scratch", 1.0, 0, max(1, seeds)), "finetune": arm("finetune", 2.0, 1, seeds)}
        )
        for found in dialled().points
    )
    document = write(replace(dialled(), points=points), tmp_path)
    said = {1: "no evidence at 0.5, 1, 4", 0: "not measured at 0.5, 1, 4"}[seeds]
    assert document["dial"]["arms"]["finetune"]["conclusion"].endswith(f"{said}.")
    assert not re.search(r"\b(nan|None|inf|Undefined)\b", (tmp_path / "report.md").read_text())
