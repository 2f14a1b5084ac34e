"""What all level generators do: begin with bare walls, find a free cell, put an object or the agent there.

A generator fills one world at a time: `world` is its cells (height, width), `row` its status, `luck` its row of chance.
Rectangles are [left, right) × [top, bottom).
"""

from typing import Any

import numpy as np

from envs.compiling import compiled
from envs.grid.cells import CARRYING, DIRECTION, EMPTY, WALL, X, Y
from envs.grid.chance import integer, shuffle

_DRAWS = 100
"""After so many cells in vain the free ones are counted and one of them is drawn."""


@compiled
def bare(world: Any, row: Any) -> Any:
    """An empty world without walls, its agent nowhere yet."""
    world[:] = EMPTY
    row[:] = 0
    row[X] = row[Y] = -1
    row[CARRYING] = EMPTY


@compiled
def walls(world: Any, left: Any, top: Any, right: Any, bottom: Any) -> Any:
    """Walls along the inside of the rectangle's edge."""
    world[top, left:right] = WALL
    world[bottom - 1, left:right] = WALL
    world[top:bottom, left] = WALL
    world[top:bottom, right - 1] = WALL


@compiled
def walled(world: Any, row: Any) -> Any:
    """An empty world with walls around it, its agent nowhere yet."""
    bare(world, row)
    walls(world, 0, 0, world.shape[1], world.shape[0])


@compiled
def _free_cell(world: Any, row: Any, luck: Any, left: Any, top: Any, right: Any, bottom: Any) -> Any:
    """x and y, uniform among the rectangle's empty cells where no agent stands; (-1, -1) if there is none."""
    for _ in range(_DRAWS):
        x = integer(luck, left, right)
        y = integer(luck, top, bottom)
        if _free(world, row, x, y):
            return x, y
    free = 0
    for y in range(top, bottom):
        for x in range(left, right):
            free += _free(world, row, x, y)
    if free:
        wanted = integer(luck, 0, free)
        for y in range(top, bottom):
            for x in range(left, right):
                if _free(world, row, x, y):
                    if wanted == 0:
                        return x, y
                    wanted -= 1
    return -1, -1


@compiled
def _free(world: Any, row: Any, x: Any, y: Any) -> Any:
    return world[y, x] == EMPTY and not (x == row[X] and y == row[Y])


@compiled
def place(world: Any, row: Any, luck: Any, cell: Any, left: Any, top: Any, right: Any, bottom: Any) -> Any:
    """Put the cell onto a free one of the rectangle; x and y, (-1, -1) if there is none."""
    x, y = _free_cell(world, row, luck, np.int64(left), np.int64(top), np.int64(right), np.int64(bottom))
    if x >= 0:
        world[y, x] = cell
    return x, y


@compiled
def place_agent(world: Any, row: Any, luck: Any, left: Any, top: Any, right: Any, bottom: Any) -> Any:
    """Stand the agent on a free cell of the rectangle, turned anywhere."""
    row[X] = row[Y] = -1
    row[X], row[Y] = _free_cell(world, row, luck, np.int64(left), np.int64(top), np.int64(right), np.int64(bottom))
    row[DIRECTION] = integer(luck, 0, 4)


@compiled
def stand_at(world: Any, row: Any, luck: Any, p: Any) -> Any:
    """The agent where p says: x, y and direction, or anywhere if x is -1."""
    if p[0] < 0:
        place_agent(world, row, luck, 0, 0, world.shape[1], world.shape[0])
    else:
        row[X], row[Y], row[DIRECTION] = p[0], p[1], p[2]


@compiled
def shuffled_colours(luck: Any, colours: Any) -> Any:
    """All six colours in any order into `colours` (6,)."""
    for colour in range(len(colours)):
        colours[colour] = colour
    shuffle(luck, colours)
