"""Win rates as training goes on, with and without transfer: the curves of a study on boards, told as win rates.

    .venv/bin/headstart study studies/boards.toml
    .venv/bin/python benchmarks/win_rates.py [results/boards/results.json] [--every 3]

The opponents are those of the study's `against`, which stay as they are: in `studies/boards.toml` Monte Carlo tree
search with 10 and with 25 simulations a move, met equally often from both seats. A draw is half a win, so that a mean
return r between -1 and 1 is the win rate (r + 1) / 2. Intervals are the report's: Student's t over seeds, pointwise,
nominal 95 %.
"""

import argparse
import json
from pathlib import Path


def rate(mean_return: float) -> float:
    """In per cent."""
    return 50 * (mean_return + 1)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="?", type=Path, default=Path("results/boards/results.json"))
    parser.add_argument("--every", type=int, default=3, help="which evaluations are shown: each so many-th")
    options = parser.parse_args()
    if not options.results.is_file():
        parser.error(f"{options.results} is not there: run headstart study studies/boards.toml first")
    document = json.loads(options.results.read_text(encoding="utf-8"))
    arms, steps = document["arms"], document["measured"]["steps"]
    print("| step | " + " | ".join(arms) + " |\n|" + "---|" * (len(arms) + 1))
    for i in range(0, len(steps), options.every):
        cells = []
        for arm in arms.values():
            mean, low, high = (rate(arm["curve"][end][i]) for end in ("mean", "low", "high"))
            cells.append(f"{mean:.0f} % [{max(low, 0):.0f}, {min(high, 100):.0f}]")
        print(f"| {steps[i]:,} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
