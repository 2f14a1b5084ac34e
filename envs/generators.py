"""Random generators as arrays, so that a game's whole state can be stored and put back.

Every environment of a batch has a generator of its own, made as Gymnasium makes the generator of a single environment
(PCG64 from a SeedSequence): environment i of a batch seeded with s is the single environment seeded with s + i.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from gymnasium.utils import seeding

WORDS = 6
"""Words of one generator: state and increment (two each, high first), whether half a word is left over, that half."""

_LOW = (1 << 64) - 1


def from_seed(seed: int | None) -> np.random.Generator:
    """The generator that Gymnasium gives a single environment for this seed; None takes the machine's entropy."""
    return seeding.np_random(seed)[0]


def to_array(generators: Sequence[np.random.Generator]) -> npt.NDArray[np.uint64]:
    """The states of PCG64 generators: (n_generators, 6) words."""
    words = np.zeros((len(generators), WORDS), dtype=np.uint64)
    for row, generator in zip(words, generators, strict=True):
        state = generator.bit_generator.state
        number, increment = state["state"]["state"], state["state"]["inc"]
        row[:] = (
            number >> 64,
            number & _LOW,
            increment >> 64,
            increment & _LOW,
            state["has_uint32"],
            state["uinteger"],
        )
    return words


def from_array(words: npt.NDArray[np.uint64]) -> list[np.random.Generator]:
    """The inverse of `to_array`: new generators that go on where the stored ones were."""
    generators = []
    for row in words.tolist():
        bits = np.random.PCG64(0)
        bits.state = {
            "bit_generator": "PCG64",
            "state": {"state": row[0] << 64 | row[1], "inc": row[2] << 64 | row[3]},
            "has_uint32": row[4],
            "uinteger": row[5],
        }
        generators.append(np.random.Generator(bits))
    return generators
