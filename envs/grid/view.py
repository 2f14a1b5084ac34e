"""What an agent sees: a square of the world ahead of it, turned so that it looks up, as MiniGrid's partial view.

A row of the view is worked on as the bits of an integer, bit i for column i: which cells let light through, and which
are lit. MiniGrid lets light spread along a row, to the right and then to the left, and from each cell it passes to the
row ahead, straight and to the side it came along; so one addition or a few shifts do for a whole row.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.compiling import compiled
from envs.grid.cells import (
    CARRYING,
    CLOSED,
    COLOUR_SHIFT,
    DIRECTION,
    DOOR,
    DOWN,
    LEFT,
    LOOK,
    RIGHT,
    STATE_SHIFT,
    WALL,
    WALL_KIND,
    X,
    Y,
)

Array = npt.NDArray[Any]

LARGEST = 61
"""The largest view whose rows fit an integer."""

_CLEAR = 24
"""The bit of a code that says light passes; below it are the three bytes that are seen."""
_SEEN = np.uint32(0xFFFFFF)


def codes(kinds: Sequence[int], colours: Sequence[int]) -> Array:
    """(512,) uint32, for each cell's bits that can be seen: the three bytes shown, and whether light passes.

    Args:
        kinds: what is shown for each kind, (11,).
        colours: what is shown for each colour, (6,).
    """
    bits = np.arange(LOOK + 1)
    kind, colour, state = bits & 15, bits >> COLOUR_SHIFT & 7, bits >> STATE_SHIFT & 3
    shown = np.zeros((LOOK + 1, 4), dtype=np.uint8)
    shown[:, 0] = np.resize(kinds, 16)[kind]
    shown[:, 1] = np.where(kind >= WALL_KIND, np.resize(colours, 8)[colour], 0)
    shown[:, 2] = state
    shown[:, 3] = (kind != WALL_KIND) & ~((kind == DOOR) & (state >= CLOSED))
    return shown.view(np.uint32).ravel()


def blank(count: int, view: int) -> tuple[Array, Array]:
    """Memory for `count` images: as (count, view, view, 3) uint8, and as `observe` writes it.

    A cell is written as a word of four bytes, the fourth of which the next cell overwrites; so the memory has a byte
    more than the images need.
    """
    size = view * view
    memory = np.empty(count * size * 3 + 1, dtype=np.uint8)
    words: Array = np.ndarray((count, size), np.uint32, memory, strides=(size * 3, 3))
    return memory[:-1].reshape(count, view, view, 3), words


@compiled
def observe(cells: Any, status: Any, which: Any, view: Any, see_through: Any, table: Any, words: Any) -> None:
    """Write what the agents of the environments in `which` see.

    Args:
        cells, status: the worlds.
        which: (n,) int64.
        view: the square's side.
        see_through: whether walls hide nothing.
        table: of `codes`.
        words: of `blank`, for n images.
    """
    height, width = cells.shape[1], cells.shape[2]
    flat = cells.reshape(cells.shape[0], height * width)
    half, last, own = view // 2, view * view - 1, (view // 2) * view + view - 1
    full = (1 << view) - 1
    wall = table[WALL]
    square = np.empty(view * view, dtype=np.uint32)
    for place in range(len(which)):
        e = which[place]
        x, y, direction = np.int64(status[e, X]), np.int64(status[e, Y]), status[e, DIRECTION]
        if direction == RIGHT:
            ahead, to_left, to_right, forward, sideways = width - 1 - x, y, height - 1 - y, 1, width
        elif direction == DOWN:
            ahead, to_left, to_right, forward, sideways = height - 1 - y, width - 1 - x, x, width, -1
        elif direction == LEFT:
            ahead, to_left, to_right, forward, sideways = x, height - 1 - y, y, -1, -width
        else:
            ahead, to_left, to_right, forward, sideways = y, x, width - 1 - x, -width, 1
        first, stop = max(0, half - to_left), min(view, half + to_right + 1)
        start = y * width + x - half * sideways
        lit = 1 << half
        for depth in range(view):
            j = view - 1 - depth
            clear = 0
            if depth > ahead:
                for i in range(view):
                    square[i * view + j] = wall
            else:
                for i in range(first):
                    square[i * view + j] = wall
                for i in range(stop, view):
                    square[i * view + j] = wall
                for i in range(first, stop):
                    code = table[flat[e, start + i * sideways] & LOOK]
                    square[i * view + j] = code
                    clear |= np.int64(code >> _CLEAR) << i
            if not see_through:
                lit, above = spread(lit, clear, full)
                for i in range(view):
                    if not (lit >> i) & 1:
                        square[i * view + j] = 0
                lit = above
            start += forward
        square[own] = table[status[e, CARRYING] & LOOK]
        for cell in range(last):
            words[place, cell] = square[cell]
        words[place, last] = (words[place, last] & ~_SEEN) | (square[last] & _SEEN)


@compiled
def spread(lit: Any, clear: Any, full: Any) -> Any:
    """The lit cells of a row, and which of them light the row ahead, as bits.

    Args:
        lit: what the row behind lights.
        clear: the cells that let light through.
        full: all cells.
    """
    source = lit & clear
    right = ((clear & ~(clear + source)) | source) & (full >> 1)
    lit |= right << 1
    left, through = lit & clear, clear
    for shift in (1, 2, 4, 8, 16, 32):
        left |= through & (left >> shift)
        through &= through >> shift
    left &= ~1
    return lit | (left >> 1), right | (right << 1) | left | (left >> 1)
