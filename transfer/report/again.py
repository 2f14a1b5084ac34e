"""How to cite a study, and how to run it again: what a page says at its end."""

import json
from typing import Any

from transfer.report.document import fingerprint, origin


def context(document: dict[str, Any]) -> dict[str, Any]:
    """What the templates say: `cite`, `entry`, `again` and `study_file`."""
    found = fingerprint(document)
    return {
        "cite": _sentence(document, found),
        "entry": _bibtex(document, found),
        "again": _commands(document),
        "study_file": json.dumps(document["file"], indent=1, ensure_ascii=False),
    }


def _games(document: dict[str, Any]) -> str:
    file = document["file"]
    source, target = file.get("source") or {}, file.get("target") or {}
    games = [origin(source), target.get("game")]
    return " to ".join(str(game) for game in games if game) or "a target"


def _commits(document: dict[str, Any]) -> list[str]:
    runs = (document["provenance"].get("runs") or {}).values()
    return sorted({str(run["commit"])[:12] for run in runs if isinstance(run, dict) and run.get("commit")})


def _year(document: dict[str, Any]) -> str:
    """The year in which the last of the runs began; empty where none says."""
    runs = (document["provenance"].get("runs") or {}).values()
    return max((str(run.get("started", ""))[:4] for run in runs if isinstance(run, dict)), default="")


def _sentence(document: dict[str, Any], found: str) -> str:
    year, version = _year(document), document["measured"]["version"]
    return (
        f"“{document['study']}: transfer from {_games(document)}”, a study made with Headstart {version}"
        f"{f', {year}' if year else ''}, results {found}."
    )


def _bibtex(document: dict[str, Any], found: str) -> str:
    name, version = document["study"], document["measured"]["version"]
    commits = _commits(document)
    note = f"Headstart {version}{f', commit {commits[-1]}' if commits else ''}, results {found}"
    fields = {"title": f"{{{name}: transfer from {_games(document)}}}", "note": note, "year": _year(document)}
    lines = [f"  {field} = {{{value}}}," for field, value in fields.items() if value]
    key = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)
    return "\n".join([f"@misc{{headstart-{key},", *lines, "}"])


def _commands(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Commands, each with what it does."""
    name = document["study"]
    return [
        ("headstart study study.toml", "train what is missing and write this report; study.toml lies beside it"),
        (f"headstart report {name}", "write the report again from the run folders"),
        (f"headstart report {name} --export csv", "every evaluation episode, and every seed and metric, as tables"),
        (f"headstart report {name} --tensorboard", "all arms' curves and hyperparameters for TensorBoard"),
    ]
