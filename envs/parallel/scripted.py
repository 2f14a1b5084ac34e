"""A parallel game of which some agents are played by a rule, so that the others have somebody to learn against."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from pettingzoo.utils.wrappers import BaseParallelWrapper

from envs.parallel.conversions import Game, Results, stepper

Rule = Callable[[Any, np.random.Generator], Any]
"""An action for what an agent sees; chance is drawn from the generator, which the seed of a reset decides."""


class Scripted(BaseParallelWrapper[str, Any, Any]):
    """A game whose agents of these names act by a rule, and are no agents of it any more.

    Args:
        game: a parallel game; an episode goes on while one of its other agents plays.
        rules: by agent.
    """

    def __init__(self, game: Game, rules: Mapping[str, Rule]) -> None:
        super().__init__(game)
        self.metadata, self.render_mode = game.metadata, getattr(game, "render_mode", None)
        self.rules = dict(rules)
        self.possible_agents = [agent for agent in game.possible_agents if agent not in rules]
        self.agents: list[str] = []
        self._moves: dict[str, Any] = {}
        self._generator = np.random.default_rng()
        self._step = stepper(game)

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Begin an episode."""
        observations, infos = self.env.reset(seed=seed, options=options)
        if seed is not None:
            self._generator = np.random.default_rng(seed)
        self._read(observations)
        return self._own(observations), self._own(infos)

    def step(self, actions: dict[str, Any]) -> Results:
        """One step of all, the rules' actions beside those given."""
        results = self._step({**actions, **self._moves})
        self._read(results[0])
        observations, rewards, terminations, truncations, infos = map(self._own, results)
        return observations, rewards, terminations, truncations, infos

    def _read(self, observations: Mapping[str, Any]) -> None:
        """Who is left, and what the rules will do."""
        left = self.env.agents
        self._moves = {
            agent: rule(observations[agent], self._generator) for agent, rule in self.rules.items() if agent in left
        }
        self.agents = [agent for agent in left if agent not in self.rules]

    def _own(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {agent: value for agent, value in values.items() if agent not in self.rules}
