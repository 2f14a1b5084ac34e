"""Intervals against other people's, the test against brute force, and its promise by simulation."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from transfer import statistics


def samples(seed: int, *sizes: int) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.normal(i, 1 + i, size=size) for i, size in enumerate(sizes)]


# Intervals


def test_difference_is_scipys_welch_interval() -> None:
    base, own = samples(0, 5, 7)
    found = statistics.difference_interval(own, base)
    expected = stats.ttest_ind(own, base, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.kind == "Welch t over seeds"
    assert found.note is None


def test_mean_is_scipys_t_interval() -> None:
    (sample,) = samples(1, 5)
    found = statistics.mean_interval(sample)
    expected = stats.ttest_1samp(sample, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_identical_scores_are_flagged() -> None:
    found = statistics.difference_interval([0.3] * 5, [0.1] * 5)  # their rounded variance is not 0
    assert found.low == found.high == pytest.approx(0.2)
    assert "width nought: the scores of all seeds are identical" in str(found.note)
    assert "width nought" in str(statistics.mean_interval([500.0] * 3).note)


def test_one_arm_without_spread_still_has_an_interval() -> None:
    found = statistics.difference_interval([500.0] * 5, [1.0, 2.0, 3.0])
    half = stats.t.ppf(0.975, 2) * math.sqrt(1 / 3)
    assert (found.low, found.high) == pytest.approx((498 - half, 498 + half))
    assert found.note is None


def test_one_seed_has_no_interval_but_a_reason() -> None:
    for found in (
        statistics.mean_interval([1.0]),
        statistics.difference_interval([1.0], [1.0, 2.0]),
        statistics.ratio_interval([1.0, 2.0], [1.0]),
    ):
        assert found.low is None
        assert found.high is None
        assert "interval" in str(found.note)
    assert statistics.mean_interval([]).note == "no seed finished"


def test_fieller_is_the_set_of_ratios_that_a_t_test_keeps() -> None:
    own, base = np.array([4.0, 5.0, 6.5, 5.2, 4.4]), np.array([2.0, 2.6, 1.9, 2.2, 2.5])
    found = statistics.ratio_interval(own, base)
    u, v = own.var(ddof=1) / 5, base.var(ddof=1) / 5
    ratio = own.mean() / base.mean()
    freedom = (u + ratio**2 * v) ** 2 / (u**2 / 4 + (ratio**2 * v) ** 2 / 4)
    grid = np.linspace(1, 4, 300_001)
    kept = grid[np.abs(own.mean() - grid * base.mean()) <= stats.t.ppf(0.975, freedom) * np.sqrt(u + grid**2 * v)]
    assert (found.low, found.high) == pytest.approx((kept[0], kept[-1]), abs=1e-4)
    assert "Fieller" in found.kind


def test_fieller_has_no_end_where_the_denominator_may_be_nought() -> None:
    assert statistics.ratio_interval([4.0, 5.0, 6.0], [-1.0, 0.1, 1.0]).low is None
    assert statistics.ratio_interval([4.0, 5.0, 6.0], [-1.0, 0.0, 1.0]).high is None


def test_the_ratio_of_a_constant_is_the_t_interval_divided() -> None:
    (own,) = samples(3, 6)
    ratio, mean = statistics.ratio_interval(own, [2.0] * 5), statistics.mean_interval(own)
    assert mean.low is not None
    assert mean.high is not None
    assert (ratio.low, ratio.high) == pytest.approx((mean.low / 2, mean.high / 2))


@pytest.mark.parametrize(("n", "level", "rank"), [(2, "50.0", 1), (5, "93.8", 1), (6, "96.9", 1), (10, "97.9", 2)])
def test_the_median_lies_between_order_statistics_of_a_named_level(n: int, level: str, rank: int) -> None:
    times = np.arange(1.0, n + 1)
    median, found = statistics.median_interval(times[::-1], [True] * n)
    assert median == np.median(times)
    assert (found.low, found.high) == (rank, n + 1 - rank)
    assert found.kind == f"order statistics, {level} %"


def test_censored_times_are_late_not_missing() -> None:
    median, found = statistics.median_interval([10, 20, 30, 50, 50], [True, True, True, False, False])
    assert (median, found.low, found.high) == (30, 10, None)
    assert found.note is not None
    assert statistics.median_interval([10, 50, 50], [True, False, False])[0] is None
    assert statistics.median_interval([10, 20, 50, 50], [True, True, False, False])[0] is None


def test_welchs_interval_covers_what_it_says() -> None:
    generator = np.random.default_rng(5)
    covered = 0
    for _ in range(2000):
        base, own = generator.normal(0, 1, 5), generator.normal(1, 3, 5)
        found = statistics.difference_interval(own, base)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 1 <= found.high
    assert 0.93 < covered / 2000 < 0.975


# The test


def brute_force(groups: list[np.ndarray]) -> float:
    """p of max-T over every relabelling, spelt out."""

    def value(parts: list[np.ndarray]) -> float:
        base = parts[0]
        errors = [math.sqrt(base.var(ddof=1) / len(base) + part.var(ddof=1) / len(part)) for part in parts[1:]]
        return max(abs(part.mean() - base.mean()) / error for part, error in zip(parts[1:], errors, strict=True))

    pooled, sizes = np.concatenate(groups), [len(group) for group in groups]
    ends = np.cumsum([0, *sizes])
    labels = np.repeat(np.arange(len(groups)), sizes)
    found = set(itertools.permutations(labels)) if len(pooled) < 9 else _two(labels)
    values = [value([pooled[np.array(order) == group] for group in range(len(groups))]) for order in found]
    observed = value([pooled[a:b] for a, b in itertools.pairwise(ends)])
    return sum(each >= observed - 1e-9 for each in values) / len(values)


def _two(labels: np.ndarray) -> list[tuple[int, ...]]:
    n, size = len(labels), int((labels == 0).sum())
    return [tuple(0 if i in chosen else 1 for i in range(n)) for chosen in itertools.combinations(range(n), size)]


@pytest.mark.parametrize("sizes", [(5, 5), (4, 5), (6, 3), (2, 2, 2), (3, 2, 3)])
def test_exact_p_is_brute_forces(sizes: tuple[int, ...]) -> None:
    groups = samples(sum(sizes), *sizes)
    p, exact = statistics.max_t(groups[0], groups[1:], np.random.default_rng(0))
    assert exact
    assert p == pytest.approx(brute_force(groups))


def test_two_groups_are_scipys_permutation_test() -> None:
    base, own = samples(8, 5, 5)
    p, _ = statistics.max_t(base, [own], np.random.default_rng(0))
    expected = stats.permutation_test(
        (own, base), lambda x, y: abs(stats.ttest_ind(x, y, equal_var=False).statistic), alternative="greater"
    )
    assert p == pytest.approx(expected.pvalue)


def test_drawn_relabellings_come_close_to_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = samples(2, 4, 4, 4)
    exact, _ = statistics.max_t(groups[0], groups[1:], np.random.default_rng(0))
    monkeypatch.setattr(statistics, "EXACT", 0)
    drawn, counted = statistics.max_t(groups[0], groups[1:], np.random.default_rng(0), 20_000)
    assert not counted
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 20_000))


def test_separated_groups_get_the_smallest_p() -> None:
    found = statistics.permutation_test(np.arange(5.0), {"a": np.arange(5.0) + 100}, np.random.default_rng(0))
    assert found.adjusted["a"] == pytest.approx(2 / 252) == pytest.approx(statistics.smallest_p(5, 1))
    assert found.permutations is None


@pytest.mark.parametrize(("base", "own", "p"), [([0.1] * 5, [0.1] * 5, 1.0), ([0.1] * 5, [0.3] * 5, 2 / 252)])
def test_scores_without_spread_have_a_finite_statistic(base: list[float], own: list[float], p: float) -> None:
    found = statistics.permutation_test(base, {"a": own}, np.random.default_rng(0))
    assert found.adjusted["a"] == pytest.approx(p)
    value = statistics.statistic(np.array([[*base, *own]]), (5, 5))
    assert np.isfinite(value).all()


def test_adjusted_p_is_the_largest_over_all_sets() -> None:
    groups = samples(4, 3, 3, 3)
    found = statistics.permutation_test(groups[0], {"a": groups[1], "b": groups[2]}, np.random.default_rng(0))
    both = brute_force_of_sets(groups)
    assert found.single == pytest.approx({"a": brute_force(groups[:2]), "b": brute_force([groups[0], groups[2]])})
    assert found.adjusted == pytest.approx({name: max(p, both) for name, p in found.single.items()})


def brute_force_of_sets(groups: list[np.ndarray]) -> float:
    return statistics.max_t(groups[0], groups[1:], np.random.default_rng(0))[0]


def test_same_generator_same_answer() -> None:
    groups = samples(6, 5, 5, 5)
    arms = {"a": groups[1], "b": groups[2]}
    first, second = (
        statistics.permutation_test(groups[0], arms, statistics.generator_for("study"), 500) for _ in range(2)
    )
    assert first == second
    assert first.permutations == 500


def test_a_draw_is_never_nought() -> None:
    arms = {name: np.arange(6.0) + 100 for name in "ab"}
    found = statistics.permutation_test(np.arange(6.0), arms, np.random.default_rng(0), 99)
    assert all(p >= 0.01 for p in found.adjusted.values())


Draw = Callable[[np.random.Generator], tuple[np.ndarray, dict[str, np.ndarray]]]


def family_wise(draw: Draw, nulls: str, simulations: int = 400) -> float:
    """How often any true null is rejected."""
    generator = np.random.default_rng(11)
    wrong = 0
    for _ in range(simulations):
        base, arms = draw(generator)
        found = statistics.permutation_test(base, arms, generator, 299)
        wrong += any(found.adjusted[name] <= 0.05 for name in nulls)
    return wrong / simulations


def test_arms_that_are_scratch_are_rarely_called_anything_else() -> None:
    def draw(generator: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return generator.normal(size=5), {name: generator.normal(size=5) for name in "abc"}

    rate = family_wise(draw, "abc")
    assert rate <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 400)  # uncorrected: 0.12


def test_a_strong_arm_of_another_spread_does_not_raise_the_error_of_the_others() -> None:
    def draw(generator: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        arms = {"strong": generator.normal(30, 10, 5), **{name: generator.normal(size=5) for name in "bc"}}
        return generator.normal(size=5), arms

    assert family_wise(draw, "bc") <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 400)


def test_a_large_effect_is_found_among_arms_without_one() -> None:
    generator = np.random.default_rng(12)
    found = 0
    for _ in range(100):
        arms = {"strong": generator.normal(4, 1, 5), **{name: generator.normal(size=5) for name in "bc"}}
        test = statistics.permutation_test(generator.normal(size=5), arms, generator, 299)
        found += test.adjusted["strong"] <= 0.05
    assert found >= 90


def test_more_arms_than_can_be_closed_are_corrected_by_holm() -> None:
    groups = samples(9, *[5] * 10)
    arms = {str(i): group for i, group in enumerate(groups[1:])}
    found = statistics.permutation_test(groups[0], arms, np.random.default_rng(0))
    assert "Holm" in found.method
    assert found.adjusted == pytest.approx(statistics.holm(found.single))


def test_holm_by_hand() -> None:
    assert statistics.holm({"a": 0.04, "b": 0.01, "c": 0.03}) == pytest.approx({"a": 0.06, "b": 0.03, "c": 0.06})
    assert statistics.holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}


@pytest.mark.parametrize(
    ("n_seeds", "n_arms", "p", "can"),
    [(3, 1, 0.1, False), (4, 3, 2 / 70, True), (5, 3, 2 / 252, True), (5, 10, 20 / 252, False), (1, 1, 1.0, False)],
)
def test_what_a_design_can_say_is_known_before(n_seeds: int, n_arms: int, p: float, can: bool) -> None:
    assert statistics.smallest_p(n_seeds, n_arms) == pytest.approx(p)
    assert statistics.can_reject(n_seeds, n_arms) is can


@pytest.mark.parametrize(("n_seeds", "n_arms"), [(3, 2), (5, 2), (5, 9)])
def test_the_smallest_p_is_attained_by_arms_far_away(n_seeds: int, n_arms: int) -> None:
    base = np.arange(n_seeds, dtype=float)
    arms = {str(i): base + 1e6 * (i + 1) for i in range(n_arms)}
    found = statistics.permutation_test(base, arms, np.random.default_rng(0), 2_000)
    assert min(found.adjusted.values()) == pytest.approx(statistics.smallest_p(n_seeds, n_arms, 2_000))


@pytest.mark.parametrize(("n_scratch", "n_seeds"), [(5, 3), (3, 5), (6, 2), (4, 4)])
def test_the_smallest_p_of_unequal_groups_is_attained(n_scratch: int, n_seeds: int) -> None:
    arms = {"a": 1e6 + np.arange(n_seeds, dtype=float)}
    found = statistics.permutation_test(np.arange(n_scratch, dtype=float), arms, np.random.default_rng(0))
    assert found.adjusted["a"] == pytest.approx(statistics.smallest_p(n_seeds, 1, n_scratch=n_scratch))


@pytest.mark.parametrize(
    ("p", "difference", "said"),
    [(0.01, 3.0, "helps"), (0.01, -3.0, "hurts"), (0.05, 1.0, "helps"), (0.051, 3.0, "no evidence")],
)
def test_verdict(p: float, difference: float, said: str) -> None:
    assert statistics.verdict(p, difference) == said


def test_many_seeds_are_not_relabelled_for_every_set_of_arms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand runs are tested pairwise, with Holm's correction, and the result says so."""
    assert statistics.is_closed(100, [100] * 8)
    assert not statistics.is_closed(1000, [1000] * 8)
    assert not statistics.is_closed(5, [5] * (statistics.CLOSED + 1))
    random = np.random.default_rng(0)
    arms = {"far": random.normal(1, 1, 600), "same": random.normal(0, 1, 600), "other": random.normal(0, 1, 600)}
    monkeypatch.setattr(statistics, "WORK", 1_000_000)
    found = statistics.permutation_test(random.normal(0, 1, 600), arms, np.random.default_rng(1), permutations=500)
    assert "too many seeds" in found.method
    assert found.adjusted == statistics.holm(found.single)
    assert found.adjusted["far"] == pytest.approx(3 / 501)
    assert min(found.adjusted["same"], found.adjusted["other"]) > 0.05


def test_arms_tested_in_pairs_share_relabellings_and_keep_their_statistic() -> None:
    random = np.random.default_rng(0)
    scratch, arms = random.normal(0, 1, 12), [random.normal(shift, 2, 15) for shift in (0.0, 1.0)] + [np.ones(15)]
    pooled = np.array([np.concatenate([scratch, arm]) for arm in arms])
    labels = random.permuted(np.broadcast_to(np.repeat([1.0, 0.0], (12, 15)), (50, 27)), axis=1)
    rows = [[np.concatenate([own[label == 1], own[label == 0]]) for own in pooled] for label in labels]
    expected = [[statistics.statistic(row[None], (12, 15))[0] for row in each] for each in rows]
    np.testing.assert_allclose(statistics._welch(labels, pooled, (12, 15)), expected, rtol=1e-9)
    given = {str(i): arm for i, arm in enumerate(arms)}
    shared = statistics.pairwise(scratch, given, np.random.default_rng(1), 20_000)
    for name, arm in given.items():
        alone, exact = statistics.max_t(scratch, [arm], np.random.default_rng(2), 20_000)
        assert shared[name] == (pytest.approx(alone, abs=0.015), exact)
    few = statistics.pairwise(scratch[:5], {"few": arms[0][:5]}, np.random.default_rng(1), 100)
    assert few["few"] == statistics.max_t(scratch[:5], [arms[0][:5]], np.random.default_rng(1), 100)


def test_equal_scores_have_a_p_of_one_and_scores_apart_the_smallest() -> None:
    found = statistics.pairwise(np.zeros(20), {"b": np.ones(20), "a": np.zeros(20)}, np.random.default_rng(0), 999)
    assert found == {"b": (0.001, False), "a": (1.0, False)}


def test_relabellings_drawn_in_pieces_are_those_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    scratch, arm = random.normal(0, 1, 20), random.normal(1, 1, 20)
    whole = statistics.null(scratch, [arm], np.random.default_rng(1), 500)
    monkeypatch.setattr(statistics, "PIECE", 40 * 50)
    pieces = statistics.null(scratch, [arm], np.random.default_rng(1), 500)
    np.testing.assert_allclose(pieces.values, whole.values, rtol=1e-12)
