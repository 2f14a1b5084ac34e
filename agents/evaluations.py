"""evaluations.csv: a run's evaluations, a row an episode; written as training goes on, read into arrays."""

import csv
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agents import files
from agents.evaluation import EpisodeResults
from envs.errors import CheckpointError

EVALUATION_COLUMNS = ("step", "episode", "seed", "return", "length", "terminated", "truncated")
"""The columns of evaluations.csv; a row is an episode."""


@dataclass(frozen=True)
class Evaluations:
    """All evaluations of one run, in the order of their steps."""

    steps: np.ndarray
    """Training steps taken before each evaluation: (n_evaluations,)."""
    returns: np.ndarray
    """Raw returns: (n_evaluations, n_episodes)."""
    lengths: np.ndarray
    """Steps of each episode: (n_evaluations, n_episodes)."""
    seeds: np.ndarray
    """What each episode's environment was reset with, the same at every evaluation: (n_evaluations, n_episodes)."""
    terminated: np.ndarray
    """Whether the game itself ended the episode: (n_evaluations, n_episodes), bool."""
    truncated: np.ndarray
    """Whether a time limit ended it: (n_evaluations, n_episodes), bool."""

    @property
    def means(self) -> np.ndarray:
        """Mean return of each evaluation: (n_evaluations,)."""
        return np.asarray(self.returns.mean(axis=1))


def read_evaluations(path: Path, episodes: int, grid: Sequence[int] | None = None) -> Evaluations:
    """Read an evaluations.csv.

    Args:
        path: the file.
        episodes: how many each evaluation has.
        grid: the steps of all evaluations of a finished run, which must be there. None: reading ends before damage,
            such as an evaluation that was cut off.

    Raises:
        CheckpointError: something else is found.
    """
    whole = _whole(path, episodes)
    if whole is not None and (grid is None or whole[:, 0, 0].tolist() == list(grid)):
        return _as_arrays(whole)
    rows = []
    lines = _lines(path, grid is not None)
    for number, line in enumerate(lines, start=2):
        row = _row(line)
        if row is None and grid is not None:
            raise CheckpointError(f"{path}, line {number}: expected {len(EVALUATION_COLUMNS)} numbers, found {line}")
        if row is None:
            break
        rows.append(row)
    kept = len(rows) - len(rows) % episodes
    table = np.array(rows[:kept], dtype=np.float64).reshape(-1, episodes, len(EVALUATION_COLUMNS))
    if (table[:, :, 0] != table[:, :1, 0]).any():
        raise CheckpointError(f"{path}: expected evaluations of {episodes} episodes each")
    if grid is not None and (kept != len(rows) or table[:, 0, 0].tolist() != list(grid)):
        raise CheckpointError(
            f"{path} holds {len(rows)} episodes at {len(table)} steps, expected {episodes} at each of {len(grid)} steps"
        )
    return _as_arrays(table)


def _as_arrays(table: np.ndarray) -> Evaluations:
    """The columns of a table (n_evaluations, n_episodes, n_columns)."""
    return Evaluations(
        steps=table[:, 0, 0].astype(np.int64),
        returns=table[:, :, 3],
        lengths=table[:, :, 4].astype(np.int64),
        seeds=table[:, :, 2].astype(np.int64),
        terminated=table[:, :, 5] == 1,
        truncated=table[:, :, 6] == 1,
    )


def _whole(path: Path, episodes: int) -> np.ndarray | None:
    """A file without a flaw, as a table (n_evaluations, n_episodes, n_columns); None where a closer look is needed.

    All numbers are read at once, twice as fast as line by line: reports of sweeps read thousands of files.
    """
    try:
        header, _, body = path.read_bytes().partition(b"\n")
    except OSError:
        return None
    n_rows = body.count(b"\n")
    if header.decode(errors="replace") != ",".join(EVALUATION_COLUMNS) or not body.endswith(b"\n") or n_rows % episodes:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            cells = np.fromstring(body[:-1].replace(b"\n", b",").decode("ascii"), sep=",")
    except (ValueError, DeprecationWarning):  # something that is no number
        return None
    if cells.size != n_rows * len(EVALUATION_COLUMNS):
        return None
    table = cells.reshape(-1, episodes, len(EVALUATION_COLUMNS))
    in_step = (table[:, :, 0] == table[:, :1, 0]).all() and (table[:, :, 1] == np.arange(episodes)).all()
    ends = table[:, :, 5:]
    return table if in_step and ((ends == 0) | (ends == 1)).all() else None


WIDEST = 128
"""Bytes that a row takes at most."""


def last_evaluation(path: Path, episodes: int) -> tuple[int, float] | None:
    """The step and the mean return of the last whole evaluation, from the file's end alone; None without one.

    Raises CheckpointError if the end holds no evaluations.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 2 * episodes * WIDEST))
            lines = file.read().decode(errors="replace").split("\n")[1:-1]  # the first is cut, or the header
    except FileNotFoundError:
        return None
    rows = [_row(line.split(",")) for line in lines]
    while rows and (rows[-1] is None or rows[-1][1] != episodes - 1):  # cut off, or still being written
        rows.pop()
    if not rows:
        return None
    last = rows[-episodes:]
    if len(last) < episodes or any(row is None or row[0] != rows[-1][0] for row in last):  # type: ignore[index]
        raise CheckpointError(f"{path}: expected evaluations of {episodes} episodes each")
    return int(last[-1][0]), float(np.mean([row[3] for row in last if row is not None]))  # type: ignore[index]


def _lines(path: Path, whole: bool) -> list[list[str]]:
    """The cells of every line after the header. Where not all of the file is needed it may be missing or begun only."""
    header = ",".join(EVALUATION_COLUMNS)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if not whole:
            return []
        raise CheckpointError(f"{path} is missing, but the run is done: train it again") from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is no text; expected a run's evaluations") from error
    first, *lines = text.split("\n")
    if first != header and (whole or lines or not header.startswith(first)):
        raise CheckpointError(f"{path} holds no evaluations: expected the columns {header}")
    return list(csv.reader(lines[:-1] if lines and not lines[-1] else lines))


def _row(line: list[str]) -> tuple[float, ...] | None:
    """The numbers of one line, or None if it is not a whole one."""
    if len(line) != len(EVALUATION_COLUMNS) or line[-1] not in ("0", "1"):
        return None
    try:
        return tuple(float(cell) for cell in line)
    except ValueError:
        return None


def write_header(path: Path) -> None:
    """Begin an evaluations.csv."""
    path.write_text(",".join(EVALUATION_COLUMNS) + "\n", encoding="utf-8")


def append_evaluation(path: Path, step: int, results: EpisodeResults) -> None:
    """Add one evaluation, in one write. Numbers keep all their digits."""
    rows = zip(
        results.seeds.tolist(),
        results.returns.tolist(),
        results.lengths.tolist(),
        results.terminated.tolist(),
        results.truncated.tolist(),
        strict=True,
    )
    lines = [
        f"{step},{episode},{seed},{total!r},{length},{terminated:d},{truncated:d}\n"
        for episode, (seed, total, length, terminated, truncated) in enumerate(rows)
    ]
    with files.naming(path), path.open("a", encoding="utf-8") as file:
        file.write("".join(lines))
