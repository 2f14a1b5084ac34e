"""The catalogue, plug-ins, and games that nobody listed."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector.utils import batch_space

from envs import catalogue
from envs.catalogue import Game, find_game, list_games, named
from envs.errors import ConfigError, MissingExtra, UnknownName
from envs.registry import EXTRA_OF_MODULE
from envs.vector import interface, make_vec

GAMES = list_games()
FAMILIES = {
    *("cartpole", "classic", "box2d", "minigrid", "grid", "minatar", "atari"),
    *("boards", "particles", "butterfly", "sisl"),
}

PLUGIN = """
import gymnasium as gym
import numpy as np

class Lamp(gym.Env):
    metadata = {"render_modes": [], "headstart": {
        "features": ["bulb", "switch"], "actions": ["off", "on"], "reference": 3.0, "summary": "Switch a lamp on"}}
    observation_space = gym.spaces.Box(0, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.full(2, action, np.float32), float(action), False, False, {}

gym.register("Lamp-v0", Lamp, max_episode_steps=5)
"""


@pytest.fixture
def lamp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module that registers Lamp-v0 when imported, as a user's own would."""
    (tmp_path / "lamp_game.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lamp_game", raising=False)
    monkeypatch.delitem(gym.registry, "Lamp-v0", raising=False)
    return "lamp_game"


@pytest.mark.filterwarnings("ignore:.*is out of date")
@pytest.mark.parametrize("game", [game for game in GAMES if not game.turns], ids=lambda game: game.id)
def test_a_listed_game_plays_and_its_names_fit(game: Game) -> None:
    venv = make_vec(game.id, n_envs=2, seed=0)
    said = interface(venv)
    assert said.features == game.features
    assert said.actions == game.actions
    assert said.features, "the names are as many as the observation, or its picture, has entries or planes"
    assert said.actions is not None
    observations = venv.reset()
    assert batch_space(venv.observation_space, venv.num_envs).contains(observations)
    for _ in range(3):
        venv.step(np.stack([venv.action_space.sample() for _ in range(venv.num_envs)]))
    venv.close()


def test_every_game_has_a_family_a_summary_and_a_source_for_its_scores() -> None:
    assert {game.family for game in GAMES} == FAMILIES
    for game in GAMES:
        assert game.listed
        assert game.summary
        assert "\n" not in game.summary
        scores = {"random": game.random, "reference": game.reference, "threshold": game.threshold}
        for name, score in scores.items():
            assert score is None or f"{name}: " in game.score_source
        assert not game.extra or EXTRA_OF_MODULE[game.requires or ""] == game.extra
    assert len({game.id for game in GAMES}) == len(GAMES)


@pytest.mark.parametrize(
    "game", [game for game in GAMES if not game.entry and not game.turns], ids=lambda game: game.id
)
def test_thresholds_are_gymnasiums(game: Game) -> None:
    find_game(game.id)
    if game.requires:
        catalogue.import_quietly(game.requires, game.id)
    assert gym.spec(game.id).reward_threshold == game.threshold


def test_a_table_inherits_from_its_kind() -> None:
    moon = find_game("headstart/CartPoleMoon-v1")
    assert (moon.arguments, moon.batched, moon.actions) == ({"gravity": 1.62}, True, ("left", "right"))
    assert find_game("MiniGrid-DoorKey-5x5-v0").adapt == "envs.minigrid:symbols"
    assert find_game("mpe2/simple_spread_v3").multiagent


def test_listing_imports_nothing_heavy() -> None:
    program = (
        "import sys; from envs import list_games, find_game; list_games(); find_game('CartPole-v1');"
        "heavy = {'gymnasium', 'torch', 'numba', 'numpy', 'minigrid', 'pygame'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_an_unlisted_id_of_a_listed_kind_is_played_as_its_kind() -> None:
    game = find_game("MiniGrid-Fetch-5x5-N2-v0")
    assert not game.listed
    assert game.adapt == "envs.minigrid:symbols"
    assert interface(make_vec("MiniGrid-Fetch-5x5-N2-v0")).features == ("object", "colour", "state")


def test_an_id_of_a_kind_that_we_make_ourselves_stays_gymnasiums(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName):
        find_game("MinAtar/Other-v0")
    monkeypatch.setitem(gym.registry, "MinAtar/Other-v0", gym.spec("FrozenLake-v1"))
    assert find_game("MinAtar/Other-v0").entry is None, "our maker would make another game of it"


def test_any_id_of_gymnasium_is_found() -> None:
    game = find_game("FrozenLake-v1")
    assert (game.listed, game.entry, game.threshold) == (False, None, 0.7)
    assert game.score_source == "threshold: Gymnasium's reward_threshold"
    assert "gymnasium.envs.toy_text" in game.summary


def test_a_module_is_imported_for_its_id(lamp: str) -> None:
    game = find_game(f"{lamp}:Lamp-v0")
    assert (game.id, game.listed) == (f"{lamp}:Lamp-v0", False)
    venv = make_vec(f"{lamp}:Lamp-v0", n_envs=2)
    venv.reset()
    assert interface(venv).features == ("bulb", "switch")
    for _ in range(5):
        *_, dones, infos = venv.step(np.array([0, 1]))
    assert dones.all()
    assert infos[1]["TimeLimit.truncated"]
    assert infos[1]["episode"]["r"] == 5


def test_a_plug_in_is_listed_and_tells_its_names(lamp: str, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("lamp", f"{lamp}:Lamp", catalogue.GROUP)
    monkeypatch.setattr(catalogue, "entry_points", lambda group: [point] if group == catalogue.GROUP else [])
    assert Game("lamp", family="plug-in", entry=f"{lamp}:Lamp") in list_games()
    assert lamp not in sys.modules, "listing plug-ins imports none of them"
    game = find_game("lamp")
    assert (game.features, game.reference, game.summary) == (("bulb", "switch"), 3.0, "Switch a lamp on")
    venv = make_vec("lamp", n_envs=2)
    assert interface(venv).actions == ("off", "on")
    assert venv.reset().shape == (2, 2)
    with pytest.raises(UnknownName, match="did you mean 'lamp'"):
        find_game("lmap")


def test_what_an_environment_says_of_itself_wins() -> None:
    game = Game("x", features=("a",), threshold=1.0)
    told: dict[str, Any] = {"headstart": {"features": ["b"], "threshold": None, "batched": True}}
    assert named(game, told) == Game("x", features=("b",), threshold=1.0)
    assert named(game, {}) == game


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("headstart/CartPol-v1", "unknown game 'headstart/CartPol-v1': did you mean 'headstart/CartPole-v1'"),
        ("cartpole-v1", "did you mean 'CartPole-v1'"),
        ("FrozenLak-v1", "did you mean 'FrozenLake-v1'"),
        ("MiniGrid-DoorKey-5x5", "did you mean 'MiniGrid-DoorKey-5x5-v0'"),
        ("LunarLander-v7", "did you mean 'LunarLander-v3'"),
        ("MinAtar/Frogger-v1", "did you mean 'MinAtar/Freeway-v1'"),
        ("", "unknown game ''"),
    ],
)
def test_an_unknown_game_suggests_the_nearest(name: str, words: str) -> None:
    with pytest.raises(UnknownName, match=words) as caught:
        find_game(name)
    assert "\n" not in str(caught.value)


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"game 'nowhere:Some-v0': there is no module 'nowhere'; is it installed"):
        find_game("nowhere:Some-v0")
    with pytest.raises(ConfigError, match=r"':Some-v0' should be written 'Id-v0' or 'module:Id-v0'"):
        find_game(":Some-v0")


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "find_spec", lambda module: None)
    with pytest.raises(MissingExtra, match=r"pip install 'headstart\[box2d\]'"):
        find_game("LunarLander-v3")
    with pytest.raises(MissingExtra, match=r"pip install 'headstart\[minatar\]'"):
        make_vec("MinAtar/Breakout-v1")
    with pytest.raises(MissingExtra, match=r"pip install 'minigrid'"):
        find_game("MiniGrid-Empty-5x5-v0")
    assert find_game("CartPole-v1").id == "CartPole-v1"
