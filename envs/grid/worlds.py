"""Worlds of one game as arrays, and what happens to them: started, stepped and looked at, as many as there are."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from envs.errors import ConfigError
from envs.grid import cells, chance, rules, view
from envs.grid.dials import Setting
from envs.grid.distractors import scatter
from envs.minigrid import ACTIONS, FEATURES, HIGHEST

Array = npt.NDArray[Any]


class Worlds:
    """`count` worlds of one game. Nothing is drawn until they are started.

    Args:
        setting: the game.
        count: how many.
    """

    def __init__(self, setting: Setting, count: int) -> None:
        family, arguments, dials = setting.family, setting.arguments, setting.dials
        width, height = family.shape(arguments)
        self.count = count
        self.setting = setting
        self.rules = setting.rules()
        self.cells = np.full((count, height, width), cells.EMPTY, dtype=np.uint16)
        self.status = np.zeros((count, cells.STATUS), dtype=np.int32)
        self.status[:, cells.CARRYING] = cells.EMPTY
        self.obstacles = np.zeros((count, family.n_obstacles(arguments), 2), dtype=np.int16)
        self.chance = chance.seed_rows([None] * count)
        self.everyone = np.arange(count)
        self._generate = family.load()
        self._parameters = np.zeros(16, dtype=np.int64)
        given = family.parameters(arguments)
        self._parameters[: len(given)] = given
        self._codes = dials.codes()
        self._no_moves = np.zeros((count, 0, 2), dtype=np.int16)

    @property
    def actions(self) -> tuple[str, ...]:
        """Names of the actions."""
        return ACTIONS[: self.setting.family.n_actions]

    @property
    def names(self) -> dict[str, tuple[str, ...]]:
        """What an environment says of itself: the names of an image's channels and of its actions."""
        return {"features": FEATURES, "actions": self.actions}

    def spaces(self) -> tuple[spaces.Space[Any], spaces.Discrete]:
        """Of one world: an image, or a Dict of image, direction and mission; and the actions."""
        side = self.setting.dials.view_size
        image = spaces.Box(0, np.broadcast_to(np.array(HIGHEST, np.uint8), (side, side, 3)), dtype=np.uint8)
        actions = spaces.Discrete(self.setting.family.n_actions)
        if not self.setting.as_dict:
            return image, actions
        missions = spaces.Discrete(len(self.setting.missions))
        return spaces.Dict({"image": image, "direction": spaces.Discrete(4), "mission": missions}), actions

    def seed(self, which: Array, seeds: Sequence[int | None]) -> None:
        """Give the worlds in `which` a chance of their own; where a seed is None it stays as it is.

        Raises ConfigError if a seed is negative.
        """
        given = [place for place, seed in enumerate(seeds) if seed is not None]
        if given:
            self.chance[which[given]] = chance.seed_rows([seeds[place] for place in given])

    def start(self, which: Array) -> None:
        """Draw the worlds in `which` (m,) int64 afresh."""
        self._generate(self.cells, self.status, self.obstacles, self.chance, which, self._parameters)
        number = self.setting.dials.distractors
        if number:
            scatter(self.cells, self.status, self.obstacles, self.chance, which, number, self.rules.ending)

    def step(self, actions: Array, moves: Array | None = None) -> tuple[Array, Array, Array]:
        """Rewards (count,) float64, terminated and truncated (count,) bool.

        Args:
            actions: (count,).
            moves: int16 (count, k, 2), where each obstacle goes; None draws it by chance.

        Raises ConfigError if there are not as many actions as worlds, or one is none.
        """
        actions = self._checked(actions)
        rewards = np.empty(self.count)
        terminated, truncated = np.empty((2, self.count), dtype=np.bool_)
        moves = self._no_moves if moves is None else moves
        rules.step(
            self.cells,
            self.status,
            self.obstacles,
            self.chance,
            actions,
            self.rules,
            moves,
            rewards,
            terminated,
            truncated,
        )
        return rewards, terminated, truncated

    def observe(self, which: Array | None = None) -> Any:
        """What the agents of the worlds in `which` (m,) see, None: of all. New arrays: (m, view, view, 3) uint8, or a
        dictionary of an image, a direction and a mission.
        """
        which = self.everyone if which is None else which
        side = self.setting.dials.view_size
        images, words = view.blank(len(which), side)
        view.observe(self.cells, self.status, which, (0,) * side, self.setting.family.see_through, self._codes, words)
        if not self.setting.as_dict:
            return images
        row = self.status[which]
        return {
            "image": images,
            "direction": row[:, cells.DIRECTION].astype(np.int64),
            "mission": row[:, cells.MISSION].astype(np.int64),
        }

    def get_state(self) -> dict[str, Array]:
        """All that decides what follows, but the setting: copies, each with a leading axis of `count`."""
        return {name: array.copy() for name, array in self._arrays().items()}

    def set_state(self, state: Mapping[str, Array]) -> None:
        """Go on from what `get_state` returned. Raises ConfigError if that is of other worlds, or of none."""
        mine = self._arrays()
        for name, array in mine.items():
            if name not in state or np.shape(state[name]) != array.shape:
                found = f"of shape {np.shape(state[name])}" if name in state else "missing"
                raise ConfigError(f"the state's {name!r} is {found}: expected {array.dtype} of shape {array.shape}")
        self._check_places(np.asarray(state["status"]), np.asarray(state["obstacles"]))
        for name, array in mine.items():
            array[...] = state[name]

    def _check_places(self, status: Array, obstacles: Array) -> None:
        """Raises ConfigError if something stands outside its world: compiled code does not look."""
        _, height, width = self.cells.shape
        limits = {"x": (cells.X, width), "y": (cells.Y, height), "direction": (cells.DIRECTION, 4)}
        limits["mission"] = (cells.MISSION, len(self.setting.missions))
        for name, (column, stop) in limits.items():
            wrong = status[:, column][(status[:, column] < 0) | (status[:, column] >= stop)]
            if wrong.size:
                raise ConfigError(f"the state has an agent whose {name} is {wrong[0]}: expected 0 to {stop - 1}")
        if ((obstacles < 0) | (obstacles >= (width, height))).any():
            raise ConfigError(f"the state has an obstacle outside its world of {width} by {height} cells")

    def _arrays(self) -> dict[str, Array]:
        return {"cells": self.cells, "status": self.status, "obstacles": self.obstacles, "chance": self.chance}

    def _checked(self, actions: Any) -> Array:
        given = np.asarray(actions)
        if given.shape != (self.count,) or given.dtype.kind not in "iu":
            raise ConfigError(f"actions are {given.dtype} of shape {given.shape}: expected ({self.count},) integers")
        if self.count and (given.min() < 0 or given.max() >= len(self.actions)):
            wrong = given[(given < 0) | (given >= len(self.actions))][0]
            raise ConfigError(
                f"action {wrong}: expected 0 ({self.actions[0]}) to {len(self.actions) - 1} ({self.actions[-1]})"
            )
        return np.ascontiguousarray(given, dtype=np.int64)
