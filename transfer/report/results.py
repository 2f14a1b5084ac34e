"""results.json: what a study measured, as plain data. Whatever is unknown is null, with a note that says why."""

from importlib.metadata import version
from typing import Any

import numpy as np

from envs.errors import ConfigError
from transfer import metrics, statistics
from transfer.report import aggregated, compare, controls, design, words
from transfer.report.compare import Entry
from transfer.report.document import plain
from transfer.report.measured import BASELINE, METRICS, Measured
from transfer.study.data import StudyData

FORMAT = 1
"""Raised when a reader of results.json would have to change."""


def results(data: StudyData) -> dict[str, Any]:
    """Everything measured, ready for JSON. Raises ConfigError if the study has no arm `scratch`."""
    if BASELINE not in data.arms:
        raise ConfigError(f"study {data.name!r} has no arm {BASELINE!r}: there is nothing to compare with")
    return results_of(Measured(data))


def results_of(measured: Measured) -> dict[str, Any]:
    """The same, of what was worked out already."""
    data = measured.data
    document = {
        "format": FORMAT,
        "study": data.name,
        "primary": measured.primary,
        "arms": {name: _arm(measured, name) for name in data.arms},
        "source": _source(data),
        "measured": _how(measured),
        "differences": data.differences,
        "file": data.study,
        "provenance": data.provenance,
    }
    result: dict[str, Any] = plain(document)
    result["notes"] = [*words.notes(result), *controls.notes(result)]
    result["measured"]["coverage"] = design.coverages(result)
    for name, arm in result["arms"].items():
        arm["coverage"] = design.coverage(words.primary_entry(result, name), arm["n_seeds"])
        arm["conclusion"] = (controls if arm["control"] else words).conclusion(result, name)
        arm["limits"] = words.limits(result, name)
    return result


def _arm(measured: Measured, name: str) -> dict[str, Any]:
    """One arm's results."""
    arm, scores = measured.data.arms[name], measured.scores[name]
    lost = [str(line) for line in arm.failed]
    lost += [
        f"seed {seed}: a score is not a number"
        for seed, good in zip(arm.seeds, measured.finite(arm), strict=True)
        if not good
    ]
    return {
        "methods": arm.methods,
        "control": arm.control,
        "beside": arm.beside,
        "source_steps": measured.data.cost(name),
        "n_seeds": len(scores),
        "state": "measured" if len(scores) else "failed",
        "failed": lost,
        "first_step": arm.first_step,
        "steps_before_learning": max(arm.before, default=0),
        "steps_unseen": max(arm.unseen, default=0),
        "jumpstart_after": _jumpstart_after(measured, name),
        **_metrics(measured, name),
        "verdict": _verdict(measured, name),
        "charged": _charged(measured, name),
        "break_even": _break_even(measured, name),
        "levels": compare.levels(measured.levels(name)) if len(scores) else None,
        "plateau": vars(measured.plateaus[name]) if len(scores) else None,
        **aggregated.of_arm(measured, name),
        "curve": _curve(scores),
        "per_seed": _per_seed(measured, name),
        "nested": controls.nested(measured, name),
        "against": controls.against(measured, name),
    }


def _metrics(measured: Measured, name: str) -> dict[str, Entry]:
    """The five metrics against scratch."""
    table = compare.differences(measured.levels(name), measured.levels(BASELINE), measured.scale)
    if name == BASELINE:
        table = {metric: compare.nothing("scratch is what the others are compared with") for metric in table}
    table["time_to_threshold"] = _times(measured, name)
    first = measured.data.arms[name].first_step
    if first and table["jumpstart"]["value"] is not None:
        table["jumpstart"]["label"] = f"after {first:,} target steps"
    elif table["jumpstart"]["value"] is not None:
        table["jumpstart"]["label"] = "jumpstart"
    if table["asymptotic"]["value"] is not None:
        table["asymptotic"].update(_asymptote(measured, name))
    for metric, entry in table.items():
        entry["exploratory"] = metric != measured.primary
    return table


def _jumpstart_after(measured: Measured, name: str) -> Entry | None:
    """The jumpstart of an arm that takes target steps before it learns, at the first evaluation after them."""
    taken = max(measured.data.arms[name].before, default=0)
    if name == BASELINE or not taken:
        return None
    scores = measured.scores
    return compare.jumpstart_after(scores[name], scores[BASELINE], measured.data.steps, taken, measured.scale)


def _asymptote(measured: Measured, name: str) -> dict[str, Any]:
    """Whether the difference at the end may be called asymptotic."""
    seen = {arm: measured.plateaus[arm].reached for arm in (name, BASELINE)}
    if all(seen.values()):
        return {"plateau": True}
    if None in seen.values():
        return {"plateau": None, "label": "at the end of the budget; too few evaluations to see a plateau"}
    moving = " and ".join(arm for arm, flat in seen.items() if not flat)
    return {"plateau": False, "label": f"at the end of the budget; {moving} had not levelled off"}


def _times(measured: Measured, name: str, source_steps: float = 0.0) -> Entry:
    """Time to the foremost threshold, and to all of them under `thresholds`."""
    if not measured.thresholds:
        why = "scratch did not improve" if len(measured.scores[BASELINE]) else "no seed of scratch finished"
        return compare.nothing(f"the study names no thresholds, and {why}, so none was chosen")
    steps = measured.data.steps
    entries = []
    for threshold in measured.thresholds:
        own = metrics.time_to_threshold(measured.scores[name], steps, threshold)
        other = metrics.time_to_threshold(measured.scores[BASELINE], steps, threshold)
        entry = compare.times(own, None if name == BASELINE else other, measured.budget, source_steps)
        entries.append({"threshold": threshold, **entry})
    return {**entries[0], "thresholds": entries}


def _charged(measured: Measured, name: str) -> dict[str, Entry] | None:
    """The metrics once more, the source's steps counted before the target's; None for scratch, which has none."""
    cost = float(measured.data.cost(name))
    if name == BASELINE:
        return None
    if measured.data.arms[name].control == controls.BUDGET:
        return {metric: compare.nothing(controls.CHARGED) for metric in METRICS}
    if not measured.data.source_steps:
        return {metric: compare.nothing(compare.COST_UNKNOWN) for metric in METRICS}
    own, scratch = measured.scores[name], measured.scores[BASELINE]
    transfer, base = compare.charged_levels(own, scratch, measured.data.steps, cost, measured.before)
    table = compare.differences(transfer, base, measured.scale)
    table["time_to_threshold"] = _times(measured, name, cost)
    return table


def _break_even(measured: Measured, name: str) -> Entry | None:
    """After how many targets the source has paid for itself, at the foremost threshold."""
    if name == BASELINE:
        return None
    if measured.data.arms[name].control:
        return compare.nothing("a control has no source that could pay for itself")
    return compare.break_even(measured.data.cost(name), _times(measured, name))


def _verdict(measured: Measured, name: str) -> dict[str, Any] | None:
    """helps, hurts or no evidence; null where the arm or scratch has nothing to test."""
    if name == BASELINE:
        return None
    metric: dict[str, Any] = {"metric": measured.primary, "level": round(1 - statistics.LEVEL, 6)}
    if measured.data.arms[name].control:
        return {"verdict": None, "p": None, "p_single": None, **metric, "note": controls.UNTESTED}
    test, sample = measured.test, measured.samples[name]
    if not len(sample) or not len(measured.samples[BASELINE]):
        who = name if not len(sample) else BASELINE
        return {"verdict": None, "p": None, "p_single": None, **metric, "note": f"no seed of {who} finished"}
    if test is None or name not in test.adjusted:
        note = "a test needs at least two seeds of this arm and of scratch"
        return {"verdict": "no evidence", "p": None, "p_single": None, **metric, "note": note}
    p = test.adjusted[name]
    difference = float(sample.mean() - measured.samples[BASELINE].mean())
    said = {"verdict": statistics.verdict(p, difference), "p": p, "p_single": test.single[name], **metric}
    smallest = _smallest(measured)[name]
    if smallest > 1 - statistics.LEVEL:
        said["note"] = f"this design cannot reject: its smallest possible p is {smallest:.3g}"
    return said


def _smallest(measured: Measured) -> dict[str, float]:
    """The smallest p that the seeds at hand allow each arm that is tested."""
    counts = {name: len(sample) for name, sample in measured.samples.items() if len(sample) > 1}
    counts = {name: n for name, n in counts.items() if not measured.data.arms[name].control}
    base = counts.pop(BASELINE, 0)
    held = measured.test.corrected if measured.test else 1
    return {name: statistics.smallest_p(n, len(counts), n_scratch=base, corrected=held) for name, n in counts.items()}


def _curve(scores: metrics.Array) -> dict[str, list[float | None]] | None:
    """The mean curve with its pointwise interval."""
    if not len(scores):
        return None
    bands = [statistics.mean_interval(column) for column in scores.T]
    return {
        "mean": [float(value) for value in scores.mean(axis=0)],
        "low": [band.low for band in bands],
        "high": [band.high for band in bands],
    }


def _per_seed(measured: Measured, name: str) -> list[dict[str, Any]]:
    """One entry per finished seed: its run, its levels, its times, its whole curve."""
    arm, levels = measured.data.arms[name], measured.levels(name)
    steps, rows = measured.data.steps, np.flatnonzero(measured.finite(arm))
    times = {t: metrics.time_to_threshold(measured.scores[name], steps, t) for t in measured.thresholds}
    return [
        {
            "seed": arm.seeds[row],
            "run": arm.run_keys[row],
            "initial": levels.initial[i],
            "final": levels.final[i],
            "total_reward": levels.area[i],
            "time_to_threshold": [
                {"threshold": t, "steps": found.steps[i], "reached": bool(found.reached[i])}
                for t, found in times.items()
            ],
            "scores": measured.scores[name][i],
        }
        for i, row in enumerate(rows)
    ]


def _source(data: StudyData) -> dict[str, Any]:
    """What the source cost and how well it was learnt."""
    return {
        "steps": data.source_steps,
        "shared": data.shared_source,
        "pairing": controls.pairing(data),
        "scores": None if data.source_scores is None else data.source_scores,
        "counted": "steps taken in the source task; the teacher's forward passes on the target take no step",
    }


def _how(measured: Measured) -> dict[str, Any]:
    """How all was measured."""
    data, test = measured.data, measured.test
    n = metrics.tail(len(data.steps))
    return {
        "steps": data.steps,
        "budget": measured.budget,
        "evaluation": data.evaluation,
        "scores": {
            "random": data.random,
            "reference": data.reference,
            "source": data.provenance.get("score_source", "the catalogue of games"),
        },
        "thresholds": {"values": measured.thresholds, "source": measured.threshold_source},
        "before": measured.before,
        "final": f"mean of the last {n} of {len(data.steps)} evaluations",
        "plateau": f"the last {n} evaluations differ from the {n} before by at most {100 * metrics.FLAT:.0f} % of "
        f"{measured.scale.width_in_words}",
        "intervals": "nominal 95 %, the seed is the unit; a difference of arms is taken as of independent samples",
        "test": {
            "method": test.method if test else None,
            "permutations": test.permutations if test else None,
            "level": round(1 - statistics.LEVEL, 6),
            "smallest_p": min(_smallest(measured).values(), default=1.0),
            "detectable": design.found(measured),
        },
        "version": version("headstart"),
    }
