"""Shaping at replay sampling, for learners off policy: the buffer keeps raw rewards."""

from collections.abc import Callable
from typing import Any

import numpy as np

from agents.recomputed import Remembered, add_when_drawn, as_given, terminated, written
from envs.errors import ConfigError
from transfer.shaping.arithmetic import state_term
from transfer.shaping.potentials import Potential


def shape_when_drawn(
    learner: Any, potential: Potential, gamma: float, coefficient: Callable[[], float], space: Any
) -> Remembered:
    """Let the learner's minibatches hold r + c(γΦ(s′) − Φ(s)), with c of now.

    At any moment this is shaping by the potential cΦ of that moment, for old transitions and new ones alike; stored
    rewards would go on teaching a potential that has faded. Φ is asked once of each transition.

    Args:
        learner: off policy, with its replay buffer.
        potential: Φ, of observations as the game gives them.
        gamma: the learner's discount.
        coefficient: c now.
        space: the game's observations.

    Returns the potentials asked so far, which a checkpoint keeps. Raises ConfigError if the learner has no replay
    buffer.
    """
    buffer = getattr(learner, "replay_buffer", None)
    if buffer is None:
        raise ConfigError(f"shape: {type(learner).__name__} has no replay buffer whose rewards could be shaped")
    known = Remembered(
        buffer, lambda observations: potential(as_given(observations, space)), lambda: int(learner.num_timesteps)
    )

    def added(rows: np.ndarray) -> np.ndarray:
        c = coefficient()
        terms = np.zeros(len(rows))
        there = written(buffer, rows) if c != 0.0 else np.zeros(len(rows), dtype=bool)
        if there.any():
            rows = rows[there]
            before, after = known(rows)
            terms[there] = c * state_term(before, after, terminated(buffer, rows) > 0, gamma)
        return terms

    add_when_drawn(buffer, added)
    return known
