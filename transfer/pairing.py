"""What a user says of a mapping beside the names of the two games: the table `[mapping]` of a study file."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

MARGIN = 1.0
"""How far below the mean of the mapped actions' outputs a new action starts."""

SPREAD = 0.5
"""Standard deviation of a new continuous dimension, in halves of its range."""

NONE = "none"
"""Says that nothing is mapped."""


class Pairing(BaseModel):
    """What the names of the two games do not say by themselves."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    features: dict[str, str] | Literal["none"] = Field(default_factory=dict)
    """Further pairs of features, target's name → source's name; they override equal names. `"none"`: observations are
    not mapped, and only what lies behind the first layers is carried."""
    planes: dict[str, str] = Field(default_factory=dict)
    """Further pairs of planes, and of the values of symbols (`lava`, or `object.lava`), likewise."""
    actions: dict[str, str | list[str]] | Literal["none"] = Field(default_factory=dict)
    """Further pairs of actions, likewise; a list where one of the target's stands for several of the source's.
    `"none"`: actions are not mapped, and only the torso is carried."""
    parts: dict[str, str] = Field(default_factory=dict)
    """Further pairs of parts of Dict observations, target's key → source's key, `"none"` for a part that is not to be
    read; an observation that is no Dict is the part `observation`."""
    fill: dict[str, float | str] = Field(default_factory=dict)
    """What the source sees of features, planes and parts that the target lacks, by the source's names: a number, or the
    name of a symbol. By default a vector's mean where the source normalises, else 0."""
    pad: dict[str, float | str] = Field(default_factory=dict)
    """What a cell beyond the target's edges holds, by the source's planes; by default 0, of symbols the first."""
    resize: Literal["crop", "nearest"] = "crop"
    """How grids of other sizes fit: cropped and padded around what the game says stays in place, or each cell from the
    nearest one."""
    margin: float = Field(default=MARGIN, gt=0.0)
    """How far below the mean of the carried actions' logits (or values) a new action starts."""
    spread: float = Field(default=SPREAD, gt=0.0)
    """Standard deviation of a new continuous dimension, in halves of its range."""
    function: str | None = None
    """`module:function` that replaces the mapping whole, see `transfer.custom`."""

    @field_validator("features", "actions", mode="before")
    @classmethod
    def _table_or_none(cls, found: Any) -> Any:
        if isinstance(found, dict) or found == NONE:
            return found
        raise ValueError(f'found {found!r}, expected a table of pairs, or "none"')

    @property
    def seen(self) -> dict[str, str]:
        """Pairs of features and planes together."""
        return {**(self.features if isinstance(self.features, dict) else {}), **self.planes}
