"""Running studies for real, small ones: what is trained once stays, what fails stays alone, what is killed is gone."""

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from agents.runs import Run, list_runs
from envs.errors import HeadstartError
from tests.transfer.small import small_study
from transfer.study.execute import run_study
from transfer.study.plan import plan
from transfer.study.pool import ended_how
from transfer.study.scheduling import Event
from transfer.study.spec import load_study
from transfer.study.standing import study_status
from transfer.study.store import collect, undisturbed

ROOT = Path(__file__).parents[2]
STUDY = small_study("small")

GAME = '''
import multiprocessing, os, signal
from pathlib import Path

import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv


class Fragile(CartPoleEnv):
    """A CartPole that breaks, or kills its process a number of times, in the middle of training."""

    metadata = CartPoleEnv.metadata | {
        "headstart": {
            "features": ["position", "velocity", "angle", "angular_velocity"], "actions": ["left", "right"]
        }
    }

    def __init__(self, folder=".", deaths=0, **kwargs):
        super().__init__(**kwargs)
        self.folder, self.deaths, self.taken = Path(folder), deaths, 0

    def step(self, action):
        self.taken += 1
        if self.taken == 30 and multiprocessing.parent_process() is not None:
            if not self.deaths:
                raise RuntimeError("the pole broke")
            died = len(list(self.folder.glob("death-*")))
            if died < self.deaths:
                (self.folder / f"death-{died}").touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().step(action)


gymnasium.register("Fragile-v0", entry_point="fragile:Fragile", max_episode_steps=50)
'''


class Recorder:
    """Remembers what happened."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.events.append(event)

    def of(self, *kinds: str) -> list[tuple[str, str]]:
        return [(event.kind, str(event.run)) for event in self.events if event.kind in kinds]


def write_study(folder: Path, text: str = STUDY) -> Path:
    file = folder / "small.toml"
    file.write_text(text)
    return file


def finish_times(root: Path) -> dict[str, int]:
    """When each finished run was finished, by key."""
    return {run.key: (run.path / "DONE").stat().st_mtime_ns for run in list_runs(root) if run.state == "done"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recorder]:
    """A folder in which the small study was run once, with whatever happened."""
    folder = tmp_path_factory.mktemp("finished")
    recorder = Recorder()
    results = run_study(
        write_study(folder), root=folder / "runs", results=folder / "results", workers=2, on_event=recorder
    )
    assert results == folder / "results" / "small"
    return folder, recorder


@pytest.fixture
def fragile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a plug-in game that breaks, found by `fragile:Fragile-v0`."""
    (tmp_path / "fragile.py").write_text(GAME)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def fragile_study(folder: Path, deaths: int) -> Path:
    game = f'game = "fragile:Fragile-v0"\narguments = {{ folder = "{folder}", deaths = {deaths} }}'
    return write_study(folder, STUDY.replace('game = "headstart/CartPole-v1"', game))


def test_a_study_runs_from_nothing_to_its_report(finished: tuple[Path, Recorder]) -> None:
    folder, recorder = finished
    assert len(recorder.of("done")) == 6
    assert recorder.of("failed", "skipped", "retried") == []
    order = [run for _, run in recorder.of("started", "done")]
    for seed in (0, 1):
        assert order.index(f"source seed {seed}") < order.index(f"finetune seed {seed}")
        source_done = recorder.of("started", "done").index(("done", f"source seed {seed}"))
        assert source_done < recorder.of("started", "done").index(("started", f"finetune seed {seed}"))
    evaluated = [e for e in recorder.events if e.kind == "evaluated" and str(e.run) == "scratch seed 0"]
    assert [event.step for event in evaluated] == [0, 128, 256]
    results = folder / "results" / "small"
    assert (results / "study.toml").read_text() == STUDY
    assert (results / "report.html").stat().st_size > 1000
    assert set(json.loads((results / "results.json").read_text())["arms"]) == {"scratch", "finetune"}


def test_what_is_collected_is_what_the_runs_hold(finished: tuple[Path, Recorder]) -> None:
    folder, _ = finished
    study = load_study(folder / "small.toml")
    data = collect(study, folder / "runs")
    assert data.steps.tolist() == [0, 128, 256]
    assert list(data.arms) == ["scratch", "finetune"]
    for arm in data.arms.values():
        assert arm.scores.shape == (2, 3)
        assert arm.seeds == (0, 1)
        assert arm.failed == ()
        for key, row in zip(arm.run_keys, arm.scores, strict=True):
            np.testing.assert_array_equal(row, Run(folder / "runs" / key).evaluations().returns.mean(axis=1))
    assert data.source_scores is not None
    assert data.source_scores.shape == (2,)
    assert data.source_steps == 128
    assert data.evaluation["mode"] == "sampled"
    assert set(data.provenance["runs"]) == set(plan(study, folder / "runs").distinct)


@pytest.mark.parametrize("collecting", [True, False])
def test_the_collector_of_garbage_is_as_it_was_after_an_error(tmp_path: Path, collecting: bool) -> None:
    """A study of which nothing is finished cannot be collected; whoever asked goes on with the collector as it was."""
    study = load_study(write_study(tmp_path))
    was = gc.isenabled()
    try:
        (gc.enable if collecting else gc.disable)()
        with pytest.raises(HeadstartError, match="no finished run on its target yet"):
            collect(study, tmp_path / "runs")
        assert gc.isenabled() is collecting
        with undisturbed():
            assert not gc.isenabled()
        assert gc.isenabled() is collecting
    finally:
        (gc.enable if was else gc.disable)()


def test_running_it_again_trains_nothing(finished: tuple[Path, Recorder]) -> None:
    folder, _ = finished
    before, recorder = finish_times(folder / "runs"), Recorder()
    run_study(folder / "small.toml", root=folder / "runs", results=folder / "again", on_event=recorder)
    assert recorder.events == []
    assert finish_times(folder / "runs") == before
    assert (folder / "again" / "small" / "report.html").exists()


def test_its_status_is_read_from_the_folders(finished: tuple[Path, Recorder]) -> None:
    folder, _ = finished
    study = load_study(folder / "small.toml")
    assert {run.phase for run in study_status(study, folder / "runs")} == {"done"}
    assert {run.phase for run in study_status(study, folder / "nowhere")} == {"waiting"}
    assert not (folder / "nowhere").exists()


def test_a_run_that_another_process_trains_is_waited_for(finished: tuple[Path, Recorder], tmp_path: Path) -> None:
    """One run is held by somebody else, who finishes it while the study waits."""
    folder, _ = finished
    root = tmp_path / "runs"
    shutil.copytree(folder / "runs", root)
    study = load_study(folder / "small.toml")
    held = plan(study, root).of("scratch")[0]
    (root / held.key / "DONE").unlink()
    recorder = Recorder()
    with Run(root / held.key).lock():
        assert [run.phase for run in study_status(study, root) if run.key == held.key] == ["running"]
        waiting = threading.Thread(
            target=run_study,
            args=(folder / "small.toml",),
            kwargs={"root": root, "results": tmp_path / "results", "on_event": recorder},
        )
        waiting.start()
        _wait_for(lambda: recorder.of("held") != [])
        time.sleep(1.0)
        assert waiting.is_alive()
        assert recorder.of("done") == []
        (root / held.key / "DONE").touch()
    waiting.join(20)
    assert recorder.of("done") == [("done", str(held))]
    assert recorder.of("started", "evaluated") == [], "it was read, not trained again"


def test_a_game_that_raises_fails_its_own_runs_only(fragile: Path) -> None:
    recorder = Recorder()
    with pytest.raises(HeadstartError) as caught:
        run_study(
            fragile_study(fragile, deaths=0),
            root=fragile / "runs",
            results=fragile / "results",
            workers=1,
            on_event=recorder,
        )
    text = str(caught.value)
    assert "4 of 6 runs failed" in text
    assert "source seed 0" in text
    assert "the pole broke" in text
    assert "\n" not in text
    assert sorted(recorder.of("failed")) == [("failed", "source seed 0"), ("failed", "source seed 1")]
    assert sorted(recorder.of("retried")) == [("retried", "source seed 0"), ("retried", "source seed 1")]
    (told, _) = [event for event in recorder.events if event.kind == "failed"]
    assert any("the pole broke" in line for line in told.log), "the last lines of its log"
    assert sorted(recorder.of("skipped")) == [("skipped", "finetune seed 0"), ("skipped", "finetune seed 1")]
    assert sorted(recorder.of("done")) == [("done", "scratch seed 0"), ("done", "scratch seed 1")]
    phases = {(run.arm, run.phase) for run in study_status(load_study(fragile / "small.toml"), fragile / "runs")}
    assert phases == {("source", "failed"), ("scratch", "done"), ("finetune", "waiting")}


@pytest.mark.parametrize("deaths", [1, 2])
def test_a_worker_that_is_killed_is_tried_once_more(fragile: Path, deaths: int) -> None:
    """One source dies `deaths` times: after the first it is tried again, after the second it is given up."""
    file, recorder = fragile_study(fragile, deaths), Recorder()
    where = {"root": fragile / "runs", "results": fragile / "results"}
    if deaths == 1:
        run_study(file, **where, workers=1, on_event=recorder)
        assert len(recorder.of("done")) == 6
    else:
        with pytest.raises(
            HeadstartError, match=r"2 of 6 runs failed: source seed \d \(its process was ended by SIGKILL"
        ):
            run_study(file, **where, workers=1, on_event=recorder)
        assert len(recorder.of("done")) == 4
        assert len(recorder.of("skipped")) == 1
        arm = collect(load_study(file), fragile / "runs").arms["finetune"]
        assert len(arm.seeds) == len(arm.failed) == 1
        assert (fragile / "results" / "small" / "report.html").exists()
    (retried,) = [event for event in recorder.events if event.kind == "retried"]
    assert "was ended by SIGKILL" in retried.line


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-signal.SIGSEGV, "was ended by SIGSEGV"),
        (-signal.SIGKILL, "was ended by SIGKILL (out of memory?)"),
        (-120, "was ended by signal 120"),
        (3, "ended with exit code 3 without a word"),
    ],
)
def test_an_exit_code_is_put_in_words(code: int, words: str) -> None:
    assert ended_how(code) == words


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_killed_study_leaves_nobody_behind_and_goes_on(tmp_path: Path) -> None:
    file, root = write_study(tmp_path), tmp_path / "runs"
    with _started(tmp_path, file) as process:
        _wait_for(lambda: len(finish_times(root)) >= 2, process)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        _wait_for(lambda: not _alive(process.pid))
    before = finish_times(root)
    assert 2 <= len(before) < 6, "the study was to be killed in the middle"
    recorder = Recorder()
    run_study(file, root=root, results=tmp_path / "results", workers=2, on_event=recorder)
    after = finish_times(root)
    assert len(after) == 6
    assert {key: after[key] for key in before} == before, "what was finished is not trained again"
    assert len(recorder.of("started")) == 6 - len(before)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_an_interrupt_ends_everything_at_once(tmp_path: Path) -> None:
    """Ctrl-C, which a terminal sends to all processes of the group."""
    text = STUDY.replace("steps = 256", "steps = 4_000_000").replace("every = 128\nepi", "every = 2_000_000\nepi")
    root = tmp_path / "runs"
    with _started(tmp_path, write_study(tmp_path, text)) as process:
        _wait_for(lambda: len(finish_times(root)) >= 2 and any(run.locked for run in list_runs(root)), process)
        before, start = finish_times(root), time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        process.wait(20)
        took = time.monotonic() - start
        _, errors = process.communicate()
        assert process.returncode == 130, errors
        assert errors.splitlines()[-1] == "interrupted"
        assert "Traceback" not in errors
        assert took < 1, "0.3 s on a machine that is busy otherwise"
        assert finish_times(root) == before
        _wait_for(lambda: not _alive(process.pid), seconds=5)


@contextmanager
def _started(folder: Path, file: Path) -> Iterator["subprocess.Popen[str]"]:
    """`headstart study` in a session of its own, one run at a time; gone when the block ends."""
    command = [sys.executable, "-m", "transfer", "study", str(file), "--workers", "1"]
    with subprocess.Popen(
        [*command, "--runs", str(folder / "runs"), "--results", str(folder / "results")],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _wait_for(
    condition: Callable[[], bool], process: "subprocess.Popen[str] | None" = None, seconds: float = 60
) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if process is not None and process.poll() is not None:
            pytest.fail(f"it ended early: {process.communicate()}")
        if time.monotonic() > end:
            pytest.fail(f"not within {seconds} s")
        time.sleep(0.02)


def _alive(session: int) -> list[int]:
    """Processes of a session that are not zombies."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of = stat.read_text().rpartition(")")[2].split()[:4]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(of) == session and state != "Z":
            found.append(int(stat.parent.name))
    return found
