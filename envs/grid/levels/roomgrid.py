"""Rooms in a grid: their walls, the doors between them, and what stands in them, as MiniGrid's RoomGrid has it.

Room (i, j) is the i-th from the left and j-th from the top, `size` cells wide and high with its walls, which it shares
with its neighbours. While rooms are filled MiniGrid's agent stands in the middle of the middle one, and no object is
put there or beside it; the agent is moved to its own room afterwards. Where MiniGrid draws until a cell suits, the
suitable ones are counted and one of them is drawn: as likely, and never endless.
"""

from typing import Any

from envs.compiling import compiled
from envs.grid.cells import DIRECTION, DOWN, EMPTY, LEFT, RIGHT, UP, WALL, X, Y
from envs.grid.chance import integer
from envs.grid.levels.placing import bare


@compiled
def bare_rooms(world: Any, row: Any, size: Any) -> Any:
    """Empty rooms without doors, the agent in the middle of the middle one."""
    bare(world, row)
    height, width = world.shape
    world[:: size - 1] = WALL
    world[:, :: size - 1] = WALL
    row[X] = width // (size - 1) // 2 * (size - 1) + size // 2
    row[Y] = height // (size - 1) // 2 * (size - 1) + size // 2


@compiled
def add_door(world: Any, luck: Any, size: Any, i: Any, j: Any, side: Any, cell: Any) -> Any:
    """A door anywhere in the wall on that side of room (i, j); its x and y."""
    x, y = i * (size - 1), j * (size - 1)
    along = integer(luck, 1, size - 1)
    if side in (RIGHT, LEFT):
        x, y = x + (size - 1 if side == RIGHT else 0), y + along
    else:
        x, y = x + along, y + (size - 1 if side == DOWN else 0)
    world[y, x] = cell
    return x, y


@compiled
def put(world: Any, row: Any, luck: Any, size: Any, i: Any, j: Any, cell: Any) -> Any:
    """Put the cell onto a free one of room (i, j), not beside the agent; its x and y, (-1, -1) if there is none."""
    left, top = i * (size - 1), j * (size - 1)
    free = 0
    for y in range(top, top + size):
        for x in range(left, left + size):
            free += _suits(world, row, x, y)
    chosen = integer(luck, 0, max(free, 1))
    for y in range(top, top + size):
        for x in range(left, left + size):
            if _suits(world, row, x, y):
                if chosen == 0:
                    world[y, x] = cell
                    return x, y
                chosen -= 1
    return -1, -1


@compiled
def _suits(world: Any, row: Any, x: Any, y: Any) -> Any:
    return world[y, x] == EMPTY and abs(x - row[X]) + abs(y - row[Y]) >= 2


@compiled
def stand(world: Any, row: Any, luck: Any, size: Any, i: Any, j: Any) -> Any:
    """Stand the agent on a free cell of room (i, j), before another free one or a wall."""
    left, top = i * (size - 1), j * (size - 1)
    free = 0
    for y in range(top, top + size):
        for x in range(left, left + size):
            for direction in range(4):
                free += _sees_nothing(world, x, y, direction)
    chosen = integer(luck, 0, max(free, 1))
    for y in range(top, top + size):
        for x in range(left, left + size):
            for direction in range(4):
                if _sees_nothing(world, x, y, direction):
                    if chosen == 0:
                        row[X], row[Y], row[DIRECTION] = x, y, direction
                        return
                    chosen -= 1


@compiled
def _sees_nothing(world: Any, x: Any, y: Any, direction: Any) -> Any:
    if world[y, x] != EMPTY:
        return False
    ahead = world[y + (direction == DOWN) - (direction == UP), x + (direction == RIGHT) - (direction == LEFT)]
    return ahead in (EMPTY, WALL)
