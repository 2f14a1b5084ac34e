"""Objects that have nothing to do with the task: more to see, to walk around and to mistake.

Where: on an empty cell that the agent could come to, and only if all its neighbours that are not walls stay connected
with each other through the empty cells around it (or if it is a dead end). So a distractor never stands in a doorway or
a passage and never cuts off a door, an object or the goal: all that could be walked to can still be, past distractors
that are not touched. What is carried must also find a place to be put down: `solvable` plays the level through, and
where it does not come to its end, distractors are taken away again.

What: keys, balls and boxes with nothing in them, of every kind and colour that the level has not, and no key that opens
one of its doors. So what is to be picked up or fetched stays the only one of its kind and colour, and no distractor
helps.
"""

from typing import Any

import numpy as np

from envs.compiling import compiled
from envs.grid.cells import (
    BALL,
    BOX,
    COLOURS,
    DOOR,
    EMPTY,
    FLOOR,
    HELD_COLOUR,
    HELD_SHIFT,
    HOLDS_KEY,
    KEY,
    LAVA_KIND,
    LOCKED,
    NOTHING,
    WALL_KIND,
    X,
    Y,
    colour,
    kind,
    pack,
    state,
)
from envs.grid.chance import integer
from envs.grid.solvable import solvable

_SHUT, _OPEN, _TAKEN = range(3)
"""Of a cell: no way; empty; a way once it is opened or taken away, or the goal."""
_RING = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))
"""The eight cells around one, each beside the next. The even ones are its neighbours."""
_NEIGHBOURS = 0b01010101
_N_COLOURS = len(COLOURS)
_LOOKS = (BOX - KEY + 1) * _N_COLOURS
"""Kinds and colours in all."""


@compiled
def scatter(cells: Any, status: Any, obstacles: Any, chance: Any, which: Any, number: Any, ending: Any) -> None:
    """Add so many distractors to the worlds in `which`, or as many as there is room for. For worlds just begun.

    `ending` is the family's. Only `cells` and `chance` are changed.
    """
    width = cells.shape[2]
    ways = np.empty(cells.shape[1:], np.uint8)
    found, taken = np.empty(ways.size, np.int64), np.empty(ways.size, np.int64)
    for env in which:
        world, row, luck = cells[env], status[env], chance[env]
        _explore(world, row, ways, found)
        looks = _strange(world)
        added = 0
        while added < number:
            spared = _find_spared(world, row, ways, found)
            if spared == 0 or looks == 0:
                break
            place = found[integer(luck, 0, spared)]
            look = _member(luck, looks)
            world[place // width, place % width] = pack(KEY + look // _N_COLOURS, look % _N_COLOURS, 0)
            ways[place // width, place % width] = _SHUT
            taken[added] = place
            added += 1
        while added > 0 and not solvable(world, row, obstacles[env], ending):
            added -= 1
            world[taken[added] // width, taken[added] % width] = EMPTY


@compiled
def _explore(world: Any, row: Any, ways: Any, order: Any) -> Any:
    """Fill `ways` with what each cell is to an agent that opens and takes away what it likes: _SHUT where it cannot be.

    `order` is room for as many cells as there are.
    """
    height, width = world.shape
    ways[:] = _SHUT
    ways[row[Y], row[X]] = _OPEN
    order[0], reached, done = row[Y] * width + row[X], 1, 0
    while done < reached:
        y, x = order[done] // width, order[done] % width
        done += 1
        for dx, dy in _RING[::2]:
            u, v = x + dx, y + dy
            if 0 <= u < width and 0 <= v < height and ways[v, u] == _SHUT:
                what = kind(world[v, u])
                if what not in (WALL_KIND, LAVA_KIND):
                    ways[v, u] = _OPEN if what in (NOTHING, FLOOR) else _TAKEN
                    order[reached] = v * width + u
                    reached += 1


@compiled
def _strange(world: Any) -> Any:
    """A bit for each kind and colour that the level has not, and that opens none of its doors."""
    looks = (1 << _LOOKS) - 1
    for cell in world.reshape(-1):
        what = kind(cell)
        if what == DOOR and state(cell) == LOCKED:
            looks &= ~(1 << colour(cell))
        elif what in (KEY, BALL, BOX):
            looks &= ~(1 << ((what - KEY) * _N_COLOURS + colour(cell)))
            if cell & HOLDS_KEY:
                looks &= ~(1 << ((cell & HELD_COLOUR) >> HELD_SHIFT))
    return looks


@compiled
def _member(luck: Any, bits: Any) -> Any:
    """One of the bits that are set, each as likely."""
    count = 0
    for bit in range(_LOOKS):
        count += bits >> bit & 1
    chosen = integer(luck, 0, count)
    for bit in range(_LOOKS):
        if bits >> bit & 1:
            if chosen == 0:
                return bit
            chosen -= 1
    return -1


@compiled
def _find_spared(world: Any, row: Any, ways: Any, found: Any) -> Any:
    """Fill `found` with the places, y times the width plus x, of the cells that can be spared; how many."""
    height, width = world.shape
    count = 0
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            if _spared(world, row, ways, x, y):
                found[count] = y * width + x
                count += 1
    return count


@compiled
def _spared(world: Any, row: Any, ways: Any, x: Any, y: Any) -> Any:
    """Whether the cell is empty and its neighbours need it neither to come to each other nor to be come to.

    They do not if there are fewer than two, or if one unbroken row of empty cells around it holds or touches all of
    them.
    """
    if ways[y, x] != _OPEN or world[y, x] != EMPTY or (x == row[X] and y == row[Y]):
        return False
    empty = needed = 0
    for place in range(8):
        way = ways[y + _RING[place][1], x + _RING[place][0]]
        empty |= (way == _OPEN) << place
        needed |= (way != _SHUT) << place
    needed &= _NEIGHBOURS
    if empty == 0xFF or needed & (needed - 1) == 0:
        return True
    for first in range(8):
        if empty >> first & 1 and not empty >> (first + 7) % 8 & 1:
            held = 1 << (first + 7) % 8
            place = first
            while empty >> place & 1:
                held |= 1 << place
                place = (place + 1) % 8
            held |= 1 << place
            if needed & ~held == 0:
                return True
    return False
