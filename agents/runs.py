"""Run folders: finding them, reading them, removing them.

    runs/<key>/  config.json  provenance.json  log.txt  evaluations.csv  progress.csv  events.out.tfevents.*
                 snapshots/<step>/  policy/  DONE | FAILED

A folder without DONE never counts as finished.
"""

import json
import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import ValidationError

from agents.config import RunConfig
from agents.evaluations import Evaluations, read_evaluations
from agents.policy import Policy, load_policy
from envs.errors import CheckpointError, ConfigError, UnknownName
from envs.registry import did_you_mean
from envs.task import Task

State = Literal["done", "failed", "unfinished"]

LOOK = 0.05
"""Seconds after which a lock that is still held is a training's: whoever looks at it holds it for a moment."""


@dataclass(frozen=True)
class Run:
    """One training's folder, whatever its state."""

    path: Path

    @property
    def key(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def state(self) -> State:
        """`done` only if training ended and everything was written."""
        if (self.path / "DONE").exists():
            return "done"
        return "failed" if (self.path / "FAILED").exists() else "unfinished"

    @property
    def done(self) -> bool:
        """Whether its state is `done`."""
        return self.state == "done"

    @property
    def failure(self) -> str | None:
        """Why a failed run failed, in one line."""
        file = self.path / "FAILED"
        return file.read_text(encoding="utf-8").strip() if file.exists() else None

    def log_tail(self, lines: int) -> tuple[str, ...]:
        """The last lines of its log; none where there is no log."""
        try:
            text = (self.path / "log.txt").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ()
        return tuple([line for line in text.splitlines() if line.strip()][-lines:])

    @property
    def locked(self) -> bool:
        """Whether a process is training it now."""
        if not self.path.is_dir():
            return False
        try:
            with self.lock().acquire(timeout=LOOK, poll_interval=LOOK / 5):
                return False
        except Timeout:
            return True

    @property
    def config(self) -> RunConfig:
        """What decided it. Raises CheckpointError."""
        file = self.path / "config.json"
        try:
            return RunConfig.model_validate_json(file.read_bytes())
        except FileNotFoundError as error:
            raise CheckpointError(
                f"{self.path} is not a run: it has no config.json; see headstart runs list"
            ) from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise CheckpointError(
                f"{file} is not a run's config: {where}: {first['msg'].lower()}; remove the run with "
                f"headstart runs rm {self.key}"
            ) from error

    @property
    def provenance(self) -> dict[str, Any]:
        """Versions, machine and times; empty where nothing was written yet."""
        file = self.path / "provenance.json"
        if not file.exists():
            return {}
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise CheckpointError(f"{file} is not JSON: {error}; expected what training wrote") from error
        return document if isinstance(document, dict) else {}

    @property
    def size_bytes(self) -> int:
        """What the folder takes on disk; what is renamed or removed meanwhile is left out."""
        return size_of(self.path)

    def lock(self) -> FileLock:
        """Held by whoever trains it."""
        return FileLock(self.path / ".lock")

    def evaluations(self, config: RunConfig | None = None) -> Evaluations:
        """The evaluations so far. Of an unfinished run there may be none, and one that was cut off is left out.

        The config is read from the folder, unless it is known.

        Raises CheckpointError if a finished run's are damaged.
        """
        config = self.config if config is None else config
        grid = config.evaluation.grid(config.steps) if self.done else None
        return read_evaluations(self.path / "evaluations.csv", config.evaluation.episodes, grid)

    def snapshots(self) -> dict[int, Path]:
        """Step → policy folder of the policies kept on the way, the last one excepted."""
        folders = [folder for folder in (self.path / "snapshots").glob("*") if folder.name.isdecimal()]
        return {int(folder.name): folder for folder in sorted(folders, key=lambda folder: int(folder.name))}

    def policy(self, step: int | None = None) -> Policy:
        """The last policy, or the one kept at a step. Raises CheckpointError, naming the steps there are."""
        config = self.config
        encoder = config.hyperparameters.get("encoder")  # the run's own config may name a module; its policy may not
        if step is None or (step == config.steps and self.state == "done"):
            return load_policy(self.path, architecture={"encoder": encoder})
        kept = self.snapshots()
        if step not in kept:
            known = ", ".join(str(known) for known in kept) or "none"
            raise CheckpointError(
                f"run {self.key} kept no policy at step {step}; kept: {known}, and the last one without a step"
            )
        return load_policy(kept[step], architecture={"encoder": encoder})


def size_of(path: Path) -> int:
    """Bytes that a folder takes on disk; what is renamed or removed meanwhile is left out."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(FileNotFoundError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total


def runs_root(option: str | Path | None = None) -> Path:
    """Where runs live: the option, else $HEADSTART_RUNS, else ./runs."""
    return Path(option or os.environ.get("HEADSTART_RUNS") or "runs")


def list_runs(root: Path) -> list[Run]:
    """All run folders, by key."""
    return [Run(file.parent) for file in sorted(root.glob("*/config.json"))]


def find_run(ref: str | Path, root: Path) -> Run:
    """The run of a folder, a key or a key's beginning. Raises CheckpointError or UnknownName."""
    folder = Path(ref)
    if (folder / "config.json").is_file():
        return Run(folder)
    name = str(ref)
    keys = [run.key for run in list_runs(root)]
    matches = [key for key in keys if key.startswith(name)] if name else []
    if len(matches) == 1 or name in matches:
        return Run(root / (name if name in matches else matches[0]))
    if matches:
        shown = ", ".join(matches[:6]) + (", …" if len(matches) > 6 else "")
        raise UnknownName(f"run {name!r} is ambiguous: {len(matches)} keys begin so ({shown}); give more digits")
    if folder.is_dir():
        raise CheckpointError(f"{folder} is a folder but not a run: it has no config.json")
    if not keys:
        raise UnknownName(f"unknown run {name!r}: {root} holds no runs; headstart train makes one")
    raise did_you_mean("run", name, keys)


def find_finished(ref: str | Path, root: Path, where: str | None = None) -> Run:
    """The finished run of a folder, a key or a key's beginning, which must be among those of `root`.

    `where` it is asked for is said before what is wrong with it. Raises as `find_run` does, and CheckpointError for a
    run that is not finished or is somewhere else, or for a policy without its run.
    """
    said = "" if where is None else f"{where}: "
    if is_policy(ref):
        raise CheckpointError(f"{said}{ref} is a policy without its run; expected a run folder, a key or its beginning")
    run = find_run(ref, root)
    if not run.done:
        raise CheckpointError(f"{said}run {run.key} is {run.state}; expected a finished run: train it to its end first")
    if run.path.parent.resolve() != root.resolve():
        raise CheckpointError(
            f"{said}run {run.path} is not under {root}, where runs live: give --runs {run.path.parent}, or copy it"
        )
    return run


def remove(run: Run) -> int:
    """Delete a run's folder; the bytes freed. Raises ConfigError while it is being trained."""
    if not (run.path / "config.json").is_file():
        raise CheckpointError(f"{run.path} is not a run: it has no config.json; nothing was removed")
    try:
        with run.lock().acquire(timeout=LOOK, poll_interval=LOOK / 5):
            freed = run.size_bytes
            shutil.rmtree(run.path)
            return freed
    except Timeout as error:
        raise ConfigError(
            f"run {run.key} is being trained by another process: stop that one before removing it"
        ) from error


def prunable(root: Path) -> list[Run]:
    """The runs that failed or were left unfinished and that nobody is training."""
    return [run for run in list_runs(root) if run.state != "done" and not run.locked]


def prune(root: Path) -> list[Run]:
    """Delete all prunable runs; returns them."""
    pruned = prunable(root)
    for run in pruned:
        remove(run)
    return pruned


def is_policy(ref: str | Path) -> bool:
    """Whether a name is that of a policy folder or of a file such as a zip, and not of a run."""
    return Path(ref).is_file() or (Path(ref) / "policy.json").is_file()


def find_policy(ref: str | Path, root: Path, *, step: int | None = None, task: Task | None = None) -> Policy:
    """The policy of whatever names one: a run folder, a key or its beginning, a policy folder or a zip.

    Args:
        ref: the name.
        root: where runs live, and policies that are kept without theirs.
        step: of a run, the kept policy nearest to this step; by default the last.
        task: what a zip plays.
    """
    path = Path(ref)
    if not is_policy(path) and (root / path / "policy.json").is_file():
        path = root / path
    if is_policy(path):
        if step is not None:
            raise ConfigError(f"{path} holds one policy: a step can be asked of a run only")
        return load_policy(path, task=task)
    if path.suffix == ".zip":
        raise CheckpointError(f"{path}: there is no such file")
    run = find_run(ref, root)
    if step is None:
        return run.policy()
    kept = [*run.snapshots(), *([run.config.steps] if run.state == "done" else [])]
    return run.policy(min(kept, key=lambda other: abs(other - step)) if kept else step)
