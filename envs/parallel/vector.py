"""PettingZoo's parallel games as an SB3 VecEnv whose agents share one policy.

Every agent of every copy of the game is one slot of the VecEnv: with three agents, slots 0 to 2 are the first copy's.
Truncation stays apart from termination, as in SB3's own DummyVecEnv.

An agent's death is its slot's last transition: done, with its terminal observation and its episode record, at once. The
slot then idles on zeros, with reward 0 and `idle` in its info, until the copy's episode ends; that ends its idling, too
(done), without a record. So does the slot of an agent who was not there at the reset.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvStepReturn, tile_images

from envs.batched import Stepped
from envs.masks import MASK
from envs.observations import each, taken
from envs.parallel.conversions import Game, parallel
from envs.parallel.layout import Layout
from envs.parallel.team import Team

Array = npt.NDArray[Any]


class ParallelVecEnv(VecEnv):
    """Copies of one PettingZoo game, (n_copies · n_agents) slots.

    `seed(s)` gives copy k the seed s + k at its next reset. Infos carry "terminal_observation",
    "TimeLimit.truncated", for each agent "episode" {"r", "l", "t"}, and "idle" where nobody plays.

    Args:
        make: returns a new ParallelEnv, or an AECEnv that is parallelisable; called once a copy.
        n_copies: how many copies.
        name: of the game, for messages.
        agent_indicator: whether each agent sees, beside what it sees, a one-hot number of who it is.
        time_limit: steps after which an episode is truncated for all who still play.

    Raises:
        ConfigError: the agents' spaces are of kinds that one policy cannot share.
        GameError: the game breaks PettingZoo's contract: an agent vanishes or appears, something is missing, has
            another shape or type than its space says, or is NaN, or no action is legal.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        n_copies: int = 1,
        *,
        name: str = "PettingZoo's",
        agent_indicator: bool = False,
        time_limit: int | None = None,
    ) -> None:
        first = parallel(make())
        self.name, self.time_limit = name, time_limit
        self.layout = Layout(first, agent_indicator=agent_indicator, masks_in_infos=_shows_masks(first))
        self.agents = self.layout.agents
        self.teams: list[Team] = []
        self.copies = [first, *(parallel(make()) for _ in range(n_copies - 1))]
        self._clock = time.monotonic()
        space, n_slots = self.layout.observation_space, n_copies * len(self.agents)
        super().__init__(n_slots, space, self.layout.action_space)
        self.metadata = {**first.metadata, **self.metadata}
        self._floats = [part for part, each in enumerate(self.layout.parts) if np.dtype(each.dtype).kind == "f"]
        self._returns = np.zeros(n_slots)
        self._lengths = np.zeros(n_slots, dtype=int)
        self.idle = np.zeros(n_slots, dtype=bool)
        """Whose slot idles: (slots,) bool."""
        self._actions: Array = np.zeros(0)

    @property
    def copies(self) -> list[Game]:
        """The games."""
        return [team.game for team in self.teams]

    @copies.setter
    def copies(self, games: Sequence[Game]) -> None:
        """Other games, or the same ones brought back from a file. Who plays in them is `idle`'s to say."""
        self.teams = [Team(game, self.layout, self.name, self.time_limit) for game in games]

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Seeds for the next reset, one a slot: copy k's agents share s + k."""
        firsts = super().seed(seed)[: len(self.teams)]
        self._seeds = [first for first in firsts for _ in self.agents]
        return self._seeds

    def reset(self) -> Any:
        """First observations, (slots, …)."""
        arrays = self.layout.empty(len(self.teams))
        for copy in range(len(self.teams)):
            first = copy * len(self.agents)
            self._begin(copy, arrays, seed=self._seeds[first], options=self._options[first] or None)
        self.check(arrays, [0.0])
        self._reset_seeds()
        self._reset_options()
        return self.layout.whole(arrays)

    def step_async(self, actions: Array) -> None:
        """Remember one action a slot."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """Step every copy; a copy whose episode ended begins the next."""
        observations, rewards, dones, infos, _ = self._stepped(self._actions)
        return observations, rewards.astype(np.float32), dones, infos

    def step_arrays(self, actions: Array) -> Stepped:
        """The same step, with what ended as arrays; slots that idled are not among those that ended."""
        observations, rewards, dones, infos, ended = self._stepped(actions)
        mine = [infos[slot] for slot in ended]
        return Stepped(
            observations,
            rewards.astype(np.float32),
            dones,
            np.array(ended, dtype=np.int64),
            np.array([info["TimeLimit.truncated"] for info in mine], dtype=bool),
            _stacked([info["terminal_observation"] for info in mine], observations),
            [info["episode"] for info in mine],
            [info["is_success"] for info in mine if "is_success" in info],
            infos,
        )

    def _stepped(self, actions: Array) -> tuple[Any, Array, Array, list[dict[str, Any]], list[int]]:
        """Observations, rewards (slots,), dones, infos, and the slots whose agents' episodes ended."""
        given, arrays, n = self.layout.actions(actions), self.layout.empty(len(self.teams)), len(self.agents)
        earned: list[float] = []
        infos: list[dict[str, Any]] = []
        ended: list[int] = []
        over: list[int] = []
        for copy, team in enumerate(self.teams):
            first = copy * n
            last = first + n
            if not team.roster:
                self._recall(copy)
            rows = [array[first:last] for array in arrays]
            ends = team.step(given[first:last], rows, earned, infos)
            if ends:
                ended += [first + end.agent for end in ends]
                for end in ends:
                    self.layout.free(rows, end.agent)
                if not team.roster:
                    over.append(copy)
        rewards = np.array(earned)
        self.check(arrays, earned)
        self._returns += rewards
        self._lengths += ~self.idle
        dones = np.zeros(self.num_envs, dtype=bool)
        observations = self.layout.whole(arrays)
        if ended:
            self._end(ended, over, observations, dones, infos)
            for slot in ended:
                self.layout.blank(arrays, slot)
            for copy in over:
                self._begin(copy, arrays)
            if over:
                self.check(arrays, [0.0])
        return observations, rewards, dones, infos, ended

    def _end(
        self, ended: list[int], over: list[int], observations: Any, dones: Array, infos: list[dict[str, Any]]
    ) -> None:
        """Write what the last step of agents tells; where all are out, idling ends too."""
        elapsed, n = round(time.monotonic() - self._clock, 6), len(self.agents)
        for slot in ended:
            infos[slot]["terminal_observation"] = each(np.copy, taken(observations, slot))
            record = {"r": round(float(self._returns[slot]), 6), "l": int(self._lengths[slot]), "t": elapsed}
            infos[slot]["episode"] = record
            self._returns[slot], self._lengths[slot] = 0.0, 0
        for copy in over:
            for slot in range(copy * n, copy * n + n):
                if self.idle[slot]:
                    dones[slot] = True
                    infos[slot]["terminal_observation"] = each(np.copy, taken(observations, slot))
        dones[ended] = True
        self.idle[ended] = True

    def _begin(
        self, copy: int, arrays: Sequence[Array], seed: int | None = None, options: dict[str, Any] | None = None
    ) -> None:
        """Begin a copy's next episode, and write its first observations."""
        first, n, team = copy * len(self.agents), len(self.agents), self.teams[copy]
        for array, fresh in zip(arrays, self.layout.empty(1), strict=True):
            array[first : first + n] = fresh
        self.reset_infos[first : first + n] = team.reset(seed, options, [array[first : first + n] for array in arrays])
        self._returns[first : first + n], self._lengths[first : first + n] = 0.0, 0
        self.idle[first : first + n] = True
        self.idle[[first + index for index in team.roster]] = False

    def _recall(self, copy: int) -> None:
        """Who plays in a copy that was brought back in the middle of an episode."""
        slots = slice(copy * len(self.agents), (copy + 1) * len(self.agents))
        self.teams[copy].roster = np.flatnonzero(~self.idle[slots]).tolist()
        self.teams[copy].steps = int(self._lengths[slots].max())

    def check(self, arrays: Sequence[Array], earned: Sequence[float]) -> None:
        """Raises GameError for NaN, infinity, and masks that leave somebody no action, in arrays of whole copies."""
        if not math.isfinite(sum(earned)):
            for slot, reward in enumerate(earned):
                if not math.isfinite(reward):
                    self._blame(slot, f"gave {self._agent(slot)!r} the reward {reward}")
        for part in self._floats:
            flat = arrays[part].reshape(-1)
            if not math.isfinite(flat.dot(flat)):
                wrong = ~np.isfinite(arrays[part]).reshape(len(arrays[part]), -1).all(axis=1)
                for slot in np.flatnonzero(wrong).tolist():
                    self._blame(slot, f"showed {self._agent(slot)!r} NaN or infinity")
        if self.layout.masked and not (legal := arrays[1].any(axis=1)).all():
            slot = int(np.flatnonzero(~legal)[0])
            self._blame(slot, f"left {self._agent(slot)!r} no legal action: its {MASK!r} is all 0")

    def _blame(self, slot: int, what: str) -> None:
        self.teams[slot // len(self.agents)].blame_numbers(what)

    def _agent(self, slot: int) -> str:
        return self.agents[slot % len(self.agents)]

    def get_images(self) -> Sequence[Array | None]:
        """One picture a slot; agents of one copy see the same one."""
        return [picture for picture in self._pictures() for _ in self.agents]

    def render(self, mode: str | None = None) -> Array | None:
        """All copies in one picture, or each in its own window."""
        if self.render_mode != "rgb_array" or mode not in (None, "rgb_array"):
            return super().render(mode)
        return tile_images([picture for picture in self._pictures() if picture is not None])

    def _pictures(self) -> list[Array | None]:
        return [np.asarray(game.render()) if self.render_mode == "rgb_array" else None for game in self.copies]

    def close(self) -> None:
        """Close every copy."""
        for game in self.copies:
            game.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """A game's attribute, one value a slot. Raises AttributeError."""
        return [getattr(self._copy_of(slot), attr_name) for slot in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute on the games that own these slots, where they have it, below any wrapper."""
        for copy in self._copies_of(indices):
            inner = copy.unwrapped
            setattr(inner if hasattr(inner, attr_name) else copy, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a game's method once a copy; the answer is given for each slot."""
        answers = {
            id(copy): getattr(copy, method_name)(*method_args, **method_kwargs) for copy in self._copies_of(indices)
        }
        return [answers[id(self._copy_of(slot))] for slot in self._get_indices(indices)]

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """True for SB3's Monitor, whose episode records are made here; Gymnasium's wrappers are for single agents."""
        return [wrapper_class is Monitor for _ in self._get_indices(indices)]

    def _copy_of(self, slot: int) -> Game:
        return self.teams[slot // len(self.agents)].game

    def _copies_of(self, indices: VecEnvIndices) -> list[Game]:
        return list({id(copy): copy for copy in map(self._copy_of, self._get_indices(indices))}.values())


def _shows_masks(game: Game) -> bool:
    """Whether the infos of a game with discrete actions hold masks: a first reset shows it."""
    agents = list(game.possible_agents)
    if not all(isinstance(game.action_space(agent), spaces.Discrete) for agent in agents):
        return False
    if any(isinstance(game.observation_space(agent), spaces.Dict) for agent in agents):
        return False
    _, about = game.reset(seed=0)
    return isinstance(about, Mapping) and any(MASK in (about.get(agent) or {}) for agent in agents)


def _stacked(rows: list[Any], observations: Any) -> Any:
    """Rows as one batch, of which there may be none."""
    if not rows:
        return taken(observations, slice(0))
    if isinstance(observations, dict):
        return {key: np.stack([row[key] for row in rows]) for key in observations}
    return np.stack(rows)
