"""Several finished studies as one page: what each arm was worth from each source on each target, as heat maps."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agents import files
from envs.errors import ConfigError
from envs.registry import did_you_mean
from transfer.report import figures, heat, matrix_page
from transfer.report.document import as_json, origin
from transfer.report.results import FORMAT
from transfer.report.words import primary_entry

KEPT = ("value", "low", "high", "normalised")


def write(studies: Sequence[str], results: Path, name: str) -> dict[str, Any]:
    """Write report.html, report.md, matrix.json and figures/ into a folder of this name under `results`.

    Args:
        studies: results.json files, folders that hold one, or names of studies under `results`.
        results: where results lie and go.
        name: of the page and its folder, which must not be a study's.

    Returns:
        The document of matrix.json.

    Raises:
        ConfigError: fewer than two studies, one without results, with a dial or another primary metric, two of one
            source and target, or a study of this name.
    """
    if len(studies) < 2:
        raise ConfigError(f"--matrix: found {len(studies)} study, expected at least two finished studies to combine")
    folder = results / name
    if (folder / "results.json").exists() or (folder / "study.toml").exists():
        raise ConfigError(f"--matrix {name}: there is a study of this name in {folder}; expected another name")
    document = combined([_read(study, results) for study in studies], name)
    drawn = {arm: heat.draw(document, arm) for arm in document["arms"]}
    svg = {arm: figures.to_svg(figure, f"matrix-{i}") for i, (arm, figure) in enumerate(drawn.items())}
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    for arm, figure in drawn.items():
        files.write_text(folder / "figures" / f"{_file(arm)}.svg", svg[arm])
        files.write_bytes(folder / "figures" / f"{_file(arm)}.png", figures.to_png(figure))
    inline = {arm: heat.inline(svg[arm], f"matrix-{i}") for i, arm in enumerate(svg)}
    files.write_text(folder / "report.html", matrix_page.html(document, inline))
    files.write_text(folder / "report.md", matrix_page.markdown(document, {arm: _file(arm) for arm in svg}))
    files.write_text(folder / "matrix.json", as_json(document))
    return document


def _file(arm: str) -> str:
    """An arm's figure's name."""
    return "matrix-" + "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in arm)


def _read(study: str, results: Path) -> dict[str, Any]:
    """The results of a study. Raises ConfigError."""
    for file in (Path(study), Path(study) / "results.json", results / study / "results.json"):
        if file.is_file() and file.suffix == ".json":
            return _checked(json.loads(file.read_text(encoding="utf-8")), file)
    known = [file.parent.name for file in results.glob("*/results.json")]
    if "/" in study or not known:
        raise ConfigError(f"{study}: found no results.json, expected a finished study; run headstart study first")
    raise did_you_mean("finished study", study, known)


def _checked(document: Any, file: Path) -> dict[str, Any]:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ConfigError(f"{file}: expected results of format {FORMAT}; write them again with headstart report")
    if "dial" in document:
        raise ConfigError(f"{file}: the study has a dial, which has a page of its own; give the results of its values")
    return document


def combined(documents: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    """The document of matrix.json: for each arm a cell for each source and target, null where there is no study.

    Raises ConfigError for two primary metrics, or two studies of one source and target.
    """
    primaries = sorted({document["primary"] for document in documents})
    if len(primaries) > 1:
        raise ConfigError(f"--matrix: found primary metrics {', '.join(primaries)}; expected one in all studies")
    places: dict[tuple[str, str], dict[str, Any]] = {}
    for document in documents:
        place = (_task(document, "source"), _task(document, "target"))
        if place in places:
            both = f"{places[place]['study']} and {document['study']}"
            raise ConfigError(f"--matrix: {both} both go from {place[0]} to {place[1]}; expected one study for each")
        places[place] = document
    sources = list(dict.fromkeys(source for source, _ in places))
    targets = list(dict.fromkeys(target for _, target in places))
    arms = dict.fromkeys(arm for document in documents for arm in document["arms"] if arm != "scratch")
    return {
        "format": FORMAT,
        "matrix": name,
        "primary": primaries[0],
        "sources": sources,
        "targets": targets,
        "studies": [[_study(places.get((source, target))) for target in targets] for source in sources],
        "arms": {
            arm: [[_cell(places.get((source, target)), arm) for target in targets] for source in sources]
            for arm in arms
        },
        "forward_transfer": {arm: [_forward(arm, source, targets, places) for source in sources] for arm in arms},
        "scales": [_scale(target, places) for target in targets],
    }


def _task(document: dict[str, Any], side: str) -> str:
    """The game of a side, with what is changed in it: ``CartPole-v1, gravity=15``."""
    said = document["file"].get(side) or {}
    if said.get("run") or said.get("policy"):
        return origin(said)
    changes = {**(said.get("arguments") or {}), **(said.get("change") or {})}
    told = [f"{key}={value}" for key, value in changes.items() if value not in (None, 0.0, [], {})]
    return ", ".join([str(said.get("game") or "unknown"), *told])


def _study(document: dict[str, Any] | None) -> str | None:
    return None if document is None else str(document["study"])


def _cell(document: dict[str, Any] | None, arm: str) -> dict[str, Any] | None:
    """An arm's difference from scratch in the primary metric, and its verdict."""
    if document is None or arm not in document["arms"]:
        return None
    entry, verdict = primary_entry(document, arm), document["arms"][arm]["verdict"]
    return {
        **{key: entry.get(key) for key in KEPT},
        "note": entry.get("note"),
        "verdict": verdict["verdict"],
        "p": verdict["p"],
        "n_seeds": document["arms"][arm]["n_seeds"],
    }


def _forward(
    arm: str, source: str, targets: Sequence[str], places: dict[tuple[str, str], dict[str, Any]]
) -> dict[str, Any]:
    """Continual World's forward transfer of an arm from one source: the mean over targets of the gap closed.

    Over those of which it is known; `value` is null where it is of none.
    """
    studies = [places[source, target]["arms"].get(arm) for target in targets if (source, target) in places]
    gaps = [(found["transfer_ratio"].get("gap_closed") or {}).get("value") for found in studies if found]
    known = [gap for gap in gaps if gap is not None]
    return {"value": sum(known) / len(known) if known else None, "targets": len(known)}


def _scale(target: str, places: dict[tuple[str, str], dict[str, Any]]) -> float | None:
    """By what a target's differences are coloured: reference − random, the budget, else the largest among them."""
    of_target = [document for (_, other), document in places.items() if other == target]
    first = of_target[0]
    primary, scores = first["primary"], first["measured"]["scores"]
    if primary == "time_to_threshold":
        return float(first["measured"]["budget"])
    if primary == "transfer_ratio":
        return 1.0
    if scores["random"] is not None and scores["reference"] is not None and scores["reference"] > scores["random"]:
        return float(scores["reference"] - scores["random"])
    values = [
        abs(entry["value"])
        for document in of_target
        for arm in document["arms"]
        if arm != "scratch" and (entry := primary_entry(document, arm))["value"] is not None
    ]
    return max(values, default=0.0) or None
