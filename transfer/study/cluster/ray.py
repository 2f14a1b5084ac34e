"""Runs trained by a Ray cluster: one task a run, in the folder that its machines share or sent home as archives.

Ray decides where a task runs, by its CPUs and its memory. What comes next, what is tried again and what is given up is
ours (`transfer.study.scheduling`), so that a study is the same wherever it runs: Ray's own retries are turned off.
"""

import importlib
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agents import files
from agents.pulse import read_pulse
from agents.runs import LOOK, Run
from envs.errors import ConfigError, MissingExtra
from transfer.study.cluster.remote import needed, packed, sees, train_alone, train_shared, unpack
from transfer.study.plan import PlannedRun
from transfer.study.pool import ENVIRONMENT
from transfer.study.scheduling import Message

RAY_SETTINGS = ("storage",)
"""``storage=shared`` or ``storage=archives``; by default what the machines of the cluster say themselves."""

PATIENCE = 5.0
"""Seconds that an address has to answer."""

PROBE = 120.0
"""Seconds that the cluster's machines have to say whether they see the folder of runs."""


def ray_place(root: Path, address: str, settings: dict[str, str], workers: int | None) -> "RayPlace":
    """Connect to a cluster: that of the address, of RAY_ADDRESS, or one on this machine alone.

    Raises MissingExtra without Ray, ConfigError where nobody answers.
    """
    storage = settings.get("storage", "auto")
    if storage not in ("auto", "shared", "archives"):
        raise ConfigError(f"--on ray: storage: found {storage!r}, expected shared or archives")
    try:
        ray = importlib.import_module("ray")
    except ModuleNotFoundError as error:
        raise MissingExtra("--on ray needs the package 'ray': install it with pip install 'headstart[ray]'") from error
    _connect(ray, address)
    root.mkdir(parents=True, exist_ok=True)
    shared = _shared(ray, root.resolve()) if storage == "auto" else storage == "shared"
    return RayPlace(ray, root.resolve(), shared, workers)


def _connect(ray: Any, address: str) -> None:
    """Be a driver of the cluster, unless this process is one already."""
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    given = address or os.environ.get("RAY_ADDRESS", "")
    if given:
        _answers(given.rpartition("://")[2], given)
    where = {"address": f"ray://{address}" if address else given} if given else {"include_dashboard": False}
    environment = {"env_vars": {**ENVIRONMENT, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}}
    try:
        ray.init(**where, log_to_driver=False, logging_level="error", runtime_env=environment)
    except Exception as error:  # of whatever kind: Ray has many
        told = " ".join(str(error).split())[:200]
        raise ConfigError(f"--on ray: {given or 'a cluster on this machine'} cannot be joined: {told}") from error


def _answers(address: str, given: str) -> None:
    """Raises ConfigError unless somebody listens there: Ray itself would wait for half a minute."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        return  # a word of Ray's own, such as `auto`
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    except OSError as error:
        raise ConfigError(
            f"--on ray: nobody answers at {given} ({error.strerror or error}); expected the address of a Ray cluster, "
            "as ray start --head says it"
        ) from error


def _shared(ray: Any, root: Path) -> bool:
    """Whether all machines of the cluster see the folder of runs: each is asked for a file that was just written."""
    marker = root / f".shared-{uuid.uuid4().hex}"
    marker.touch()
    try:
        on_node = importlib.import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
        probe = ray.remote(sees)
        nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
        asked = [
            probe.options(num_cpus=0, scheduling_strategy=on_node(node_id=node, soft=False)).remote(str(marker))
            for node in nodes
        ]
        return all(ray.get(asked, timeout=PROBE))
    except Exception as error:  # of whatever kind: Ray has many
        told = " ".join(str(error).split())[:200]
        raise ConfigError(f"--on ray: its machines cannot run Headstart: {told}") from error
    finally:
        marker.unlink(missing_ok=True)


@dataclass
class _Task:
    """One run that the cluster trains."""

    planned: PlannedRun
    reference: Any
    held: ExitStack
    """The lock of the run, where it is trained in another folder than ours."""
    step: int = -1
    score: float | None = None


@dataclass
class RayPlace:
    """A Ray cluster: a `transfer.study.scheduling.Place`."""

    ray: Any
    root: Path
    shared: bool
    """Whether its machines see the folder of runs."""
    most: int | None = None
    """Runs at once; None: as many as the cluster has CPUs, whatever joins it or is lost."""
    attempts: int = 3
    """A machine may be lost, through no fault of the run."""
    running: dict[str, _Task] = field(default_factory=dict)
    archives: dict[str, Any] = field(default_factory=dict)
    """Archives of source runs in the cluster's object store, by key."""

    @property
    def workers(self) -> int:
        """Runs at once."""
        return self.most or max(1, int(self.ray.cluster_resources().get("CPU", 1)))

    def fits(self, size: int) -> bool:
        """Ray itself starts a task where its memory fits."""
        return True

    def start(self, planned: PlannedRun, size: int) -> None:
        """Hand a run to the cluster."""
        held = ExitStack()
        document = planned.config.model_dump_json()
        if self.shared:
            arguments: tuple[Any, ...] = (document, planned.key, str(self.root))
        else:
            run_folder = self.root / planned.key
            run_folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(Run(run_folder).lock().acquire(timeout=LOOK, poll_interval=LOOK / 5))
            arguments = (document, planned.key, self._sources(planned))
        task = self.ray.remote(train_shared if self.shared else _train_alone)
        options = {"num_cpus": planned.config.threads, "memory": self._memory(size), "max_retries": 0}
        reference = task.options(**options, name=str(planned)).remote(*arguments)
        self.running[planned.key] = _Task(planned, reference, held)

    def listen(self, seconds: float) -> list[tuple[str, Message]]:
        """Wait for a run to end; meanwhile the pulses in shared folders say how far the others are."""
        references = [task.reference for task in self.running.values()]
        ended, _ = self.ray.wait(references, num_returns=1, timeout=seconds)
        said = []
        for key, task in list(self.running.items()):
            if task.reference in ended:
                del self.running[key]
                said.append((key, self._ended(task)))
            elif self.shared:
                said += [(key, message) for message in heard(self.root / key, task)]
        return said

    def stop(self) -> None:
        """End what is running, and leave the cluster."""
        for task in self.running.values():
            with suppress(Exception):  # the cluster may be gone
                self.ray.cancel(task.reference, force=True)
            task.held.close()
        self.running.clear()
        self.archives.clear()
        self.ray.shutdown()

    def _ended(self, task: _Task) -> Message:
        """The last message of a task; one that was lost with its machine has died."""
        with task.held:
            try:
                found = self.ray.get(task.reference)
            except self.ray.exceptions.RayTaskError as error:
                return Message("failed", line=_last_line(error))
            except self.ray.exceptions.RayError as error:
                return Message("died", line=f"its machine or process was lost: {_last_line(error, first=True)}")
            if self.shared:
                return Message(*found)
            message, content = found
            if content and not _unpacked(content, self.root / task.planned.key):
                return Message("failed", line=f"its archive cannot be written to {self.root / task.planned.key}")
            return Message(*message)

    def _sources(self, planned: PlannedRun) -> list[tuple[str, Any]]:
        for run in needed(planned.config, self.root):
            if run.key not in self.archives:
                self.archives[run.key] = self.ray.put(packed(run))
        return [(run.key, self.archives[run.key]) for run in needed(planned.config, self.root)]

    def _memory(self, size: int) -> int:
        """What is asked for: no more than the largest machine has, or Ray would wait for a larger one for ever."""
        most = max((node["Resources"].get("memory", 0) for node in self.ray.nodes() if node["Alive"]), default=0)
        return int(min(size, most))


def _train_alone(document: str, key: str, sources: list[tuple[str, Any]]) -> tuple[Message, bytes]:
    """`train_alone`, with the archives fetched from the object store."""
    ray = importlib.import_module("ray")
    return train_alone(document, key, [(source, ray.get(reference)) for source, reference in sources])


def heard(folder: Path, task: Any) -> Iterator[Message]:
    """What the pulse of a run says that it did not say before."""
    pulse = read_pulse(folder)
    if pulse is not None and (pulse.step, pulse.score) != (task.step, task.score):
        kind = "step" if pulse.score == task.score else "evaluated"
        task.step, task.score = pulse.step, pulse.score
        yield Message(kind, step=pulse.step, score=pulse.score, peak=pulse.peak)  # type: ignore[arg-type]


def _unpacked(content: bytes, folder: Path) -> bool:
    """Whether what came home could be written, in the place of what an earlier attempt left."""
    try:
        files.empty_folder(folder, keep={".lock"})
        unpack(content, Run(folder))
    except OSError:
        return False
    return True


def _last_line(error: Exception, *, first: bool = False) -> str:
    """One line of an error of Ray's, which has many."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return lines[0 if first else -1][:200]
