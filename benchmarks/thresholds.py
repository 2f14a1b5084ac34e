"""Seconds from a cold start until a game is learnt, ours beside peers: the tables of `speed.py threshold`.

Imports and compiling count, the checks do not (`peer_runs/checks.py` says what they are). With several seeds, a process
on each core trains its share of them in turn, and the seconds are those until the last is through: imports are paid
once a core, by ours as by SB3 and sbx. CleanRL's file is a script of one seed, so each of its seeds is a process.
purejaxrl trains all of them in one program. Ours is measured twice: with numba's cache empty, and as found.
"""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import replace

from beside import Contender, Found, Load, Table, measure, number, ours, seconds_to_threshold, spread, theirs

MINATAR = {
    "n_envs": 8,
    "n_steps": 128,
    "n_epochs": 4,
    "batch_size": 256,
    "learning_rate": "lin_0.001",
    "clip_range": 0.2,
    "ent_coef": 0.01,
}
MINATAR_NOTE = (
    "rl-zoo3 has no settings for MinAtar: its Atari ones, with the rate of 0.001 that suits the small network"
)
PUREJAXRL_MINATAR = {
    "ENV_NAME": "Breakout-MinAtar",
    "LR": 5e-3,
    "NUM_ENVS": 64,
    "TOTAL_TIMESTEPS": 1e7,
    "NUM_MINIBATCHES": 8,
    "ACTIVATION": "relu",
}
"""Those of its MinAtar notebook, over its defaults."""
GIVE_UP = 2
"""Measurements without success after which a contender is not asked again."""


def threshold_tables(options: argparse.Namespace) -> list[Table]:
    """A table for each game and number of seeds."""
    return [_table(game, seeds, options) for game in options.games for seeds in options.seeds]


def cartpole(seeds: int, options: argparse.Namespace) -> list[Contender]:
    """CartPole-v1, at least 475."""
    check = _check("cartpole", 2048, options)
    zoo = ["sb3.py", "--steps=100000", *check]
    turns = [
        *_ours("headstart/CartPole-v1", 500_000, check, options),
        theirs("SB3, rl-zoo3's settings", "zoo", *zoo),
        theirs("sbx, rl-zoo3's settings", "sbx", *zoo, "--library=sbx"),
    ]
    cleanrl = theirs("CleanRL, its defaults", "cleanrl", "cleanrl.py", "--steps=500000", *check)
    jax = ["purejaxrl.py", f"--seeds={seeds}", "--steps=500000", *check]
    return [
        *(one.in_turn(seeds) for one in turns),
        cleanrl.each_seed(seeds),
        theirs("purejaxrl, its defaults", "purejaxrl", *jax),
    ]


def doorkey(seeds: int, options: argparse.Namespace) -> list[Contender]:
    """DoorKey-8x8, at least 0.9."""
    check = _check("doorkey", 8192, options)
    zoo = ["--game=MiniGrid-DoorKey-8x8-v0", "--settings=MiniGrid-DoorKey-5x5-v0", "--steps=10000000", *check]
    note = "the settings are DoorKey-5x5's, as rl-zoo3 has none for 8x8"
    one_by_one = [
        *_ours("headstart/DoorKey-8x8-v0", 10_000_000, check, options),
        theirs("SB3 on MiniGrid, rl-zoo3's settings", "zoo", "sb3.py", *zoo, note=note),
    ]
    return [one.in_turn(seeds) for one in one_by_one]


def breakout(seeds: int, options: argparse.Namespace) -> list[Contender]:
    """MinAtar Breakout, at least 10."""
    check = _check("breakout", 8192, options)
    settings = [f"--set={json.dumps(MINATAR)}", "--settings=none", "--steps=3000000"]
    game = ["sb3.py", "--game=MinAtar/Breakout-v1", *settings, *check]
    one_by_one = [
        *_ours("MinAtar/Breakout-v1", 3_000_000, check, options),
        theirs("SB3, Atari's settings", "zoo", *game, note=MINATAR_NOTE),
        theirs("sbx, Atari's settings", "sbx", *game, "--library=sbx", note=MINATAR_NOTE),
    ]
    jax = ["purejaxrl.py", f"--set={json.dumps(PUREJAXRL_MINATAR)}", f"--seeds={seeds}", "--steps=10000000", *check]
    return [
        *(one.in_turn(seeds) for one in one_by_one),
        theirs("purejaxrl, its MinAtar settings", "purejaxrl", *jax, "--sticky=0.1", note="gymnax's sticky actions"),
        theirs("purejaxrl, no sticky actions", "purejaxrl", *jax, note="another game, an easier one"),
    ]


THRESHOLD_GAMES = {"cartpole": cartpole, "doorkey": doorkey, "breakout": breakout}


def _ours(game: str, steps: int, check: Sequence[str], options: argparse.Namespace) -> list[Contender]:
    command = ["ours.py", f"--game={game}", f"--steps={steps}", *check, *options.learner]
    return [
        ours("headstart, compiled before", *command),
        ours("headstart, nothing compiled before", *command, fresh=("NUMBA_CACHE_DIR",)),
    ]


def _check(game: str, every: int, options: argparse.Namespace) -> list[str]:
    return [f"--check={game}", f"--every={every}", f"--cap={options.cap}"]


def _table(game: str, seeds: int, options: argparse.Namespace) -> Table:
    load = Load()
    contenders = [replace(one, limit=_limit(one, options.cap)) for one in THRESHOLD_GAMES[game](seeds, options)]
    found = measure(
        [one for one in contenders if any(word in one.name for word in options.only)], options.repeats, give_up=GIVE_UP
    )
    first = found[0].median(seconds_to_threshold) if found else math.nan
    rows = [_row(one, first) for one in found]
    what = (THRESHOLD_GAMES[game].__doc__ or "").rstrip(".")
    title = f"{what}: seconds from a cold start, {seeds} {'seed' if seeds == 1 else 'seeds, all of them'}"
    table = Table(title, ("", "seconds", "least to most", "steps", "reached", "times the first"), rows)
    table.describe(found, options.repeats, load)
    table.notes.append(f"Not reached means: not in {options.cap:.0f} s or in the steps that its settings are for.")
    behind = [one.contender.name for one in found[1:] if one.median(seconds_to_threshold) < first]
    table.notes += [f"Ahead of ours: {name}." for name in behind if not name.startswith("headstart")]
    return table


def _limit(one: Contender, cap: float) -> float:
    """Seconds after which it has hung; checks are made besides. purejaxrl, which hangs at times, makes quick ones."""
    return cap + 30 if one.peer == "purejaxrl" else (2 * cap + 60) * one.turns


def _row(one: Found, first: float) -> tuple[str, ...]:
    seconds = one.values(seconds_to_threshold)
    reached = [result["reached"] for result in one.results if result["reached"] is not None]
    median = one.median(seconds_to_threshold)
    return (
        one.contender.name,
        number(median),
        spread([value for value in seconds if math.isfinite(value)]),
        number(sorted(found["steps"] for found in reached)[len(reached) // 2]) if reached else "–",
        f"{len(reached)} of {len(seconds)}",
        number(median / first) if math.isfinite(median) and math.isfinite(first) else "–",
    )
