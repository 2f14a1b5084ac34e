"""A family's arguments, checked: one line that says what was found, what is expected and what to do."""

from collections.abc import Mapping
from operator import index
from typing import Any

from envs.errors import ConfigError

LARGEST = 255
"""Cells along a side."""


def whole(family: str, arguments: Mapping[str, Any], name: str, low: int, high: int = LARGEST) -> int:
    """The argument as a whole number in [low, high]. Raises ConfigError."""
    value = arguments[name]
    try:
        number = index(value)
    except TypeError:
        number = low - 1
    if isinstance(value, bool) or not low <= number <= high:
        raise ConfigError(f"{family}'s {name} is {value!r}: expected a whole number from {low} to {high}")
    return number


def place(family: str, arguments: Mapping[str, Any], name: str, width: int, height: int) -> tuple[int, int] | None:
    """The argument as x and y within a grid's outer walls, or None, for anywhere. Raises ConfigError."""
    value = arguments[name]
    if value is None:
        return None
    try:
        x, y = (index(number) for number in value)
    except (TypeError, ValueError):
        x, y = -1, -1
    if not (0 < x < width - 1 and 0 < y < height - 1):
        raise ConfigError(
            f"{family}'s {name} is {value!r}: expected x from 1 to {width - 2} and y from 1 to {height - 2}, "
            "or None for anywhere"
        )
    return x, y
