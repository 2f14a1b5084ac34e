"""What a class or function makes: a game of one agent, of several who act at once, or of some who take turns."""

import contextlib
import io
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from envs.errors import ConfigError, HeadstartError
from envs.headless import headless


@dataclass(frozen=True)
class Kind:
    """What a factory makes."""

    multiagent: bool = False
    """A PettingZoo game whose agents act at the same time."""
    turns: bool = False
    """A PettingZoo game whose agents take turns."""
    playable: bool = True
    """Whether it is a game at all: PettingZoo's, or a gymnasium.Env."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the game says of itself."""


def kind_of(made: Any) -> Kind:
    """What a class, or a function, makes. A function that does not say so by its `metadata` is called to see.

    Raises ConfigError if it cannot be called without arguments, or raises.
    """
    metadata = getattr(made, "metadata", None) or {}
    said = metadata.get("headstart", {}) if isinstance(metadata, Mapping) else {}
    if isinstance(made, type):
        return _by_bases(made.__mro__, metadata)
    if isinstance(said, Mapping) and (said.get("turns") or said.get("multiagent")):
        return Kind(not said.get("turns"), bool(said.get("turns")), metadata=metadata)
    return _by_making(made)


@cache
def _by_making(made: Any) -> Kind:
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), headless():
            warnings.simplefilter("ignore")
            game = made()
    except HeadstartError:
        raise
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{getattr(made, '__module__', '')}:{getattr(made, '__qualname__', made)} raised "
            f"{' '.join(repr(error).split())} when it was called without arguments to see what it makes: "
            "give its arguments defaults"
        ) from error
    return _by_bases(type(game).__mro__, {**(getattr(game, "metadata", None) or {}), **(getattr(made, "metadata", {}))})


def _by_bases(bases: tuple[type, ...], metadata: Any) -> Kind:
    """By the names of base classes, so that nothing is imported only to see that it is not used."""
    names = {(base.__module__.partition(".")[0], base.__name__) for base in bases}
    metadata = metadata if isinstance(metadata, Mapping) else {}
    if ("pettingzoo", "ParallelEnv") in names:
        return Kind(multiagent=True, metadata=metadata)
    if ("pettingzoo", "AECEnv") in names:
        at_once = bool(metadata.get("is_parallelizable", False))
        return Kind(multiagent=at_once, turns=not at_once, metadata=metadata)
    return Kind(playable=("gymnasium", "Env") in names, metadata=metadata)
