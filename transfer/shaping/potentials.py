"""Potentials: what is thought of states, or of actions in states, before the first step."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from agents.outputs import Outputs
from envs.errors import ConfigError, HeadstartError
from envs.observations import each
from envs.registry import load_callable

Potential = Callable[[Any], np.ndarray]
"""A batch of B observations of the target → Φ(s) (B,)."""
DIVERGED = "its critic has diverged; take another source, or an earlier source_step"
Opinion = Literal["probability", "log_probability", "q"]
Advice = Callable[[Any], Callable[[np.ndarray], np.ndarray]]
"""A batch of B observations → a function from actions (B, …) to Φ(s, a) (B,)."""


def source_potential(read: Callable[[Any], Outputs]) -> Potential:
    """V of teacher∘mapping; of a teacher with action values the highest one among the target's actions."""

    def potential(observations: Any) -> np.ndarray:
        value = read(observations).value
        if value is None:
            raise ConfigError("shape needs a source that knows the value of a state, and this policy does not")
        return finite(value.double().cpu().numpy(), "shape: the source's value of a state", DIVERGED)

    return potential


def own_potential(target: str) -> Potential:
    """A user's function `module:function`, called with a batch of the target's observations, which returns (B,).

    Raises ConfigError if there is none; the potential does so in one line if it raises or returns something else.
    """
    function = load_callable(target, kind="potential")

    def potential(observations: Any) -> np.ndarray:
        given = each(np.asarray, observations)
        expected = (len(next(iter(given.values())) if isinstance(given, dict) else given),)
        try:
            found = np.asarray(function(given), dtype=np.float64)
        except HeadstartError:
            raise
        except Exception as error:
            raise ConfigError(
                f"shape: the potential {target!r} raised {' '.join(repr(error).split())} for {expected[0]} observations"
            ) from error
        if found.shape != expected:
            raise ConfigError(
                f"shape: the potential {target!r} returned the shape {found.shape} for {expected[0]} observations: "
                f"expected {expected}, a number each"
            )
        return finite(found, f"shape: the potential {target!r} of a state", "return finite numbers")

    return potential


def finite(potentials: np.ndarray, what: str, advice: str) -> np.ndarray:
    """The potentials, any shape. Raises ConfigError, which says what they are and what to do, if one is not finite."""
    if np.isfinite(potentials).all():
        return potentials
    raise ConfigError(f"{what} is {potentials[~np.isfinite(potentials)].flat[0]}: {advice}")


def opinion(outputs: Outputs, kind: Opinion, temperature: float) -> Tensor:
    """What a teacher thinks of each of n actions: (B, n).

    `probability`: π(a|s), the softmax of action values over the temperature. `log_probability`: its logarithm.
    `q`: Q(s, a).
    """
    if kind == "q":
        return outputs.head
    log = outputs.log_probabilities(temperature if outputs.kind == "q" else 1.0)
    return log.exp() if kind == "probability" else log


def source_advice(read: Callable[[Any], Outputs], kind: Opinion, temperature: float, scale: float) -> Advice:
    """Φ(s, a) = scale · what teacher∘mapping thinks of the action; of continuous actions its log-density."""

    def advice(observations: Any) -> Callable[[np.ndarray], np.ndarray]:
        outputs = read(observations)
        if outputs.kind == "gaussian":
            normal: Any = torch.distributions.Normal(outputs.head, _std(outputs), validate_args=False)
            return lambda actions: _advised(normal.log_prob(torch.as_tensor(actions)).sum(dim=-1), scale)
        table = _advised(opinion(outputs, kind, temperature), scale)  # (B, n)
        return lambda actions: table[np.arange(len(table)), np.asarray(actions).reshape(-1)]

    return advice


def _std(outputs: Outputs) -> Tensor:
    if outputs.log_std is None:
        raise ConfigError("advice needs a teacher whose continuous actions have a density")
    return outputs.log_std.exp().expand_as(outputs.head)


def _advised(thought: Tensor, scale: float) -> np.ndarray:
    return finite(scale * thought.double().cpu().numpy(), "advice: what the source thinks of an action", DIVERGED)
