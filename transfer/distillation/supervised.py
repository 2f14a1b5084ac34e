"""Supervised training of a student on lessons: Adam, minibatches, as fast as a plain loop over tensors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from gymnasium import spaces
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import Tensor, nn
from torch.nn import functional as F

from agents.networks import action_head
from agents.outputs import Outputs
from agents.policy import Policy
from transfer.distillation.lessons import DataSet, Lesson, Packed
from transfer.distillation.loss import columns, distance, greedy_actions, hint_error, log_policy, value_error
from transfer.distillation.settings import DistillationSettings
from transfer.distillation.student import Pupil, last_hidden, length, reordered

if TYPE_CHECKING:
    from transfer.method import Teacher

CHECKED = 4096
"""Observations on which agreement is measured, at most."""


@dataclass(frozen=True)
class Fitted:
    """How a training ended."""

    loss: float
    """Of the last pass, the mean."""
    agreement: float | None
    """How often the student's best action is its teachers', on the data; None of continuous actions."""


class Supervised:
    """Trains one student, once or round after round.

    The loss is Σ_k w_k·[D(π_k, π_S) + value·(V_S − V_k)²/E[V_k²] + features·hint_k], averaged over observations, with
    w_k the teachers' weights. It is the losses that are averaged: of `kl` the minimum is the mixture Σ w_k·π_k, since
    Σ w_k·KL(π_k‖π_S) differs from KL(Σ w_k·π_k‖π_S) by a constant (where all teachers know the same actions).

    Args:
        student: whose network is trained in place.
        teachers: whose lessons the data will hold, in their order.
        settings: what is compared, and how it is learnt.
        seed: decides the order of observations and the regressors' first weights.
        value_scale: the teachers' values are multiplied by it.
    """

    def __init__(
        self,
        student: Policy,
        teachers: Sequence["Teacher"],
        settings: DistillationSettings,
        seed: int,
        value_scale: float = 1.0,
    ) -> None:
        self.student, self.teachers, self.settings, self.value_scale = student, teachers, settings, value_scale
        self.pupil = Pupil(student.network)
        given = settings.weights or (1.0,) * len(teachers)
        self.weights = [weight / sum(given) for weight in given]
        self._generator = torch.Generator().manual_seed(seed)
        self._regressors: list[nn.Linear] = []
        discrete = isinstance(student.network.action_space, spaces.Discrete)
        self._by_probabilities = settings.loss == "kl" and discrete
        self._matched = [None if t.mapping.actions is None else t.mapping.matched for t in teachers]

    def fit(self, data: DataSet) -> Fitted:
        """`epochs` passes over the data. A DQN's and a TD3's target networks follow."""
        policy, settings = self.student.network, self.settings
        observations = self.student.seen(data.observations)
        features = self.pupil.encoded(observations)
        lessons = [self._ready(k, lesson) for k, lesson in enumerate(data.lessons)]
        packed = Packed(lessons)
        squares = [_mean_square(lesson.outputs.value) for lesson in lessons]
        policy.set_training_mode(True)
        optimiser = self._optimiser(lessons)
        n, size = len(data), settings.batch_size
        losses: list[Tensor] = []
        total, step = settings.epochs * math.ceil(n / size), 0
        for _ in range(settings.epochs):
            order, losses = torch.randperm(n, generator=self._generator).to(policy.device), []
            for start in range(0, n, size):
                rows = order[start : start + size]
                part = None if features is None else features.index_select(0, rows)
                batch = reordered(observations, rows) if part is None else None
                loss = self._loss(batch, part, packed.of(rows), squares)
                optimiser.param_groups[0]["lr"] = settings.learning_rate * (1.0 - step / total)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                losses.append(loss.detach() * len(rows))
                step += 1
        self._follow(policy)
        policy.set_training_mode(False)
        constant = sum(w * _entropy(one.outputs.head) for w, one in zip(self.weights, lessons, strict=True))
        mean = float(torch.stack(losses).sum()) / n - (constant if self._by_probabilities else 0.0)
        return Fitted(mean, self._agreement(observations, features, data.lessons))

    def _loss(
        self, observations: Any, features: Tensor | None, lessons: Sequence[Lesson], squares: Sequence[float]
    ) -> Tensor:
        """A scalar with gradient, of B observations."""
        settings = self.settings
        valued = settings.value > 0 and any(lesson.outputs.value is not None for lesson in lessons)
        if settings.features:
            with last_hidden(self.student.network) as hidden:
                outputs = self.pupil.heads(observations, features, value=valued)
        else:
            outputs, hidden = self.pupil.heads(observations, features, value=valued), []
        compared = self._compared(outputs, self.student)
        terms = []
        for k, (lesson, weight) in enumerate(zip(lessons, self.weights, strict=True)):
            term = self._distance(k, lesson.outputs, compared)
            if settings.value and lesson.outputs.value is not None and outputs.value is not None:
                term = term + settings.value * value_error(lesson.outputs.value, outputs.value, squares[k]).mean()
            if lesson.hidden is not None:
                term = term + settings.features * hint_error(lesson.hidden, self._regressors[k](hidden[0])).mean()
            terms.append(term if weight == 1.0 else weight * term)
        return sum(terms[1:], start=terms[0])

    def _distance(self, teacher: int, lesson: Outputs, student: Outputs) -> Tensor:
        """The mean of D over a minibatch. A lesson of probabilities gives the cross-entropy, D but for a constant."""
        matched, settings = self._matched[teacher], self.settings
        if self._by_probabilities:
            head = columns(student.head, matched)
            soft = head / settings.student_temperature if student.kind == "q" else head
            return F.cross_entropy(soft, lesson.head)
        temperatures = settings.temperature, settings.student_temperature
        return distance(settings.loss, lesson, student, matched, *temperatures).mean()

    def _ready(self, teacher: int, lesson: Lesson) -> Lesson:
        """A lesson on the student's device, in the form in which it is compared."""
        lesson = lesson.on(self.student.network.device)
        outputs = self._compared(lesson.outputs, self.teachers[teacher].policy)
        if outputs.value is not None and self.value_scale != 1.0:
            outputs = replace(outputs, value=outputs.value * self.value_scale)
        if self._by_probabilities:
            policy = log_policy(outputs, self._matched[teacher], self.settings.temperature).exp()
            outputs = replace(outputs, head=policy)
        return Lesson(outputs, lesson.hidden)

    def _compared(self, outputs: Outputs, policy: Policy) -> Outputs:
        """Squares are of the actions themselves, whatever kind of head they come from."""
        space = self.student.network.action_space
        if self.settings.loss != "mse" or not isinstance(space, spaces.Box):
            return outputs
        return greedy_actions(outputs, space, squashed=bool(policy.network.squash_output))

    def _optimiser(self, lessons: Sequence[Lesson]) -> torch.optim.Adam:
        """Adam on what can learn, the regressors included."""
        policy = self.student.network
        if self.settings.features and not self._regressors:
            width = action_head(policy).in_features
            hidden = [lesson.hidden for lesson in lessons if lesson.hidden is not None]
            self._regressors = [nn.Linear(width, found.shape[-1]).to(policy.device) for found in hidden]
        parameters = [parameter for parameter in policy.parameters() if parameter.requires_grad]
        parameters += [parameter for regressor in self._regressors for parameter in regressor.parameters()]
        return torch.optim.Adam(parameters, lr=self.settings.learning_rate, fused=policy.device.type == "cpu" or None)

    def _follow(self, policy: Any) -> None:
        if isinstance(policy, DQNPolicy):
            policy.q_net_target.load_state_dict(policy.q_net.state_dict())
        if isinstance(policy, TD3Policy):
            policy.actor_target.load_state_dict(policy.actor.state_dict())

    @torch.no_grad()
    def _agreement(self, observations: Any, features: Tensor | None, lessons: Sequence[Lesson]) -> float | None:
        """On observations spread evenly over the data."""
        if not isinstance(self.student.network.action_space, spaces.Discrete):
            return None
        n = length(lessons[0].outputs.head)
        rows = torch.linspace(0, n - 1, min(n, CHECKED)).long().to(self.student.network.device)
        part = None if features is None else features.index_select(0, rows)
        batch = reordered(observations, rows) if part is None else None
        found = self.pupil.heads(batch, part, value=False).head.argmax(dim=-1)
        asked = rows.to(lessons[0].outputs.head.device)
        policies = [
            weight * log_policy(lesson.outputs.of(asked), None, self.settings.temperature).exp()
            for weight, lesson in zip(self.weights, lessons, strict=True)
        ]
        wanted = sum(policies[1:], start=policies[0]).to(rows.device)
        return float((found == wanted.argmax(dim=-1)).float().mean())


def _entropy(probabilities: Tensor) -> float:
    """The mean entropy of policies (N, n)."""
    return float(torch.special.entr(probabilities).sum(dim=-1).mean())


def _mean_square(values: Tensor | None) -> float:
    return 1.0 if values is None else float(values.square().mean())
