"""The learners' arithmetic on a CPU, compiled: small networks forward and backward, losses, the optimiser's step.

A minibatch of a small network costs PyTorch more in calls than in arithmetic. Here an epoch is one call, rows pass
through all layers in chunks that stay in the cache, and symbols never become 0/1 planes. Networks that this room does
not know, and other devices, take the learners' own way through PyTorch, which has the same numbers to float tolerance.
"""

import logging
from functools import cache
from typing import TYPE_CHECKING, Any

from envs.errors import ConfigError

if TYPE_CHECKING:
    from agents.compiled.learner import CompiledPPO
    from agents.compiled.q_learner import CompiledDQN

log = logging.getLogger(__name__)


def compiled_ppo(policy: Any) -> "CompiledPPO | None":
    """An actor-critic for compiled code; None if that does not know it, or cannot be had here."""
    if not _usable():
        return None
    from agents.compiled.learner import CompiledPPO

    return CompiledPPO.of(policy)


def compiled_dqn(policy: Any) -> "CompiledDQN | None":
    """A policy of action values for compiled code; None if that does not know it, or cannot be had here."""
    if not _usable():
        return None
    from agents.compiled.q_learner import CompiledDQN

    return CompiledDQN.of(policy)


@cache
def _usable() -> bool:
    """Whether numba can be used; a warning says, once, if not."""
    try:
        from agents.compiled import learner, q_learner  # noqa: F401
    except ConfigError as error:
        log.warning("learning goes through PyTorch instead of compiled code, several times slower: %s", error)
        return False
    return True
