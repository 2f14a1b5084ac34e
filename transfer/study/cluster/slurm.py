"""Runs trained by Slurm, through submitit: one job a run, in the folder of runs, which all of its machines share."""

import importlib
import math
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from envs.errors import ConfigError, MissingExtra
from transfer.study.cluster.ray import heard
from transfer.study.cluster.remote import train_shared
from transfer.study.plan import PlannedRun
from transfer.study.scheduling import Message

SLURM_SETTINGS = ("partition", "account", "qos", "time", "memory", "constraint")
"""``time`` is the minutes that a job may take, ``memory`` its gigabytes; the others are Slurm's own."""

MINUTES = 24 * 60
"""That a job may take, unless said."""

JOBS = 64
"""Jobs at once, unless said: they wait in Slurm's queue, not in ours."""

LOOK = 0.2
"""Seconds between two looks at the jobs; Slurm itself is asked far less often."""


def slurm_place(root: Path, name: str, settings: dict[str, str], workers: int | None) -> "SlurmPlace":
    """Slurm, or processes of this machine that stand in for it. Raises MissingExtra or ConfigError."""
    try:
        submitit = importlib.import_module("submitit")
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"--on {name} needs the package 'submitit': install it with pip install 'headstart[slurm]'"
        ) from error
    if name == "slurm" and shutil.which("sbatch") is None:
        raise ConfigError("--on slurm: there is no sbatch here; expected a machine that can submit to Slurm")
    minutes, gigabytes = _number(settings, "time"), _number(settings, "memory")
    executor = submitit.AutoExecutor(folder=root.resolve() / ".jobs", cluster=name)
    executor.update_parameters(timeout_min=minutes or MINUTES, name="headstart")
    own = {f"slurm_{key}": value for key, value in settings.items() if key not in ("time", "memory")}
    if own:
        executor.update_parameters(**own)
    return SlurmPlace(executor, root.resolve(), workers or JOBS, gigabytes)


def _number(settings: dict[str, str], name: str) -> int | None:
    """A whole number above 0. Raises ConfigError."""
    text = settings.get(name)
    if text is None:
        return None
    if not text.isdecimal() or int(text) == 0:
        raise ConfigError(f"--on slurm: {name}: found {text!r}, expected a whole number above 0")
    return int(text)


@dataclass
class _Job:
    """One run in Slurm's hands."""

    planned: PlannedRun
    job: Any
    step: int = -1
    score: float | None = None


@dataclass
class SlurmPlace:
    """Slurm: a `transfer.study.scheduling.Place`."""

    executor: Any
    root: Path
    workers: int
    gigabytes: int | None = None
    """Memory of each job; None: what is expected of its run."""
    attempts: int = 3
    """A machine may be lost, through no fault of the run."""
    running: dict[str, _Job] = field(default_factory=dict)

    def fits(self, size: int) -> bool:
        """Slurm itself starts a job where its memory fits."""
        return True

    def start(self, planned: PlannedRun, size: int) -> None:
        """Submit a job."""
        memory = self.gigabytes or math.ceil(1.5 * size / 2**30)
        self.executor.update_parameters(cpus_per_task=planned.config.threads, mem_gb=memory)
        document = planned.config.model_dump_json()
        job = self.executor.submit(train_shared, document, planned.key, str(self.root))
        self.running[planned.key] = _Job(planned, job)

    def listen(self, seconds: float) -> list[tuple[str, Message]]:
        """Wait for a job to end; meanwhile the pulses in the folders say how far the others are."""
        end = time.monotonic() + seconds
        while not (said := self._said()) and time.monotonic() < end:
            time.sleep(LOOK)
        return said

    def stop(self) -> None:
        """Cancel what is running or waits in the queue."""
        for job in self.running.values():
            with suppress(Exception):  # Slurm may be gone
                job.job.cancel()
        self.running.clear()

    def _said(self) -> list[tuple[str, Message]]:
        said: list[tuple[str, Message]] = []
        for key, job in list(self.running.items()):
            if job.job.done():
                del self.running[key]
                said.append((key, _ended(job.job)))
            else:
                said += [(key, message) for message in heard(self.root / key, job)]
        return said


def _ended(job: Any) -> Message:
    """The last message of a job; one that left no result has died."""
    try:
        return Message(*job.result())
    except Exception as error:  # submitit's own, or whatever the job raised
        line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        return Message("died", line=f"job {job.job_id} left no result: {line[:200]}")
