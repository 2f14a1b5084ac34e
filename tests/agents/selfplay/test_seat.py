"""A seat that is watched: what the others have played is said, also before its first move."""

from pathlib import Path

import numpy as np
import pytest

from agents.rollout import Player
from agents.selfplay.seat import OneSeat, move_names
from agents.stage import open_stage
from envs.masks import MASK
from envs.task import Task
from envs.turns.making import evaluated
from envs.vector import make_vec

TASK = Task(game="headstart/TicTacToe-v0", arguments={"against": "first"})


def test_whoever_moves_first_is_heard_before_the_first_step() -> None:
    stage = open_stage(TASK, text=True)
    stage.reset(0)
    assert stage.said() == "first (x, dark), against first"
    seen = stage.reset(1)
    assert isinstance(seen, dict)
    assert stage.said() == "second (o, light), against first, who played a3"
    stage.step(np.array([int(seen[MASK][0].argmax())]))
    assert stage.said() == "second (o, light), against first, who played c3"
    stage.close()


def test_an_episode_that_ends_before_the_first_move_is_not_told_of() -> None:
    stage = open_stage(Task.customised(TASK.game, {"against": "first", "time_limit": 1}), text=True)
    for seed in range(6):
        stage.reset(seed)
        assert stage.said() == "first (x, dark), against first"  # who sits second would never move
    stage.close()


def test_moves_are_called_as_the_board_is_drawn() -> None:
    """Whoever sees the board turned plays by the names of what is shown: each stone is where its name says."""
    for game in ("headstart/Hex-v0", "headstart/Breakthrough-v0"):
        stage = open_stage(Task(game=game, arguments={"against": "random"}), text=True)
        assert isinstance(stage, OneSeat)
        for seed in range(4):
            seen = stage.reset(seed)
            for action in (0, 1, 2):
                names, sign = stage.spoken(), "xo"[seed % 2]
                legal = np.flatnonzero(seen[MASK][0])
                assert names is not None
                name = names[int(legal[action])]
                before = cells(stage.text() or "")
                assert before[name[:2]] == ("." if game == "headstart/Hex-v0" else sign)
                seen, *_ = stage.step(legal[action : action + 1])
                assert cells(stage.text() or "")[name[:2]] == (sign if game == "headstart/Hex-v0" else "."), name
        stage.close()


def cells(text: str) -> dict[str, str]:
    """What stands where, by the names beside a board."""
    rows = [line.split() for line in text.splitlines()]
    return {f"{column}{row[0]}": sign for row in rows[:-1] for column, sign in zip("abcdefgh", row[1:], strict=False)}


def test_the_names_of_a_frame_are_those_of_its_seat() -> None:
    player = Player(None, Task(game="headstart/Hex-v0", arguments={"against": "first"}), text=True)
    for seed in (0, 1):
        frame = next(player.episode(seed))
        assert frame.decisions[0].names == move_names(player.stage._games, seed)  # type: ignore[attr-defined]
    assert frame.decisions[0].names[:2] == ("a5", "a4")
    player.close()


def test_a_watched_seat_and_a_learner_see_their_own_hand_alone() -> None:
    task = Task(game="headstart/LeducPoker-v0", arguments={"against": "random", "opponent": "random"})
    stage, pictured = open_stage(task, text=True), open_stage(task)
    venv = make_vec(task, n_envs=2, seed=0, render="ansi")
    venv.reset()
    for seat, other in ((0, 1), (1, 0)):
        stage.reset(seat)
        pictured.reset(seat)
        games = pictured._games  # type: ignore[attr-defined]
        shown = pictured.picture()
        assert shown is not None
        assert np.array_equal(shown, games.picture(0, seat))
        for text in (stage.text(), venv.env_method("render")[seat]):
            assert text is not None
            lines = text.splitlines()
            assert "hidden" in lines[other]
            assert " of " in lines[seat]
    stage.close()
    pictured.close()


def test_a_watched_episode_earns_what_an_evaluated_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """Step by step, from both seats, also where every move is paid: the winner more and the loser less."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "envs" / "turns")
    task = Task(game="brokengames:Counting", arguments={"against": "first", "wrong": "paid"})
    stage, venv = open_stage(task), make_vec(evaluated(task), n_envs=1)
    for seed, expected in ((0, [0.5, 0.5, 0.5, 1.5]), (1, [0.5, 0.5, -0.5])):
        stage.reset(seed)
        venv.seed(seed)
        venv.reset()
        earned, paid, over = [], [], False
        while not over:
            _, reward, over, cut = stage.step(np.zeros(1, dtype=np.int64))
            _, rewards, dones, _ = venv.step(np.zeros(1, dtype=np.int64))
            assert dones[0] == over
            assert not cut
            earned.append(reward)
            paid.append(float(rewards[0]))
        assert earned == paid == expected
    stage.close()
