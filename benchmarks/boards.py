"""Plies/s of board games, our batch of OpenSpiel's beside PettingZoo's stepped by hand: one command prints a table.

    .venv/bin/python benchmarks/boards.py [--boards 1 64] [--repeats 5] [--seconds 1]
    .venv/bin/python benchmarks/boards.py --references

A ply is all that a learner's move needs: the observation and the mask of who is to move, and a random legal move. All
ways play in alternation in one process on one thread; a rate is the median of the repeats, with their range, by CPU
time. PettingZoo's games are played as its documentation does, by `last()`, `action_space().sample(mask)` and `step()`.

`--references` prints what the best response earns against random play in the poker games, by OpenSpiel's
`best_response`, the mean of both seats: the reference scores in `envs/catalogue.toml`.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from envs.catalogue import find_game
from envs.turns.games import OVER, TurnGames
from envs.turns.making import games_of
from envs.turns.opponents import uniform

PAIRS = {
    "connect four 6x7": ("headstart/ConnectFour-v0", "pettingzoo.classic.connect_four.connect_four"),
    "tic-tac-toe": ("headstart/TicTacToe-v0", "pettingzoo.classic.tictactoe.tictactoe"),
    "Leduc poker": ("headstart/LeducPoker-v0", "pettingzoo.classic.rlcard_envs.leduc_holdem"),
}
ALONE = ("headstart/MNK-v0", "headstart/Hex-v0", "headstart/Othello-v0", "headstart/Breakthrough-v0", "headstart/Go-v0")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="CPU seconds of each repeat of each way")
    parser.add_argument("--references", action="store_true")
    options = parser.parse_args()
    if options.references:
        print_references()
        return
    heads = [f"ours, {count} board{'s' * (count > 1)}" for count in options.boards]
    print("| game | PettingZoo | " + " | ".join(f"{head} | " for head in heads) + " |")
    print("|---|---:|" + "---:|---:|" * len(heads))
    for title, (ours, theirs) in PAIRS.items():
        print(row(title, ours, theirs, options), flush=True)
    for ours in ALONE:
        print(row(ours.removeprefix("headstart/"), ours, None, options), flush=True)


def row(title: str, ours: str, theirs: str | None, options: argparse.Namespace) -> str:
    """One game's line of the table."""
    game = find_game(ours)
    ways: list[Callable[[float], float]] = [
        batch(games_of(game, count, dict(game.arguments))) for count in options.boards
    ]
    missing = theirs is not None and "rlcard" in theirs and find_spec("rlcard") is None
    if theirs is not None and not missing:
        ways.insert(0, by_hand(theirs))
    for way in ways:
        way(0.2)  # loaded, compiled
    found: list[list[float]] = [[] for _ in ways]
    for _ in range(options.repeats):
        for way, rates in zip(ways, found, strict=True):
            rates.append(way(options.seconds))
    medians = [statistics.median(rates) for rates in found]
    cells = [
        f"{median:,.0f} ({min(rates):,.0f} to {max(rates):,.0f})" for median, rates in zip(medians, found, strict=True)
    ]
    if theirs is None or missing:
        peer, factors = "not installed (rlcard)" if missing else "—", [""] * len(cells)
    else:
        peer, cells = cells[0], cells[1:]
        factors = [f"{median / medians[0]:.1f}×" for median in medians[1:]]
    return f"| {title} | {peer} | " + " | ".join(f"{c} | {f}" for c, f in zip(cells, factors, strict=True)) + " |"


def batch(games: TurnGames) -> Callable[[float], float]:
    """Random legal play on boards of ours."""
    boards = np.arange(games.n_boards)
    generators, choice = [np.random.default_rng(board) for board in boards], np.random.default_rng(0)
    games.reset(boards, generators)

    def play(seconds: float) -> float:
        plies, begin = 0, time.process_time()
        while (elapsed := time.process_time() - begin) < seconds:
            movers = games.to_move()
            games.observe(boards, movers)
            games.apply(boards, uniform(games.masks(boards), choice.random(len(boards))))
            plies += len(boards)
            over = np.flatnonzero(games.to_move() == OVER)
            if len(over):
                games.returns(over)
                games.reset(over, [generators[board] for board in over.tolist()])
        return plies / elapsed

    return play


def by_hand(module: str) -> Callable[[float], float]:
    """Random legal play in an AEC environment."""
    import importlib

    env: Any = importlib.import_module(module).env()
    for agent in env.possible_agents:
        env.action_space(agent).seed(0)
    env.reset(seed=0)

    def play(seconds: float) -> float:
        plies, begin = 0, time.process_time()
        while (elapsed := time.process_time() - begin) < seconds:
            observation, _, terminated, truncated, _ = env.last()
            if terminated or truncated:
                env.reset()
                continue
            env.step(env.action_space(env.agent_selection).sample(observation["action_mask"]))
            plies += 1
        return plies / elapsed

    return play


def print_references() -> None:
    """What a best response to uniformly random play earns, by seat and on average."""
    import pyspiel
    from open_spiel.python import policy
    from open_spiel.python.algorithms import best_response

    for name in ("kuhn_poker", "leduc_poker"):
        game = pyspiel.load_game(name)
        uniformly = policy.UniformRandomPolicy(game)
        values = [
            best_response.BestResponsePolicy(game, seat, uniformly).value(game.new_initial_state()) for seat in (0, 1)
        ]
        print(f"{name}: {values[0]:.4f} first, {values[1]:.4f} second, {statistics.mean(values):.3f} on average")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
