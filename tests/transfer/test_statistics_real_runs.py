"""Studies of real runs in which nothing helps: the verdict's promise, and the benchmark that measures it at length."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from transfer import aggregates, statistics

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
try:
    aa, intervals, real_runs = (importlib.import_module(name) for name in ("aa", "intervals", "real_runs"))
finally:
    sys.path.pop(0)


@pytest.fixture(scope="module")
def pools() -> dict[str, np.ndarray]:
    scores, steps = real_runs.load("cartpole")
    return aa.samples(steps, scores)


def test_the_pool_is_forty_real_runs_at_least(pools: dict[str, np.ndarray]) -> None:
    assert all(len(pool) >= 40 for pool in pools.values())
    assert len(set(pools["total reward"])) == len(pools["total reward"]), "no two runs are alike"


@pytest.mark.parametrize(("n", "arms"), [(5, 1), (5, 2), (10, 1)])
def test_the_benchmarks_p_values_are_the_tests(pools: dict[str, np.ndarray], n: int, arms: int) -> None:
    generator = np.random.default_rng(n + arms)
    x = aa.deal(pools["total reward"], n, arms, 8, generator)
    quick = aa.adjusted(x, n, arms, generator)
    for study, p in zip(x.reshape(8, arms + 1, n), quick, strict=True):
        others = {str(arm): study[arm + 1] for arm in range(arms)}
        exact = statistics.permutation_test(study[0], others, generator).adjusted
        slack = 0 if (n, arms) == (5, 1) else 4.5 * np.sqrt(p * (1 - p) / aa.RELABELLINGS) + 0.005
        np.testing.assert_array_less(np.abs(np.array(list(exact.values())) - p), slack + 1e-9)


def test_one_statistic_by_sums_is_the_one_by_parts(pools: dict[str, np.ndarray]) -> None:
    x = aa.deal(pools["total reward"], 5, 2, 20, np.random.default_rng(3))
    x = (x - np.median(x, axis=1, keepdims=True)) / np.ptp(x, axis=1, keepdims=True)
    groups = [np.repeat(np.arange(3) == group, 5).astype(float)[:, None] for group in range(3)]
    np.testing.assert_allclose(aa.largest(x, groups, 5)[:, 0], statistics.statistic(x, (5, 5, 5)))


@pytest.mark.parametrize("metric", ["total reward", "time to threshold"])
def test_real_runs_dealt_to_arms_are_rarely_called_anything(pools: dict[str, np.ndarray], metric: str) -> None:
    generator = np.random.default_rng(8)
    x = aa.deal(pools[metric], 5, 2, 600, generator)
    wrong = aa.said(aa.adjusted(x, 5, 2, generator), aa.differences(x, 5, 2)).any(axis=1)
    assert wrong.mean() <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 600)


@pytest.mark.slow
@pytest.mark.parametrize("arms", [1, 2, 3])
@pytest.mark.parametrize("n", [5, 10])
def test_the_rate_is_bounded_over_the_whole_study(pools: dict[str, np.ndarray], n: int, arms: int) -> None:
    generator = np.random.default_rng([n, arms])
    x = aa.deal(pools["total reward"], n, arms, 20_000, generator)
    wrong = aa.said(aa.adjusted(x, n, arms, generator), aa.differences(x, n, arms)).any(axis=1)
    assert aggregates.clopper_pearson(int(wrong.sum()), 20_000, 0.99)[1] <= 0.065


def test_two_standard_deviations_are_found_more_often_than_one(pools: dict[str, np.ndarray]) -> None:
    generator = np.random.default_rng(9)
    pool = pools["total reward"]
    x = aa.deal(pool, 10, 1, 300, generator)
    found = []
    for effect in (0.0, 1.0, 2.0):
        moved = x.copy()
        moved[:, 10:] += effect * pool.std(ddof=1)
        found.append((aa.adjusted(moved, 10, 1, generator) <= 0.05).mean())
    assert found[0] < 0.1
    assert 0.4 < found[1] < 0.75
    assert found[2] > 0.95


# The benchmark of intervals computes what the package does


@pytest.mark.parametrize("n", [5, 8, 20])
def test_the_simulated_intervals_are_the_packages(n: int) -> None:
    x, y = np.random.default_rng(n).lognormal(size=(2, 3, n))
    many = {
        "student": (intervals.student(x), [statistics.mean_interval(row) for row in x]),
        "order": (intervals.order(x), [aggregates.order_interval(row) for row in x]),
        "welch": (
            intervals.welch(x, y),
            [statistics.difference_interval(own, base) for own, base in zip(x, y, strict=True)],
        ),
        "improvement": (
            intervals.improvement(x, y),
            [aggregates.improvement_interval(a, b, np.random.default_rng(0)) for a, b in zip(x, y, strict=True)],
        ),
    }
    for (low, high), ours in many.values():
        np.testing.assert_allclose(low, [one.low for one in ours])
        np.testing.assert_allclose(high, [one.high for one in ours])


def test_the_studentised_bootstrap_is_a_students_t_spelt_out() -> None:
    x = np.random.default_rng(0).normal(size=(1, 10))
    weights = intervals.resamples(10)
    rows = [np.repeat(x[0], counts.astype(int)) for counts in weights]
    t = np.sort([(row.mean() - x.mean()) / (row.std(ddof=0) / 3) for row in rows])
    error = x.std(ddof=1) / np.sqrt(10)
    low, high = intervals.studentised(x)
    assert low[0] == pytest.approx(x.mean() - t[round(0.975 * 998)] * error)
    assert high[0] == pytest.approx(x.mean() - t[round(0.025 * 998)] * error)
