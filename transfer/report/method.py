"""How a study was measured, in pairs of a term and a sentence."""

from collections.abc import Sequence
from typing import Any

from transfer.report import design
from transfer.report.document import origin
from transfer.report.words import NAMES, exact, number, steps_text

Pairs = list[tuple[str, str]]

RATIO = (
    "(A_T − A_S) / A_S on areas above the random score, undefined where scratch's interval includes that; gap closed: "
    "(A_T − A_S) / (A_reference − A_S)"
)
FORWARD = (
    "as in Continual World, (AUC − AUC_S) / (1 − AUC_S) of normalised areas: on one target the gap closed; over "
    "several, its mean, which a matrix of studies gives"
)
KINDS = (
    "Differences: Welch's t; ratios: Fieller; medians: order statistics; no bootstrap, which covers too little at "
    "five seeds"
)

LISTED = 50
"""Final returns of sources that are listed."""


def lead(document: dict[str, Any]) -> str:
    """What was compared with what, in a line or two."""
    study, measured = document["file"], document["measured"]
    source, target = study.get("source") or {}, study.get("target") or {}
    games = " → ".join(part for part in (origin(source), target.get("game", "")) if part)
    seeds = max(arm["n_seeds"] + len(arm["failed"]) for arm in document["arms"].values())
    return (
        f"{games}{'. ' if games else ''}{_compared(document['arms'])} against scratch, "
        f"{seeds} {'seed' if seeds == 1 else 'seeds'} each, {steps_text(measured['budget'])} target steps. "
        f"Primary metric: {NAMES[document['primary']]}."
    )


def _compared(arms: dict[str, Any]) -> str:
    """``2 arms and 1 control``, besides scratch."""
    controls = sum(bool(arm["control"]) for arm in arms.values())
    others = len(arms) - 1 - controls
    said = f"{others} {'arm' if others == 1 else 'arms'}"
    return f"{said} and {controls} {'control' if controls == 1 else 'controls'}" if controls else said


def how(document: dict[str, Any]) -> Pairs:
    """The protocol and the definitions."""
    measured = document["measured"]
    return [
        ("Evaluation", _evaluation(measured)),
        ("Unit", "the seed: one run is one number; episodes within an evaluation are averaged first"),
        ("Scores", _scores(measured["scores"])),
        ("Jumpstart", "difference of the first evaluations; called so only if no target step was taken before it"),
        ("Target steps", _taken(document)),
        ("Final performance", measured["final"]),
        ("Levelled off", measured["plateau"]),
        ("Total reward", "area under the learning curve by trapezoids, divided by the budget; its unit is the return"),
        ("Transfer ratio", RATIO),
        ("Forward transfer", FORWARD),
        ("Thresholds", _thresholds(measured["thresholds"])),
        ("Intervals", f"{measured['intervals']}. {KINDS}"),
        ("Verdict", _test(measured["test"], NAMES[document["primary"]])),
        *design.pairs(document),
        ("Source", _source(document["source"])),
    ]


def _taken(document: dict[str, Any]) -> str:
    """Who took them."""
    said = [
        f"{name} {arm['steps_before_learning']:,} before learning, {arm['steps_unseen']:,} unseen beside it"
        for name, arm in document["arms"].items()
        if arm["steps_before_learning"] or arm["steps_unseen"]
    ]
    return "; ".join(["every step that anybody takes counts", *(said or ["in no arm did a method take any"])])


def _evaluation(measured: dict[str, Any]) -> str:
    protocol = measured["evaluation"]
    parts = [f"at {len(measured['steps'])} points, the first after {measured['steps'][0]:,} target steps"]
    if "every" in protocol:
        parts.append(f"every {protocol['every']:,} steps")
    if "episodes" in protocol:
        parts.append(f"{protocol['episodes']} episodes on held-out seeds, the same each time")
    if "mode" in protocol:
        parts.append(f"actions {protocol['mode']}")
    return ", ".join([*parts, "raw rewards, no learning"])


def _scores(scores: dict[str, Any]) -> str:
    if scores["random"] is None and scores["reference"] is None:
        return "returns as they are; the random and the reference score of this game are not known"
    random, reference = (
        exact(score) if score is not None else "unknown" for score in (scores["random"], scores["reference"])
    )
    return f"random {random}, reference {reference}, from {scores['source']}"


def _thresholds(thresholds: dict[str, Any]) -> str:
    if not thresholds["values"]:
        return "none"
    listed = ", ".join(exact(value) for value in thresholds["values"])
    return f"{listed}; {thresholds['source']}; the first is foremost"


def _test(test: dict[str, Any], metric: str) -> str:
    if test["method"] is None:
        return "not tested: fewer than two seeds"
    count = "every relabelling counted"
    if test["permutations"]:
        count = f"{test['permutations']:,} relabellings drawn where there are too many to count"
    return (
        f"on {metric}: {test['method']}, {count}; family-wise level {100 * test['level']:.0f} %; "
        f"the smallest p possible here is {test['smallest_p']:.2g}"
    )


def _source(source: dict[str, Any]) -> str:
    scores = source["scores"] or []
    shown = ", ".join(number(score) for score in scores[:LISTED])
    more = f" and {len(scores) - LISTED} more in results.json" if len(scores) > LISTED else ""
    learnt = f", final returns {shown}{more}" if scores else ""
    cost = f"{steps_text(source['steps'])} steps each" if source["steps"] else "steps not known"
    return f"{cost}{learnt}; {source['pairing']}; {source['counted']}"


def provenance(document: dict[str, Any]) -> Pairs:
    """Where and with what it was made, and what it cost."""
    found = document["provenance"]
    versions = found.get("versions") or {}
    listed = [f"{name} {version}" for name, version in versions.items() if version]
    pairs = [("Report by", f"Headstart {document['measured']['version']}")]
    if listed:
        pairs.append(("Versions", ", ".join(listed)))
    if found.get("host"):
        pairs.append(("Host", str(found["host"])))
    runs = [run for run in (found.get("runs") or {}).values() if isinstance(run, dict)]
    commits = sorted({str(run["commit"])[:12] for run in runs if run.get("commit")})
    if commits:
        pairs.append(("Commit", ", ".join(commits)))
    for kind in ("wall", "cpu"):
        seconds = [seconds_of(run, kind) for run in runs]
        if sum(seconds):
            name = {"wall": "Wall time", "cpu": "CPU time"}[kind]
            share = evaluation_share(runs, kind)
            pairs.append(
                (
                    name,
                    f"{_duration(sum(seconds))} in {len(seconds)} runs, sources included; {share:.0%} of it evaluation",
                )
            )
    return pairs


def evaluation_share(runs: Sequence[dict[str, Any]], kind: str) -> float:
    """The part of all runs' seconds of one kind, `wall` or `cpu`, that went into evaluation."""
    whole = sum(seconds_of(run, kind) for run in runs)
    return sum(run.get(f"evaluation_{kind}_seconds", 0.0) for run in runs) / whole if whole else 0.0


def seconds_of(run: dict[str, Any], kind: str) -> float:
    """A run's seconds of one kind, training and evaluation."""
    return sum(
        value for key, value in run.items() if key.endswith(f"{kind}_seconds") and isinstance(value, int | float)
    )


def arm_time(document: dict[str, Any], name: str) -> str:
    """CPU time of an arm's own runs; an en dash where the runs do not say."""
    runs = document["provenance"].get("runs") or {}
    keys = [key for seed in document["arms"][name]["per_seed"] for key in str(seed["run"]).split()]
    seconds = sum(seconds_of(runs[key], "cpu") for key in keys if isinstance(runs.get(key), dict))
    return _duration(seconds) if seconds else "–"


def _duration(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
