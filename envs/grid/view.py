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

_SHOWN = np.uint32(0xFFFFFF00)
_LAST_BYTE = np.uint32(24)


def codes(kinds: Sequence[int], colours: Sequence[int]) -> Array:
    """(512,) uint32, for each cell's bits that can be seen: whether light passes, and the three bytes shown.

    Args:
        kinds: what is shown for each kind, (11,).
        colours: what is shown for each colour, (6,).
    """
    bits = np.arange(LOOK + 1)
    kind, colour, state = bits & 15, bits >> COLOUR_SHIFT & 7, bits >> STATE_SHIFT & 3
    shown = np.zeros((LOOK + 1, 4), dtype=np.uint8)
    shown[:, 1] = np.resize(kinds, 16)[kind]
    shown[:, 2] = np.where(kind >= WALL_KIND, np.resize(colours, 8)[colour], 0)
    shown[:, 3] = state
    shown[:, 0] = (kind != WALL_KIND) & ~((kind == DOOR) & (state >= CLOSED))
    return shown.view(np.uint32).ravel()


def blank(count: int, view: int) -> tuple[Array, Array]:
    """Memory for `count` images: as (count, view, view, 3) uint8, and as `observe` writes it.

    A cell is written as a word of four bytes, its own three and before them the last byte of the cell before, which is
    written later; so the memory has a byte more than the images need.
    """
    size = view * view
    memory = np.empty(count * size * 3 + 1, dtype=np.uint8)
    words: Array = np.ndarray((count, size), np.uint32, memory, strides=(size * 3, 3))
    return memory[1:].reshape(count, view, view, 3), words


@compiled
def observe(cells: Any, status: Any, which: Any, columns: Any, see_through: Any, table: Any, words: Any) -> None:
    """Write what the agents of the environments in `which` see.

    Args:
        cells, status: the worlds.
        which: (n,) int64.
        columns: a tuple, one entry a column of the view: so the compiler knows how many there are.
        see_through: whether walls hide nothing.
        table: of `codes`.
        words: of `blank`, for n images.
    """
    height, width = cells.shape[1], cells.shape[2]
    flat = cells.reshape(cells.shape[0], height * width)
    view = len(columns)
    half, full = view // 2, (1 << view) - 1
    row = np.empty(view, dtype=np.uint32)
    nearest = np.empty(view, dtype=np.uint32)
    last = np.uint32(0)
    wall = table[WALL]
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
        first: Any = max(0, half - to_left)
        stop: Any = min(view, half + to_right + 1)
        start = y * width + x - half * sideways
        lit = full if see_through else 1 << half
        for j in range(view - 1, -1, -1):
            clear: Any = 0
            if lit:
                for i in range(view):
                    inside = (first <= i) & (i < stop) & (view - 1 - j <= ahead)
                    code = table[flat[e, np.uintp(start + i * sideways if inside else 0)] & LOOK]
                    row[i] = code if inside else wall
                    clear |= np.int64(row[i] & 1) << i
                start += forward
            above = full
            if not see_through:
                lit, above = spread(lit, clear, view)
            if j == view - 1:
                row[half] = table[status[e, CARRYING] & LOOK]
            for i in range(view):
                row[i] = row[i] & _SHOWN if lit >> i & 1 else np.uint32(0)
            if j == 0:
                row[0] |= last
                for i in range(1, view):
                    row[i] |= nearest[i - 1]
            if j == view - 1:
                for i in range(view):
                    nearest[i] = row[i] >> _LAST_BYTE
            for i in range(view):
                words[place, np.uintp(i * view + j)] = row[i]
            lit = above
        last = nearest[view - 1]


@compiled
def spread(lit: Any, clear: Any, view: Any) -> Any:
    """The lit cells of a row, and which cells they light in the row ahead, as bits.

    Args:
        lit: what the row behind lights.
        clear: the cells that let light through.
        view: how many cells.
    """
    source = lit & clear
    right = ((clear & ~(clear + source)) | source) & ((1 << (view - 1)) - 1)
    lit |= right << 1
    left, through = lit & clear, clear
    shift = 1
    while shift < view:
        left |= through & (left >> shift)
        through &= through >> shift
        shift *= 2
    left &= ~1
    return lit | (left >> 1), right | (right << 1) | left | (left >> 1)
