"""A replay buffer as bytes in append-only files: a checkpoint writes the steps taken since the one before.

A row is one step of all environments, its arrays' bytes one after the other. Rows are counted from the run's first;
`replay-<name>-<first row>.bin` is begun anew once it holds as many rows as the buffer, and goes once nobody needs it.
"""

import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer

from agents import files
from envs.errors import CheckpointError

KNOWN = (ReplayBuffer, DictReplayBuffer)
"""Buffers that are arrays and two numbers."""


class ReplayFiles:
    """The files of one buffer.

    Args:
        folder: of the checkpoints.
        name: of the buffer, a word.
        buffer: Stable-Baselines3's.
    """

    def __init__(self, folder: Path, name: str, buffer: Any) -> None:
        self.folder, self.name, self.buffer = folder, name, buffer
        self.rows, self._pos, self._clock = 0, 0, 0
        self._checks: dict[int, tuple[int, int]] = {}  # first row of a file → its rows and their checksum
        self._begun = False

    def write(self, clock: int) -> dict[str, Any]:
        """Append what is new; what a checkpoint has to note of it.

        Args:
            clock: transitions taken so far, of all environments together or more: if as many as the buffer holds were
                taken since the last time, all of it is new.

        Raises OSError, such as for a full disk; the checkpoints before stay valid.
        """
        buffer, size = self.buffer, self.buffer.buffer_size
        if not self._begun:
            new = size if buffer.full else buffer.pos
            rows = size + buffer.pos if buffer.full else buffer.pos
        elif (clock - self._clock) // buffer.n_envs >= size:
            new = size
            rows = self.rows + size + (buffer.pos - self.rows - size) % size
        else:
            new = (buffer.pos - self._pos) % size
            rows = self.rows + new
        if new:
            self._append(rows - new, new)
        self.rows, self._pos, self._clock, self._begun = rows, buffer.pos, clock, True
        following = _arrays(buffer)[: _observed(buffer)] if buffer.optimize_memory_usage else []
        return {
            "rows": rows,
            "width": self._width(),
            "full": bool(buffer.full),
            "files": [[first, *held] for first, held in sorted(self._checks.items()) if first + held[0] > rows - size],
            "following": [array[buffer.pos] for array in following],
        }

    def _append(self, first: int, count: int) -> None:
        last = max(self._checks, default=None)
        begin = last is None or sum((last, self._checks[last][0])) != first
        if begin or self._checks[last][0] >= self.buffer.buffer_size:  # type: ignore[index]
            last = first
            self._checks[last] = (0, 0)
        rows, checksum = self._checks[last]  # type: ignore[index]
        path, width = self._path(last), self._width()  # type: ignore[arg-type]
        content = self._bytes(first, count)
        with files.naming(path), path.open("r+b" if path.exists() else "w+b") as file:
            file.seek(rows * width)  # past whatever a full disk left
            file.write(content)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())
        self._checks[last] = (rows + count, zlib.crc32(content, checksum))  # type: ignore[index]

    def forget(self, needed: int) -> None:
        """Delete the files whose rows all come before `needed`."""
        for first in [first for first, (rows, _) in self._checks.items() if first + rows <= needed]:
            if len(self._checks) > 1:
                del self._checks[first]
                self._path(first).unlink(missing_ok=True)

    def read(self, noted: dict[str, Any], clock: int) -> None:
        """Fill the buffer with what was noted, and go on from there; what was written later is cut off."""
        buffer, size, total = self.buffer, self.buffer.buffer_size, noted["rows"]
        kept = {self._path(first).name for first, _, _ in noted["files"]}
        for path in self.folder.glob(f"replay-{self.name}-*.bin"):
            if path.name not in kept:
                path.unlink()
        for first, rows, checksum in noted["files"]:
            path = self._path(first)
            os.truncate(path, rows * self._width())
            self._checks[first] = (rows, checksum)
            start = max(first, total - size)
            if first + rows > start:
                with path.open("rb") as file:
                    file.seek((start - first) * self._width())
                    held = np.frombuffer(file.read(), np.uint8).reshape(-1, self._width())
                self._fill(np.arange(start, first + rows) % size, held)
        buffer.pos, buffer.full = total % size, noted["full"]
        for array, following in zip(_arrays(buffer), noted["following"], strict=False):
            array[buffer.pos] = following
        self.rows, self._pos, self._clock, self._begun = total, buffer.pos, clock, True

    def _path(self, first: int) -> Path:
        return self.folder / f"replay-{self.name}-{first}.bin"

    def _width(self) -> int:
        return sum(array[0].nbytes for array in _arrays(self.buffer))

    def _bytes(self, first: int, count: int) -> bytes:
        places = np.arange(first, first + count) % self.buffer.buffer_size
        parts = [
            np.ascontiguousarray(array[places]).reshape(count, -1).view(np.uint8) for array in _arrays(self.buffer)
        ]
        return np.concatenate(parts, axis=1).tobytes()

    def _fill(self, places: np.ndarray, held: np.ndarray) -> None:
        at = 0
        for array in _arrays(self.buffer):
            width = array[0].nbytes
            part = np.ascontiguousarray(held[:, at : at + width]).view(array.dtype)
            array[places] = part.reshape(len(places), *array.shape[1:])
            at += width


def check(folder: Path, name: str, noted: dict[str, Any]) -> None:
    """Raises CheckpointError if the files of a buffer do not hold what a checkpoint noted."""
    for first, rows, checksum in noted["files"]:
        path = folder / f"replay-{name}-{first}.bin"
        try:
            with path.open("rb") as file:
                content = file.read(rows * noted["width"])
        except OSError as error:
            raise CheckpointError(f"{path}: {error.strerror}") from error
        if len(content) != rows * noted["width"] or zlib.crc32(content) != checksum:
            raise CheckpointError(f"{path} is damaged")


def _arrays(buffer: Any) -> list[np.ndarray]:
    """The arrays of a buffer, observations first, each with a leading axis of buffer_size."""
    held = [buffer.observations] if buffer.optimize_memory_usage else [buffer.observations, buffer.next_observations]
    found = [array for one in held for array in (one.values() if isinstance(one, dict) else [one])]
    return [*found, buffer.actions, buffer.rewards, buffer.dones, buffer.timeouts]


def _observed(buffer: Any) -> int:
    """How many of these arrays are observations of now."""
    return len(buffer.observations) if isinstance(buffer.observations, dict) else 1
