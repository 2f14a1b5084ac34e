"""Censored times to a threshold: a textbook's data, by hand, and against plain intervals where nothing is lost."""

import numpy as np
import pytest
from scipy import stats

from envs.errors import ConfigError
from transfer import statistics, survival

# Freireich et al. 1963, 6-mercaptopurine arm (Klein & Moeschberger, table 1.1): weeks in remission
WEEKS = [10, 7, 32, 23, 22, 6, 16, 34, 32, 25, 11, 20, 19, 6, 17, 35, 6, 13, 9, 6, 10]
RELAPSED = [1, 1, 0, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0]


def test_the_curve_is_the_textbooks() -> None:
    curve = survival.kaplan_meier(WEEKS, np.array(RELAPSED, dtype=bool), 35)
    np.testing.assert_array_equal(curve.steps, [0, 6, 7, 10, 13, 16, 22, 23, 35])
    published = [0, 0.143, 0.193, 0.247, 0.310, 0.373, 0.462, 0.552, 0.552]  # 1 − S of Klein & Moeschberger, table 4.1
    np.testing.assert_allclose(curve.reached, published, atol=6e-4)
    at_23 = [1 - 0.639, 1 - 0.639]
    assert "log-log" in curve.interval
    assert curve.low[5] < at_23[0] < curve.high[5]


def test_the_log_log_interval_is_scipys() -> None:
    seen = np.array(RELAPSED, dtype=bool)
    curve = survival.kaplan_meier(WEEKS, seen, 35)
    data = stats.CensoredData(uncensored=np.array(WEEKS)[seen], right=np.array(WEEKS)[~seen])
    theirs = stats.ecdf(data).sf.confidence_interval(0.95, method="log-log")
    index = [i for i, step in enumerate(curve.steps) if 0 < step < 35]
    np.testing.assert_allclose(1 - curve.low[index], theirs.high.evaluate(curve.steps[index]))
    np.testing.assert_allclose(1 - curve.high[index], theirs.low.evaluate(curve.steps[index]))


def test_runs_watched_to_the_budget_are_a_binomial() -> None:
    curve = survival.kaplan_meier([10, 30, 30, 50, 50], [True, True, True, False, False], 50)
    np.testing.assert_array_equal(curve.steps, [0, 10, 30, 50])
    np.testing.assert_allclose(curve.reached, [0, 0.2, 0.6, 0.6])
    exact = stats.binomtest(3, 5).proportion_ci()
    assert (curve.low[2], curve.high[2]) == pytest.approx((exact.low, exact.high))


def test_a_run_at_the_budget_itself_has_got_there() -> None:
    curve = survival.kaplan_meier([0, 50], [True, True], 50)
    np.testing.assert_array_equal(curve.steps, [0, 50])
    np.testing.assert_array_equal(curve.reached, [0.5, 1])


def test_nobody_got_there() -> None:
    curve = survival.kaplan_meier([50, 50], [False, False], 50)
    np.testing.assert_array_equal(curve.reached, [0, 0])
    mean, around = survival.restricted_mean([50, 50], [False, False], 50)
    assert mean == 50
    assert around.low is None
    assert around.note == "no seed reached it; all count with the budget"


def test_the_restricted_mean_is_the_mean_of_times_cut_at_the_budget() -> None:
    times, seen = [10.0, 30, 30, 50, 50], [True, True, True, False, False]
    mean, around = survival.restricted_mean(times, seen, 50)
    plain = statistics.mean_interval(times)
    assert mean == pytest.approx(34)
    assert around.low == pytest.approx(plain.low)
    assert around.high == 50, "clipped: Student's end is beyond the budget"
    assert around.note == "a lower bound: 2 of 5 seeds never got there"


def test_the_restricted_mean_of_early_endings_by_hand() -> None:
    # S: 1 to 2, ¾ to 6 (the run at 4 ends early), 3/8 to 10: 2 + 4·¾ + 4·3/8 = 6.5
    # areas after 2 and 6: 4.5 and 1.5; 4.5²·1/(4·3) + 1.5²·1/(2·1) = 2.8125; times 4/3
    mean, around = survival.restricted_mean([2, 4, 6, 10], [True, False, True, False], 10)
    half = stats.t.ppf(0.975, 3) * np.sqrt(2.8125 * 4 / 3)
    assert mean == pytest.approx(6.5)
    assert around.low == pytest.approx(max(0, 6.5 - half))
    assert around.high == pytest.approx(min(10, 6.5 + half))


def test_the_restricted_interval_covers() -> None:
    generator = np.random.default_rng(3)
    truth = 100 * (1 - np.exp(-1.5)) / 1.5  # exponential times of mean 100/1.5, cut at 100
    covered = 0
    for _ in range(1_000):
        times = generator.exponential(100 / 1.5, 10)
        _, around = survival.restricted_mean(np.minimum(times, 100), times < 100, 100)
        assert around.low is not None
        assert around.high is not None
        covered += around.low <= truth <= around.high
    assert 0.92 < covered / 1_000 < 0.97


def test_wrong_times_are_refused() -> None:
    with pytest.raises(ConfigError, match="between 0 and the budget of 10 steps, found 5–20"):
        survival.kaplan_meier([5, 20], [True, True], 10)
    with pytest.raises(ConfigError, match=r"both be \(n_seeds,\)"):
        survival.restricted_mean([5.0], [True, False], 10)
    assert survival.restricted_mean([5.0], [True], 10)[1].note == "one seed gives no interval"
