"""Levels of one room, or of rooms that lie open to each other: MiniGrid's procedures, and so its distributions."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from envs.compiling import compiled
from envs.errors import ConfigError
from envs.grid import missions
from envs.grid.cells import (
    BALL,
    CLOSED,
    DIRECTION,
    EMPTY,
    ENDING_FETCH,
    ENDING_GO_TO_DOOR,
    ENDING_GOAL,
    GOAL,
    KEY,
    LOCKED,
    MISSION,
    TARGET_A,
    TARGET_B,
    WALL,
    YELLOW,
    X,
    Y,
    colour,
    door,
    key,
    kind,
    pack,
)
from envs.grid.chance import integer
from envs.grid.families import Family
from envs.grid.levels.arguments import LARGEST, START, place_or_none, square, start, steps_per_cell, whole
from envs.grid.levels.placing import bare, place, place_agent, shuffled_colours, stand_at, walled, walls
from envs.grid.solvable import walks_to_ending

Arguments = Mapping[str, Any]

_FOUR_ROOMS = 19
"""MiniGrid's only size of FourRooms."""
_N_COLOURS, _N_PHRASES = 6, len(missions.FETCH_PHRASES)
_LAYOUTS = 1000
"""Drawn at most for one level of Fetch. The target is within reach in more than a sixth of them."""


@compiled
def empty(cells: Any, status: Any, obstacles: Any, chance: Any, which: Any, p: Any) -> None:
    """Nothing but the goal in the right lower corner. p: x, y and direction of the agent; x = -1 for anywhere."""
    height, width = cells.shape[1:]
    for env in which:
        world, row = cells[env], status[env]
        walled(world, row)
        world[height - 2, width - 2] = GOAL
        stand_at(world, row, chance[env], p)


@compiled
def four_rooms(cells: Any, status: Any, obstacles: Any, chance: Any, which: Any, p: Any) -> None:
    """Four rooms with a gap in each wall between two. p: x and y of the agent, x and y of the goal; -1 for anywhere.

    As MiniGrid's, an agent that is put into a wall stands in a gap.
    """
    height, width = cells.shape[1:]
    across, down = width // 2, height // 2
    for env in which:
        world, row, luck = cells[env], status[env], chance[env]
        walled(world, row)
        world[:, across] = WALL
        world[down, :] = WALL
        for half in range(2):
            world[integer(luck, half * down + 1, half * down + down), across] = EMPTY
            world[down, integer(luck, half * across + 1, half * across + across)] = EMPTY
        if p[0] < 0:
            place_agent(world, row, luck, 0, 0, width, height)
        else:
            row[X], row[Y], row[DIRECTION] = p[0], p[1], integer(luck, 0, 4)
            world[p[1], p[0]] = EMPTY
        if p[2] < 0:
            place(world, row, luck, GOAL, 0, 0, width, height)
        else:
            world[p[3], p[2]] = GOAL


@compiled
def door_key(cells: Any, status: Any, obstacles: Any, chance: Any, which: Any, p: Any) -> None:
    """A wall with a locked door, the agent and the key to its left, the goal in the right lower corner. p: nothing.

    As MiniGrid's, the door is never in the last row.
    """
    height, width = cells.shape[1:]
    for env in which:
        world, row, luck = cells[env], status[env], chance[env]
        walled(world, row)
        world[height - 2, width - 2] = GOAL
        split = integer(luck, 2, width - 2)
        world[:, split] = WALL
        place_agent(world, row, luck, 0, 0, split, height)
        world[integer(luck, 1, height - 2), split] = door(YELLOW, LOCKED)
        place(world, row, luck, key(YELLOW), 0, 0, split, height)


@compiled
def go_to_door(cells: Any, status: Any, obstacles: Any, chance: Any, which: Any, p: Any) -> None:
    """A door of another colour in each wall of a room, the mission one of them. p: nothing.

    As MiniGrid's, the room may be smaller than the world; nothing is beyond it.
    """
    colours = np.zeros(_N_COLOURS, np.int64)
    x, y = np.zeros(4, np.int64), np.zeros(4, np.int64)
    for env in which:
        world, row, luck = cells[env], status[env], chance[env]
        bare(world, row)
        width = integer(luck, 5, world.shape[1] + 1)
        height = integer(luck, 5, world.shape[0] + 1)
        walls(world, 0, 0, width, height)
        x[0], y[0] = integer(luck, 2, width - 2), 0
        x[1], y[1] = integer(luck, 2, width - 2), height - 1
        x[2], y[2] = 0, integer(luck, 2, height - 2)
        x[3], y[3] = width - 1, integer(luck, 2, height - 2)
        shuffled_colours(luck, colours)
        for side in range(4):
            world[y[side], x[side]] = door(colours[side], CLOSED)
        place_agent(world, row, luck, 0, 0, width, height)
        target = integer(luck, 0, 4)
        row[MISSION], row[TARGET_A], row[TARGET_B] = colours[target], x[target], y[target]


@compiled
def fetch(cells: Any, status: Any, obstacles: Any, chance: Any, which: Any, p: Any) -> None:
    """Keys and balls, one of which is to be picked up. p: how many.

    MiniGrid may put the target into a corner behind others, where nothing can fetch it: here the layout is drawn again.
    """
    height, width = cells.shape[1:]
    x, y = np.zeros(p[0], np.int64), np.zeros(p[0], np.int64)
    for env in which:
        world, row, luck = cells[env], status[env], chance[env]
        for _ in range(_LAYOUTS):
            walled(world, row)
            for thing in range(p[0]):
                cell = pack(integer(luck, KEY, BALL + 1), integer(luck, 0, _N_COLOURS), 0)
                x[thing], y[thing] = place(world, row, luck, cell, 0, 0, width, height)
            place_agent(world, row, luck, 0, 0, width, height)
            target = integer(luck, 0, p[0])
            cell = world[y[target], x[target]]
            row[TARGET_A], row[TARGET_B] = kind(cell), colour(cell)
            row[MISSION] = missions.fetch_code(integer(luck, 0, _N_PHRASES), colour(cell), kind(cell))
            if walks_to_ending(world, row, obstacles[env], ENDING_FETCH):
                break


def _empty(arguments: Arguments) -> list[int]:
    size = whole("Empty", arguments, "size", 4)
    return start("Empty", arguments, size, size)


def _four_rooms(arguments: Arguments) -> list[int]:
    places: list[int] = []
    for name in ("agent_pos", "goal_pos"):
        place = place_or_none("FourRooms", arguments, name, _FOUR_ROOMS, _FOUR_ROOMS)
        if place == (_FOUR_ROOMS // 2, _FOUR_ROOMS // 2):
            raise ConfigError(
                f"FourRooms's {name} is {place}, where its walls meet and no gap leads: expected another cell"
            )
        places += place or (-1, -1)
    return places


def _door_key(arguments: Arguments) -> list[int]:
    whole("DoorKey", arguments, "size", 5)
    return []


def _go_to_door(arguments: Arguments) -> list[int]:
    whole("GoToDoor", arguments, "size", 5)
    return []


def _fetch(arguments: Arguments) -> list[int]:
    size = whole("Fetch", arguments, "size", 4)
    n, cells = whole("Fetch", arguments, "numObjs", 1, LARGEST**2), (size - 2) ** 2
    if n >= cells:
        raise ConfigError(
            f"Fetch's numObjs is {n}, with the agent more than the {cells} cells of size {size}: "
            f"expected at most {cells - 1}, or a larger size"
        )
    return [n]


_HERE = "envs.grid.levels.open"

FAMILIES = (
    Family(
        name="empty",
        generator=f"{_HERE}:empty",
        arguments={"size": 8, **START},
        shape=square,
        parameters=_empty,
        max_steps=steps_per_cell(4),
        missions=lambda arguments: (missions.GOAL_SQUARE,),
        ending=ENDING_GOAL,
        see_through=True,
    ),
    Family(
        name="four_rooms",
        generator=f"{_HERE}:four_rooms",
        arguments={"agent_pos": None, "goal_pos": None},
        shape=lambda arguments: (_FOUR_ROOMS, _FOUR_ROOMS),
        parameters=_four_rooms,
        max_steps=lambda arguments: 100,
        missions=lambda arguments: (missions.REACH_GOAL,),
        ending=ENDING_GOAL,
    ),
    Family(
        name="door_key",
        generator=f"{_HERE}:door_key",
        arguments={"size": 8},
        shape=square,
        parameters=_door_key,
        max_steps=steps_per_cell(10),
        missions=lambda arguments: (missions.USE_KEY,),
        ending=ENDING_GOAL,
    ),
    Family(
        name="go_to_door",
        generator=f"{_HERE}:go_to_door",
        arguments={"size": 5},
        shape=square,
        parameters=_go_to_door,
        max_steps=steps_per_cell(4),
        missions=lambda arguments: missions.go_to_door(),
        ending=ENDING_GO_TO_DOOR,
        see_through=True,
    ),
    Family(
        name="fetch",
        generator=f"{_HERE}:fetch",
        arguments={"size": 8, "numObjs": 3},
        shape=square,
        parameters=_fetch,
        max_steps=steps_per_cell(5),
        missions=lambda arguments: missions.fetch(),
        ending=ENDING_FETCH,
        see_through=True,
    ),
)
