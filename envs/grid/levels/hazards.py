"""Levels with something to cross or to stay clear of: MiniGrid's procedures, and so its distributions."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from envs.compiling import compiled
from envs.errors import ConfigError
from envs.grid import missions
from envs.grid.cells import BLUE, EMPTY, ENDING_GOAL, ENDING_OBSTACLES, GOAL, LAVA, WALL, X, Y, ball
from envs.grid.chance import integer, shuffle
from envs.grid.families import Family
from envs.grid.levels.arguments import START, square, start, steps_per_cell, whole
from envs.grid.levels.placing import place, stand_at, walled

Arguments = Mapping[str, Any]

_OBSTACLES = {"lava": LAVA, "wall": WALL}


@compiled
def lava_gap(cells: Any, status: Any, obstacles: Any, chance: Any, which: Any, p: Any) -> None:
    """A strip of lava, or a wall, with a gap in it between agent and goal. p: the strip's cell."""
    height, width = cells.shape[1:]
    for env in which:
        world, row, luck = cells[env], status[env], chance[env]
        walled(world, row)
        row[X] = row[Y] = 1
        world[height - 2, width - 2] = GOAL
        strip = integer(luck, 2, width - 2)
        world[1 : height - 1, strip] = p[0]
        world[integer(luck, 1, height - 1), strip] = EMPTY


@compiled
def crossing(cells: Any, status: Any, obstacles: Any, chance: Any, which: Any, p: Any) -> None:
    """Rivers of lava, or walls, across the room, and gaps along one way to the goal. p: how many; a river's cell.

    River r is the column 2 + 2r, or, counted on, a row. Of a room with more rivers than fit it has all.
    """
    size = cells.shape[1]
    half = (size - 3) // 2
    n = min(p[0], 2 * half)
    rivers, way = np.zeros(2 * half, np.int64), np.zeros(2 * half, np.int64)
    columns, rows = np.zeros(half + 2, np.int64), np.zeros(half + 2, np.int64)
    for env in which:
        world, row, luck = cells[env], status[env], chance[env]
        walled(world, row)
        row[X] = row[Y] = 1
        world[size - 2, size - 2] = GOAL
        for river in range(2 * half):
            rivers[river] = river < n
        shuffle(luck, rivers)
        n_columns, n_rows = _limits(columns, rivers[:half]), _limits(rows, rivers[half:])
        columns[n_columns + 1] = rows[n_rows + 1] = size - 1
        for river in range(1, n_columns + 1):
            world[1 : size - 1, columns[river]] = p[1]
        for river in range(1, n_rows + 1):
            world[rows[river], 1 : size - 1] = p[1]
        for crossed in range(n):
            way[crossed] = crossed < n_columns
        shuffle(luck, way[:n])
        i = j = 0  # the room that the way has come to, counted between rivers
        for crossed in range(n):
            if way[crossed]:
                world[integer(luck, rows[j] + 1, rows[j + 1]), columns[i + 1]] = EMPTY
                i += 1
            else:
                world[rows[j + 1], integer(luck, columns[i] + 1, columns[i + 1])] = EMPTY
                j += 1


@compiled
def _limits(limits: Any, rivers: Any) -> Any:
    """Where the rivers run, in order, from `limits[1]` on; how many there are."""
    n = 0
    for river in range(len(rivers)):
        if rivers[river]:
            n += 1
            limits[n] = 2 + 2 * river
    return n


@compiled
def dist_shift(cells: Any, status: Any, obstacles: Any, chance: Any, which: Any, p: Any) -> None:
    """Two strips of lava, the goal behind the first. p: x, y and direction of the agent; the second strip's row."""
    width = cells.shape[2]
    for env in which:
        world, row = cells[env], status[env]
        walled(world, row)
        world[1, width - 2] = GOAL
        for x in range(3, width - 3):
            world[1, x] = world[p[3], x] = LAVA
        stand_at(world, row, chance[env], p)


@compiled
def dynamic_obstacles(cells: Any, status: Any, obstacles: Any, chance: Any, which: Any, p: Any) -> None:
    """Blue balls that move about, the goal in the right lower corner. p: x, y and direction of the agent."""
    height, width = cells.shape[1:]
    for env in which:
        world, row, luck = cells[env], status[env], chance[env]
        walled(world, row)
        world[height - 2, width - 2] = GOAL
        stand_at(world, row, luck, p)
        for obstacle in range(obstacles.shape[1]):
            x, y = place(world, row, luck, ball(BLUE), 0, 0, width, height)
            obstacles[env, obstacle, 0], obstacles[env, obstacle, 1] = x, y


def _obstacle(family: str, arguments: Arguments) -> int:
    """The cell that `obstacle_type` names: `lava` or `wall`, or MiniGrid's class of that name."""
    found = arguments["obstacle_type"]
    name = getattr(found, "__name__", found)
    if not isinstance(name, str) or name.lower() not in _OBSTACLES:
        raise ConfigError(f"{family}'s obstacle_type is {found!r}: expected 'lava' or 'wall'")
    return _OBSTACLES[name.lower()]


def _cross_missions(arguments: Arguments) -> tuple[str, ...]:
    return (missions.AVOID_LAVA if _obstacle("a level", arguments) == LAVA else missions.FIND_OPENING,)


def _lava_gap(arguments: Arguments) -> list[int]:
    whole("LavaGap", arguments, "size", 5)
    return [_obstacle("LavaGap", arguments)]


def _crossing(arguments: Arguments) -> list[int]:
    size = whole("Crossing", arguments, "size", 5)
    if size % 2 == 0:
        raise ConfigError(f"Crossing's size is {size}: expected an odd number, {size - 1} or {size + 1}")
    return [whole("Crossing", arguments, "num_crossings", 0), _obstacle("Crossing", arguments)]


def _dist_shift(arguments: Arguments) -> list[int]:
    width, height = whole("DistShift", arguments, "width", 4), whole("DistShift", arguments, "height", 3)
    strip = whole("DistShift", arguments, "strip2_row", 1, height - 2)
    if width > 6 and set(range(1, height - 1)) <= {1, strip}:
        raise ConfigError(
            f"DistShift's height is {height} and its strip2_row {strip}, so that lava fills every row: "
            "expected a height of 5 or more"
        )
    p = start("DistShift", arguments, width, height)
    if 3 <= p[0] < width - 3 and p[1] in (1, strip):
        raise ConfigError(
            f"DistShift's agent_start_pos is {tuple(p[:2])}, which is lava: "
            f"expected another row than 1 and {strip}, or x below 3"
        )
    return [*p, strip]


def _dynamic_obstacles(arguments: Arguments) -> list[int]:
    """In size 4 a ball that must move keeps an agent in its corner for ever; in size 5 three leave a way, by search."""
    size = whole("DynamicObstacles", arguments, "size", 5)
    whole("DynamicObstacles", arguments, "n_obstacles", 0)
    return start("DynamicObstacles", arguments, size, size)


def _n_obstacles(arguments: Arguments) -> int:
    """MiniGrid's rule: what is more than half the size and one is half the size."""
    size, n = arguments["size"], arguments["n_obstacles"]
    return int(n) if n <= size / 2 + 1 else int(size / 2)


_HERE = "envs.grid.levels.hazards"

FAMILIES = (
    Family(
        name="lava_gap",
        generator=f"{_HERE}:lava_gap",
        arguments={"size": 7, "obstacle_type": "lava"},
        shape=square,
        parameters=_lava_gap,
        max_steps=steps_per_cell(4),
        missions=_cross_missions,
        ending=ENDING_GOAL,
    ),
    Family(
        name="crossing",
        generator=f"{_HERE}:crossing",
        arguments={"size": 9, "num_crossings": 1, "obstacle_type": "lava"},
        shape=square,
        parameters=_crossing,
        max_steps=steps_per_cell(4),
        missions=_cross_missions,
        ending=ENDING_GOAL,
    ),
    Family(
        name="dist_shift",
        generator=f"{_HERE}:dist_shift",
        arguments={"width": 9, "height": 7, **START, "strip2_row": 2},
        shape=lambda arguments: (arguments["width"], arguments["height"]),
        parameters=_dist_shift,
        max_steps=lambda arguments: 4 * arguments["width"] * arguments["height"],
        missions=lambda arguments: (missions.GOAL_SQUARE,),
        ending=ENDING_GOAL,
        see_through=True,
    ),
    Family(
        name="dynamic_obstacles",
        generator=f"{_HERE}:dynamic_obstacles",
        arguments={"size": 8, **START, "n_obstacles": 4},
        shape=square,
        parameters=_dynamic_obstacles,
        max_steps=steps_per_cell(4),
        missions=lambda arguments: (missions.GOAL_SQUARE,),
        ending=ENDING_OBSTACLES,
        see_through=True,
        n_actions=3,
        n_obstacles=_n_obstacles,
    ),
)
