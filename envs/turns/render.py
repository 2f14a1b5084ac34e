"""Boards in pictures and in text: stones on squares or hexagons, cells named, the last move and winning line marked."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from envs.fonts import font

Array = npt.NDArray[Any]
Cell = tuple[int, int]

TILE = 48
"""Pixels a side of a cell."""
MARGIN = 28
"""Pixels around the board, where rows and columns are named."""
PAPER, INK, BOARD, EMPTY = (255, 255, 255), (27, 36, 48), (226, 214, 188), (205, 190, 158)
STONE = {1: (32, 32, 36), 2: (250, 250, 246)}
"""The first player's stones are dark, the second's light, which one can tell in grey."""
SIGN = (214, 69, 45)
"""What marks the last move and the winning line."""


def board(
    stones: Array,
    last: Cell | None = None,
    line: Iterable[Cell] = (),
    *,
    slanted: bool = False,
    numbered: bool = False,
) -> Array:
    """A board as pixels, (height, width, 3) uint8.

    Args:
        stones: (H, W), 0 for an empty cell, 1 and 2 for the players' stones.
        last: where the last move was made, marked by a dot.
        line: cells to ring, such as the winning line.
        slanted: whether each row is half a cell further right than the one above, as in Hex.
        numbered: whether columns have numbers instead of letters, where actions name columns.
    """
    rows, columns = stones.shape
    width = columns * TILE + (rows - 1) * TILE // 2 * slanted
    image = Image.new("RGB", (width + 2 * MARGIN, rows * TILE + 2 * MARGIN), PAPER)
    draw = ImageDraw.Draw(image)
    rings = set(line)
    for row in range(rows):
        for column in range(columns):
            at = _place(row, column, slanted)
            _cell(draw, at, int(stones[row, column]), slanted)
            if (row, column) in rings:
                draw.ellipse(_disc(at, 0.46), outline=SIGN, width=4)
            if (row, column) == last:
                draw.ellipse(_disc(at, 0.11), fill=SIGN)
    _names(draw, _letters(columns, numbered), rows, slanted)
    if slanted:
        _sides(draw, rows, columns)
    return np.asarray(image)


def _place(row: int, column: int, slanted: bool) -> tuple[float, float]:
    """The middle of a cell, (x, y)."""
    return MARGIN + (column + 0.5 + row / 2 * slanted) * TILE, MARGIN + (row + 0.5) * TILE


def _disc(at: tuple[float, float], radius: float) -> tuple[float, float, float, float]:
    x, y, r = *at, radius * TILE
    return x - r, y - r, x + r, y + r


def _cell(draw: Any, at: tuple[float, float], stone: int, slanted: bool) -> None:
    x, y = at
    half = TILE / 2
    if slanted:
        corners = [(x, y - 0.62 * TILE), (x + half, y - 0.31 * TILE), (x + half, y + 0.31 * TILE)]
        corners += [(x, y + 0.62 * TILE), (x - half, y + 0.31 * TILE), (x - half, y - 0.31 * TILE)]
        draw.polygon(corners, fill=BOARD, outline=INK)
    else:
        draw.rectangle((x - half, y - half, x + half, y + half), fill=BOARD, outline=EMPTY)
    if stone:
        draw.ellipse(_disc(at, 0.38), fill=STONE[stone], outline=INK, width=2)


def _letters(columns: int, numbered: bool) -> list[str]:
    from envs.turns.views import cell

    return [str(column + 1) if numbered else cell(0, column, 1)[:-1] for column in range(columns)]


def _names(draw: Any, letters: list[str], rows: int, slanted: bool) -> None:
    """Names of columns below, numbers of rows on the left, counted from below."""
    for column, letter in enumerate(letters):
        x, y = _place(rows - 1, column, slanted)
        draw.text((x, y + TILE / 2 + MARGIN / 2), letter, INK, font(14), anchor="mm")
    for row in range(rows):
        x, y = _place(row, 0, slanted)
        draw.text((x - TILE / 2 - MARGIN / 2, y), str(rows - row), INK, font(14), anchor="mm")


def _sides(draw: Any, rows: int, columns: int) -> None:
    """The sides of Hex in the colours of who connects them: the first player's above and below."""
    first = [_place(row, column, True) for row, column in ((0, 0), (0, columns - 1))]
    below = [_place(row, column, True) for row, column in ((rows - 1, 0), (rows - 1, columns - 1))]
    for (left, right), shift in ((first, -0.62), (below, 0.62)):
        y = left[1] + shift * TILE
        draw.line((left[0], y, right[0], y), fill=INK, width=5)
    for side, shift in ((0, -0.62), (1, 0.62)):
        x = shift * TILE
        draw.line((first[side][0] + x, first[side][1], below[side][0] + x, below[side][1]), fill=EMPTY, width=5)


def text(stones: Array, *, slanted: bool = False, numbered: bool = False) -> str:
    """A board in lines of text: x for the first player's stones, o for the second's."""
    rows, columns = stones.shape
    width = len(str(rows))
    drawn = [
        f"{rows - row:{width}} " + " " * row * slanted + " ".join(".xo"[stone] for stone in stones[row])
        for row in range(rows)
    ]
    letters = _letters(columns, numbered)
    return "\n".join([*drawn, " " * (width + 1 + (rows - 1) * slanted) + " ".join(letters)])


def lines(text: str) -> Array:
    """Text as a picture, for games without a board: (height, width, 3) uint8."""
    rows = text.splitlines() or [""]
    width = max(font(16).getlength(row) for row in rows)
    image = Image.new("RGB", (int(width) + 2 * MARGIN, len(rows) * 24 + 2 * MARGIN), PAPER)
    draw = ImageDraw.Draw(image)
    for number, row in enumerate(rows):
        draw.text((MARGIN, MARGIN + 24 * number), row, INK, font(16))
    return np.asarray(image)


def in_a_row(stones: Array, count: int) -> set[Cell]:
    """The cells of all lines of `count` or more stones of one player."""
    return {cell for way in ((0, 1), (1, 0), (1, 1), (1, -1)) for cell in _along(stones, way, count)}


def _along(stones: Array, way: Cell, count: int) -> Iterable[Cell]:
    rows, columns = stones.shape

    def at(row: int, column: int) -> int:
        return int(stones[row, column]) if 0 <= row < rows and 0 <= column < columns else 0

    for row, column in np.argwhere(stones).tolist():
        run = [(row + step * way[0], column + step * way[1]) for step in range(count)]
        if all(at(*cell) == stones[row, column] for cell in run):
            yield from run
