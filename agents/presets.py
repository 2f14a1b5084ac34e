"""Tuned hyperparameters, from `presets.toml`: an algorithm's defaults, then a family's, then a game's."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from envs.task import Task

PRESET_OF = {"sb3-ppo": "ppo", "maskable-ppo": "ppo", "sb3-dqn": "dqn"}
"""Algorithms that take another one's presets."""


def preset(algorithm: str, task: Task) -> dict[str, Any]:
    """The tuned hyperparameters of an algorithm on a task's game; empty if nobody tuned any."""
    tables = _presets().get(PRESET_OF.get(algorithm, algorithm), {})
    merged: dict[str, Any] = {}
    for table in (
        tables.get("default", {}),
        tables.get("family", {}).get(_family(task), {}),
        tables.get("game", {}).get(task.game, {}),
    ):
        merged |= {key: value for key, value in table.items() if key != "source"}
    return merged


def _family(task: Task) -> str:
    from envs.catalogue import find_game

    return find_game(task.game).family


@cache
def _presets() -> dict[str, Any]:
    return tomllib.loads(files("agents").joinpath("presets.toml").read_text(encoding="utf-8"))
