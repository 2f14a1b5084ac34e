"""Chance by counting: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).

An environment's chance is a row of two uint64: a key, from its seed, and how many words it has drawn. So it is the same
whatever the batch around it, and it is copied, stored and put back as any other array.
"""

import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.compiling import compiled
from envs.errors import ConfigError

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_ONE = np.uint64(1)
_ELEVEN = np.uint64(11)


def seed_rows(seeds: Sequence[int | None]) -> npt.NDArray[np.uint64]:
    """Fresh rows, (n, 2): the environment with seed s starts from row (s, 0). None takes the machine's entropy."""
    keys = [secrets.randbits(64) if seed is None else _folded(int(seed)) for seed in seeds]
    rows = np.zeros((len(keys), 2), dtype=np.uint64)
    rows[:, 0] = np.array(keys, dtype=np.uint64)
    return rows


def _folded(seed: int) -> int:
    """A key of 64 bits. Raises ConfigError if the seed is negative."""
    if seed < 0:
        raise ConfigError(f"seed {seed}: expected 0 or more")
    return seed if seed < 1 << 64 else int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])


@compiled
def philox(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> Any:
    """Four words of 32 bits out of a counter of four and a key of two, all as uint64 below 2³²."""
    for _ in range(10):
        first = _MULTIPLIERS[0] * c0
        second = _MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (second >> _HALF) ^ c1 ^ k0, second & _LOW, (first >> _HALF) ^ c3 ^ k1, first & _LOW
        k0 = (k0 + _WEYL[0]) & _LOW
        k1 = (k1 + _WEYL[1]) & _LOW
    return c0, c1, c2, c3


@compiled
def word(row: Any) -> Any:
    """64 random bits; the row's counter goes on by one."""
    key, counter = row[0], row[1]
    nought = np.uint64(0)
    c0, c1, _, _ = philox(counter & _LOW, counter >> _HALF, nought, nought, key & _LOW, key >> _HALF)
    row[1] = counter + _ONE
    return c0 | (c1 << _HALF)


@compiled
def integer(row: Any, low: Any, high: Any) -> Any:
    """An int64, uniform in [low, high), without bias. At least one value, at most 2³²."""
    return np.int64(low) + below(row, np.uint64(high - low))


@compiled
def below(row: Any, span: Any) -> Any:
    """An int64, uniform in [0, span), of which `span` is a uint64 (Lemire, 2019).

    A function of its own because numba compiles `integer` anew for each literal that it is called with.
    """
    product = (word(row) & _LOW) * span
    if (product & _LOW) < span:
        threshold = ((_LOW + _ONE) - span) % span
        while (product & _LOW) < threshold:
            product = (word(row) & _LOW) * span
    return np.int64(product >> _HALF)


@compiled
def real(row: Any) -> Any:
    """A float64, uniform in [0, 1)."""
    return np.float64(word(row) >> _ELEVEN) * 2.0**-53


@compiled
def shuffle(row: Any, array: Any) -> Any:
    """Put the array's entries into a random order, in place."""
    for last in range(len(array) - 1, 0, -1):
        other = integer(row, 0, last + 1)
        array[last], array[other] = array[other], array[last]
