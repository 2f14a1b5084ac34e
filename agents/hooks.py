"""Where knowledge enters a training: the start, the world and the gradient.

Training calls these hooks and knows nothing else of transfer. The base class does nothing, which is learning
from scratch; the floor above subclasses it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.vec_env import VecEnv

    from agents.outputs import Batch


class Hooks:
    """Learning from scratch: every hook leaves things as they are."""

    uses_auxiliary_loss: bool = False
    """Whether `auxiliary_loss` is to be called; learners without one skip all its cost."""

    @property
    def taken(self) -> int:
        """World: transitions of the target taken so far that the learner did not see, such as a guide's.

        Read after every step of the learner, and booked on its budget.
        """
        return 0

    def build(self, hyperparameters: dict[str, Any]) -> dict[str, Any]:
        """Start: the hyperparameters, architecture included, before the learner is built."""
        return hyperparameters

    def initialise(self, learner: "BaseAlgorithm") -> None:
        """Start: the learner, built, before its first evaluation. No transition of the target may be taken here."""

    def prepare(self, learner: "BaseAlgorithm", spend: "Callable[[int], None]") -> None:
        """Start: what takes transitions of the target before the learner's own first step, after the evaluation at 0.

        Args:
            learner: initialised.
            spend: to be called with the number of transitions just taken, of all environments together. It books them
                on the learner's budget and evaluates the learner as it is where the grid of evaluations says so.
                Raises ConfigError once nothing of the budget is left.
        """

    @property
    def replaces_learning(self) -> bool:
        """Start: whether `prepare` is all the learning there is: it may use the whole budget; the run ends after it."""
        return False

    def wrap(self, venv: "VecEnv") -> "VecEnv":
        """World: the training environments, before any normalisation of rewards. Evaluation never sees it."""
        return venv

    def auxiliary_loss(self, batch: "Batch") -> "torch.Tensor | None":
        """Gradient: a scalar added to the loss of one minibatch, or None."""
        return None

    def schedule(self, progress: float) -> None:
        """Called as training goes on, with the fraction of the budget used so far, in [0, 1]."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint has to hold of these hooks: plain data, arrays, tensors, generators (`docs/resuming.md`).

        Asked between two rollouts, or two rounds of collecting and training. What is a function of the progress that
        `schedule` is told, or of the way `build`, `wrap` and `initialise` went, needs no place in it.
        """
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave; called after `initialise`, in place of `prepare`."""

    def buffers(self) -> dict[str, Any]:
        """Replay buffers besides the learner's, by a word each; they are saved as the learner's is."""
        return {}

    def notes(self) -> list[str]:
        """What the run's log should say of what was carried, a line each; asked once the learner is initialised."""
        return []
