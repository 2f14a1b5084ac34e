"""OpenSpiel's twins of games that others keep the rules of, so that searches can look ahead in them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from envs.turns.games import Search


class Twin:
    """The same rules in OpenSpiel.

    Args:
        game: its name and sizes there, as `pyspiel.load_game` takes them.
        theirs: OpenSpiel's action for each of ours.
    """

    def __init__(self, game: str, theirs: Sequence[int]) -> None:
        self.game, self.theirs = game, tuple(theirs)
        self._ours = np.tile(np.argsort(self.theirs), (2, 1))

    def position(self, moves: Sequence[int]) -> Search:
        """The position after some of our moves."""
        import pyspiel

        from envs.turns.openspiel import Position

        state: Any = pyspiel.load_game(self.game).new_initial_state()
        for move in moves:
            state.apply_action(self.theirs[move])
        return Position(state, self._ours)


_CONNECT_FOUR, _TIC_TAC_TOE = Twin("connect_four", range(7)), Twin("tic_tac_toe", range(9))

TWINS: Mapping[str, Twin] = {
    "pettingzoo.classic.connect_four.connect_four:env": _CONNECT_FOUR,
    "pettingzoo.classic.connect_four_v3:env": _CONNECT_FOUR,
    "pettingzoo.classic.tictactoe.tictactoe:env": _TIC_TAC_TOE,
    "pettingzoo.classic.tictactoe_v3:env": _TIC_TAC_TOE,
}
"""By the entry point of the game they are twins of, whose arguments do not change its rules."""
