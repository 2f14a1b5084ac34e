"""The checkpoints of one run: a folder of which the two newest are kept, and the newest whole one is gone on from.

    resume/  checkpoint-<number>.npz  replay-<name>-<row>.bin

A checkpoint notes how long the run's other files were, so that what was written later can be cut off.
"""

import os
import shutil
from pathlib import Path
from typing import Any

from agents.resuming import plain, replay
from agents.resuming.plain import Saved
from envs.errors import CheckpointError

FORMAT = 1
FOLDER = "resume"


class Store:
    """The checkpoints in a run's folder.

    Args:
        run: the run's folder.
    """

    def __init__(self, run: Path) -> None:
        self.run, self.folder = run, run / FOLDER
        self.number = 0
        self.damaged: list[str] = []
        """What was found damaged, a line each."""

    def newest(self) -> Saved | None:
        """The newest checkpoint that is whole, with all that it needs, or None. Later ones, damaged, are removed."""
        found = None
        for path in sorted(self.folder.glob("checkpoint-*.npz"), key=_number, reverse=True):
            if found is not None:
                break
            try:
                found = self._checked(path)
                self.number = _number(path)
            except CheckpointError as error:
                self.damaged.append(str(error))
                path.unlink()
        return found

    def _checked(self, path: Path) -> Saved:
        saved = Saved(path)
        found = saved.onto()
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise CheckpointError(f"{path} has another format, expected {FORMAT}")
        for name, size in found["files"].items():
            file = self.run / name
            if not file.exists() or file.stat().st_size < size:
                raise CheckpointError(f"{file} is shorter than when {path.name} was written")
        for name, noted in found["replays"].items():
            replay.check(self.folder, name, noted)
        return saved

    def write(self, document: dict[str, Any]) -> None:
        """Keep a checkpoint, and of the earlier ones the last. Raises OSError or plain.Unknown."""
        self.folder.mkdir(exist_ok=True)
        plain.save(self._path(self.number + 1), {"format": FORMAT, **document})
        self.number += 1
        for path in self.folder.glob("checkpoint-*.npz"):
            if _number(path) < self.number - 1:
                path.unlink()

    def _path(self, number: int) -> Path:
        return self.folder / f"checkpoint-{number}.npz"


def cut(run: Path, sizes: dict[str, int]) -> None:
    """Cut a run's files back to these sizes; events files that are not named go."""
    for path in run.glob("events.out.tfevents.*"):
        if path.name not in sizes:
            path.unlink()
    for name, size in sizes.items():
        os.truncate(run / name, size)


def kept(run: Path) -> bool:
    """Whether a run has checkpoints."""
    return any((run / FOLDER).glob("checkpoint-*.npz"))


def forget(run: Path) -> None:
    """Remove all checkpoints of a run."""
    shutil.rmtree(run / FOLDER, ignore_errors=True)


def _number(path: Path) -> int:
    digits = path.stem.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else 0
