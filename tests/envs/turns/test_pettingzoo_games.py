"""PettingZoo's AEC games as boards: against stepping them by hand, and when they break the contract."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs import make_vec
from envs.check import check_game
from envs.errors import ConfigError, GameError
from envs.masks import MASK, SEEN
from envs.task import Task
from envs.turns.games import OVER
from envs.turns.opponents import uniform
from envs.turns.pettingzoo import PettingZooGames

sys.path.append(str(Path(__file__).parent))
from brokengames import Counting


def by_name(name: str) -> Any:
    """The environment as PettingZoo makes it."""
    from pettingzoo.classic.connect_four import connect_four
    from pettingzoo.classic.tictactoe import tictactoe

    return {"connect_four_v3": connect_four, "tictactoe_v3": tictactoe}[name].env()


@pytest.mark.parametrize("name", ["connect_four_v3", "tictactoe_v3"])
def test_boards_are_those_stepped_by_hand(name: str) -> None:
    """Observations, masks, who is to move, rewards and ends."""
    games, twin = PettingZooGames(name, lambda: by_name(name), 2), by_name(name)
    choice, board = np.random.default_rng(0), np.array([1])
    for _ in range(5):
        games.reset(board, [np.random.default_rng(0)])
        twin.reset(seed=0)
        while games.to_move()[1] != OVER:
            agent = twin.agent_selection
            player = int(games.to_move()[1])
            assert twin.possible_agents[player] == agent
            seen, _, terminated, truncated, _ = twin.last()
            assert not terminated
            assert not truncated
            np.testing.assert_array_equal(games.observe(board, np.array([player]))[0], seen[SEEN])
            np.testing.assert_array_equal(games.masks(board)[0], seen[MASK])
            action = uniform(games.masks(board), choice.random(1))
            games.apply(board, action)
            twin.step(int(action[0]))
        assert all(twin.terminations.values())
        assert games.returns(board)[0].tolist() == [twin._cumulative_rewards[agent] for agent in twin.possible_agents]
        assert not games.masks(board).any()


@pytest.mark.parametrize("name", ["connect_four_v3", "tictactoe_v3"])
def test_a_twin_is_the_same_game(name: str) -> None:
    """OpenSpiel's twin allows the same moves and ends alike, whatever is played."""
    venv = make_vec(Task(game=f"pettingzoo/{name}", arguments={"opponent": "random"}), n_envs=1)
    games: Any = venv.unwrapped.games  # type: ignore[attr-defined]
    choice, board = np.random.default_rng(0), np.array([0])
    for seed in range(30):
        games.reset(board, [np.random.default_rng(seed)])
        while True:
            position = games.search(0)
            assert position.state.is_terminal() == (games.to_move()[0] == OVER)
            if position.state.is_terminal():
                break
            legal = sorted(position.ours(action) for action in position.state.legal_actions())
            assert legal == np.flatnonzero(games.masks(board)[0]).tolist()
            games.apply(board, uniform(games.masks(board), choice.random(1)))
        assert position.state.returns() == games.returns(board)[0].tolist()


def counting(n_boards: int = 2, **settings: Any) -> PettingZooGames:
    """Boards of the counting game."""
    return PettingZooGames("counting", lambda: Counting(**settings), n_boards)


def play_on(games: PettingZooGames) -> None:
    """Add one until the game is over."""
    boards = np.arange(games.n_boards)
    games.reset(boards, [np.random.default_rng(int(board)) for board in boards])
    while (live := np.flatnonzero(games.to_move() != OVER)).size:
        games.observe(live, games.to_move()[live])
        games.masks(live)
        games.apply(live, np.zeros(len(live), dtype=np.int64))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("mask", r"has no legal action for 'player_0' after 2 plies: its action_mask is all 0"),
        ("long mask", r"returned the action_mask \[1 1 1\].*expected 2 times 0 or 1"),
        ("shape", r"observation of shape \(5,\) after 2 plies; its space says \(2,\)"),
        ("nan", "returned NaN or infinity after 2 plies"),
        ("raises", "raised RuntimeError.'the dog ate it'. after 2 plies"),
        ("appears", "stranger appeared after 2 plies; expected agents to stay"),
        ("vanishes", "player_1 vanished after 2 plies without having terminated or been truncated"),
        ("reward", "returned the reward .*inf.* after 2 plies"),
        ("no reward", "gave no reward for player_0 after 2 plies; expected one in rewards for each"),
        ("selects", "selected the agent 'nobody'; expected one of possible_agents: player_0, player_1"),
    ],
)
def test_a_game_that_breaks_the_contract_is_named(wrong: str, words: str) -> None:
    """One line: what was found, when, and what was expected."""
    with pytest.raises((GameError), match=words):
        play_on(counting(wrong=wrong))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("nobody", "has no possible_agents"),
        ("spaces", "agents with differing spaces"),
        ("actions", r"has the actions Box\(.*expected Discrete ones"),
    ],
)
def test_a_game_that_cannot_be_learnt_is_refused(wrong: str, words: str) -> None:
    """Before anything is played."""
    with pytest.raises(ConfigError, match=words):
        counting(wrong=wrong)


def test_truncation_stays_apart() -> None:
    """A game that cuts itself off is truncated, not lost."""
    games = counting(limit=3)
    play_on(games)
    assert games.cut(np.array([0, 1])).tolist() == [True, True]
    assert not games.returns(np.array([0])).any()
    games = counting()
    play_on(games)
    assert not games.cut(np.array([0, 1])).any()
    assert games.returns(np.array([0])).tolist() == [[1.0, -1.0]]


def test_who_terminates_is_not_cut_off() -> None:
    """Not even where the others are truncated in the same move."""
    games = counting(limit=3, wrong="half")
    play_on(games)
    assert not games.cut(np.array([0, 1])).any()


def test_a_learner_is_told_of_the_truncation() -> None:
    """The game's own, apart from an end."""
    for settings, truncated in (({"limit": 3}, True), ({"goal": 4}, False)):
        venv = make_vec(
            Task(game="brokengames:Counting", arguments={"opponent": "first", **settings}), n_envs=2, seed=0
        )
        venv.reset()
        ended = []
        for _ in range(8):
            _, _, dones, infos = venv.step(np.zeros(2, dtype=np.int64))
            ended += [info["TimeLimit.truncated"] for info, done in zip(infos, dones, strict=True) if done]
        assert len(ended) >= 4
        assert set(ended) == {truncated}


def test_rewards_are_counted_once() -> None:
    """Also where one who is out leaves, and the game does not take back what was in its rewards."""
    games = counting(players=3, wrong="echo")
    games.reset(np.array([0]), [np.random.default_rng(0)])
    for _ in range(2):
        games.apply(np.array([0]), np.array([0]))
    assert games.to_move()[0] == 2
    assert games.returns(np.array([0]))[0].tolist() == [0.0, -1.0, 0.0]


def test_three_players_and_their_returns() -> None:
    """All others lose, the learner among them wherever it sits."""
    games = counting(players=3, goal=4)
    play_on(games)
    assert games.returns(np.array([0]))[0].tolist() == [1.0, -1.0, -1.0]


def test_a_state_is_the_seed_and_the_moves() -> None:
    """A game that draws chance from its seed goes on alike."""
    one, other = counting(), counting()
    boards = np.array([0, 1])
    one.reset(boards, [np.random.default_rng(3), np.random.default_rng(4)])
    one.apply(boards, np.array([0, 1]))
    other.set_state(one.get_state(), [np.random.default_rng(0)] * 2)
    np.testing.assert_array_equal(one.observe(boards, np.array([0, 0])), other.observe(boards, np.array([0, 0])))
    assert one.to_move().tolist() == other.to_move().tolist() == [1, 1]


def test_any_game_by_module_and_function() -> None:
    """It is made, named by its metadata and played; a search is refused in one line."""
    task = Task(game="brokengames:counting", arguments={"opponent": "random"})
    venv = make_vec(task, n_envs=3, seed=0)
    assert (venv.metadata or {})["headstart"]["actions"] == ("one", "two")
    observations: Any = venv.reset()
    assert observations[SEEN].shape == (3, 2)
    ended = 0
    for _ in range(30):
        _, rewards, dones, infos = venv.step(np.zeros(3, dtype=np.int64))
        ended += int(dones.sum())
        assert all(abs(reward) == done for reward, done in zip(rewards, dones, strict=True))
        assert all(("episode" in info) == done for info, done in zip(infos, dones, strict=True))
    assert ended > 5
    with pytest.raises(ConfigError, match="OpenSpiel has no twin of brokengames:counting"):
        make_vec(task.changed({"opponent": "mcts:5"}), n_envs=1)


def test_checks_find_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sound game passes; one that draws chance past its seed is told so."""
    report = check_game("brokengames:counting", steps=60)
    assert report.fine, report.faults
    assert "PettingZoo's api_test passes" in report.passed
    assert report.steps_per_second
    monkeypatch.setattr("brokengames.Counting.__init__.__defaults__", (7, 2, "unseeded", None))
    report = check_game("brokengames:counting", steps=60)
    said = " ".join(fault.what for fault in report.faults)
    assert "same seed and moves differ" in said
    assert "state was put back plays otherwise" in said
