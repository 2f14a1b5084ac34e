"""Potential-based advice on actions: shaping by what the source's policy thinks of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from gymnasium import spaces
from pydantic import Field
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from agents.algorithms import ALGORITHMS
from agents.bias import Bias
from envs.errors import ConfigError
from transfer.method import Crossing, Method, MethodSettings, Place, check_readable, family
from transfer.methods.shape import Shape
from transfer.shaping.potentials import DIVERGED, Opinion, finite, opinion, source_advice
from transfer.shaping.worlds import AdvisedVecEnv

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from torch import Tensor

LATEST = 0.9
"""The fraction of the budget by which look-ahead advice must have faded, so that the saved policy has learnt it."""


class AdviceSettings(MethodSettings):
    """What is advised, how strongly and how long."""

    look: Literal["auto", "ahead", "back"] = "auto"
    """`ahead`: γΦ(s′, a′) − Φ(s, a), for learners that can choose by Q + Φ. `back`: Φ(s, a) − Φ(s₋, a₋)/γ, for learners
    on policy. `auto`: whichever the learner takes."""
    of: Opinion = "probability"
    """Φ(s, a) = scale · this of the source: `probability` of the action, `log_probability`, or `q`, its value."""
    scale: float = Field(default=1.0, ge=-1e6, le=1e6)
    """Below 0 the source's favourites are advised against."""
    until: float | None = Field(default=0.5, gt=0.0, le=1.0)
    """The fraction of the budget at which the advice has faded to 0, linearly; None: it stays (look-back only)."""
    temperature: float = Field(default=1.0, gt=0.0)
    """Divides a source's action values before their softmax is taken for its policy."""
    exploration: float = Field(default=0.05, ge=0.0, le=1.0)
    """With which probability a DQN that is advised ahead starts to act at random; otherwise it acts by Q + Φ from its
    first step."""


class Advice(Method):
    """World: shaping by Φ(s, a) = scale·π_T(a|s) (Wiewiora, Cottrell & Elkan 2003; Brys et al. 2015).

    A potential of states cannot tell actions apart; this one can.

    - **Look-back** adds Φ(s, a) − γ⁻¹Φ(s₋, a₋), s₋ and a₋ being the step before. What is still to come is shifted by
      −γ⁻¹Φ(s₋, a₋), which the next action does not change: a learner on policy keeps its order of actions.
    - **Look-ahead** adds γΦ(s′, a′) − Φ(s, a). The values learnt are Q* − Φ, so the learner must choose by
      argmax Q + Φ, in s and for a′ alike. Ours does where it has the attribute `action_bias`: DQN. It is the same as
      to start Q at Φ. Evaluation plays by Q + cΦ too, as the learner does. What is saved is Q alone, so the advice must
      have faded by the end: `until`. Policies kept before that lack the advice they were evaluated with.
    """

    Settings: ClassVar[type[MethodSettings]] = AdviceSettings
    places: ClassVar[tuple[Place, ...]] = ("start", "world")
    settings: AdviceSettings

    def __init__(self, settings: AdviceSettings | None = None) -> None:
        super().__init__(settings)
        self._progress = 0.0
        self._beside: set[str] = set()

    @property
    def coefficient(self) -> float:
        """c at the progress of now."""
        until = self.settings.until
        return 1.0 if until is None else max(0.0, 1.0 - self._progress / until)

    def ahead(self, algorithm: str) -> bool:
        """Whether a learner is advised ahead. Raises ConfigError if it cannot be advised as the settings say."""
        learner, look = ALGORITHMS.load(algorithm), self.settings.look
        declared, on_policy = hasattr(learner, "action_bias"), issubclass(learner, OnPolicyAlgorithm)
        if look == "ahead" and not declared:
            raise ConfigError(
                f"look-ahead advice needs a learner that chooses by Q + Φ, and {algorithm} does not declare it: take "
                'look = "back"' + ("" if on_policy else " with ppo or a2c, or look-ahead with dqn")
            )
        if look == "back" and not on_policy:
            raise ConfigError(
                f"look-back advice keeps the order of actions of learners on policy, and {algorithm} is none: take "
                + ('look = "ahead"' if declared else "ppo or a2c, or the method shape")
            )
        if not declared and not on_policy:
            raise ConfigError(
                f"advice is look-ahead for learners that choose by Q + Φ (dqn), and look-back for those on policy (ppo,"
                f" a2c, trpo): {algorithm} is neither; take one of these, or the method shape"
            )
        return declared

    def alongside(self, others: Sequence[Method]) -> None:
        """The source's values shape once, and a DQN starts from them once."""
        self._beside = {other.name for other in others if getattr(other, "whole", False)}
        for other in others:
            if isinstance(other, Shape) and other.settings.potential is None:
                raise ConfigError(
                    "advice and shape both add what the source thinks to the rewards: take one of the two, or give "
                    "shape a potential of your own"
                )

    def check(self, crossing: Crossing) -> None:
        """The learner must take advice, and the teacher give it."""
        ahead = self.ahead(crossing.target.algorithm)
        check_readable(crossing.source, crossing.mapping, self.name)
        self._check_teacher(crossing)
        if float(crossing.target.hyperparameters.get("gamma", 0.99)) == 0.0:
            raise ConfigError("look-back advice divides by the learner's gamma, which is 0: give a positive one")
        if ahead and "finetune" in self._beside:
            raise ConfigError(
                "look-ahead advice is the same as to start Q at Φ, and finetune starts it at the source's: take one of "
                'the two, or finetune with layers = "torso"'
            )
        until = self.settings.until
        if ahead and (until is None or until > LATEST):
            raise ConfigError(
                f"look-ahead advice plays by Q + Φ and saves Q: found until = {until}, expected at most {LATEST}, so "
                "that it has faded by the end"
            )

    def _check_teacher(self, crossing: Crossing) -> None:
        source, of = crossing.source.algorithm, self.settings.of
        kind = family(source)
        if not getattr(crossing.mapping, "carries_actions", True):
            raise ConfigError("advice is about actions, and none is mapped: map some, or take the method shape")
        if of == "q" and kind != "action values":
            raise ConfigError(f'advice of "q" needs a source with action values: {source} has none; take dqn')
        if isinstance(crossing.mapping.target.action_space, spaces.Discrete):
            return
        if of != "log_probability" or kind != "actor-critic":
            raise ConfigError(
                'advice on continuous actions is of their density: give of = "log_probability" and a source trained '
                f'with ppo or a2c; found of = "{of}" and {source}'
            )

    def schedule(self, progress: float) -> None:
        """Remember where training is."""
        self._progress = progress

    def build(self, hyperparameters: dict[str, Any]) -> dict[str, Any]:
        """A learner advised ahead explores as stated."""
        if not self.ahead(self.context.algorithm):
            return hyperparameters
        start = self.settings.exploration
        final = min(float(hyperparameters.get("exploration_final_eps", 0.05)), start)
        return {**hyperparameters, "exploration_initial_eps": start, "exploration_final_eps": final}

    def wrap(self, venv: VecEnv) -> VecEnv:
        """For look-back the same environments, with advice in their rewards."""
        if self.ahead(self.context.algorithm):
            return venv
        settings = self.settings
        advice = source_advice(self.context.outputs, settings.of, settings.temperature, settings.scale)
        return AdvisedVecEnv(venv, advice, self.context.gamma, lambda: self.coefficient)

    def initialise(self, learner: "BaseAlgorithm") -> None:
        """For look-ahead: the learner chooses by Q + cΦ, from its first step."""
        if not self.ahead(self.context.algorithm):
            return
        student: Any = learner
        student.action_bias = self._bias()
        student.acts_from_the_start = True
        self.said = [
            "it plays and is evaluated by Q + Φ until the advice has faded; policies kept before that are Q alone"
        ]

    def _bias(self) -> Bias:
        """cΦ(s, ·) of B observations: (B, n)."""
        read, settings = self.context.outputs, self.settings

        def bias(observations: Any) -> "Tensor":
            thought = settings.scale * opinion(read(observations), settings.of, settings.temperature)
            finite(thought.cpu().numpy(), "advice: what the source thinks of an action", DIVERGED)
            return self.coefficient * thought

        return bias
