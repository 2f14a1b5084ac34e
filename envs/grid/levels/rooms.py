"""Levels of rooms in a grid, with locked doors, keys and an object to pick up: MiniGrid's procedures, and so its
distributions. `envs.grid.levels.roomgrid` says how rooms are numbered and filled.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from envs.compiling import compiled
from envs.errors import ConfigError
from envs.grid import missions
from envs.grid.cells import (
    BALL,
    BLUE,
    BOX,
    CLOSED,
    DOWN,
    EMPTY,
    ENDING_OPEN_DOOR,
    ENDING_PICK_TARGET,
    GREEN,
    GREY,
    KEY,
    LEFT,
    LOCKED,
    MISSION,
    RIGHT,
    UP,
    ball,
    box,
    box_with_key,
    door,
    key,
    pack,
    wanted,
)
from envs.grid.chance import integer, shuffle
from envs.grid.families import Family
from envs.grid.levels.arguments import LARGEST, whole
from envs.grid.levels.roomgrid import add_door, bare_rooms, put, stand

Arguments = Mapping[str, Any]

_N_COLOURS = 6
_COLUMNS = 3
"""Of rooms in a KeyCorridor: rooms with a key, the corridor, the locked room."""
_THINGS = {"key": KEY, "ball": BALL, "box": BOX}
_MIDDLE = (1, 1)
_SIDES = ((2, 1), (1, 2), (0, 1), (1, 0))
"""Rooms beside the middle one of three by three, in the order of the directions in which they lie."""
_CORNERS = ((2, 0), (2, 2), (0, 2), (0, 0))
"""Corner n lies between the sides n - 1 and n."""
_BLUE_BALL = missions.pick_up("ball")[BLUE]
_LAYOUTS = 100
"""Unsolvable mazes in a row after which one is drawn by the procedure that makes none."""


@compiled
def unlock(cells: Any, status: Any, obstacles: Any, chance: Any, which: Any, p: Any) -> None:
    """Two rooms and a locked door between them; agent and key on its left.

    p: a room's size; 1 for a box on the right, to pick up; 1 for a ball before the door.
    """
    size, pick_up, blocked = p[0], p[1], p[2]
    for env in which:
        world, row, luck = cells[env], status[env], chance[env]
        bare_rooms(world, row, size)
        if pick_up:
            colour = integer(luck, 0, _N_COLOURS)
            row[MISSION] = colour
            put(world, row, luck, size, 1, 0, wanted(box(colour)))
        colour = integer(luck, 0, _N_COLOURS)
        x, y = add_door(world, luck, size, 0, 0, RIGHT, door(colour, LOCKED))
        if blocked:
            world[y, x - 1] = ball(integer(luck, 0, _N_COLOURS))
        put(world, row, luck, size, 0, 0, key(colour))
        stand(world, row, luck, size, 0, 0)


@compiled
def key_corridor(cells: Any, status: Any, obstacles: Any, chance: Any, which: Any, p: Any) -> None:
    """A corridor between two columns of rooms: the object to pick up locked away on the right, its key on the left.

    p: a room's size; rows of rooms; kind of the object.
    """
    size, rows, kind = p[0], p[1], p[2]
    for env in which:
        world, row, luck = cells[env], status[env], chance[env]
        bare_rooms(world, row, size)
        for j in range(1, rows):
            left, top = size - 1, j * (size - 1)
            world[top, left + 1 : left + size - 1] = EMPTY
        locked = integer(luck, 0, rows)
        colour = integer(luck, 0, _N_COLOURS)
        add_door(world, luck, size, 2, locked, LEFT, door(colour, LOCKED))
        put(world, row, luck, size, 0, integer(luck, 0, rows), key(colour))
        colour = integer(luck, 0, _N_COLOURS)
        row[MISSION] = colour
        put(world, row, luck, size, 2, locked, wanted(pack(kind, colour, 0)))
        stand(world, row, luck, size, 1, rows // 2)
        _connect(world, luck, size, rows, locked)


@compiled
def obstructed_door(cells: Any, status: Any, obstacles: Any, chance: Any, which: Any, p: Any) -> None:
    """Two rooms and a locked door between them; agent and key on its left, a blue ball to pick up on its right.

    p: a room's size; 1 for the key in a box; 1 for a ball before the door.
    """
    size, in_box, blocked = p[0], p[1], p[2]
    for env in which:
        world, row, luck = cells[env], status[env], chance[env]
        bare_rooms(world, row, size)
        colour = integer(luck, 0, _N_COLOURS)
        _lock(world, luck, size, 0, 0, RIGHT, colour, blocked)
        put(world, row, luck, size, 0, 0, _hidden(colour, in_box))
        put(world, row, luck, size, 1, 0, wanted(ball(BLUE)))
        stand(world, row, luck, size, 0, 0)


@compiled
def obstructed_maze(cells: Any, status: Any, obstacles: Any, chance: Any, which: Any, p: Any) -> None:
    """Three by three rooms, a blue ball to pick up in a corner, and locked doors between the sides and the corners.

    p: a room's size; the agent's room, i and j; 1 for keys in boxes; 1 for balls before the doors; quarters of the maze
    that are open; 1 if the keys are put down after the balls.
    """
    size, i, j, in_box, blocked, quarters, keys_last = p[0], p[1], p[2], p[3], p[4], p[5], p[6]
    colours = np.empty(_N_COLOURS, np.int64)
    for env in which:
        world, row, luck = cells[env], status[env], chance[env]
        for layout in range(1, _LAYOUTS + 1):
            if _maze(world, row, luck, colours, size, in_box, blocked, quarters, keys_last or layout == _LAYOUTS):
                break
        stand(world, row, luck, size, i, j)


@compiled
def _maze(
    world: Any, row: Any, luck: Any, colours: Any, size: Any, in_box: Any, blocked: Any, quarters: Any, keys_last: Any
) -> Any:
    """Fill a maze; whether it can be solved.

    In MiniGrid's first version the ball before a side's second door may take the place of the first door's key. That
    matters for the first corner alone, and only if the side before it is shut: into all others leads a second door.
    """
    bare_rooms(world, row, size)
    for colour in range(_N_COLOURS):
        colours[colour] = colour
    shuffle(luck, colours)
    covered = False
    for side in range(quarters):
        i, j = _SIDES[side]
        add_door(world, luck, size, _MIDDLE[0], _MIDDLE[1], side, door(colours[side], CLOSED))
        first, second = colours[(side + 5) % _N_COLOURS], colours[side + 1]
        _lock(world, luck, size, i, j, (side + 3) % 4, first, blocked)
        if keys_last:
            _lock(world, luck, size, i, j, (side + 1) % 4, second, blocked)
            put(world, row, luck, size, i, j, _hidden(first, in_box))
        else:
            x, y = put(world, row, luck, size, i, j, _hidden(first, in_box))
            _lock(world, luck, size, i, j, (side + 1) % 4, second, blocked)
            covered |= side == 0 and world[y, x] != _hidden(first, in_box)
        put(world, row, luck, size, i, j, _hidden(second, in_box))
    corner = integer(luck, 0, quarters)
    put(world, row, luck, size, _CORNERS[corner][0], _CORNERS[corner][1], wanted(ball(BLUE)))
    return not (covered and corner == 0 and quarters < len(_SIDES))


@compiled
def _lock(world: Any, luck: Any, size: Any, i: Any, j: Any, side: Any, colour: Any, blocked: Any) -> Any:
    """A locked door on that side of room (i, j), and a green ball before it if it is to be blocked."""
    x, y = add_door(world, luck, size, i, j, side, door(colour, LOCKED))
    if blocked:
        x -= (side == RIGHT) - (side == LEFT)
        y -= (side == DOWN) - (side == UP)
        world[y, x] = ball(GREEN)


@compiled
def _hidden(colour: Any, in_box: Any) -> Any:
    """A key, or a grey box that holds it."""
    return box_with_key(GREY, colour) if in_box else key(colour)


@compiled
def _connect(world: Any, luck: Any, size: Any, rows: Any, locked: Any) -> Any:
    """Add doors to a key corridor until all its rooms hang together, in a random order of the walls between rooms.

    The locked room gets no second door. Rooms that hang together have one number in `group`.
    """
    shut = locked * _COLUMNS + 2
    group = np.arange(_COLUMNS * rows)
    group[1::_COLUMNS] = group[shut] = 1
    apart = 2 * rows - 1
    walls = np.arange(2 * _COLUMNS * rows)
    shuffle(luck, walls)
    for wall in walls:
        if apart == 0:
            break
        room, side = wall // 2, wall % 2
        i, j = room % _COLUMNS, room // _COLUMNS
        other = room + (_COLUMNS if side == DOWN else 1)
        outer = j == rows - 1 if side == DOWN else i == _COLUMNS - 1
        if outer or room == shut or other == shut or (side == DOWN and i == 1):
            continue
        add_door(world, luck, size, i, j, side, door(integer(luck, 0, _N_COLOURS), CLOSED))
        if group[room] != group[other]:
            apart -= 1
            old = group[other]
            for member in range(len(group)):
                if group[member] == old:
                    group[member] = group[room]


def _flag(family: str, arguments: Arguments, name: str) -> int:
    """The argument as 0 or 1. Raises ConfigError."""
    value = arguments[name]
    if not isinstance(value, bool | np.bool_):
        raise ConfigError(f"{family}'s {name} is {value!r}: expected true or false")
    return int(value)


def _size(family: str, arguments: Arguments, smallest: int, in_line: int) -> int:
    """Argument `room_size`, such that so many rooms in a line fit into the largest grid. Raises ConfigError."""
    return whole(family, arguments, "room_size", smallest, (LARGEST - 1) // in_line + 1)


def _two_rooms(arguments: Arguments) -> tuple[int, int]:
    return 2 * (arguments["room_size"] - 1) + 1, arguments["room_size"]


def _nine_rooms(arguments: Arguments) -> tuple[int, int]:
    side = 3 * (arguments["room_size"] - 1) + 1
    return side, side


def _corridor_rooms(arguments: Arguments) -> tuple[int, int]:
    inside = arguments["room_size"] - 1
    return _COLUMNS * inside + 1, arguments["num_rows"] * inside + 1


def _unlock(family: str, *flags: int) -> Callable[[Arguments], list[int]]:
    """Key, ball and agent share the left room: at least two by two cells inside."""
    return lambda arguments: [_size(family, arguments, 4, 2), *flags]


def _key_corridor(arguments: Arguments) -> list[int]:
    family, kind = "KeyCorridor", arguments["obj_type"]
    if not isinstance(kind, str) or kind not in _THINGS:
        raise ConfigError(f"{family}'s obj_type is {kind!r}: expected one of {', '.join(_THINGS)}")
    size = _size(family, arguments, 3, _COLUMNS)
    return [size, whole(family, arguments, "num_rows", 1, (LARGEST - 1) // (size - 1)), _THINGS[kind]]


def _obstructed_door(arguments: Arguments) -> list[int]:
    family = "ObstructedMaze"
    return [_size(family, arguments, 4, 2), *(_flag(family, arguments, name) for name in ("key_in_box", "blocked"))]


def _obstructed_maze(keys_last: int) -> Callable[[Arguments], list[int]]:
    """Two balls, two keys and the agent may share a side room: in three by three cells they hinder each other."""

    def parameters(arguments: Arguments) -> list[int]:
        family = "ObstructedMaze"
        quarters = whole(family, arguments, "num_quarters", 1, len(_SIDES))
        whole(family, arguments, "num_rooms_visited", 1, 10_000)
        flags = [_flag(family, arguments, name) for name in ("key_in_box", "blocked")]
        room, rooms = arguments["agent_room"], (_MIDDLE, *_SIDES[:quarters])
        if not isinstance(room, Sequence) or tuple(room) not in rooms:
            expected = " or ".join(map(str, rooms))
            raise ConfigError(
                f"{family}'s agent_room is {room!r}: expected {expected}; "
                f"from elsewhere a maze with num_quarters {quarters} cannot be solved"
            )
        return [_size(family, arguments, 6, 3), *room, *flags, quarters, keys_last]

    return parameters


def _maze_family(name: str, keys_last: int) -> Family:
    return Family(
        name=name,
        generator="envs.grid.levels.rooms:obstructed_maze",
        arguments={
            "agent_room": _MIDDLE,
            "key_in_box": True,
            "blocked": True,
            "num_quarters": 4,
            "num_rooms_visited": 25,
            "room_size": 6,
        },
        shape=_nine_rooms,
        parameters=_obstructed_maze(keys_last),
        max_steps=lambda arguments: 4 * arguments["num_rooms_visited"] * arguments["room_size"] ** 2,
        missions=lambda arguments: (_BLUE_BALL,),
        ending=ENDING_PICK_TARGET,
    )


FAMILIES = (
    Family(
        name="unlock",
        generator="envs.grid.levels.rooms:unlock",
        arguments={"room_size": 6},
        shape=_two_rooms,
        parameters=_unlock("Unlock", 0, 0),
        max_steps=lambda arguments: 8 * arguments["room_size"] ** 2,
        missions=lambda arguments: (missions.OPEN_DOOR,),
        ending=ENDING_OPEN_DOOR,
    ),
    Family(
        name="unlock_pickup",
        generator="envs.grid.levels.rooms:unlock",
        arguments={"room_size": 6},
        shape=_two_rooms,
        parameters=_unlock("UnlockPickup", 1, 0),
        max_steps=lambda arguments: 8 * arguments["room_size"] ** 2,
        missions=lambda arguments: missions.pick_up("box"),
        ending=ENDING_PICK_TARGET,
    ),
    Family(
        name="blocked_unlock_pickup",
        generator="envs.grid.levels.rooms:unlock",
        arguments={"room_size": 6},
        shape=_two_rooms,
        parameters=_unlock("BlockedUnlockPickup", 1, 1),
        max_steps=lambda arguments: 16 * arguments["room_size"] ** 2,
        missions=lambda arguments: missions.pick_up("box"),
        ending=ENDING_PICK_TARGET,
    ),
    Family(
        name="key_corridor",
        generator="envs.grid.levels.rooms:key_corridor",
        arguments={"num_rows": 3, "obj_type": "ball", "room_size": 6},
        shape=_corridor_rooms,
        parameters=_key_corridor,
        max_steps=lambda arguments: 30 * arguments["room_size"] ** 2,
        missions=lambda arguments: missions.pick_up(arguments["obj_type"]),
        ending=ENDING_PICK_TARGET,
    ),
    Family(
        name="obstructed_maze_1dlhb",
        generator="envs.grid.levels.rooms:obstructed_door",
        arguments={"key_in_box": True, "blocked": True, "room_size": 6},
        shape=_two_rooms,
        parameters=_obstructed_door,
        max_steps=lambda arguments: 4 * 2 * arguments["room_size"] ** 2,
        missions=lambda arguments: (_BLUE_BALL,),
        ending=ENDING_PICK_TARGET,
    ),
    _maze_family("obstructed_maze_full", keys_last=0),
    _maze_family("obstructed_maze_full_v1", keys_last=1),
)
