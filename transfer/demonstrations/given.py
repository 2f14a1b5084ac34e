"""A data set that a method is given: found when the settings are read, unchanged, and played in the target's spaces."""

from typing import Any

import numpy as np
from gymnasium import spaces
from pydantic import model_validator

from envs.errors import ConfigError
from transfer.demonstrations.datasets import digest
from transfer.demonstrations.episodes import Transitions
from transfer.method import MethodSettings


class DataSetSettings(MethodSettings):
    """Which data set."""

    dataset: str | None = None
    """The id of a Minari data set on this machine, whose episodes are taken instead of the teacher's: no transition of
    the target is taken for them, and none is counted."""
    sha256: str | None = None
    """Of the data set's files; found if not given. Files with another one are refused."""

    @model_validator(mode="before")
    @classmethod
    def _digested(cls, document: Any) -> Any:
        if isinstance(document, dict) and isinstance(document.get("dataset"), str) and not document.get("sha256"):
            return {**document, "sha256": digest(document["dataset"])}
        return document


def check_unchanged(dataset: str, expected: str | None) -> None:
    """Raises ConfigError if a data set's files have another SHA-256."""
    found = digest(dataset)
    if expected not in (None, found):
        raise ConfigError(
            f"the data set {dataset!r} has changed: its files have the SHA-256 {found[:12]}…, expected "
            f"{str(expected)[:12]}…; take the old files, or leave sha256 out"
        )


def check_fits(
    dataset: str,
    flat: Transitions,
    observed: spaces.Space[Any],
    acted: spaces.Space[Any],
    *,
    ordered: bool = False,
) -> None:
    """Raises ConfigError if a data set was not played in these spaces of observations and actions.

    Unless `ordered`, axes may come in another order, as those of pictures do where a learner sees them channels first.
    """
    seen, expected = _shapes(flat.observations, ordered), _space_shapes(observed, ordered)
    if seen != expected:
        seen, expected = _shapes(flat.observations, True), _space_shapes(observed, True)
        raise ConfigError(f"the data set {dataset!r} has observations {seen}, the target {expected}: take another")
    given = flat.actions.shape[1:]
    if given != (acted.shape or ()):
        raise ConfigError(
            f"the data set {dataset!r} has actions of the shape {given}, the target {acted}: take another"
        )
    if isinstance(acted, spaces.Discrete) and not all(map(acted.contains, np.unique(flat.actions))):
        raise ConfigError(
            f"the data set {dataset!r} has actions {np.unique(flat.actions).tolist()}, the target {acted}: take another"
        )


def _shapes(observations: Any, ordered: bool) -> dict[str, tuple[int, ...]]:
    parts = observations if isinstance(observations, dict) else {"observation": observations}
    return {name: _axes(part.shape[1:], ordered) for name, part in parts.items()}


def _space_shapes(space: spaces.Space[Any], ordered: bool) -> dict[str, tuple[int, ...]]:
    parts = space.spaces if isinstance(space, spaces.Dict) else {"observation": space}
    return {name: _axes(part.shape or (), ordered) for name, part in parts.items()}


def _axes(shape: tuple[int, ...], ordered: bool) -> tuple[int, ...]:
    return tuple(shape) if ordered else tuple(sorted(shape))
