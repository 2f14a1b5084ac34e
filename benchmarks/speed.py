"""How fast Headstart is beside its peers: one command prints a table.

    .venv/bin/python benchmarks/peers.py make            # once: the peers' environments
    .venv/bin/python benchmarks/speed.py grid            # DoorKey-8x8 alone, steps/s with observations
    .venv/bin/python benchmarks/speed.py cartpole        # PPO on CartPole, steps/s
    .venv/bin/python benchmarks/speed.py doorkey         # PPO on DoorKey-8x8, steps/s
    .venv/bin/python benchmarks/speed.py minatar         # PPO on MinAtar Breakout, steps/s
    .venv/bin/python benchmarks/speed.py threshold       # seconds from a cold start until a game is learnt
    .venv/bin/python benchmarks/speed.py growth          # how time and memory grow: table and plot

    [--repeats 5] [--only WORD ...] [--scale 0.1] [--cap 600] [--games cartpole doorkey breakout] [--write FILE]

Contenders run in alternation, each in processes of its own; a peer that is not installed is named as not measured. One
torch thread a process; JAX takes all cores. Measure on a quiet machine: the table says how busy others kept it.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import growth
from beside import (
    GRACE,
    HOME,
    Contender,
    Found,
    Load,
    Result,
    Table,
    measure,
    number,
    ours,
    show,
    spread,
    steps_per_second,
    theirs,
)
from thresholds import MINATAR, PUREJAXRL_MINATAR, THRESHOLD_GAMES, threshold_tables

GRID_SIZES = (256, 1024, 4096)
BATCHED = {"n_envs": 256, "n_steps": 32, "batch_size": 2048, "n_epochs": 4}
DOORKEY_ZOO = {"n_envs": 8, "n_steps": 128, "batch_size": 256, "n_epochs": 4}
MILLION = 1_000_000
GROWTH = HOME / "docs" / "results" / "growth.png"


def grid(options: argparse.Namespace) -> list[Table]:
    """DoorKey-8x8 alone."""
    seconds = f"--seconds={max(0.5, 3 * options.scale)}"

    def engine(who: str, n_envs: int) -> list[str]:
        return [who, f"--n-envs={n_envs}", seconds]

    one = [
        ours(f"headstart, {n} envs, 1 core", "grid.py", *engine("headstart", n), "--cores=1", *options.game)
        for n in GRID_SIZES
    ]
    minigrid = [theirs("MiniGrid, 1 env, 1 core", "zoo", "grid.py", *engine("minigrid", 1), "--cores=1")]
    jax = [
        theirs(f"{who}, {n} envs, all cores", who, "grid.py", *engine(who, n))
        for who in ("navix", "xminigrid")
        for n in GRID_SIZES[:2]
    ]
    found, table = compared("DoorKey-8x8 alone, random actions, with observations", [*one, *minigrid, *jax], options)
    table.notes.append("xminigrid's view goes through walls and has two channels, which is less to compute.")
    best, of_minigrid, of_jax = (_best(found, group) for group in (one, minigrid, jax))
    goal(table, "1,000,000 steps/s on one core", best, MILLION)
    goal(table, "300 times MiniGrid", best / of_minigrid, 300)
    goal(table, "3 times the better of navix and xminigrid", best / of_jax, 3)
    return [table]


def cartpole(options: argparse.Namespace) -> list[Table]:
    """PPO on CartPole."""
    batched = ["--game=headstart/CartPole-v1", "--plain", f"--set={json.dumps(BATCHED)}"]
    mine = ["ours.py", *batched, *steps(1_000_000, options), *options.learner]
    jax = ["purejaxrl.py", '--set={"NUM_ENVS": 256, "NUM_STEPS": 32}']
    found, table = compared(
        "PPO on CartPole-v1",
        [
            ours("headstart, 256 envs", *mine),
            ours("headstart, 256 envs, two processes", *mine).each_seed(2),
            ours(
                "SB3's PPO on our batched game, 256 envs",
                *("ours.py", "--algorithm=sb3-ppo", *batched, *steps(400_000, options)),
            ),
            theirs("SB3, rl-zoo3's settings, 8 envs", "zoo", "sb3.py", *steps(20_000, options)),
            theirs("CleanRL, its defaults, 4 envs", "cleanrl", "cleanrl.py", *steps(30_000, options)),
            theirs("sbx, rl-zoo3's settings, 8 envs", "sbx", "sb3.py", "--library=sbx", *steps(30_000, options)),
            theirs(
                "purejaxrl, 256 envs, all cores",
                *("purejaxrl", *jax, *steps(1_000_000, options)),
                limit=GRACE + 30,
            ),
            theirs(
                "purejaxrl, 256 envs, 10 seeds, all cores",
                *("purejaxrl", *jax, "--seeds=10", *steps(1_000_000, options)),
                limit=GRACE + 30,
            ),
        ],
        options,
    )
    one, two, sb3 = (_best(found, [found[i].contender]) for i in range(3))
    ten = _best(found, [found[-1].contender])
    goal(table, "1.5 times SB3's PPO on the same batched game", one / sb3, 1.5)
    goal(table, "two processes together 1.2 times purejaxrl's 10 seeds in one", two / ten, 1.2)
    return [table]


def doorkey(options: argparse.Namespace) -> list[Table]:
    """PPO on DoorKey-8x8."""
    game = ["--game=MiniGrid-DoorKey-8x8-v0"]
    symbols = ["--settings=none", "--wrapper=symbols"]
    found, table = compared(
        "PPO on DoorKey-8x8: 980 one-hot inputs, two networks of 64 and 64 units, 4 epochs",
        [
            ours(
                "headstart, 256 envs, batch 2048",
                *("ours.py", "--game=headstart/DoorKey-8x8-v0", "--plain", f"--set={json.dumps(BATCHED)}"),
                *(*steps(300_000, options), *options.learner, *options.game),
            ),
            theirs(
                "SB3 on MiniGrid, 8 envs, batch 256",
                *("zoo", "sb3.py", *game, *symbols, f"--set={json.dumps(DOORKEY_ZOO)}", *steps(12_000, options)),
            ),
            theirs(
                "SB3 on MiniGrid, 64 envs, batch 2048",
                *("zoo", "sb3.py", *game, *symbols, f"--set={json.dumps({**BATCHED, 'n_envs': 64})}"),
                *steps(16_000, options),
            ),
            theirs(
                "SB3 on MiniGrid, rl-zoo3's settings, 8 envs",
                *("zoo", "sb3.py", *game, "--settings=MiniGrid-DoorKey-5x5-v0", *steps(12_000, options)),
                note="another network (2,835 flat inputs), 10 epochs, batch 64: shown, not compared",
            ),
        ],
        options,
    )
    mine = _best(found, [found[0].contender])
    goal(table, "15 times SB3 on MiniGrid", mine / _best(found, [one.contender for one in found[1:3]]), 15)
    return [table]


def minatar(options: argparse.Namespace) -> list[Table]:
    """PPO on MinAtar Breakout."""
    settings = [f"--set={json.dumps(MINATAR)}", "--settings=none", *steps(60_000, options)]
    game = ["sb3.py", "--game=MinAtar/Breakout-v1", *settings]
    mine = ["ours.py", "--game=MinAtar/Breakout-v1", "--plain"]
    jax = ["purejaxrl.py", f"--set={json.dumps(PUREJAXRL_MINATAR | {'NUM_ENVS': 256, 'NUM_STEPS': 32})}"]
    _, table = compared(
        "PPO on MinAtar Breakout, two networks of 64 and 64 units, 4 epochs",
        [
            ours("headstart, 256 envs, batch 2048", *mine, f"--set={json.dumps(BATCHED)}", *steps(300_000, options)),
            ours("headstart, 8 envs, batch 256", *mine, f"--set={json.dumps(MINATAR)}", *steps(300_000, options)),
            theirs("SB3, 8 envs, batch 256", "zoo", *game),
            theirs("sbx, 8 envs, batch 256", "sbx", *game, "--library=sbx"),
            theirs(
                "purejaxrl, 256 envs, all cores",
                *("purejaxrl", *jax, "--sticky=0.1", *steps(600_000, options)),
                limit=GRACE + 60,
                note="gymnax's game, with sticky actions as ours",
            ),
        ],
        options,
    )
    return [table]


def threshold(options: argparse.Namespace) -> list[Table]:
    """Seconds to thresholds."""
    return threshold_tables(options)


def compared(title: str, contenders: Sequence[Contender], options: argparse.Namespace) -> tuple[list[Found], Table]:
    """Measure steps per second, and make the table."""
    load = Load()
    found = measure(
        [one for one in contenders if any(word in one.name for word in options.only)], options.repeats, grace=GRACE
    )
    by_name = {one.contender.name: one for one in found}
    first = found[0].median(steps_per_second) if found else math.nan
    head = ("", "steps/s", "least to most", "s before", "s for 1M steps, cold", "the first is … times")
    rows = [
        (
            one.contender.name,
            number(one.median(steps_per_second)),
            spread(one.values(steps_per_second)),
            number(one.median(_before)),
            number(one.median(_cold_million)),
            number(first / one.median(steps_per_second)),
        )
        for one in found
    ]
    table = Table(title, head, rows)
    table.describe(found, options.repeats, load)
    table.notes.append("s before: imports, compiling and warming up. It is counted in the column after it.")
    fastest = max((one.median(steps_per_second) for one in found if _ours(one) and one.results), default=math.nan)
    soonest = min((one.median(_cold_million) for one in found if _ours(one) and one.results), default=math.nan)
    for one in found:
        if not _ours(one) and one.median(steps_per_second) > fastest:
            table.notes.append(f"Faster than any of ours: {one.contender.name}.")
        if not _ours(one) and one.median(_cold_million) < soonest:
            table.notes.append(f"Sooner through 1M steps from a cold start than any of ours: {one.contender.name}.")
    return [by_name.get(one.name, Found(one, why_not="left out")) for one in contenders], table


def goal(table: Table, what: str, found: float, least: float) -> None:
    """Say whether a goal was met."""
    verdict = "cannot be told" if math.isnan(found) else "met" if found >= least else "**not met**"
    table.notes.append(f"Goal: {what}: {number(found)}, {verdict}.")


def steps(count: int, options: argparse.Namespace) -> list[str]:
    """So many steps, scaled; enough to warm up where one rollout is large."""
    return [f"--steps={max(40_000 if count > 100_000 else 8_000, round(count * options.scale))}"]


def _ours(one: Found) -> bool:
    return one.contender.name.startswith("headstart")


def _before(result: Result) -> float:
    return float(result["cold_seconds"] - result["seconds"])


def _cold_million(result: Result) -> float:
    return _before(result) + MILLION / steps_per_second(result)


def _best(found: Sequence[Found], among: Sequence[Contender]) -> float:
    medians = [one.median(steps_per_second) for one in found if one.contender in among and one.results]
    return max(medians, default=math.nan)


TABLES: dict[str, Callable[[argparse.Namespace], list[Table]]] = {
    "grid": grid,
    "cartpole": cartpole,
    "doorkey": doorkey,
    "minatar": minatar,
    "threshold": threshold,
    "growth": growth.tables,
}


def parse() -> argparse.Namespace:
    """The command line; `learner` and `game` are what our runners are told besides."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=TABLES)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", nargs="+", default=[""], metavar="WORD", help="contenders whose name has one")
    parser.add_argument("--scale", type=float, default=1.0, help="of steps and seconds, to try the command out")
    parser.add_argument("--cap", type=float, default=600.0, help="seconds after which a threshold is not reached")
    parser.add_argument("--games", nargs="+", choices=THRESHOLD_GAMES, default=list(THRESHOLD_GAMES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 10], help="trained together, for thresholds")
    parser.add_argument("--algorithm", default="ppo", help="ours")
    parser.add_argument("--set", metavar="JSON", help="hyperparameters of ours, to try some")
    parser.add_argument("--arguments", default="{}", metavar="JSON", help="of our grid game")
    parser.add_argument("--write", type=Path, metavar="FILE", help="a Markdown page")
    parser.add_argument("--plot", type=Path, metavar="FILE", default=GROWTH, help="of growth (%(default)s)")
    options = parser.parse_args()
    options.learner = [f"--algorithm={options.algorithm}", *([f"--set={options.set}"] if options.set else [])]
    options.game = [f"--arguments={options.arguments}"]
    return options


def main() -> None:
    """Measure and print."""
    options = parse()
    tables: Sequence[Any] = TABLES[options.what](options)
    command = " ".join(["benchmarks/speed.py", *sys.argv[1:]])
    show(tables, options.write, f"Made by `.venv/bin/python {command}`.\n\n")


if __name__ == "__main__":
    main()
