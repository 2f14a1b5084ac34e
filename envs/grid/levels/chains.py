"""Levels of rooms one behind the other: MiniGrid's procedures, and so its distributions."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from envs.compiling import compiled
from envs.errors import ConfigError
from envs.grid import missions
from envs.grid.cells import CLOSED, DOWN, ENDING_GOAL, GOAL, LEFT, LOCKED, MISSION, RIGHT, WALL, door, key
from envs.grid.chance import integer
from envs.grid.families import Family
from envs.grid.levels.arguments import square, whole
from envs.grid.levels.placing import bare, place, place_agent, shuffled_colours, walled, walls

Arguments = Mapping[str, Any]

_N_COLOURS = 6
_SMALLEST = 4
"""A room's side at least, its walls included."""
_EXITS = 8
"""Times that a room's exit and the room behind it are drawn, before the chain is given up."""
_CHAINS = 1_000_000
"""Chains begun for one level; MiniGrid's own levels take about ten."""
_LEFT, _TOP, _WIDTH, _HEIGHT, _DOOR_X, _DOOR_Y = range(6)
"""Columns of a chain's rooms."""


@compiled
def multi_room(cells: Any, status: Any, obstacles: Any, chance: Any, which: Any, p: Any) -> None:
    """A chain of rooms behind closed doors, the agent in the first, the goal in the last.

    p: how many rooms at least and at most; a room's side at most. Raises ConfigError if no such chain is found.
    """
    height, width = cells.shape[1:]
    rooms = np.zeros((p[1], 6), np.int64)
    for env in which:
        world, row, luck = cells[env], status[env], chance[env]
        n = integer(luck, p[0], p[1] + 1)
        begun = 0
        while _chain(rooms, luck, n, width, height, p[2]) < n:
            begun += 1
            if begun == _CHAINS:
                raise ConfigError(
                    "MultiRoom's rooms do not fit: a million chains of them ran into themselves or the grid's edge: "
                    "expected a smaller maxNumRooms or maxRoomSize, or a larger width and height"
                )
        bare(world, row)
        hue = integer(luck, 0, _N_COLOURS)
        for number in range(n):
            room = rooms[number]
            walls(world, room[_LEFT], room[_TOP], room[_LEFT] + room[_WIDTH], room[_TOP] + room[_HEIGHT])
            if number:
                world[room[_DOOR_Y], room[_DOOR_X]] = door(hue, CLOSED)
                hue = (hue + integer(luck, 1, _N_COLOURS)) % _N_COLOURS  # the next door has another colour
        room = rooms[0]
        place_agent(world, row, luck, room[_LEFT], room[_TOP], room[_LEFT] + room[_WIDTH], room[_TOP] + room[_HEIGHT])
        room = rooms[n - 1]
        place(world, row, luck, GOAL, room[_LEFT], room[_TOP], room[_LEFT] + room[_WIDTH], room[_TOP] + room[_HEIGHT])


@compiled
def _chain(rooms: Any, luck: Any, n: Any, width: Any, height: Any, largest: Any) -> Any:
    """Draw a chain of n rooms into `rooms`; how many there was room for.

    As MiniGrid's: a chain that cannot go on ends, and is not taken up again a room earlier; the lowest row of the world
    stays empty; and the first room's y is drawn as if the world were as high as it is wide.
    """
    entry = LEFT
    for placed in range(n):
        found = False
        for _ in range(_EXITS):
            if placed == 0:
                x, y, wall = integer(luck, 0, width - 2), integer(luck, 0, width - 2), RIGHT
            else:
                wall = integer(luck, 0, 3)
                wall += wall >= entry
                x, y = _exit(luck, rooms[placed - 1], wall)
            found = _room(rooms, placed, luck, (wall + 2) % 4, x, y, width, height, largest)
            if found:
                break
        if not found:
            return placed
        entry = (wall + 2) % 4
    return n


@compiled
def _exit(luck: Any, room: Any, wall: Any) -> Any:
    """x and y of a door in the room's wall, which is told by the direction in which it lies."""
    x, y = room[_LEFT], room[_TOP]
    if wall in (RIGHT, LEFT):
        return x + (room[_WIDTH] - 1) * (wall == RIGHT), y + integer(luck, 1, room[_HEIGHT] - 1)
    return x + integer(luck, 1, room[_WIDTH] - 1), y + (room[_HEIGHT] - 1) * (wall == DOWN)


@compiled
def _room(rooms: Any, placed: Any, luck: Any, entry: Any, x: Any, y: Any, width: Any, height: Any, largest: Any) -> Any:
    """Draw the next room, entered at x and y through the wall that lies in the direction `entry`; whether it fits.

    The first room's corner is where its door would be.
    """
    across, down = integer(luck, _SMALLEST, largest + 1), integer(luck, _SMALLEST, largest + 1)
    left, top = x, y
    if placed and entry in (RIGHT, LEFT):
        left -= (across - 1) * (entry == RIGHT)
        top = integer(luck, y - down + 2, y)
    elif placed:
        left = integer(luck, x - across + 2, x)
        top -= (down - 1) * (entry == DOWN)
    if left < 0 or top < 0 or left + across > width or top + down >= height:
        return False
    for other in rooms[: max(placed - 1, 0)]:
        if not (
            left + across < other[_LEFT]
            or other[_LEFT] + other[_WIDTH] <= left
            or top + down < other[_TOP]
            or other[_TOP] + other[_HEIGHT] <= top
        ):
            return False
    room = rooms[placed]
    room[_LEFT], room[_TOP], room[_WIDTH], room[_HEIGHT], room[_DOOR_X], room[_DOOR_Y] = left, top, across, down, x, y
    return True


@compiled
def locked_room(cells: Any, status: Any, obstacles: Any, chance: Any, which: Any, p: Any) -> None:
    """Three rooms on each side of a hall, one of them locked with the goal in it, its key in another. p: nothing.

    Rooms are numbered from above, left before right. Where MiniGrid's would put key or goal into the outer wall (sizes
    that are even, or multiples of three), these stay within.
    """
    size = cells.shape[1]
    hall_left, hall_right, third = size // 2 - 2, size // 2 + 2, size // 3
    colours = np.zeros(_N_COLOURS, np.int64)
    for env in which:
        world, row, luck = cells[env], status[env], chance[env]
        walled(world, row)
        world[:, hall_left] = world[:, hall_right] = WALL
        for room in range(3):
            world[room * third, :hall_left] = world[room * third, hall_right:] = WALL
        locked = integer(luck, 0, 6)
        shuffled_colours(luck, colours)
        _put_inside(world, luck, locked, GOAL)
        for room in range(6):
            x = hall_right if room % 2 else hall_left
            world[room // 2 * third + 3, x] = door(colours[room], LOCKED if room == locked else CLOSED)
        room = integer(luck, 0, 5)
        room += room >= locked
        _put_inside(world, luck, room, key(colours[locked]))
        row[MISSION] = missions.locked_room_code(colours[locked], colours[room])
        place_agent(world, row, luck, hall_left, 0, hall_right, size)


@compiled
def _put_inside(world: Any, luck: Any, room: Any, cell: Any) -> Any:
    """Put something onto any cell of one of the six rooms."""
    size = len(world)
    left = size // 2 + 2 if room % 2 else 0
    top = room // 2 * (size // 3)
    x = integer(luck, left + 1, min(left + size // 2 - 2, size - 1))
    y = integer(luck, top + 1, min(top + size // 3, size - 1))
    world[y, x] = cell


def _multi_room(arguments: Arguments) -> list[int]:
    name = "MultiRoom"
    width, height = whole(name, arguments, "width", _SMALLEST), whole(name, arguments, "height", _SMALLEST + 1)
    fewest = whole(name, arguments, "minNumRooms", 1)
    most = whole(name, arguments, "maxNumRooms", fewest)
    fit = 1 + max(width * (height - 1) - _SMALLEST**2, 0) // (_SMALLEST * (_SMALLEST - 1))  # one wall is shared
    if most > fit:
        raise ConfigError(
            f"{name}'s maxNumRooms is {most} in {width}x{height} cells: expected at most {fit}, or a larger grid"
        )
    return [fewest, most, whole(name, arguments, "maxRoomSize", _SMALLEST)]


def _locked_room(arguments: Arguments) -> list[int]:
    whole("LockedRoom", arguments, "size", 13)
    return []


_HERE = "envs.grid.levels.chains"

FAMILIES = (
    Family(
        name="multi_room",
        generator=f"{_HERE}:multi_room",
        arguments={"minNumRooms": 6, "maxNumRooms": 6, "maxRoomSize": 10, "width": 25, "height": 25},
        shape=lambda arguments: (arguments["width"], arguments["height"]),
        parameters=_multi_room,
        max_steps=lambda arguments: 20 * arguments["maxNumRooms"],
        missions=lambda arguments: (missions.TRAVERSE_ROOMS,),
        ending=ENDING_GOAL,
    ),
    Family(
        name="locked_room",
        generator=f"{_HERE}:locked_room",
        arguments={"size": 19},
        shape=square,
        parameters=_locked_room,
        max_steps=lambda arguments: 10 * arguments["size"],
        missions=lambda arguments: missions.locked_room(),
        ending=ENDING_GOAL,
    ),
)
