"""Finds hyperparameters of PPO by the CPU time until a threshold is reached and held, and says what to write down.

    .venv/bin/python benchmarks/tune.py headstart/DoorKey-8x8-v0 [--trials 60] [--seeds 3] [--minutes 5]
    .venv/bin/python benchmarks/tune.py headstart/Empty-8x8-v0 headstart/Unlock-v0 --together --family grid
    .venv/bin/python benchmarks/tune.py headstart/DoorKey-8x8-v0 --show

Optuna (the extra `tune`) chooses settings; each is tried with the same seeds, and given up when it falls behind. The
best three get as many seeds again, and the best of these is compared with the present preset on five fresh seeds, in
turns. What was tried stands in `runs/tune/`, a search goes on from there, and `--show` only prints it. Games, their
thresholds and budgets are in `tune.toml`; `reaching.py` says what is measured, `searching.py` what is tried.
"""

import argparse
import json
import math
import statistics
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from reaching import Attempt, Target, attempt
from searching import FIRST, Attempts, Hyperparameters, Search, Space, cost

from agents.algorithms import resolve
from agents.runs import runs_root
from envs.catalogue import find_game
from envs.errors import ConfigError, HeadstartError
from envs.task import Task

HERE = Path(__file__).parent
FINALISTS = 3
AGAIN, FRESH, WARM = 100, 1000, 99
"""First seeds of the finalists' second round and of the comparison, and the seed of what is not measured."""
SHOWN = 5


def main() -> None:
    """Search, compare, print."""
    options = _arguments()
    try:
        together = options.together or len(options.games) == 1
        for games in [options.games] if together else [[game] for game in options.games]:
            _tune(games, options)
    except HeadstartError as error:
        sys.exit(str(error))


def target_of(game: str, options: argparse.Namespace) -> Target:
    """What is to be reached in a game: the command line over `tune.toml` over the catalogue. Raises ConfigError."""
    known, table = find_game(game), table_of(game)
    threshold = next((t for t in (options.threshold, table.get("threshold"), known.threshold) if t is not None), None)
    if threshold is None:
        raise ConfigError(f"nobody knows a threshold of {game}: give one with --threshold")
    return Target(
        game,
        threshold,
        options.check or table.get("check", "training"),
        options.steps or table.get("steps", 1_000_000),
        options.cap or table.get("cap", 30),
        known.random or 0.0,
    )


def table_of(game: str) -> dict[str, Any]:
    """What `tune.toml` says of a game and its family."""
    tables = tomllib.loads((HERE / "tune.toml").read_text())
    family: dict[str, Any] = tables["families"].get(find_game(game).family, {})
    return family | tables["games"].get(game, {})


class Record:
    """What was tried on some games, a line of JSON each; what was tried for other targets is left aside."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self.targets = targets
        names = "+".join(target.game.replace("/", "-") for target in targets)
        self.path = runs_root(None) / "tune" / f"{names[:100]}.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, stage: str, hyperparameters: Hyperparameters, attempts: Attempts) -> None:
        """Write down a setting."""
        line = {
            "stage": stage,
            "targets": [asdict(target) for target in self.targets],
            "hyperparameters": hyperparameters,
            "attempts": [[asdict(one) for one in attempts[target]] for target in self.targets],
        }
        with self.path.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def read(self, stage: str, seeds: int) -> list[tuple[Hyperparameters, Attempts]]:
        """The settings of a stage that were tried with so many seeds, the best first."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        mine = [asdict(target) for target in self.targets]
        found = []
        for line in map(json.loads, lines):
            attempts = dict(zip(self.targets, ([Attempt(**one) for one in each] for each in line["attempts"]), strict=False))
            if line["stage"] == stage and line["targets"] == mine and all(len(e) == seeds for e in attempts.values()):
                found.append((line["hyperparameters"], attempts))
        return sorted(found, key=lambda one: cost(one[1]))


def _tune(games: Sequence[str], options: argparse.Namespace) -> None:
    targets = [target_of(game, options) for game in games]
    table = table_of(games[0])
    space = Space(options.rollout or table.get("rollout", 16384), table.get("keep", {}) | options.keep)
    record = Record(targets)
    presets = [resolve(Task(game=game), "ppo", {}) for game in games]
    for target in targets:
        print(f"{target.game}: {target.check} {target.threshold:g} within {target.steps:,} steps and {target.cap:g} s")
    if options.candidate is not None:
        _warm(targets, presets)
        _compare(record, presets, [resolve(Task(game=game), "ppo", options.candidate) for game in games], options)
        return
    if not options.show:
        _warm(targets, presets)
        _search(record, space, presets, options)
    print(table_text(record, options.seeds))
    if not options.show and (best := _second_round(record, options)) is not None:
        _compare(record, presets, [best] * len(games), options)


def _warm(targets: Sequence[Target], presets: Sequence[Hyperparameters]) -> None:
    """Compile what there is to compile: everything is played, learnt and looked at once."""
    for target, preset in zip(targets, presets, strict=True):
        attempt(replace(target, threshold=-math.inf, steps=30_000), preset, WARM)


def _search(record: Record, space: Space, presets: Sequence[Hyperparameters], options: argparse.Namespace) -> None:
    seeds = range(options.seeds)
    known = [(setting, cost(attempts)) for setting, attempts in record.read("search", options.seeds)]
    base = presets[0]
    plain = resolve(Task(game="plain"), "ppo", {}) if False else base
    start = [base, *(plain | first for first in FIRST)]
    search = Search(record.targets, seeds, space, start, known, seed=options.seed)
    best = min((value for _, value in known), default=math.inf)
    for number, (setting, attempts) in enumerate(search.run(options.trials, 60 * options.minutes), 1):
        record.add("search", base | setting, attempts)
        value, tried = cost(attempts), min(len(each) for each in attempts.values())
        if tried == options.seeds and value < best:
            best = value
            print(f"trial {number}: {value:.3f} s  {told(base | setting)}", flush=True)
