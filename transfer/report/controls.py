"""Controls in a report: what they differ by from the arms beside them, and what that says."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from transfer import metrics
from transfer.nested import components
from transfer.report import aggregated, compare
from transfer.report.measured import BASELINE, Measured
from transfer.report.words import LEVEL_NAMES, NAMES, estimate, number
from transfer.study.data import NestedScores, StudyData

BUDGET, SHUFFLED = "source budget", "shuffled teacher"

UNTESTED = "a control: compared with intervals, not in the family of the verdict's test"
CHARGED = "at equal total steps as it stands"

MEANING = {
    BUDGET: "scratch that had the source's steps, too, on the target; its step 0 here comes after them",
    SHUFFLED: "the same methods with a teacher whose weights were shuffled: their scale without what was learnt",
}


def pairing(data: StudyData) -> str:
    """How the target's seeds and the source's belong together, in words."""
    if data.shared_source:
        return "one checkpoint for all seeds"
    found = next((arm.nested for arm in data.arms.values() if arm.nested and arm.methods), None)
    if found is None:
        return "target seed i starts from source seed i"
    return f"each target seed starts from each of {len(found.source_seeds)} sources, and a source is one observation"


def nested(measured: Measured, name: str) -> dict[str, Any] | None:
    """Every run of an arm whose target seeds are nested in source seeds, and whence their spread comes."""
    found = measured.data.arms[name].nested
    return None if found is None else {**vars(found), "components": _components(measured, name, found)}


def _components(measured: Measured, name: str, found: NestedScores) -> dict[str, Any] | None:
    """The variances of single runs between sources and within them, of the level that the primary metric compares.

    Null for scratch, whose blocks are no sources, and where there are too few runs to tell.
    """
    groups = [runs[np.isfinite(runs).all(axis=1)] for runs in found.scores]
    groups = [runs for runs in groups if len(runs)]
    if name == BASELINE or len(groups) < 2 or max(map(len, groups)) < 2:
        return None
    steps, primary = measured.data.steps, measured.primary
    parts = components([aggregated.sample(compare.Levels.of(runs, steps), primary) for runs in groups])
    return {"of": aggregated.level(primary), "source": parts.source, "target": parts.target, "share": parts.share}


def against(measured: Measured, name: str) -> dict[str, dict[str, Any]]:
    """An arm less each control beside it, by the control's name: the metrics with intervals, all exploratory."""
    arms = measured.data.arms
    if name == BASELINE or arms[name].control:
        return {}
    beside = [other for other, arm in arms.items() if arm.control == BUDGET or (arm.control and arm.beside == name)]
    return {other: _difference(measured, name, other) for other in beside}


def _difference(measured: Measured, name: str, other: str) -> dict[str, Any]:
    own, control = measured.scores[name], measured.scores[other]
    table = compare.differences(measured.levels(name), measured.levels(other), measured.scale)
    if measured.thresholds:
        steps, threshold = measured.data.steps, measured.thresholds[0]
        times, base = (metrics.time_to_threshold(scores, steps, threshold) for scores in (own, control))
        table["time_to_threshold"] = {"threshold": threshold, **compare.times(times, base, measured.budget)}
    else:
        table["time_to_threshold"] = compare.nothing("no threshold was named or chosen")
    return {metric: {**entry, "exploratory": True} for metric, entry in table.items()}


def conclusion(document: dict[str, Any], name: str) -> str:
    """What a control is, and by how much the arms beside it differ from it."""
    said = [what(document["arms"][name]["control"])]
    primary = document["primary"]
    for other, arm in document["arms"].items():
        if entry := arm["against"].get(name, {}).get(primary):
            shown = entry.get("saved", entry)
            found = estimate(shown) if shown["value"] is not None else f"undefined ({shown['note']})"
            said.append(f"{other} less this in {NAMES[primary]}: {found}{_readable(shown)}.")
    return " ".join(said)


def what(control: str) -> str:
    """What a control is, in a sentence."""
    return f"Control, not tested: {MEANING[control]}."


def _readable(entry: dict[str, Any]) -> str:
    """Whether the difference can be told from 0."""
    if entry["low"] is None or entry["high"] is None:
        return ""
    return "" if entry["low"] > 0 or entry["high"] < 0 else ", which cannot be told from 0"


def notes(document: dict[str, Any]) -> list[str]:
    """What a reader must know of controls, nested seeds and of what arms differ in."""
    found = [f"Unlike in more than methods: {line}." for line in document["differences"]]
    controls = [name for name, arm in document["arms"].items() if arm["control"]]
    if controls:
        found.append(
            f"Controls ({', '.join(controls)}) are compared and have intervals; they are not in the family over which "
            "the verdict's test is held, so that adding one changes no verdict."
        )
    if any(arm["nested"] for arm in document["arms"].values()):
        found.append(
            "Target seeds are nested in source seeds: a source is one observation, the mean over its target seeds, and "
            "one of scratch is the mean over as many seeds; a time to threshold is that of a mean curve. Where a page "
            "says seeds, it counts these observations."
        )
    return [*found, *_spread(document)]


def _spread(document: dict[str, Any]) -> Iterator[str]:
    """How alike the runs of one source are."""
    for name, arm in document["arms"].items():
        if parts := (arm["nested"] or {}).get("components"):
            yield (
                f"{name}: {100 * parts['share']:.0f} % of the variance of single runs' {LEVEL_NAMES[parts['of']]} is "
                f"between sources (standard deviation {number(parts['source'] ** 0.5)}), the rest between target seeds "
                f"of one source ({number(parts['target'] ** 0.5)})."
            )
