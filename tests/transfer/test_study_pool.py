"""Faults of real processes: two studies on one folder, workers killed at random moments, and a full disk."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents import pulse as pulses
from agents.pulse import peak_memory, read_pulse
from agents.runs import Run, list_runs
from tests.transfer.small import small_study
from transfer.cli.following import Following
from transfer.study.execute import run_study
from transfer.study.order import Pace
from transfer.study.plan import plan
from transfer.study.pool import Pool
from transfer.study.scheduling import Event
from transfer.study.spec import load_study
from transfer.study.standing import Forecast, forecast, statuses
from transfer.study.worker import trained

ROOT = Path(__file__).parents[2]
STUDY = small_study("shared", source=(2048, 1024), target=(2048, 1024))

DRIVER = """
import json, sys
from transfer.study.execute import run_study

def told(event):
    print(json.dumps([event.kind, event.run.key, event.step]), flush=True)

if __name__ == "__main__":
    run_study(sys.argv[1], root=sys.argv[2], results=sys.argv[3], workers=1, on_event=told)
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study file in a folder of its own."""
    file = tmp_path / "shared.toml"
    file.write_text(STUDY)
    return file


def evaluations(root: Path) -> dict[str, Any]:
    return {run.key: run.evaluations().returns for run in list_runs(root)}


def test_two_studies_on_one_folder_train_every_run_once(study: Path, tmp_path: Path) -> None:
    """Two real processes at once: each run is begun by one of them only, and both end with all of them."""
    (tmp_path / "driver.py").write_text(DRIVER)
    command = [sys.executable, str(tmp_path / "driver.py"), str(study), str(tmp_path / "runs")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    both = [
        subprocess.Popen(
            [*command, str(tmp_path / name)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for name in ("first", "second")
    ]
    said = [process.communicate(timeout=240) for process in both]
    assert [process.returncode for process in both] == [0, 0], [errors for _, errors in said]
    events = [[json.loads(line) for line in output.splitlines()] for output, _ in said]
    begun = Counter(key for told in events for kind, key, step in told if kind == "evaluated" and step == 0)
    keys = set(plan(load_study(study), tmp_path / "runs").distinct)
    assert begun == dict.fromkeys(keys, 1), "nothing is trained twice, and nothing by nobody"
    for told in events:
        assert {key for kind, key, _ in told if kind == "done"} <= keys
        assert not [kind for kind, _, _ in told if kind in ("failed", "skipped")]
    for name in ("first", "second"):
        assert (tmp_path / name / "shared" / "report.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize("draw", range(10))
def test_workers_killed_at_random_moments_lose_nothing(study: Path, tmp_path: Path, draw: int) -> None:
    """Three kills a study: all six runs are there in the end, with the evaluations of runs never killed."""
    random = np.random.default_rng(draw)
    events: list[Event] = []
    place = Pool(tmp_path / "runs", 2, attempts=5)
    killed: list[str] = []

    def kill() -> None:
        for key, worker in list(place.running.items()):
            if worker.process.is_alive():
                os.kill(worker.process.pid, signal.SIGKILL)
                killed.append(key)
                return

    timers: list[threading.Timer] = []

    def on_event(event: Event) -> None:
        events.append(event)
        if event.kind == "started" and len(timers) < 3:
            timers.append(threading.Timer(random.uniform(0.0, 1.0), kill))
            timers[-1].start()

    from transfer.study.execute import execute

    execute(plan(load_study(study), tmp_path / "runs"), study, results=tmp_path / "r", place=place, on_event=on_event)
    for timer in timers:
        timer.join()
    assert len([event for event in events if event.kind == "done"]) == 6
    assert not [event for event in events if event.kind in ("failed", "skipped")]
    run_study(study, root=tmp_path / "again", results=tmp_path / "r2", workers=2)
    for key, returns in evaluations(tmp_path / "again").items():
        np.testing.assert_array_equal(returns, evaluations(tmp_path / "runs")[key])


def test_a_full_disk_is_told_and_the_run_is_not_done(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full when the policy is written: one line, no DONE, no FAILED; with room again it is trained."""
    from agents import files

    config = plan(load_study(study), tmp_path).of("source")[0].config
    write = files.write_text

    def full(path: Path, text: str) -> None:
        if path.name == "DONE":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, text)

    with monkeypatch.context() as broken:
        broken.setattr(files, "write_text", full)
        last = trained(config, tmp_path, lambda message: None)
    assert last.kind == "failed"
    assert "No space left on device" in last.line
    assert Run(tmp_path / config.key()).state == "unfinished"
    assert trained(config, tmp_path, lambda message: None).kind == "done"
    assert Run(tmp_path / config.key()).done


def test_a_run_says_how_far_it_is_and_what_it_takes(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[int] = []

    def noted(pid: int | str = "self") -> int:
        taken = peak_memory(pid)
        measured.extend([taken] if pid == "self" else [])
        return taken

    monkeypatch.setattr(pulses, "peak_memory", noted)
    config = plan(load_study(study), tmp_path).of("source")[0].config
    messages: list[Any] = []
    last = trained(config, tmp_path, messages.append)
    pulse = read_pulse(tmp_path / config.key())
    assert pulse is not None
    assert (pulse.step, pulse.began) == (2048, 0)
    assert pulse.seconds > 0
    assert pulse.score == [message.score for message in messages if message.kind == "evaluated"][-1]
    assert last.peak == pulse.peak == max(measured), "what was most, though libraries on disk may take more by now"
    if sys.platform == "linux":
        assert last.peak > 20 * 2**20, "a process with torch in it takes tens of megabytes"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_most_memory_is_that_of_a_process_and_of_its_children() -> None:
    code = """
import os, sys
from agents.pulse import peak_memory
held = [bytes(2**20) for _ in range(int(sys.argv[1]))]
for each in held: bytearray(each)
filled = b"".join(bytes([i % 251]) * 2**20 for i in range(int(sys.argv[1])))
del held, filled
child = int(sys.argv[2])
if child:
    import subprocess
    inner = "f = bytearray(b'x') * (%d * 2**20); print(flush=True); input()" % child
    process = subprocess.Popen([sys.executable, "-c", inner], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdout.readline()
print(peak_memory() // 2**20)
if child:
    process.communicate(b"\\n")
"""

    def took(own: int, child: int) -> int:
        done = subprocess.run([sys.executable, "-c", code, str(own), str(child)], capture_output=True, cwd=ROOT)
        return int(done.stdout)

    nothing = took(0, 0)
    assert took(100, 0) > nothing + 90, "what was given back counts"
    assert took(0, 100) > nothing + 90, "and what a child holds"


def test_a_status_says_when_all_will_be_done(study: Path, tmp_path: Path) -> None:
    """A source that is half done after 10 s, by its pulse: 10 s more, and 20 for each of the four runs that wait."""
    both = plan(load_study(study), tmp_path)
    source = both.of("source")[0]
    folder = tmp_path / source.key
    folder.mkdir()
    pulse = {"step": 1024, "began": 0, "seconds": 10.0, "score": 30.0, "peak": 0}
    (folder / "pulse.json").write_text(json.dumps(pulse))
    assert forecast(both, statuses(both)) is None, "nobody trains it"
    with Run(folder).lock():
        found = statuses(both)
        assert [(run.phase, run.step) for run in found if run.key == source.key] == [("running", 1024)]
        ahead = forecast(both, found)
    assert ahead is not None
    assert ahead.seconds == pytest.approx(10 + 5 * 20)
    assert max(ahead.arms.values()) == ahead.seconds
    assert set(ahead.arms) == {("source", None), ("scratch", None), ("finetune", None)}


def test_the_time_left_follows_what_runs_take(study: Path, tmp_path: Path) -> None:
    both = plan(load_study(study), tmp_path)
    following = Following(both, workers=1, guess=6 * 2048.0)
    assert following.forecast().seconds == pytest.approx(6 * 2048.0), "a second a step, by the guess"
    source = both.of("source")[0]
    following.take(Event("started", source), now=100.0)
    following.take(Event("evaluated", source, step=0), now=100.0)
    following.take(Event("step", source, step=1024), now=110.0)
    assert following.forecast().seconds == pytest.approx(10 + 5 * 20)
    following.take(Event("done", source, step=2048), now=120.0)
    ahead = following.forecast()
    assert isinstance(ahead, Forecast)
    assert ahead.seconds == pytest.approx(5 * 20)
    assert Pace().known is False
