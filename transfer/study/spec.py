"""The study file: what is compared with what, written in TOML and checked before anything is trained.

A study trains *arms* on one target task. The arm `scratch` has no methods; every other arm carries the policy of a
source run into the target by its methods. `docs/` shows a file; `studies/` holds some that run.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from agents.config import Evaluation
from envs.errors import ConfigError, HeadstartError
from envs.registry import did_you_mean
from envs.task import Change
from envs.validation import explain, validated
from transfer.study.compared import SCRATCH as SCRATCH
from transfer.study.compared import SOURCE as SOURCE
from transfer.study.compared import Arm, Controls, Dial, MappingOverrides
from transfer.study.sides import MOST_SEEDS as MOST_SEEDS
from transfer.study.sides import Part, Source, Target

METRICS = ("jumpstart", "asymptotic", "total_reward", "transfer_ratio", "time_to_threshold")
"""What a study can declare as its primary metric."""


def _plain(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", name):
        raise ValueError(f"found {name!r}, expected letters, digits and _ . + - only")
    return name


Name = Annotated[str, AfterValidator(_plain)]


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Say where in the study file a mistake is."""
    try:
        yield
    except HeadstartError as error:
        raise type(error)(f"{where}: {error}") from error


class Study(Part):
    """A study file."""

    name: Name
    """The folder under `results/`."""
    seeds: tuple[Annotated[int, Field(ge=0)], ...]
    """How many seeds from 0, or which."""
    primary: str = "total_reward"
    """The metric that gets the verdict, declared before anything is trained."""
    thresholds: tuple[float, ...] = ()
    """Returns whose time to threshold is measured; by default the report takes the catalogue's."""
    source: Source
    """Where the knowledge comes from."""
    target: Target
    """What the arms are trained on."""
    evaluation: Evaluation = Field(default_factory=Evaluation)
    """How runs on the target are evaluated."""
    mapping: MappingOverrides = Field(default_factory=MappingOverrides)
    """What the names of features and actions do not say by themselves."""
    arms: dict[Name, Arm]
    """By name; one of them is `scratch`."""

    dial: Dial | None = None
    """What is turned on the target, in a study that measures transfer over a distance."""
    controls: Controls = Field(default_factory=Controls)
    """Which control arms are added."""

    @model_validator(mode="after")
    def _one_grid(self) -> Self:
        if self.evaluation.through:
            raise ValueError("evaluation.through: leave it out; it is for the control that source_budget adds")
        return self

    @model_validator(mode="after")
    def _dial_alone_turns(self) -> Self:
        if self.dial is None:
            return self
        place, _, name = self.dial.argument.rpartition(".")
        if place not in ("", "arguments", "change") or not name:
            raise ValueError(
                f"dial.argument: found {self.dial.argument!r}, expected an argument of the target, or change.NAME"
            )
        if place == "change" and name not in Change.model_fields:
            raise ValueError(f"dial.argument: {did_you_mean('change', name, Change.model_fields)}")
        if name in (self.target.change.model_fields_set if place == "change" else self.target.arguments):
            raise ValueError(f"dial.argument: the target sets {name!r} already; leave it to the dial")
        return self

    def at(self, value: float) -> Self:
        """The same study at one value of its dial: an ordinary one. Raises ConfigError for an impossible value."""
        if self.dial is None:
            raise ConfigError(f"study {self.name!r} has no dial to set")
        target, name = self.target, self.dial.name
        if self.dial.argument == f"change.{name}":
            change = {**target.change.model_dump(exclude_unset=True), name: value}
            turned = target.model_copy(update={"change": validated(Change, change, f"dial {self.dial.label(value)}")})
        else:
            turned = target.model_copy(update={"arguments": {**target.arguments, name: value}})
        return self.model_copy(
            update={"target": turned, "dial": None, "name": f"{self.name}, {self.dial.label(value)}"}
        )

    def mapping_of(self, arm: str) -> dict[str, Any]:
        """What an arm's mapping is told, for `transfer.carry.Pairing`: the study's fields, and over them the arm's."""
        own = self.arms[arm].mapping
        over = {} if own is None else own.model_dump(exclude_unset=True, exclude_none=True)
        return {**self.mapping.model_dump(exclude_none=True), **over}

    @field_validator("seeds", mode="before")
    @classmethod
    def _list_of_seeds(cls, found: Any) -> Any:
        if isinstance(found, int) and not isinstance(found, bool) and found >= 1:
            if found > MOST_SEEDS:
                raise ValueError(f"found {found}, expected at most {MOST_SEEDS}")
            return tuple(range(found))
        if isinstance(found, list | tuple) and found and all(type(seed) is int for seed in found):
            if len(set(found)) == len(found):
                return tuple(found)
            raise ValueError(f"found {found!r}, expected each seed once")
        raise ValueError(f"found {found!r}, expected how many (5) or a list ([0, 3, 7])")

    @field_validator("primary")
    @classmethod
    def _known_metric(cls, name: str) -> str:
        if name not in METRICS:
            raise ValueError(str(did_you_mean("metric", name, METRICS)))
        return name

    @field_validator("arms")
    @classmethod
    def _scratch_and_others(cls, arms: dict[str, Arm]) -> dict[str, Arm]:
        if SCRATCH not in arms:
            found = ", ".join(arms) or "none"
            raise ValueError(f"found {found}, expected one arm without methods called 'scratch': [arms.scratch]")
        if arms[SCRATCH].by:
            raise ValueError("scratch has methods; expected none: it is what the others are compared with")
        if arms[SCRATCH].mapping is not None:
            raise ValueError("scratch has a mapping; expected none: it carries nothing")
        if arms[SCRATCH].further:
            raise ValueError("scratch has further teachers; expected none: it carries nothing")
        if SOURCE in arms:
            raise ValueError("'source' is what source runs are called; expected another name for this arm")
        for name, arm in arms.items():
            if not arm.by and name != SCRATCH:
                raise ValueError(f'{name} has no methods, expected some, such as by = ["finetune"]')
        return arms

    @model_validator(mode="after")
    def _declared_before(self) -> Self:
        if self.primary == "time_to_threshold" and not self.thresholds:
            raise ValueError("primary is time_to_threshold, expected thresholds = [...] to be declared too")
        return self


def load_study(path: str | Path) -> Study:
    """Read a study file. Raises ConfigError: one line with the file, the key, what was found and expected."""
    path = Path(path)
    if path.is_dir():
        raise ConfigError(f"{path} is a folder, expected a study file: a TOML file, as in studies/")
    if not path.is_file():
        raise ConfigError(f"there is no study file {str(path)!r}; expected a TOML file, as in studies/")
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error
    return parse_study(document, str(path))


def parse_study(document: dict[str, Any], where: str) -> Study:
    """A study from a document as TOML gives it. Raises ConfigError."""
    try:  # strict JSON: "5" is no number, true is no number, and a list is a tuple
        return Study.model_validate_json(json.dumps(document, default=str), strict=True)
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain(error, Study)}") from error
