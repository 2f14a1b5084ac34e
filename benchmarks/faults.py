"""What a study loses to faults: each is injected several times into a small study of real processes.

    .venv/bin/python benchmarks/faults.py [--times 5] [--only NAME …] [--seed 0]

A study of two sources and four runs on the target is trained in peace, its machine code compiled before. Then, for
each fault and each time, it is trained again in a folder of its own by `headstart study --workers 2`, with a
checkpoint every fifth of a second; the fault strikes at a random moment, and where the study ended of it the same
command is given once more. In the end all files of evaluations and all policies are compared with those trained in
peace, byte by byte.

Printed per fault: how often it was injected and how often it hit a run in training, how many runs were lost (not
finished, or other bytes), and how many that were finished before it were trained again. Exit code 1 if any was.

Linux only. The full disk (a small tmpfs) and the kernel's killer (a memory control group of 1 MiB) need root, the Ray
cluster the extra `ray`, Slurm's stand-in the extra `slurm`; a fault that cannot be injected here says so.
"""

import argparse
import importlib
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from agents.runs import list_runs

ROOT = Path(__file__).parents[1]
SETTINGS = "set = { n_envs = 2, n_steps = 32, batch_size = 64, n_epochs = 4 }"
STUDY = f"""
name = "faults"
seeds = 2
[source]
game = "headstart/CartPole-v1"
steps = 12_288
evaluation = {{ every = 1024, episodes = 5 }}
{SETTINGS}
[target]
game = "headstart/CartPoleLong-v1"
steps = 12_288
{SETTINGS}
[evaluation]
every = 1024
episodes = 5
[arms.scratch]
[arms.finetune]
by = ["finetune"]
"""
RUNS = 6
LONGEST = 900.0
"""Seconds that a study may take."""

JUMPING = """
import random, time
_now, _draw = time.time, random.Random()
time.time = lambda: _now() + _draw.uniform(-1, 1) * 86_400
"""
"""A wall clock that jumps by up to a day, forwards and backwards, at every look."""


class CannotError(Exception):
    """This fault cannot be injected on this machine; why."""


@dataclass
class Trial:
    """One study to which a fault happens."""

    folder: Path
    random: np.random.Generator
    hits: int = 0
    """Runs that were in training when it struck."""
    before: dict[str, int] = field(default_factory=dict)
    """When the runs that were finished before it were finished, by key."""
    seconds: float = 0.0
    """What the fault itself took, where that is of interest."""

    @property
    def runs(self) -> Path:
        """The folder of runs."""
        return self.folder / "runs"

    @contextmanager
    def study(self, *options: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
        """`headstart study` in a session of its own; nothing of it is left when the block ends."""
        command = [sys.executable, "-m", "transfer", "study", str(self.folder / "faults.toml"), "--workers", "2"]
        command += ["--runs", str(self.runs), "--results", str(self.folder / "results"), *options]
        process = subprocess.Popen(
            command,
            env=os.environ | surroundings() | environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            cwd=self.folder,
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def to_the_end(self, *options: str, **environment: str) -> None:
        """Train what is missing. Raises RuntimeError with the last lines if that fails."""
        with self.study(*options, **environment) as process:
            _, errors = process.communicate(timeout=LONGEST)
            if process.returncode:
                raise RuntimeError(f"exit code {process.returncode}: {' / '.join(errors.splitlines()[-3:])}")

    def strike(self, process: "subprocess.Popen[str]", below: Path | None = None) -> list[int]:
        """Wait for a random moment in which something trains; the processes that do, in random order.

        What is finished by then is remembered. Fewer if the study ended before.
        """
        until = time.monotonic() + self.random.uniform(2.0, 12.0)
        found: list[int] = []
        while process.poll() is None and (time.monotonic() < until or not found):
            time.sleep(0.02)
            found = training(below or self.runs)
        self.before = finished(self.runs)
        self.hits += len(found)
        return [int(pid) for pid in self.random.permutation(found)]

    def again(self) -> int:
        """Runs that were finished before the fault and were trained again."""
        now = finished(self.runs)
        return sum(now.get(key) != at for key, at in self.before.items())


def surroundings() -> dict[str, str]:
    """What studies find in their environment."""
    path = os.pathsep.join(part for part in (str(ROOT), os.environ.get("PYTHONPATH", "")) if part)
    return {"PYTHONPATH": path, "HEADSTART_CHECKPOINT_SECONDS": "0.2", "RAY_USAGE_STATS_ENABLED": "0"}


def finished(root: Path) -> dict[str, int]:
    """When each finished run was finished, by key."""
    return {run.key: (run.path / "DONE").stat().st_mtime_ns for run in list_runs(root) if run.done}


def training(root: Path) -> list[int]:
    """Processes that hold the lock of a run's folder below `root`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with suppress(OSError):
            opened = {os.readlink(file) for file in folder.iterdir()}
            if any(name.startswith(f"{root}") and name.endswith("/.lock") for name in opened):
                found.append(int(folder.parent.name))
    return [pid for pid in found if pid != os.getpid()]


def killed_worker(trial: Trial) -> None:
    """A worker is killed; the study tries its run again."""
    with trial.study() as process:
        for pid in trial.strike(process)[:1]:
            os.kill(pid, signal.SIGKILL)
        _finish(process)
    trial.to_the_end()


def out_of_memory(trial: Trial) -> None:
    """A worker may take no more memory, and the kernel kills it."""
    group = Path("/sys/fs/cgroup/memory") if Path("/sys/fs/cgroup/memory").is_dir() else Path("/sys/fs/cgroup")
    group /= f"headstart-{os.getpid()}-{trial.folder.name}"
    limit = "memory.limit_in_bytes" if group.parent.name == "memory" else "memory.max"
    try:
        group.mkdir()
    except OSError as error:
        raise CannotError(f"no memory control group can be made: {error.strerror}") from error
    try:
        (group / limit).write_text(str(2**20))
        with trial.study() as process:
            for pid in trial.strike(process)[:1]:
                with suppress(ProcessLookupError):
                    (group / "cgroup.procs").write_text(str(pid))
            _finish(process)
        trial.to_the_end()
    finally:
        group.rmdir()


def killed_study(trial: Trial) -> None:
    """All its processes are killed at once, as by a power cut; the same command is given again."""
    with trial.study() as process:
        trial.strike(process)
    trial.to_the_end()


def interrupted(trial: Trial) -> None:
    """Ctrl-C; the same command is given again."""
    with trial.study() as process:
        trial.strike(process)
        begin = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        _finish(process, expected=(130, 0))
        trial.seconds = time.monotonic() - begin
    trial.to_the_end()


def two_studies(trial: Trial) -> None:
    """Another process runs the same study on the same folder from a random moment on."""
    with trial.study() as first:
        trial.strike(first)
        with trial.study() as second:
            _finish(second)
        _finish(first)


def full_disk(trial: Trial) -> None:
    """The disk has room for a random part of the study; with room again the same command is given again."""
    trial.runs.mkdir()
    held = trial.random.uniform(0.1, 0.8) * SIZE[0]
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={held:.0f}", "tmpfs", str(trial.runs)], check=False
    ).returncode:
        raise CannotError("no tmpfs can be mounted: needs root")
    try:
        with trial.study() as process:
            _finish(process, expected=(0, 1, 2))
            trial.hits += process.returncode != 0
        trial.before = finished(trial.runs)
        subprocess.run(["mount", "-o", "remount,size=1g", str(trial.runs)], check=True)
        trial.to_the_end()
        copy = trial.folder / "copy"
        subprocess.run(["cp", "-a", str(trial.runs), str(copy)], check=True)
    finally:
        subprocess.run(["umount", str(trial.runs)], check=True)
    trial.runs.rmdir()
    copy.rename(trial.runs)


def truncated(trial: Trial) -> None:
    """All processes are killed, and every file that an unfinished run was writing is cut at a random place."""
    with trial.study() as process:
        trial.strike(process)
    for run in list_runs(trial.runs):
        for file in sorted(run.path.rglob("*")) if not run.done else []:
            if file.is_file() and file.name not in ("config.json", ".lock") and file.stat().st_size:
                os.truncate(file, int(trial.random.integers(file.stat().st_size)))
    trial.to_the_end()


def cut_checkpoints(trial: Trial) -> None:
    """All processes are killed, and the newest checkpoint of every unfinished run is cut at a random place."""
    with trial.study() as process:
        trial.strike(process)
    for run in list_runs(trial.runs):
        kept = sorted((run.path / "resume").glob("checkpoint-*.npz"), key=lambda file: file.stat().st_mtime_ns)
        for file in kept[-1:]:
            os.truncate(file, int(trial.random.integers(file.stat().st_size)))
    trial.to_the_end()


def jumping_clock(trial: Trial) -> None:
    """The wall clock of every process jumps by up to a day at every look; in the midst all are killed, too."""
    own = trial.folder / "clock"
    own.mkdir()
    (own / "sitecustomize.py").write_text(JUMPING)
    there = {"PYTHONPATH": f"{own}{os.pathsep}{surroundings()['PYTHONPATH']}"}
    with trial.study(**there) as process:
        trial.strike(process)
    trial.to_the_end(**there)


def cold(trial: Trial) -> None:
    """No machine code is there yet: the first processes compile it and are killed, and the next ones find it."""
    own = trial.folder / "code"
    own.mkdir()
    with trial.study(NUMBA_CACHE_DIR=str(own)) as process:
        trial.strike(process)
    trial.to_the_end(NUMBA_CACHE_DIR=str(own))


def slurm_job(trial: Trial) -> None:
    """A job of submitit's local executor, which stands in for Slurm, is killed."""
    if importlib.util.find_spec("submitit") is None:
        raise CannotError("needs submitit: pip install 'headstart[slurm]'")
    with trial.study("--on", "local") as process:
        for pid in trial.strike(process)[:1]:
            os.kill(pid, signal.SIGKILL)
        _finish(process)


def ray_node(storage: str) -> Callable[[Trial], None]:
    """A node of a Ray cluster of three is killed while it trains, with shared storage or with archives sent home."""

    def injected(trial: Trial) -> None:
        if importlib.util.find_spec("ray") is None:
            raise CannotError("needs Ray: pip install 'headstart[ray]'")
        os.environ.update(surroundings())
        node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
        cluster: Any = importlib.import_module("ray.cluster_utils").Cluster(
            initialize_head=True, head_node_args={**node, "num_cpus": 0, "include_dashboard": False}
        )
        try:
            nodes = [cluster.add_node(**node) for _ in range(2)]
            cluster.wait_for_nodes()
            scratch = trial.folder / "tmp"
            scratch.mkdir()
            below = trial.runs if storage == "shared" else Path(tempfile.gettempdir()) / "headstart-"
            with trial.study("--on", f"ray?storage={storage}", RAY_ADDRESS=cluster.address) as process:
                for pid in trial.strike(process, below)[:1]:
                    lost = [each for each in nodes if _parent(pid) == _raylet(each)]
                    for each in lost:
                        cluster.remove_node(each, allow_graceful=False)
                    trial.hits = len(lost)
                _finish(process)
        finally:
            cluster.shutdown()

    injected.__doc__ = ray_node.__doc__
    return injected


def _parent(pid: int) -> int:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _raylet(node: object) -> int:
    processes = node.all_processes["raylet"]  # type: ignore[attr-defined]
    return int(processes[0].process.pid)


def _finish(process: "subprocess.Popen[str]", expected: tuple[int, ...] = (0,)) -> None:
    """Wait for a study to end. Raises RuntimeError with its last lines for another exit code."""
    _, errors = process.communicate(timeout=LONGEST)
    if process.returncode not in expected:
        raise RuntimeError(f"exit code {process.returncode}: {' / '.join(errors.splitlines()[-3:])}")


FAULTS: Mapping[str, tuple[str, Callable[[Trial], None]]] = {
    "worker": ("a worker killed with SIGKILL", killed_worker),
    "memory": ("a worker killed by the kernel for memory", out_of_memory),
    "study": ("all processes killed at once", killed_study),
    "interrupt": ("Ctrl-C", interrupted),
    "two": ("a second study on the same folder", two_studies),
    "disk": ("a disk that is full in mid-study", full_disk),
    "files": ("all killed, every file of unfinished runs cut short", truncated),
    "checkpoint": ("all killed, newest checkpoints cut short", cut_checkpoints),
    "clock": ("a clock that jumps by a day at every look, all killed", jumping_clock),
    "cold": ("all killed while machine code is compiled, or soon after", cold),
    "slurm": ("a job of submitit's local executor killed", slurm_job),
    "ray": ("a node of a Ray cluster killed, shared folder", ray_node("shared")),
    "ray-archives": ("a node of a Ray cluster killed, archives sent home", ray_node("archives")),
}
SIZE = [0]
"""Bytes that the study in peace takes."""


def content(root: Path) -> dict[str, tuple[bytes, bytes]]:
    """Evaluations and policy of each finished run, by key."""
    names = ("evaluations.csv", "policy/policy.safetensors")
    return {run.key: tuple((run.path / name).read_bytes() for name in names) for run in list_runs(root) if run.done}  # type: ignore[misc]


def missing(trial: Trial, expected: Mapping[str, tuple[bytes, bytes]]) -> int:
    """How many runs are not as they were in peace; which ones, and where they lie, goes to standard error."""
    found, lost = content(trial.runs), 0
    for key, files in expected.items():
        if found.get(key) != files:
            lost += 1
            print(
                f"{trial.folder.name}: {key} is {'other' if key in found else 'missing'}", file=sys.stderr, flush=True
            )
    for key in found.keys() - expected.keys():
        print(f"{trial.folder.name}: {key} was not expected", file=sys.stderr, flush=True)
    return lost


def trial_in(folder: Path, seed: list[int]) -> Trial:
    """A folder with the study file."""
    folder.mkdir(parents=True)
    (folder / "faults.toml").write_text(STUDY)
    return Trial(folder, np.random.default_rng(seed))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        for name in ("before", "peace"):  # the first one compiles what is not compiled yet
            peace = trial_in(Path(temporary) / name, [options.seed])
            peace.to_the_end()
        expected = content(peace.runs)
        SIZE[0] = sum(run.size_bytes for run in list_runs(peace.runs))
        if len(expected) != RUNS:
            raise SystemExit(f"in peace {len(expected)} runs were finished, expected {RUNS}")
        print(
            "| fault | times | runs hit | runs lost | finished runs trained again |\n|---|---|---|---|---|", flush=True
        )
        for number, name in enumerate(options.only):
            words, inject = FAULTS[name]
            trials = []
            try:
                for time_ in range(options.times):
                    trials.append(trial_in(Path(temporary) / f"{name}-{time_}", [options.seed, number, time_]))
                    inject(trials[-1])
            except CannotError as why:
                print(f"| {words} | 0: {why} | | | |", flush=True)
                continue
            lost = sum(missing(trial, expected) for trial in trials)
            again = sum(trial.again() for trial in trials)
            slowest = max(trial.seconds for trial in trials)
            told = f" (ended within {slowest:.1f} s)" if slowest else ""
            hits = sum(trial.hits for trial in trials)
            print(f"| {words}{told} | {len(trials)} | {hits} | {lost} | {again} |", flush=True)
            bad += lost + again
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
