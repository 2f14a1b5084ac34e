"""What happens on the way through a training, besides learning: evaluations, snapshots, schedules, progress."""

import time
from collections.abc import Callable

import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import BasePolicy

from agents.config import RunConfig
from agents.evaluation import Evaluator
from agents.hooks import Hooks
from agents.journal import Journal
from agents.policy import Policy
from envs.errors import ConfigError

OnProgress = Callable[[int, int], None]
OnEvaluation = Callable[[int, float], None]


class Course(BaseCallback):
    """A callback of the learner; `start` comes before learning and `finish` after it."""

    def __init__(
        self,
        config: RunConfig,
        hooks: Hooks,
        policy: Policy,
        evaluator: Evaluator,
        journal: Journal,
        on_progress: OnProgress | None,
        on_evaluation: OnEvaluation | None,
    ) -> None:
        super().__init__()
        self.config, self.hooks, self.policy = config, hooks, policy
        self.evaluator, self.journal = evaluator, journal
        self.on_progress, self.on_evaluation = on_progress, on_evaluation
        steps = config.steps
        self._grid = config.evaluation.grid(steps)
        self._snapshots = sorted({round(part * steps) for part in config.evaluation.snapshots if part < 1})
        self._told = 0.0
        self._booked = 0  # of what the hooks took
        self.spent = 0
        """Transitions taken before the learner's own first step."""

    def start(self) -> None:
        """Before the first step: the evaluation that shows a jumpstart, and the first snapshot."""
        self._reach(0)

    def spend(self, transitions: int) -> None:
        """Book transitions that were taken before the learner's own first step.

        Raises ConfigError once nothing of the budget is left.
        """
        self.spent += transitions
        if self.spent >= self.config.steps + self.hooks.replaces_learning:
            raise ConfigError(
                f"{self.spent:,} steps of the target were taken before the learner's first, and the budget is "
                f"{self.config.steps:,}: give more steps, or let the method take fewer"
            )
        self._reach(min(self.spent, self.config.steps - 1))  # the budget's own evaluation is `finish`'s
        self._report(self.spent)

    def finish(self) -> None:
        """After the last update: the evaluation at the budget."""
        check_weights(self.policy.network, self.num_timesteps)
        self._reach(self.config.steps)
        self._report(self.config.steps, always=True)

    def _on_rollout_start(self) -> None:
        self.hooks.schedule(min(1.0, self.num_timesteps / self.config.steps))

    def _on_step(self) -> bool:
        self._book()
        reached = min(self.num_timesteps, self.config.steps - 1)  # the budget's own evaluation is `finish`'s
        if reached >= min(self._grid[:1] + self._snapshots[:1], default=self.config.steps):
            check_weights(self.policy.network, self.num_timesteps)
            self._reach(reached)
        self._report(self.num_timesteps)
        return True

    def _book(self) -> None:
        """Count what the hooks took of the target besides the learner's steps."""
        taken = self.hooks.taken
        if taken != self._booked:
            self.model.num_timesteps += taken - self._booked
            self.num_timesteps = self.model.num_timesteps
            self._booked = taken

    def _reach(self, step: int) -> None:
        """Take the snapshots and evaluations that are due up to this step."""
        while self._snapshots and self._snapshots[0] <= step:
            self.policy.save(self.journal.folder / "snapshots" / str(self._snapshots.pop(0)))
        while self._grid and self._grid[0] <= step:
            self._evaluate(self._grid.pop(0))

    def _evaluate(self, point: int) -> None:
        results = self.evaluator.evaluate(self.policy, point)
        self.journal.evaluation(point, results)
        if self.on_evaluation is not None:
            self.on_evaluation(point, results.mean)

    def _report(self, steps: int, *, always: bool = False) -> None:
        if self.on_progress is None:
            return
        now = time.monotonic()
        if always or now - self._told >= 0.1:
            self._told = now
            self.on_progress(steps, self.config.steps)


def check_weights(network: BasePolicy, step: int) -> None:
    """Raises ConfigError if learning diverged: a weight is NaN or infinite."""
    if not all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters()):
        raise ConfigError(
            f"learning diverged: the policy's weights were no longer finite at step {step}; lower learning_rate or "
            "max_grad_norm, or normalise observations and rewards"
        )
