"""One seat of a game played in turns, opened to be watched: every state has its picture, also the last."""

import numpy as np

from envs.interface import Interface
from envs.masks import MASK, SEEN
from envs.turns.games import OVER, Array, TurnGames
from envs.turns.opponents import Opponent, chosen
from envs.turns.vector import TurnsVecEnv

SEATS = ("first", "second", "third", "fourth")
SIGNS = ("x, dark", "o, light")
"""Of two players' stones, in text and in pictures."""


class OneSeat:
    """A game played in turns, seen from one seat of it: a step is the move made there and all replies to it.

    Episodes are those of `envs.turns.vector.TurnsVecEnv` from the same seeds, the states in which they end included.
    """

    agents = 1
    fps = 1
    modes = ("rgb_array", "ansi")

    def __init__(self, venv: TurnsVecEnv, interface: Interface) -> None:
        self.interface, self._venv, self._games = interface, venv, venv.games
        self._board = np.zeros(1, dtype=np.int64)
        self._plies, self._earned = 0, 0.0
        self._replies: list[str] = []

    def reset(self, seed: int) -> dict[str, Array]:
        """Begin an episode, those who sit before the seat having moved."""
        self._venv.seed(seed)
        self._earned = 0.0
        played: list[str] = []
        self._venv.on_reply = lambda _, actions: played.append(self._named(int(actions[0])))
        observations = self._venv.reset()
        self._venv.on_reply = None
        self._plies = int(self._venv.get_state()["plies"][0])
        self._replies = played[len(played) - self._plies :]  # of the last try alone
        return observations

    def step(self, actions: np.ndarray) -> tuple[dict[str, Array], float, bool, bool]:
        """One move, and the replies."""
        seat = int(self._venv.seats[0])
        self._replies = []
        self._move(np.asarray(actions))
        while self._mover() not in (OVER, seat) and not self._late():
            opponent, mover = self._opponent(), self._games.to_move()
            action = chosen(opponent, self._games, self._board, mover, self._venv.generators)
            self._replies.append(self._named(int(action[0])))
            self._move(action)
        earned = float(self._games.returns(self._board)[0, seat])
        reward, self._earned = earned - self._earned, earned
        over = self._mover() == OVER
        seen = {SEEN: self._games.observe(self._board, self._venv.seats), MASK: self._games.masks(self._board)}
        return seen, reward, over, not over and self._late()

    def spoken(self) -> tuple[str, ...] | None:
        """What the moves of this seat are called on the board as it is drawn, where it sees it turned."""
        return None if self._games.spoken is None else self._games.spoken[int(self._venv.seats[0])]

    def picture(self) -> np.ndarray | None:
        """The board drawn as it is seen from this seat, unless it was opened for text."""
        return None if self._venv.render_mode == "ansi" else self._games.picture(0, int(self._venv.seats[0]))

    def text(self) -> str | None:
        """The board in characters, as it is seen from this seat."""
        return self._games.text(0, int(self._venv.seats[0])) if self._venv.render_mode == "ansi" else None

    def said(self) -> str | None:
        """Which seat this is, who the others are, and what they have just played."""
        seat = seat_name(self._games, int(self._venv.seats[0]))
        replied = f", who played {', '.join(self._replies)}" if self._replies else ""
        return f"{seat}, against {self._opponent().name}{replied}"

    def close(self) -> None:
        """Close the boards."""
        self._venv.close()

    def _move(self, actions: np.ndarray) -> None:
        self._games.apply(self._board, actions)
        self._plies += 1

    def _named(self, action: int) -> str:
        """What who is to move plays."""
        return move_names(self._games, self._mover())[action]

    def _mover(self) -> int:
        return int(self._games.to_move()[0])

    def _late(self) -> bool:
        limit = self._venv.time_limit
        return limit is not None and self._plies >= limit

    def _opponent(self) -> Opponent:
        pool = self._venv.pool
        assert pool is not None  # settled when the stage was opened
        return pool.opponents[int(self._venv.against[0])]


def seat_name(games: TurnGames, seat: int) -> str:
    """Who moves first, second, …; where there are stones, their signs in text, too."""
    ordinal = SEATS[seat] if seat < len(SEATS) else f"seat {seat + 1}"
    stones = games.n_players == len(SIGNS) and len(games.observation_space.shape or ()) == 3
    return f"{ordinal} ({SIGNS[seat]})" if stones else ordinal


def move_names(games: TurnGames, seat: int) -> tuple[str, ...]:
    """Of all actions of who sits there, as the board is drawn; numbers where the game has no names."""
    if games.spoken is not None:
        return games.spoken[seat]
    return games.names.actions or tuple(f"action {number}" for number in range(games.n_actions))
