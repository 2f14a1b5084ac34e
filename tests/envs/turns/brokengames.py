"""PettingZoo AEC games for tests: a counting game that keeps the contract, and ways to break it."""

from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from pettingzoo import AECEnv


class Counting(AECEnv[str, Any, int]):
    """Players add 1 or 2 in turn; who reaches `goal` wins 1, all others lose 1. `wrong` breaks the contract."""

    metadata: ClassVar[dict[str, Any]] = {
        "name": "counting",
        "headstart": {"actions": ["one", "two"], "features": ["count", "luck"]},
    }

    def __init__(self, goal: int = 7, players: int = 2, wrong: str = "", limit: int | None = None) -> None:
        super().__init__()
        self.goal, self.wrong, self.limit = goal, wrong, limit
        self.render_mode = None
        self.possible_agents = [f"player_{index}" for index in range(players)]
        if wrong == "nobody":
            self.possible_agents = []
        self.spaces = {
            agent: self._seen(3 if wrong == "spaces" and agent[-1] == "1" else 2) for agent in self.possible_agents
        }
        act = spaces.Box(0, 1, (2,)) if wrong == "actions" else spaces.Discrete(2)
        self.acts = dict.fromkeys(self.possible_agents, act)

    def _seen(self, size: int) -> spaces.Space[Any]:
        return spaces.Dict(
            {"observation": spaces.Box(0, 100, (size,), np.float32), "action_mask": spaces.Box(0, 1, (2,), np.int8)}
        )

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """The count and the luck of the draw, and what is legal."""
        return self.spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """Add one or two."""
        return self.acts[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Start from a number that the seed decides."""
        generator = np.random.default_rng(None if self.wrong == "unseeded" else seed)
        self.agents = list(self.possible_agents)
        self.count, self.luck, self.moves = 0, int(generator.integers(50)), 0
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {agent: {} for agent in self.agents}
        self.agent_selection = self.agents[0]

    def observe(self, agent: str) -> Any:
        """The count, and that all is legal."""
        seen = np.array([self.count, self.luck], dtype=np.float32)
        late = self.moves >= 2
        if late and self.wrong == "shape":
            seen = np.zeros(5, dtype=np.float32)
        if late and self.wrong == "nan":
            seen[:] = np.nan
        if late and self.wrong == "raises":
            raise RuntimeError("the dog ate it")
        mask = np.zeros(2, dtype=np.int8) if late and self.wrong == "mask" else np.ones(2, dtype=np.int8)
        if late and self.wrong == "long mask":
            mask = np.ones(3, dtype=np.int8)
        return {"observation": seen, "action_mask": mask}

    def step(self, action: int) -> None:
        """Add action + 1."""
        if self.terminations[self.agent_selection] or self.truncations[self.agent_selection]:
            if self.wrong == "echo":
                self.agents.remove(self.agent_selection)
                self.agent_selection = "player_2"
                return
            self._was_dead_step(action)
            return
        self.moves += 1
        self.count += action + 1
        me = self.agent_selection
        self.rewards = dict.fromkeys(self.agents, 0.0)
        if self.count >= self.goal:
            self.rewards = {agent: 1.0 if agent == me else -1.0 for agent in self.agents}
            self.terminations = dict.fromkeys(self.agents, True)
        elif self.limit is not None and self.moves >= self.limit:
            self.truncations = dict.fromkeys(self.agents, True)
            self.terminations[me] = self.wrong == "half"
        if self.moves == 2 and self.wrong == "echo":  # one is out, and the rewards stay while it leaves
            self.rewards[me], self.terminations[me] = -1.0, True
        if self.moves == 2 and self.wrong == "appears":
            self.agents.append("stranger")
        if self.moves == 2 and self.wrong == "vanishes":
            self.agents.remove("player_1")
        if self.wrong == "paid":  # no fault: every move earns something
            self.rewards[me] += 0.5
        if self.moves == 2 and self.wrong == "reward":
            self.rewards[me] = float("inf")
        if self.moves == 2 and self.wrong == "no reward":
            del self.rewards["player_0"]
        self.agent_selection = self.possible_agents[self.moves % len(self.possible_agents)]
        if self.moves == 2 and self.wrong == "echo":
            self.agent_selection = me
        if self.moves == 2 and self.wrong == "selects":
            self.agent_selection = "nobody"
        self._accumulate_rewards()

    def render(self) -> None:
        """Nothing to see."""

    def close(self) -> None:
        """Nothing to close."""


def counting() -> Counting:
    """For `module:function`."""
    return Counting()


def misnamed(goal: int = 7) -> Counting:
    """Takes an argument that is passed on by a wrong name."""
    return Counting(**({} if goal == 7 else {"gaol": goal}))  # type: ignore[arg-type]


class Cheat:
    """An opponent that plays what is not legal."""

    def choose(self, games: Any, boards: Any, observations: Any, masks: Any, generators: Any) -> Any:
        """The first action that is not legal, else one that does not exist."""
        return np.where(masks.all(axis=1), masks.shape[1], masks.argmin(axis=1))


class Sulker:
    """An opponent that raises."""

    name = "sulker"

    def choose(self, *_: Any) -> Any:
        """Raise."""
        raise RuntimeError("not today")


class Shortcut:
    """An opponent that answers for one board only."""

    name = "shortcut"

    def choose(self, *_: Any) -> Any:
        """One action."""
        return np.zeros((1, 1))


def nobody() -> None:
    """Makes no opponent."""
