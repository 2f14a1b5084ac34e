"""Levels of one room, or of rooms that lie open to each other: MiniGrid's procedures, and so its distributions."""

from collections.abc import Mapping
from typing import Any

from envs.compiling import compiled
from envs.grid import missions
from envs.grid.cells import ENDING_GOAL, GOAL, LOCKED, WALL, YELLOW, door, key
from envs.grid.chance import integer
from envs.grid.families import Family
from envs.grid.levels.arguments import whole
from envs.grid.levels.placing import place, place_agent, walled

Arguments = Mapping[str, Any]


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


def _square(arguments: Arguments) -> tuple[int, int]:
    return arguments["size"], arguments["size"]


def _door_key(arguments: Arguments) -> list[int]:
    whole("DoorKey", arguments, "size", 5)
    return []


FAMILIES = (
    Family(
        name="door_key",
        generator="envs.grid.levels.open:door_key",
        arguments={"size": 8},
        shape=_square,
        parameters=_door_key,
        max_steps=lambda arguments: 10 * arguments["size"] ** 2,
        missions=lambda arguments: (missions.USE_KEY,),
        ending=ENDING_GOAL,
    ),
)
