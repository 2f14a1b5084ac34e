"""`headstart games`: light listing, what is shown of a game, and checks with their exit codes."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from envs.catalogue import list_games
from transfer.cli import app, games

BROKEN = """
import gymnasium
import numpy as np


class Broken(gymnasium.Env):
    metadata = {"render_modes": []}
    observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        print("a word on standard output")
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.full(2, np.nan, np.float32), 0.0, False, False, {}


gymnasium.register("BrokenHere-v0", entry_point=Broken)
"""


def headstart(*arguments: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one command line."""
    code = app.run(["games", *arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "broken_here.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(tmp_path)
    return "broken_here:BrokenHere-v0"


@pytest.mark.parametrize("verb", [(), ("list",)])
def test_the_list_names_every_game(verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = headstart(*verb, capsys=capsys)
    lines = out.splitlines()
    assert (code, err) == (0, "")
    assert lines[0].split() == ["game", "family", "what", "it", "is", "to", "install"]
    assert [line.split()[0] for line in lines[1:-1]] == [game.id for game in list_games()]
    assert lines[-1].startswith(f"{len(list_games())} games; any other Gymnasium id")


@pytest.mark.parametrize("verb", [("--json",), ("list", "--json")])
def test_the_list_as_json_is_one_document(verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = headstart(*verb, capsys=capsys)
    document = json.loads(out)
    assert code == 0
    assert [row["id"] for row in document["games"]] == [game.id for game in list_games()]
    assert set(document["games"][0]) == {"id", "family", "summary", "extra", "installed"}


def test_listing_loads_nothing_heavy() -> None:
    program = (
        "import sys; from transfer.cli.app import run; code = run(['games', 'list']);"
        "heavy = {'torch', 'gymnasium', 'numba', 'numpy', 'stable_baselines3'} & set(sys.modules);"
        "sys.exit(f'loaded {heavy}' if heavy or code else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_game_is_shown_with_spaces_names_scores_and_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = headstart("show", "headstart/CartPoleLong-v1", capsys=capsys)
    assert code == 0
    assert [line.split() for line in out.splitlines() if line.split()[0] in ("arguments", "features", "scores")] == [
        ["features", "position,", "velocity,", "angle,", "angular_velocity"],
        ["arguments", "length=2.0"],
        ["scores", "random", "50.14,", "reference", "500,", "threshold", "475"],
    ]
    assert "observations  Box 4 float32, -∞ to ∞" in out
    assert "left, right" in out


def test_symbols_and_several_agents_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = headstart("show", "MiniGrid-DoorKey-5x5-v0", capsys=capsys)
    assert "Box 7x7x3 uint8, 0 to 10" in out
    assert "left, right, forward, pickup, drop, toggle, done" in out
    _, out, _ = headstart("show", "mpe2/simple_spread_v3", capsys=capsys)
    assert "several, who share a policy" in out
    assert "landmark_2_offset_y" in out


def test_a_shown_game_as_json_has_no_infinity(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = headstart("show", "CartPole-v1", "--json", capsys=capsys)
    document = json.loads(out, parse_constant=pytest.fail)
    assert code == 0
    assert document["observation_space"]["high"][1] is None
    assert document["action_space"] == {"space": "Discrete", "n": 2, "start": 0}
    assert document["scores"]["reference"] == 500


def test_an_unlisted_gymnasium_id_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = headstart("show", "FrozenLake-v1", capsys=capsys)
    assert code == 0
    assert "registered with Gymnasium by gymnasium.envs.toy_text" in out
    assert "Discrete, one of 16" in out


def test_a_game_that_is_not_installed_says_how_to_install_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "minatar" else found(name))
    _, out, _ = headstart(capsys=capsys)
    assert next(line for line in out.splitlines() if "MinAtar/Breakout" in line).endswith(
        "pip install 'headstart[minatar]'"
    )
    code, out, _ = headstart("show", "MinAtar/Breakout-v1", capsys=capsys)
    assert code == 0
    assert "pip install 'headstart[minatar]' (not installed yet)" in out
    assert "observations" not in out


def test_a_healthy_game_is_checked_with_exit_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = headstart("check", "CartPole-v1", capsys=capsys)
    lines = out.splitlines()
    assert code == 0
    assert lines[0] == "OK     it can be made"
    assert "OK     Gymnasium's check_env passes" in lines
    assert not any(line.startswith("FAULT") for line in lines)
    assert lines[-1].startswith("CartPole-v1: no fault, ")
    assert lines[-1].endswith(" steps per second")


def test_a_broken_game_is_checked_with_exit_code_2(broken: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = headstart("check", broken, capsys=capsys)
    lines = out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("FAULT"))
    assert code == 2
    assert lines[at].startswith("FAULT  the observation at step 1 (action ")
    assert lines[at].endswith("holds NaN at entry 0 and 1 more")
    assert lines[at + 1] == "       expected: numbers only"
    assert lines[at + 2].startswith("       to mend it: look for a division by zero")
    assert lines[-1].startswith(f"{broken}: 1 fault")


def test_a_check_as_json_is_one_document_whatever_the_game_prints(
    broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = headstart("check", broken, "--json", capsys=capsys)
    document = json.loads(out)
    assert code == 2
    assert document["fine"] is False
    assert document["faults"][0]["expected"] == "numbers only"
    assert any("'a word on standard output'" in note for note in document["notes"])


@pytest.mark.parametrize("verb", ["show", "check"])
def test_an_unknown_game_is_one_line(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = headstart(verb, "CartPoll-v1", capsys=capsys)
    assert (code, out) == (2, "")
    assert err.startswith("error: unknown game 'CartPoll-v1': did you mean 'CartPole-v1'")
    assert err.count("\n") == 1


def test_json_before_a_verb_is_told_where_it_belongs(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = headstart("--json", "check", "CartPole-v1", capsys=capsys)
    assert (code, out) == (2, "")
    assert "found --json before 'check'; write it after" in err


@pytest.mark.parametrize(
    ("space", "text"),
    [
        (
            {"space": "Box", "shape": [2], "dtype": "float32", "low": [-1.0, -2.0], "high": 3.0},
            "Box 2 float32, -2 to 3",
        ),
        ({"space": "Discrete", "n": 4, "start": 0}, "Discrete, one of 4"),
        ({"space": "MultiDiscrete", "nvec": [2, 3]}, "MultiDiscrete [2, 3]"),
        ({"space": "MultiBinary", "n": 5}, "MultiBinary 5"),
        ({"space": "Dict", "spaces": {"a": {"space": "Discrete", "n": 2}}}, "a: Discrete, one of 2"),
        (None, ""),
    ],
)
def test_spaces_in_a_few_words(space: dict[str, Any] | None, text: str) -> None:
    assert games._space(space) == text
