"""Run folders: states, names, evaluations, removal."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import files
from agents.config import Evaluation, RunConfig
from agents.evaluation import EpisodeResults
from agents.evaluations import append_evaluation, read_evaluations, write_header
from agents.runs import LOOK, Run, find_policy, find_run, list_runs, prunable, prune, remove, runs_root
from envs.errors import CheckpointError, ConfigError, UnknownName
from envs.task import Task

CONFIG = RunConfig(task=Task(game="headstart/CartPole-v1"), steps=100, evaluation=Evaluation(episodes=3, every=40))
GRID = [0, 40, 80, 100]

Make = Callable[..., Run]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def run(key: str, *marks: str, text: str = "") -> Run:
        folder = tmp_path / key
        folder.mkdir()
        (folder / "config.json").write_text(CONFIG.model_dump_json())
        for mark in marks:
            (folder / mark).write_text(text)
        return Run(folder)

    return run


def results(seed: int, episodes: int = 3) -> EpisodeResults:
    draw = np.random.default_rng(seed)
    cut = draw.random(episodes) < 0.5
    returns = draw.normal(size=episodes) * 10.0 ** draw.integers(-30, 30)
    return EpisodeResults(np.arange(episodes) + 2**30, returns, draw.integers(1, 999, episodes), ~cut, cut)


def written(path: Path, steps: list[int], episodes: int = 3) -> list[EpisodeResults]:
    write_header(path)
    all_results = [results(step, episodes) for step in steps]
    for step, one in zip(steps, all_results, strict=True):
        append_evaluation(path, step, one)
    return all_results


def test_only_done_is_done(make: Make) -> None:
    assert make("a").state == "unfinished"
    assert make("b", "DONE").state == "done"
    failed = make("c", "FAILED", text="the game raised ValueError\n")
    assert (failed.state, failed.failure) == ("failed", "the game raised ValueError")
    assert make("d", "policy").state == "unfinished"
    assert [make("e").done, Run(make("f", "DONE").path).done] == [False, True]
    assert make("g").failure is None


def test_a_runs_config_is_what_was_written(make: Make) -> None:
    assert make("a").config == CONFIG


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not a run's config: the file"),
        ('{"task": {"game": "x"}, "steps": 0}', "is not a run's config: steps: input should be greater"),
        ('{"task": {"game": "x"}, "steps": 1, "colour": 1}', "is not a run's config: colour"),
    ],
)
def test_a_damaged_config_is_an_error_of_one_line(make: Make, text: str, words: str) -> None:
    run = make("a")
    (run.path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=words) as caught:
        _ = run.config
    assert "\n" not in str(caught.value)
    (run.path / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"is not a run: it has no config\.json"):
        _ = run.config


def test_damaged_provenance_is_an_error(make: Make) -> None:
    run = make("a")
    assert run.provenance == {}
    (run.path / "provenance.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"provenance\.json is not JSON"):
        _ = run.provenance


def test_a_run_is_found_by_folder_key_and_beginning(make: Make, tmp_path: Path) -> None:
    first, second = make("abc1"), make("abd2")
    assert find_run("abc1", tmp_path) == first
    assert find_run("abd", tmp_path) == second
    assert find_run(str(first.path), Path("elsewhere")) == first
    with pytest.raises(UnknownName, match=r"run 'ab' is ambiguous: 2 keys begin so \(abc1, abd2\); give more digits"):
        find_run("ab", tmp_path)
    with pytest.raises(UnknownName, match="unknown run 'abc2': did you mean"):
        find_run("abc2", tmp_path)


def test_a_key_that_begins_another_is_not_ambiguous(make: Make, tmp_path: Path) -> None:
    short = make("ab")
    make("abc")
    assert find_run("ab", tmp_path) == short


def test_what_is_no_run_is_not_found(make: Make, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="holds no runs; headstart train makes one"):
        find_run("abc", tmp_path)
    (tmp_path / "holiday").mkdir()
    with pytest.raises(CheckpointError, match="is a folder but not a run"):
        find_run(str(tmp_path / "holiday"), tmp_path)
    assert list_runs(tmp_path) == []
    make("b")
    make("a")
    assert [run.key for run in list_runs(tmp_path)] == ["a", "b"]
    assert list_runs(tmp_path / "nowhere") == []


def test_where_runs_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HEADSTART_RUNS", raising=False)
    assert runs_root() == Path("runs")
    monkeypatch.setenv("HEADSTART_RUNS", "/somewhere")
    assert runs_root() == Path("/somewhere")
    assert runs_root("here") == Path("here")


def test_sizes_add_up(make: Make) -> None:
    run = make("a")
    before = run.size_bytes
    (run.path / "policy").mkdir()
    (run.path / "policy" / "x").write_bytes(b"12345")
    assert run.size_bytes == before + 5


def test_a_size_can_be_asked_for_while_the_run_is_written(make: Make) -> None:
    run, ended = make("a"), threading.Event()

    def write() -> None:
        while not ended.is_set():
            with files.folder_beside(run.path / "snapshots" / "0") as folder:
                (folder / "weights").write_text("x" * 10)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert all(run.size_bytes > 0 for _ in range(1500))
    finally:
        ended.set()
        writer.join()


def test_who_looks_whether_a_run_is_trained_does_not_keep_others_from_it(make: Make) -> None:
    run = make("a")
    look = FileLock(run.lock().lock_file, thread_local=False)
    look.acquire()
    threading.Timer(LOOK / 4, look.release).start()
    assert not run.locked
    look.acquire()
    threading.Timer(LOOK / 4, look.release).start()
    assert remove(run) > 0


def test_removing_and_pruning(make: Make, tmp_path: Path) -> None:
    done, failed, unfinished, busy = make("a", "DONE"), make("b", "FAILED"), make("c"), make("d")
    with busy.lock():
        assert busy.locked
        assert not unfinished.locked
        with pytest.raises(ConfigError, match="run d is being trained by another process"):
            remove(busy)
        assert prunable(tmp_path) == [failed, unfinished]
        assert prune(tmp_path) == [failed, unfinished]
        assert list_runs(tmp_path) == [done, busy]
    size = done.size_bytes
    assert remove(done) == size
    assert not done.path.exists()
    with pytest.raises(CheckpointError, match=r"is not a run: it has no config\.json; nothing was removed"):
        remove(Run(tmp_path))
    assert list_runs(tmp_path) == [busy]


def test_no_policy_of_a_run_that_is_not_done(make: Make, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="run a is unfinished and has no final policy"):
        make("a").policy()
    with pytest.raises(CheckpointError, match="run b failed and has no final policy"):
        make("b", "FAILED").policy()
    with pytest.raises(CheckpointError, match="run c kept no policy at step 7; kept: none"):
        make("c", "DONE").policy(7)
    with pytest.raises(CheckpointError, match="there is no such file"):
        find_policy(tmp_path / "x.zip", tmp_path)


def test_evaluations_come_back_exactly(make: Make) -> None:
    run = make("a", "DONE")
    expected = written(run.path / "evaluations.csv", GRID)
    found = run.evaluations()
    assert found.steps.tolist() == GRID
    for name in ("returns", "lengths", "seeds", "terminated", "truncated"):
        np.testing.assert_array_equal(getattr(found, name), [getattr(one, name) for one in expected])
    np.testing.assert_array_equal(found.means, [one.mean for one in expected])
    assert (found.terminated != found.truncated).all()
    assert found.returns.shape == found.lengths.shape == (4, 3)


@given(kept=st.integers(0, 10**6), episodes=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_what_was_cut_off_is_left_out(tmp_path_factory: pytest.TempPathFactory, kept: int, episodes: int) -> None:
    path, steps = tmp_path_factory.mktemp("cut") / "evaluations.csv", [0, 10, 20]
    expected = written(path, steps, episodes)
    whole = path.read_bytes()
    path.write_bytes(whole[: kept % len(whole)])
    rows = len(
        [line for line in path.read_text().split("\n")[1:] if line.endswith((",0", ",1")) and line.count(",") == 6]
    )
    found = read_evaluations(path, episodes)
    assert len(found.steps) == rows // episodes
    np.testing.assert_array_equal(
        found.returns, np.reshape([e.returns for e in expected][: len(found.steps)], (-1, episodes))
    )
    if rows == 3 * episodes:  # only the last line's end is missing
        assert read_evaluations(path, episodes, steps).steps.tolist() == steps
    else:
        with pytest.raises(CheckpointError, match=r"evaluations\.csv"):
            read_evaluations(path, episodes, steps)


def test_a_done_run_with_damaged_evaluations_is_an_error(make: Make) -> None:
    run = make("a", "DONE")
    path = run.path / "evaluations.csv"
    with pytest.raises(CheckpointError, match="is missing, but the run is done"):
        run.evaluations()
    written(path, GRID)
    whole = path.read_text()
    path.write_text(whole.replace(",1073741825,", ",seven,", 1))
    with pytest.raises(CheckpointError, match="line 3: expected 7 numbers"):
        run.evaluations()
    path.write_text(whole.replace(",", ";"))
    with pytest.raises(CheckpointError, match="expected the columns step,episode,seed,return,length,terminated,trunc"):
        run.evaluations()
    path.write_bytes(b"\xff")
    with pytest.raises(CheckpointError, match="is no text"):
        run.evaluations()


@pytest.mark.parametrize("grid", [[0, 40], [0, 40, 80, 100, 120], [0, 40, 81, 100]])
def test_a_done_run_has_its_whole_grid(make: Make, grid: list[int]) -> None:
    run = make("a", "DONE")
    written(run.path / "evaluations.csv", grid)
    with pytest.raises(CheckpointError, match="expected 3 at each of 4 steps"):
        run.evaluations()


def test_evaluations_of_different_sizes_are_an_error(tmp_path: Path) -> None:
    path = tmp_path / "evaluations.csv"
    write_header(path)
    for step, episodes in ((0, 2), (10, 1), (20, 3)):
        append_evaluation(path, step, results(step, episodes))
    with pytest.raises(CheckpointError, match="expected evaluations of 2 episodes each"):
        read_evaluations(path, 2)


def test_an_unfinished_run_may_have_no_evaluations_yet(make: Make) -> None:
    found = make("a").evaluations()
    assert found.steps.shape == (0,)
    assert found.returns.shape[0] == 0
    assert found.means.shape == (0,)
