"""Random generators as arrays."""

import numpy as np
import pytest
from gymnasium.utils import seeding
from hypothesis import given, settings
from hypothesis import strategies as st

from envs import generators


@settings(deadline=None, max_examples=50)
@given(seeds=st.lists(st.integers(0, 2**40), min_size=1, max_size=4), drawn=st.integers(0, 5))
def test_a_stored_generator_goes_on_where_it_was(seeds: list[int], drawn: int) -> None:
    made = [generators.from_seed(seed) for seed in seeds]
    for generator in made:
        generator.integers(0, 10, size=drawn, dtype=np.uint32)  # an odd number leaves half a word over
    words = generators.to_array(made)
    assert words.shape == (len(seeds), generators.WORDS)
    assert words.dtype == np.uint64
    for generator, copy in zip(made, generators.from_array(words), strict=True):
        assert (generator.integers(0, 99, 7, dtype=np.uint32) == copy.integers(0, 99, 7, dtype=np.uint32)).all()
        assert (generator.normal(size=3) == copy.normal(size=3)).all()


def test_a_seed_gives_gymnasiums_generator() -> None:
    assert generators.from_seed(7).random() == seeding.np_random(7)[0].random()
    assert generators.from_seed(None).random() != generators.from_seed(None).random()


def test_other_kinds_of_generator_are_refused() -> None:
    with pytest.raises(KeyError):
        generators.to_array([np.random.Generator(np.random.SFC64(0))])
