"""Weight reuse: the student starts as the teacher, or with its torso, and learns on."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from agents.dqn import DQN
from agents.networks import action_head, encoders, value_head
from envs.errors import ConfigError
from transfer.method import Crossing, Method, MethodSettings, Place, family
from transfer.methods.shape import Shape

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.policies import BasePolicy
    from torch import nn

Part = Literal["encoder", "torso", "action_head", "value_head"]


class FinetuneSettings(MethodSettings):
    """How weights are reused."""

    layers: Literal["all", "torso"] = "all"
    """`all`: the student starts as teacher∘mapping. `torso`: its heads are initialised afresh."""
    freeze: tuple[Part, ...] = ()
    """Parts whose parameters stay as carried: `encoder`, `torso`, `action_head`, `value_head`."""
    exploration: float | None = Field(default=None, ge=0.0, le=1.0)
    """With which probability a DQN starts to act at random. By default 0.05 with all layers, else its own."""


class Finetune(Method):
    """Start: θ_student ← θ_teacher∘mapping (Taylor, Stone & Liu 2007; Yosinski et al. 2014).

    The student gets the teacher's architecture. It starts as teacher∘mapping exactly, so it must also act so:
    Stable-Baselines3's off-policy learners act at random until `learning_starts` and DQN's ε starts anew; here neither
    happens. Updates still begin at `learning_starts`, when the buffer holds something to learn from.

    Beside `shape`, whose potential is Φ = scale·V of the same teacher, the critic starts at V − Φ = (1 − scale)·V,
    for shaping with Φ is the same as starting the values at Φ (Wiewiora 2003).
    """

    Settings: ClassVar[type[MethodSettings]] = FinetuneSettings
    places: ClassVar[tuple[Place, ...]] = ("start",)
    settings: FinetuneSettings

    def __init__(self, settings: FinetuneSettings | None = None) -> None:
        super().__init__(settings)
        self.value_scale = 1.0

    @property
    def whole(self) -> bool:
        """Whether the student starts as the teacher."""
        return self.settings.layers == "all"

    def alongside(self, others: Sequence[Method]) -> None:
        """A critic that starts at V must not learn from rewards shaped by V."""
        for other in others:
            if isinstance(other, Shape) and self.whole:
                self.value_scale = 1.0 - other.settings.scale

    def check(self, crossing: Crossing) -> None:
        """Networks must be of one kind, and something must be left to learn."""
        source, target = crossing.source.algorithm, crossing.target.algorithm
        kind = family(target)
        if family(source) != kind:
            raise ConfigError(
                f"finetune carries weights between algorithms with one kind of network: the source was trained with "
                f"{source}, the target is to be with {target}; take {source}, or the method kickstart"
            )
        if kind not in ("actor-critic", "action values") and not (crossing.mapping.identity and self.whole):
            raise ConfigError(
                f"finetune carries networks of {target} whole and between equal spaces only: expected equal "
                'observations and actions and layers = "all"'
            )
        if kind == "action values" and self.value_scale != 1.0:
            raise ConfigError(
                f"finetune and shape count the source's values twice for {target}: its action values cannot start at "
                "Q − Φ; take one of the two, or an actor-critic such as ppo"
            )
        self._check_frozen(kind, target)

    def _check_frozen(self, kind: str, algorithm: str) -> None:
        frozen = set(self.settings.freeze)
        if frozen and kind not in ("actor-critic", "action values"):
            raise ConfigError(f"finetune freezes parts of actor-critics and DQN, not of {algorithm}: leave freeze out")
        if kind == "action values" and "value_head" in frozen:
            raise ConfigError(f"{algorithm} has no value_head to freeze; its last layer is the action_head")
        if frozen >= {"torso", "action_head"}:
            raise ConfigError("finetune.freeze leaves the policy nothing to learn: free its torso or its action_head")

    def build(self, hyperparameters: dict[str, Any]) -> dict[str, Any]:
        """The teacher's architecture, and the stated exploration."""
        built = {**hyperparameters, **self.context.teacher.architecture}
        exploration = self.settings.exploration
        if exploration is None and self.whole:
            exploration = 0.05
        if family(self.context.algorithm) == "action values" and exploration is not None:
            built["exploration_initial_eps"] = exploration
            built["exploration_final_eps"] = min(float(built.get("exploration_final_eps", 0.05)), exploration)
        return built

    def initialise(self, learner: "BaseAlgorithm") -> None:
        """Fold the teacher into the learner's network."""
        report = self.context.mapping.fold(
            self.context.teacher, learner.policy, heads=self.whole, value_scale=self.value_scale
        )
        self.said = report.lines()
        if self.value_scale != 1.0:
            self.said.append(f"the critic starts at V − Φ = {self.value_scale:g}·V, beside the shaped rewards")
        if self.whole and isinstance(learner, OffPolicyAlgorithm):
            _act_from_the_start(learner)
        for part in self.settings.freeze:
            for parameter in parameters(learner.policy, part):
                parameter.requires_grad_(False)


def parameters(policy: "BasePolicy", part: Part) -> list["nn.Parameter"]:
    """The parameters of one part of an actor-critic or a DQN; the torso is what no other part has."""
    critic = value_head(policy)
    parts: dict[str, list[nn.Parameter]] = {
        "encoder": [parameter for encoder in encoders(policy) for parameter in encoder.parameters()],
        "action_head": list(action_head(policy).parameters()),
        "value_head": [] if critic is None else list(critic.parameters()),
    }
    if part != "torso":
        return parts[part]
    others = {id(parameter) for several in parts.values() for parameter in several}
    return [p for name, p in policy.named_parameters() if id(p) not in others and name != "log_std"]


def _act_from_the_start(learner: OffPolicyAlgorithm) -> None:
    """Skip the phase in which Stable-Baselines3 draws actions from the space; keep the one in which it only looks."""
    if isinstance(learner, DQN):
        learner.acts_from_the_start = True
        return
    sample = learner._sample_action

    def sample_action(learning_starts: int, *arguments: Any, **named: Any) -> Any:
        return sample(0, *arguments, **named)

    learner._sample_action = sample_action  # type: ignore[method-assign]
