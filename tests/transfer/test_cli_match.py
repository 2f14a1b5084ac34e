"""`headstart match`, `evaluate --against` and `watch --play`: whole outputs, and mistakes in one line."""

import io
import json
from pathlib import Path

import pytest
import torch

from agents.algorithms import resolve
from agents.config import Evaluation, RunConfig
from agents.runs import Run
from agents.selfplay.matches import play_match, round_robin
from agents.selfplay.players import find_player, open_boards
from agents.training import train
from agents.watch.playing import Game
from envs.errors import ConfigError
from envs.task import Task
from envs.turns.opponents import find_opponent
from transfer.cli.app import run

TASK = Task(game="headstart/TicTacToe-v0")
SMALL = {"n_envs": 2, "n_steps": 16, "batch_size": 16, "n_epochs": 1, "net_arch": [8]}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """A folder of runs, and a finished one."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("runs")
    config = RunConfig(
        task=TASK,
        hyperparameters=resolve(TASK, "ppo", SMALL),
        steps=64,
        evaluation=Evaluation(every=64, episodes=2),
    )
    return root, train(config, root)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(list(arguments)) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(list(arguments)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_a_match_of_fixed_players_by_its_whole_output(capsys: pytest.CaptureFixture[str]) -> None:
    """First against first: who begins has three in a row before the other. 368 is where 4p(1 − p) = exp(−3.84/4)."""
    out = said(capsys, "match", "first", "first", "--game", "headstart/TicTacToe-v0", "--games", "4")
    assert out == (
        "headstart/TicTacToe-v0: 4 games a pair, both seats equally often, sampled, seed 0\n"
        "\n"
        "player    games  win  draw  loss  win rate            95 %  Elo    Elo, 95 %\n"
        "first #1      4    2     0     2     0.500  0.150 to 0.850    0       anchor\n"
        "first #2      4    2     0     2     0.500  0.150 to 0.850    0  -368 to 368\n"
        "\n"
        "Win rates: draws as halves, Wilson's interval. Elo: Bradley and Terry's model by maximum likelihood, "
        "first #1 = 0, intervals of the profile likelihood.\n"
    )


def test_a_round_robin_as_json(home: tuple[Path, Run], capsys: pytest.CaptureFixture[str]) -> None:
    root, trained = home
    names = ["match", trained.key[:6], "random", "scripted", "--runs", str(root), "--games", "6", "--json"]
    found = json.loads(said(capsys, *names))
    assert found["anchor"] == "random"
    assert {row["name"] for row in found["players"]} == {trained.key[:8], "random", "scripted"}
    assert len(found["matches"]) == 3
    for row in found["players"]:
        assert row["wins"] + row["draws"] + row["losses"] == 12
        assert row["win_rate"]["low"] <= row["win_rate"]["value"] <= row["win_rate"]["high"]
    elos = [row["elo"]["value"] for row in found["players"]]
    assert elos == sorted(elos, reverse=True)
    assert json.loads(said(capsys, *names)) == found


def test_an_evaluation_against_a_pool(home: tuple[Path, Run], capsys: pytest.CaptureFixture[str]) -> None:
    root, trained = home
    words = ["evaluate", trained.key, "--runs", str(root), "--against", "random,first", "--episodes", "4", "--json"]
    found = json.loads(said(capsys, *words))
    assert [(row["player"], row["against"]) for row in found["matches"]] == [
        (trained.key[:8], "random"),
        (trained.key[:8], "first"),
    ]
    assert found["anchor"] == "random"


def test_a_plain_evaluation_tells_the_win_rate(home: tuple[Path, Run], capsys: pytest.CaptureFixture[str]) -> None:
    root, trained = home
    found = json.loads(said(capsys, "evaluate", trained.key, "--runs", str(root), "--episodes", "8", "--json"))
    assert found["wins"] + found["draws"] + found["losses"] == 8
    assert found["win_rate"]["value"] == pytest.approx((found["mean"] + 1) / 2)
    assert "win rate" in said(capsys, "evaluate", trained.key, "--runs", str(root), "--episodes", "2")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["match", "random"], "found one player, 'random', expected two or more"),
        (["match", "random", "first"], "no --game: name the game"),
        (["match", "random", "first", "--game", "headstart/CartPole-v1"], "is not played in turns"),
        (["match", "random", "first", "--game", "headstart/TicTacToe-v0", "--games", "3"], "expected an even number"),
        (["match", "rndom", "first", "--game", "headstart/TicTacToe-v0"], "did you mean 'random'"),
        (["match", "mcts", "first", "--game", "headstart/TicTacToe-v0"], "expected 'mcts:100'"),
        (["match", "random", "first", "--game", "headstart/TicTacToe-v0", "--anchor", "x"], "unknown player 'x'"),
        (["watch", "--play", "--game", "headstart/TicTacToe-v0"], "--play: found 0 opponents"),
        (["watch", "--play", "--against", "random", "--hints", "--game", "headstart/TicTacToe-v0"], "--hints: random"),
        (
            ["match", "random", "first", "--game", "headstart/TicTacToe-v0", "--change", "opponent=first"],
            "--change opponent=first: who sits at the board is said by the players' names",
        ),
        (
            ["watch", "--play", "--against", "first", "--game", "headstart/TicTacToe-v0", "--change", "against=random"],
            "--change against=random: who sits",
        ),
        (
            ["evaluate", "x", "--against", "first", "--change", "opponent=random"],
            "--change opponent=random: who sits",
        ),
        (["match", "run:", "first"], "player 'run:' names no run: expected run:KEY"),
        (["match", "mcts:99999999", "first"], "expected a whole number from 1 to 10000000"),
        (["match", "mcst:10", "first", "--game", "headstart/TicTacToe-v0"], "did you mean 'mcts:10'"),
        (
            ["match", "self", "first", "--game", "headstart/TicTacToe-v0"],
            "player 'self' is whoever learns in a training",
        ),
        (["train", "headstart/TicTacToe-v0", "--change", "opponent=mcst:10"], "did you mean 'mcts:10'"),
        (["watch", "--play", "--against", "mcts:5", "--game", "headstart/KuhnPoker-v0"], "would see what is hidden"),
        (["watch", "--play", "--seat", "third"], "'--seat': 'third' is not one of 'first', 'second' (see"),
        (["watch", "--seat", "second", "--game", "headstart/TicTacToe-v0", "--terminal"], "--seat without --play"),
        (["watch", "--play", "--against", "random", "--record", "a.gif"], "found --play and --record"),
        (["watch", "--game", "headstart/CartPole-v1", "--against", "random", "--terminal"], "--against: headstart/"),
    ],
)
def test_mistakes(arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in refused(capsys, *arguments, "--runs", str(tmp_path))


def test_a_run_of_another_game_does_not_play(home: tuple[Path, Run], capsys: pytest.CaptureFixture[str]) -> None:
    root, trained = home
    words = ["match", trained.key, "random", "--game", "headstart/ConnectFour-v0", "--runs", str(root)]
    assert "was trained with observations" in refused(capsys, *words)


def test_a_watched_game_shows_the_replies(home: tuple[Path, Run], capsys: pytest.CaptureFixture[str]) -> None:
    root, trained = home
    words = ["watch", trained.key, "--runs", str(root), "--against", "first", "--terminal", "--seed", "1"]
    lines = said(capsys, *words).splitlines()
    assert "second (o, light), against first" in lines[0]
    assert all("against first" in line for line in lines)
    assert any("who played" in line for line in lines[1:])
    assert lines[-1].endswith("terminated")


def play(typed: str, *, seat: int = 0, hints: bool = False, opponent: str = "first") -> str:
    boards, screen = open_boards(TASK), io.StringIO()
    Game(boards, find_opponent(opponent), seat=seat, hints=hints, file=screen, keyboard=io.StringIO(typed)).play()
    return screen.getvalue()


def test_a_person_wins() -> None:
    """First takes a3, b3, c3 from the left; the middle row wins before that."""
    out = play("a2\n5\nC2\n")
    assert out.startswith("headstart/TicTacToe-v0 against first: you play first (x, dark).")
    assert "first plays a3\n" in out
    assert "first plays b3\n" in out
    assert out.endswith("3 o o .\n2 x x x\n1 . . .\n  a b c\nyou win\n")


def test_a_person_loses_from_the_second_seat() -> None:
    out = play("a1\nb1\nc2\n", seat=1)
    assert out.endswith("3 x x x\n2 . . .\n1 o o .\n  a b c\nyou lose\n")


def test_what_cannot_be_played_is_said_and_asked_again() -> None:
    out = play("a2\nz9\na2\n\n99\nq\n")
    assert "found 'z9', expected the name or the number of a move above\n" in out
    assert "'a2' is not legal here: type one of the moves above\n" in out
    assert "found '', expected" in out
    assert "found '99', expected" in out
    assert out.endswith("no more moves: left the game\n")


def test_the_end_of_the_input_ends_the_game() -> None:
    assert play("").endswith("no more moves: left the game\n")


def test_hints_are_the_runs_probabilities(home: tuple[Path, Run]) -> None:
    root, trained = home
    boards, screen = open_boards(TASK), io.StringIO()
    opponent = find_player(trained.key, root).on(boards)
    Game(boards, opponent, hints=True, file=screen, keyboard=io.StringIO("b2\nq\n")).play()
    shares = [int(line.split()[-1].rstrip("%")) for line in screen.getvalue().splitlines() if line.endswith("%")]
    assert len(shares) == 9 + 7
    assert 97 <= sum(shares[:9]) <= 103
    assert "(it expects " in screen.getvalue()


def test_cards_of_the_other_are_not_shown() -> None:
    """While a game goes on, and after it where somebody has folded."""
    boards = open_boards(Task(game="headstart/KuhnPoker-v0"))
    for seed in range(12):
        screen = io.StringIO()
        keyboard = io.StringIO("pass\npass\n")
        Game(boards, find_opponent("random"), file=screen, keyboard=keyboard).play(seed=seed)
        *before, over = [part for part in screen.getvalue().split("\n\n") if part.startswith("first ")]
        assert before
        assert all("second  hidden" in part for part in before)
        assert ("second  hidden" in over) == ("random plays bet" in screen.getvalue())


def test_seats_are_swapped_and_numbers_the_same() -> None:
    """Two players of one kind: what the first gets in game 2i, the second gets in game 2i + 1."""
    boards = open_boards(TASK)
    found = play_match(boards.open, (find_opponent("random"), find_opponent("random")), 40, seed=3)
    assert (found.returns[::2] == found.returns[1::2, ::-1]).all()
    assert (found.lengths[::2] == found.lengths[1::2]).all()
    assert (found.returns.sum(axis=1) == 0).all()
    assert found.wins == found.losses


def test_games_do_not_depend_on_how_many_are_played() -> None:
    boards = open_boards(TASK)
    players = (find_opponent("random"), find_opponent("scripted"))
    few, many = (play_match(boards.open, players, n, seed=1) for n in (10, 50))
    assert (few.returns == many.returns[:10]).all()


def test_the_better_player_wins() -> None:
    players = [find_opponent(name) for name in ("minimax:9", "random", "first")]
    table = round_robin(open_boards(TASK).open, players[1:], 20)
    assert table.wins.sum() + table.draws.sum() / 2 == 20
    perfect = play_match(open_boards(TASK).open, (players[0], players[1]), 4)
    assert perfect.losses == 0


def test_matches_are_for_two() -> None:
    with pytest.raises(ConfigError, match="found 0 games, expected an even number"):
        play_match(open_boards(TASK).open, (find_opponent("random"), find_opponent("first")), 0)
