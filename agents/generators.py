"""The global generators of Python, NumPy and torch: kept as they are while something else draws."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


@contextmanager
def preserved() -> Iterator[None]:
    """Whatever the block draws or seeds, the global generators afterwards go on as if it had not."""
    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda = torch.cuda.get_rng_state_all() if started else None
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


@contextmanager
def drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    """Within the block torch's global CPU generator draws what `generator` would, and moves it on.

    torch's distributions take no generator. None: the block draws from the global generator itself.
    """
    if generator is None:
        yield
        return
    kept = torch.get_rng_state()
    torch.set_rng_state(generator.get_state())
    try:
        yield
    finally:
        generator.set_state(torch.get_rng_state())
        torch.set_rng_state(kept)


def derived_seed(*parts: int, below: int = 2**32) -> int:
    """A seed in [0, below) that depends on all parts (non-negative) and looks like none of them."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint32)[0]) % below
