"""What a transfer method is, the registry of methods, and how several work together.

A method enters a training at one or more of three places (see `agents.hooks`): the start (`build`, `initialise`,
`prepare`), the world (`wrap`, `taken`) and the gradient (`auxiliary_loss`, `schedule`). It overrides those it needs.
"""

from collections.abc import Callable, Sequence
from collections.abc import Mapping as Pairs
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from gymnasium import spaces
from pydantic import BaseModel, ConfigDict

from agents.hooks import Hooks
from envs.errors import ConfigError
from envs.registry import Registry
from envs.validation import validated

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.vec_env import VecEnv
    from torch import Tensor

    from agents.config import RunConfig
    from agents.outputs import Batch, Outputs
    from agents.policy import Policy
    from envs.interface import Interface
    from envs.task import Task
    from transfer.mapping import Mapping

Place = Literal["start", "world", "gradient"]

METHODS = Registry(
    "method",
    {
        "finetune": "transfer.methods.finetune:Finetune",
        "perturb": "transfer.methods.perturb:Perturb",
        "progressive": "transfer.methods.progressive:Progressive",
        "distill": "transfer.methods.distill:Distill",
        "replay": "transfer.methods.replay:Replay",
        "shape": "transfer.methods.shape:Shape",
        "advice": "transfer.methods.advice:Advice",
        "guide": "transfer.methods.guide:Guide",
        "augment": "transfer.methods.augment:Augment",
        "kickstart": "transfer.methods.kickstart:Kickstart",
        "dagger": "transfer.methods.dagger:Dagger",
        "qdagger": "transfer.methods.qdagger:QDagger",
        "l2sp": "transfer.methods.l2sp:L2SP",
        "ewc": "transfer.methods.ewc:EWC",
    },
    group="headstart.methods",
)
"""Name → class. Other distributions add theirs through the entry-point group `headstart.methods`."""

FAMILIES = {
    **dict.fromkeys(("ppo", "sb3-ppo", "a2c", "trpo"), "actor-critic"),
    **dict.fromkeys(("dqn", "sb3-dqn"), "action values"),
    **dict.fromkeys(("td3", "ddpg"), "deterministic actor"),
}
"""Algorithm → the kind of its network, where several share one."""


READABLE = ("actor-critic", "action values", "deterministic actor", "sac")
"""Kinds of networks whose heads `agents.outputs` reads."""


def family(algorithm: str) -> str:
    """The kind of an algorithm's network: weights and continuous actions are carried within one."""
    return FAMILIES.get(algorithm, algorithm)


def check_readable(config: "RunConfig | Origin", mapping: "Mapping", method: str) -> None:
    """Raises ConfigError if the heads of a run's policy cannot be read."""
    if family(config.algorithm) not in READABLE:
        raise ConfigError(
            f"{method} reads a policy's heads, and cannot read {config.algorithm}'s; take ppo, a2c, dqn, sac or td3"
        )
    if not isinstance(mapping.source.action_space, spaces.Discrete | spaces.Box):
        raise ConfigError(
            f"{method} reads single actions or continuous ones, found {mapping.source.action_space}; take finetune"
        )
    if not getattr(mapping, "carries_observations", True):
        raise ConfigError(
            f'{method} asks the source about observations, and they are not mapped (mapping.features = "none"): map '
            "them, or take finetune"
        )


class MethodSettings(BaseModel):
    """What a method can be told; each method extends it. Frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


@dataclass(frozen=True)
class Origin:
    """What is known of a teacher that came without its run: what its policy says of itself."""

    task: "Task"
    """What it was trained on."""
    algorithm: str
    """That trained it."""
    hyperparameters: dict[str, Any]
    """The algorithm's, the network's among them, as far as they are known."""
    interface: "Interface"
    """Of its game, as it was when the teacher was trained."""
    transfer: None = None
    """What had been carried into it is not known."""


@dataclass(frozen=True)
class Crossing:
    """What is known before anything is trained: enough to refuse what cannot work."""

    source: "RunConfig | Origin"
    """The teacher's run, or what is known of a teacher without one."""
    target: "RunConfig"
    """The student's run."""
    mapping: "Mapping"
    """Between their games."""
    further: "tuple[Crossing, ...]" = ()
    """Of the further teachers, each with the same target."""


@dataclass(frozen=True)
class Teacher:
    """A policy, and how its game maps to the target."""

    policy: "Policy"
    mapping: "Mapping"

    @cached_property
    def outputs(self) -> "Callable[[Any], Outputs]":
        """teacher∘mapping, as `Context.outputs`."""
        return self.mapping.teacher(self.policy)


@dataclass(frozen=True)
class Context:
    """What a method works with in one run."""

    teacher: "Policy"
    """The source's policy."""
    mapping: "Mapping"
    """From the source to the target."""
    task: "Task"
    """The target."""
    algorithm: str
    """The student's."""
    hyperparameters: Pairs[str, Any]
    """The student's, as its run's config gives them."""
    steps: int
    """The student's budget."""
    seed: int
    """The run's; a method that draws derives its generator from it."""
    further: tuple[Teacher, ...] = ()
    """Teachers besides the first, for methods that take several."""
    _seen: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """The last rollout, and what the teacher says of it."""

    @property
    def gamma(self) -> float:
        """The student's discount."""
        return float(self.hyperparameters.get("gamma", 0.99))

    @cached_property
    def outputs(self) -> "Callable[[Any], Outputs]":
        """teacher∘mapping: the teacher's heads, in the target's actions, on the target's observations."""
        return self.mapping.teacher(self.teacher)

    def outputs_on(self, batch: "Batch") -> "Outputs":
        """teacher∘mapping on a minibatch; of a rollout that comes in several minibatches, computed once."""
        if batch.rollout is None:
            return self.outputs(batch.observations)
        if self._seen.get("rollout") is not batch.rollout:
            self._seen.update(rollout=batch.rollout, outputs=self.outputs(batch.rollout))
        known: Outputs = self._seen["outputs"]
        return known.of(batch.rows)


class Method(Hooks):
    """One way to carry knowledge; the base class carries none.

    A subclass names its `Settings` and `places` and overrides the hooks it needs: `build`, `initialise`, `prepare`,
    `wrap`, `auxiliary_loss` (with `uses_auxiliary_loss = True`) and `schedule`. All find the run in `self.context`.
    """

    Settings: ClassVar[type[MethodSettings]] = MethodSettings
    """What the method can be told."""
    places: ClassVar[tuple[Place, ...]] = ()
    """Where it enters training."""
    takes_several: ClassVar[bool] = False
    """Whether it learns from further teachers, too; other methods know the first only."""

    def __init__(self, settings: MethodSettings | None = None) -> None:
        self.settings: Any = settings if settings is not None else self.Settings()
        self.name = type(self).__name__.lower()
        self.said: list[str] = []
        """What a reader of the run's log should know, a line each."""
        self.before: tuple[Method, ...] = ()
        """The methods of the run that come before it; set before `alongside` is called."""
        self._context: Context | None = None

    @property
    def context(self) -> Context:
        """The run at hand; there once the method is bound."""
        if self._context is None:
            raise RuntimeError(f"the method {self.name} is not bound to a run yet")
        return self._context

    def bind(self, context: Context) -> None:
        """Take the run at hand; called once, before the hooks."""
        self._context = context

    def alongside(self, others: "Sequence[Method]") -> None:
        """Take note of the other methods of the run, where two would count the same knowledge twice.

        Raises ConfigError for one that contradicts this one.
        """

    def check(self, crossing: Crossing) -> None:
        """Raise a HeadstartError if the method cannot work here; called before anything is trained."""

    def notes(self) -> list[str]:
        """What it said, for the run's log."""
        return self.said


class Composite(Hooks):
    """Several methods as one: starts in order, worlds nested, losses summed, all of them told the progress.

    Raises ConfigError if the same method comes twice.
    """

    def __init__(self, methods: Sequence[Method]) -> None:
        self.methods = list(methods)
        names = [method.name for method in self.methods]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"the method {name!r} is given twice: give it once, with the settings you want")
        for index, method in enumerate(self.methods):
            method.before = tuple(self.methods[:index])
            method.alongside([other for other in self.methods if other is not method])
        self._gradient = [method for method in self.methods if method.uses_auxiliary_loss]
        self.uses_auxiliary_loss = bool(self._gradient)

    def check(self, crossing: Crossing) -> None:
        """Raise a HeadstartError if a method cannot work here."""
        for method in self.methods:
            method.check(crossing)

    def bind(self, context: Context) -> None:
        """Hand all methods the run."""
        for method in self.methods:
            method.bind(context)

    def build(self, hyperparameters: dict[str, Any]) -> dict[str, Any]:
        """Each in order, on what the one before made."""
        for method in self.methods:
            hyperparameters = method.build(hyperparameters)
        return hyperparameters

    def initialise(self, learner: "BaseAlgorithm") -> None:
        """Each in order."""
        for method in self.methods:
            method.initialise(learner)

    def prepare(self, learner: "BaseAlgorithm", spend: Callable[[int], None]) -> None:
        """Each in order."""
        for method in self.methods:
            method.prepare(learner, spend)

    @property
    def replaces_learning(self) -> bool:
        """Whether one of them is all the learning there is."""
        return any(method.replaces_learning for method in self.methods)

    @property
    def taken(self) -> int:
        """Of all together."""
        return sum(method.taken for method in self.methods)

    def wrap(self, venv: "VecEnv") -> "VecEnv":
        """Nested; the first is innermost."""
        for method in self.methods:
            venv = method.wrap(venv)
        return venv

    def auxiliary_loss(self, batch: "Batch") -> "Tensor | None":
        """The sum of those that have one now."""
        losses = [loss for loss in (m.auxiliary_loss(batch) for m in self._gradient) if loss is not None]
        return sum(losses[1:], start=losses[0]) if losses else None

    def schedule(self, progress: float) -> None:
        """To all."""
        for method in self.methods:
            method.schedule(progress)

    def state(self) -> dict[str, Any]:
        """By method."""
        return {method.name: method.state() for method in self.methods}

    def load_state(self, state: dict[str, Any]) -> None:
        """Each its own."""
        for method in self.methods:
            method.load_state(state[method.name])

    def buffers(self) -> dict[str, Any]:
        """Of all together."""
        return {f"{m.name}-{word}": buffer for m in self.methods for word, buffer in m.buffers().items()}

    def notes(self) -> list[str]:
        """What all of them want the run's log to say."""
        return [f"{method.name}: {note}" for method in self.methods for note in method.notes()]


def make_method(entry: str | Pairs[str, Any]) -> Method:
    """A method from its name, or from `{"method": name, …settings}`.

    Raises UnknownName for a method or a setting that does not exist, ConfigError for a wrong value.
    """
    document = {"method": entry} if isinstance(entry, str) else dict(entry)
    name = document.pop("method", None)
    if not isinstance(name, str):
        raise ConfigError(f'found {entry!r}, expected a method, as in {{ method = "finetune" }}')
    kind = METHODS.load(name)
    if not (isinstance(kind, type) and issubclass(kind, Method)):
        raise ConfigError(f"method {name!r} is {METHODS.target(name)!r}: expected a subclass of transfer.Method")
    method = kind(validated(kind.Settings, document, f"method {name}"))
    method.name = name
    return method


def compose(by: Sequence[str | Pairs[str, Any]]) -> Composite:
    """The methods of a run, checked one by one and against each other. Raises UnknownName or ConfigError."""
    if not by:
        raise ConfigError(f"no method is given; expected some of: {', '.join(METHODS.names())}")
    return Composite([make_method(entry) for entry in by])


def completed(entry: str | Pairs[str, Any]) -> dict[str, Any]:
    """A method's entry with every setting spelt out, as plain JSON: what a run's key is made of."""
    method = make_method(entry)
    return {"method": method.name, **method.settings.model_dump(mode="json")}


__all__ = [
    "METHODS",
    "Composite",
    "Context",
    "Crossing",
    "Method",
    "MethodSettings",
    "Origin",
    "Place",
    "check_readable",
    "completed",
    "compose",
    "family",
    "make_method",
]
