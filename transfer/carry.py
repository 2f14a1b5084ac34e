"""What a run's config says of transfer, and the training that does it: the one place where both floors meet."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from agents.config import RunConfig
from agents.policy import Policy
from agents.runs import Run
from agents.selfplay.references import resolved
from agents.training import train
from envs.customise import source_of
from envs.errors import ConfigError, MappingError
from envs.interface import Interface
from envs.task import Task
from envs.validation import validated
from envs.vector import interface, make_vec
from transfer.distillation.views import viewed
from transfer.mapping import Mapping
from transfer.method import METHODS, Composite, Context, Crossing, Origin, Teacher, completed, compose
from transfer.pairing import Pairing
from transfer.shuffling import shuffled
from transfer.sources import find_source


class Further(BaseModel):
    """A teacher besides the first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    """The key of its run."""
    source_step: int | None = Field(default=None, ge=0)
    """Which of its policies: one kept at this step, or the last."""
    mapping: Pairing = Field(default_factory=Pairing)
    """Between its game and the target."""


class Carry(BaseModel):
    """What is carried into a run: `RunConfig.transfer`. Every setting is spelt out, so that a run's key holds it.

    Raises UnknownName for a method or a setting that does not exist, ConfigError for what makes no sense.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str
    """The key of the source's run, or of a policy that is kept without its run."""
    source_step: int | None = Field(default=None, ge=0)
    """Which of its policies: one kept at this step, or the last."""
    by: tuple[dict[str, Any], ...]
    """The methods in order, each with its settings: `{"method": "finetune", "layers": "all", …}`."""
    mapping: Pairing = Field(default_factory=Pairing)
    """Between the two games."""
    further: tuple[Further, ...] = ()
    """Teachers besides the source, for methods that take several."""
    shuffled: bool = False
    """Whether the teachers' weights are shuffled first: a control, see `transfer.shuffling`."""
    sources: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of the source text of each method that another distribution brings, and of a mapping's function; found
    if not given."""

    @field_validator("by", mode="before")
    @classmethod
    def _spelt_out(cls, found: Any) -> Any:
        if not isinstance(found, list | tuple):
            raise ValueError(f'found {found!r}, expected a list of methods, such as ["finetune"]')
        return tuple(completed(entry) for entry in found)

    @model_validator(mode="after")
    def _together(self) -> Self:
        self.methods()
        return self

    @model_validator(mode="before")
    @classmethod
    def _versions(cls, document: Any) -> Any:
        if not isinstance(document, dict) or document.get("sources"):
            return document
        entries = document.get("by") if isinstance(document.get("by"), list | tuple) else []
        names = {entry if isinstance(entry, str) else dict(entry).get("method") for entry in entries or []}
        targets = {METHODS.target(name) for name in names if isinstance(name, str)}
        foreign = {target for target in targets if not target.startswith("transfer.methods.")}
        foreign |= _functions(document)
        return {**document, "sources": {target: source_of(target) for target in sorted(foreign)}}

    @model_serializer(mode="wrap")
    def _without_default(self, document: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `shuffled` where it says nothing: the keys of runs that never heard of it stay."""
        found: dict[str, Any] = document(self)
        return found if self.shuffled else {name: value for name, value in found.items() if name != "shuffled"}

    def methods(self) -> Composite:
        """The methods, fresh."""
        return compose(self.by)

    def seen_from(self, teacher: Further) -> "Carry":
        """The same with a further teacher in the source's place."""
        own = {"source": teacher.source, "source_step": teacher.source_step, "mapping": teacher.mapping}
        return self.model_copy(update={**own, "further": ()})

    def between(self, source: Interface, target: Interface) -> Mapping:
        """The mapping. Raises MappingError or UnknownName."""
        return Mapping.between(source, target, self.mapping)


def _functions(document: dict[str, Any]) -> set[str]:
    """The functions that replace a mapping, of the source and of further teachers."""
    further = document.get("further")
    told = [document, *(further if isinstance(further, list | tuple) else ())]
    found = set()
    for each in told:
        mapping = each.get("mapping") if isinstance(each, dict) else getattr(each, "mapping", None)
        name = mapping.get("function") if isinstance(mapping, dict) else getattr(mapping, "function", None)
        found |= {name} if isinstance(name, str) else set()
    return found


def carry_of(config: RunConfig) -> Carry:
    """What a run carries. Raises ConfigError if it carries nothing, or if its words make no sense."""
    if config.transfer is None:
        raise ConfigError(f"the run on {config.task} carries nothing: expected a transfer in its config")
    return validated(Carry, config.transfer, "transfer")


def carrying(config: RunConfig, carry: Carry) -> RunConfig:
    """The same run with something carried into it."""
    return config.model_copy(update={"transfer": carry.model_dump(mode="json")})


def check(config: RunConfig, source: RunConfig | Origin, further: Sequence[RunConfig | Origin] = ()) -> Mapping:
    """All that can be refused before the source is trained: methods, settings, mapping, kinds of networks.

    Args:
        config: a run that carries something.
        source: what decides the run it carries from, or what is known of a policy without its run.
        further: likewise of the further teachers, where they are known already.

    Returns the mapping, whose `report()` tells what is carried. Raises a HeadstartError.
    """
    carry = carry_of(config)
    mapping = _between(carry, _known(source), config, source)
    others = [
        Crossing(other, config, _between(carry.seen_from(teacher), _known(other), config, other))
        for teacher, other in zip(carry.further, further, strict=False)
    ]
    _check_methods(carry.methods(), Crossing(source, config, mapping, tuple(others)), carry)
    return mapping


def _check_methods(methods: Composite, crossing: Crossing, carry: Carry) -> None:
    if carry.further and not any(method.takes_several for method in methods.methods):
        names = ", ".join(method.name for method in methods.methods)
        raise ConfigError(
            f"{len(carry.further) + 1} teachers for {names}, which learns from one: take distill or dagger"
        )
    methods.check(crossing)


def hooks_for(config: RunConfig, root: Path) -> Composite:
    """The methods of a run, bound to its teacher. Raises a HeadstartError for all that cannot work.

    Args:
        config: a run that carries something.
        root: where runs live; the source must be there, finished.
    """
    carry = carry_of(config)
    source, teacher = _source(carry, root, config)
    mapping = _between(carry, teacher.interface, config, source)
    methods = carry.methods()
    others = [_further(carry.seen_from(teacher), root, config) for teacher in carry.further]
    crossings = tuple(Crossing(origin, config, known.mapping) for origin, known in others)
    _check_methods(methods, Crossing(source, config, mapping, crossings), carry)
    methods.bind(
        Context(
            teacher=teacher,
            mapping=mapping,
            task=config.task,
            algorithm=config.algorithm,
            hyperparameters=config.hyperparameters,
            steps=config.steps,
            seed=config.seed,
            further=tuple(teacher for _, teacher in others),
        )
    )
    return methods


def _further(carry: Carry, root: Path, config: RunConfig) -> tuple[RunConfig | Origin, Teacher]:
    """A further teacher, and what decided its run."""
    origin, policy = _source(carry, root, config)
    return origin, Teacher(policy, _between(carry, policy.interface, config, origin))


def _source(carry: Carry, root: Path, config: RunConfig) -> tuple[RunConfig | Origin, Policy]:
    """What decided the source, and its policy, its weights shuffled where the run is a control."""
    source = find_source(carry.source, root, step=carry.source_step)
    return source.config, shuffled(source.policy, config.seed) if carry.shuffled else source.policy


def _known(source: RunConfig | Origin) -> Interface:
    """The interface of a source's game, as far as it is known before its policy is."""
    return source.interface if isinstance(source, Origin) else interface_of(source.task)


def train_run(
    config: RunConfig,
    root: Path,
    *,
    on_progress: Callable[[int, int], None] | None = None,
    on_evaluation: Callable[[int, float], None] | None = None,
    wait: bool = False,
) -> Run:
    """Train one run, from scratch or with what it carries; a finished one is returned as it is.

    With `wait`, another process that trains the same run is waited for, and its run returned.
    Raises a HeadstartError before training if the methods, the mapping or the source cannot work.
    """
    hooks = None
    config = config.model_copy(update={"task": resolved(config.task, root)})
    if config.transfer is not None and Run(root / config.key()).state != "done":
        hooks = hooks_for(config, root)
    return train(config, root, hooks=hooks, on_progress=on_progress, on_evaluation=on_evaluation, wait=wait)


def shown(carry: Carry, target: Task, source: Task) -> Task:
    """What the teacher looks at: the target, or where a method says so the target as the source's agent observes it."""
    if not any(entry.get("view") == "source" for entry in carry.by):
        return target
    return viewed(target, source.change.observation)


def interface_of(task: Task) -> Interface:
    """The spaces and names of a game, as an agent on it sees them. Raises what making it raises."""
    return _interface_of(task.model_dump_json())


@lru_cache(maxsize=64)
def _interface_of(document: str) -> Interface:
    venv = make_vec(Task.model_validate_json(document), n_envs=1)
    try:
        return interface(venv)
    finally:
        venv.close()


def _between(carry: Carry, source: Interface, config: RunConfig, origin: RunConfig | Origin) -> Mapping:
    """The mapping, its errors naming the two games."""
    try:
        return carry.between(source, interface_of(shown(carry, config.task, origin.task)))
    except MappingError as error:
        raise MappingError(f"from {origin.task} to {config.task}: {error}") from error
