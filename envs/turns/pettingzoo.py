"""PettingZoo's AEC environments whose agents take turns, as boards.

Observations follow PettingZoo's classic convention: a Dict of "observation" and "action_mask". An environment whose
observations come without a mask has all actions legal always.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from envs.errors import ConfigError, GameError
from envs.guard import blamed, finite
from envs.masks import MASK, SEEN
from envs.turns import render
from envs.turns.cells import cells_of
from envs.turns.games import OVER, Names, Search
from envs.turns.twins import Twin

Array = npt.NDArray[Any]

DEAD_STEPS = 1000
"""Steps in a row of agents who are out, after which a game is taken to hang."""


class PettingZooGames:
    """B copies of one AEC environment, see `envs.turns.games.TurnGames`.

    Args:
        name: what to call it.
        make: returns a new AECEnv; called once a board.
        n_boards: how many boards.
        names: what the catalogue calls planes and actions.
        twin: the same rules in OpenSpiel, to look ahead in.

    Raises:
        ConfigError: agents are not known beforehand, or have differing spaces, or spaces that cannot be learnt from.
        GameError: the environment breaks PettingZoo's contract.
    """

    def __init__(
        self, name: str, make: Callable[[], Any], n_boards: int, names: Names | None = None, twin: Twin | None = None
    ) -> None:
        self.name, self.n_boards, self.hidden = name, n_boards, False
        self.copies = [make() for _ in range(n_boards)]
        self.agents = _agents(name, self.copies[0])
        self.n_players = len(self.agents)
        self.observation_space, self.n_actions, self._masked = _spaces(name, self.copies[0], self.agents)
        shape = self.observation_space.shape or ()
        said = names or Names()
        self.names = Names(said.features, said.actions, said.anchor, said.cells or cells_of(said, shape))
        self.spoken: tuple[tuple[str, ...], ...] | None = None
        self.twin, self.searchable = twin, twin is not None
        self._board_like = len(shape) == 3 and shape[-1] == 2
        self._to_move = np.full(n_boards, OVER, dtype=np.int64)
        self._cut = np.zeros(n_boards, dtype=bool)
        self._returns = np.zeros((n_boards, self.n_players))
        self._seeds = np.zeros(n_boards, dtype=np.int64)
        self._moves: list[list[int]] = [[] for _ in range(n_boards)]
        self._looked: dict[tuple[int, int], Any] = {}

    def reset(self, boards: Array, generators: Sequence[np.random.Generator]) -> None:
        """Begin anew on the boards (M,), each with a seed drawn from its generator."""
        for board, generator in zip(boards.tolist(), generators, strict=True):
            self._reset(board, int(generator.integers(2**31 - 1)))

    def to_move(self) -> Array:
        """Who is to move on each board: (B,) int64, -1 where the game is over."""
        return self._to_move.copy()

    def observe(self, boards: Array, players: Array) -> Array:
        """What players (M,) see of boards (M,): (M, …)."""
        space = self.observation_space
        seen = np.empty((len(boards), *(space.shape or ())), dtype=space.dtype)
        for place, (board, player) in enumerate(zip(boards.tolist(), players.tolist(), strict=True)):
            seen[place] = self._seen(board, player)
        return seen

    def masks(self, boards: Array) -> Array:
        """The legal actions of who is to move: (M, n_actions) int8; all 0 where a game is over."""
        masks = np.zeros((len(boards), self.n_actions), dtype=np.int8)
        for place, (board, player) in enumerate(zip(boards.tolist(), self._to_move[boards].tolist(), strict=True)):
            if player != OVER:
                masks[place] = self._mask(board, player)
        return masks

    def apply(self, boards: Array, actions: Array) -> None:
        """One legal move on each of the boards (M,)."""
        for board, action in zip(boards.tolist(), actions.tolist(), strict=True):
            self._moves[board].append(action)
            self._step(board, action)
            self._settle(board)

    def returns(self, boards: Array) -> Array:
        """The sum of each player's rewards so far: (M, P) float64."""
        taken: Array = self._returns[boards]
        return taken

    def cut(self, boards: Array) -> Array:
        """Which of the boards (M,) were truncated, nobody's game having terminated: (M,) bool."""
        taken: Array = self._cut[boards]
        return taken

    def search(self, board: int) -> Search | None:
        """The position in OpenSpiel's twin of the game, if there is one."""
        return None if self.twin is None else self.twin.position(self._moves[board])

    def text(self, board: int, player: int | None = None) -> str:
        """The board in lines where it is one, else the observation of a player, by default of who is to move."""
        if self._board_like:
            return render.text(self._stones(board))
        return str(self._seen(board, max(int(self._to_move[board]), 0) if player is None else player))

    def picture(self, board: int, player: int | None = None) -> Array:
        """The board drawn where it is one, else the environment's own picture, else its text."""
        if self._board_like:
            return render.board(self._stones(board))
        if getattr(self.copies[board], "render_mode", None) == "rgb_array":
            with self._blamed(board):
                return np.asarray(self.copies[board].render(), dtype=np.uint8)
        return render.lines(self.text(board, player))

    def get_state(self) -> dict[str, Array]:
        """Each board's seed and moves, of all boards in a row: what they are played again from."""
        return {
            "moves": np.array([move for moves in self._moves for move in moves], dtype=np.int64),
            "moves_made": np.array([len(moves) for moves in self._moves], dtype=np.int64),
            "game_seeds": self._seeds.copy(),
        }

    def set_state(self, state: dict[str, Array], generators: Sequence[np.random.Generator]) -> None:
        """Play every board again to where `get_state` found it."""
        ends = np.cumsum(state["moves_made"]).tolist()
        for board, (end, made) in enumerate(zip(ends, state["moves_made"].tolist(), strict=True)):
            self._reset(board, int(state["game_seeds"][board]))
            for move in state["moves"][end - made : end]:
                self.apply(np.array([board]), np.array([move]))

    def _blamed(self, board: int) -> Any:
        return blamed(self.name, lambda: f"after {len(self._moves[board])} plies")

    def _reset(self, board: int, seed: int) -> None:
        with blamed(self.name, lambda: f"at the reset of an episode (seed {seed})"):
            self.copies[board].reset(seed=seed)
        self._forget(board)
        self._seeds[board], self._moves[board] = seed, []
        self._returns[board], self._cut[board] = 0.0, False
        self._settle(board)

    def _forget(self, board: int) -> None:
        for player in range(self.n_players):
            self._looked.pop((board, player), None)

    def _step(self, board: int, action: int | None) -> None:
        env = self.copies[board]
        before = set(env.agents)
        self._forget(board)
        with self._blamed(board):
            env.step(action)
            rewards = dict(env.rewards)
        if action is not None and (silent := before.intersection(env.agents) - rewards.keys()):
            raise GameError(
                f"game {self.name!r} gave no reward for {_named(silent)} after {len(self._moves[board])} plies; "
                "expected one in rewards for each of its agents"
            )
        for player, agent in enumerate(self.agents):
            self._returns[board, player] += float(rewards.get(agent, 0.0)) if action is not None else 0.0
        if not np.isfinite(self._returns[board]).all():
            raise GameError(f"game {self.name!r} returned the reward {rewards} after {len(self._moves[board])} plies")
        self._check_agents(board, before, dead=action is None)

    def _check_agents(self, board: int, before: set[str], *, dead: bool) -> None:
        """Raises GameError for agents who appear, or who vanish while they play."""
        env = self.copies[board]
        after = set(env.agents)
        strangers, lost = after - before, before - after
        if strangers:
            raise GameError(
                f"game {self.name!r}: {_named(strangers)} appeared after {len(self._moves[board])} plies; "
                "expected agents to stay those of the reset until they terminate or are truncated"
            )
        out = {agent for agent in lost if env.terminations.get(agent) or env.truncations.get(agent)}
        if lost - out and not dead:
            raise GameError(
                f"game {self.name!r}: {_named(lost - out)} vanished after {len(self._moves[board])} plies without "
                "having terminated or been truncated; expected an end first"
            )

    def _settle(self, board: int) -> None:
        """Let those who are out leave, until one who plays is to move, or the game is over."""
        env = self.copies[board]
        for _ in range(DEAD_STEPS):
            living = [
                agent for agent in env.agents if not env.terminations.get(agent) and not env.truncations.get(agent)
            ]
            if not living:
                terminated = any(env.terminations.get(agent) for agent in env.agents)
                truncated = any(env.truncations.get(agent) for agent in env.agents)
                self._to_move[board], self._cut[board] = OVER, truncated and not terminated
                return
            player = self._player(env.agent_selection)
            if env.agent_selection in living:
                self._to_move[board] = player
                return
            self._step(board, None)
        raise GameError(
            f"game {self.name!r} selects agents who are out, {DEAD_STEPS} times in a row: "
            "expected one who plays to be selected"
        )

    def _player(self, agent: Any) -> int:
        if agent not in self.agents:
            raise GameError(
                f"game {self.name!r} selected the agent {agent!r}; "
                f"expected one of possible_agents: {_named(self.agents)}"
            )
        return self.agents.index(agent)

    def _observed(self, board: int, player: int) -> Any:
        """What a player sees, asked for once between two moves."""
        if (board, player) not in self._looked:
            with self._blamed(board):
                self._looked[board, player] = self.copies[board].observe(self.agents[player])
        return self._looked[board, player]

    def _seen(self, board: int, player: int) -> Array:
        found = self._observed(board, player)
        if self._masked and (not isinstance(found, dict) or SEEN not in found):
            raise GameError(
                f"game {self.name!r} observed {type(found).__name__}, expected a Dict with {SEEN!r}, {MASK!r}"
            )
        seen = np.asarray(found[SEEN] if self._masked else found)
        if seen.shape != self.observation_space.shape:
            raise GameError(
                f"game {self.name!r} returned an observation of shape {seen.shape} after "
                f"{len(self._moves[board])} plies; its space says {self.observation_space.shape}"
            )
        if not finite(seen):
            raise GameError(f"game {self.name!r} returned NaN or infinity after {len(self._moves[board])} plies")
        return seen

    def _mask(self, board: int, player: int) -> Array:
        if not self._masked:
            return np.ones(self.n_actions, dtype=np.int8)
        mask = np.asarray(self._observed(board, player)[MASK])
        when = f"for {self.agents[player]!r} after {len(self._moves[board])} plies"
        if mask.shape != (self.n_actions,) or not np.isin(mask, (0, 1)).all():
            raise GameError(
                f"game {self.name!r} returned the action_mask {' '.join(str(mask).split())} {when}; "
                f"expected {self.n_actions} times 0 or 1"
            )
        if not mask.any():
            raise GameError(
                f"game {self.name!r} has no legal action {when}: its action_mask is all 0; "
                "expected one at least, or the game to be over"
            )
        return mask.astype(np.int8)

    def _stones(self, board: int) -> Array:
        """(H, W): 1 where the first player sees its own stones, 2 where it sees the other's."""
        planes = self._seen(board, 0) == 1
        stones: Array = planes[..., 0] + 2 * planes[..., 1]
        return stones


def _agents(name: str, env: Any) -> tuple[str, ...]:
    agents = tuple(getattr(env, "possible_agents", ()) or ())
    if not agents:
        raise ConfigError(
            f"game {name!r} has no possible_agents: "
            "expected a PettingZoo AEC environment that names its agents beforehand"
        )
    return agents


def _spaces(name: str, env: Any, agents: Sequence[str]) -> tuple[spaces.Space[Any], int, bool]:
    """The space of what is seen, how many actions there are, and whether observations come with a mask."""
    with blamed(name, lambda: "when asked for its spaces"):
        seen = [env.observation_space(agent) for agent in agents]
        acts = [env.action_space(agent) for agent in agents]
    if any(space != seen[0] for space in seen) or any(space != acts[0] for space in acts):
        raise ConfigError(
            f"game {name!r} has agents with differing spaces, which one learner cannot play in turn: "
            "expected the same for all (supersuit's pad_observations and pad_action_space make them so)"
        )
    if not isinstance(acts[0], spaces.Discrete) or acts[0].start != 0:
        raise ConfigError(f"game {name!r} has the actions {acts[0]}, expected Discrete ones that count from 0")
    masked = isinstance(seen[0], spaces.Dict) and {SEEN, MASK} <= seen[0].spaces.keys()
    inner = seen[0][SEEN] if masked else seen[0]
    if not isinstance(inner, spaces.Box):
        raise ConfigError(
            f"game {name!r} has the observations {inner}, expected a Box, or a Dict of one and action_mask"
        )
    return inner, int(acts[0].n), masked


def _named(agents: Any) -> str:
    return ", ".join(sorted(map(str, agents)))
