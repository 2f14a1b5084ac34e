"""What turns a grid world into a near relative of itself: MiniGrid's own game unless a dial is turned."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from envs.grid import cells, rules, view
from envs.grid.families import Family, find_family
from envs.registry import did_you_mean
from envs.validation import validated

_REWARDS = {"minigrid": rules.REWARD_MINIGRID, "goal": rules.REWARD_GOAL, "stages": rules.REWARD_STAGES}


_CODES = {
    "permute_objects": (cells.AGENT + 1, range(cells.WALL_KIND, cells.AGENT)),
    "permute_colours": (len(cells.COLOURS), range(len(cells.COLOURS))),
}
"""How many codes there are, and which of them can be permuted."""

Codes = int | tuple[int, ...] | None


class Dials(BaseModel):
    """How a world differs from MiniGrid's. By default, in nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_steps: int | None = Field(default=None, ge=1, le=2**31 - 1)
    """Steps to the truncation, over which the reward for success falls; None: as MiniGrid's."""
    max_episode_steps: int | None = Field(default=None, ge=1, le=2**31 - 1)
    """An earlier truncation, which leaves the reward as it is."""
    slip: float = Field(default=0.0, ge=0.0, lt=1.0)
    """With this probability left, right or forward turns into one of the other two."""
    mirrored: bool = False
    """The actions left and right are exchanged."""
    permute_objects: Codes = None
    """The objects that are shown are others: a seed for a permutation of wall to lava, or the code shown for each of
    the 11 kinds, those of `unseen`, `empty` and `agent` in their places. The world stays as it is."""
    permute_colours: Codes = None
    """The same of the 6 colours."""
    view_size: int = Field(default=7, ge=3, le=view.LARGEST)
    """Side of the square that is seen; odd."""
    distractors: int = Field(default=0, ge=0, le=1000)
    """Objects of random kind and colour beside the level's own, or as many as there is room for; no level becomes
    unsolvable."""
    reward: Literal["minigrid", "goal", "stages"] = "minigrid"
    """`minigrid`: success earns 1 - 0.9 * steps / max_steps. `goal`: it earns 1. `stages`: as `minigrid`, and
    `stage_reward` for the first time in an episode that a key is picked up, a locked door, a closed door, a box opened.
    """
    stage_reward: float = Field(default=0.1, allow_inf_nan=False)
    """For each stage."""
    observation: Literal["image", "dict"] | None = None
    """`image`: what is seen; `dict`: with direction and mission, as MiniGrid's. None: `dict` where the mission is not
    always the same."""

    @field_validator("view_size")
    @classmethod
    def _odd(cls, size: int) -> int:
        if size % 2 == 0:
            raise ValueError(f"found {size}, expected an odd number")
        return size

    @field_validator("permute_objects", "permute_colours", mode="before")
    @classmethod
    def _permutation(cls, given: Any, info: ValidationInfo) -> Any:
        if isinstance(given, np.ndarray | np.generic):
            given = given.tolist()
        _permuted(str(info.field_name), given)
        return given

    def codes(self) -> Any:
        """What is shown for each cell: the table of `view.codes`."""
        return view.codes(
            _permuted("permute_objects", self.permute_objects), _permuted("permute_colours", self.permute_colours)
        )


@dataclass(frozen=True)
class Setting:
    """One game: a family, its arguments and the dials."""

    family: Family
    arguments: Mapping[str, Any]
    """All of the family's."""
    dials: Dials

    @property
    def missions(self) -> tuple[str, ...]:
        """Code → text."""
        return self.family.missions(self.arguments)

    @property
    def as_dict(self) -> bool:
        """Whether observations are dictionaries."""
        return (self.dials.observation or ("dict" if len(self.missions) > 1 else "image")) == "dict"

    def rules(self) -> rules.Rules:
        """What decides a step."""
        dials = self.dials
        max_steps = dials.max_steps or self.family.max_steps(self.arguments)
        return rules.Rules(
            ending=self.family.ending,
            max_steps=max_steps,
            limit=min(max_steps, dials.max_episode_steps or max_steps),
            reward=_REWARDS[dials.reward],
            stage_reward=dials.stage_reward,
            mirrored=dials.mirrored,
            slip=dials.slip,
        )


def setting(family: str, keywords: Mapping[str, Any]) -> Setting:
    """The game of these keywords, some of which are the family's and some dials.

    Raises UnknownName or ConfigError: the keyword, what was found and what is expected.
    """
    found = find_family(family)
    for name in keywords:
        if name not in found.arguments and name not in Dials.model_fields:
            raise did_you_mean(f"argument of the grid world {family!r}:", name, [*found.arguments, *Dials.model_fields])
    arguments = {name: keywords.get(name, default) for name, default in found.arguments.items()}
    found.parameters(arguments)  # raises where no such level can be made
    turned = {name: value for name, value in keywords.items() if name not in arguments}
    return Setting(found, arguments, validated(Dials, turned, f"grid world {family!r}"))


def _permuted(name: str, given: Any) -> list[int]:
    """The code that is shown for each. Raises ValueError if `given` is neither None, a seed nor a permutation."""
    count, moved = _CODES[name]
    codes = list(range(count))
    if given is None:
        return codes
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        codes[moved.start : moved.stop] = np.random.default_rng(given).permutation(moved).tolist()
        return codes
    whole = isinstance(given, list | tuple) and all(type(code) is int for code in given)
    if not whole or sorted(given) != codes or any(given[code] != code for code in codes if code not in moved):
        stay = ", ".join(str(code) for code in codes if code not in moved)
        stay = f" ({stay} in their places)" if stay else ""
        raise ValueError(f"found {given!r}, expected a seed, or the numbers 0 to {count - 1} in another order{stay}")
    return list(given)
