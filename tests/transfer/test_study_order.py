"""What starts first, when all is done, what fits into memory, and what is tried again: on made-up runs and places."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from agents.pulse import Heart, read_pulse
from transfer.study import memory
from transfer.study.order import Pace, in_order, played
from transfer.study.plan import Plan, PlannedRun, plan
from transfer.study.pool import Pool
from transfer.study.scheduling import Event, Message, train_all
from transfer.study.spec import parse_study


def planned(tmp_path: Path, source: int = 100, target: int = 100, seeds: int = 2) -> Plan:
    document = {
        "name": "made-up",
        "seeds": seeds,
        "source": {"game": "headstart/CartPole-v1", "steps": source},
        "target": {"game": "headstart/CartPoleLong-v1", "steps": target},
        "arms": {"scratch": {}, "finetune": {"by": ["finetune"]}},
    }
    return plan(parse_study(document, "made-up"), tmp_path)


@dataclass
class Desk:
    """A place that trains nothing: every run ends as the test says, one at a time."""

    plan: Plan
    ends: Callable[[PlannedRun, int], Message]
    workers: int = 2
    attempts: int = 2
    room: int = 10**12
    running: dict[str, PlannedRun] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    most: int = 0
    stopped: bool = False

    def fits(self, size: int) -> bool:
        return sum(self.sizes[key] for key in self.running) + size <= self.room

    def start(self, planned: PlannedRun, size: int) -> None:
        assert planned.key not in self.running
        self.running[planned.key], self.sizes[planned.key] = planned, size
        self.tries[planned.key] = self.tries.get(planned.key, 0) + 1
        self.most = max(self.most, len(self.running))

    def listen(self, seconds: float) -> Sequence[tuple[str, Message]]:
        key, run = next(iter(self.running.items()))
        del self.running[key]
        last = self.ends(run, self.tries[key])
        if last.kind == "done":
            folder = self.plan.run(run).path
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "DONE").touch()
        return [(key, last)]

    def stop(self) -> None:
        self.stopped = True


def always_done(run: PlannedRun, tries: int) -> Message:
    return Message("done")


def test_sources_come_first_where_others_wait_for_them(tmp_path: Path) -> None:
    order = [run.arm for run in in_order(planned(tmp_path), workers=2)]
    assert order[:2] == ["source", "source"]


def test_a_long_run_that_waits_for_nobody_comes_first_where_that_ends_sooner(tmp_path: Path) -> None:
    """Scratch takes 1,000; a source and what follows it 20: with two workers scratch must not come last."""
    both = planned(tmp_path, source=10, target=1000, seeds=1)
    pace = Pace()
    for run in both.runs:
        pace.add(run, 1, 0.01 if run.arm == "finetune" else 1.0)
    order = in_order(both, 2, pace)
    seconds = {run.key: pace.seconds(run, run.config.steps) for run in both.runs}
    assert max(played(order, seconds, 2).values()) == pytest.approx(1000.0)
    one = max(played(order, seconds, 1).values())
    assert one == pytest.approx(sum(seconds.values())), "one worker takes them one after the other"


def test_runs_are_played_by_hand(tmp_path: Path) -> None:
    """Two workers, sources of 100 s, then 100 s each: 300 s in all, and each source before its dependant."""
    both = planned(tmp_path)
    seconds = {run.key: 100.0 for run in both.runs}
    ends = played(in_order(both, 2), seconds, 2)
    assert sorted(ends.values()) == [100.0, 100.0, 200.0, 200.0, 300.0, 300.0]
    for run in both.of("finetune"):
        assert ends[run.key] >= ends[str(run.after)] + 100.0


def test_what_runs_already_goes_on_in_the_forecast(tmp_path: Path) -> None:
    both = planned(tmp_path, seeds=1)
    (source,), (scratch,), (finetune,) = (both.of(arm) for arm in ("source", "scratch", "finetune"))
    seconds = {source.key: 50.0, scratch.key: 30.0, finetune.key: 100.0}
    ends = played(in_order(both, 2), seconds, 2, running=[source.key, scratch.key])
    assert ends == {source.key: 50.0, scratch.key: 30.0, finetune.key: 150.0}


def test_a_pace_is_its_arms_or_that_of_all(tmp_path: Path) -> None:
    both = planned(tmp_path)
    (source, *_), (scratch, *_) = both.of("source"), both.of("scratch")
    pace = Pace(guess=5.0)
    assert pace.seconds(source, 10) == 50.0
    pace.add(scratch, 100, 200.0)
    assert pace.seconds(scratch, 10) == 20.0
    assert pace.seconds(source, 10) == 20.0
    pace.add(source, 100, 100.0)
    assert pace.seconds(source, 10) == 10.0


def test_a_failed_run_is_tried_once_more_and_takes_only_its_dependants_with_it(tmp_path: Path) -> None:
    both, events = planned(tmp_path), list[Event]()
    bad = both.of("source")[0]
    (tmp_path / bad.key).mkdir()
    (tmp_path / bad.key / "log.txt").write_text("begun\nRuntimeError: no\n")
    desk = Desk(both, lambda run, _: Message("failed", line="no") if run.key == bad.key else Message("done"))
    failures = train_all(both, desk, events.append)
    dependant = next(run for run in both.of("finetune") if run.after == bad.key)
    assert failures == {bad.key: "no", dependant.key: "its source run failed"}
    assert desk.tries[bad.key] == 2
    assert dependant.key not in desk.tries
    assert desk.stopped
    (failed,) = [event for event in events if event.kind == "failed"]
    assert failed.log == ("begun", "RuntimeError: no")
    assert len([event for event in events if event.kind == "done"]) == 4


def test_a_run_that_fails_once_is_done_in_the_end(tmp_path: Path) -> None:
    both, events = planned(tmp_path), list[Event]()
    desk = Desk(
        both, lambda run, tries: Message("died", line="was ended by SIGKILL") if tries == 1 else Message("done")
    )
    assert train_all(both, desk, events.append) == {}
    assert set(desk.tries.values()) == {2}
    assert [event.line for event in events if event.kind == "retried"] == ["was ended by SIGKILL; trying again"] * 6


def test_no_more_run_at_once_than_fit_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "expected", lambda plan, run: 400)
    both, events = planned(tmp_path), list[Event]()
    desk = Desk(both, always_done, workers=4, room=900)
    assert train_all(both, desk, events.append) == {}
    assert desk.most == 2
    (told,) = [event for event in events if event.kind == "crowded"]
    assert "it waits for memory" in told.line


def test_what_fits_nowhere_runs_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "expected", lambda plan, run: 400)
    desk = Desk(planned(tmp_path), always_done, workers=4, room=100)
    assert train_all(desk.plan, desk, lambda event: None) == {}
    assert desk.most == 1


def test_a_run_that_died_is_expected_to_take_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "expected", lambda plan, run: 400)
    both = planned(tmp_path, seeds=1)
    sizes: list[int] = []

    def ends(run: PlannedRun, tries: int) -> Message:
        sizes.append(desk.sizes[run.key])
        return Message("died", peak=1000) if run.arm == "source" and tries == 1 else Message("done")

    desk = Desk(both, ends, workers=1)
    train_all(both, desk, lambda event: None)
    assert sizes[:2] == [400, 1500]


def test_memory_is_expected_as_finished_runs_of_the_arm_took_it(tmp_path: Path) -> None:
    both = planned(tmp_path)
    first, second = both.of("scratch")
    assert memory.expected(both, second) == memory.PROCESS
    folder = tmp_path / first.key
    folder.mkdir()
    (folder / "DONE").touch()
    pulse = {"step": 100, "began": 0, "seconds": 1.0, "score": 1.0, "peak": 10**9}
    (folder / "pulse.json").write_text(json.dumps(pulse))
    assert memory.expected(both, second) == round(1.1 * 10**9)
    assert memory.expected(both, both.of("source")[0]) == memory.PROCESS


def test_a_replay_buffer_is_in_the_estimate(tmp_path: Path) -> None:
    config = planned(tmp_path).of("scratch")[0].config
    buffered = config.model_copy(update={"hyperparameters": {"buffer_size": 1000}, "steps": 500})
    assert memory.estimated(buffered) == memory.PROCESS + 500 * 2 * 4 * 4, "four numbers of four bytes, twice"


def test_a_pool_counts_what_its_workers_have_still_to_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transfer.study.pool import _Worker

    monkeypatch.setattr(memory, "available", lambda: 1000)
    pool = Pool(tmp_path, 4)
    run = planned(tmp_path).runs[0]
    pool.running["a"] = _Worker(run, None, None, size=500, taken=200)
    assert pool.fits(600)
    assert not pool.fits(601), "300 are promised, and nine tenths of what is free may be taken"
    monkeypatch.setattr(memory, "available", lambda: None)
    assert pool.fits(10**12)


def test_a_control_groups_memory_is_read(tmp_path: Path) -> None:
    for name, text in (
        ("memory.max", "1000\n"),
        ("memory.current", "700\n"),
        ("memory.stat", "x 1\ninactive_file 50\n"),
    ):
        (tmp_path / name).write_text(text)
    assert memory._of_group(tmp_path) == 350
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._of_group(tmp_path) is None


def test_a_pulse_is_read_as_it_was_written_and_a_torn_one_is_none(tmp_path: Path) -> None:
    heart = Heart(tmp_path)
    heart.beat(10, 1.5, now=True)
    heart.beat(20, now=True)
    pulse = read_pulse(tmp_path)
    assert pulse is not None
    assert replace(pulse, seconds=0.0, peak=0) == replace(pulse, step=20, began=10, score=1.5, seconds=0.0, peak=0)
    (tmp_path / "pulse.json").write_text('{"step": 2')
    assert read_pulse(tmp_path) is None
    assert read_pulse(tmp_path / "nowhere") is None
