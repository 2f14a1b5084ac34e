"""What rliable says of made-up scores: the fixture that `tests/transfer/test_aggregates.py` compares ours with.

    .venv/bin/python benchmarks/peers.py make rliable
    .peers/rliable/bin/python benchmarks/peer_runs/rliable_numbers.py > tests/transfer/rliable.json

Run by rliable's own Python; the scores are in the file too. Few resamples, since only point values are compared.
"""

import json
from importlib.metadata import version

import numpy as np
from rliable import library, metrics


def cases() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Two arms (n_runs, n_tasks) by name: one task and several, ties, zeros, unequal numbers of runs."""
    draw = np.random.default_rng(0)
    return {
        "one task, five runs": (draw.normal(0.6, 0.3, (5, 1)), draw.normal(0.4, 0.3, (5, 1))),
        "one task, unequal": (draw.lognormal(-1, 1, (7, 1)), draw.lognormal(-1, 1, (4, 1))),
        "three tasks": (draw.beta(2, 2, (10, 3)), draw.beta(1, 2, (10, 3))),
        "ties": (draw.integers(0, 4, (6, 5)) / 3, draw.integers(0, 4, (8, 5)) / 3),
        "many zeros": (
            np.maximum(draw.normal(-0.2, 1, (5, 4)), 0).round(6),
            np.maximum(draw.normal(-0.5, 1, (5, 4)), 0).round(6),
        ),
        "twenty-six tasks": (draw.normal(0.5, 1, (3, 26)), draw.normal(0.4, 1, (3, 26))),
    }


def numbers(x: np.ndarray, y: np.ndarray) -> dict[str, object]:
    """rliable's values of one pair."""
    taus = np.linspace(-0.5, 2, 26)
    runs, _ = library.create_performance_profile({"x": x}, taus, reps=3)
    tasks, _ = library.create_performance_profile({"x": x}, taus, use_score_distribution=False, reps=3)
    return {
        "x": x.tolist(),
        "y": y.tolist(),
        "mean": float(metrics.aggregate_mean(x)),
        "median": float(metrics.aggregate_median(x)),
        "iqm": float(metrics.aggregate_iqm(x)),
        "optimality_gap": float(metrics.aggregate_optimality_gap(x)),
        "optimality_gap_of_half": float(metrics.aggregate_optimality_gap(x, 0.5)),
        "probability_of_improvement": float(metrics.probability_of_improvement(x, y)),
        "thresholds": taus.tolist(),
        "profile": np.asarray(runs["x"]).tolist(),
        "average_profile": np.asarray(tasks["x"]).tolist(),
    }


def main() -> None:
    """Print the fixture."""
    found = {name: numbers(x, y) for name, (x, y) in cases().items()}
    print(json.dumps({"rliable": version("rliable"), "cases": found}, indent=1))


if __name__ == "__main__":
    main()
