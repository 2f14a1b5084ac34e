"""How OpenSpiel's tensors and actions become views that look the same from every seat.

A view picks entries of OpenSpiel's tensor, in another order for each player, so that own pieces come first and one
always plays in the same direction. The same turn is made with the actions. Rows are drawn from the top, columns from
the left; cells are named as in chess, column letter and row counted from the bottom: "a1" is the lower left corner.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.turns import cards
from envs.turns.games import Names

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class View:
    """What a game of OpenSpiel looks like to its players."""

    shape: tuple[int, ...]
    """Of one view: (H, W, P) planes or (k,) entries."""
    names: Names
    entries: Array
    """Which entries of the tensor, or of what is added to it, a player sees: (players, size of a view) int64."""
    ours: Array
    """What OpenSpiel's action is called for a player: (players, OpenSpiel's actions) int64, -1 for none."""
    n_actions: int
    empty: Array | None = None
    """Entries of the tensor that say what is legal, by our actions: (players, n_actions); None: ask OpenSpiel."""
    added: Callable[[Any], list[float]] | None = None
    """Entries that the tensor lacks, computed from a state; they follow the tensor's."""
    pieces: tuple[Array, ...] = ()
    """Entries of the tensor that show the pieces of player 0 and of player 1, for pictures: (H, W) each."""
    last: Callable[[int], tuple[int, int] | None] | None = None
    """Which cell (row, column) OpenSpiel's action ends on, for pictures; None: the topmost of the action's column."""
    wins: int | None = None
    """How many in a row win, for pictures."""
    spoken: tuple[tuple[str, ...], ...] | None = None
    """What each player's actions are called on the board as it is drawn, where players see it turned."""
    slanted: bool = False
    """Whether cells are hexagons in slanting columns, for pictures."""
    table: cards.Laid | None = None
    """The table of a game of cards, for pictures."""


def cell(row: int, column: int, rows: int) -> str:
    """The name of a cell, rows counted from the top: (5, 0) of 6 rows is "a1"."""
    letters = ""
    number = column + 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return f"{letters}{rows - row}"


def _planes(*planes: Array) -> Array:
    """Entries of planes (H, W) each, channels last and flat."""
    return np.stack(planes, axis=-1).ravel()


def _tensor(planes: int, rows: int, columns: int) -> Array:
    """The entries of OpenSpiel's tensor of planes: (planes, rows, columns)."""
    return np.arange(planes * rows * columns).reshape(planes, rows, columns)


STONES = ("mine", "theirs")


def connect_four(rows: int, columns: int, in_a_row: int) -> View:
    """OpenSpiel counts rows from the bottom; planes are player 0's, player 1's and the empty cells."""
    first, second, empty = _tensor(3, rows, columns)[:, ::-1]
    return View(
        (rows, columns, 2),
        Names(
            STONES,
            tuple(f"column {number + 1}" for number in range(columns)),
            ("end", "centre"),
            tuple((None, column) for column in range(columns)),
        ),
        np.stack([_planes(first, second), _planes(second, first)]),
        np.tile(np.arange(columns), (2, 1)),
        columns,
        np.tile(empty[0], (2, 1)),
        pieces=(first, second),
        wins=in_a_row,
    )


def _of_cells(rows: int, columns: int, first: Array, second: Array, empty: Array) -> View:
    """A game in which one puts a stone on an empty cell; action = cell, in the tensor's own order."""
    cells = [(row, column) for row in range(rows) for column in range(columns)]
    return View(
        (rows, columns, 2),
        Names(STONES, tuple(cell(row, column, rows) for row, column in cells), cells=tuple(cells)),
        np.stack([_planes(first, second), _planes(second, first)]),
        np.tile(np.arange(rows * columns), (2, 1)),
        rows * columns,
        np.tile(empty.ravel(), (2, 1)),
        pieces=(first, second),
        last=lambda action: divmod(action, columns),
    )


def mnk(rows: int, columns: int, in_a_row: int) -> View:
    """Tic-tac-toe and m,n,k-games: planes are the empty cells, player 1's (o) and player 0's (x)."""
    empty, second, first = _tensor(3, rows, columns)
    return replace(_of_cells(rows, columns, first, second, empty), wins=in_a_row)


def hex_(size: int) -> View:
    """Hex: the second player sees the board transposed, so that one always connects top and bottom.

    With `plain_obs_tensor`, planes are player 0's, player 1's and the empty cells.
    """
    first, second, empty = _tensor(3, size, size)
    plain = _of_cells(size, size, first, second, empty)
    turned, names = np.arange(size * size).reshape(size, size).T.ravel(), plain.names.actions or ()
    return replace(
        plain,
        entries=np.stack([_planes(first, second), _planes(second.T, first.T)]),
        ours=np.stack([plain.ours[0], turned]),
        empty=np.stack([empty.ravel(), empty.T.ravel()]),
        spoken=(names, tuple(names[action] for action in turned.tolist())),
        slanted=True,
    )


def othello() -> View:
    """Othello: planes are the empty cells, the looking player's and the other's. The last action passes."""
    size = 8
    _, mine, theirs = _tensor(3, size, size)
    cells = [(row, column) for row in range(size) for column in range(size)]
    return View(
        (size, size, 2),
        Names(STONES, (*(cell(*at, size) for at in cells), "pass"), cells=(*cells, None)),
        np.tile(_planes(mine, theirs), (2, 1)),
        np.tile(np.arange(size * size + 1), (2, 1)),
        size * size + 1,
        pieces=(mine, theirs),
        last=lambda action: divmod(action, size) if action < size * size else None,
    )


def breakthrough(rows: int, columns: int) -> View:
    """Breakthrough: player 0 starts above and sees the board turned by half a turn, so that one always moves up.

    OpenSpiel's action is (row, column, direction of 6, captures or not); ours is (row, column, direction of 3).
    """
    first, second, _ = _tensor(3, rows, columns)
    theirs = np.full(rows * columns * 12, -1)
    ours = np.stack([theirs, theirs.copy()])
    for row in range(rows):
        for column in range(columns):
            for way in range(3):  # down-left, down, down-right for player 0; up-left, up, up-right for player 1
                at = (row * columns + column) * 12
                turned = ((rows - 1 - row) * columns + (columns - 1 - column)) * 3 + (2 - way)
                ours[0, at + way * 2 : at + way * 2 + 2] = turned
                ours[1, at + (way + 3) * 2 : at + (way + 3) * 2 + 2] = (row * columns + column) * 3 + way
    cells = [(row, column) for row in range(rows) for column in range(columns) for _ in range(3)]
    ways = ("up-left", "up", "up-right") * (rows * columns)
    names = tuple(f"{cell(*at, rows)} {way}" for at, way in zip(cells, ways, strict=True))
    back = ("down-right", "down", "down-left") * (rows * columns)
    turned_names = tuple(
        f"{cell(rows - 1 - row, columns - 1 - column, rows)} {way}"
        for (row, column), way in zip(cells, back, strict=True)
    )
    return View(
        (rows, columns, 2),
        Names(STONES, names, cells=tuple(cells)),
        np.stack([_planes(first[::-1, ::-1], second[::-1, ::-1]), _planes(second, first)]),
        ours,
        rows * columns * 3,
        spoken=(turned_names, names),
        pieces=(first, second),
        last=lambda action: _landing(action, columns),
    )


def _landing(action: int, columns: int) -> tuple[int, int]:
    """The cell that a pawn reaches by OpenSpiel's action."""
    row, column, way = action // 12 // columns, action // 12 % columns, action // 2 % 6
    return row + (1 if way < 3 else -1), column + way % 3 - 1


def go(size: int) -> View:
    """Go: two more planes are all 1 where who moves gets the komi, and where the other has just passed.

    OpenSpiel counts rows from the bottom.
    """
    first, second, _, _ = _tensor(4, size, size)[:, ::-1]
    end = 4 * size * size
    zero, one, passed = (np.full((size, size), end + index) for index in range(3))
    cells = [(row, column) for row in range(size) for column in range(size)]
    turned = np.append(np.arange(size * size).reshape(size, size)[::-1].ravel(), size * size)

    def added(state: Any) -> list[float]:
        history = state.history()
        return [0.0, 1.0, float(bool(history) and history[-1] == size * size)]

    return View(
        (size, size, 4),
        Names(
            (*STONES, "komi_is_mine", "other_passed"),
            (*(cell(*at, size) for at in cells), "pass"),
            cells=(*cells, None),
        ),
        np.stack([_planes(first, second, zero, passed), _planes(second, first, one, passed)]),
        np.tile(turned, (2, 1)),
        size * size + 1,
        added=added,
        pieces=(first, second),
        last=lambda action: (size - 1 - action // size, action % size) if action < size * size else None,
    )


def _of_cards(features: tuple[str, ...], actions: tuple[str, ...], table: cards.Laid) -> View:
    """Poker: OpenSpiel's information state, which says itself who looks."""
    return View(
        (len(features),),
        Names(features, actions),
        np.tile(np.arange(len(features)), (2, 1)),
        np.tile(np.arange(len(actions)), (2, 1)),
        len(actions),
        table=table,
    )


def kuhn() -> View:
    """Kuhn poker: who one is, one's card, and what was said in each of three turns."""
    said = [f"turn {turn}: {what}" for turn in (1, 2, 3) for what in ("pass", "bet")]
    return _of_cards(("first", "second", "jack", "queen", "king", *said), ("pass", "bet"), cards.kuhn)


def leduc() -> View:
    """Leduc poker: who one is, one's card, the card on the table, and what was said in two rounds of four turns."""
    names = [f"{rank} of {suit}" for rank in cards.RANKS for suit in cards.SUITS]
    said = [
        f"round {round_}, turn {turn}: {what}"
        for round_ in (1, 2)
        for turn in (1, 2, 3, 4)
        for what in ("call", "raise")
    ]
    table = [f"table: {name}" for name in names]
    return _of_cards(("first", "second", *names, *table, *said), ("fold", "call", "raise"), cards.leduc)
