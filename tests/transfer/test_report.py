"""The report of made-up studies: the numbers, what is said of what is missing, and the pages."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from envs.errors import ConfigError, UnknownName
from transfer import metrics, statistics
from transfer.report import figures, page, write
from transfer.report.document import as_json
from transfer.report.results import results
from transfer.report.words import conclusion, number, p_value
from transfer.study.data import ArmData, StudyData

METRICS = ("jumpstart", "asymptotic", "total_reward", "transfer_ratio", "time_to_threshold")
STEPS = np.arange(0, 2100, 100)


def arm(name: str, scores: np.ndarray, failed: tuple[str, ...] = (), first_step: int = 0) -> ArmData:
    methods = () if name == "scratch" else (name,)
    seeds = tuple(range(len(scores)))
    return ArmData(name, methods, scores, seeds, tuple(f"{name}-{i}" for i in seeds), failed, first_step)


def curves(start: float, end: float, n_seeds: int = 5, seed: int = 0) -> np.ndarray:
    """Rising from start to end in half of the budget, with a little noise (n_seeds, n_evaluations)."""
    generator = np.random.default_rng(seed)
    return np.clip(np.linspace(start, 2 * end - start, len(STEPS)), None, end) + generator.normal(
        0, 3, (n_seeds, len(STEPS))
    )


def study(*others: ArmData, scratch: ArmData | None = None, primary: str = "total_reward", **rest: Any) -> StudyData:
    base = scratch or arm("scratch", curves(20, 300))
    given: dict[str, Any] = {
        "random": 20.0,
        "reference": 500.0,
        "thresholds": (250.0,),
        "source_steps": 1000,
        "source_scores": np.array([490.0, 500.0]),
        "evaluation": {"every": 100, "episodes": 20, "mode": "sampled"},
        "provenance": {"versions": {"torch": "2.9.1"}, "host": "laptop", "runs": {"a": {"training_cpu_seconds": 2.0}}},
    } | rest
    spec = {"name": "made-up", "primary": primary, "source": {"game": "Easy-v0"}, "target": {"game": "Hard-v0"}}
    return StudyData("made-up", spec, STEPS, {one.name: one for one in (base, *others)}, **given)


GOOD = arm("finetune", curves(200, 400, seed=1))
BAD = arm("shape", curves(20, 200, seed=2))
SAME = arm("none", curves(20, 300, seed=3))


def test_every_metric_is_a_value_with_its_interval() -> None:
    document = results(study(GOOD, BAD))
    for name in ("finetune", "shape"):
        for metric in METRICS:
            assert {"value", "low", "high", "interval"} <= set(document["arms"][name][metric])
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_the_numbers_are_those_of_the_metrics() -> None:
    document = results(study(GOOD))
    found, base = document["arms"]["finetune"], curves(20, 300)
    assert found["jumpstart"]["value"] == pytest.approx(metrics.jumpstart(GOOD.scores, base))
    assert found["asymptotic"]["value"] == pytest.approx(metrics.asymptotic(GOOD.scores, base))
    assert found["total_reward"]["value"] == pytest.approx(metrics.total_reward(GOOD.scores, base, STEPS))
    own, scratch = (metrics.normalise(metrics.area(x, STEPS), 20, 500) for x in (GOOD.scores, base))
    ratio = found["transfer_ratio"]
    assert ratio["value"] == pytest.approx(metrics.transfer_ratio(own, scratch))
    assert ratio["low"] < ratio["value"] < ratio["high"]
    assert ratio["gap_closed"]["value"] == pytest.approx(metrics.gap_closed(own, scratch))
    assert ratio["gap_closed"]["low"] < ratio["gap_closed"]["value"] < ratio["gap_closed"]["high"]
    assert found["total_reward"]["normalised"] == pytest.approx(own.mean() - scratch.mean())
    interval = statistics.difference_interval(metrics.area(GOOD.scores, STEPS), metrics.area(base, STEPS))
    assert (found["total_reward"]["low"], found["total_reward"]["high"]) == pytest.approx((interval.low, interval.high))
    assert found["total_reward"]["interval"] == "Welch t over seeds"


def test_only_the_primary_metric_is_not_exploratory() -> None:
    found = results(study(GOOD, primary="jumpstart"))["arms"]["finetune"]
    assert {metric: found[metric]["exploratory"] for metric in METRICS} == {
        metric: metric != "jumpstart" for metric in METRICS
    }
    assert found["verdict"]["metric"] == "jumpstart"


@pytest.mark.parametrize("primary", METRICS)
def test_verdicts_go_the_right_way_for_every_metric(primary: str) -> None:
    scratch = arm("scratch", curves(50, 300))
    document = results(study(GOOD, arm("hurt", curves(20, 200, seed=2)), SAME, scratch=scratch, primary=primary))
    verdicts = {name: document["arms"][name]["verdict"]["verdict"] for name in ("finetune", "hurt")}
    assert verdicts == {"finetune": "helps", "hurt": "hurts"}
    assert document["arms"]["finetune"]["verdict"]["p"] >= 2 / 252
    assert "finetune is better than scratch" in conclusion(document, "finetune")
    assert "hurt is worse than scratch" in conclusion(document, "hurt")


def test_an_arms_own_mapping_is_told() -> None:
    data = study(GOOD)
    data.study["arms"] = {"scratch": {}, "finetune": {"mapping": {"actions": {"left": "right"}, "margin": 2.0}}}
    assert "finetune has a mapping of its own: actions left=right; margin 2.0." in results(data)["notes"]


def test_no_evidence_is_not_called_no_effect() -> None:
    document = results(study(SAME))
    assert document["arms"]["none"]["verdict"]["verdict"] == "no evidence"
    assert "Effects inside the interval remain possible" in document["arms"]["none"]["conclusion"]


def test_per_seed_numbers_and_levels() -> None:
    found = results(study(GOOD))["arms"]["finetune"]
    assert [seed["run"] for seed in found["per_seed"]] == list(GOOD.run_keys)
    assert found["per_seed"][2]["scores"] == pytest.approx(GOOD.scores[2].tolist())
    assert found["levels"]["final"]["value"] == pytest.approx(metrics.final(GOOD.scores).mean())
    assert found["curve"]["mean"] == pytest.approx(GOOD.scores.mean(axis=0).tolist())


def test_time_to_threshold_tells_of_runs_that_never_got_there() -> None:
    found = results(study(BAD))["arms"]
    time = found["shape"]["time_to_threshold"]
    assert (time["value"], time["low"], time["reached"], time["solved"]) == (2000, None, 0, 0)
    assert time["note"] == "no seed reached it; all count with the budget"
    assert time["median"]["value"] is None
    assert found["scratch"]["time_to_threshold"]["solved"] == 1
    assert "at most: 5 of 5 of this arm never got there" in time["saved"]["note"]


def test_what_it_cost_does_not_pass_a_budget_off_as_a_time_to_threshold(tmp_path: Path) -> None:
    write(study(GOOD, BAD), tmp_path)
    text = (tmp_path / "report.md").read_text()
    costs = text[text.index("## What it cost") : text.index("## With the source")]
    rows = {row.split(" | ")[0].strip("| "): row.split(" | ") for row in costs.splitlines() if row.startswith("| ")}
    unreached = "(no seed reached it; all count with the budget)"
    assert rows["shape"][4:6] == [f"2,000 {unreached}", f"3,000 {unreached}"]
    assert not any(unreached in cell for cell in rows["finetune"] + rows["scratch"])


def test_scores_of_the_game_are_named_beside_the_axes_where_no_curve_runs() -> None:
    drawn = figures.draw(results(study(GOOD, random=100.0)))["learning_curves"]
    names = {text.get_text(): text for axes in drawn.axes for text in axes.texts}
    assert set(names) == {"random", "reference"}
    drawn.draw_without_rendering()
    for text in names.values():
        assert text.get_window_extent().x0 > drawn.axes[0].bbox.x1
        assert text.get_window_extent().x1 <= drawn.bbox.x1


def test_the_report_chooses_thresholds_where_the_study_names_none() -> None:
    by_scores = results(study(GOOD, thresholds=()))["measured"]["thresholds"]
    assert by_scores["values"] == [20 + share * 480 for share in (0.75, 0.5, 0.9)]
    by_scratch = results(study(GOOD, thresholds=(), random=None, reference=None))["measured"]["thresholds"]
    assert "seen only afterwards" in by_scratch["source"]
    flat = arm("scratch", np.zeros((5, len(STEPS))))
    none = results(study(GOOD, scratch=flat, thresholds=(), random=None))["arms"]["finetune"]["time_to_threshold"]
    assert none["value"] is None
    assert "names no thresholds" in none["note"]


def test_the_source_is_charged() -> None:
    own = GOOD.scores + 15 * np.arange(5)[:, None]
    document = results(study(arm("finetune", own), source_steps=500))
    found, base = document["arms"]["finetune"], curves(20, 300)
    charged = found["charged"]
    area = metrics.charged_area(own, STEPS, 500, 20.0).mean() - metrics.area(base, STEPS).mean()
    assert charged["total_reward"]["value"] == pytest.approx(area)
    assert charged["total_reward"]["value"] < found["total_reward"]["value"]
    assert charged["jumpstart"]["value"] == pytest.approx(own[:, 0].mean() - base[:, 5].mean())
    assert charged["time_to_threshold"]["value"] == found["time_to_threshold"]["value"] + 500
    saved = found["time_to_threshold"]["saved"]["value"]
    assert charged["time_to_threshold"]["saved"]["value"] == pytest.approx(saved - 500)
    assert found["break_even"]["value"] == pytest.approx(500 / saved)
    assert found["break_even"]["low"] < found["break_even"]["value"] < found["break_even"]["high"]


def test_a_source_dearer_than_the_target_and_one_that_saves_nothing_say_so() -> None:
    document = results(study(GOOD, BAD, source_steps=5000))
    charged = document["arms"]["finetune"]["charged"]
    assert "more than the target's budget" in charged["jumpstart"]["note"]
    assert charged["total_reward"]["value"] == pytest.approx(20 - metrics.area(curves(20, 300), STEPS).mean())
    assert "saves no target steps" in document["arms"]["shape"]["break_even"]["note"]
    assert "not known" in results(study(GOOD, source_steps=0))["arms"]["finetune"]["break_even"]["note"]


@pytest.mark.parametrize(
    ("scratch", "words"),
    [
        (np.full((5, len(STEPS)), 20.0) + np.arange(-2, 3)[:, None], "includes the random score"),
        (np.full((5, len(STEPS)), 3.0) + np.arange(-2, 3)[:, None], "below the random score"),
        (np.full((1, len(STEPS)), 100.0), "one seed of scratch"),
    ],
)
def test_a_transfer_ratio_without_a_denominator_is_undefined(scratch: np.ndarray, words: str) -> None:
    found = results(study(GOOD, scratch=arm("scratch", scratch)))["arms"]["finetune"]["transfer_ratio"]
    assert found["value"] is None
    assert found["note"].startswith("undefined: ")
    assert words in found["note"]


def test_scores_of_the_game_that_nobody_knows() -> None:
    found = results(study(GOOD, random=None, reference=None))["arms"]["finetune"]
    assert "random score is not known" in found["transfer_ratio"]["note"]
    assert "reference score is not known" in found["transfer_ratio"]["gap_closed"]["note"]
    assert found["total_reward"]["normalised"] is None


def test_a_later_first_evaluation_is_no_jumpstart() -> None:
    document = results(study(arm("guide", curves(200, 400), first_step=500)))
    assert document["arms"]["guide"]["jumpstart"]["label"] == "after 500 target steps"
    assert any("it is no jumpstart" in note for note in document["notes"])


def test_steps_taken_before_learning_are_told_and_the_start_is_given_after_them(tmp_path: Path) -> None:
    scores = curves(20, 400, seed=1)
    scores[:, 0] = 20.0
    spending = replace(arm("distill", scores), before=(300, 300, 250, 300, 300), unseen=(0, 40, 0, 0, 0))
    document = results(study(spending, GOOD))
    found = document["arms"]["distill"]
    later, base = found["jumpstart_after"], curves(20, 300)
    assert (found["steps_before_learning"], found["steps_unseen"]) == (300, 40)
    assert later["steps"] == 400, "the evaluation at 300 comes before what is learnt from the last of the steps"
    assert later["value"] == pytest.approx(scores[:, 4].mean() - base[:, 4].mean())
    assert later["low"] < later["value"] < later["high"]
    assert found["jumpstart"]["value"] == pytest.approx(20.0 - base[:, 0].mean()), "still at 0 target steps"
    assert document["arms"]["finetune"]["jumpstart_after"] is None
    assert document["arms"]["scratch"]["jumpstart_after"] is None
    told = [note for note in document["notes"] if note.startswith("distill: 300 target steps taken before learning")]
    assert len(told) == 1
    assert "40 beside it" in told[0]
    text = page.markdown(page.context(document, None), {})
    assert text.count("(at 0 target steps; after 400: ") == 1
    assert text.count("(at 0 target steps") == 2, "in both tables with a jumpstart"


def test_steps_taken_to_the_end_leave_nothing_to_measure() -> None:
    whole = results(study(replace(GOOD, before=(2000,) * 5)))["arms"]["finetune"]["jumpstart_after"]
    assert whole["steps"] == 2000, "nothing but a distillation: the last evaluation comes after it"
    beyond = results(study(replace(GOOD, before=(2001,) * 5)))["arms"]["finetune"]["jumpstart_after"]
    assert (beyond["steps"], beyond["value"]) == (None, None)
    assert "no evaluation after the 2,001 target steps" in beyond["note"]


def test_a_curve_that_still_rises_has_no_asymptote() -> None:
    rising = arm("slow", np.tile(np.linspace(20, 500, len(STEPS)), (5, 1)) + np.arange(5)[:, None])
    document = results(study(rising))
    assert document["arms"]["slow"]["asymptotic"]["plateau"] is False
    assert "slow had not levelled off" in document["arms"]["slow"]["asymptotic"]["label"]
    assert any(note.startswith("Not levelled off") for note in document["notes"])
    assert results(study(GOOD))["arms"]["finetune"]["asymptotic"]["plateau"] is True


def test_missing_seeds_are_told() -> None:
    lost = arm("finetune", GOOD.scores[:4], failed=("seed 4: the game returned NaN",))
    document = results(study(lost))
    assert document["arms"]["finetune"]["n_seeds"] == 4
    assert any("finetune: 1 of 5 seeds missing (seed 4: the game returned NaN)" in note for note in document["notes"])


def test_scores_that_are_not_numbers_are_left_out_and_told() -> None:
    scores = GOOD.scores.copy()
    scores[1, 7] = np.nan
    found = results(study(arm("finetune", scores)))["arms"]["finetune"]
    assert found["n_seeds"] == 4
    assert [seed["seed"] for seed in found["per_seed"]] == [0, 2, 3, 4]
    assert found["failed"] == ["seed 1: a score is not a number"]


def test_an_arm_that_lost_seeds_is_not_said_to_be_unable_to_reject_when_it_does() -> None:
    document = results(study(arm("finetune", GOOD.scores[:3], ("seed 3: it broke", "seed 4: it broke"))))
    verdict, smallest = document["arms"]["finetune"]["verdict"], document["measured"]["test"]["smallest_p"]
    assert (verdict["verdict"], verdict["p"]) == ("helps", pytest.approx(1 / 56))
    assert smallest == pytest.approx(1 / 56)
    assert "note" not in verdict
    assert not any("cannot reject" in note for note in document["notes"])


def test_why_no_threshold_was_chosen() -> None:
    rest = {"thresholds": (), "random": None, "reference": None}
    none = arm("scratch", np.empty((0, len(STEPS))), ("seed 0: it broke",))
    assert (
        "no seed of scratch finished"
        in results(study(GOOD, scratch=none, **rest))["arms"]["finetune"]["time_to_threshold"]["note"]
    )
    flat = arm("scratch", np.ones((5, len(STEPS))))
    assert (
        "scratch did not improve"
        in results(study(GOOD, scratch=flat, **rest))["arms"]["finetune"]["time_to_threshold"]["note"]
    )


def test_three_seeds_cannot_reject_and_that_is_said() -> None:
    document = results(study(arm("finetune", GOOD.scores[:3]), scratch=arm("scratch", curves(20, 300, 3))))
    verdict = document["arms"]["finetune"]["verdict"]
    assert verdict["verdict"] == "no evidence"
    assert "this design cannot reject" in verdict["note"]
    assert any(note.startswith("This design cannot reject") for note in document["notes"])


def test_a_shared_source_and_identical_scores_are_told() -> None:
    constant = arm("finetune", np.full((5, len(STEPS)), 500.0))
    notes = results(study(constant, scratch=arm("scratch", np.full((5, len(STEPS)), 30.0)), shared_source=True))[
        "notes"
    ]
    assert "One source checkpoint serves all seeds: the results hold for this checkpoint only." in notes
    assert any("an interval of width nought is no certainty" in note for note in notes)


def test_a_study_needs_scratch_and_a_metric_we_know() -> None:
    with pytest.raises(ConfigError, match="has no arm 'scratch'"):
        results(StudyData("x", {}, STEPS, {"finetune": GOOD}))
    with pytest.raises(UnknownName, match="did you mean 'jumpstart'"):
        results(study(GOOD, primary="jumpstrat"))


# The files


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of what surrounds the figures do without them."""
    monkeypatch.setattr("transfer.report.draw", lambda document: {})


@pytest.fixture
def unpainted(monkeypatch: pytest.MonkeyPatch) -> None:
    """SVG alone, which the page shows, is drawn in a fraction of the time."""
    monkeypatch.setattr("transfer.report.figures.to_png", lambda figure: b"")


EMPTY = np.empty((0, len(STEPS)))
ODD = {
    "usual": study(GOOD, BAD, SAME),
    "one seed": study(arm("finetune", GOOD.scores[:1])),
    "all failed": study(GOOD, arm("shape", EMPTY, failed=("seed 0: <script>alert(1)</script> | raised",))),
    "scratch failed": study(GOOD, scratch=arm("scratch", EMPTY, failed=("seed 0: raised",))),
    "everything failed": study(arm("finetune", EMPTY), scratch=arm("scratch", EMPTY)),
    "scratch alone": study(),
    "nothing known": study(GOOD, random=None, reference=None, source_scores=None, evaluation={}, provenance={}),
    "no spread": study(arm("finetune", np.full((5, len(STEPS)), 500.0)), scratch=arm("scratch", curves(0, 0) * 0)),
    "ten arms": study(*(arm(f"arm{i}", curves(20, 300 + 9 * i, seed=i)) for i in range(10))),
    "wrong scores": study(GOOD, random=500.0, reference=20.0),
}


@pytest.mark.usefixtures("unpainted")
@pytest.mark.parametrize("data", ODD.values(), ids=ODD.keys())
def test_whatever_a_study_came_to_there_is_a_report(data: StudyData, tmp_path: Path) -> None:
    document = write(data, tmp_path / "made-up")
    folder = tmp_path / "made-up"
    assert json.loads((folder / "results.json").read_text(), parse_constant=pytest.fail) == document
    page, text = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    for name, found in document["arms"].items():
        assert name in page
        assert found["conclusion"] in text
    assert not re.search(r"\b(nan|None|inf|Undefined)\b", Text.of(page) + text)
    assert not [file for file in folder.rglob("*") if file.name.startswith(".")]
    check_page(page, folder)


def check_page(page: str, folder: Path) -> None:
    """Well-formed, with ids of their own, and asking for nothing outside the folder."""
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    assert len(reader.ids) == len(set(reader.ids))
    for link in reader.links:
        assert link.startswith(("data:,", "#")) or (folder / link).is_file() or link in ("results.json", "report.md")
    assert not re.search(r"@import|url\((?!#)|<script", page)
    for svg in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        ElementTree.fromstring(svg)
        assert not re.search(r"#[0-9a-f]{6}", re.sub(r'"#[^"]*"|url\([^)]*\)', "", svg))  # colours are variables


class Reader(HTMLParser):
    """Collects what a browser would ask for, and elements left open."""

    VOID = frozenset({"meta", "link", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        self.handle_startendtag(tag, attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.links += [str(found[key]) for key in ("src", "href", "xlink:href", "srcset") if key in found]
        self.ids += [str(found["id"])] if "id" in found else []

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.usefixtures("undrawn")
def test_words_of_a_failed_run_are_escaped(tmp_path: Path) -> None:
    lost = arm("shape", BAD.scores[:4], failed=("seed 4: <script>alert(1)</script> | raised",))
    write(study(GOOD, lost), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page


def test_the_lead_tells_controls_from_arms() -> None:
    control = replace(SAME, name="finetune+shuffled", control="shuffled teacher", beside="finetune")
    for arms, words in (
        ((GOOD, BAD, control), "2 arms and 1 control against scratch"),
        ((GOOD,), "1 arm against scratch"),
    ):
        assert words in page.context(results(study(*arms)), None)["lead"]


def test_only_runs_that_went_on_approximately_are_told_of() -> None:
    runs = {
        "finetune-0": {"resume": "approximate", "resumed": [500]},
        "finetune-1": {"resume": "approximate", "resumed": []},
        "scratch-0": {"resume": "exact", "resumed": [100]},
        "of the source": {"resume": "approximate", "resumed": [1, 2]},
    }
    notes = results(study(GOOD, provenance={"runs": runs}))["notes"]
    told = [note for note in notes if "interrupted" in note]
    assert len(told) == 1
    assert told[0].startswith("2 runs were interrupted and went on with new episodes")
    assert "1 of them of the source (finetune-0, of the source)" in told[0]
    assert not [note for note in results(study(GOOD))["notes"] if "interrupted" in note]


def test_arms_from_several_checkpoints_are_charged_their_own_steps() -> None:
    early, late = (
        replace(GOOD, name="finetune@25%", source_steps=250),
        replace(GOOD, name="finetune", source_steps=1000),
    )
    said = page.context(results(study(early, late)), None)
    assert "250 (finetune@25%), 1,000 (finetune) steps late" in said["charged_caption"]
    assert "begins 1,000 steps late" in page.context(results(study(GOOD)), None)["charged_caption"]


def test_a_document_is_json_with_a_curve_on_a_line() -> None:
    found = {"a": [1.5, None, -2.0], "b": {"c": [], "d": {}}, "e": [{"f": [1]}, {"g": "ü\n"}], "h": [[1, 2], [3, 4]]}
    text = as_json(found)
    assert json.loads(text) == found
    assert text.startswith('{\n "a": [1.5, null, -2.0],\n "b": {\n  "c": [],\n  "d": {}\n },\n')
    document = results(study(GOOD))
    assert json.loads(as_json(document)) == document


def test_what_intervals_cover_is_said_once_where_it_is_the_same_for_all_arms() -> None:
    said = page.context(results(study(GOOD, BAD)), None)
    assert said["coverage"].startswith("The intervals are nominal; simulated coverage at 5 seeds")
    assert [card["coverage"] for card in said["arms"]] == [None] * 3
    fewer = replace(BAD, scores=BAD.scores[:3], seeds=BAD.seeds[:3], run_keys=BAD.run_keys[:3])
    said = page.context(results(study(GOOD, fewer)), None)
    assert said["coverage"] is None
    assert len({card["coverage"] for card in said["arms"]}) == 3


@pytest.mark.usefixtures("undrawn")
def test_page_and_markdown_say_the_same(tmp_path: Path) -> None:
    document = write(study(GOOD, BAD), tmp_path)
    page, text = Text.of((tmp_path / "report.html").read_text()), (tmp_path / "report.md").read_text()
    for said in (*document["notes"], *(found["conclusion"] for found in document["arms"].values())):
        assert said in page
        assert said in text
    numbers = [number(document["arms"]["finetune"][m]["value"], signed=True) for m in METRICS[:4]]
    assert all(value in page and value in text for value in numbers)
    headings = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    assert headings == re.findall(r"<h2>(.*?)</h2>", (tmp_path / "report.html").read_text())


class Text(HTMLParser):
    """The words of a page."""

    @classmethod
    def of(cls, page: str) -> str:
        reader = cls()
        reader.words: list[str] = []  # type: ignore[misc]
        reader.feed(page)
        return " ".join(reader.words)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for file in sorted(folder.rglob("*.*")):
        yield file.relative_to(folder).as_posix(), file.read_bytes()


def test_the_same_study_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(study(GOOD, BAD), tmp_path / name)
    assert dict(files(tmp_path / "a")) == dict(files(tmp_path / "b"))
    drawn = {"jumpstart", "asymptotic", "total_reward", "time_to_threshold", "learning_curves"}
    drawn |= {"learning_curves_charged", "survival", "profile"}
    assert {file.stem for file in (tmp_path / "a" / "figures").glob("*.svg")} == drawn
    assert {file.stem for file in (tmp_path / "a" / "figures").glob("*.png")} == drawn


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize(("name", "tag"), [("side-by-side.mp4", "<video"), ("clip.gif", "<img")])
def test_a_video_is_linked_beside_the_page(name: str, tag: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"not really")
    write(study(GOOD), tmp_path, video=tmp_path / name)
    shown = (tmp_path / "report.html").read_text()
    assert 'base64,bm90IHJlYWxseQ=="' in shown  # the page needs no other file
    assert f'href="{name}"' in shown
    assert tag in shown
    write(study(GOOD), tmp_path)  # found again
    assert (tmp_path / "report.html").read_text() == shown


@pytest.mark.usefixtures("undrawn")
def test_a_large_video_stays_beside_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transfer.report.LARGEST", 5)
    (tmp_path / "clip.mp4").write_bytes(b"not really")
    write(study(GOOD), tmp_path)
    assert 'src="clip.mp4"' in (tmp_path / "report.html").read_text()


def test_a_video_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no video"):
        write(study(GOOD), tmp_path, video=tmp_path / "none.mp4")


@pytest.mark.parametrize(
    ("x", "text"),
    [(None, "–"), (0.0, "0"), (-52.61, "−52.6"), (26500.4, "26,500"), (0.00449, "0.0045"), (119.95, "120"), (3.0, "3")],
)
def test_numbers_are_short(x: float | None, text: str) -> None:
    assert number(x) == text


def test_p_is_never_nought() -> None:
    assert [p_value(p).replace("\u00a0", " ") for p in (0.0001, 0.0079365, 0.5)] == [
        "p < 0.001",
        "p = 0.0079",
        "p = 0.5",
    ]


TOML = """
name = "made-up"
seeds = 5
[source]
game = "CartPole-v1"
steps = 1000
[target]
game = "CartPole-v1"
steps = 2000
[arms.scratch]
[arms.finetune]
by = ["finetune"]
"""


@pytest.mark.usefixtures("undrawn")
def test_the_verb_writes_the_report_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from transfer.cli.report import report

    monkeypatch.setattr("transfer.study.store.collect", lambda spec, root: study(GOOD))
    (tmp_path / "made-up.toml").write_text(TOML)
    report([str(tmp_path / "made-up.toml")], runs=str(tmp_path), results=tmp_path / "results")
    page = tmp_path / "results" / "made-up" / "report.html"
    assert capsys.readouterr().out == f"report: {page.resolve()}\n"
    assert page.is_file()
    report([str(tmp_path / "made-up.toml")], runs=str(tmp_path), results=tmp_path / "results", json=True)
    shown = json.loads(capsys.readouterr().out)
    assert shown == json.loads((page.parent / "results.json").read_text())


def test_a_page_shows_the_first_seeds_of_many_and_says_so(tmp_path: Path) -> None:
    many = page.ROWS_SHOWN + 20
    large = study(arm("finetune", curves(200, 400, many, seed=1)), scratch=arm("scratch", curves(20, 300, many)))
    document = write(large, tmp_path)
    text = (tmp_path / "report.html").read_text()
    assert text.count("<code>finetune-") == page.ROWS_SHOWN
    assert f"The first {page.ROWS_SHOWN} seeds of each arm; all {2 * many} are in results.json" in text
    assert "thin lines are seeds. The first 50 seeds of each arm are drawn." in text
    assert len(document["arms"]["finetune"]["per_seed"]) == many
    write(study(GOOD), tmp_path)
    assert "The first" not in (tmp_path / "report.md").read_text().replace("The first evaluation", "")
