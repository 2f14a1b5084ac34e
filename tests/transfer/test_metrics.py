"""Every metric on arrays worked by hand, and what must hold for all arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from envs.errors import ConfigError
from transfer import intervals, metrics

STEPS = np.array([0, 100, 200, 400])
SCRATCH = np.array([[0.0, 0.0, 10.0, 20.0], [2.0, 4.0, 6.0, 8.0]])
TRANSFER = np.array([[10.0, 20.0, 20.0, 20.0], [20.0, 20.0, 30.0, 40.0]])


def tables(n_seeds: int = 3, n_evaluations: int = 6) -> st.SearchStrategy[np.ndarray]:
    return arrays(np.float64, (n_seeds, n_evaluations), elements=st.floats(-1e3, 1e3, width=32))


def test_the_first_evaluation_after_steps_is_later_than_they_are() -> None:
    steps = [0, 100, 200, 300]
    assert [metrics.after(steps, taken) for taken in (0, 99, 100, 250)] == [1, 1, 2, 3]
    assert metrics.after(steps, 300) == 3, "the last evaluation comes after all that is learnt"
    assert metrics.after(steps, 301) is None


def test_jumpstart_is_the_difference_of_the_first_evaluations() -> None:
    assert metrics.jumpstart(TRANSFER, SCRATCH) == 15 - 1


def test_final_is_the_mean_of_the_last_tenth_and_of_two_at_least() -> None:
    np.testing.assert_array_equal(metrics.final(SCRATCH), [15, 7])
    assert [metrics.tail(n) for n in (1, 2, 4, 20, 21, 41, 100)] == [1, 2, 2, 2, 3, 5, 10]
    np.testing.assert_array_equal(metrics.final(np.arange(41.0)[None]), [38])


def test_asymptotic_is_the_difference_of_the_finals() -> None:
    assert metrics.asymptotic(TRANSFER, SCRATCH) == (20 + 35) / 2 - (15 + 7) / 2


def test_area_is_by_trapezoids_on_uneven_steps() -> None:
    # seed 0: 100·0 + 100·5 + 200·15 = 3500; seed 1: 100·3 + 100·5 + 200·7 = 2200; over 400 steps
    np.testing.assert_allclose(metrics.area(SCRATCH, STEPS), [8.75, 5.5])
    assert metrics.total_reward(TRANSFER, SCRATCH, STEPS) == pytest.approx((18.75 + 28.75) / 2 - 7.125)
    np.testing.assert_allclose(
        metrics.area([[5.0, 5.0, 5.0]], [100, 150, 300]), [5], err_msg="per step of their length"
    )


def test_one_evaluation_has_an_area_too() -> None:
    np.testing.assert_array_equal(metrics.area([[3.0], [5.0]], [0]), [3, 5])


def test_transfer_ratio_and_gap_closed() -> None:
    assert metrics.transfer_ratio([0.5, 0.7], [0.4, 0.4]) == pytest.approx(0.5)
    assert metrics.gap_closed([0.5, 0.7], [0.4, 0.4]) == pytest.approx(0.2 / 0.6)
    assert metrics.gap_closed([20.0], [10.0], 30.0) == pytest.approx(0.5)


def test_forward_transfer_by_hand() -> None:
    # AUC 0.6 against 0.2 of 1: half of what was left; and nothing gained, nothing lost
    assert metrics.forward_transfer([0.5, 0.7], [0.1, 0.3]) == pytest.approx(0.5)
    assert metrics.forward_transfer([0.2], [0.2]) == 0
    assert metrics.forward_transfer([0.0], [0.5]) == -1, "as bad as half of what there is"
    both = metrics.mean_forward_transfer([[0.6], [0.0]], [[0.2], [0.5]])
    assert both == pytest.approx((0.5 - 1) / 2)
    with pytest.raises(ConfigError, match="scratch's normalised area is 1; it should be below 1"):
        metrics.forward_transfer([1.0], [1.0])


def test_forward_transfers_interval_holds_it_and_ends_where_there_is_something_to_gain() -> None:
    own, base = [0.5, 0.7, 0.55, 0.65, 0.6], [0.1, 0.3, 0.25, 0.15, 0.2]
    found = intervals.forward_transfer_interval(own, base)
    turned = intervals.ratio_interval(1 - np.array(own), 1 - np.array(base))
    assert found.low is not None
    assert found.high is not None
    assert turned.low is not None
    assert found.low < metrics.forward_transfer(own, base) < found.high == 1 - turned.low
    assert intervals.forward_transfer_interval(own, [0.9, 1.1, 1.0]).low is None


def test_ratios_without_a_denominator_are_refused() -> None:
    with pytest.raises(ConfigError, match="scratch's area is 0"):
        metrics.transfer_ratio([1.0], [0.0])
    with pytest.raises(ConfigError, match="nothing was left to gain"):
        metrics.gap_closed([1.0], [1.0])


def test_the_ratio_of_normalised_areas_does_not_depend_on_the_units_of_reward() -> None:
    # Acrobot: −80 against −120 is an improvement, and the bare ratio says the opposite
    def ratio(shift: float, scale: float) -> float:
        own, base, random, reference = (scale * x + shift for x in (-80.0, -120.0, -500.0, -70.0))
        return metrics.transfer_ratio(
            metrics.normalise([own], random, reference), metrics.normalise([base], random, reference)
        )

    assert ratio(0, 1) == pytest.approx(40 / 380)
    assert ratio(1000, 7) == pytest.approx(ratio(0, 1))


def test_normalise_maps_random_to_nought_and_reference_to_one() -> None:
    np.testing.assert_allclose(metrics.normalise([22, 500, 261], 22, 500), [0, 1, 0.5])
    with pytest.raises(ConfigError, match="reference score 5 should be above the random score 5"):
        metrics.normalise([1.0], 5, 5)


def test_time_to_threshold_wants_two_evaluations_in_a_row() -> None:
    scores = [[0, 9, 0, 9, 9, 0], [9, 9, 0, 0, 0, 0], [0, 0, 0, 0, 0, 9], [0, 0, 0, 0, 7, 7]]
    times = metrics.time_to_threshold(scores, [0, 10, 20, 30, 40, 50], 7)
    np.testing.assert_array_equal(times.steps, [30, 0, 50, 40])
    np.testing.assert_array_equal(times.reached, [True, True, False, True])
    assert times.restricted_mean == 30
    assert times.solved == 0.75


def test_one_evaluation_reaches_nothing() -> None:
    times = metrics.time_to_threshold([[9.0]], [0], 7)
    assert (times.steps.tolist(), times.reached.tolist()) == ([0], [False])


@given(tables(), st.floats(-1e3, 1e3), st.floats(0, 100))
def test_a_higher_threshold_is_never_reached_sooner(scores: np.ndarray, threshold: float, more: float) -> None:
    steps = np.arange(6) * 10
    easy = metrics.time_to_threshold(scores, steps, threshold)
    hard = metrics.time_to_threshold(scores, steps, threshold + more)
    assert (hard.steps >= easy.steps).all()
    assert (easy.reached | ~hard.reached).all()


@given(tables(), tables(4), st.floats(0.01, 100), st.floats(-1e3, 1e3))
def test_differences_scale_with_the_reward_and_forget_its_offset(
    own: np.ndarray, base: np.ndarray, scale: float, shift: float
) -> None:
    steps = np.array([0, 5, 20, 30, 80, 100])
    close = {"rel": 1e-6, "abs": 1e-3 * scale}
    other, bottom = scale * own + shift, scale * base + shift
    assert metrics.jumpstart(other, bottom) == pytest.approx(scale * metrics.jumpstart(own, base), **close)
    assert metrics.asymptotic(other, bottom) == pytest.approx(scale * metrics.asymptotic(own, base), **close)
    expected = scale * metrics.total_reward(own, base, steps)
    assert metrics.total_reward(other, bottom, steps) == pytest.approx(expected, **close)


def test_plateau_compares_two_tails() -> None:
    rising = np.tile(np.arange(40.0), (3, 1))
    flat = np.tile(np.minimum(np.arange(40.0), 30), (3, 1))
    assert metrics.plateau(rising, scale=40) == metrics.Plateau(False, 4.0)
    assert metrics.plateau(flat, scale=40) == metrics.Plateau(True, 0.0)
    assert metrics.plateau(-rising, scale=40).reached is False
    assert metrics.plateau(rising, scale=80).reached is True  # 4 is 5 % of 80
    assert metrics.plateau(rising[:, :3], scale=40) == metrics.Plateau(None, None)


def test_charging_the_source_shifts_the_curve() -> None:
    scores, steps = [[10.0, 20.0, 30.0]], [0, 100, 200]
    np.testing.assert_allclose(metrics.charge(scores, steps, 100, before=1.0), [[1, 10, 20]])
    np.testing.assert_allclose(metrics.charge(scores, steps, 50, before=1.0), [[1, 15, 25]])
    np.testing.assert_allclose(metrics.charge(scores, steps, 0, before=1.0), scores)


def test_charged_area_is_exact_between_the_evaluations() -> None:
    # 30 steps at 1, then 10 → 27 over 170 steps: (30 + 170·18.5) / 200
    area = metrics.charged_area([[10.0, 20.0, 30.0]], [0, 100, 200], 30, before=1.0)
    np.testing.assert_allclose(area, [(30 + 170 * 18.5) / 200])


def test_a_source_dearer_than_the_budget_leaves_nothing_of_the_curve() -> None:
    np.testing.assert_array_equal(metrics.charged_area([[10.0, 20.0]], [0, 100], 100, before=1.0), [1.0])


@given(tables())
def test_a_free_source_charges_nothing(scores: np.ndarray) -> None:
    steps = np.array([0, 5, 20, 30, 80, 100])
    np.testing.assert_allclose(
        metrics.charged_area(scores, steps, 0, before=7.0), metrics.area(scores, steps), atol=1e-9
    )


def test_break_even_is_the_source_over_what_a_target_saves() -> None:
    assert metrics.break_even(20_000, 5_000) == 4
    assert metrics.break_even(20_000, 0) is None
    assert metrics.break_even(20_000, -1) is None


@pytest.mark.parametrize(
    ("scores", "steps", "words"),
    [
        ([1.0, 2.0], [0, 1], r"shape \(n_seeds, n_evaluations\), found \(2,\)"),
        ([[1.0, 2.0]], [0, 1, 2], "2 increasing numbers"),
        ([[1.0, 2.0]], [5, 5], "2 increasing numbers"),
    ],
)
def test_wrong_shapes_are_named(scores: list[float], steps: list[int], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        metrics.area(scores, steps)
