"""The learner's seat on many boards: rewards, seats, opponents, seeds, limits and states."""

from typing import Any

import numpy as np
import pytest

from envs import Game, list_games, make_vec
from envs.errors import ConfigError, GameError, HeadstartError
from envs.masks import MASK, SEEN, is_masked
from envs.task import Task
from envs.turns.making import evaluated
from envs.turns.opponents import First, FixedPool, Random, find_opponent, uniform
from envs.turns.vector import TurnsVecEnv
from envs.vector import interface


def venv_of(
    game: str = "headstart/TicTacToe-v0", n_envs: int = 4, seed: int | None = 0, **settings: Any
) -> TurnsVecEnv:
    """Boards against a random opponent, unless said otherwise."""
    task = Task.customised(game, {"opponent": "random", **settings})
    venv = make_vec(task, n_envs=n_envs, seed=seed)
    assert isinstance(venv, TurnsVecEnv)
    return venv


def random_play(venv: TurnsVecEnv, steps: int, seed: int = 0) -> list[Any]:
    """All that steps of random legal moves return."""
    choice = np.random.default_rng(seed)
    masks = venv.action_masks()
    told = []
    for _ in range(steps):
        observations, rewards, dones, infos = venv.step(uniform(masks, choice.random(venv.num_envs)))
        masks = observations[MASK]  # type: ignore[index, call-overload]
        told.append((observations, rewards, dones, infos))
    return told


def same(one: list[Any], other: list[Any]) -> bool:
    """Whether two plays are the same, but for the clock."""
    for (seen, rewards, dones, _), (again, others, ends, _) in zip(one, other, strict=True):
        if not all(np.array_equal(seen[part], again[part]) for part in (SEEN, MASK)):
            return False
        if rewards.tolist() != others.tolist() or dones.tolist() != ends.tolist():
            return False
    return True


def test_a_loss_reaches_the_loser() -> None:
    """Against one who wins wherever it can, losses arrive, in the step in which they happen, with their record."""
    venv = venv_of("headstart/ConnectFour-v0", n_envs=8, opponent="scripted")
    venv.reset()
    lost = 0
    for _, rewards, dones, infos in random_play(venv, 60):
        for reward, done, info in zip(rewards, dones, infos, strict=True):
            assert done or reward == 0
            if done:
                assert info["episode"]["r"] == reward
                assert not info["TimeLimit.truncated"]
                assert info["opponent"] == "scripted"
                lost += reward == -1
    assert lost > 20


def test_rewards_are_the_games_returns() -> None:
    """From the learner's seat, in chips too, whatever the opponent's last move was."""
    venv = venv_of("headstart/LeducPoker-v0", n_envs=6)
    venv.reset()
    told = random_play(venv, 300)
    earned = np.array([info["episode"]["r"] for *_, infos in told for info in infos if "episode" in info])
    assert set(np.abs(earned)) <= {0, 1, 3, 5, 7, 9, 11, 13}
    assert earned.size > 300
    assert abs(earned.mean()) < 1
    assert (earned < 0).any()
    assert (earned > 0).any()


def test_the_first_seed_says_seat_and_opponent() -> None:
    """Seed s sits at s mod 2 against opponent (s div 2) mod 3; each seat moves as it should."""
    venv = venv_of(n_envs=12, opponent=["random", "first", "scripted"])
    venv.reset()
    assert venv.seats.tolist() == [0, 1] * 6
    assert venv.against.tolist() == [0, 0, 1, 1, 2, 2] * 2
    observations = venv._observations()
    begun = observations[SEEN].sum(axis=(1, 2, 3))
    assert begun.tolist() == [0, 1] * 6  # where the learner is second, the other has moved


def test_later_episodes_draw_seats_and_opponents() -> None:
    """Both seats and all opponents, from the board's own generator."""
    venv = venv_of(n_envs=4, opponent=["random", "first"])
    venv.reset()
    infos = [info for *_, infos in random_play(venv, 200) for info in infos if "episode" in info]
    assert {info["seat"] for info in infos} == {0, 1}
    names = [info["opponent"] for info in infos]
    assert set(names) == {"random", "first"}
    assert 0.3 < names.count("first") / len(names) < 0.7


def test_the_same_seed_plays_the_same() -> None:
    """And another seed does not; a board plays as it does alone."""
    one, other, third = (venv_of("headstart/ConnectFour-v0", seed=seed) for seed in (5, 5, 6))
    for venv in (one, other, third):
        venv.reset()
    plays = [random_play(venv, 40) for venv in (one, other, third)]
    assert same(plays[0], plays[1])
    assert not same(plays[0], plays[2])


@pytest.mark.parametrize("game", ["headstart/ConnectFour-v0", "headstart/LeducPoker-v0", "pettingzoo/tictactoe_v3"])
def test_a_state_that_is_put_back_goes_on_alike(game: str) -> None:
    """Boards, generators, seats, who plays, returns and lengths."""
    one, other = venv_of(game, opponent=["random", "first"]), venv_of(game, seed=99, opponent=["random", "first"])
    one.reset()
    other.reset()
    random_play(one, 7)
    state = one.get_state()
    observations = other.set_state(state)
    np.testing.assert_array_equal(observations[SEEN], one._observations()[SEEN])
    assert same(random_play(one, 30, seed=3), random_play(other, 30, seed=3))


def test_exact_resuming_takes_the_state() -> None:
    """What a checkpoint asks of environments."""
    from agents.resuming.environments import state, try_out

    venv = venv_of()
    venv.reset()
    try_out(venv)
    assert "arrays" in state(venv)[-1]


def test_the_time_limit_truncates() -> None:
    """In plies of both; what was seen last comes with it, and nothing was lost."""
    venv = venv_of("headstart/Othello-v0", n_envs=2, time_limit=6)
    venv.reset()
    for _, rewards, dones, infos in random_play(venv, 12):
        for reward, done, info in zip(rewards, dones, infos, strict=True):
            if done:
                assert info["TimeLimit.truncated"]
                assert info["episode"]["l"] == 3
                assert reward == 0
                assert info["terminal_observation"][SEEN].sum() == 4 + 6
                mask = info["terminal_observation"][MASK]
                assert mask.any()
                assert mask.all() == (info["seat"] == 1)  # whose turn it is not; the first may go on as the rules say
    assert dones.any() or any(told[2].any() for told in random_play(venv, 3))


def test_boards_that_play_once_rest_when_they_are_over() -> None:
    """Until all begin anew, while the others go on as if nothing were."""
    venv, usual = (venv_of("headstart/ConnectFour-v0", n_envs=6, opponent="scripted") for _ in range(2))
    venv.once = True
    for _ in range(2):
        over, choice = np.zeros(6, dtype=bool), np.random.default_rng(1)
        venv.seed(3), usual.seed(3)
        seen, expected = venv.reset(), usual.reset()
        while not over.all():
            draws = choice.random(6)
            moves, others = (uniform(each[MASK], draws) for each in (seen, expected))  # type: ignore[index, call-overload]
            seen, rewards, dones, _ = venv.step(moves)
            expected, gains, ends, _ = usual.step(others)
            assert not dones[over].any()
            assert not rewards[over].any()
            assert dones[~over].tolist() == ends[~over].tolist()
            assert rewards[~over].tolist() == gains[~over].tolist()
            over |= dones
            assert seen[MASK][over].all()  # type: ignore[index, call-overload]
            assert np.array_equal(seen[SEEN][~over], expected[SEEN][~over])  # type: ignore[index, call-overload]


def test_the_last_observation_is_the_final_board() -> None:
    """Full where it was a draw, and its mask allows everything, as nobody may move."""
    venv = venv_of(n_envs=8)
    venv.reset()
    for *_, infos in random_play(venv, 40):
        for info in infos:
            if "episode" in info:
                last = info["terminal_observation"]
                assert last[MASK].all()
                stones = last[SEEN].sum(axis=(0, 1))
                assert abs(int(stones[0]) - int(stones[1])) <= 1
                assert info["episode"]["r"] != 0 or stones.sum() == 9


def test_spaces_and_names() -> None:
    """Masked, with the rules' own names at any size."""
    venv = venv_of("headstart/ConnectFour-v0", rows=4, columns=5)
    assert is_masked(venv.observation_space)
    found = interface(venv)
    assert found.features == ("mine", "theirs")
    assert found.actions == tuple(f"column {number}" for number in range(1, 6))
    assert found.anchor == ("end", "centre")
    observations: Any = venv.reset()
    assert venv.observation_space.contains({part: array[0] for part, array in observations.items()})


@pytest.mark.parametrize("game", [game for game in list_games() if game.turns], ids=lambda game: game.id)
def test_a_listed_game_of_turns_plays_and_is_named(game: Game) -> None:
    """Against a random player, with names for all that it shows and takes."""
    venv = make_vec(evaluated(Task(game=game.id)), n_envs=2, seed=0)
    found = interface(venv)
    assert found.features
    assert found.actions
    venv.reset()
    random_play(venv, 5)  # type: ignore[arg-type]
    assert (game.random, bool(game.reference)) == (0, True)


def test_masks_as_sb3_contrib_asks_for_them() -> None:
    """`get_action_masks`, by `env_method`."""
    masking = pytest.importorskip("sb3_contrib.common.maskable.utils")
    venv = venv_of(n_envs=3)
    observations = venv.reset()
    assert masking.is_masking_supported(venv)
    np.testing.assert_array_equal(masking.get_action_masks(venv), observations[MASK].astype(bool))
    assert venv.get_attr("seats") == [0, 1, 0]
    assert venv.get_attr("n_players", indices=[0]) == [2]


def test_boards_are_rendered() -> None:
    """As pictures, tiled, and as text."""
    task = Task(game="headstart/Hex-v0", arguments={"opponent": "random", "size": 3})
    venv = make_vec(task, n_envs=4, seed=0, render=True)
    venv.reset()
    images = venv.get_images()
    assert len(images) == 4
    picture = venv.render()
    assert picture is not None
    assert picture.shape[2] == 3
    texts = make_vec(task, n_envs=2, seed=0, render="ansi")
    texts.reset()
    assert "a b c" in texts.env_method("render")[0]


def test_a_task_is_evaluated_against_whom_it_says() -> None:
    """`against` takes the place of `opponent`; other games stay as they are."""
    task = Task(game="headstart/TicTacToe-v0", arguments={"against": ["random", "first"]})
    assert evaluated(task).arguments == {"opponent": ["random", "first"]}
    assert evaluated(Task(game="headstart/TicTacToe-v0")).arguments == {"opponent": "random"}
    assert evaluated(Task(game="CartPole-v1")) == Task(game="CartPole-v1")
    venv = make_vec(evaluated(task), n_envs=2, seed=0)
    venv.reset()


def test_a_trained_opponent_comes_with_a_pool() -> None:
    """Without it, one line says what is needed; with it, boards play."""
    venv = make_vec("headstart/TicTacToe-v0", n_envs=2, seed=0)
    assert isinstance(venv, TurnsVecEnv)
    with pytest.raises(ConfigError, match=r"opponent 'self' is a trained player.*or call set_pool"):
        venv.reset()
    venv.set_pool(FixedPool([Random(), First()]))
    venv.reset()
    random_play(venv, 10)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"opponent": "randm"}, "unknown opponent 'randm': did you mean 'random'"),
        ({"opponent": "mcts"}, "opponent 'mcts': expected 'mcts:100', say"),
        ({"opponent": "mcts:none"}, "found 'none' after the colon, expected a whole number from 1"),
        ({"opponent": "random:3"}, "opponent 'random:3': expected 'random'"),
        ({"opponent": 3}, "opponent is 3, expected a name or a list of names"),
        ({"opponent": []}, r"opponent is \[\], expected a name"),
        ({"against": {}}, "against is {}, expected a name"),
        ({"opponent": "nosuchmodule:player"}, "there is no module 'nosuchmodule'"),
        ({"opponent": "json:dumps"}, "opponent 'json:dumps' raised"),
        ({"sticky": 0.1}, "is played in turns, which the change 'sticky' does not know"),
        ({"actions": [0]}, "the change 'actions' does not know"),
        ({"size": 3}, "game 'headstart/TicTacToe-v0' takes no argument 'size': it takes opponent, against$"),
        ({"oponent": "self"}, "takes no argument 'oponent': did you mean 'opponent'. It takes opponent, against$"),
        ({"time_limt": 3}, "takes no argument 'time_limt': did you mean 'time_limit'"),
    ],
)
def test_what_cannot_be_asked_for(settings: dict[str, Any], words: str) -> None:
    """One clear line before anything is played."""
    with pytest.raises(HeadstartError, match=words):
        make_vec(Task.customised("headstart/TicTacToe-v0", {"opponent": "random", **settings}), n_envs=1)


@pytest.mark.parametrize(
    ("game", "settings", "words"),
    [
        ("headstart/ConnectFour-v0", {"rows": 0}, "game 'headstart/ConnectFour-v0': rows is 0: expected a whole"),
        (
            "headstart/ConnectFour-v0",
            {"row": 4},
            "takes no argument 'row': did you mean 'rows'. It takes rows, columns, in_a_row, opponent, against$",
        ),
        (
            "pettingzoo/tictactoe_v3",
            {"screen_scale": 4},
            "did you mean 'screen_height'. It takes render_mode, screen_",
        ),
        ("brokengames:Counting", {"gaol": 4}, "did you mean 'goal'. It takes goal, players, wrong, limit, opponent, a"),
        ("brokengames:misnamed", {"goal": 4}, "cannot be made: .*unexpected keyword argument 'gaol'$"),
        ("headstart/KuhnPoker-v0", {"opponent": ["random", "mcts:5"]}, "opponent 'mcts:5' would see what is hidden in"),
        ("headstart/LeducPoker-v0", {"against": "scripted"}, "'scripted' would see what is hidden in headstart/Leduc"),
        ("headstart/KuhnPoker-v0", {"opponent": "self", "against": "minimax:2"}, "'minimax:2' would see what is hid"),
    ],
)
def test_what_a_game_does_not_allow(
    game: str, settings: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line that names the game, when its boards are made."""
    from pathlib import Path

    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with pytest.raises(HeadstartError, match=words):
        make_vec(Task.customised(game, {"opponent": "random", **settings}), n_envs=1)


def test_an_illegal_action_of_the_learner_is_named() -> None:
    """With what is legal, and what to do."""
    venv = venv_of(n_envs=2)
    venv.reset()
    venv.step(np.array([4, 4]) if venv.action_masks()[:, 4].all() else np.array([4, 0]))
    illegal = (~venv.action_masks()).argmax(axis=1)
    with pytest.raises(GameError, match=r"the learner played the illegal action .*expected a policy that minds"):
        venv.step(illegal)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("brokengames:Cheat", "opponent 'brokengames:Cheat' played the illegal action"),
        ("brokengames:Sulker", "opponent 'sulker' raised RuntimeError.'not today'."),
        ("brokengames:Shortcut", r"opponent 'shortcut' returned float64 of shape \(1, 1\), expected"),
    ],
)
def test_an_opponent_that_breaks_the_rules_is_named(spec: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line."""
    from pathlib import Path

    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    venv = venv_of(n_envs=2, opponent=spec)
    with pytest.raises(GameError, match=words):
        venv.reset()


def test_an_opponent_that_plays_where_a_stone_lies_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An action that exists, and is not legal here."""
    from pathlib import Path

    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    venv = venv_of(n_envs=1, opponent="brokengames:Cheat")
    venv.reset()
    with pytest.raises(
        GameError, match=r"'brokengames:Cheat' played the illegal action 4 in .*legal are 0, 1, 2, 3, 5"
    ):
        venv.step(np.array([4]))


def test_a_function_that_makes_no_opponent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is told so."""
    from pathlib import Path

    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with pytest.raises(ConfigError, match="made None, expected an object with a method 'choose'"):
        find_opponent("brokengames:nobody")
