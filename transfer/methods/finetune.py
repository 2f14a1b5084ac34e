"""Weight reuse: the student starts as the teacher, or with some of its layers, and learns on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, field_validator
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from agents.build import build_network
from agents.dqn import DQN
from agents.networks import architecture, normalisers, value_head
from agents.optimising import go_on_from, share_rates
from agents.parts import HEADS, Part, checked, expanded, follow, halves, parts
from envs.errors import CheckpointError, ConfigError
from transfer.method import Context, Crossing, Method, MethodSettings, Place, family
from transfer.methods.shape import Shape
from transfer.methods.thawing import Thawing, shares, thawing

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.policies import BasePolicy
    from torch import Tensor

Fraction = Annotated[float, Field(gt=0.0, le=1.0)]
ACTION_CRITICS = ("sac", "deterministic actor")
"""Kinds of networks with critics of observation and action."""
APART = ("actor-critic", "action values", *ACTION_CRITICS)
"""Kinds of networks whose layers are known one by one: these are carried between spaces that differ, too."""


class FinetuneSettings(MethodSettings):
    """How weights are reused."""

    layers: Literal["all", "torso"] | tuple[Part, ...] = "all"
    """`all`: the student starts as teacher∘mapping. `torso`: encoder and hidden layers, its heads are initialised
    afresh. A list of parts (`encoder`, `torso`, `torso.0`, `torso.1`, …, `action_head`, `value_head`): these, all
    others are initialised afresh. Where no action is mapped a critic of states can be carried, no action head."""
    freeze: tuple[Part, ...] = ()
    """Parts whose parameters stay as they start: `encoder`, `torso`, `torso.0`, …, `action_head`, `value_head`."""
    unfreeze: Fraction | dict[Part, Fraction] | None = None
    """Gradual unfreezing. A fraction of the budget within which what is frozen starts to learn, a layer at a time from
    the heads down; without `freeze` all but the heads starts frozen. Or a fraction for each part."""
    rates: dict[Part, Annotated[float, Field(gt=0.0, le=1e3)]] = Field(default_factory=dict)
    """Parts that learn with a share of the learning rate, such as `{ encoder = 0.1, torso = 0.3 }`."""
    decay: float | None = Field(default=None, gt=0.0, le=1.0)
    """The share of each layer below the heads in the rate of the one above it; `rates` override it."""
    normaliser: bool = True
    """Whether the statistics that normalise the teacher's observations are carried."""
    optimiser: bool = False
    """Whether Adam's state is carried; between equal spaces only."""
    exploration: float | None = Field(default=None, ge=0.0, le=1.0)
    """With which probability a DQN starts to act at random. By default 0.05 with all layers, else its own."""

    @field_validator("layers", mode="before")
    @classmethod
    def _layers(cls, found: Any) -> Any:
        if isinstance(found, list | tuple):
            return tuple(checked(name) for name in found)
        if found not in ("all", "torso"):
            raise ValueError(f'found {found!r}, expected "all", "torso" or a list of parts')
        return found

    @field_validator("unfreeze", mode="before")
    @classmethod
    def _unfreeze(cls, found: Any) -> Any:
        for value in found.values() if isinstance(found, dict) else [found]:
            if value is not None and not (isinstance(value, int | float) and 0 < value <= 1):
                raise ValueError(f"found {value!r}, expected a fraction of the budget, or one for each part")
        return found


class Finetune(Method):
    """Start: θ_student ← θ_teacher∘mapping (Taylor, Stone & Liu 2007; Yosinski et al. 2014).

    The student gets the teacher's architecture. It starts as teacher∘mapping exactly, so it must also act so:
    Stable-Baselines3's off-policy learners act at random until `learning_starts` and DQN's ε starts anew; here neither
    happens. Updates still begin at `learning_starts`, when the buffer holds something to learn from. A SAC goes on with
    the teacher's entropy coefficient, an actor-critic with its standard deviations.

    Parts can stay frozen, thaw from the top (gradual unfreezing) and learn at rates of their own (discriminative
    fine-tuning; both Howard & Ruder 2018). What is frozen below all that learns is not computed backward.

    Beside `shape`, whose potential is Φ = scale·V of the same teacher, the critic starts at V − Φ = (1 − scale)·V,
    for shaping with Φ is the same as starting the values at Φ (Wiewiora 2003).
    """

    Settings: ClassVar[type[MethodSettings]] = FinetuneSettings
    places: ClassVar[tuple[Place, ...]] = ("start",)
    settings: FinetuneSettings

    def __init__(self, settings: FinetuneSettings | None = None) -> None:
        super().__init__(settings)
        self.value_scale = 1.0
        self._thawing: Thawing = {}
        self._policy: BasePolicy | None = None

    @property
    def whole(self) -> bool:
        """Whether the student starts as the teacher."""
        return self.settings.layers == "all"

    def carried(self, known: Sequence[str]) -> list[str]:
        """Which of a network's parts are carried. Raises ConfigError for one that it has not."""
        layers = self.settings.layers
        if layers == "all":
            return list(known)
        return expanded(("encoder", "torso") if layers == "torso" else layers, known)

    def alongside(self, others: Sequence[Method]) -> None:
        """A critic that starts at V must not learn from rewards shaped by V."""
        for other in others:
            if isinstance(other, Shape) and self.whole:
                self.value_scale = 1.0 - other.value_share

    def check(self, crossing: Crossing) -> None:
        """Networks must be of one kind, and something must be left to learn."""
        source, target = crossing.source.algorithm, crossing.target.algorithm
        kind = family(target)
        if family(source) != kind:
            raise ConfigError(
                f"finetune carries weights between algorithms with one kind of network: the source was trained with "
                f"{source}, the target is to be with {target}; take {source}, or the method kickstart"
            )
        if not crossing.mapping.carries_weights:
            raise ConfigError("finetune copies weights, which a mapping.function does not map; take kickstart")
        if kind not in APART and not crossing.mapping.identity:
            raise ConfigError(
                f"finetune carries networks of {target} between equal spaces only: expected equal observations and "
                "actions"
            )
        if kind == "action values" and self.value_scale != 1.0:
            raise ConfigError(
                f"finetune and shape count the source's values twice for {target}: its action values cannot start at "
                "Q − Φ; take one of the two, or an actor-critic such as ppo"
            )
        self._check_optimiser(crossing)
        self._check_parts(crossing, kind)

    def _check_optimiser(self, crossing: Crossing) -> None:
        """Its state belongs to the very same parameters."""
        if not self.settings.optimiser:
            return
        source, target = (c.algorithm.removeprefix("sb3-") for c in (crossing.source, crossing.target))
        if not (crossing.mapping.identity and self.whole and source == target):
            raise ConfigError(
                "finetune.optimiser carries Adam's state of the same weights: expected one algorithm, equal "
                'observations and actions and layers = "all"; leave optimiser out'
            )

    def _check_parts(self, crossing: Crossing, kind: str) -> None:
        """All parts that are named must be there, and something must learn from the first step on."""
        wanted = self.settings
        named = not isinstance(wanted.layers, str) or wanted.freeze or wanted.unfreeze or wanted.rates or wanted.decay
        target = crossing.target.algorithm
        heads_fit = getattr(crossing.mapping, "carries_actions", True)
        if not heads_fit and self.whole:
            raise _no_head()
        if not named and self.whole:
            return
        if kind not in APART or target == "trpo":
            raise ConfigError(
                f"finetune tells layers apart in ppo, a2c, dqn, sac, td3 and ddpg, not in {target}: "
                'leave layers = "all", freeze, unfreeze, rates and decay out'
            )
        network = build_network(target, architecture(crossing.source.hyperparameters), crossing.mapping.source)
        known = parts(network)
        if kind == "action values" and "value_head" in {*wanted.freeze, *wanted.rates, *wanted.layers}:
            raise ConfigError(f"{target} has no value_head; its last layer is the action_head")
        try:
            carried, frozen = self.carried(list(known)), thawing(wanted.freeze, wanted.unfreeze, known)
            shares(wanted.rates, wanted.decay, known)
        except ConfigError as error:
            raise ConfigError(f"finetune: {error}") from error
        if not carried:
            raise ConfigError(f"finetune.layers carries nothing: the network has {', '.join(known)}")
        unfit = () if heads_fit else ("action_head",) if kind == "actor-critic" else HEADS
        if set(carried) & set(unfit):
            raise _no_head()
        _check_something_learns(network, frozen, kind)

    def bind(self, context: Context) -> None:
        """Take the run at hand. Raises CheckpointError if an optimiser's state is to be carried and there is none."""
        super().bind(context)
        if self.settings.optimiser and not context.teacher.learning:
            raise CheckpointError(
                "finetune.optimiser: the source's policy has no optimiser.safetensors beside it, which only the last "
                "policy of a training has; train the source again, or leave optimiser out"
            )

    def build(self, hyperparameters: dict[str, Any]) -> dict[str, Any]:
        """The teacher's architecture, and the stated exploration."""
        built = {**hyperparameters, **self.context.mapping.architecture(self.context.teacher)}
        exploration = self.settings.exploration
        if exploration is None and self.whole:
            exploration = 0.05
        if family(self.context.algorithm) == "action values" and exploration is not None:
            built["exploration_initial_eps"] = exploration
            built["exploration_final_eps"] = min(float(built.get("exploration_final_eps", 0.05)), exploration)
        return built

    def initialise(self, learner: "BaseAlgorithm") -> None:
        """Fold the teacher into the learner's network, and see to what learns, and how fast."""
        self._carry(learner.policy)
        if self.value_scale != 1.0:
            self.said.append(f"the critic starts at V − Φ = {self.value_scale:g}·V, beside the shaped rewards")
        if self.whole and isinstance(learner, OffPolicyAlgorithm):
            _act_from_the_start(learner)
        if self.whole:
            self._carry_entropy(learner)
        if self.settings.optimiser:
            go_on_from(learner, self.context.teacher.learning)
            self.said.append("the optimiser goes on from the source's state")
        self._set_learning(learner)

    def _carry(self, policy: "BasePolicy") -> None:
        """The teacher's layers that are carried; what is not stays as it was initialised."""
        known = {} if self.whole else parts(policy)
        carried = self.carried(list(known))
        fresh: list[Tensor] = [p for name, ps in known.items() if name not in carried for p in ps]
        if known and "action_head" not in carried:
            fresh += [p for name, p in policy.named_parameters() if name.endswith("log_std")]
        if not self.settings.normaliser:
            fresh += [buffer for module in normalisers(policy) for buffer in module.buffers()]
        kept = [(tensor, tensor.detach().clone()) for tensor in fresh]
        heads = self.whole or family(self.context.algorithm) not in APART or bool(set(carried) & set(HEADS))
        mapping = self.context.mapping
        report = mapping.fold(self.context.teacher, policy, heads=heads, value_scale=self.value_scale)
        if "value_head" in carried and not getattr(mapping, "carries_actions", True):
            self._carry_values(policy)
        with torch.no_grad():
            for tensor, value in kept:
                tensor.copy_(value)
        if kept:
            follow(policy)
        self.said = report.lines()
        if known:
            self.said.append(f"carried: {', '.join(carried)}; afresh: {_listed(set(known) - set(carried))}")

    def _carry_values(self, policy: "BasePolicy") -> None:
        """The last layer of a critic of states, which knows of no action and fits where actions do not map."""
        theirs, ours = value_head(self.context.teacher.network), value_head(policy)
        if theirs is not None and ours is not None:
            ours.load_state_dict(theirs.state_dict())

    def _carry_entropy(self, learner: Any) -> None:
        """SAC's entropy coefficient is how much it explores, and is no part of its policy."""
        own, known = getattr(learner, "log_ent_coef", None), self.context.teacher.learning.get("log_ent_coef")
        if own is None:
            return
        if known is None:
            self.said.append("the source's entropy coefficient is not known: it starts as the settings say")
            return
        with torch.no_grad():
            own.copy_(known)
        self.said.append(f"the entropy coefficient starts at the source's {float(known.exp()):.3g}")

    def _set_learning(self, learner: Any) -> None:
        """Freeze, and give parts their rates."""
        wanted = self.settings
        if not (wanted.freeze or wanted.unfreeze or wanted.rates or wanted.decay):
            return
        self._policy, known = learner.policy, parts(learner.policy)
        self._thawing = thawing(wanted.freeze, wanted.unfreeze, known)
        for name in self._thawing:
            for parameter in known[name]:
                parameter.requires_grad_(False)
        found = shares(wanted.rates, wanted.decay, known)
        if found:
            share_rates(learner, [(p, share) for name, share in found.items() for p in known[name]])
            self.said.append("learning rates: " + ", ".join(f"{name} ×{share:g}" for name, share in found.items()))
        if self._thawing:
            self.said.append("frozen: " + ", ".join(_until(name, end) for name, end in self._thawing.items()))

    def schedule(self, progress: float) -> None:
        """Let those parts learn whose time has come."""
        due = [name for name, fraction in self._thawing.items() if fraction <= progress]
        if not due or self._policy is None:
            return
        known = parts(self._policy)
        for name in due:
            del self._thawing[name]
            for parameter in known[name]:
                parameter.requires_grad_(True)


def _check_something_learns(network: "BasePolicy", frozen: Thawing, kind: str) -> None:
    """Raises ConfigError if a half of the network that has to learn is frozen altogether."""
    known = parts(network)
    held = {id(parameter) for name in frozen for parameter in known[name]}
    must = ("action_head", "value_head") if kind in ACTION_CRITICS else ("action_head",)
    for head, reached in halves(network).items():
        if head in must and all(id(parameter) in held for parameter in reached):
            half, free = ("policy", "action_head") if head == "action_head" else ("critic", "value_head")
            raise ConfigError(f"finetune.freeze leaves the {half} nothing to learn: free its torso or its {free}")


def _no_head() -> ConfigError:
    return ConfigError(
        'finetune: no action is mapped, so that no head can be carried; take layers = "torso", or with a critic of '
        'states, as of ppo and a2c, ["torso", "value_head"]'
    )


def _until(name: str, fraction: float) -> str:
    return f"{name} until {fraction:.3g} of the budget" if fraction <= 1 else name


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "nothing"


def _act_from_the_start(learner: OffPolicyAlgorithm) -> None:
    """Skip the phase in which Stable-Baselines3 draws actions from the space; keep the one in which it only looks."""
    if isinstance(learner, DQN):
        learner.acts_from_the_start = True
        return
    sample = learner._sample_action

    def sample_action(learning_starts: int, *arguments: Any, **named: Any) -> Any:
        return sample(0, *arguments, **named)

    learner._sample_action = sample_action  # type: ignore[method-assign]
