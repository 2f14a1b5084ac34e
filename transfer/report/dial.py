"""The report of a study with a dial: transfer as a curve over a distance, and the usual report of each value."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from agents import files
from transfer import statistics, strata
from transfer.report import controls, dial_page, figures
from transfer.report.document import as_json, plain
from transfer.report.measured import BASELINE, METRICS, Measured
from transfer.report.results import FORMAT, results_of
from transfer.report.words import NAMES
from transfer.study.data import DialData

FIGURE = "transfer_over_distance"
"""Its file's name."""

LIMITS = (
    "Not shown: what lies between and beyond these values, and why; what may not be concluded at each value stands in "
    "its own report."
)


def turned(data: DialData) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The document of results.json, and those of its values, whose verdicts hold over all arms and all values."""
    points = [results_of(measured) for measured in _tested(data)]
    first = points[0]
    document = {
        "format": FORMAT,
        "study": data.name,
        "primary": first["primary"],
        "dial": {
            "argument": data.argument,
            "values": data.values,
            "labels": data.labels,
            "missing": data.missing,
            "arms": {name: _arm(points, data, name) for name in data.points[0].arms if name != BASELINE},
            "levels": {name: [point["arms"][name]["levels"] for point in points] for name in data.points[0].arms},
            "reports": [f"{label}/results.json" for label in data.labels],
        },
        "source": first["source"],
        "measured": {**first["measured"], "version": version("headstart")},
        "notes": _notes(data, points),
        "file": data.study,
        "provenance": _provenance(points),
    }
    return plain(document), points


def write(data: DialData, folder: Path) -> dict[str, Any]:
    """Write the report into a folder, and that of each value into a folder of its own below. Returns results.json."""
    from transfer.report import write_document

    document, points = turned(data)
    for label, point in zip(data.labels, points, strict=True):
        write_document(point, folder / label)
    figure = figures.over_distance(document)
    svg = figures.to_svg(figure, FIGURE)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    files.write_text(folder / "figures" / f"{FIGURE}.svg", svg)
    files.write_bytes(folder / "figures" / f"{FIGURE}.png", figures.to_png(figure))
    files.write_text(folder / "report.html", dial_page.html(document, {FIGURE: figures.inline(svg, FIGURE)}))
    files.write_text(folder / "report.md", dial_page.markdown(document, {FIGURE: svg}))
    files.write_text(folder / "results.json", as_json(document))
    return document


def _tested(data: DialData) -> list[Measured]:
    """What was measured at each value, with the test over all of them."""
    alone = [Measured(point) for point in data.points]
    can = [measured for measured in alone if measured.tested]
    groups = [strata.Stratum(measured.samples[BASELINE], measured.tested) for measured in can]
    tests = strata.stratified_test(groups, statistics.generator_for(data.name)) if groups else []
    of_point = {id(measured): test for measured, test in zip(can, tests, strict=True)}
    return [Measured(measured.data, of_point.get(id(measured)), max(1, len(can))) for measured in alone]


def _arm(points: list[dict[str, Any]], data: DialData, name: str) -> dict[str, Any]:
    """One arm over the values: each metric's entries, its verdicts, and what they come to in words."""
    own = [point["arms"][name] for point in points]
    verdicts = [arm["verdict"] for arm in own]
    return {
        "methods": own[0]["methods"],
        "control": own[0]["control"],
        **{metric: [arm[metric] for arm in own] for metric in METRICS},
        "jumpstart_after": [arm["jumpstart_after"] for arm in own],
        "charged": {metric: [arm["charged"][metric] for arm in own] for metric in METRICS},
        "verdict": verdicts,
        "limits": LIMITS,
        "conclusion": controls.what(own[0]["control"])
        if own[0]["control"]
        else _conclusion(name, points[0]["primary"], data, verdicts),
    }


def _conclusion(name: str, primary: str, data: DialData, verdicts: list[dict[str, Any]]) -> str:
    """Where an arm helps, where it hurts, and where nothing can be said."""
    of_verdict: dict[str, list[str]] = {}
    for value, verdict in zip(data.values, verdicts, strict=True):
        of_verdict.setdefault(verdict["verdict"] or "not measured", []).append(f"{value:g}")
    order = ("helps", "hurts", "no evidence", "not measured")
    said = [f"{verdict} at {', '.join(of_verdict[verdict])}" for verdict in order if verdict in of_verdict]
    return f"{name}, {NAMES[primary]} over {data.argument}: {'; '.join(said)}."


def _notes(data: DialData, points: list[dict[str, Any]]) -> list[str]:
    """What holds at every value once, the rest with the values at which it does."""
    where: dict[str, list[str]] = {}
    for label, point in zip(data.labels, points, strict=True):
        for note in point["notes"]:
            where.setdefault(note, []).append(label)
    notes = [note if len(at) == len(points) else f"At {', '.join(at)}: {note}" for note, at in where.items()]
    return [*(f"Not measured: {line}" for line in data.missing), *notes]


def _provenance(points: list[dict[str, Any]]) -> dict[str, Any]:
    """All runs of all values; the rest as at the first."""
    runs: dict[str, Any] = {}
    for point in points:
        runs |= point["provenance"].get("runs") or {}
    return {**points[0]["provenance"], "runs": runs}
