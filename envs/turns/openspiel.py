"""OpenSpiel's board and card games in batches (Lanctot et al. 2019, https://arxiv.org/abs/1908.09453)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyspiel
from gymnasium import spaces
from open_spiel.python.observation import make_observation

from envs.errors import ConfigError
from envs.turns import cards, render, views
from envs.turns.games import OVER
from envs.turns.views import View

Array = npt.NDArray[Any]

PERFECT = pyspiel.GameType.Information.PERFECT_INFORMATION
NOBODY = -1
_REMEMBERS = {"perfect_recall": True, "public_info": True, "private_info": pyspiel.PrivateInfoType.SINGLE_PLAYER}


class OpenSpielGames:
    """B boards of a game of OpenSpiel, see `envs.turns.games.TurnGames`.

    Args:
        name: what to call it.
        game: `pyspiel.Game`, in which players take turns.
        view: how its tensors and actions look from each seat.
        n_boards: how many boards.
    """

    def __init__(self, name: str, game: Any, view: View, n_boards: int) -> None:
        self.name, self.game, self.view = name, game, view
        self.n_boards = n_boards
        self.n_players: int = game.num_players()
        self.n_actions = view.n_actions
        self.names, self.spoken = view.names, view.spoken
        self.hidden, self.searchable = game.get_type().information != PERFECT, True
        dtype = np.float32 if self.hidden else np.uint8
        self.observation_space = spaces.Box(0, 1, view.shape, dtype)
        self._observer = make_observation(game, pyspiel.IIGObservationType(**_REMEMBERS) if self.hidden else None)
        self._size: int = self._observer.tensor.size
        self._to_move = np.full(n_boards, OVER, dtype=np.int64)
        self._generators: list[np.random.Generator] = [np.random.default_rng(0)] * n_boards
        self._theirs = [_inverse(row, view.n_actions) for row in view.ours]
        more = 0 if view.added is None else len(view.added(game.new_initial_state()))
        self._held = np.zeros((n_boards, self._size + more), dtype=np.float32)
        """The tensors last asked for: (B, size)."""
        self._looked = np.full(n_boards, NOBODY, dtype=np.int64)
        """Who looks in the tensor that is held of each board: (B,)."""
        self.states: list[Any] = [game.new_initial_state() for _ in range(n_boards)]

    def reset(self, boards: Array, generators: Sequence[np.random.Generator]) -> None:
        """Begin anew on the boards (M,), with a generator each for chance."""
        for board, generator in zip(boards.tolist(), generators, strict=True):
            self._generators[board] = generator
            self.states[board] = self.game.new_initial_state()
            self._settle(board)

    def to_move(self) -> Array:
        """Who is to move on each board: (B,) int64, -1 where the game is over."""
        return self._to_move.copy()

    def observe(self, boards: Array, players: Array) -> Array:
        """What players (M,) see of boards (M,): (M, …)."""
        entries = self.view.entries[players]
        seen = np.take_along_axis(self._tensors(boards, players), entries, axis=1)
        return seen.astype(self.observation_space.dtype).reshape(len(boards), *self.view.shape)

    def masks(self, boards: Array) -> Array:
        """The legal actions of who is to move: (M, n_actions) int8; all 0 where a game is over."""
        masks = np.zeros((len(boards), self.n_actions), dtype=np.int8)
        movers = self._to_move[boards]
        if self.view.empty is not None:
            playing = np.flatnonzero(movers != OVER)
            players = movers[playing]
            tensors = self._tensors(boards[playing], players)
            masks[playing] = np.take_along_axis(tensors, self.view.empty[players], axis=1)
            return masks
        for row, board, player in zip(masks, boards.tolist(), movers.tolist(), strict=True):
            if player != OVER:
                row[self.view.ours[player][self.states[board].legal_actions()]] = 1
        return masks

    def apply(self, boards: Array, actions: Array) -> None:
        """One legal move on each of the boards (M,)."""
        for board, action in zip(boards.tolist(), actions.tolist(), strict=True):
            state = self.states[board]
            theirs = self._theirs[self._to_move[board]][action]
            state.apply_action(theirs[0] if len(theirs) == 1 else _legal(state, theirs))
            self._settle(board)

    def returns(self, boards: Array) -> Array:
        """What each player has earned so far: (M, P) float64."""
        return np.array([self.states[board].returns() for board in boards.tolist()]).reshape(-1, self.n_players)

    def cut(self, boards: Array) -> Array:
        """None: where OpenSpiel ends a game that goes on for too long, that is one of its rules."""
        return np.zeros(len(boards), dtype=bool)

    def search(self, board: int) -> "Position":
        """A copy of the position, to look ahead in."""
        return Position(self.states[board].clone(), self.view.ours)

    def text(self, board: int, player: int | None = None) -> str:
        """The board in lines; of cards what a player sees, or one who sees all (None)."""
        if self.view.table is not None:
            return cards.text(self._table(board, player))
        return render.text(self._stones(board), slanted=self.view.slanted, numbered=self.view.last is None)

    def picture(self, board: int, player: int | None = None) -> Array:
        """The board drawn, the last move and the winning line marked: (height, width, 3) uint8.

        Of cards what a player sees, or one who sees all (None).
        """
        view, state = self.view, self.states[board]
        if view.table is not None:
            return cards.picture(self._table(board, player))
        stones = self._stones(board)
        line = render.in_a_row(stones, view.wins) if view.wins and state.is_terminal() else ()
        return render.board(stones, self._last(state), line, slanted=view.slanted, numbered=view.last is None)

    def _table(self, board: int, player: int | None) -> cards.Table:
        """A table as a player sees it, or one who sees all."""
        state = self.states[board]
        assert self.view.table is not None
        return self.view.table(state).seen(player, over=state.is_terminal())

    def _stones(self, board: int) -> Array:
        """(H, W): 0 for an empty cell, 1 and 2 for the players' pieces."""
        tensor = self._tensors(np.array([board]), np.array([0]))[0]
        first, second = (tensor[entries] == 1 for entries in self.view.pieces)
        stones: Array = first + 2 * second
        return stones

    def _last(self, state: Any) -> tuple[int, int] | None:
        """The cell on which the last move ended."""
        history = state.history()
        if not history:
            return None
        if self.view.last is not None:
            return self.view.last(history[-1])
        column = history[-1]  # its topmost stone
        return self.view.shape[0] - history.count(column), column

    def get_state(self) -> dict[str, Array]:
        """All moves that were made, those of chance among them: of all boards in a row, and how many of each."""
        histories = [state.history() for state in self.states]
        return {
            "moves": np.array([move for history in histories for move in history], dtype=np.int64),
            "moves_made": np.array([len(history) for history in histories], dtype=np.int64),
            "begun": np.array([player != OVER or state.is_terminal() for player, state in self._players()]),
        }

    def set_state(self, state: dict[str, Array], generators: Sequence[np.random.Generator]) -> None:
        """Go on from what `get_state` returned, with one generator for each board."""
        self._generators = list(generators)
        ends = np.cumsum(state["moves_made"])
        for board, (end, made, begun) in enumerate(zip(ends, state["moves_made"], state["begun"], strict=True)):
            self.states[board], self._looked[board] = self.game.new_initial_state(), NOBODY
            for move in state["moves"][end - made : end].tolist():
                self.states[board].apply_action(move)
            self._to_move[board] = max(self.states[board].current_player(), OVER) if begun else OVER

    def _players(self) -> list[tuple[int, Any]]:
        return list(zip(self._to_move.tolist(), self.states, strict=True))

    def _settle(self, board: int) -> None:
        """Let chance move until a player is to move, or the game is over."""
        state = self.states[board]
        self._looked[board] = NOBODY
        player = state.current_player()
        while player == pyspiel.PlayerId.CHANCE:
            outcomes, chances = zip(*state.chance_outcomes(), strict=True)
            draw = np.searchsorted(np.cumsum(chances), self._generators[board].random(), side="right")
            state.apply_action(outcomes[min(int(draw), len(outcomes) - 1)])
            player = state.current_player()
        self._to_move[board] = player if player >= 0 else OVER

    def _tensors(self, boards: Array, players: Array) -> Array:
        """OpenSpiel's tensors, and what the view adds to them: (M, size) float32; each asked for once a ply."""
        stale = np.flatnonzero(self._looked[boards] != players)
        observer, added = self._observer, self.view.added
        for board, player in zip(boards[stale].tolist(), players[stale].tolist(), strict=True):
            observer.set_from(self.states[board], player)
            self._held[board, : self._size] = observer.tensor
            if added is not None:
                self._held[board, self._size :] = added(self.states[board])
        self._looked[boards] = players
        tensors: Array = self._held[boards]
        return tensors


class Position:
    """A copy of a board's state to look ahead in, see `envs.turns.games.Search`."""

    def __init__(self, state: Any, ours: Array) -> None:
        self.state = state
        self._ours = ours

    def ours(self, action: int) -> int:
        """The board's action for an action of the state."""
        return int(self._ours[self.state.current_player(), action])


def _inverse(ours: Array, n_actions: int) -> list[list[int]]:
    """For each of our actions those of OpenSpiel's that it may stand for."""
    theirs: list[list[int]] = [[] for _ in range(n_actions)]
    for action, our in enumerate(ours.tolist()):
        if our >= 0:
            theirs[our].append(action)
    return theirs


def _legal(state: Any, actions: list[int]) -> int:
    """The one of some actions that is legal."""
    legal = set(state.legal_actions())
    return next(action for action in actions if action in legal)


def _made(name: str, n_boards: int, parameters: dict[str, Any], view: View) -> OpenSpielGames:
    """Raises ConfigError if OpenSpiel does not take the parameters."""
    try:
        game = pyspiel.load_game(name, parameters)
        game.new_initial_state()
    except pyspiel.SpielError as error:
        raise ConfigError(f"OpenSpiel's {name} with {parameters}: {' '.join(str(error).split())}") from error
    return OpenSpielGames(name, game, view, n_boards)


def _size(name: str, found: Any, least: int, most: int) -> int:
    if type(found) is not int or not least <= found <= most:
        raise ConfigError(f"{name} is {found!r}: expected a whole number from {least} to {most}")
    return found


def connect_four(n_boards: int, rows: int = 6, columns: int = 7, in_a_row: int = 4) -> OpenSpielGames:
    """Connect four: stones fall to the bottom of a column; `in_a_row` of them win."""
    _size("rows", rows, 2, 30), _size("columns", columns, 2, 30), _size("in_a_row", in_a_row, 2, max(rows, columns))
    sizes = {"rows": rows, "columns": columns, "x_in_row": in_a_row}
    return _made("connect_four", n_boards, sizes, views.connect_four(rows, columns, in_a_row))


def tic_tac_toe(n_boards: int) -> OpenSpielGames:
    """Tic-tac-toe."""
    return _made("tic_tac_toe", n_boards, {}, views.mnk(3, 3, 3))


def mnk(n_boards: int, rows: int = 5, columns: int = 5, in_a_row: int = 4) -> OpenSpielGames:
    """An m,n,k-game: `in_a_row` stones in a line win."""
    _size("rows", rows, 1, 26), _size("columns", columns, 1, 26), _size("in_a_row", in_a_row, 2, max(rows, columns))
    return _made("mnk", n_boards, {"m": columns, "n": rows, "k": in_a_row}, views.mnk(rows, columns, in_a_row))


def hex_(n_boards: int, size: int = 5) -> OpenSpielGames:
    """Hex: who connects the own two sides wins; there are no draws."""
    sizes = {"board_size": _size("size", size, 2, 26), "plain_obs_tensor": True}
    return _made("hex", n_boards, sizes, views.hex_(size))


def othello(n_boards: int) -> OpenSpielGames:
    """Othello on 8x8."""
    return _made("othello", n_boards, {}, views.othello())


def breakthrough(n_boards: int, rows: int = 6, columns: int = 6) -> OpenSpielGames:
    """Breakthrough: whose pawn first reaches the other side wins."""
    sizes = {"rows": _size("rows", rows, 4, 26), "columns": _size("columns", columns, 2, 26)}
    return _made("breakthrough", n_boards, sizes, views.breakthrough(rows, columns))


def go(n_boards: int, size: int = 5, komi: float = 2.5) -> OpenSpielGames:
    """Go by Tromp-Taylor scoring; `komi` points go to the second player. OpenSpiel ends it after 2 size² plies."""
    if type(komi) not in (int, float):
        raise ConfigError(f"komi is {komi!r}: expected a number")
    return _made("go", n_boards, {"board_size": _size("size", size, 2, 19), "komi": float(komi)}, views.go(size))


def kuhn_poker(n_boards: int) -> OpenSpielGames:
    """Kuhn poker for two: three cards, one bet."""
    return _made("kuhn_poker", n_boards, {}, views.kuhn())


def leduc_poker(n_boards: int) -> OpenSpielGames:
    """Leduc poker for two: six cards, two rounds."""
    return _made("leduc_poker", n_boards, {}, views.leduc())
