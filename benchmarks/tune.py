"""Finds hyperparameters of PPO by the CPU time until a threshold is reached and held, and says what to write down.

    .venv/bin/python benchmarks/tune.py headstart/DoorKey-8x8-v0 [--trials 60] [--seeds 3] [--minutes 5]
    .venv/bin/python benchmarks/tune.py headstart/Empty-8x8-v0 headstart/Unlock-v0 --together
    .venv/bin/python benchmarks/tune.py headstart/Empty-8x8-v0 --candidate '{"n_envs": 64, "n_steps": 64}'
    .venv/bin/python benchmarks/tune.py headstart/Empty-8x8-v0 headstart/Unlock-v0 --candidate '{}' --fresh 2
    .venv/bin/python benchmarks/tune.py headstart/DoorKey-8x8-v0 --show

Optuna (the extra `tune`) chooses settings. Each is tried with the same seeds and given up when it falls behind. The
best three get as many seeds again, and the best of these is compared with the present preset on five fresh seeds, in
turns. A candidate that changes nothing measures the preset alone. What was tried stands in `runs/tune/`: a search goes
on from there, and `--show` only prints it. Thresholds and budgets are in `tune.toml`; `reaching.py` says what is
measured, `searching.py` what is tried.
"""

import argparse
import json
import math
import statistics
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from reaching import Attempt, Target, attempt
from searching import FIRST, Attempts, Hyperparameters, Search, Space, cost

from agents.algorithms import ALGORITHMS, resolve
from agents.hyperparameters import parameters
from agents.runs import runs_root
from envs.catalogue import find_game
from envs.errors import ConfigError, HeadstartError
from envs.task import Task

HERE = Path(__file__).parent
FINALISTS = 3
SHOWN = 5
AGAIN, FRESH, WARM = 100, 1000, 99
"""First seeds of the finalists' round and of the comparison, and the seed of what is not measured."""


def main() -> None:
    """Search, compare, print."""
    options = _arguments()
    try:
        for games in [options.games] if options.together else [[game] for game in options.games]:
            tune(games, options)
    except HeadstartError as error:
        sys.exit(str(error))


def tune(games: Sequence[str], options: argparse.Namespace) -> None:
    """One setting for these games. Raises HeadstartError."""
    record, table = Record([target_of(game, options) for game in games]), table_of(games[0])
    presets = [resolve(Task(game=game), "ppo", {}) for game in games]
    for target in record.targets:
        print(
            f"{target.game}: {target.threshold:g}, {target.check}, in {target.steps:,} steps and {target.cap:g} CPU s"
        )
    if options.show:
        print(best_table(record, options.seeds))
        return
    warm(record.targets, presets)
    candidates = [resolve(Task(game=game), "ppo", options.candidate or {}) for game in games]
    if options.candidate is None:
        space = Space(options.rollout or table.get("rollout", 16384), table.get("keep", {}) | options.keep)
        search(record, space, presets[0], options)
        print(best_table(record, options.seeds))
        candidates = [second_round(record, options.seeds)] * len(games)
    print(comparison(record, presets, candidates, options.fresh), flush=True)
    if candidates != presets:
        print(toml(games, candidates[0]), flush=True)


def target_of(game: str, options: argparse.Namespace) -> Target:
    """What is to be reached in a game: the command line over `tune.toml` over the catalogue. Raises ConfigError."""
    known, table = find_game(game), table_of(game)
    threshold = next((t for t in (options.threshold, table.get("threshold"), known.threshold) if t is not None), None)
    if threshold is None:
        raise ConfigError(f"nobody knows a threshold of {game}: give one with --threshold")
    return Target(
        game,
        float(threshold),
        options.check or table.get("check", "training"),
        options.steps or table.get("steps", 1_000_000),
        float(options.cap or table.get("cap", 30)),
        known.random or 0.0,
    )


def table_of(game: str) -> dict[str, Any]:
    """What `tune.toml` says of a game, over what it says of its family."""
    tables = tomllib.loads((HERE / "tune.toml").read_text())
    return {**tables["families"].get(find_game(game).family, {}), **tables["games"].get(game, {})}


class Record:
    """What was tried on some games, a line of JSON for each setting. Lines for other targets are left aside."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self.targets = targets
        names = "+".join(target.game.replace("/", "-") for target in targets)
        self.path = runs_root() / "tune" / f"{names[:100]}.jsonl"

    def add(self, stage: str, hyperparameters: Hyperparameters, attempts: Attempts) -> None:
        """Write down a setting."""
        line = {
            "stage": stage,
            "targets": [asdict(target) for target in self.targets],
            "hyperparameters": hyperparameters,
            "attempts": [[asdict(one) for one in attempts[target]] for target in self.targets],
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def read(self, stage: str, seeds: int = 1) -> list[tuple[Hyperparameters, Attempts]]:
        """The settings of a stage that were tried with at least so many seeds, the best first."""
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        mine = [asdict(target) for target in self.targets]
        found = []
        for line in map(json.loads, lines):
            if line["stage"] == stage and line["targets"] == mine and all(len(e) >= seeds for e in line["attempts"]):
                each = ([Attempt(**one) for one in attempts] for attempts in line["attempts"])
                found.append((line["hyperparameters"], dict(zip(self.targets, each, strict=True))))
        return sorted(found, key=lambda one: cost(one[1]))


def warm(targets: Sequence[Target], presets: Sequence[Hyperparameters]) -> None:
    """Compile what there is to compile: in three rollouts everything is played, learnt and looked at, not measured."""
    for target, preset in zip(targets, presets, strict=True):
        rollouts = 3 * preset["n_envs"] * preset["n_steps"]
        attempt(replace(target, threshold=math.inf, random=-math.inf, steps=min(40_000, rollouts)), preset, WARM)


def search(record: Record, space: Space, preset: Hyperparameters, options: argparse.Namespace) -> None:
    """Try settings, write them down, and tell of those that are better than all before."""
    seeds = range(options.seeds)
    known = [(setting, cost(attempts)) for setting, attempts in record.read("search", options.seeds)]
    best = min((value for _, value in known), default=math.inf)
    searching = Search(record.targets, seeds, space, [preset, *FIRST], known, seed=options.seed + len(known))
    for number, (setting, attempts) in enumerate(searching.run(options.trials, 60 * options.minutes), 1):
        record.add("search", setting, attempts)
        whole = all(len(each) == len(seeds) for each in attempts.values())
        if whole and cost(attempts) < best:
            best = cost(attempts)
            print(f"trial {number}: {best:.3f}  {told(setting)}", flush=True)


def second_round(record: Record, seeds: int) -> Hyperparameters:
    """The best of the finalists with twice the seeds. Raises ConfigError if nothing was tried to the end."""
    finalists: list[tuple[float, Hyperparameters]] = []
    for setting, attempts in record.read("search", seeds)[:FINALISTS]:
        more = {t: [attempt(t, setting, AGAIN + seed) for seed in range(seeds)] for t in record.targets}
        record.add("second round", setting, more)
        finalists.append((cost({t: attempts[t] + more[t] for t in record.targets}), setting))
    if not finalists:
        raise ConfigError("no setting was tried with all seeds: allow more --minutes or --trials, or a greater --cap")
    return min(finalists, key=lambda one: one[0])[1]


def comparison(
    record: Record, presets: Sequence[Hyperparameters], candidates: Sequence[Hyperparameters], seeds: int
) -> str:
    """A table of the present presets beside the candidates, where these differ, on fresh seeds, in turns."""
    sides = {"preset": presets} | ({"candidate": candidates} if candidates != presets else {})
    rows = [("", "", "median s", "each seed", "median steps")]
    found: dict[str, Attempts] = {side: {} for side in sides}
    for place, target in enumerate(record.targets):
        pairs: dict[str, list[Attempt]] = {side: [] for side in sides}
        for seed in range(FRESH, FRESH + seeds):
            for side, settings in sides.items():
                pairs[side].append(attempt(target, settings[place], seed))
        for side, each in pairs.items():
            found[side][target] = each
            steps = f"{statistics.median(one.steps for one in each):,.0f}"
            rows.append((target.game, side, f"{_median(each):.2f}", _each(each), steps))
    for side, settings in sides.items():
        record.add(f"fresh, {side}", settings[0], found[side])
    return aligned(rows)


def best_table(record: Record, seeds: int) -> str:
    """The best settings of a search, with their seeds' times."""
    found = record.read("search", seeds)
    rows = [("cost", "CPU s of each seed", "setting")]
    for setting, attempts in found[:SHOWN]:
        times = " | ".join(_each(attempts[target]) for target in record.targets)
        rows.append((f"{cost(attempts):.3f}", times, told(setting)))
    tried = len(record.read("search"))
    return f"{aligned(rows)}\n{tried} settings tried, {len(found)} with all seeds: {record.path}"


def told(hyperparameters: Hyperparameters) -> str:
    """What differs from the constructor's defaults, in one line."""
    return ", ".join(f"{key} {value}" for key, value in _differing(hyperparameters, {}).items())


def toml(games: Sequence[str], hyperparameters: Hyperparameters) -> str:
    """The lines for `agents/presets.toml`: what the tables below a game's, or a family's, do not say."""
    tables = tomllib.loads((HERE.parent / "agents" / "presets.toml").read_text(encoding="utf-8"))["ppo"]
    family = find_game(games[0]).family
    lower = dict(tables["default"])
    name = f"family.{family}"
    if len(games) == 1:
        lower |= tables["family"].get(family, {})
        name = f'game."{games[0]}"'
    lower.pop("source")
    lines = [f"[ppo.{name}]", f'source = "benchmarks/tune.py {" ".join(games)}: …"']
    lines += [f"{key} = {json.dumps(value)}" for key, value in _differing(hyperparameters, lower).items()]
    return "\n".join(lines)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows as columns of text."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _differing(hyperparameters: Hyperparameters, lower: dict[str, Any]) -> Hyperparameters:
    """What is not said by the tables below, nor by the constructor."""
    known = {name: default for name, (default, _) in parameters(ALGORITHMS.load("ppo")).items()} | lower
    return {key: value for key, value in hyperparameters.items() if value != known[key]}


def _median(each: Sequence[Attempt]) -> float:
    return statistics.median(math.inf if one.seconds is None else one.seconds for one in each)


def _each(attempts: Sequence[Attempt]) -> str:
    return " ".join(f"({one.score:.3g})" if one.seconds is None else f"{one.seconds:.2f}" for one in attempts)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("games", nargs="+", metavar="GAME")
    parser.add_argument("--trials", type=int, default=60, help="settings to try at most")
    parser.add_argument("--seeds", type=int, default=3, help="of each setting")
    parser.add_argument("--minutes", type=float, default=10, help="of wall time for the search, the rest comes on top")
    parser.add_argument("--fresh", type=int, default=5, help="seeds of the comparison")
    parser.add_argument("--together", action="store_true", help="one setting for all games, such as for a family")
    parser.add_argument("--candidate", type=json.loads, metavar="JSON", help="no search: compare this, over the preset")
    parser.add_argument("--show", action="store_true", help="only print what was tried")
    parser.add_argument("--threshold", type=float, help="mean return to be reached")
    parser.add_argument("--check", choices=("greedy", "sampled", "training"), help="which episodes tell")
    parser.add_argument("--steps", type=int, help="the budget")
    parser.add_argument("--cap", type=float, help="CPU seconds of one training")
    parser.add_argument("--rollout", type=int, help="the longest rollout that is tried, in transitions")
    parser.add_argument("--keep", type=json.loads, default={}, metavar="JSON", help="what is not searched")
    parser.add_argument("--seed", type=int, default=0, help="of Optuna's choices")
    return parser.parse_args()


if __name__ == "__main__":
    main()
