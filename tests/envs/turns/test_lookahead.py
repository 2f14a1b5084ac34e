"""Opponents that look ahead: they find what is to be found, and the same again from the same generator."""

import sys
from typing import Any

import numpy as np
import pytest

from envs import make_vec
from envs.errors import ConfigError, MissingExtra
from envs.masks import MASK
from envs.task import Task
from envs.turns import openspiel
from envs.turns.games import OVER
from envs.turns.opponents import chosen, find_opponent, uniform


def position(moves: list[int], games: Any = None) -> Any:
    """One board of tic-tac-toe, or of what is given, after some moves."""
    games = games or openspiel.tic_tac_toe(1)
    games.reset(np.array([0]), [np.random.default_rng(0)])
    for move in moves:
        games.apply(np.array([0]), np.array([move]))
    return games


def plays(name: str, games: Any, seed: int = 0) -> int:
    """What an opponent plays on board 0."""
    found = chosen(find_opponent(name), games, np.array([0]), games.to_move()[:1], [np.random.default_rng(seed)])
    return int(found[0])


@pytest.mark.parametrize("name", ["scripted", "minimax:1", "minimax:5", "mcts:500"])
def test_a_win_is_taken(name: str) -> None:
    """Two in a row and the third free, for either player."""
    assert {plays(name, position([0, 3, 1, 4]), seed) for seed in range(5)} == {2}
    assert {plays(name, position([0, 3, 1, 4, 8]), seed) for seed in range(5)} == {5}


@pytest.mark.parametrize("name", ["scripted", "minimax:2", "minimax:5", "mcts:500"])
def test_a_loss_is_blocked(name: str) -> None:
    """The other's two in a row."""
    assert {plays(name, position([0, 4, 1]), seed) for seed in range(5)} == {2}


def test_connect_four_is_blocked_from_both_seats() -> None:
    """Three stones in column 4, for either player to stop."""
    games = position([3, 0, 3, 0, 3], openspiel.connect_four(1))
    assert plays("scripted", games) == plays("minimax:2", games) == 3
    games = position([6, 3, 6, 3, 0, 3], openspiel.connect_four(1))
    assert plays("scripted", games) == plays("minimax:2", games) == 3


def test_what_turned_boards_win_is_a_win() -> None:
    """In breakthrough and hex, where a player's actions are not OpenSpiel's, both players take a win in one."""
    for make, sizes in ((openspiel.breakthrough, {"rows": 4, "columns": 3}), (openspiel.hex_, {"size": 3})):
        games: Any = make(1, **sizes)
        choice, won = np.random.default_rng(0), {0: 0, 1: 0}
        for seed in range(30):
            games.reset(np.array([0]), [np.random.default_rng(seed)])
            while (player := int(games.to_move()[0])) != OVER:
                state = games.states[0]
                wins = [a for a in state.legal_actions() if state.child(a).player_return(player) > 0]
                action = (
                    plays("scripted", games, seed)
                    if wins
                    else int(uniform(games.masks(np.array([0])), choice.random(1))[0])
                )
                games.apply(np.array([0]), np.array([action]))
                if wins:
                    assert games.returns(np.array([0]))[0, player] == 1
                    won[player] += 1
        assert min(won.values()) > 3


def test_perfect_play_never_loses_tic_tac_toe() -> None:
    """Minimax to the end draws against itself and never loses to a random player."""
    task = Task(game="headstart/TicTacToe-v0", arguments={"opponent": "minimax:6"})
    venv = make_vec(task, n_envs=2, seed=0)
    observations: Any = venv.reset()
    choice, earned = np.random.default_rng(0), []
    for _ in range(15):
        observations, _, _, infos = venv.step(uniform(observations[MASK], choice.random(2)))
        earned += [info["episode"]["r"] for info in infos if "episode" in info]
    assert max(earned) <= 0


@pytest.mark.parametrize("name", ["random", "scripted", "minimax:2", "mcts:50"])
def test_the_generator_decides(name: str) -> None:
    """The same generator, the same move; others differ where moves are alike."""
    games = position([], openspiel.connect_four(1))
    assert len({plays(name, games, 7) for _ in range(3)}) == 1
    if name != "mcts:50":
        assert len({plays(name, games, seed) for seed in range(20)}) > 3


def test_random_is_uniform_over_what_is_legal() -> None:
    """Each legal action as often, and no other."""
    masks = np.tile(np.array([0, 1, 0, 1, 1], dtype=np.int8), (3000, 1))
    drawn = np.bincount(uniform(masks, np.random.default_rng(0).random(3000)), minlength=5)
    assert drawn[[0, 2]].sum() == 0
    assert drawn[[1, 3, 4]].min() > 900
    assert uniform(masks[:1], np.array([np.nextafter(1, 0)])).tolist() == [4]


@pytest.mark.parametrize("name", ["mcts:10", "minimax:2", "scripted"])
def test_nobody_looks_at_hidden_cards(name: str) -> None:
    """A search would see the other's card: refused in one line."""
    games = position([], openspiel.leduc_poker(1))
    with pytest.raises(ConfigError, match="would see what is hidden"):
        plays(name, games)


def test_a_search_without_openspiel_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PettingZoo's own game could be played without."""
    monkeypatch.setitem(sys.modules, "pyspiel", None)
    with pytest.raises(MissingExtra, match=r"opponent 'scripted' needs the package 'pyspiel'.*'headstart\[boards\]'"):
        make_vec(Task(game="pettingzoo/tictactoe_v3", arguments={"opponent": "scripted"}))
