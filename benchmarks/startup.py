"""How light `headstart --help` and `headstart games` are: CPU seconds beyond a bare Python start.

    .venv/bin/python benchmarks/startup.py

Each command is started in alternation with bare Python, the median of the differences is printed.
"""

import resource
import statistics
import subprocess
import sys

REPEATS = 15


def cpu_seconds(arguments: list[str]) -> float:
    """User and system time of one child process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the table."""
    print(f"{'command':24} {'CPU s beyond bare Python':>26}   (median of {REPEATS}, range)")
    for verb in (["--help"], ["games"]):
        beyond = [cpu_seconds(["-m", "transfer", *verb]) - cpu_seconds(["-c", "pass"]) for _ in range(REPEATS)]
        name = f"headstart {' '.join(verb)}"
        print(f"{name:24} {statistics.median(beyond):26.3f}   ({min(beyond):.3f} to {max(beyond):.3f})")


if __name__ == "__main__":
    main()
