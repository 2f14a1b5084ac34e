"""Chance by counting: the published vectors, what is drawn from it, and that rows are all there is."""

import numpy as np
import pytest
from scipy import stats

from envs.compiling import compiled
from envs.errors import ConfigError
from envs.grid.chance import integer, philox, real, seed_rows, shuffle, word

# Random123 1.14, tests/kat_vectors: philox4x32 10, counter, key, what comes out.
KNOWN = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[np.uint64]:
    return [np.uint64(int(part, 16)) for part in text.split()]


@compiled
def integers(row, low, high, out):  # type: ignore[no-untyped-def]
    for place in range(len(out)):
        out[place] = integer(row, low, high)


@compiled
def reals(row, out):  # type: ignore[no-untyped-def]
    for place in range(len(out)):
        out[place] = real(row)


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_philox_gives_the_published_words(counter: str, key: str, expected: str) -> None:
    assert list(philox(*words(counter), *words(key))) == words(expected)


def test_a_word_is_the_first_half_of_the_block_of_key_and_counter() -> None:
    row = np.array([0x299F31D0A4093822, 0x85A308D3243F6A88], dtype=np.uint64)
    low, high, _, _ = philox(*words("243f6a88 85a308d3 0 0"), *words("a4093822 299f31d0"))
    assert word(row) == int(low) | int(high) << 32
    assert row.tolist() == [0x299F31D0A4093822, 0x85A308D3243F6A89]


def test_a_copied_row_draws_the_same_again() -> None:
    (row,) = seed_rows([7])
    first = [int(word(row)) for _ in range(5)]
    copy = row.copy()
    assert [int(word(row)) for _ in range(5)] == [int(word(copy)) for _ in range(5)]
    (again,) = seed_rows([7])
    assert [int(word(again)) for _ in range(5)] == first


def test_a_seed_means_the_same_in_every_batch_and_none_means_something_new() -> None:
    assert seed_rows([4, 5, 6])[1].tolist() == seed_rows([5])[0].tolist() == [5, 0]
    assert len({int(key) for key, _ in seed_rows([None] * 50)}) == 50
    large = seed_rows([2**64, 2**64 + 1, 2**200, 2**64 - 1])
    assert len({int(key) for key, _ in large}) == 4
    with pytest.raises(ConfigError, match="seed -3: expected 0 or more"):
        seed_rows([-3])


@pytest.mark.parametrize(("low", "high"), [(0, 2), (-3, 4), (5, 6), (0, 1000)])
def test_integers_are_uniform(low: int, high: int) -> None:
    out = np.empty(200_000, dtype=np.int64)
    integers(seed_rows([1])[0], low, high, out)
    assert (out.min(), out.max()) == (low, high - 1)
    if high - low > 1:
        assert stats.chisquare(np.bincount(out - low)).pvalue > 1e-4


def test_integers_of_a_range_that_does_not_divide_the_words_are_unbiased() -> None:
    """A range of 3·2³⁰: without rejection a third of the values would come up twice as often as the others."""
    out = np.empty(100_000, dtype=np.int64)
    integers(seed_rows([2])[0], 0, 3 << 30, out)
    assert stats.chisquare(np.bincount(out % 3, minlength=3)).pvalue > 1e-4
    assert stats.chisquare(np.bincount(out >> 30, minlength=3)).pvalue > 1e-4


def test_reals_are_uniform_below_one() -> None:
    out = np.empty(100_000)
    reals(seed_rows([3])[0], out)
    assert out.min() >= 0
    assert out.max() < 1
    assert stats.kstest(out, "uniform").pvalue > 1e-4


def test_neighbouring_seeds_have_nothing_to_do_with_each_other() -> None:
    streams = np.empty((8, 4096))
    for row, out in zip(seed_rows(range(8)), streams, strict=True):
        reals(row, out)
    assert np.abs(np.corrcoef(streams) - np.eye(8)).max() < 0.08


def test_every_order_is_as_likely() -> None:
    row, counts = seed_rows([4])[0], np.zeros(27, dtype=np.int64)
    for _ in range(12_000):
        things = np.arange(3)
        shuffle(row, things)
        counts[things @ (9, 3, 1)] += 1
    assert (counts > 0).sum() == 6
    assert stats.chisquare(counts[counts > 0]).pvalue > 1e-4
