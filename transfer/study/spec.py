"""The study file: what is compared with what, written in TOML and checked before anything is trained.

A study trains *arms* on one target task. The arm `scratch` has no methods; every other arm carries the policy of a
source run into the target by its methods. `docs/` shows a file; `studies/` holds some that run.
"""

import json
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from agents.config import Evaluation
from envs.errors import ConfigError
from envs.registry import did_you_mean
from envs.task import Change, Task
from envs.validation import explain, validated
from transfer.pairing import Pairing

MOST_SEEDS = 10_000
"""More are a slip of the pen."""

METRICS = ("jumpstart", "asymptotic", "total_reward", "transfer_ratio", "time_to_threshold")
"""What a study can declare as its primary metric."""

SCRATCH = "scratch"
"""The arm that everything is compared with."""

SOURCE = "source"
"""What source runs are called where arms are listed."""


def _plain(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]*", name):
        raise ValueError(f"found {name!r}, expected letters, digits and _ . + - only")
    return name


Name = Annotated[str, AfterValidator(_plain)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Target(_Part):
    """What the arms are trained on."""

    game: str
    """A catalogue id, any Gymnasium id, ``module:Id-v0``, or a plug-in's name."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Keyword arguments of the game."""
    change: Change = Field(default_factory=Change)
    """How the game is customised."""
    algorithm: str = "ppo"
    """A name of the registry of algorithms."""
    steps: int = Field(ge=1)
    """The budget of one run, in transitions."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Hyperparameters that differ from the preset."""

    @property
    def task(self) -> Task:
        """What is played."""
        return Task(game=self.game, arguments=self.arguments, change=self.change)


class Nested(_Part):
    """Every target seed starts from each of several sources: n sources × the study's seeds."""

    nested: int = Field(ge=2, le=MOST_SEEDS)
    """How many sources, of the seeds 0, 1, …"""


class Source(_Part):
    """Where the knowledge comes from: runs that the study trains, or one run that is there already."""

    game: str | None = None
    """As in the target."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """As in the target."""
    change: Change = Field(default_factory=Change)
    """As in the target."""
    algorithm: str = "ppo"
    """As in the target."""
    steps: int | None = Field(default=None, ge=1)
    """As in the target."""
    set: dict[str, Any] = Field(default_factory=dict)
    """As in the target."""
    evaluation: Evaluation = Field(default_factory=Evaluation)
    """How source runs are evaluated; their own, so that studies with different targets share them."""
    seeds: Literal["paired", "shared"] | Nested = "paired"
    """`paired`: target seed i starts from source seed i. `shared`: all start from the source of the first seed, and
    the results hold for this checkpoint only. `{ nested = n }`: each target seed starts from each of n sources."""
    checkpoints: tuple[Annotated[float, Field(ge=0, le=1)], ...] = ()
    """Shares of a source's budget, such as 0.25: every arm is trained from the policy that the source had then, as an
    arm of its own. By default from the last policy alone."""
    run: str | None = None
    """The key or folder of a finished run that serves all seeds, instead of sources trained by the study."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        given = sorted(self.model_fields_set - {"run", "checkpoints"})
        if self.run is not None and given:
            raise ValueError(f"found run together with {', '.join(given)}; expected run alone, or game and steps")
        if self.run is None and (self.game is None or self.steps is None):
            missing = " and ".join(name for name in ("game", "steps") if getattr(self, name) is None)
            raise ValueError(f"{missing} missing; expected game and steps, or the run of an earlier training")
        return self

    @field_validator("seeds", mode="before")
    @classmethod
    def _way_to_pair(cls, found: Any) -> Any:
        nested = found.get("nested") if isinstance(found, dict) and set(found) == {"nested"} else None
        if found in ("paired", "shared") or isinstance(found, Nested) or (type(nested) is int and nested >= 2):
            return found
        raise ValueError(f"found {found!r}, expected 'paired', 'shared' or {{ nested = n }} with n at least 2")

    @field_validator("checkpoints")
    @classmethod
    def _each_share_once(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        if len(set(shares)) < len(shares):
            raise ValueError(f"found {list(shares)}, expected each share once")
        return shares

    @property
    def nested(self) -> int | None:
        """How many sources each target seed starts from; None unless seeds are nested."""
        return self.seeds.nested if isinstance(self.seeds, Nested) else None

    @property
    def shared(self) -> bool:
        """Whether one checkpoint serves all seeds."""
        return self.run is not None or self.seeds == "shared"

    @property
    def task(self) -> Task:
        """What source runs play. Raises ConfigError where the source is a run that is there already."""
        if self.game is None:
            raise ConfigError(f"the source is the run {self.run!r}, whose own folder says what it played")
        return Task(game=self.game, arguments=self.arguments, change=self.change)


class MappingOverrides(Pairing):
    """What the names of the two games do not say by themselves."""


class Arm(_Part):
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


class Controls(_Part):
    """Arms that the study adds to tell what transfer is from what it is not; see `transfer.controls`."""

    source_budget: bool = False
    """`scratch+source`: scratch that is given the source's budget too, all of it on the target."""
    shuffled_teacher: bool = False
    """`ARM+shuffled` for each arm: the same methods and a teacher whose weights were shuffled."""


class Dial(_Part):
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


class Study(_Part):
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


def _method_table(entry: Any) -> dict[str, Any]:
    if isinstance(entry, str):
        return {"method": entry}
    if isinstance(entry, dict) and isinstance(entry.get("method"), str):
        return entry
    raise ValueError(f'found {entry!r}, expected "name" or {{ method = "name", ... }}')
