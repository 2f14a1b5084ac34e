"""The longest compilation begun in another process: it is the one that is needed, once, and nothing depends on it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from agents.algorithms import build_learner, resolve
from agents.compiled import ahead, ppo
from envs.errors import ConfigError
from envs.task import Task
from envs.vector import make_vec


@pytest.fixture(autouse=True)
def forgetful() -> Iterator[None]:
    """No test knows what another has started, and what was started comes to its end."""
    _forget()
    yield
    _forget()


def _forget() -> None:
    if ahead.start.cache_info().currsize:
        process = ahead.start()
        if process is not None:
            process.wait()
    for function in (ahead.start, ahead.wait, ahead._place):
        function.cache_clear()


@pytest.mark.parametrize("game", ["headstart/CartPole-v1", "headstart/Empty-5x5-v0"])
def test_what_is_compiled_ahead_is_what_learning_calls(game: str) -> None:
    few = resolve(Task(game=game), "ppo", {"n_envs": 2, "n_steps": 16, "batch_size": 32, "n_epochs": 1})
    learner = build_learner("ppo", make_vec(Task(game=game), n_envs=2), few, seed=0)
    learner.learn(32)
    assert ahead.signature() in ppo.epoch.signatures  # type: ignore[attr-defined]


def test_nothing_is_started_where_it_is_there_or_of_no_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none(*arguments: object, **named: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", none)
    (tmp_path / "compiled_0").mkdir()
    (tmp_path / "compiled_0" / "ppo.epoch-1.py311.1.nbc").touch()
    for folder in (lambda: tmp_path, _raise(ConfigError("no numba")), _raise(PermissionError("read-only"))):
        monkeypatch.setattr(ahead, "folder", folder)
        ahead.start.cache_clear()
        ahead._place.cache_clear()
        assert ahead.start() is None
        ahead.wait()


def test_a_process_that_fails_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ahead, "folder", lambda: tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(sys, "executable", "/bin/false" if os.path.exists("/bin/false") else "/usr/bin/false")
    process = ahead.start()
    assert process is not None
    ahead.wait()
    assert process.wait() != 0


def test_of_two_processes_one_compiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ahead, "folder", lambda: tmp_path)
    with FileLock(tmp_path / "epoch.lock"):
        assert ahead._locked(tmp_path)
        ahead.main()
    assert not ahead._locked(tmp_path)


@pytest.mark.slow
def test_a_process_compiles_it_into_an_empty_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agents.compiled.ahead"]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    both = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for _ in range(2)]
    assert [process.communicate()[1] for process in both] == [b"", b""]
    assert len(list(tmp_path.rglob("ppo.epoch-*.nbc"))) == 1


def _raise(error: Exception) -> object:
    def raising() -> Path:
        raise error

    return raising
