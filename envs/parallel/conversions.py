"""What PettingZoo offers, as a parallel game, and how it is stepped."""

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pettingzoo import AECEnv, ParallelEnv
from pettingzoo.utils.conversions import aec_to_parallel, aec_to_parallel_wrapper
from pettingzoo.utils.wrappers import AssertOutOfBoundsWrapper, OrderEnforcingWrapper

from envs.catalogue import import_quietly
from envs.errors import ConfigError

Game: TypeAlias = ParallelEnv[str, Any, Any]
Results: TypeAlias = tuple[
    Mapping[str, Any], Mapping[str, Any], Mapping[str, Any], Mapping[str, Any], Mapping[str, Any]
]
"""Observations, rewards, terminations, truncations and infos, by agent."""
Step: TypeAlias = Callable[[dict[str, Any]], Results]

PURE = ("mpe2", "pettingzoo")
"""Packages whose games change nothing, and draw no random number, when an agent is asked what it sees."""


def make_of(module: str) -> Callable[..., Game]:
    """The `parallel_env` of one of PettingZoo's modules, which warn of their deprecation when they are imported."""
    import_quietly(module, module)
    made: Callable[..., Game] = sys.modules[module].parallel_env
    return made


def takes_turns(game: Any) -> bool:
    """Whether a PettingZoo game must be played in turns: it says that its agents cannot act at the same time."""
    return isinstance(game, AECEnv) and not game.metadata.get("is_parallelizable", False)


def parallel(game: Any) -> Game:
    """A PettingZoo game whose agents act at the same time. Raises ConfigError for anything else."""
    if isinstance(game, AECEnv) and not takes_turns(game):
        game = aec_to_parallel(game)
    if not isinstance(game, ParallelEnv):
        raise ConfigError(
            "expected a PettingZoo ParallelEnv, or an AECEnv whose metadata says is_parallelizable; "
            f"found {type(game).__name__}"
        )
    game.render_mode = getattr(game, "render_mode", None)
    return game


def stepper(game: Game) -> Step:
    """How a game is stepped: by its own `step`, or by one that does the same with less work.

    PettingZoo makes parallel games of its own turn-based ones, and asks each agent in its turn for an observation that
    nobody reads. Where that is known to change nothing it is left out, and so are wrappers that only check the caller.
    """
    own: Step = game.step
    if type(game) is not aec_to_parallel_wrapper:
        return own
    inner = game.aec_env
    while type(inner) in (OrderEnforcingWrapper, AssertOutOfBoundsWrapper):
        inner = inner.env
    if type(inner.unwrapped).__module__.partition(".")[0] not in PURE:
        return own
    return _InTurn(game, inner)


class _InTurn:
    """`aec_to_parallel_wrapper.step` without `last()`: each agent's turn after the other, then what all see."""

    def __init__(self, game: Any, inner: Any) -> None:
        self.game, self.inner = game, inner
        self.base = inner.unwrapped  # whose attributes the wrappers only hand on

    def __call__(self, actions: dict[str, Any]) -> Results:
        base, step = self.base, self.inner.step
        rewards: dict[str, float] = defaultdict(int)
        for agent in list(base.agents):
            if agent != base.agent_selection:
                raise AssertionError(f"expected the turn of {agent}, found that of {base.agent_selection}")
            step(actions[agent])
            earned = base.rewards
            for each in base.agents:
                rewards[each] += earned[each]
        terminations, truncations, infos = dict(base.terminations), dict(base.truncations), dict(base.infos)
        observations = {agent: self.inner.observe(agent) for agent in base.agents}
        while base.agents and (base.terminations[base.agent_selection] or base.truncations[base.agent_selection]):
            step(None)
        self.game.agents = base.agents
        return observations, rewards, terminations, truncations, infos
