"""report.html and report.md: one content, two templates."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from transfer.report import again, controls, method
from transfer.report.figures import DOTS_SHOWN, LINES_SHOWN
from transfer.report.words import LEVEL_NAMES, NAMES, estimate, exact, interval, number, p_value, steps_text

TEMPLATES = Path(__file__).parent
ROWS_SHOWN = 100
"""Seeds of an arm that the page's table lists."""
MOVING_PICTURES = (".gif", ".webp", ".apng")

Cell = dict[str, Any]
Table = dict[str, Any]


def html(said: dict[str, Any], figures: Mapping[str, str], content: str | None = None) -> str:
    """The page, of what `context` has put in words. `figures` are inline SVG by name; `content` is where the video
    plays from, by default its link."""
    video = said["video"] and {**said["video"], "content": content or said["video"]["href"]}
    drawn = {name: Markup(svg) for name, svg in figures.items()}
    return render("report.html.j2", {**said, "video": video, "figures": drawn}, autoescape=True)


def markdown(said: dict[str, Any], figures: Mapping[str, str]) -> str:
    """The same in Markdown; the figures are the PNG files beside it."""
    return render("report.md.j2", {**said, "figures": figures}, autoescape=False)


def render(template: str, context: dict[str, Any], *, autoescape: bool) -> str:
    """A template of this folder, filled in."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=False,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    return environment.get_template(template).render(context)


def context(document: dict[str, Any], video: str | None) -> dict[str, Any]:
    """All that the templates say; `video` is a link relative to the page."""
    measured = document["arms"].values()
    has_times = any(arm["time_to_threshold"].get("thresholds") for arm in measured)
    charged = document["source"]["steps"] and any(arm["charged"] for arm in measured)
    return {
        "study": document["study"],
        "lead": method.lead(document),
        **_cards(document),
        "notes": document["notes"],
        "captions": _captions(document),
        "alt": ALT,
        "video": _video(video),
        "metrics": _metrics(document),
        "metrics_caption": _metrics_caption(document),
        "times": _times(document) if has_times else None,
        "times_caption": TIMES_CAPTION,
        "levels": _levels(document),
        "levels_caption": "Mean over seeds with its interval; the bands of the learning curves are made likewise.",
        "aggregates": _aggregates(document),
        "aggregates_caption": _aggregates_caption(document),
        "costs": _costs(document) if charged else None,
        "costs_caption": COSTS_CAPTION,
        "charged": _charged(document) if charged else None,
        "charged_caption": _charged_caption(document),
        "how": method.how(document),
        "provenance": method.provenance(document),
        "foremost": _foremost(document),
        "seeds": _seeds(document),
        "seeds_left_out": _seeds_left_out(document),
        **again.context(document),
    }


def _cards(document: dict[str, Any]) -> dict[str, Any]:
    """Each arm's card, and once for all what their intervals cover, where that is the same."""
    cards = [_card(document, name) for name in document["arms"]]
    found = {card["coverage"] for card in cards if card["coverage"]}
    if len(found) != 1 or len(cards) < 3:
        return {"arms": cards, "coverage": None}
    return {
        "arms": [{**card, "coverage": None} for card in cards],
        "coverage": f"The intervals are nominal; {found.pop()}.",
    }


def _card(document: dict[str, Any], name: str) -> dict[str, Any]:
    """An arm's verdict and what may be concluded."""
    arm = document["arms"][name]
    verdict = arm["verdict"]
    if arm["state"] == "failed":
        state = badge = "failed"
    elif verdict is None:
        state, badge = "baseline", f"baseline · {arm['n_seeds']} seeds"
    else:
        state = (verdict["verdict"] or "none").replace(" ", "-") if not arm["control"] else "control"
        said = "control" if arm["control"] else verdict["verdict"] or "not tested"
        badge = " · ".join(part for part in (said, p_value(verdict["p"])) if part)
    return {
        "name": name,
        "state": state,
        "badge": badge,
        "conclusion": arm["conclusion"],
        "limits": arm["limits"],
        "coverage": arm["coverage"],
    }


ALT = {
    "learning_curves": "Learning curves",
    "learning_curves_charged": "Learning curves over all steps",
    "survival": "Share of seeds that had reached the threshold by each step",
    "profile": "Share of seeds above each return",
    **{metric: f"Dot plot of {name}" for metric, name in NAMES.items()},
}
TIMES_FIGURE = (
    "Mean time restricted at the budget, with its interval; a dot is a seed, an arrow one that never got there; on the "
    "right how many did."
)


def _captions(document: dict[str, Any]) -> dict[str, str]:
    most = max((len(arm["per_seed"]) for arm in document["arms"].values()), default=0)
    lines, dots = (
        f" The first {n} seeds of each arm are drawn." if most > n else "" for n in (LINES_SHOWN, DOTS_SHOWN)
    )
    seeds = f"each dot is a seed, the bar a nominal 95 % interval of the difference from scratch's mean.{dots}"
    return {
        "learning_curves": "Mean return over seeds with a pointwise nominal 95 % t interval; the thin lines are seeds."
        + lines,
        "jumpstart": f"The first evaluation: {seeds}",
        "asymptotic": f"The last tenth of the evaluations: {seeds}",
        "total_reward": f"The area under the curve per step of the budget: {seeds}",
        "time_to_threshold": TIMES_FIGURE + dots,
        "survival": "Kaplan and Meier: the share of seeds that had got there by each step, with its pointwise nominal "
        "95 % interval. A seed that never did is censored at the budget, not dropped.",
        "profile": "Performance profile: the share of seeds above each return, with its pointwise nominal 95 % "
        "interval.",
        "learning_curves_charged": f"The same over all steps: the arms begin after {_late(document)} steps of the "
        "source.",
    }


def _late(document: dict[str, Any]) -> str:
    """The steps behind the arms: ``50,000``, or of each where they differ, as from several source checkpoints."""
    steps = {name: arm["source_steps"] for name, arm in _others(document).items() if arm["control"] != controls.BUDGET}
    if len(set(steps.values())) > 1:
        return ", ".join(f"{count:,} ({name})" for name, count in steps.items())
    return f"{next(iter(steps.values()), document['source']['steps']):,}"


def _video(href: str | None) -> dict[str, Any] | None:
    if href is None:
        return None
    return {"href": href, "name": Path(href).name, "moving_picture": href.lower().endswith(MOVING_PICTURES)}


def cell(entry: dict[str, Any] | None, *, signed: bool = True, text: Callable[[float], str] | None = None) -> Cell:
    """A table's cell: the value, its interval, and what is to be said about them."""
    if not entry or entry["value"] is None:
        return {"value": None, "note": (entry or {}).get("note", "not measured")}
    label = entry.get("label")
    notes = [note for note in (None if label == "jumpstart" else label, entry.get("note")) if note]
    value = text(entry["value"]) if text else number(entry["value"], signed=signed)
    return {"value": entry["value"], "text": value, "range": interval(entry), "note": "; ".join(notes)}


def _start(arm: dict[str, Any], *, charged: bool = False) -> Cell:
    """A jumpstart's cell: at 0 target steps, and after those that the arm's methods take before it learns."""
    shown, later = cell((arm["charged"] if charged else arm)["jumpstart"]), arm["jumpstart_after"]
    if later is None:
        return shown
    said = "at 0 target steps"
    if not charged:
        said += f"; after {later['steps']:,}: {estimate(later)}" if later["steps"] else f"; {later['note']}"
    return {**shown, "note": "; ".join(note for note in (shown["note"], said) if note)}


def _plain(text: str) -> Cell:
    return {"value": text, "text": text, "range": "", "note": ""}


def table(headings: list[str], rows: list[tuple[str, list[Cell]]]) -> Table:
    """A table as the templates draw it; a row has a name and a cell for each heading."""
    return {"headings": headings, "rows": [{"name": name, "cells": cells} for name, cells in rows]}


def _others(document: dict[str, Any]) -> dict[str, Any]:
    return {name: arm for name, arm in document["arms"].items() if arm["verdict"] is not None}


def _foremost(document: dict[str, Any]) -> str | None:
    values = document["measured"]["thresholds"]["values"]
    return exact(values[0]) if values else None


def _metrics(document: dict[str, Any]) -> Table:
    """Every metric of every arm but scratch."""
    headings = [NAMES[metric] for metric in ("jumpstart", "asymptotic", "total_reward", "transfer_ratio")]
    headings += ["gap closed (forward transfer)", "steps saved to threshold"]
    rows = []
    for name, arm in _others(document).items():
        cells = [_start(arm)]
        cells += [cell(arm[metric]) for metric in ("asymptotic", "total_reward", "transfer_ratio")]
        cells.append(cell(arm["transfer_ratio"].get("gap_closed") or arm["transfer_ratio"]))
        cells.append(cell(arm["time_to_threshold"].get("saved") or arm["time_to_threshold"]))
        rows.append((name, cells))
    primary = [heading == NAMES[document["primary"]] for heading in headings]
    if document["primary"] == "time_to_threshold":
        primary[-1] = True
    return table([f"{h} (primary)" if first else h for h, first in zip(headings, primary, strict=True)], rows)


def _metrics_caption(document: dict[str, Any]) -> str:
    foremost = _foremost(document)
    saved = f" Steps saved: to a return of {foremost}, scratch's less the arm's." if foremost is not None else ""
    return (
        "Differences from scratch, in returns, with nominal 95 % intervals. Only the primary metric, "
        f"{NAMES[document['primary']]}, was declared before and tested; the others are exploratory." + saved
    )


TIMES_CAPTION = (
    "Target steps until the first of two consecutive evaluations at or above the return. A seed that never gets there "
    "counts with the whole budget, so the mean is restricted: a lower bound."
)


def _times(document: dict[str, Any]) -> Table:
    """Every threshold of every arm, scratch too, the lowest threshold first."""
    values = document["measured"]["thresholds"]["values"]
    order = sorted(range(len(values)), key=lambda i: values[i])
    rows = []
    for name, arm in document["arms"].items():
        entries = arm["time_to_threshold"].get("thresholds", [])
        rows.append((name, [_time_cell(entries[i]) for i in order]))
    return table([f"return {exact(values[i])}" for i in order], rows)


def _time_cell(entry: dict[str, Any]) -> Cell:
    if entry["value"] is None:
        return cell(entry)
    median = entry["median"]
    shown = cell({**entry, "note": None}, signed=False)
    parts = [f"{entry['reached']} of {entry['n_seeds']} seeds", f"median {number(median['value'])}"]
    if entry["saved"]["value"] is not None:
        parts.append(f"saves {estimate(entry['saved'])}")
    return {**shown, "note": "; ".join(parts)}


def _aggregates(document: dict[str, Any]) -> Table:
    """Mean, median, interquartile mean and optimality gap of the primary level, and the probability of improvement."""
    kinds = ("mean", "median", "iqm", "optimality_gap", "improvement")
    rows = []
    for name, arm in document["arms"].items():
        found = arm["aggregates"] or {}
        rows.append((name, [cell(found.get(kind), signed=False) for kind in kinds]))
    return table(["mean", "median", "interquartile mean", "optimality gap", "better than scratch"], rows)


def _aggregates_caption(document: dict[str, Any]) -> str:
    level = next((arm["aggregates"]["of"] for arm in document["arms"].values() if arm["aggregates"]), "total_reward")
    return (
        f"Of each seed's {LEVEL_NAMES[level]}, with nominal 95 % intervals. Interquartile mean: without the quarter of "
        "the seeds at either end. Optimality gap: how far seeds fall short of the reference score, as a share of "
        "reference − random. Better than scratch: the probability that a seed of the arm beats one of scratch."
    )


COSTS_CAPTION = (
    "Steps of one seed. Time to threshold is the restricted mean, first with target steps alone, then with the "
    "source's steps before them. Source paid after: the source's steps over the target steps saved to the threshold. "
    "CPU time: of the arm's own runs, evaluation included, without the source's."
)


def _costs(document: dict[str, Any]) -> Table:
    """What each arm took, with and without its source."""
    budget = document["measured"]["budget"]
    rows = []
    for name, arm in document["arms"].items():
        source = arm["source_steps"] if name != "scratch" else 0
        charged = arm["charged"]["time_to_threshold"] if arm["charged"] else arm["time_to_threshold"]
        cells = [_plain(steps_text(steps)) for steps in (source, budget, source + budget)]
        cells += [_bare(entry) for entry in (arm["time_to_threshold"], charged)]
        even = arm["break_even"] or {"value": None, "note": "needs no source"}
        cells.append(cell(even, signed=False, text=lambda k: f"{number(k)} targets"))
        cells.append(_plain(method.arm_time(document, name)))
        rows.append((name, cells))
    headings = ["source steps", "target steps", "together", "time to threshold", "with the source", "source paid after"]
    return table([*headings, "CPU time"], rows)


def _bare(entry: dict[str, Any]) -> Cell:
    """A cell without its note, but for why there is no value, or that no seed got there."""
    told = entry["value"] is None or not entry["reached"]
    return cell(entry if told else {**entry, "note": None}, signed=False)


def _levels(document: dict[str, Any]) -> Table:
    """What each arm scored, not compared with anything."""
    rows = []
    for name, arm in document["arms"].items():
        levels = arm["levels"] or {}
        cells = [_plain(" + ".join(arm["methods"]) or "none"), _plain(str(arm["n_seeds"]))]
        cells += [cell(levels.get(level), signed=False) for level in ("initial", "final", "total_reward")]
        rows.append((name, cells))
    return table(["methods", "seeds", "first evaluation", "final", "total reward"], rows)


def _charged(document: dict[str, Any]) -> Table:
    """The metrics again, at equal total steps, and when the source has paid for itself."""
    rows = []
    for name, arm in _others(document).items():
        charged, even = arm["charged"], arm["break_even"]
        cells = [_start(arm, charged=True)]
        cells += [cell(charged[metric]) for metric in ("asymptotic", "total_reward", "transfer_ratio")]
        cells.append(cell(charged["time_to_threshold"], signed=False))
        cells.append(cell(charged["time_to_threshold"].get("saved") or charged["time_to_threshold"]))
        cells.append(cell(even, signed=False, text=lambda k: f"{number(k)} targets"))
        rows.append((name, cells))
    headings = [NAMES[metric] for metric in ("jumpstart", "asymptotic", "total_reward", "transfer_ratio")]
    return table([*headings, "time to threshold", "steps saved to threshold", "source paid after"], rows)


def _charged_caption(document: dict[str, Any]) -> str:
    before, late = document["measured"]["before"], _late(document)
    return (
        f"Each arm begins {late} steps late, having returned {number(before)} until then, and is compared with "
        f"scratch over scratch's {steps_text(document['measured']['budget'])} steps; jumpstart: with scratch after as "
        "many steps. Source paid after: the source's steps over the target steps saved to the threshold."
    )


def _seeds(document: dict[str, Any]) -> list[dict[str, str]]:
    """One row per run, of an arm with many seeds the first ones."""
    rows = []
    for name, arm in document["arms"].items():
        for seed in arm["per_seed"][:ROWS_SHOWN]:
            time = next(iter(seed["time_to_threshold"]), None)
            rows.append(
                {
                    "arm": name,
                    "seed": str(seed["seed"]),
                    "run": seed["run"],
                    "time": "–" if time is None else number(time["steps"]) if time["reached"] else "never",
                    **{level: number(seed[level]) for level in ("initial", "final", "total_reward")},
                }
            )
    return rows


def _seeds_left_out(document: dict[str, Any]) -> str:
    """Where the other seeds are, if the table does not list all."""
    total = sum(len(arm["per_seed"]) for arm in document["arms"].values())
    if total == sum(len(arm["per_seed"][:ROWS_SHOWN]) for arm in document["arms"].values()):
        return ""
    return f"The first {ROWS_SHOWN} seeds of each arm; all {total:,} are in results.json and in the exported tables."
