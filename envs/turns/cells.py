"""Which cells of a board its actions name, read from their names: "b3", "b3 up-left", "column 2"."""

import re

from envs.interface import Cells
from envs.turns.games import Names

_CELL = re.compile(r"([a-z]+)(\d+)(?: .+)?")
_COLUMN = re.compile(r"column (\d+)")


def cells_of(names: Names, shape: tuple[int, ...]) -> tuple[Cells | None, ...] | None:
    """For each action (row, column) from the upper left, None for one without a cell; None if no action has one.

    Args:
        names: cells are called as in chess, by a column's letter and a row counted from the bottom.
        shape: of a view; only planes (H, W, P) have cells.
    """
    if names.actions is None or len(shape) != 3:
        return None
    found = tuple(_cell(name, shape[0], shape[1]) for name in names.actions)
    return found if any(cells is not None for cells in found) else None


def _cell(name: str, rows: int, columns: int) -> Cells | None:
    column = _COLUMN.fullmatch(name)
    if column is not None:
        return (None, int(column[1]) - 1)
    cell = _CELL.fullmatch(name)
    if cell is None:
        return None
    letters = 0
    for letter in cell[1]:
        letters = 26 * letters + ord(letter) - ord("a") + 1
    row, at = rows - int(cell[2]), letters - 1
    return (row, at) if 0 <= row < rows and at < columns else None
