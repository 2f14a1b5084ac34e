"""What a batch of boards offers, whoever keeps the rules: OpenSpiel, PettingZoo, or somebody else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

Array = npt.NDArray[Any]

OVER = -1
"""Who is to move where a game is over."""


@dataclass(frozen=True)
class Names:
    """What the parts of a game's views and its actions are called."""

    features: tuple[str, ...] | None = None
    """Planes (last axis), or entries of a vector."""
    actions: tuple[str, ...] | None = None
    """One for each action."""
    anchor: tuple[str, str] = ("centre", "centre")
    """What stays in place where a board is padded, see `envs.interface.Interface`."""
    cells: tuple[tuple[int | None, ...] | None, ...] | None = None
    """The cell that each action plays on or from, (row, column) from the top left; None: every row, or no cell."""


class Search(Protocol):
    """A position that a search may try moves on: an OpenSpiel state and what its actions are called here."""

    state: Any
    """`pyspiel.State`, a copy of the board's own."""

    def ours(self, action: int) -> int:
        """The action of the board for an action of the state, for who is to move in it."""
        ...


class TurnGames(Protocol):
    """B boards of one game of P players who take turns, as arrays.

    Views and actions are those of who looks and who moves: own pieces come first, and the board is turned so that one
    always plays in the same direction. Chance is resolved inside, from the board's own generator.
    """

    name: str
    """For messages."""
    n_boards: int
    n_players: int
    n_actions: int
    observation_space: spaces.Space[Any]
    """Of one view, without the mask."""
    names: Names
    hidden: bool
    """Whether a player does not see all that is there, as in poker."""
    spoken: tuple[tuple[str, ...], ...] | None
    """What each player's actions are called on the board as it is drawn, where players see it turned; else None."""
    searchable: bool
    """Whether `search` finds positions."""

    def reset(self, boards: Array, generators: Sequence[np.random.Generator]) -> None:
        """Begin anew on the boards (M,) int64, with a generator for each of the M, which it keeps for chance."""
        ...

    def to_move(self) -> Array:
        """Who is to move on each board: (B,) int64, -1 where the game is over."""
        ...

    def observe(self, boards: Array, players: Array) -> Array:
        """What players (M,) see of boards (M,): (M, …)."""
        ...

    def masks(self, boards: Array) -> Array:
        """The legal actions of who is to move on boards (M,): (M, n_actions) int8; all 0 where a game is over."""
        ...

    def apply(self, boards: Array, actions: Array) -> None:
        """One legal move on each of the boards (M,). Whoever is to move there makes it."""
        ...

    def returns(self, boards: Array) -> Array:
        """What each player has earned so far on boards (M,): (M, P) float64."""
        ...

    def cut(self, boards: Array) -> Array:
        """Which of boards (M,) whose game is over were cut off by a limit of the game's own: (M,) bool."""
        ...

    def search(self, board: int) -> Search | None:
        """The position as OpenSpiel's, to look ahead in; None where OpenSpiel has no twin of the game."""
        ...

    def text(self, board: int, player: int | None = None) -> str:
        """The board in lines of text, as a player sees it; None: one who sees what is hidden, too."""
        ...

    def picture(self, board: int, player: int | None = None) -> Array:
        """The board drawn, as a player sees it; None: one who sees what is hidden, too: (height, width, 3) uint8."""
        ...

    def get_state(self) -> dict[str, Array]:
        """All boards, as plain arrays; their generators are the caller's."""
        ...

    def set_state(self, state: dict[str, Array], generators: Sequence[np.random.Generator]) -> None:
        """Go on from what `get_state` returned, with one generator for each board."""
        ...
