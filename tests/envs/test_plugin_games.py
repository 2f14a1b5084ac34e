"""Other people's games: from the current folder, from a package, and from a distribution with an entry point.

The distribution is what `pip install` would leave behind, a module and its `.dist-info`, in a folder of the test's own.
"""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from envs.catalogue import find_game, list_games
from envs.check import check_game
from envs.customise import source_of_game
from envs.errors import ConfigError, UnknownName
from envs.registry import load_attribute
from envs.vector import interface, make_vec

LEVER = '''
"""A game by somebody who has never heard of Headstart's modules."""

import gymnasium
import numpy as np


class Lever(gymnasium.Env):
    """Pull the lever on the side of the light."""

    metadata = {
        "render_modes": [],
        "headstart": {"features": ["light", "time"], "actions": ["left", "right"], "random": 5.0, "reference": 10.0},
    }

    def __init__(self, bright: float = 1.0, render_mode=None):
        self.bright = bright
        self.render_mode = render_mode
        self.observation_space = gymnasium.spaces.Box(-10.0, 10.0, (2,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self.see(), {}

    def step(self, action):
        reward = float((self.light > 0) == (action == 1))
        self.time += 1
        return self.see(), reward, self.time == 10, False, {}

    def see(self):
        self.light = self.bright * float(self.np_random.choice([-1, 1]))
        return np.array([self.light, self.time], np.float32)
'''
REGISTER = '\n\ngymnasium.register("Lever-v0", entry_point=Lever, kwargs={"bright": 2.0})\n'
TEAM = '''
"""Two agents, each with a lever."""

import functools

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv


class Team(ParallelEnv):
    metadata = {"name": "team", "render_modes": []}
    render_mode = None

    def __init__(self, render_mode=None):
        self.possible_agents = ["first", "second"]

    @functools.cache
    def observation_space(self, agent):
        return spaces.Box(0.0, 10.0, (1,), np.float32)

    @functools.cache
    def action_space(self, agent):
        return spaces.Discrete(2)

    def reset(self, seed=None, options=None):
        self.agents, self.time = list(self.possible_agents), 0
        return self.see(), {agent: {} for agent in self.agents}

    def step(self, actions):
        self.time += 1
        who, over = list(self.agents), self.time == 10
        self.agents = [] if over else who
        never = dict.fromkeys(who, False)
        return self.see(), {a: float(actions[a]) for a in who}, dict.fromkeys(who, over), never, {a: {} for a in who}

    def see(self):
        return {agent: np.array([self.time], np.float32) for agent in self.possible_agents}


def marked():
    return Team()


marked.metadata = {"headstart": {"multiagent": True, "actions": ["rest", "pull"]}}


def unmarked():
    return Team()


def needy(size):
    return Team()
'''
POINTS = """[headstart.games]
lever/Lever-v0 = leverworks.games:Lever
lever/Team-v0 = leverworks.team:Team
lever/Marked-v0 = leverworks.team:marked
lever/Unmarked-v0 = leverworks.team:unmarked
lever/Lost-v0 = leverworks.nowhere:Lever
lever/Gone-v0 = leverworks.games:Handle
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path that holds the distribution leverworks 0.1."""
    package, info = tmp_path / "leverworks", tmp_path / "leverworks-0.1.dist-info"
    package.mkdir()
    info.mkdir()
    (package / "__init__.py").write_text('"""Lever games."""\n')
    (package / "games.py").write_text(LEVER)
    (package / "team.py").write_text(TEAM)
    (package / "registered.py").write_text(LEVER + REGISTER)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: leverworks\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for module in [name for name in sys.modules if name.partition(".")[0] == "leverworks"]:
        del sys.modules[module]
    gymnasium.registry.pop("Lever-v0", None)
    importlib.invalidate_caches()


def headstart(*arguments: str, path: Path | None = None, folder: Path) -> subprocess.CompletedProcess[str]:
    """One command line in a folder, with another one on PYTHONPATH."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"PYTHONPATH": str(path)} if path is not None else {}
    command = [sys.executable, "-m", "transfer", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)


def test_it_is_listed_unimported_and_found_with_its_names(installed: Path) -> None:
    assert "lever/Lever-v0" in [game.id for game in list_games()]
    assert "leverworks.games" not in sys.modules
    game = find_game("lever/Lever-v0")
    assert (game.family, game.listed) == ("plug-in", True)
    assert (game.features, game.actions) == (("light", "time"), ("left", "right"))
    assert (game.random, game.reference) == (5.0, 10.0)


def test_it_is_played_by_its_name(installed: Path) -> None:
    venv = make_vec("lever/Lever-v0", n_envs=3, seed=4)
    observations = venv.reset()
    assert isinstance(observations, np.ndarray)
    assert interface(venv).features == ("light", "time")
    earned = np.zeros(3)
    for _ in range(10):
        actions = (observations[:, 0] > 0).astype(int)
        observations, rewards, dones, infos = venv.step(actions)
        earned += rewards
    assert earned.tolist() == [10.0] * 3
    assert dones.all()
    assert [info["episode"]["r"] for info in infos] == [10.0] * 3


def test_it_passes_the_check(installed: Path) -> None:
    assert check_game("lever/Lever-v0", steps=60).faults == []


def test_the_command_line_lists_it_without_importing_it(installed: Path, tmp_path: Path) -> None:
    (installed / "leverworks" / "games.py").write_text("raise SystemExit('imported')\n")
    listed = headstart("games", path=installed, folder=tmp_path)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "lever/Lever-v0" in listed.stdout
    assert "plug-in" in listed.stdout


def test_a_game_in_the_current_folder_is_checked_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "mygame.py").write_text(LEVER + REGISTER)
    (tmp_path / "envs").mkdir()  # a user's own folder of this name hides nothing of ours
    (tmp_path / "envs" / "__init__.py").write_text("raise SystemExit('the wrong envs')\n")
    checked = subprocess.run(
        [str(Path(sys.executable).parent / "headstart"), "games", "check", "mygame:Lever-v0"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert checked.returncode == 0, checked.stderr
    assert "mygame:Lever-v0: no fault" in checked.stdout


def test_a_game_in_a_package_is_found_by_module_and_id(installed: Path) -> None:
    name = "leverworks.registered:Lever-v0"
    game = find_game(name)
    assert not game.listed
    venv = make_vec(name, seed=0)
    observations = venv.reset()
    assert isinstance(observations, np.ndarray)
    assert abs(observations[0, 0]) == 2.0  # the arguments it is registered with
    assert interface(venv).actions == ("left", "right")
    assert check_game(name, steps=30).faults == []


def test_arguments_reach_the_game(installed: Path) -> None:
    from envs.task import Task

    venv = make_vec(Task(game="lever/Lever-v0", arguments={"bright": 7.0}))
    assert np.abs(venv.reset()[:, 0]).tolist() == [7.0]  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["lever/Team-v0", "lever/Marked-v0"])
def test_a_pettingzoo_class_or_marked_factory_has_several_agents(name: str, installed: Path) -> None:
    venv = make_vec(name, n_envs=2, seed=1)
    assert venv.num_envs == 4
    assert venv.action_space == spaces.Discrete(2)
    assert check_game(name, steps=30).faults == []


def test_a_factory_that_does_not_say_so_is_looked_into(installed: Path) -> None:
    game = find_game("lever/Unmarked-v0")
    assert (game.multiagent, game.turns) == (True, False)
    assert check_game("lever/Unmarked-v0", steps=30).faults == []


def test_a_function_of_a_module_is_a_game(installed: Path) -> None:
    venv = make_vec("leverworks.team:unmarked", n_envs=2, seed=1)
    assert venv.num_envs == 4
    assert not find_game("leverworks.team:unmarked").listed
    assert make_vec("leverworks.games:Lever").num_envs == 1
    with pytest.raises(
        ConfigError, match=r"leverworks\.team:needy raised TypeError.* when it was called without arguments"
    ):
        find_game("leverworks.team:needy")
    with pytest.raises(UnknownName, match=r"unknown game 'leverworks\.team:nothing'"):
        find_game("leverworks.team:nothing")
    with pytest.raises(ConfigError, match=r"game 'builtins:dict' makes nothing that can be played: expected a gym"):
        find_game("builtins:dict")


def test_a_broken_entry_point_is_one_line_and_does_not_harm_the_list(installed: Path) -> None:
    assert {"lever/Lost-v0", "lever/Gone-v0"} <= {game.id for game in list_games()}
    with pytest.raises(ConfigError, match=r"there is no module 'leverworks\.nowhere'"):
        find_game("lever/Lost-v0")
    with pytest.raises(ConfigError, match=r"module 'leverworks\.games' has no attribute 'Handle'"):
        find_game("lever/Gone-v0")
    (fault,) = check_game("lever/Gone-v0").faults
    assert "has no attribute 'Handle'" in fault.what


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("import gymnasium\n\nraise ValueError('half done')\n", r"ValueError: half done \(broken\.py, line 3\)"),
        ("def game(:\n", r"SyntaxError: invalid syntax \(broken\.py, line 1\)"),
        ("from gymnasium import Gome\n", r"ImportError: cannot import name 'Gome' from .* \(broken\.py, line 1\)"),
    ],
)
def test_a_module_that_raises_is_one_line_with_the_place(text: str, said: str, installed: Path) -> None:
    (installed / "leverworks" / "broken.py").write_text(text)
    words = rf"^game '.*': importing 'leverworks\.broken' raised {said}$"
    with pytest.raises(ConfigError, match=words):
        find_game("leverworks.broken:Lever-v0")
    with pytest.raises(ConfigError, match=words):
        load_attribute("leverworks.broken:Lever", kind="game")
    (fault,) = check_game("leverworks.broken:Lever-v0").faults
    assert "importing 'leverworks.broken' raised" in fault.what


@pytest.mark.parametrize("name", [":Lever-v0", ".games:Lever-v0", "leverworks..games:Lever-v0"])
def test_a_name_that_no_module_can_have_is_told_how_to_write_it(name: str) -> None:
    with pytest.raises(ConfigError, match=r"should be written 'Id-v0' or 'module:Id-v0'"):
        find_game(name)


def test_a_game_of_other_people_is_known_by_its_source(installed: Path) -> None:
    assert set(source_of_game("lever/Lever-v0")) == {"leverworks.games"}
    assert set(source_of_game("leverworks.registered:Lever-v0")) == {"leverworks.registered"}


@pytest.mark.parametrize("name", ["headstart/CartPole-v1", "CartPole-v1", "FrozenLake-v1", "MiniGrid-Fetch-5x5-N2-v0"])
def test_a_game_of_the_catalogue_or_of_gymnasium_has_no_source_of_its_own(name: str) -> None:
    assert source_of_game(name) == {}


def test_a_module_that_registers_another_id_is_answered_with_it(installed: Path) -> None:
    with pytest.raises(UnknownName, match=r"Leber-v0': did you mean 'leverworks\.registered:Lever-v0'\?"):
        find_game("leverworks.registered:Leber-v0")


def test_without_the_distribution_the_name_is_unknown() -> None:
    with pytest.raises(UnknownName, match="unknown game 'lever/Lever-v0'"):
        find_game("lever/Lever-v0")
