"""What nominal 95 % intervals covered in simulation, for reports to print beside them.

The table is written by `benchmarks/intervals.py --write`, on distributions of scores that are listed in
docs/results/statistics.md.
"""

import tomllib
from functools import lru_cache
from importlib.resources import files

Rates = dict[str, float]
"""Coverage by distribution of scores."""

ENOUGH = 0.93
"""A distribution whose intervals cover less is named in the report."""


def simulated_coverage(kind: str, n: int) -> Rates | None:
    """Coverage by distribution, 0 to 1, of intervals of this `Interval.kind` at n seeds per arm.

    Between two simulated numbers of seeds the smaller one's; None for a kind that was not simulated (a level after a
    comma is no part of the kind) or for fewer seeds than were.
    """
    table = _table().get(kind.partition(",")[0], {})
    below = [size for size in table if size <= n]
    return dict(table[max(below)]) if below else None


def coverage_note(kind: str, n: int) -> str | None:
    """A sentence on which scores an interval covers too seldom; None where it covers all of them, or is not known."""
    rates = simulated_coverage(kind, n)
    if rates is None:
        return None
    short = {name: rate for name, rate in rates.items() if rate < ENOUGH}
    if not short:
        return None
    said = ", ".join(f"{100 * rate:.0f} % on {name}" for name, rate in sorted(short.items(), key=lambda item: item[1]))
    return f"simulated coverage at {n} seeds: {said}; {100 * rates['normal']:.0f} % on normal scores"


@lru_cache(maxsize=1)
def _table() -> dict[str, dict[int, Rates]]:
    text = files("transfer").joinpath("simulated_coverage.toml").read_text(encoding="utf-8")
    return {kind: {int(n): rates for n, rates in sizes.items()} for kind, sizes in tomllib.loads(text).items()}
