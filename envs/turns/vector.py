"""One learner's seat on many boards against opponents, as Stable-Baselines3's VecEnv.

A slot is a board: the learner sits at one seat of it, opponents at all others. A step makes the learner's move and then
every other's, until the learner is to move again or the game is over, so that what the others' moves bring, a loss
among it, is in the reward of the step in which they were made.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvStepReturn

from envs import generators as streams
from envs.batched import Stepped
from envs.errors import ConfigError, GameError
from envs.guard import blamed
from envs.masks import MASK, SEEN, with_mask
from envs.turns.games import OVER, TurnGames
from envs.turns.opponents import Pool, chosen, learnt, shortened

Array = npt.NDArray[Any]

TRIES = 1000
"""Episodes in a row that may end before the learner has moved at all."""


class TurnsVecEnv(VecEnv):
    """B boards of a game of P players, one learner at each.

    At the first reset with seed s a board gives the learner seat s mod P and opponent (s div P) mod (how many there
    are), so that evaluations meet every seat and every opponent; later episodes draw both from the board's own
    generator. All other seats of a board are the same opponent's.

    Args:
        games: the boards.
        opponents: names of opponents, for messages.
        pool: who plays; None: `set_pool` says it before the first reset.
        time_limit: plies of all players together after which an episode is truncated.
    """

    def __init__(
        self,
        games: TurnGames,
        opponents: Sequence[str] = (),
        pool: Pool | None = None,
        time_limit: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        self.games, self.opponents, self.pool, self.time_limit = games, tuple(opponents), pool, time_limit
        self.render_mode = render_mode
        n_boards = games.n_boards
        self.seats = np.zeros(n_boards, dtype=np.int64)
        """Where the learner sits on each board: (B,)."""
        self.against = np.zeros(n_boards, dtype=np.int64)
        """Which of the pool's opponents plays on each board: (B,)."""
        self.generators = [streams.from_seed(None) for _ in range(n_boards)]
        self._plies = np.zeros(n_boards, dtype=np.int64)
        self._earned = np.zeros(n_boards)
        self._lengths = np.zeros(n_boards, dtype=np.int64)
        self._actions = np.zeros(n_boards, dtype=np.int64)
        self._masks = np.zeros((n_boards, games.n_actions), dtype=np.int8)
        self.once = False
        """Whether a board whose episode is over rests until the next reset, as evaluations want it."""
        self._resting = np.zeros(n_boards, dtype=bool)
        self.on_reply: Callable[[Array, Array], None] | None = None
        """Called with boards (M,) and the actions (M,) that opponents are about to play there."""
        self._begun = False
        self._started = time.time()
        self.metadata = {"render_modes": ["rgb_array", "ansi"]}
        space = with_mask(games.observation_space, games.n_actions)
        super().__init__(n_boards, space, spaces.Discrete(games.n_actions))

    def set_pool(self, pool: Pool) -> None:
        """Play against these opponents from now on; games under way are gone on with by the opponent of their index.

        Where the new pool has no such index, the board draws another.
        """
        self.pool = pool
        for board in np.flatnonzero(self.against >= len(pool.opponents)).tolist():
            self.against[board] = pool.draw(self.generators[board])

    def reset(self) -> dict[str, Array]:
        """New episodes on all boards; where there is a seed for it, of that seed."""
        pool = self._pool()
        seeded = [seed is not None for seed in self._seeds]
        for board, seed in enumerate(self._seeds):
            if seed is not None:
                self.generators[board] = streams.from_seed(seed)
                self.seats[board] = seed % self.games.n_players
                self.against[board] = seed // self.games.n_players % len(pool.opponents)
        boards = np.arange(self.num_envs)
        self._resting[:] = False
        with blamed(self.games.name, lambda: "at the reset of its boards"):
            self._begin(boards, drawn=[not known for known in seeded])
        self._begun = True
        self._reset_seeds()
        self._reset_options()
        return self._observations()

    def step_async(self, actions: np.ndarray) -> None:
        """Remember the actions (B,)."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """One step of every board; those whose episode ends begin the next in it, or rest (`once`)."""
        step = self.step_arrays(self._actions)
        return step.observations, step.rewards, step.dones, list(step.infos)

    def step_arrays(self, actions: np.ndarray) -> Stepped:
        """The same step as arrays. Raises GameError for an illegal action, of the learner or of an opponent."""
        with blamed(self.games.name, lambda: f"in a step of its boards (actions {_shown(actions)})"):
            return self._step(np.asarray(actions).reshape(self.num_envs))

    def _step(self, actions: Array) -> Stepped:
        if not self._begun:
            raise ConfigError(f"game {self.games.name!r} is stepped before its first reset: call reset()")
        self._check(actions)
        boards = np.flatnonzero(~self._resting)
        self.games.apply(boards, actions[boards])
        self._plies[boards] += 1
        self._lengths[boards] += 1
        self._reply(boards)
        gains = self._gains()
        over = (self.games.to_move() == OVER) & ~self._resting
        cut = self._late() & ~over & ~self._resting
        cut[over] = self.games.cut(np.flatnonzero(over))
        ended = np.flatnonzero(over | cut)
        infos: list[dict[str, Any]] = [{"TimeLimit.truncated": False} for _ in range(self.num_envs)]
        last, records = self._last(ended), self._records(ended)
        for place, board in enumerate(ended.tolist()):
            infos[board] = {
                "episode": records[place],
                "TimeLimit.truncated": bool(cut[board]),
                "terminal_observation": {name: array[place] for name, array in last.items()},
                **self._told(board),
            }
        if len(ended):
            for board, earned in zip(ended.tolist(), self._earned[ended].tolist(), strict=True):
                self._pool().ended(int(self.against[board]), earned)
            if self.once:
                self._resting[ended] = True
            else:
                self._begin(ended, drawn=[True] * len(ended))
        return Stepped(
            self._observations(), gains.astype(np.float32), over | cut, ended, cut[ended], last, records, [], infos
        )

    def _check(self, actions: Array) -> None:
        """Raises GameError for an illegal action of the learner's."""
        masks = self._masks
        inside = (actions >= 0) & (actions < self.games.n_actions)
        legal = inside & (masks[np.arange(self.num_envs), np.where(inside, actions, 0)] == 1)
        if legal.all():
            return
        board = int(np.flatnonzero(~legal)[0])
        raise GameError(
            f"the learner played the illegal action {actions[board]} in {self.games.name} after "
            f"{self._plies[board]} plies; legal are {shortened(np.flatnonzero(masks[board]).tolist())}: "
            "expected a policy that minds the action_mask, such as maskable-ppo's"
        )

    def _late(self) -> Array:
        """Where the time limit is reached: (B,) bool."""
        return np.zeros(self.num_envs, dtype=bool) if self.time_limit is None else self._plies >= self.time_limit

    def _reply(self, boards: Array) -> None:
        """Let opponents move on some boards until the learner is to move there, or the episode is over."""
        opponents = self._pool().opponents
        while True:
            movers = self.games.to_move()[boards]
            waiting = (movers != OVER) & (movers != self.seats[boards]) & ~self._late()[boards]
            boards, movers = boards[waiting], movers[waiting]
            if not len(boards):
                return
            for index in np.unique(self.against[boards]).tolist():
                mine = self.against[boards] == index
                drawn = [self.generators[board] for board in boards[mine].tolist()]
                actions = chosen(opponents[index], self.games, boards[mine], movers[mine], drawn)
                if self.on_reply is not None:
                    self.on_reply(boards[mine], actions)
                self.games.apply(boards[mine], actions)
            self._plies[boards] += 1

    def _gains(self) -> Array:
        """What the learner has earned since the last look: (B,) float64."""
        boards = np.arange(self.num_envs)
        returns = self.games.returns(boards)[boards, self.seats]
        gains: Array = returns - self._earned
        self._earned = returns
        if not np.isfinite(gains).all():
            raise GameError(f"game {self.games.name!r} returned the reward {gains[~np.isfinite(gains)][0]}")
        return gains

    def _begin(self, boards: Array, drawn: Sequence[bool]) -> None:
        """Begin an episode on each of the boards, and let those who sit before the learner move."""
        pool = self._pool()
        for _ in range(TRIES):
            for board, draw in zip(boards.tolist(), drawn, strict=True):
                if draw:
                    self.seats[board] = self.generators[board].integers(self.games.n_players)
                    self.against[board] = pool.draw(self.generators[board])
            self.games.reset(boards, [self.generators[board] for board in boards.tolist()])
            self._plies[boards], self._lengths[boards], self._earned[boards] = 0, 0, 0.0
            self._reply(boards)
            boards = boards[(self.games.to_move()[boards] == OVER) | self._late()[boards]]
            if not len(boards):
                break
            drawn = [True] * len(boards)
        else:
            raise GameError(f"game {self.games.name!r} ends before the learner has moved, {TRIES} times in a row")

    def _observations(self) -> dict[str, Array]:
        boards = np.arange(self.num_envs)
        self._masks = self.games.masks(boards)
        self._masks[self._resting] = 1
        return {SEEN: self.games.observe(boards, self.seats), MASK: self._masks.copy()}

    def _last(self, boards: Array) -> dict[str, Array]:
        """The learner's last look at boards whose episode is over; where it may not move, a mask of ones."""
        masks = self.games.masks(boards)
        masks[self.games.to_move()[boards] != self.seats[boards]] = 1
        return {SEEN: self.games.observe(boards, self.seats[boards]), MASK: masks}

    def _records(self, boards: Array) -> list[dict[str, Any]]:
        """Monitor's records of episodes that are over."""
        now = round(time.time() - self._started, 6)
        earned, lengths = self._earned[boards].tolist(), self._lengths[boards].tolist()
        return [{"r": round(r, 6), "l": length, "t": now} for r, length in zip(earned, lengths, strict=True)]

    def _told(self, board: int) -> dict[str, Any]:
        """Who played where in an episode that is over."""
        opponent = self._pool().opponents[int(self.against[board])]
        return {"seat": int(self.seats[board]), "opponent": opponent.name}

    def _pool(self) -> Pool:
        """Raises ConfigError while nobody plays."""
        if self.pool is None:
            wanted = next((name for name in self.opponents if learnt(name)), "self")
            raise ConfigError(
                f"game {self.games.name!r}: opponent {wanted!r} is a trained player, which headstart train and "
                "evaluate bring: name a fixed one (opponent = 'random', 'scripted', 'mcts:100'), or call set_pool"
            )
        return self.pool

    @property
    def named(self) -> dict[str, Any]:
        """What the games' own rules call the parts of views and the actions, by the catalogue's words."""
        return {word: said for word, said in vars(self.games.names).items() if said is not None}

    def action_masks(self) -> Array:
        """The learner's legal actions: (B, n_actions) bool, as sb3-contrib asks for them."""
        return self._masks.astype(bool)

    def get_state(self) -> dict[str, Any]:
        """All that decides what follows, as arrays, and the pool's own state."""
        return {
            "games": self.games.get_state(),
            "generators": streams.to_array(self.generators),
            "seats": self.seats.copy(),
            "against": self.against.copy(),
            "plies": self._plies.copy(),
            "return": self._earned.copy(),
            "length": self._lengths.copy(),
            "pool": None if self.pool is None else self.pool.state(),
        }

    def set_state(self, state: dict[str, Any]) -> dict[str, Array]:
        """Go on from what `get_state` returned. Returns the observations there."""
        self.generators = streams.from_array(state["generators"])
        self.games.set_state(state["games"], self.generators)
        self.seats, self.against = state["seats"].copy(), state["against"].copy()
        self._plies, self._lengths = state["plies"].copy(), state["length"].copy()
        self._earned = state["return"].copy()
        if self.pool is not None and state["pool"] is not None:
            self.pool.restore(state["pool"])
        self._begun = True
        self._resting[:] = False
        return self._observations()

    def close(self) -> None:
        """Nothing is held open."""

    def get_images(self) -> Sequence[np.ndarray | None]:
        """A picture of each board, as the learner sees it."""
        if self.render_mode != "rgb_array":
            return [None] * self.num_envs
        return [self.games.picture(board, seat) for board, seat in enumerate(self.seats.tolist())]

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """An attribute of ours or of the games, dealt out where it has one entry a board. Raises AttributeError."""
        owner = self if attr_name in vars(self) or hasattr(type(self), attr_name) else self.games
        return self._dealt(getattr(owner, attr_name), indices)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute that belongs to all boards. Raises ConfigError if only some are meant."""
        if sorted(self._get_indices(indices)) != list(range(self.num_envs)):
            raise ConfigError(f"attribute {attr_name!r} belongs to all boards of {self.games.name!r}, not to some")
        setattr(self if attr_name in vars(self) else self.games, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method, once, and deal out what it returns for each board. `render`: a board's picture or text."""
        if method_name == "render":
            drawn = self.games.text if self.render_mode == "ansi" else self.games.picture
            return [drawn(board, int(self.seats[board])) for board in self._get_indices(indices)]
        owner = self if hasattr(type(self), method_name) else self.games
        return self._dealt(getattr(owner, method_name)(*method_args, **method_kwargs), indices)

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """True for SB3's Monitor, whose episode records are made here."""
        return [issubclass(Monitor, wrapper_class)] * len(list(self._get_indices(indices)))

    def _dealt(self, value: Any, indices: VecEnvIndices) -> list[Any]:
        sequence = isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)
        each = sequence and len(value) == self.num_envs
        return [value[index] if each else value for index in self._get_indices(indices)]


def _shown(actions: Any) -> str:
    return shortened(np.asarray(actions).ravel().tolist())
