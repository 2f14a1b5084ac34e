"""The longest compilation begun in another process: it is the one that is needed, once, and nothing depends on it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
        for process in ahead.start():
            process.wait()
    for function in (ahead.start, ahead._place):
        function.cache_clear()


@pytest.mark.parametrize("game", ["headstart/CartPole-v1", "headstart/Empty-5x5-v0"])
def test_what_is_compiled_ahead_is_what_learning_calls(game: str) -> None:
    few = resolve(Task(game=game), "ppo", {"n_envs": 2, "n_steps": 16, "batch_size": 32, "n_epochs": 1})
    learner = build_learner("ppo", make_vec(Task(game=game), n_envs=2), few, seed=0)
    learner.learn(32)
    function, signature = ahead.epoch()
    learnt: Any = ppo.epoch
    assert function is learnt
    assert signature in function.signatures


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
        assert ahead.start() == ()


def test_of_two_processes_one_compiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none() -> object:
        raise AssertionError("it is compiled twice")

    monkeypatch.setattr(ahead, "folder", lambda: tmp_path)
    for asked, what in ((ahead.EPOCH, "epoch"), (ahead.PARTS, "parts")):
        monkeypatch.setattr(ahead, what, none)
        monkeypatch.setattr(sys, "argv", ["ahead", asked])
        with FileLock(tmp_path / f"{asked}.lock"):
            ahead.main()
        with pytest.raises(AssertionError, match="twice"):
            ahead.main()


FOUND = """
from agents.compiled import ahead
function, signature = ahead.epoch()
function.compile(signature)
print(*(f.__name__ for f, _ in ahead.parts() if f.stats.cache_hits and not f.stats.cache_misses))
"""


@pytest.mark.slow
def test_the_epoch_finds_the_parts_that_another_process_compiled(tmp_path: Path) -> None:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-m", "agents.compiled.ahead", ahead.PARTS], env=environment, check=True)
    found = subprocess.run([sys.executable, "-c", FOUND], env=environment, check=True, capture_output=True, text=True)
    assert found.stdout.split() == [function.__name__ for function, _ in ahead.parts()]


@pytest.mark.slow
def test_processes_compile_it_together_into_an_empty_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "agents.compiled.ahead"]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    asked = (ahead.EPOCH, ahead.PARTS, ahead.EPOCH)
    started = [subprocess.Popen([*command, what], env=environment, stderr=subprocess.PIPE) for what in asked]
    assert [process.communicate()[1] for process in started] == [b"", b"", b""]
    assert len(list(tmp_path.rglob("ppo.epoch-*.nbc"))) == 1
    assert len(list(tmp_path.rglob("steps.adam-*.nbc"))) == 1, "what one compiles the others find"


def _raise(error: Exception) -> object:
    def raising() -> Path:
        raise error

    return raising
