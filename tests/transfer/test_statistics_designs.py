"""What designs can find, what their intervals cover, and source seeds with several target seeds each."""

import numpy as np
import pytest
from scipy import stats

from envs.errors import ConfigError
from transfer import detectable, nested, simulated, statistics

# What could have been found


def test_a_design_that_cannot_reject_finds_nothing() -> None:
    assert detectable.detectable(3, 1) is None
    assert detectable.power_of(3, 1, 100.0) == 0
    assert detectable.detectable(5, 10) is None


def test_one_arm_is_the_t_tests_power() -> None:
    # Welch's t of equal spreads has 2(n − 1) degrees of freedom and noncentrality d √(n/2), nearly
    for n, effect in ((10, 1.0), (20, 1.0), (8, 2.0)):
        critical, centre = stats.t.ppf(0.975, 2 * n - 2), effect * np.sqrt(n / 2)
        expected = stats.nct.sf(critical, 2 * n - 2, centre) + stats.nct.cdf(-critical, 2 * n - 2, centre)
        assert detectable.power_of(n, 1, effect) == pytest.approx(expected, abs=0.02)


def test_what_is_detectable_has_the_power() -> None:
    least = detectable.detectable(5, 3, power=0.8)
    assert least is not None
    assert detectable.power_of(5, 3, least) == pytest.approx(0.8, abs=0.01)
    assert least == detectable.detectable(5, 3), "the same at every call"


def test_more_seeds_find_smaller_effects_and_more_arms_larger_ones() -> None:
    by_seeds = [detectable.detectable(n, 2) or np.inf for n in (4, 5, 10, 20)]
    by_arms = [detectable.detectable(10, arms) or np.inf for arms in (1, 2, 4, 8)]
    assert by_seeds == sorted(by_seeds, reverse=True)
    assert by_arms == sorted(by_arms)
    assert detectable.power_of(5, 2, 0.0) < 0.05


def test_a_dial_needs_larger_effects_than_one_value_and_no_holm_until_there_are_many_arms() -> None:
    by_values = [detectable.detectable(6, 2, values=values) or np.inf for values in (1, 2, 6)]
    assert by_values == sorted(by_values)
    assert by_values[0] == detectable.detectable(6, 2)
    assert by_values[-1] < 4, "twelve comparisons, but two arms at each value: closed testing"
    assert statistics.correction(6, [6] * 2, 6) == 1
    assert statistics.correction(20, [20] * 9, 6) == 54
    assert detectable.detectable(6, 9, values=6) is None, "Holm: 54 times the smallest p, 2/924"


def test_many_seeds_are_held_to_holms_correction_whatever_the_number_of_arms() -> None:
    assert statistics.correction(1000, [1000] * 8) == 8
    assert statistics.smallest_p(1000, 8) == pytest.approx(8 / 10_001)
    least = detectable.detectable(1000, 8)
    assert least is not None
    assert least == pytest.approx(detectable.detectable(1000, 7), rel=0.05)
    critical = stats.norm.ppf(1 - 0.05 / 8 / 2)
    assert least == pytest.approx((critical + stats.norm.ppf(0.8)) / np.sqrt(1000 / 2), rel=0.02), "a z test's, by Holm"


def test_over_a_dial_each_value_is_held_to_the_root_of_the_level() -> None:
    # Six independent values all keep below the critical |t| with probability 0.95 where one does with 0.95^(1/6)
    critical = stats.t.ppf((1 + 0.95 ** (1 / 6)) / 2, 98)
    for effect in (0.5, 0.7):
        expected = stats.nct.sf(critical, 98, effect * np.sqrt(50 / 2))
        assert detectable.power_of(50, 1, effect, values=6) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(("n_seeds", "n_arms", "effect"), [(4, 1, 2.0), (4, 2, 3.0), (5, 2, 2.0), (6, 1, 1.5)])
def test_the_permutation_test_finds_as_much_as_was_said(n_seeds: int, n_arms: int, effect: float) -> None:
    generator = np.random.default_rng(0)
    found = 0
    for _ in range(300):
        scratch, *arms = generator.normal(size=(n_arms + 1, n_seeds))
        arms[0] += effect
        test = statistics.permutation_test(scratch, {str(i): arm for i, arm in enumerate(arms)}, generator, 499)
        found += statistics.verdict(test.adjusted["0"], 1.0) == "helps"
    assert found / 300 == pytest.approx(detectable.power_of(n_seeds, n_arms, effect), abs=0.08)


def test_a_power_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"between 0.05 and 1, found 1"):
        detectable.detectable(5, 1, power=1.0)


# Simulated coverage


def test_coverage_is_known_for_the_intervals_that_reports_give() -> None:
    generator = np.random.default_rng(1)
    sample, other = generator.normal(size=(2, 5))
    for made in (
        statistics.mean_interval(sample),
        statistics.difference_interval(sample, other),
        statistics.median_interval(sample, [True] * 5)[1],
    ):
        rates = simulated.simulated_coverage(made.kind, 5)
        assert rates is not None
        assert set(rates) >= {"normal", "bimodal 50/50", "bimodal 80/20", "lognormal", "beta(2, 5)", "many zeros"}
        assert rates["normal"] > 0.93


@pytest.mark.parametrize("distribution", ["normal", "bimodal 50/50", "bimodal 80/20", "lognormal", "beta(2, 5)"])
def test_the_median_is_covered_at_five_seeds(distribution: str) -> None:
    rates = simulated.simulated_coverage("order statistics, 93.8 %", 5)
    assert rates is not None
    assert rates[distribution] >= 0.93


def test_the_table_is_what_simulation_gives() -> None:
    x = np.random.default_rng(7).lognormal(size=(2_000, 5))
    ends = [statistics.mean_interval(row) for row in x]
    covered = np.mean([one.low <= np.exp(0.5) <= one.high for one in ends if one.low is not None and one.high])
    rates = simulated.simulated_coverage("Student t over seeds", 5)
    assert rates is not None
    assert covered == pytest.approx(rates["lognormal"], abs=0.03)


def test_between_two_sizes_the_smaller_ones_coverage_counts() -> None:
    assert simulated.simulated_coverage("Student t over seeds", 7) == simulated.simulated_coverage(
        "Student t over seeds", 6
    )
    assert simulated.simulated_coverage("Student t over seeds", 2) is None
    assert simulated.simulated_coverage("by hand", 5) is None


def test_a_note_names_the_scores_that_are_covered_too_seldom() -> None:
    note = simulated.coverage_note("Student t over seeds", 5)
    assert note is not None
    assert note.startswith(
        "simulated coverage at 5 seeds: 69 % on bimodal 80/20, 76 % on many zeros, 82 % on lognormal"
    )
    assert note.endswith("95 % on normal scores")
    assert simulated.coverage_note("order statistics, 93.8 %", 5) is None


# Several target seeds per source seed

GROUPS = [[1.0, 3.0], [5.0, 7.0], [9.0, 11.0]]


def test_the_unit_is_the_source_seed() -> None:
    np.testing.assert_array_equal(nested.source_means(GROUPS), [2, 6, 10])
    found, plain = nested.mean_interval(GROUPS), statistics.mean_interval([2, 6, 10])
    assert (found.low, found.high) == (plain.low, plain.high)
    assert found.kind == "Student t over source seeds"
    other = nested.difference_interval(GROUPS, [0.0, 1.0, 2.0])
    assert other.low == statistics.difference_interval([2, 6, 10], [0.0, 1.0, 2.0]).low


def test_components_by_hand() -> None:
    # within: each source's squares are 2 on one degree of freedom, 2; between: 2·(16 + 0 + 16)/2 = 32; (32 − 2)/2 = 15
    found = nested.components(GROUPS)
    assert (found.source, found.target) == (15, 2)
    assert found.share == pytest.approx(15 / 17)
    assert nested.components([[0.0, 4.0], [4.0, 0.0]]).source == 0
    assert nested.components([[1.0, 1.0], [1.0]]).share == 0


def test_components_of_unequal_groups_are_unbiased() -> None:
    generator = np.random.default_rng(2)
    found = []
    for _ in range(2_000):
        groups = [generator.normal(0, 2) + generator.normal(0, 1, size) for size in (2, 3, 5, 2, 4)]
        found.append(nested.components(groups))
    assert np.mean([one.target for one in found]) == pytest.approx(1, rel=0.05)
    assert np.mean([one.source for one in found]) == pytest.approx(4, rel=0.08)


def test_source_seeds_cover_where_single_runs_do_not() -> None:
    generator = np.random.default_rng(3)
    right = wrong = 0
    for _ in range(600):
        groups = [source + generator.normal(size=4) for source in generator.normal(0, 2, 5)]
        for found, add in ((nested.mean_interval(groups), 1), (statistics.mean_interval(np.concatenate(groups)), 0)):
            assert found.low is not None
            assert found.high is not None
            right, wrong = (
                right + add * (found.low <= 0 <= found.high),
                wrong + (1 - add) * (found.low <= 0 <= found.high),
            )
    assert right / 600 > 0.92
    assert wrong / 600 < 0.75


def test_the_bootstrap_draws_sources_first() -> None:
    means: list[float] = []
    groups = [[0.0, 0.0], [1.0, 1.0]]  # no spread within: two sources' mean is 0, ½ or 1 with probability ¼, ½, ¼
    nested.bootstrap(groups, lambda runs: means.append(float(runs.mean())) or 0.0, np.random.default_rng(0), 4_000)
    assert np.histogram(means, [-0.1, 0.25, 0.75, 1.1])[0] / 4_000 == pytest.approx([0.25, 0.5, 0.25], abs=0.03)
    assert len(set(means)) == 3


def test_the_bootstraps_spread_is_that_of_the_nested_mean() -> None:
    # the variance of the two-stage resampled mean: of the sources' means / n, plus within-source variances / (n m)
    values: list[float] = []
    nested.bootstrap(GROUPS, lambda runs: values.append(float(runs.mean())) or 0.0, np.random.default_rng(1), 8_000)
    assert np.var(values) == pytest.approx((32 / 3) / 3 + 1 / 6, rel=0.06)
    first = nested.bootstrap(GROUPS, lambda runs: float(np.median(runs)), np.random.default_rng(2), 200)
    assert first == nested.bootstrap(GROUPS, lambda runs: float(np.median(runs)), np.random.default_rng(2), 200)


def test_sources_that_do_nothing_are_rarely_called_anything_else() -> None:
    generator = np.random.default_rng(4)
    wrong = 0
    for _ in range(400):
        arm, base = (nested.source_means(list(generator.exponential(size=(5, 3)))) for _ in range(2))
        wrong += statistics.permutation_test(base, {"arm": arm}, generator).adjusted["arm"] <= 0.05
    assert wrong / 400 <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 400)


def test_one_source_speaks_for_its_checkpoint_only() -> None:
    for found in (
        nested.mean_interval([[1.0, 2.0]]),
        nested.difference_interval([[1.0, 2.0]], [0.0, 1.0]),
        nested.bootstrap([[1.0, 2.0]], lambda runs: float(runs.mean()), np.random.default_rng(0)),
    ):
        assert found.low is None
        assert found.note == "one source seed: what is found holds for this checkpoint only"


def test_designs_that_are_none_are_refused() -> None:
    with pytest.raises(ConfigError, match="two target seeds of one of them"):
        nested.components([[1.0], [2.0]])
    with pytest.raises(ConfigError, match="none of them empty"):
        nested.source_means([[1.0], []])
