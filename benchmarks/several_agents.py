"""Agent steps per second of games of several agents, beside SuperSuit's route from PettingZoo to a vector environment.

    .venv/bin/python benchmarks/peers.py make supersuit
    .venv/bin/python benchmarks/several_agents.py [GAME ...] [--copies 4] [--seconds 3] [--repeats 5] [--write FILE]

Random actions, one process, CPU seconds: what the game itself needs is the same on both sides. Games that show pictures
are brought to 84x84 grey in stacks of four by either side's own means. A step counts once for each agent's slot.
"""

import argparse
import shlex
import sys
from pathlib import Path

from beside import HOME, Load, Table, measure, number, ours, show, spread, steps_per_second, theirs
from peer_runs.several import GAMES

RUNNER = "several.py"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("games", nargs="*", metavar="GAME", help=f"of {', '.join(GAMES)}; all by default")
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=3.0, help="CPU seconds of each measurement")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", type=Path, metavar="FILE", help="also as Markdown")
    options = parser.parse_args()
    unknown = set(options.games) - GAMES.keys()
    if unknown:
        parser.error(f"no such game: {', '.join(sorted(unknown))}; expected {', '.join(GAMES)}")
    how = (f"--copies={options.copies}", f"--seconds={options.seconds}")
    rows, everything, load = [], [], Load()
    for game in options.games or GAMES:
        found = measure(
            [
                ours(f"{game}, Headstart", RUNNER, "ours", game, *how),
                theirs(f"{game}, SuperSuit", "supersuit", RUNNER, "supersuit", game, *how),
            ],
            options.repeats,
        )
        mine, peer = (one.median(steps_per_second) for one in found)
        ranges = [spread(one.values(steps_per_second)) for one in found]
        rows.append([game, number(mine), number(peer), f"{mine / peer:.2f}×", *ranges])
        everything += found
    head = ["game", "Headstart", "SuperSuit", "ratio", "Headstart from to", "SuperSuit from to"]
    table = Table(f"Agent steps per CPU second, {options.copies} copies in one process", head, rows)
    table.describe(everything, options.repeats, load)
    command = shlex.join(["benchmarks/several_agents.py", *sys.argv[1:]])
    preface = f"# Games of several agents, stepped\n\nMade by `.venv/bin/python {command}`.\n\n"
    show([table], None if options.write is None else HOME / options.write, preface)


if __name__ == "__main__":
    main()
