"""What a study file compares: its arms, the controls beside them, and the dial that is turned on the target."""

from typing import Any

from pydantic import Field, field_serializer, field_validator

from transfer.pairing import Pairing
from transfer.study.sides import Part

SCRATCH = "scratch"
"""The arm that everything is compared with."""

SOURCE = "source"
"""What source runs are called where arms are listed."""


class MappingOverrides(Pairing):
    """What the names of the two games do not say by themselves."""


class Arm(Part):
    """One way to learn the target."""

    by: tuple[dict[str, Any], ...] = ()
    """The methods in order, each a name or a table with `method` and its options; none for `scratch`."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Hyperparameters of this arm alone. Then the arm differs from scratch in more than its methods."""
    mapping: MappingOverrides | None = None
    """The mapping of this arm alone: each of its fields that is given stands instead of the study's."""
    further: tuple[str, ...] = ()
    """Teachers besides the source, for methods that take several: the keys or folders of finished runs. Each serves all
    seeds and maps to the target by the arm's mapping."""

    @field_serializer("mapping")
    def _as_given(self, mapping: MappingOverrides | None) -> dict[str, Any] | None:
        """Without defaults, which would stand instead of the study's fields."""
        return None if mapping is None else mapping.model_dump(mode="json", exclude_unset=True)

    @field_validator("by", mode="before")
    @classmethod
    def _tables(cls, found: Any) -> Any:
        if not isinstance(found, list | tuple):
            raise ValueError(f'found {found!r}, expected a list of methods, such as ["finetune"]')
        return tuple(_method_table(entry) for entry in found)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods' names, in order."""
        return tuple(entry["method"] for entry in self.by)


class Controls(Part):
    """Arms that the study adds to tell what transfer is from what it is not; see `transfer.controls`."""

    source_budget: bool = False
    """`scratch+source`: scratch that is given the source's budget too, all of it on the target."""
    shuffled_teacher: bool = False
    """`ARM+shuffled` for each arm: the same methods and a teacher whose weights were shuffled."""


class Dial(Part):
    """One number of the target that the study turns: everything is measured at each of its values."""

    argument: str
    """An argument of the target's game, such as ``slip``; or ``change.NAME``, such as ``change.sticky``."""
    values: tuple[int | float, ...] = Field(min_length=2)
    """In the order of the report."""

    @field_validator("values")
    @classmethod
    def _each_once(cls, values: tuple[int | float, ...]) -> tuple[int | float, ...]:
        if len(set(values)) < len(values):
            raise ValueError(f"found {list(values)}, expected each value once")
        return values

    @property
    def name(self) -> str:
        """The argument without what it belongs to."""
        return self.argument.rpartition(".")[2]

    def label(self, value: float) -> str:
        """``slip=0.1``."""
        return f"{self.name}={value}"


def _method_table(entry: Any) -> dict[str, Any]:
    if isinstance(entry, str):
        return {"method": entry}
    if isinstance(entry, dict) and isinstance(entry.get("method"), str):
        return entry
    raise ValueError(f'found {entry!r}, expected "name" or {{ method = "name", ... }}')
