"""A family's arguments, checked: one line that says what was found, what is expected and what to do."""

from collections.abc import Callable, Mapping
from operator import index
from typing import Any

from envs.errors import ConfigError

Arguments = Mapping[str, Any]

LARGEST = 255
"""Cells along a side."""
START = {"agent_start_pos": (1, 1), "agent_start_dir": 0}
"""MiniGrid's arguments, with its defaults, where the agent's start can be told."""


def whole(family: str, arguments: Arguments, name: str, low: int, high: int = LARGEST) -> int:
    """The argument as a whole number in [low, high]. Raises ConfigError."""
    value = arguments[name]
    try:
        number = index(value)
    except TypeError:
        number = low - 1
    if isinstance(value, bool) or not low <= number <= high:
        raise ConfigError(f"{family}'s {name} is {value!r}: expected a whole number from {low} to {high}")
    return number


def place_or_none(family: str, arguments: Arguments, name: str, width: int, height: int) -> tuple[int, ...] | None:
    """The argument as x and y within a grid's outer walls, or None, for anywhere. Raises ConfigError.

    Anywhere is None, as in MiniGrid, or `random`, for files that cannot say None.
    """
    value = arguments[name]
    if value is None or (isinstance(value, str) and value == "random"):
        return None
    place = _whole_numbers(value)
    if len(place) != 2 or not (0 < place[0] < width - 1 and 0 < place[1] < height - 1):
        raise ConfigError(
            f"{family}'s {name} is {value!r}: expected (x, y) with x from 1 to {width - 2} and y from 1 to "
            f"{height - 2}, or 'random' for anywhere"
        )
    return place


def _whole_numbers(value: Any) -> tuple[int, ...]:
    """All of them, or none if one is not."""
    try:
        return tuple(index(number) for number in value)
    except TypeError:
        return ()


def start(family: str, arguments: Arguments, width: int, height: int) -> list[int]:
    """x, y and direction in which the agent starts, as `placing.stand_at` takes them. Raises ConfigError."""
    place = place_or_none(family, arguments, "agent_start_pos", width, height)
    return [*(place or (-1, -1)), whole(family, arguments, "agent_start_dir", 0, 3)]


def square(arguments: Arguments) -> tuple[int, int]:
    """Width and height of a level of one `size`."""
    return arguments["size"], arguments["size"]


def steps_per_cell(number: int) -> Callable[[Arguments], int]:
    """MiniGrid's usual limit: so many steps for each cell of a square."""
    return lambda arguments: int(number * arguments["size"] ** 2)
