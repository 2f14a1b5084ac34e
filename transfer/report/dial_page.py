"""report.html and report.md of a study with a dial."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from transfer.report import again, method
from transfer.report.document import origin
from transfer.report.page import Cell, Table, cell, render, table
from transfer.report.words import LEVEL_NAMES, NAMES, p_value, steps_text

LEVELS = {"jumpstart": "initial", "asymptotic": "final"}
"""Which of an arm's own levels stands beside a primary metric; beside all others the total reward."""


def html(document: dict[str, Any], figures: Mapping[str, str]) -> str:
    """The page. `figures` are inline SVG by name."""
    drawn = {name: Markup(svg) for name, svg in figures.items()}
    return render("dial.html.j2", {**_context(document), "figures": drawn}, autoescape=True)


def markdown(document: dict[str, Any], figures: Mapping[str, str]) -> str:
    """The same in Markdown; the figures are the PNG files beside it."""
    return render("dial.md.j2", {**_context(document), "figures": figures}, autoescape=False)


def _context(document: dict[str, Any]) -> dict[str, Any]:
    """All that the templates say."""
    dial, primary = document["dial"], document["primary"]
    metric = NAMES[primary]
    how = {**document, "arms": {}}
    return {
        "study": document["study"],
        "lead": _lead(document),
        "arms": [_card(name, arm) for name, arm in dial["arms"].items()],
        "notes": document["notes"],
        "alt": {"transfer_over_distance": f"Transfer over {dial['argument']}"},
        "captions": {
            "transfer_over_distance": f"Difference from scratch at the same value of {dial['argument']}, with nominal "
            f"95 % intervals over seeds: {metric}, and the first evaluation."
        },
        "primary": _differences(document, primary),
        "primary_caption": f"{metric[0].upper()}{metric[1:]} (primary), difference from scratch at the same value, and "
        "the verdict, which holds over all arms and values at once.",
        "jumpstart": _differences(document, "jumpstart") if primary != "jumpstart" else None,
        "jumpstart_caption": "Jumpstart, difference from scratch at the same value; exploratory.",
        "levels": _levels(document),
        "levels_caption": "Mean over seeds with its interval.",
        "charged": _charged(document) if document["source"]["steps"] else None,
        "charged_caption": f"The same metric with the source's {steps_text(document['source']['steps'])} steps "
        "counted before the target's.",
        "links": [
            {"label": label, "folder": report.rpartition("/")[0]}
            for label, report in zip(dial["labels"], dial["reports"], strict=True)
        ],
        "how": [pair for pair in method.how(how) if pair[0] not in ("Scores", "Thresholds", "Target steps")],
        "provenance": method.provenance(document),
        **again.context(document),
    }


def _lead(document: dict[str, Any]) -> str:
    """What was turned, and what was compared at each value."""
    study, dial = document["file"], document["dial"]
    source, target = study.get("source") or {}, study.get("target") or {}
    games = " → ".join(part for part in (origin(source), target.get("game", "")) if part)
    values = ", ".join(f"{value:g}" for value in dial["values"])
    n_seeds = len(study.get("seeds") or [])
    return (
        f"{games}{'. ' if games else ''}{dial['argument']} of the target at {values}. "
        f"{', '.join(dial['arms'])} against scratch at each, {n_seeds} {'seed' if n_seeds == 1 else 'seeds'}, "
        f"{steps_text(document['measured']['budget'])} target steps. Primary metric: {NAMES[document['primary']]}."
    )


def _card(name: str, arm: dict[str, Any]) -> dict[str, str]:
    """An arm's verdicts in words; coloured where they agree."""
    found = {verdict["verdict"] for verdict in arm["verdict"]}
    state = (found.pop() or "none") if len(found) == 1 else "none"
    return {"name": name, "state": state.replace(" ", "-"), "conclusion": arm["conclusion"], "limits": arm["limits"]}


def _differences(document: dict[str, Any], metric: str) -> Table:
    """A metric of every arm at every value."""
    dial = document["dial"]
    rows = []
    for name, arm in dial["arms"].items():
        entries = [entry.get("saved", entry) for entry in arm[metric]]
        if metric == document["primary"]:
            rows.append((name, [_judged(e, v) for e, v in zip(entries, arm["verdict"], strict=True)]))
        else:
            rows.append((name, [cell(entry) for entry in entries]))
        if metric == "jumpstart" and any(arm["jumpstart_after"]):
            rows.append((f"{name}, after its first steps", [_later(entry) for entry in arm["jumpstart_after"]]))
    return table(dial["labels"], rows)


def _judged(entry: dict[str, Any], verdict: dict[str, Any]) -> Cell:
    """An entry with its verdict."""
    shown = cell(entry)
    said = ", ".join(part for part in (verdict["verdict"], p_value(verdict["p"])) if part)
    return {**shown, "note": "; ".join(note for note in (said, shown["note"]) if note)}


def _later(entry: dict[str, Any] | None) -> Cell:
    """The difference at the first evaluation after the steps that an arm's methods take before it learns."""
    if entry is None or entry["value"] is None:
        return cell(entry)
    return {**cell(entry), "note": f"after {entry['steps']:,} target steps"}


def _levels(document: dict[str, Any]) -> Table:
    """What each arm scored at each value."""
    dial = document["dial"]
    level = LEVELS.get(document["primary"], "total_reward")
    rows = [
        (f"{name}, {LEVEL_NAMES[level]}", [cell((own or {}).get(level), signed=False) for own in of_values])
        for name, of_values in dial["levels"].items()
    ]
    return table(dial["labels"], rows)


def _charged(document: dict[str, Any]) -> Table:
    """The primary metric with the source's steps charged."""
    dial, primary = document["dial"], document["primary"]
    rows = [
        (name, [cell(entry.get("saved", entry)) for entry in arm["charged"][primary]])
        for name, arm in dial["arms"].items()
    ]
    return table(dial["labels"], rows)
