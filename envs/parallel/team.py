"""One copy of a game and who still plays in it; finds where the game breaks PettingZoo's contract."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from envs.errors import GameError
from envs.guard import blamed, shown
from envs.parallel.conversions import Game, Results, stepper
from envs.parallel.layout import Layout, Rows

PARTS = ("observations", "rewards", "terminations", "truncations", "infos")
"""Of what a step gives."""


class End(NamedTuple):
    """An agent whose episode ended."""

    agent: int
    """By its place among possible_agents."""
    truncated: bool
    """Whether a limit cut it off; else the game ended it."""


class Team:
    """A copy of a game with agents who may be fewer than there are, and who may die one by one.

    Args:
        game: a PettingZoo parallel game.
        layout: the shared spaces.
        name: of the game, for messages.
        time_limit: steps after which an episode is truncated for all who still play.
    """

    def __init__(self, game: Game, layout: Layout, name: str, time_limit: int | None = None) -> None:
        self.game, self.layout, self.name, self.time_limit = game, layout, name, time_limit
        self.agents = layout.agents
        self.roster: list[int] = []
        """Who plays, by their places among possible_agents."""
        self.steps = 0
        """Of the episode so far."""
        self._step = stepper(game)

    def reset(self, seed: int | None, options: dict[str, Any] | None, rows: Rows) -> list[dict[str, Any]]:
        """Begin an episode. Writes first observations into the rows (n_agents, …); an info for each agent."""
        self.steps = 0
        with blamed(self.name, lambda: f"at the reset of an episode (seed {seed})"):
            observations, about = self.game.reset(seed=seed, options=options)
            present = set(self.game.agents)
        self._must_be_by_agent({"observations": observations, "infos": about})
        if present - set(self.agents):
            self._blame(f"began with the agents {_names(present - set(self.agents))}, who are not of possible_agents")
        if not present:
            self._blame("began an episode without agents: expected at least one in agents after reset()")
        self.roster = [index for index, agent in enumerate(self.agents) if agent in present]
        infos: list[dict[str, Any]] = []
        for index, agent in enumerate(self.agents):
            if agent in present:
                info = about.get(agent) or {}
                self._must_be_info(agent, info)
                self._put(rows, index, observations, info)
                infos.append(dict(info))
            else:
                self.layout.blank(rows, index)
                infos.append({"idle": True})
        return infos

    def step(self, actions: Sequence[Any], rows: Rows, rewards: list[float], infos: list[dict[str, Any]]) -> list[End]:
        """One step of those who play; who ended plays no more. Appends a reward and an info for each agent.

        Args:
            actions: one for each agent (n_agents), as the game takes them; those of idle agents are left out.
            rows: arrays (n_agents, …) that observations are written into; of idle agents zeros.
            rewards: of idle agents 0.
            infos: of idle agents {"idle": True}.
        """
        self.steps += 1
        agents, roster = self.agents, self.roster
        chosen = {agents[index]: actions[index] for index in roster}
        try:
            results = observations, gains, terminations, truncations, about = self._step(chosen)
        except Exception:
            with blamed(self.name, lambda: f"at step {self.steps} of an episode (actions {_shown(chosen)})"):
                raise
        ends: list[End] = []
        put, one, first = self.layout.put, 0, len(infos)
        for index in range(len(agents)):
            if one >= len(roster) or roster[one] != index:
                self.layout.blank(rows, index)
                rewards.append(0.0)
                infos.append({"idle": True, "TimeLimit.truncated": False})
                continue
            one += 1
            agent = agents[index]
            try:
                terminated, truncated = terminations[agent], truncations[agent]
                rewards.append(float(gains[agent]))
                info = about.get(agent) or {}
                put(rows, index, observations[agent], info)
                cut = bool(truncated) and not terminated
                infos.append({**info, "TimeLimit.truncated": cut})
                if terminated or truncated:
                    ends.append(End(index, cut))
            except GameError as error:
                self._blame(str(error))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                self._unfit(agent, results, error)
        left = self.game.agents
        if ends:
            over = {end.agent for end in ends}
            self.roster = [index for index in roster if index not in over]
        if len(left) != len(self.roster) or any(agents[i] != agent for i, agent in zip(self.roster, left, strict=True)):
            self._compare(left, chosen)
        if self.steps == self.time_limit and self.roster:
            for index in self.roster:
                infos[first + index]["TimeLimit.truncated"] = True
                ends.append(End(index, True))
            ends.sort()
            self.roster = []
        return ends

    def _compare(self, left: Sequence[str], played: Mapping[str, Any]) -> None:
        """Raises GameError if somebody vanished or appeared. Those who ended may still stand among the agents."""
        vanished = [self.agents[index] for index in self.roster if self.agents[index] not in left]
        if vanished:
            self._blame(
                f"let {_names(vanished)} vanish from its agents without termination or truncation; "
                "expected an agent who leaves to be terminated or truncated in that step"
            )
        unknown = [agent for agent in left if agent not in self.agents]
        if unknown:
            self._blame(f"has the new agents {_names(unknown)}; expected agents of possible_agents")
        new = [agent for agent in left if agent not in played]
        if new and self.roster:
            self._blame(
                f"let {_names(new)} appear while others play; expected agents to be there from the reset on, "
                "and not to come back once they are out"
            )

    def _put(self, rows: Rows, index: int, observations: Mapping[str, Any], info: Mapping[str, Any]) -> None:
        agent = self.agents[index]
        if agent not in observations:
            self._blame(f"gave no observation for {agent!r}, who is of its agents")
        try:
            self.layout.put(rows, index, observations[agent], info)
        except GameError as error:
            self._blame(str(error))

    def _must_be_by_agent(self, found: Mapping[str, Any]) -> None:
        """Raises GameError if something is no dictionary, by what it is called."""
        for what, given in found.items():
            if not isinstance(given, Mapping):
                self._blame(f"gave {shown(given)} as its {what}; expected a dictionary by agent")

    def _must_be_info(self, agent: str, info: Any) -> None:
        if not isinstance(info, Mapping):
            self._blame(f"gave {agent!r} the info {shown(info)}; expected a dictionary")

    def _unfit(self, agent: str, results: Results, error: Exception) -> NoReturn:
        """Raise the error for what a step says of an agent and cannot be taken."""
        self._must_be_by_agent(dict(zip(PARTS, results, strict=True)))
        for what, given in zip(PARTS[:-1], results, strict=False):
            if agent not in given:
                self._blame(f"gave no {what[:-1]} for {agent!r}; expected one for every agent who acted in the step")
        _, gains, terminations, truncations, about = results
        self._must_be_info(agent, about.get(agent) or {})
        for what, given in (("termination", terminations), ("truncation", truncations)):
            if np.size(given[agent]) != 1:
                self._blame(f"gave {agent!r} the {what} {shown(given[agent])}; expected true or false")
        if not _is_number(gains[agent]):
            self._blame(f"gave {agent!r} the reward {shown(gains[agent])}; expected a number")
        self._blame(f"gave {agent!r} what cannot be taken: {' '.join(repr(error).split())}")

    def _blame(self, what: str) -> NoReturn:
        when = f"at step {self.steps} of an episode" if self.steps else "at the reset of an episode"
        raise GameError(f"game {self.name!r} {what} ({when})")

    def blame_numbers(self, what: str) -> NoReturn:
        """Raise the error for numbers that nobody can learn from."""
        self._blame(what)


def _is_number(found: Any) -> bool:
    try:
        float(found)
    except (TypeError, ValueError):
        return False
    return True


def _names(agents: Any) -> str:
    return ", ".join(repr(agent) for agent in sorted(agents))


def _shown(actions: Mapping[str, Any]) -> str:
    return ", ".join(f"{agent}: {shown(np.asarray(action))}" for agent, action in actions.items())
