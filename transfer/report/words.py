"""What may be concluded, in sentences, and how numbers are written."""

import math
from collections.abc import Iterator
from typing import Any

NAMES = {
    "jumpstart": "jumpstart",
    "asymptotic": "asymptotic performance",
    "total_reward": "total reward",
    "transfer_ratio": "transfer ratio",
    "time_to_threshold": "time to threshold",
}
"""The metrics as they are read."""
LEVEL_NAMES = {"initial": "first evaluation", "final": "final performance", "total_reward": "total reward"}
"""What a seed scored, likewise."""


def number(x: float | None, *, signed: bool = False) -> str:
    """Three significant digits, all digits before the point, a true minus sign; an en dash for none."""
    if x is None:
        return "–"
    digits = 2 if x == 0 else max(0, min(4, 2 - math.floor(math.log10(abs(x)))))
    text = f"{x:{'+' if signed else ''},.{digits}f}"
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return text.replace("-", "−")


def exact(x: float) -> str:
    """A number that somebody chose, such as a threshold: up to six digits, none invented."""
    return f"{x:,.6g}".replace("-", "−")


def interval(entry: dict[str, Any]) -> str:
    """``[12.1, 15.9]``, an open end as an en dash, nothing where there is no interval."""
    if entry.get("low") is None and entry.get("high") is None:
        return ""
    return f"[{number(entry['low'])}, {number(entry['high'])}]"


def estimate(entry: dict[str, Any] | None, *, signed: bool = True) -> str:
    """A value with its interval."""
    if not entry or entry["value"] is None:
        return "–"
    return f"{number(entry['value'], signed=signed)} {interval(entry)}".strip()


def p_value(p: float | None) -> str:
    """``p = 0.008``; never nought."""
    if p is None:
        return ""
    return "p\u00a0<\u00a00.001" if p < 0.001 else f"p\u00a0=\u00a0{p:.2g}"


def primary_entry(document: dict[str, Any], name: str) -> dict[str, Any]:
    """The entry that shows an arm's difference from scratch in the primary metric."""
    found: dict[str, Any] = document["arms"][name][document["primary"]]
    if document["primary"] == "time_to_threshold":
        found = found.get("saved", found)
    return found


def conclusion(document: dict[str, Any], name: str) -> str:
    """One sentence or two on what may be concluded about an arm."""
    arm, verdict = document["arms"][name], document["arms"][name]["verdict"]
    if verdict is None:
        return "What the other arms are compared with."
    if verdict["verdict"] is None:
        return f"Nothing can be concluded: {verdict['note']}."
    metric = NAMES[document["primary"]]
    if document["primary"] == "jumpstart" and arm["first_step"]:
        metric = f"first evaluation, after {arm['first_step']:,} target steps"
    entry = primary_entry(document, name)
    unit = " target steps saved" if document["primary"] == "time_to_threshold" else ""
    found = f"{estimate(entry)}{unit}" if entry["value"] is not None else f"undefined ({entry['note']})"
    if verdict["p"] is None:
        return f"The {metric} differs from scratch's by {found}, untested: {verdict['note']}."
    p = p_value(verdict["p"])
    if verdict["verdict"] == "no evidence":
        rest = "Effects inside the interval remain possible." if entry["low"] is not None else ""
        if "note" in verdict:
            rest = f"{verdict['note'][0].upper()}{verdict['note'][1:]}."
        return f"No evidence that {name} differs from scratch in {metric}: {found}, {p}. {rest}".strip()
    better = "better" if verdict["verdict"] == "helps" else "worse"
    turned = "dial" in document["measured"]["test"]["method"]
    over = "arms and all values of the dial" if turned else "arms"
    return f"{name} is {better} than scratch in {metric}: {found}, {p} over all {over}."


def limits(document: dict[str, Any], name: str) -> str:
    """One sentence on what may not be concluded about an arm; empty for scratch and where nothing may be at all."""
    arm, verdict = document["arms"][name], document["arms"][name]["verdict"]
    if verdict is None or arm["state"] == "failed":
        return ""
    if arm["control"]:
        return "Not shown: that it helps or hurts; controls are compared, not tested."
    if verdict["verdict"] in (None, "no evidence"):
        return (
            f"Not shown: that {name} makes no difference{_could(document)}; anything about its other metrics, which "
            "were not tested."
        )
    return f"Not shown: {'; '.join(_not_shown(document, name))}."


def _could(document: dict[str, Any]) -> str:
    """How small an effect the design could have missed."""
    known = document["measured"]["test"].get("detectable")
    if not known or known["deviations"] is None:
        return ""
    here = f" (here about {number(known['here'])})" if known["here"] is not None else ""
    return (
        f", as only an effect of {number(known['deviations'])} standard deviations over seeds{here} would have got a "
        f"verdict in {100 * known['power']:.0f} % of such studies"
    )


def _not_shown(document: dict[str, Any], name: str) -> Iterator[str]:
    """What a reader might take for shown by a verdict, and is not."""
    arm, helps = document["arms"][name], document["arms"][name]["verdict"]["verdict"] == "helps"
    if helps and document["source"]["steps"]:
        yield from _not_paid(document, arm)
    shuffled = [other for other in document["arms"].values() if other["control"] == "shuffled teacher"]
    if helps and not any(other["beside"] == name for other in shuffled):
        yield "that what the source learnt is the cause, as no shuffled teacher was run beside it"
    yield "anything about its other metrics, which were not tested"
    yield f"what another {'checkpoint' if document['source']['shared'] else 'source'}, budget or game would give"


def _not_paid(document: dict[str, Any], arm: dict[str, Any]) -> Iterator[str]:
    """Whether the arm is worth its source's steps on this one target."""
    entry = arm["charged"][document["primary"]]
    entry = entry.get("saved", entry)
    if entry["value"] is None or entry["low"] is None or entry["low"] > 0:
        return
    yield (
        f"that it pays for its source on one target: with the source's {arm['source_steps']:,} steps charged the "
        f"difference is {estimate(entry)}"
    )


def notes(document: dict[str, Any]) -> list[str]:
    """What a reader must know before believing a number, a line each."""
    return [
        *_of_seeds(document),
        *_of_source(document),
        *_of_resuming(document),
        *_of_design(document),
        *_of_metrics(document),
    ]


def _of_source(document: dict[str, Any]) -> Iterator[str]:
    """What a source cost that came without its run."""
    steps = document["source"]["steps"]
    if not (document["file"].get("source") or {}).get("policy"):
        return
    if steps:
        yield f"The source is a policy without its run; its {steps:,} steps are as the study file states them."
    else:
        yield "The source is a policy without its run; what it cost is not known, and nothing is charged for it."


def _of_seeds(document: dict[str, Any]) -> Iterator[str]:
    for name, arm in document["arms"].items():
        if arm["state"] == "failed":
            yield f"{name}: no seed finished; the arm is not measured."
        elif arm["failed"]:
            lost = len(arm["failed"])
            yield (
                f"{name}: {lost} of {lost + arm['n_seeds']} seeds missing ({'; '.join(arm['failed'])}). If what "
                "stopped them depends on the arm, the comparison is biased."
            )
        if arm["n_seeds"] == 1:
            yield f"{name}: one seed, so there is no interval and no test."


def _of_resuming(document: dict[str, Any]) -> Iterator[str]:
    """Runs that were interrupted and could not go on exactly; one that was never interrupted is exact in any case."""
    runs = {key: run for key, run in (document["provenance"].get("runs") or {}).items() if isinstance(run, dict)}
    known = {key for arm in document["arms"].values() for seed in arm["per_seed"] for key in str(seed["run"]).split()}
    found = [key for key, run in runs.items() if run.get("resume") == "approximate" and run.get("resumed")]
    if found:
        of_sources = len(found) - sum(key in known for key in found)
        rest = f", {of_sources} of them of the source" if of_sources else ""
        listed = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
        yield (
            f"{len(found)} {'run was' if len(found) == 1 else 'runs were'} interrupted and went on with new episodes, "
            f"as the game's state cannot be saved{rest} ({listed}): without the interruption the numbers would be "
            "others."
        )


def _of_design(document: dict[str, Any]) -> Iterator[str]:
    test = document["measured"]["test"]
    if test["smallest_p"] > test["level"]:
        yield (
            "This design cannot reject: with these seeds and arms the smallest possible p is "
            f"{test['smallest_p']:.2g}. “No evidence” is then all that it can say."
        )
    for name, arm in ((document["file"] or {}).get("arms") or {}).items():
        if own := (arm or {}).get("mapping"):
            yield f"{name} has a mapping of its own: {_mapping(own)}."
    if document["source"]["shared"]:
        yield "One source checkpoint serves all seeds: the results hold for this checkpoint only."
    episodes = document["measured"]["evaluation"].get("episodes")
    if isinstance(episodes, int) and episodes < 20:
        yield f"Each evaluation has {episodes} episodes; fewer than 20 make single evaluations uncertain."


def _mapping(own: dict[str, Any]) -> str:
    """The fields of an arm's mapping that say something: ``actions left=right, right=left``."""
    parts = []
    for field, value in own.items():
        pairs = ", ".join(f"{key}={other}" for key, other in value.items()) if isinstance(value, dict) else str(value)
        parts.append(f"{field} {pairs or 'none'}")
    return "; ".join(parts)


def taken(arm: dict[str, Any]) -> str:
    """Which target steps an arm's methods took besides the learner's own, and what its start is worth after them."""
    before, unseen, start = arm["steps_before_learning"], arm["steps_unseen"], arm["jumpstart_after"]
    said = f"{before:,} target steps taken before learning and {unseen:,} beside it that the learner did not see"
    if start is None:
        return said
    if start["value"] is None:
        return f"{said}; {start['note']}"
    return f"{said}; after {start['steps']:,} target steps it differs from scratch by {estimate(start)}"


def _of_metrics(document: dict[str, Any]) -> Iterator[str]:
    for name, arm in document["arms"].items():
        if arm["steps_before_learning"] or arm["steps_unseen"]:
            yield f"{name}: {taken(arm)}. All of them count on the x-axis."
        if arm["first_step"]:
            yield f"{name}: its first evaluation came after {arm['first_step']:,} target steps; it is no jumpstart."
        flat = [metric for metric in NAMES if "width nought" in str(arm[metric].get("note", ""))]
        if flat:
            listed = ", ".join(NAMES[metric] for metric in flat)
            yield f"{name}: all seeds scored the same ({listed}); an interval of width nought is no certainty."
    moving = [name for name, arm in document["arms"].items() if arm["plateau"] and arm["plateau"]["reached"] is False]
    if moving:
        yield (
            f"Not levelled off at the end of the budget: {', '.join(moving)}. "
            "Their final performance is not asymptotic."
        )


def steps_text(steps: float) -> str:
    """``50,000``."""
    return f"{steps:,.0f}"
