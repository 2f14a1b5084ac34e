"""Compiled functions: kept between processes, compiled anew when anything they call has changed, never in the way."""

import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from envs import compiling
from envs.compiling import compiled
from envs.errors import ConfigError

CALLED = """
from envs.compiling import compiled

@compiled
def step(x):
    return x + {number}
"""

CALLING = """
from envs.called import step
from envs.compiling import compiled

@compiled
def twice(x):
    return step(step(x))

print(twice(1), sum(twice.stats.cache_hits.values()), sum(twice.stats.cache_misses.values()))
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A little package `envs` of its own, whose `calling` prints a result, and whether that was found or compiled."""
    floor = tmp_path / "envs"
    floor.mkdir()
    for name in ("compiling.py", "errors.py"):
        shutil.copy(Path(compiling.__file__).with_name(name), floor)
    (floor / "__init__.py").touch()
    (floor / "called.py").write_text(CALLED.format(number=1))
    (floor / "calling.py").write_text(CALLING)
    return tmp_path


COMMAND = [sys.executable, "-c", "import envs.calling"]


def variables(house: Path) -> dict[str, str]:
    surroundings = {name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"}
    return {**surroundings, "PYTHONPATH": str(house)}


def ran(house: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        COMMAND, cwd=house, env={**variables(house), **more}, capture_output=True, text=True, check=True
    )


def forgotten(house: Path) -> Path:
    """Removes the machine code of `twice`; its lock."""
    (lock,) = (house / "envs" / "__pycache__" / "headstart-compiled").rglob("calling.twice-*.lock")
    for code in lock.parent.glob("calling.twice-*.nb?"):
        code.unlink()
    return lock


def test_the_next_process_finds_what_was_compiled(house: Path) -> None:
    assert ran(house).stdout == "3 0 1\n"
    assert ran(house).stdout == "3 1 0\n"


def test_a_change_in_a_called_function_of_another_file_is_noticed(house: Path) -> None:
    ran(house)
    (house / "envs" / "called.py").write_text(CALLED.format(number=10))
    assert ran(house).stdout == "21 0 1\n"


def test_of_processes_that_want_it_one_compiles_and_the_others_find_it(house: Path) -> None:
    ran(house)
    with FileLock(forgotten(house)):
        started = [subprocess.Popen(COMMAND, cwd=house, env=variables(house), stdout=subprocess.PIPE) for _ in range(3)]
        time.sleep(2)  # they have looked for it by now, and wait; if not, they find it all the same
    said = sorted(process.communicate()[0] for process in started)
    assert said == [b"3 0 1\n", b"3 1 0\n", b"3 1 0\n"]


def test_a_process_that_takes_too_long_to_compile_is_not_waited_for(house: Path) -> None:
    ran(house)
    kept = forgotten(house)
    compiling_code = house / "envs" / "compiling.py"
    compiling_code.write_text(compiling_code.read_text().replace("PATIENCE, PAUSE = 120.0", "PATIENCE, PAUSE = 0.2"))
    with FileLock(kept):
        assert ran(house).stdout == "3 0 1\n"


def test_what_only_compiled_code_calls_has_no_machine_code_of_its_own(house: Path) -> None:
    called = house / "envs" / "called.py"
    called.write_text(called.read_text().replace("@compiled", "@compiled(inner=True)"))
    assert ran(house).stdout == "3 0 1\n"
    assert ran(house).stdout == "3 1 0\n"
    calling = house / "envs" / "calling.py"
    calling.write_text(calling.read_text().replace("step(step(x))", "step(step(step(x)))"))
    assert ran(house).stdout == "4 0 1\n", "and what is found of it can be called by what is compiled then"


def test_only_a_few_states_of_the_sources_are_kept(house: Path) -> None:
    kept = house / "kept"
    for number in range(compiling.KEPT + 2):
        (house / "envs" / "called.py").write_text(CALLED.format(number=number))
        assert ran(house, NUMBA_CACHE_DIR=str(kept)).stdout == f"{1 + 2 * number} 0 1\n"
    assert len(list((kept / "headstart-compiled").iterdir())) == compiling.KEPT
    assert not (house / "envs" / "__pycache__" / "headstart-compiled").exists(), "NUMBA_CACHE_DIR decides"


def test_where_nothing_can_be_kept_it_works_and_says_so_once(house: Path) -> None:
    (house / "file").touch()
    done = ran(house, NUMBA_CACHE_DIR=str(house / "file"))
    assert done.stdout == "3 0 1\n"
    assert done.stderr.count("compiled code cannot be kept") == 1
    assert "set NUMBA_CACHE_DIR to a folder that can be written" in done.stderr


def test_the_warning_is_one_line(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "_told", set())
    monkeypatch.setattr(compiling, "_folder", lambda chosen: (_ for _ in ()).throw(PermissionError("no\nfolder")))

    def double(x: int) -> int:
        return 2 * x

    with caplog.at_level(logging.WARNING):
        assert compiled(double)(4) == 8
        assert compiled(double)(5) == 10
    assert [record.getMessage().count("\n") for record in caplog.records] == [0]


@pytest.mark.parametrize("broken", [None, "raises"])
def test_without_a_numba_that_works_the_error_is_one_line(
    broken: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    if broken is not None:
        (tmp_path / "numba.py").write_text("raise ImportError('Numba needs NumPy 1.26 or less.\\nGot NumPy 9.')")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "numba")
    with pytest.raises(ConfigError, match="compiled by numba, which cannot be imported") as caught:
        compiled(lambda x: x)
    assert "\n" not in str(caught.value)
    assert "pip install" in str(caught.value)


def test_neither_help_nor_the_list_of_games_imports_numba() -> None:
    program = (
        "import sys; from transfer.cli.start import main\n"
        "for words in (['--help'], ['games']):\n"
        "    sys.argv = ['headstart', *words]\n"
        "    try: main()\n"
        "    except SystemExit: pass\n"
        "sys.exit('numba' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


TRAINED = """
import hashlib, os, sys
from agents.algorithms import build_learner, resolve
from envs.task import Task
from envs.vector import make_vec

if sys.argv[1] == "one core" and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
task = Task(game="headstart/CartPole-v1")
for algorithm in sys.argv[2:]:
    if algorithm == "ppo":
        chosen = {"n_envs": 4, "n_steps": 128, "batch_size": 64, "n_epochs": 4}
    else:
        chosen = {"n_envs": 1, "learning_starts": 200, "train_freq": 16, "gradient_steps": 8, "batch_size": 64}
    games = make_vec(task, n_envs=chosen["n_envs"])
    learner = build_learner(algorithm, games, resolve(task, algorithm, chosen), seed=0)
    learner.learn(2048)
    assert learner._compiled() is not None
    weights = [value.numpy().tobytes() for value in learner.policy.state_dict().values()]
    print(algorithm, hashlib.sha256(b"".join(weights)).hexdigest())
"""


def trained(place: Path, *words: str) -> set[str]:
    """What training ends at in a process of its own: a line for each algorithm."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(place), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", TRAINED, *words], env=environment, capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines())


@pytest.mark.slow
def test_what_has_to_be_compiled_learns_bit_for_bit_as_what_is_found(tmp_path: Path) -> None:
    cold = trained(tmp_path / "one", "one core", "ppo")
    half = trained(tmp_path / "one", "one core", "dqn")
    warm = trained(tmp_path / "one", "one core", "dqn", "ppo")
    assert len(warm) == 2
    assert cold | half == warm
    assert trained(tmp_path / "other", "all cores", "ppo", "dqn") == warm
