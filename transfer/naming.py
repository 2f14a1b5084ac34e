"""What can be named in an interface: features, planes, the values of symbols, and the parts of a Dict."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from gymnasium import spaces

from agents.encoders import channel_highs
from envs.interface import Interface
from envs.masks import inner

SINGLE = "observation"
"""What an observation that is no Dict is called among parts."""


@dataclass(frozen=True)
class Place:
    """Where something named is."""

    part: str
    """The key of its part; `""` where the observation is no Dict."""
    index: int
    """Which feature or channel; 0 in a Discrete part."""
    value: int | None = None
    """Which symbol of the channel, or value of the Discrete part; None: the channel itself."""


def space_seen(interface: Interface) -> spaces.Space[Any]:
    """What a policy looks at: the observation space without the mask of legal actions."""
    return inner(interface.observation_space)


def parts_of(interface: Interface) -> dict[str, Any]:
    """The parts of an observation by their keys, a mask of legal actions left out; `""` for one that is no Dict."""
    space = space_seen(interface)
    return dict(space.spaces) if isinstance(space, spaces.Dict) else {"": space}


def names_of(interface: Interface, key: str) -> tuple[str, ...] | None:
    """The names of a part's features or channels; None if it has none."""
    space = parts_of(interface)[key]
    names = interface.features
    if names is None or not space.shape or len(names) != space.shape[-1]:
        return None
    return names


def vocabulary(interface: Interface) -> dict[str, Place]:
    """Every name → what it names.

    A symbol is called `plane.symbol`, and `symbol` alone where nothing else is called so; in a Dict all names may begin
    with their part's key and a dot.
    """
    full: list[tuple[str, str, Place]] = []  # (longest name, short name, place)
    for key, space in parts_of(interface).items():
        names = names_of(interface, key) or ()
        full += [(name, name, Place(key, i)) for i, name in enumerate(names)]
        for i, (name, high) in enumerate(zip(names, channel_highs(space) or [], strict=False)):
            symbols = interface.values.get(name, ())
            if high > 1 and len(symbols) == high + 1:
                full += [(f"{name}.{symbol}", symbol, Place(key, i, v)) for v, symbol in enumerate(symbols)]
        symbols = interface.values.get(key or SINGLE, ())
        if isinstance(space, spaces.Discrete) and len(symbols) == space.n:
            full += [(f"{key or SINGLE}.{symbol}", symbol, Place(key, 0, v)) for v, symbol in enumerate(symbols)]
    found = {name: place for name, _, place in full}
    often = Counter(short for _, short, _ in full)
    found |= {short: place for _, short, place in full if often[short] == 1}
    if isinstance(space_seen(interface), spaces.Dict):
        found |= {f"{place.part}.{name}": place for name, _, place in full}
    return found
