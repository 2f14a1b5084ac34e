"""The checks of games in which players take turns, on boards as `envs.turns` plays them."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from envs.catalogue import Game
from envs.check.peers import verdict
from envs.check.report import Broken, Fault, Report
from envs.errors import HeadstartError
from envs.masks import MASK
from envs.registry import load_attribute
from envs.task import Task
from envs.turns.games import OVER, TurnGames
from envs.turns.making import evaluated, games_of
from envs.turns.opponents import uniform
from envs.vector import make_vec

BOARDS = 3
Make = Callable[[int], TurnGames]


def check_turns(report: Report, game: Game, *, steps: int) -> None:
    """Everything that is wrong with a game of turns; `steps`: plies of each play."""

    def make(n_boards: int) -> TurnGames:
        return games_of(game, n_boards, dict(game.arguments))

    if game.vector_entry is None:
        _ask_pettingzoo(report, game)
    games: TurnGames | None = None
    with report.part("it can be made"):
        games = _told(lambda: make(BOARDS))
    if games is None:
        return
    with report.part("its names fit its spaces") as found:
        found += _misnamed(report, games)
    played: list[Any] = []
    with report.part("it can be played by legal moves to its end") as found:
        played = _told(lambda: _played(make(BOARDS), steps))
        if not any(isinstance(record, str) for record in played):
            report.note(f"no game of it ended within {steps} plies of random play")
    if not played:
        return
    with report.part("observations lie in observation_space") as found:
        found += _misfits(_told(lambda: make(1)), steps)
    with report.part("the same seed gives the same game") as found:
        if not _same(played, _told(lambda: _played(make(BOARDS), steps))):
            found.append(
                Fault(
                    "two new games with the same seed and moves differ",
                    "all chance from the generator that reset(seed) seeds",
                    "use self.np_random, made in reset(seed=...), and never the global generator",
                )
            )
    with report.part("its state can be taken out and put back") as found:
        found += _restored(make, steps)
    with report.part("a board can be shown as text and as a picture"):
        _told(lambda: (games.text(0), games.picture(0)) if _begun(games) else None)
    with report.part("several can be played side by side against somebody") as found:
        found += _against(report.game, steps)
    report.steps_per_second = _speed(make(1))


def _told(work: Callable[[], Any]) -> Any:
    """What the work returns. Raises Broken with the words of our own errors."""
    try:
        return work()
    except HeadstartError as error:
        raise Broken(Fault(str(error), "a game that keeps PettingZoo's contract", "follow the message")) from error


def _ask_pettingzoo(report: Report, game: Game) -> None:
    """PettingZoo's own api_test."""

    def judge(env: Any) -> None:
        from pettingzoo.test import api_test  # imports games of its own, which warn

        api_test(env, num_cycles=100)

    title = "PettingZoo's api_test"
    with report.part(f"{title} passes") as found:
        fault, notes = verdict(title, judge, lambda: load_attribute(str(game.entry), kind="game")(**game.arguments))
        found += [] if fault is None else [fault]
    for note in notes:
        report.note(note)


def _misnamed(report: Report, games: TurnGames) -> Iterator[Fault]:
    shape = games.observation_space.shape or (0,)
    for key, names, count in (
        ("features", games.names.features, shape[-1]),
        ("actions", games.names.actions, games.n_actions),
    ):
        if names is None:
            report.note(f'its {key} are not named: with metadata["headstart"]["{key}"] they map to other games')
        elif len(names) != count or len(set(names)) != len(names):
            yield Fault(
                f"its {key} have {len(names)} names, {len(set(names))} of them different",
                f"{count}, one for each",
                f'correct metadata["headstart"]["{key}"]',
            )


def _generators(n_boards: int) -> list[np.random.Generator]:
    return [np.random.default_rng(100 + board) for board in range(n_boards)]


def _begun(games: TurnGames) -> bool:
    boards = np.arange(games.n_boards)
    games.reset(boards, _generators(games.n_boards))
    return True


def _ply(games: TurnGames, choice: np.random.Generator, generators: list[np.random.Generator]) -> list[Any]:
    """One random legal move on every board where one is to move, and what can be seen before it."""
    boards = np.arange(games.n_boards)
    players = games.to_move()
    live = np.flatnonzero(players != OVER)
    masks = games.masks(live)
    seen: list[Any] = [
        players.copy(),
        games.observe(live, players[live]).copy(),
        masks.copy(),
        games.returns(boards).copy(),
    ]
    games.apply(live, uniform(masks, choice.random(len(live))))
    over = np.flatnonzero(games.to_move() == OVER)
    if len(over):
        seen += ["ended", games.returns(over).copy()]
        games.reset(over, [generators[board] for board in over.tolist()])
    return seen


def _played(games: TurnGames, steps: int) -> list[Any]:
    generators, choice = _generators(games.n_boards), np.random.default_rng(0)
    games.reset(np.arange(games.n_boards), generators)
    return [record for _ in range(steps) for record in _ply(games, choice, generators)]


def _same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(
        a == b if isinstance(a, str) else np.array_equal(a, b) for a, b in zip(one, other, strict=True)
    )


def _misfits(games: TurnGames, steps: int) -> Iterator[Fault]:
    generators, choice = _generators(1), np.random.default_rng(0)
    games.reset(np.zeros(1, dtype=np.int64), generators)
    for step in range(steps):
        seen = _ply(games, choice, generators)[1][0]
        if not games.observation_space.contains(seen):
            yield Fault(
                f"the observation of step {step} does not lie in {games.observation_space}",
                "values within its bounds",
                "correct observe(), or the space",
            )
            return


def _restored(make: Make, steps: int) -> Iterator[Fault]:
    """Whether a copy that takes over another's state plays on as that one does."""
    one, other = make(BOARDS), make(BOARDS)
    generators, choice = _generators(BOARDS), np.random.default_rng(0)
    one.reset(np.arange(BOARDS), generators)
    for _ in range(min(steps, 7)):
        _ply(one, choice, generators)
    state, words = one.get_state(), [generator.bit_generator.state for generator in generators]
    twins, again = _generators(BOARDS), np.random.default_rng(1)
    for twin, word in zip(twins, words, strict=True):
        twin.bit_generator.state = word
    other.set_state(state, twins)
    choice = np.random.default_rng(1)
    for step in range(min(steps, 40)):
        if not _same(_ply(one, choice, generators), _ply(other, again, twins)):
            yield Fault(
                f"a game whose state was put back plays otherwise {step} plies later",
                "a game that its seed and its moves decide",
                "draw all chance from the generator that reset(seed) seeds",
            )
            return


def _against(name: str, steps: int) -> Iterator[Fault]:
    """Plays through `make_vec`, against a random player."""
    venv = _told(lambda: make_vec(evaluated(Task(game=name)), n_envs=BOARDS, seed=1))
    observations, choice = _told(venv.reset), np.random.default_rng(0)
    for _ in range(steps):
        masks = observations[MASK]
        if not masks.any(axis=1).all():
            yield Fault("the learner has no legal action", "one at least", "end the game instead")
            return
        actions = uniform(masks, choice.random(BOARDS))
        observations, *_ = _told(partial(venv.step, actions))


def _speed(games: TurnGames, seconds: float = 0.25) -> float:
    """Plies a second of one board."""
    generators, choice = _generators(1), np.random.default_rng(0)
    games.reset(np.zeros(1, dtype=np.int64), generators)
    plies, begin = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds:
        _ply(games, choice, generators)
        plies += 1
    return plies / elapsed
