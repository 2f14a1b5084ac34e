"""What a study measured as two tables: a row per evaluation episode, and a row per seed and metric; CSV or Parquet."""

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from agents import files
from envs.errors import ConfigError
from transfer.study.plan import Plan

Form = Literal["csv", "parquet"]
Row = tuple[Any, ...]

EPISODES = {
    "study": "string",
    "at": "string",
    "arm": "string",
    "source_seed": "int64",
    "seed": "int64",
    "run": "string",
    "step": "int64",
    "episode": "int64",
    "episode_seed": "int64",
    "return": "float64",
    "length": "int64",
    "terminated": "bool",
    "truncated": "bool",
}
"""Columns of `episodes` and their types: `at` is the value of a dial, `source_seed` that of nested seeds, else empty;
`step` counts from the run's own beginning."""
METRICS = {
    "study": "string",
    "at": "string",
    "arm": "string",
    "seed": "int64",
    "run": "string",
    "metric": "string",
    "threshold": "float64",
    "value": "float64",
    "reached": "bool",
}
"""Columns of `metrics`. `metric` is `initial`, `final`, `total_reward` (returns) or `time_to_threshold` (target steps,
the budget where `reached` is false); `threshold` and `reached` are empty for the first three."""
LEVELS = ("initial", "final", "total_reward")
CHUNK = 50_000
"""Rows that Parquet is written in."""


def write(planned: Plan, document: dict[str, Any], folder: Path, form: Form) -> list[Path]:
    """Write `episodes` and `metrics` into a study's folder, beside its results.json. Returns the two files.

    Raises ConfigError for Parquet without pyarrow, CheckpointError for a run that is damaged.
    """
    save = {"csv": _csv, "parquet": _parquet}[form]
    tables = {
        "episodes": (EPISODES, episodes(planned)),
        "metrics": (METRICS, metrics(document["study"], documents(document, folder))),
    }
    written = []
    for name, (columns, rows) in tables.items():
        with files.file_beside(folder / f"{name}.{form}") as beside:
            save(beside, columns, rows)
        written.append(folder / f"{name}.{form}")
    return written


def documents(document: dict[str, Any], folder: Path) -> dict[str | None, dict[str, Any]]:
    """The results of each value of a dial by its label, or those of the study under None."""
    if "dial" not in document:
        return {None: document}
    dial = document["dial"]
    pairs = zip(dial["labels"], dial["reports"], strict=True)
    return {label: json.loads((folder / report).read_text(encoding="utf-8")) for label, report in pairs}


def episodes(planned: Plan) -> Iterator[Row]:
    """Every episode of every evaluation of every finished run, the sources' too."""
    for run in planned.runs:
        folder = planned.run(run)
        if not folder.done:
            continue
        found = folder.evaluations()
        whose = (planned.study.name, run.at, run.arm, getattr(run, "source_seed", None), run.seed, run.key)
        for i, step in enumerate(found.steps.tolist()):
            columns = (found.seeds, found.returns, found.lengths, found.terminated, found.truncated)
            for number, row in enumerate(zip(*(column[i].tolist() for column in columns), strict=True)):
                yield (*whose, step, number, *row)


def metrics(study: str, of_value: dict[str | None, dict[str, Any]]) -> Iterator[Row]:
    """Every seed's levels and its time to each threshold."""
    for at, document in of_value.items():
        for name, arm in document["arms"].items():
            for seed in arm["per_seed"]:
                whose = (study, at, name, seed["seed"], seed["run"])
                for level in LEVELS:
                    yield (*whose, level, None, seed[level], None)
                for time in seed["time_to_threshold"]:
                    yield (*whose, "time_to_threshold", time["threshold"], time["steps"], time["reached"])


def _csv(path: Path, columns: dict[str, str], rows: Iterable[Row]) -> None:
    """Comma-separated, a heading first; nothing is an empty field, true and false are words."""
    words = {True: "true", False: "false"}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([words[x] if isinstance(x, bool) else x for x in row] for row in rows)


def _parquet(path: Path, columns: dict[str, str], rows: Iterable[Row]) -> None:
    """Zstandard-compressed Parquet with these types, empty fields null."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ConfigError(
            "Parquet needs the package 'pyarrow': install it with pip install 'headstart[export]', or use --export csv"
        ) from error
    schema = pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in columns.items()])
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        for part in _chunks(rows):
            arrays = [
                pyarrow.array(column, field.type) for column, field in zip(zip(*part, strict=True), schema, strict=True)
            ]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Lists of at most `CHUNK` rows."""
    part: list[Row] = []
    for row in rows:
        part.append(row)
        if len(part) == CHUNK:
            yield part
            part = []
    if part:
        yield part
