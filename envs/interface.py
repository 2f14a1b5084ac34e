"""What stands between a game and a policy: the two spaces and the names of what is in them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from gymnasium import spaces

from envs.errors import ConfigError

Cells = tuple[int | None, ...]
"""Row and column of a cell, counted from 0 as the grid's own axes are; of several cells one after the other. None
stands for every row of a column, or every column of a row."""


@dataclass(frozen=True)
class Interface:
    """The spaces of a game as an agent sees it, and what the catalogue calls their parts."""

    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]
    features: tuple[str, ...] | None = None
    """Names of a vector's entries, or of an image's planes (last axis); None where nobody named them."""
    actions: tuple[str, ...] | None = None
    """Names of discrete actions, or of a continuous action's dimensions."""
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Names of the values of symbols, counted from 0: by the name of a plane, or of a Discrete part."""
    anchor: tuple[str, str] = ("centre", "centre")
    """What stays in place along height and width where a picture is cropped or padded: `start`, `centre` or `end`."""
    action_cells: tuple[Cells | None, ...] | None = None
    """For each discrete action the cells of the grid that it names, None for one that names none; None where actions
    have no cells. Between grids of other sizes such actions map as their cells do, whatever they are called."""

    def to_json(self) -> dict[str, Any]:
        """A document that `from_json` reads back."""
        cells = self.action_cells
        return {
            "observation_space": space_to_json(self.observation_space),
            "action_space": space_to_json(self.action_space),
            "features": self.features,
            "actions": self.actions,
            "values": {name: list(values) for name, values in self.values.items()},
            "anchor": self.anchor,
            **({} if cells is None else {"action_cells": [None if each is None else list(each) for each in cells]}),
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Self:
        """Raises ConfigError if the document describes no interface."""
        try:
            features, actions = document["features"], document["actions"]
            return cls(
                space_from_json(document["observation_space"]),
                space_from_json(document["action_space"]),
                None if features is None else tuple(features),
                None if actions is None else tuple(actions),
                {name: tuple(values) for name, values in document.get("values", {}).items()},
                tuple(document.get("anchor", ("centre", "centre"))),
                cells_from_json(document.get("action_cells")),
            )
        except (KeyError, TypeError, ValueError, AttributeError, AssertionError) as error:
            raise ConfigError(f"not a description of observation and action spaces: {error!r}") from error


def cells_from_json(said: Any) -> tuple[Cells | None, ...] | None:
    """The cells of actions as `Interface` holds them, from lists. Raises TypeError for what are none."""
    if said is None:
        return None
    return tuple(None if each is None else tuple(None if at is None else int(at) for at in each) for each in said)


def in_words(space: spaces.Space[Any]) -> str:
    """A space in one line: ``Box(4,)``, ``Discrete(3)``, ``Dict(image: Box(7, 7, 3), mission: Discrete(6))``."""
    match space:
        case spaces.Box():
            return f"Box{space.shape}"
        case spaces.Discrete():
            return f"Discrete({space.n})"
        case spaces.MultiDiscrete():
            return f"MultiDiscrete({space.nvec.tolist()})"
        case spaces.Dict():
            return f"Dict({', '.join(f'{key}: {in_words(part)}' for key, part in space.spaces.items())})"
    return " ".join(str(space).split())


def space_to_json(space: spaces.Space[Any]) -> dict[str, Any]:
    """A Box, Discrete, MultiDiscrete, MultiBinary or Dict space as plain data. Raises ConfigError for others."""
    match space:
        case spaces.Box():
            return {
                "space": "Box",
                "low": _bound(space.low),
                "high": _bound(space.high),
                "shape": list(space.shape),
                "dtype": str(space.dtype),
            }
        case spaces.Discrete():
            return {"space": "Discrete", "n": int(space.n), "start": int(space.start)}
        case spaces.MultiDiscrete():
            return {"space": "MultiDiscrete", "nvec": space.nvec.tolist()}
        case spaces.MultiBinary():
            return {"space": "MultiBinary", "n": space.n}
        case spaces.Dict():
            return {"space": "Dict", "spaces": {key: space_to_json(part) for key, part in space.spaces.items()}}
    raise ConfigError(
        f"a space of the kind {type(space).__name__} cannot be learnt from; "
        "expected Box, Discrete, MultiDiscrete, MultiBinary or Dict"
    )


def space_from_json(document: dict[str, Any]) -> spaces.Space[Any]:
    """The inverse of `space_to_json`."""
    match document["space"]:
        case "Box":
            shape, dtype = tuple(document["shape"]), np.dtype(document["dtype"])
            low = np.broadcast_to(np.array(document["low"], dtype=dtype), shape)
            high = np.broadcast_to(np.array(document["high"], dtype=dtype), shape)
            return spaces.Box(low, high, shape, dtype.type)
        case "Discrete":
            return spaces.Discrete(document["n"], start=document["start"])
        case "MultiDiscrete":
            return spaces.MultiDiscrete(document["nvec"])
        case "MultiBinary":
            return spaces.MultiBinary(document["n"])
        case "Dict":
            return spaces.Dict({key: space_from_json(part) for key, part in document["spaces"].items()})
    raise ValueError(f"no space is called {document['space']!r}")


def _bound(values: np.ndarray) -> Any:
    """One number where all entries agree, else the nested list. JSON has no infinity: Python's json writes it."""
    return values.flat[0].item() if values.size and (values == values.flat[0]).all() else values.tolist()
