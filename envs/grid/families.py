"""The families of levels: what each is called, what it takes, and which function draws its worlds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any

from envs.registry import did_you_mean, load_callable

_LEVELS = tuple(f"envs.grid.levels.{name}" for name in ("open", "hazards", "chains", "rooms"))
Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class Family:
    """One kind of level. The callables take the family's arguments, defaults filled in."""

    name: str
    """As in `GridVectorEnv(family=...)`, such as `door_key`."""
    generator: str
    """`module:function`: (cells, status, obstacles, chance, which, p), compiled; fills the worlds in `which`."""
    arguments: Arguments
    """MiniGrid's keyword names with MiniGrid's defaults, but `max_steps`, which every family has."""
    shape: Callable[[Arguments], tuple[int, int]]
    """Width and height in cells."""
    parameters: Callable[[Arguments], list[int]]
    """The generator's `p`, at most 16. Raises ConfigError where no such level can be made."""
    max_steps: Callable[[Arguments], int]
    """Steps to the truncation of an episode."""
    missions: Callable[[Arguments], tuple[str, ...]]
    """Code → text."""
    ending: int
    """One of `cells.ENDING_*`."""
    see_through: bool = False
    """Whether walls hide nothing."""
    n_actions: int = 7
    """The first so many of MiniGrid's actions."""
    n_obstacles: Callable[[Arguments], int] = field(default=lambda arguments: 0)
    """How many balls move."""

    def load(self) -> Any:
        """The generator, not yet compiled."""
        return load_callable(self.generator, kind="level generator")


def find_family(name: str) -> Family:
    """The family of that name. Raises UnknownName."""
    families = all_families()
    if name not in families:
        raise did_you_mean("family of grid worlds", name, families)
    return families[name]


@cache
def all_families() -> dict[str, Family]:
    """Name → family."""
    return {family.name: family for module in _LEVELS for family in import_module(module).FAMILIES}
