"""Actions out of heads, for teachers that play: the best ones, or drawn by a generator of the player's own."""

import numpy as np
import torch
from gymnasium import spaces

from agents.outputs import Outputs


def chosen(
    outputs: Outputs,
    space: spaces.Space[object],
    *,
    squashed: bool,
    generator: torch.Generator | None,
    temperature: float | None = None,
) -> np.ndarray:
    """Actions (B, …) of a policy's heads, ready for `step`; continuous ones within their bounds.

    Args:
        outputs: of B observations, in the actions of the space; dimensions that a teacher lacks are in their middle.
        space: Discrete or Box.
        squashed: whether continuous heads are actions in [-1, 1], through tanh if they have a deviation.
        generator: what sampled actions are drawn from; None takes the best ones. Deterministic heads know no chance.
        temperature: divides action values, from whose softmax they are then drawn; None takes the best ones.
    """
    if outputs.kind in ("categorical", "q"):
        return _choices(outputs, generator, temperature)
    if not isinstance(space, spaces.Box):
        raise TypeError(f"continuous heads for {space}: expected a Box")
    head = outputs.head.cpu()
    if outputs.log_std is not None and generator is not None:
        head = head + outputs.log_std.cpu().exp() * torch.randn(head.shape, generator=generator)
    found: np.ndarray = (head.tanh() if squashed and outputs.kind == "gaussian" else head).numpy()
    low, high = space.low.reshape(-1), space.high.reshape(-1)  # (d,)
    actions = low + 0.5 * (found + 1.0) * (high - low) if squashed else found
    bounded: np.ndarray = np.clip(actions, low, high).astype(space.dtype)
    return bounded.reshape(-1, *space.shape)


def _choices(outputs: Outputs, generator: torch.Generator | None, temperature: float | None) -> np.ndarray:
    """Discrete actions (B,)."""
    if generator is None or (outputs.kind == "q" and temperature is None):
        return outputs.head.argmax(dim=-1).cpu().numpy()
    divided = temperature if outputs.kind == "q" and temperature is not None else 1.0
    probabilities = outputs.log_probabilities(divided).exp().cpu()
    return torch.multinomial(probabilities, 1, generator=generator).squeeze(1).numpy()
