"""report.html and report.md of several studies: a heat map and a table for each arm."""

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from markupsafe import Markup

from transfer.report.page import Cell, Table, cell, render, table
from transfer.report.words import NAMES, p_value

CAPTION = (
    "Strength: the difference as a share of {scale}. ▲ helps, ▼ hurts: the verdict of that study's own test. Each "
    "study holds its error over its own arms; over the whole matrix more than one cell in twenty may be called wrongly."
)
SCALES = {
    "time_to_threshold": "the target's budget",
    "transfer_ratio": "scratch's area, so that full strength is twice or none of it",
}
RETURNS = "the target's reference − random score, or of the largest difference on that target where these are unknown"


def html(document: dict[str, Any], figures: Mapping[str, str]) -> str:
    """The page. `figures` are inline SVG by arm."""
    drawn = {arm: Markup(svg) for arm, svg in figures.items()}
    return render("matrix.html.j2", {**_context(document), "figures": drawn}, autoescape=True)


def markdown(document: dict[str, Any], figures: Mapping[str, str]) -> str:
    """The same in Markdown; `figures` are the names of the PNG files beside it, by arm."""
    return render("matrix.md.j2", {**_context(document), "figures": figures}, autoescape=False)


def _context(document: dict[str, Any]) -> dict[str, Any]:
    primary = document["primary"]
    n = sum(study is not None for row in document["studies"] for study in row)
    sources, targets = len(document["sources"]), len(document["targets"])
    unit = "target steps saved" if primary == "time_to_threshold" else "difference from scratch"
    return {
        "study": document["matrix"],
        "lead": f"{n} studies: {sources} {_s('source', sources)}, {targets} {_s('target', targets)}. "
        f"{NAMES[primary][0].upper()}{NAMES[primary][1:]}, {unit}.",
        "arms": {arm: _table(document, arm) for arm in document["arms"]},
        "alt": {arm: f"Heat map of {arm}, sources × targets" for arm in document["arms"]},
        "captions": {arm: CAPTION.format(scale=SCALES.get(primary, RETURNS)) for arm in document["arms"]},
        "caption": "With its nominal 95 % interval over seeds, the verdict and the study.",
        "studies": [study for row in document["studies"] for study in row if study],
        "version": version("headstart"),
    }


def _s(thing: str, n: int) -> str:
    return thing if n == 1 else f"{thing}s"


def _table(document: dict[str, Any], arm: str) -> Table:
    rows = []
    for i, source in enumerate(document["sources"]):
        found = zip(document["arms"][arm][i], document["studies"][i], strict=True)
        rows.append((source.removeprefix("headstart/"), [_cell(entry, study) for entry, study in found]))
    for (_, cells), forward in zip(rows, document["forward_transfer"][arm], strict=True):
        n = forward["targets"]
        said = f"mean gap closed over {n} {_s('target', n)}" if n else "the gap closed is known of no target"
        cells.append({**cell({**forward, "low": None, "high": None, "note": said})})
    headings = [target.removeprefix("headstart/") for target in document["targets"]]
    return table([*headings, "forward transfer"], rows)


def _cell(entry: dict[str, Any] | None, study: str | None) -> Cell:
    """A cell of the table: value, interval, verdict and whose it is."""
    if entry is None:
        return cell({"value": None, "note": "no study" if study is None else f"not an arm of {study}"})
    shown = cell(entry)
    said = (entry["verdict"], p_value(entry["p"]), f"{entry['n_seeds']} seeds", study)
    return {**shown, "note": "; ".join(part for part in (*said, shown["note"]) if part)}
