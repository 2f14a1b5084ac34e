"""The global generators of Python, NumPy and torch, as plain data."""

import random
from typing import Any

import numpy as np
import torch


def state() -> dict[str, Any]:
    """All of them as they are now; CUDA's where it was used."""
    started = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),  # noqa: NPY002
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if started else None,
    }


def restore(found: dict[str, Any]) -> None:
    """Let them go on from there."""
    random.setstate(found["python"])
    np.random.set_state(found["numpy"])  # noqa: NPY002
    torch.set_rng_state(found["torch"])
    if found["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(found["cuda"])
