"""The verdict over a dial: what it must equal, and that its error is held over all arms and values."""

import itertools
import math

import numpy as np
import pytest

from transfer.statistics import CLOSED, null, permutation_test
from transfer.strata import Stratum, stratified_test


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def sample(seed: int, shift: float = 0.0, n: int = 4) -> np.ndarray:
    return generator(seed).normal(shift, 1.0, n)


def test_one_value_is_the_test_without_a_dial() -> None:
    scratch, arms = sample(0), {"a": sample(1, 3.0), "b": sample(2), "c": sample(3, -1.0)}
    one = permutation_test(scratch, arms, generator(), 500)
    (turned,) = stratified_test([Stratum(scratch, arms)], generator(), 500)
    assert turned.adjusted == pytest.approx(one.adjusted)
    assert turned.single == pytest.approx(one.single)


@pytest.mark.parametrize("seed", range(4))
def test_it_is_closed_testing_over_every_set_of_comparisons(seed: int) -> None:
    """Against the definition: all 2^6 − 1 sets of three values with two arms, one by one."""
    strata = [
        Stratum(sample(seed + 10 * v), {"a": sample(seed + 10 * v + 1, 0.8 * v), "b": sample(seed + 10 * v + 2, 0.5)})
        for v in range(3)
    ]
    tests = stratified_test(strata, generator())
    comparisons = [(v, name) for v in range(3) for name in ("a", "b")]
    worst = dict.fromkeys(comparisons, 0.0)
    for size in range(1, 7):
        for chosen in itertools.combinations(comparisons, size):
            of_value = [[np.asarray(strata[v].arms[name]) for w, name in chosen if w == v] for v in range(3)]
            nulls = [null(np.asarray(strata[v].scratch), arms, generator()) for v, arms in enumerate(of_value) if arms]
            t = max(found.observed for found in nulls)
            p = 1 - math.prod(1 - found.tail(t) for found in nulls)
            for comparison in chosen:
                worst[comparison] = max(worst[comparison], p)
    found = {(v, name): test.adjusted[name] for v, test in enumerate(tests) for name in ("a", "b")}
    assert found == pytest.approx(worst)


def test_what_is_held_over_all_values_is_never_more_certain_than_one_alone() -> None:
    strata = [Stratum(sample(v), {"a": sample(v + 20, 2.0)}) for v in range(5)]
    for stratum, test in zip(strata, stratified_test(strata, generator()), strict=True):
        alone = permutation_test(stratum.scratch, stratum.arms, generator())
        assert test.adjusted["a"] >= alone.adjusted["a"] - 1e-12
        assert test.single["a"] == alone.single["a"]


def test_five_seeds_can_tell_ten_comparisons() -> None:
    """Holm's correction over two arms at five values could not: ten times 2/252 is above 0.05."""
    strata = [
        Stratum(sample(v, n=5), {"a": sample(v + 20, 30.0, n=5), "b": sample(v + 40, 40.0, n=5)}) for v in range(5)
    ]
    assert all(p < 0.05 for test in stratified_test(strata, generator(), 2000) for p in test.adjusted.values())


def test_the_error_is_held_over_all_values() -> None:
    """Three values where nothing differs: at most one study in twenty says otherwise, here of 200."""
    wrong = 0
    for trial in range(200):
        draw = generator(trial)
        strata = [Stratum(draw.normal(size=4), {"a": draw.normal(size=4)}) for _ in range(3)]
        tests = stratified_test(strata, draw)
        wrong += min(test.adjusted["a"] for test in tests) <= 0.05
    assert wrong <= 18, "5 % of 200 and 2.6 standard deviations"


def test_many_arms_are_corrected_by_holm_over_all_values() -> None:
    arms = {f"arm{i}": sample(i, 50.0, n=5) for i in range(CLOSED + 1)}
    tests = stratified_test(
        [Stratum(sample(99, n=5), arms), Stratum(sample(98, n=5), {"arm0": sample(97, n=5)})], generator()
    )
    assert tests[0].adjusted["arm0"] == pytest.approx(min(1.0, 10 * 2 / 252))
    assert "Holm" in tests[0].method
