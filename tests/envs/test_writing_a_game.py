"""What docs/writing-a-game.md prints is true: its code passes the check, its commands run."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from envs.batched import BatchedVecEnv
from envs.catalogue import SAID
from envs.check import check_game
from envs.task import Task
from envs.vector import make_vec

TEXT = (Path(__file__).parents[2] / "docs" / "writing-a-game.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, flags=re.DOTALL)
SINGLE, BATCHED = (text for language, text in BLOCKS if language == "python")
COMMANDS = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]
REGISTRATION = 'gymnasium.register("Lever-v0", entry_point=Lever)\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with nothing in it, from which modules are imported and forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mygame", raising=False)
    monkeypatch.setattr(gymnasium.envs.registration, "registry", dict(gymnasium.registry))
    monkeypatch.setattr(gymnasium, "registry", gymnasium.envs.registration.registry)
    return tmp_path


def test_the_example_passes_the_check(folder: Path) -> None:
    (folder / "mygame.py").write_text(SINGLE)
    report = check_game("mygame:Lever-v0", steps=60)
    assert report.faults == []
    assert report.notes == ["it has no render mode 'rgb_array': watching it shows its named features instead"]


def test_the_batched_example_is_batched_and_passes_the_check(folder: Path) -> None:
    assert REGISTRATION in SINGLE
    (folder / "mygame.py").write_text(SINGLE.replace(REGISTRATION, BATCHED))
    assert isinstance(make_vec("mygame:Lever-v0", n_envs=3).unwrapped, BatchedVecEnv)
    report = check_game("mygame:Lever-v0", steps=60)
    assert report.faults == []
    assert "the batch plays as the single environments" in report.passed


def test_the_changes_are_those_of_a_task(folder: Path) -> None:
    (customising,) = (tomllib.loads(text) for language, text in BLOCKS if language == "toml" and "[target]" in text)
    (folder / "mygame.py").write_text(
        SINGLE + "\n\ndef reward(*transition):\n    return 2.0\n\n\ndef wrap(env):\n    return env\n"
    )
    task = Task(**customising["target"])
    assert set(task.change.model_fields_set) == set(type(task.change).model_fields)
    venv = make_vec(task)
    venv.reset()
    assert venv.step(np.array([0]))[1].tolist() == [2.0]


def test_the_table_of_names_says_all_that_a_game_may_say() -> None:
    rows = TEXT.split("## Names")[1].split("##")[0]
    assert set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (`.*?) \|", rows, flags=re.MULTILINE)))) == SAID


@pytest.mark.slow
def test_every_command_runs(tmp_path: Path) -> None:
    (tmp_path / "mygame.py").write_text(SINGLE)
    assert COMMANDS
    for command in COMMANDS:
        program, *arguments = shlex.split(command)
        done = subprocess.run(
            [str(Path(sys.executable).parent / program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
