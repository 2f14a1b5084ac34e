"""The published schema of results.json: every document that is written holds to it, and a broken one does not."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from transfer.report.dial import turned
from transfer.report.results import results
from transfer.study.data import ArmData, DialData, NestedScores, StudyData

HOME = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((HOME / "docs" / "results.schema.json").read_text())
STEPS = np.arange(0, 1100, 100)


def arm(name: str, level: float, n: int = 5, **rest: Any) -> ArmData:
    scores = level + np.random.default_rng(len(name)).normal(0, 3, (n, len(STEPS)))
    methods = () if name == "scratch" else (name,)
    seeds = tuple(range(n))
    return ArmData(name, methods, scores, seeds, tuple(f"{name}-{i}" for i in seeds), **rest)


def study(*arms: ArmData, primary: str = "total_reward", **rest: Any) -> StudyData:
    given: dict[str, Any] = {"random": 20.0, "reference": 500.0, "thresholds": (150.0, 400.0), "source_steps": 500}
    spec = {"name": "made-up", "primary": primary, "target": {"game": "Hard-v0"}}
    return StudyData("made-up", spec, STEPS, {one.name: one for one in arms}, **(given | rest))


def nested() -> ArmData:
    """Three target seeds within each of four sources, one run of them lost."""
    scores = np.random.default_rng(1).normal(200, 5, (4, 3, len(STEPS)))
    scores[3, 2] = np.nan
    keys = tuple(tuple(f"{s}-{t}" if s + t < 5 else None for t in range(3)) for s in range(4))
    within = NestedScores(tuple(range(4)), ((0, 1, 2),) * 4, scores, keys)
    return replace(arm("finetune", 0.0, 4), scores=np.nanmean(scores, axis=1), nested=within)


SCRATCH = arm("scratch", 100.0)
LOST = ArmData("shape", ("shape",), np.empty((0, len(STEPS))), (), (), failed=("seed 0: raised",))
WITHIN = {
    "usual": study(SCRATCH, arm("finetune", 160.0, before=(300,), unseen=(7,))),
    "controls": study(
        SCRATCH,
        arm("finetune", 160.0),
        arm("finetune+shuffled", 101.0, control="shuffled teacher", beside="finetune"),
        arm("scratch+source", 120.0, control="source budget", beside="scratch", source_steps=0),
        differences=("arms.finetune sets n_steps",),
    ),
    "nested": study(SCRATCH, nested()),
    "nothing known": study(SCRATCH, arm("finetune", 9.0), random=None, reference=None, thresholds=(), source_steps=0),
    "one seed": study(arm("scratch", 100.0, 1), arm("finetune", 160.0, 1)),
    "failed": study(SCRATCH, LOST),
    "scratch failed": study(replace(LOST, name="scratch", methods=()), arm("finetune", 160.0)),
    **{
        primary: study(SCRATCH, arm("finetune", 160.0), primary=primary)
        for primary in ("jumpstart", "asymptotic", "transfer_ratio", "time_to_threshold")
    },
}


def faults(document: dict[str, Any]) -> list[str]:
    """What a document breaks, as the schema of its kind says."""
    kind = "dial_study" if "dial" in document else "study"
    validator = jsonschema.Draft202012Validator({**SCHEMA, "anyOf": [{"$ref": f"#/$defs/{kind}"}]})
    found = [each for error in validator.iter_errors(document) for each in error.context or [error]]
    return [f"{list(error.absolute_path)}: {error.message[:150]}" for error in found]


def test_the_schema_is_one_and_the_package_has_the_same() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert json.loads((HOME / "transfer" / "report" / "results.schema.json").read_text()) == SCHEMA


@pytest.mark.parametrize("data", WITHIN.values(), ids=WITHIN.keys())
def test_every_document_holds_to_it(data: StudyData) -> None:
    document = results(data)
    assert faults(document) == []
    jsonschema.validate(document, SCHEMA)
    arms = SCHEMA["$defs"]["arm"]["properties"]
    assert set(arms) == set(document["arms"]["scratch"])  # what is written is all told, and what is told is written


def test_a_study_with_a_dial_holds_to_it_as_its_values_do() -> None:
    points = tuple(study(SCRATCH, arm("finetune", 100.0 + gain)) for gain in (60.0, -60.0))
    data = DialData("made-up", {"name": "made-up"}, "length", (0.5, 2), ("length=0.5", "length=2"), points, ("4: no",))
    document, documents = turned(data)
    assert faults(document) == []
    assert [faults(each) for each in documents] == [[], []]


PUBLISHED = sorted((HOME / "docs" / "results").glob("**/results.json"))


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda file: file.parent.name)
def test_published_results_hold_to_it(file: Path) -> None:
    assert faults(json.loads(file.read_text())) == []


@pytest.mark.parametrize(
    ("break_it", "words"),
    [
        (lambda found: found["arms"].pop("scratch"), "'scratch' is a required property"),
        (lambda found: found["arms"]["finetune"]["verdict"].update(p=0), "0"),
        (lambda found: found["arms"]["finetune"]["verdict"].update(verdict="maybe"), "'maybe'"),
        (lambda found: found["arms"]["finetune"]["jumpstart"].pop("low"), "'low' is a required property"),
        (lambda found: found["arms"]["finetune"].update(surprise=1), "'surprise' was unexpected"),
        (lambda found: found.update(primary="speed"), "'speed'"),
        (lambda found: found.update(format=2), "1 was expected"),
    ],
)
def test_a_broken_document_does_not(break_it: Any, words: str) -> None:
    document = results(WITHIN["usual"])
    break_it(document)
    assert any(words in fault for fault in faults(document))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA)
