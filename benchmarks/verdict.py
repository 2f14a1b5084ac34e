"""What the verdict keeps of its promises on normal scores, by simulation: `python benchmarks/verdict.py`.

Prints the table of docs/how-it-is-measured.md; a few minutes on one core. `aa.py` asks the same of real runs, and
`intervals.py` of the intervals.
"""

from collections.abc import Callable

import numpy as np

from transfer import statistics

Draw = Callable[[np.random.Generator], tuple[np.ndarray, dict[str, np.ndarray]]]
SIMULATIONS = 2000


def rates(draw: Draw, nulls: str, simulations: int = SIMULATIONS) -> tuple[float, float]:
    """How often any of the true nulls is rejected, and any of the false ones."""
    generator = np.random.default_rng(0)
    wrong = right = 0
    for _ in range(simulations):
        base, arms = draw(generator)
        p = statistics.permutation_test(base, arms, generator, 499).adjusted
        wrong += any(p[name] <= 0.05 for name in nulls)
        right += any(p[name] <= 0.05 for name in p if name not in nulls)
    return wrong / simulations, right / simulations


def normal(n: int, **arms: tuple[float, float]) -> Draw:
    """Scratch is standard normal; the arms have the given mean and standard deviation."""
    return lambda generator: (
        generator.normal(size=n),
        {name: generator.normal(mean, spread, n) for name, (mean, spread) in arms.items()},
    )


def shared_sources(generator: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Three arms like scratch whose seed i is alike in all, as if one source seed had made them so."""
    source = generator.normal(size=5)
    return generator.normal(size=5), {name: 0.8 * source + 0.6 * generator.normal(size=5) for name in "abc"}


def main() -> None:
    """Print the table."""
    none, unit = (0.0, 1.0), {"b": (0.0, 1.0), "c": (0.0, 1.0)}
    cases: list[tuple[str, Draw, str]] = [
        ("three arms like scratch", normal(5, a=none, **unit), "abc"),
        ("three arms like scratch, seeds alike through their sources", shared_sources, "abc"),
        ("two like scratch, one strong with 5 times its spread", normal(5, a=(10, 5), **unit), "bc"),
        ("one arm, scratch's mean, 4 times its spread", normal(5, b=(0, 4)), "b"),
        *((f"two like scratch, one {d} sd better, 5 seeds", normal(5, a=(d, 1), **unit), "bc") for d in (1, 2, 3)),
        *((f"two like scratch, one {d} sd better, 10 seeds", normal(10, a=(d, 1), **unit), "bc") for d in (1, 2)),
    ]
    print(f"{'arms':60}  wrong  right")
    for name, draw, nulls in cases:
        wrong, right = rates(draw, nulls, 200 if "10 seeds" in name else SIMULATIONS)
        print(f"{name:60}  {100 * wrong:4.1f} %  {100 * right:4.1f} %" if right else f"{name:60}  {100 * wrong:4.1f} %")


if __name__ == "__main__":
    main()
