"""Studies on other machines: a real Ray cluster of several nodes on this one, and submitit's stand-in for Slurm."""

import importlib.util
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.algorithms import resolve
from agents.config import Evaluation, RunConfig
from agents.runs import Run, list_runs
from envs.errors import HeadstartError, UnknownName
from envs.task import Task
from tests.transfer.small import small_study
from transfer.carry import train_run
from transfer.study.cluster.remote import needed, packed, train_alone, train_shared, unpack
from transfer.study.execute import run_study
from transfer.study.places import place_of
from transfer.study.plan import Plan, plan
from transfer.study.scheduling import Event
from transfer.study.spec import load_study

ROOT = Path(__file__).parents[2]
STUDY = small_study("afar")

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs Ray: pip install 'headstart[ray]'"
)
needs_submitit = pytest.mark.skipif(
    importlib.util.find_spec("submitit") is None, reason="needs submitit: pip install 'headstart[slurm]'"
)
by_others = pytest.mark.filterwarnings("default")  # what Ray and submitit warn of is theirs


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study file in a folder of its own; processes started elsewhere find these sources."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    file = tmp_path / "afar.toml"
    file.write_text(STUDY)
    return file


def planned(file: Path, root: Path) -> Plan:
    return plan(load_study(file), root)


def assert_as_here(file: Path, root: Path, folder: Path) -> None:
    """All runs are there, and each has the evaluations that it has when it is trained here."""
    both = planned(file, root)
    assert not both.unfinished
    for arm in ("source", "finetune"):
        run = both.of(arm)[0]
        here = train_run(run.config, folder)
        np.testing.assert_array_equal(here.evaluations().returns, Run(root / run.key).evaluations().returns)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.parametrize(
    ("on", "words"),
    [
        ("rya", "unknown place 'rya': did you mean 'ray'?"),
        ("kubernetes", "unknown place 'kubernetes'"),
        ("ray://nowhere", "expected an address such as ray://HOST:10001"),
        ("ray://nowhere:port", "expected such as ray://HOST:PORT"),
        ("slurm://host:22", "expected slurm without an address"),
        ("slurm?partitoin=short", "unknown setting of slurm 'partitoin': did you mean 'partition'?"),
        ("here?time=1", "unknown setting of here 'time'"),
    ],
)
def test_a_place_that_makes_no_sense_is_one_line(tmp_path: Path, on: str, words: str) -> None:
    with pytest.raises(HeadstartError) as caught:
        place_of(on, tmp_path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@needs_submitit
@by_others
@pytest.mark.parametrize(
    ("on", "words"),
    [
        ("slurm", "there is no sbatch here"),
        ("local?time=soon", "time: found 'soon', expected a whole number above 0"),
    ],
)
def test_slurm_that_is_not_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on: str, words: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HeadstartError, match=words):
        place_of(on, tmp_path)


@pytest.mark.parametrize(("on", "extra"), [("ray", "ray"), ("slurm", "slurm")])
def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on: str, extra: str) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(HeadstartError, match=rf"pip install 'headstart\[{extra}\]'"):
        place_of(on, tmp_path)


@needs_ray
@by_others
def test_an_address_that_nobody_answers_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(HeadstartError, match=r"nobody answers at 127\.0\.0\.1"):
        place_of(f"ray://127.0.0.1:{free_port()}", tmp_path)
    with pytest.raises(HeadstartError, match="storage: found 'cloud', expected shared or archives"):
        place_of("ray?storage=cloud", tmp_path)
    assert issubclass(UnknownName, HeadstartError)


def test_a_run_sent_there_and_back_is_the_run_trained_here(study: Path, tmp_path: Path) -> None:
    """Without shared storage: the source goes as an archive, the run comes home as one, bit for bit."""
    both = planned(study, tmp_path / "runs")
    source, finetune = both.of("source")[0], both.of("finetune")[0]
    message, content = train_alone(source.config.model_dump_json(), source.key, [])
    assert message.kind == "done"
    unpack(content, both.run(source))
    assert both.run(source).done
    archives = [(run.key, packed(run)) for run in needed(finetune.config, both.root)]
    message, content = train_alone(finetune.config.model_dump_json(), finetune.key, archives)
    assert message.kind == "done", message.line
    unpack(content, both.run(finetune))
    for run in (source, finetune):
        here = train_run(run.config, tmp_path / "here")
        np.testing.assert_array_equal(here.evaluations().returns, both.run(run).evaluations().returns)
        weights = [
            (folder / "policy" / "policy.safetensors").read_bytes() for folder in (here.path, both.run(run).path)
        ]
        assert weights[0] == weights[1]


def test_opponents_that_are_runs_go_along(tmp_path: Path) -> None:
    def config(opponent: str, against: str = "random") -> RunConfig:
        task = Task(game="headstart/TicTacToe-v0", arguments={"opponent": opponent, "against": [against]})
        small = {"n_envs": 2, "n_steps": 16, "batch_size": 32, "n_epochs": 1, "net_arch": [8]}
        evaluation = Evaluation(every=32, episodes=2)
        return RunConfig(
            task=task, hyperparameters=resolve(task, "ppo", small), steps=32, seed=0, evaluation=evaluation
        )

    opponent = train_run(config("random"), tmp_path)
    assert needed(opponent.config, tmp_path) == []
    beside = config(f"run:{opponent.key}", f"run:{opponent.key}")
    archives = [(run.key, packed(run)) for run in needed(beside, tmp_path)]
    assert [key for key, _ in archives] == [opponent.key]
    message, content = train_alone(beside.model_dump_json(), beside.key(), archives)
    assert message.kind == "done", message.line
    unpack(content, Run(tmp_path / beside.key()))
    assert Run(tmp_path / beside.key()).done


def test_a_machine_with_other_versions_trains_nothing(study: Path, tmp_path: Path) -> None:
    source = planned(study, tmp_path / "runs").of("source")[0]
    message = train_shared(source.config.model_dump_json(), "0" * 16, str(tmp_path / "runs"))
    assert message.kind == "failed"
    assert "would train another run" in message.line
    assert list_runs(tmp_path / "runs") == []


@needs_submitit
@by_others
@pytest.mark.slow
def test_a_study_on_slurms_stand_in(study: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    root = tmp_path / "runs"
    run_study(study, root=root, results=tmp_path / "results", workers=2, on="local", on_event=events.append)
    assert len([event for event in events if event.kind == "done"]) == 6
    assert_as_here(study, root, tmp_path / "here")
    assert (tmp_path / "results" / "afar" / "report.html").exists()


@pytest.fixture
def cluster(study: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Ray cluster of three nodes with one CPU each on this machine: real processes, its own object stores."""
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
    found = Cluster(initialize_head=True, head_node_args=node | {"num_cpus": 0})
    for _ in range(2):
        found.add_node(**{name: value for name, value in node.items() if name != "include_dashboard"})
    found.wait_for_nodes()
    monkeypatch.setenv("RAY_ADDRESS", found.address)
    try:
        yield found
    finally:
        ray.shutdown()
        found.shutdown()


def trains(node: Any) -> bool:
    """Whether a worker process of a node of the cluster holds the lock of a run."""
    raylet = node.all_processes["raylet"][0].process.pid
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == raylet:
                opened = [os.readlink(file) for file in (stat.parent / "fd").iterdir()]
                if any(name.endswith("/.lock") for name in opened):
                    return True
    return False


@needs_ray
@by_others
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("storage", ["shared", "archives"])
def test_a_study_on_a_ray_cluster_of_which_a_node_is_killed(
    study: Path, tmp_path: Path, cluster: Any, storage: str
) -> None:
    """A node that trains is killed in mid-study: its run is trained on another, and all is as if trained here."""
    study.write_text(
        STUDY.replace("steps = 256", "steps = 20_000").replace("every = 128\nepisodes", "every = 10_000\nepisodes")
    )
    events: list[Event] = []
    killed = threading.Event()

    def kill() -> None:
        while not killed.is_set():
            time.sleep(0.05)
            for node in cluster.worker_nodes:
                if trains(node):
                    cluster.remove_node(node, False)
                    killed.set()
                    return

    def on_event(event: Event) -> None:
        events.append(event)
        if len([event for event in events if event.kind == "done"]) == 1 and event.kind == "done":
            threading.Thread(target=kill, daemon=True).start()

    root = tmp_path / "runs"
    on = "ray" if storage == "shared" else "ray?storage=archives"
    run_study(study, root=root, results=tmp_path / "results", workers=2, on=on, on_event=on_event)
    assert killed.is_set()
    assert len([event for event in events if event.kind == "done"]) == 6
    assert not [event for event in events if event.kind in ("failed", "skipped")]
    assert [event.line for event in events if event.kind == "retried"], "a run was lost with its node"
    assert_as_here(study, root, tmp_path / "here")
