"""The optimiser's step: gradients clipped by their common norm, then Adam, as PyTorch computes both."""

from typing import Any

import numpy as np

from envs.compiling import compiled

START, END, LEARNS = range(3)
"""Columns of the table of tensors: where each lies among the parameters, and whether it learns."""


@compiled(fast=True, inner=True)
def clip(grad: Any, tensors: Any, most: float) -> Any:
    """Scale the gradients of what learns to a common norm of at most `most`, in place; the norm before."""
    total: Any = 0.0
    for t in range(tensors.shape[0]):
        if tensors[t, LEARNS]:
            g = grad[tensors[t, START] : tensors[t, END]]
            part: Any = np.float32(0)
            for j in range(g.size):
                part += g[j] * g[j]
            total += part
    norm = np.sqrt(total)
    scale = np.float32(min(1.0, most / (norm + 1e-6)))
    if scale < 1:
        for t in range(tensors.shape[0]):
            if tensors[t, LEARNS]:
                g = grad[tensors[t, START] : tensors[t, END]]
                for j in range(g.size):
                    g[j] *= scale
    return norm


@compiled(fast=True, inner=True)
def adam(
    params: Any,
    grad: Any,
    first: Any,
    second: Any,
    tensors: Any,
    rates: Any,
    taken: Any,
    beta1: float,
    beta2: float,
    epsilon: float,
) -> None:
    """One step of Adam (Kingma & Ba 2015, algorithm 1) for each tensor that learns.

    Args:
        params: (n,), changed in place, as are the moments `first` and `second` (n,).
        grad: (n,).
        tensors: (n_tensors, 3).
        rates: learning rate of each tensor (n_tensors,).
        taken: steps taken by each tensor (n_tensors,), float32 as PyTorch counts them, counted up.
        beta1, beta2, epsilon: Adam's.
    """
    b1, b2, rest1, rest2 = np.float32(beta1), np.float32(beta2), np.float32(1 - beta1), np.float32(1 - beta2)
    eps = np.float32(epsilon)
    for t in range(tensors.shape[0]):
        if not tensors[t, LEARNS]:
            continue
        taken[t] += 1
        size = np.float32(rates[t] / (1 - beta1 ** taken[t]))
        root = np.float32(np.sqrt(1 - beta2 ** taken[t]))
        a, b = tensors[t, START], tensors[t, END]
        p, g, m, v = params[a:b], grad[a:b], first[a:b], second[a:b]
        for j in range(p.size):
            m[j] = b1 * m[j] + rest1 * g[j]
            v[j] = b2 * v[j] + rest2 * g[j] * g[j]
            p[j] -= size * m[j] / (np.sqrt(v[j]) / root + eps)
