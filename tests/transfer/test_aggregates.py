"""Aggregates on arrays worked by hand, and against rliable's numbers (`benchmarks/peer_runs/rliable_numbers.py`)."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from envs.errors import ConfigError
from transfer import aggregates, intervals

RLIABLE: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "rliable.json").read_text())["cases"]
ONE = [4.0, 0.0, 1.0, 2.0, 10.0]
TWO = [[0.0, 1.0], [2.0, 1.0], [4.0, 4.0]]


def scores(n_runs: int) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float64, (n_runs, 2), elements=st.floats(-10, 10, width=16))


@pytest.mark.parametrize("case", RLIABLE)
@pytest.mark.parametrize("name", ["mean", "median", "iqm", "optimality_gap"])
def test_an_aggregate_is_rliables(case: str, name: str) -> None:
    theirs = RLIABLE[case]
    assert aggregates.AGGREGATES[name](theirs["x"]) == pytest.approx(theirs[name], rel=0, abs=1e-12)


@pytest.mark.parametrize("case", RLIABLE)
def test_gaps_improvements_and_profiles_are_rliables(case: str) -> None:
    theirs = RLIABLE[case]
    close = {"rtol": 0, "atol": 1e-12}
    gap = aggregates.optimality_gap(theirs["x"], 0.5)
    np.testing.assert_allclose(gap, theirs["optimality_gap_of_half"], **close)
    better = aggregates.probability_of_improvement(theirs["x"], theirs["y"])
    np.testing.assert_allclose(better, theirs["probability_of_improvement"], **close)
    at = theirs["thresholds"]
    np.testing.assert_allclose(aggregates.performance_profile(theirs["x"], at), theirs["profile"], **close)
    np.testing.assert_allclose(aggregates.average_profile(theirs["x"], at), theirs["average_profile"], **close)


def test_one_task_by_hand() -> None:
    assert aggregates.mean(ONE) == 17 / 5
    assert aggregates.run_median(ONE) == 2
    assert aggregates.iqm(ONE) == pytest.approx(7 / 3), "one of five is cut at each end"
    assert aggregates.optimality_gap(ONE) == pytest.approx(1 - 4 / 5)
    assert aggregates.optimality_gap(ONE, 4) == pytest.approx(4 - (4 + 0 + 1 + 2 + 4) / 5)
    np.testing.assert_allclose(aggregates.performance_profile(ONE, [-1, 0, 1.5, 10]), [1, 0.8, 0.6, 0])


def test_two_tasks_by_hand() -> None:
    assert aggregates.mean(TWO) == 2
    assert aggregates.median([[0.0, 1.0, 5.0], [2.0, 1.0, 5.0]]) == 1, "of the tasks' means 1, 1 and 5"
    assert aggregates.run_median(TWO) == 1.5
    assert aggregates.iqm(TWO) == (1 + 1 + 2 + 4) / 4
    np.testing.assert_allclose(aggregates.performance_profile(TWO, [0.5, 3]), [5 / 6, 2 / 6])
    np.testing.assert_allclose(aggregates.average_profile(TWO, [1.9, 2]), [1, 0])


def test_improvement_counts_pairs_and_halves_ties() -> None:
    # 3 beats 1 and 2; 2 beats 1 and ties 2; 1 ties 1: 3 wins and 2 ties of 6 pairs
    assert aggregates.probability_of_improvement([3.0, 2.0, 1.0], [1.0, 2.0]) == pytest.approx((3 + 1) / 6)
    both = aggregates.probability_of_improvement([[3.0, 0.0], [2.0, 0.0]], [[1.0, 0.0]])
    assert both == pytest.approx((1 + 0.5) / 2), "the mean over tasks"


@given(scores(4), scores(3))
def test_improvement_and_its_opposite_add_up(x: np.ndarray, y: np.ndarray) -> None:
    forth, back = aggregates.probability_of_improvement(x, y), aggregates.probability_of_improvement(y, x)
    assert forth + back == pytest.approx(1)


@given(scores(6))
def test_a_profile_falls_from_one_to_nought(x: np.ndarray) -> None:
    profile = aggregates.performance_profile(x, np.linspace(-11, 11, 40))
    assert profile[0] == 1
    assert profile[-1] == 0
    assert (np.diff(profile) <= 0).all()


# Intervals


def test_one_tasks_intervals_are_the_chosen_ones() -> None:
    generator = np.random.default_rng(0)
    kinds = {name: aggregates.aggregate_interval(name, ONE, generator)[1].kind for name in aggregates.AGGREGATES}
    assert kinds == {
        "iqm": "expanded percentile bootstrap over seeds",
        "mean": "Student t over seeds",
        "median": "order statistics, 93.8 %",
        "optimality_gap": "Student t over seeds",
    }
    value, found = aggregates.aggregate_interval("median", ONE, generator)
    assert (value, found.low, found.high) == (2, 0, 10)


def test_the_iqm_of_five_seeds_lies_between_the_smallest_and_the_largest() -> None:
    # a resample of five has four or more zeros, and so an IQM of 0, with probability 21/3125, above Φ(−3.1)
    _, found = aggregates.aggregate_interval("iqm", ONE, np.random.default_rng(0))
    assert (found.low, found.high) == (0, 10)


def test_the_expanded_level_is_hesterbergs() -> None:
    # sixteen seeds, eight at 0 and eight at 1: the IQM of a resample with k ones is that of the middle eight
    sample = np.repeat([0.0, 1.0], 8)
    found = intervals.iqm_interval(sample, np.random.default_rng(0))
    tail = stats.norm.cdf(-np.sqrt(16 / 15) * stats.t.ppf(0.975, 15))
    ones = stats.binom.ppf(1 - tail, 16, 0.5)
    assert found.high == pytest.approx(np.clip((ones - 4) / 8, 0, 1))
    assert found.low == pytest.approx(1 - np.clip((ones - 4) / 8, 0, 1))
    assert found == intervals.iqm_interval(sample, np.random.default_rng(0))


class Dealt:
    """A generator of which every draw is known."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows

    def integers(self, n: int, size: tuple[int, int]) -> np.ndarray:
        assert size[1] == n == self.rows.shape[1]
        return self.rows


@pytest.mark.parametrize(
    "rows",
    [np.array(list(itertools.product(range(5), repeat=5))), np.random.default_rng(7).integers(20, size=(999, 20))],
)
def test_the_ends_of_the_iqms_interval_are_the_resamples_at_its_level(rows: np.ndarray) -> None:
    n = rows.shape[1]
    sample = np.random.default_rng(3).normal(size=n)
    found = intervals.iqm_interval(sample, Dealt(rows))  # type: ignore[arg-type]
    drawn = np.sort(stats.trim_mean(sample[rows], 0.25, axis=1))
    tail = stats.norm.cdf(-np.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1))
    outside = tail * (len(rows) - 1)
    assert found.low == pytest.approx(drawn[int(np.floor(outside))])
    assert found.high == pytest.approx(drawn[len(rows) - 1 - int(np.floor(outside))])


def test_several_tasks_take_the_stratified_bootstrap() -> None:
    table = np.array([[0.0, 100.0], [1.0, 101.0], [2.0, 102.0]])
    value, found = aggregates.aggregate_interval("mean", table, np.random.default_rng(0))
    again = aggregates.aggregate_interval("mean", table, np.random.default_rng(0))[1]
    assert found == again, "the same seed gives the same interval"
    assert value == 51
    assert found.low is not None
    assert found.high is not None
    assert 50 <= found.low < 50.6, "a task keeps its own runs"
    assert 51.4 < found.high <= 52


def test_the_stratified_bootstrap_draws_every_runs_mean_alike() -> None:
    # Two runs, 0 and 1, of one task: their resampled mean is 0, ½ or 1 with probability ¼, ½, ¼
    means: list[float] = []
    aggregates.stratified_bootstrap(
        [np.array([[0.0], [1.0]])], lambda x: means.append(float(x[0].mean())) or 0.0, np.random.default_rng(1), 4_000
    )
    assert np.histogram(means, [-0.1, 0.25, 0.75, 1.1])[0] / 4_000 == pytest.approx([0.25, 0.5, 0.25], abs=0.03)


def test_newcombes_interval_solves_its_equation() -> None:
    found = aggregates.newcombe(0.7, 5, 7)
    for end in (found.low, found.high):
        assert end is not None
        first, second = end / (2 - end) - end**2, 2 * end**2 / (1 + end) - end**2  # Hanley & McNeil's Q1, Q2 less θ²
        variance = (end * (1 - end) + 5 * first + 5 * second) / 35
        assert (0.7 - end) ** 2 == pytest.approx(1.959964**2 * variance, rel=1e-4)


def test_an_improvement_without_exception_is_still_uncertain() -> None:
    found = aggregates.improvement_interval([5.0, 6, 7, 8, 9], [0.0, 1, 2, 3, 4], np.random.default_rng(0))
    assert found.high == 1
    assert found.low is not None
    assert 0.5 < found.low < 0.8
    mirror = aggregates.improvement_interval([0.0, 1, 2, 3, 4], [5.0, 6, 7, 8, 9], np.random.default_rng(0))
    assert (mirror.low, mirror.high) == pytest.approx((0, 1 - found.low))


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (2, 5), (5, 5), (7, 20)])
def test_clopper_pearson_is_scipys(hits: int, n: int) -> None:
    theirs = stats.binomtest(hits, n).proportion_ci(0.95)
    low, high = aggregates.clopper_pearson(hits, n)
    assert (float(low), float(high)) == pytest.approx((theirs.low, theirs.high))


def test_a_band_holds_its_profile() -> None:
    generator = np.random.default_rng(2)
    for table in (generator.random((5, 1)), generator.random((5, 4))):
        at = np.linspace(0, 1, 11)
        low, high = aggregates.profile_band(table, at, generator)
        assert (
            (low <= aggregates.performance_profile(table, at)) & (aggregates.performance_profile(table, at) <= high)
        ).all()


def test_what_cannot_be_said_is_said_why() -> None:
    generator = np.random.default_rng(0)
    assert aggregates.newcombe(1.0, 1, 5).low is None
    assert aggregates.aggregate_interval("iqm", [3.0], generator)[1].low is None
    assert aggregates.aggregate_interval("mean", np.empty((0, 1)), generator)[0] is None
    with pytest.raises(ConfigError, match=r"no aggregate 'mode'; expected one of iqm, mean"):
        aggregates.aggregate_interval("mode", ONE, generator)
    with pytest.raises(ConfigError, match="same tasks, found 2 and 1"):
        aggregates.probability_of_improvement(TWO, ONE)
    with pytest.raises(ConfigError, match=r"\(n_runs, n_tasks\) or \(n_runs,\), found \(1, 1, 1\)"):
        aggregates.iqm([[[1.0]]])
