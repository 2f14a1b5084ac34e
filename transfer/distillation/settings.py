"""What distillation can be told, offline or on the student's own states."""

from typing import Literal

from pydantic import Field

from transfer.distillation.loss import Distance
from transfer.method import MethodSettings


class DistillationSettings(MethodSettings):
    """What is compared, how it is learnt, and who plays."""

    transitions: int | None = Field(default=None, ge=1)
    """How many transitions are played for it; by default a tenth of the budget, or all where nothing follows."""
    then_learn: bool = True
    """Whether the student learns on by itself afterwards. Without, the run ends there."""
    loss: Distance = "kl"
    """`kl`: the divergence of the policies. `nll`: the teacher's best action as a label. `mse`: squares of the
    differences of action values, of logits, or of the actions of continuous policies."""
    temperature: float = Field(default=0.01, gt=0.0)
    """Divides a teacher's action values before their softmax, in the unit of returns (Rusu et al. 2015: 0.01)."""
    student_temperature: float = Field(default=1.0, gt=0.0)
    """Likewise of a student with action values."""
    value: float = Field(default=0.5, ge=0.0)
    """Weight of (V_S − V_T)²/E[V_T²], where both know the value of a state."""
    features: float = Field(default=0.0, ge=0.0)
    """Weight of the hint: the last hidden layer, through a linear regressor (Romero et al. 2015)."""
    weights: tuple[float, ...] = ()
    """Of several teachers, the source first; by default equal. Divided by their sum."""
    epochs: int = Field(default=30, ge=1)
    """Passes over the data, each time that there is something to learn."""
    batch_size: int = Field(default=256, ge=1)
    """Observations of a step of Adam."""
    learning_rate: float = Field(default=1e-3, gt=0.0)
    """Adam's at the start; it goes to 0 linearly."""
    play: Literal["sampled", "greedy"] = "sampled"
    """How teachers act; sampled, one with action values through softmax(Q/temperature)."""
    random: float = Field(default=0.05, ge=0.0, le=1.0)
    """With which probability an action is drawn from the space instead, as Rusu et al.'s teachers did."""
    n_envs: int = Field(default=16, ge=1)
    """Environments that are played at once."""
    view: Literal["target", "source"] = "target"
    """What teachers see of the target: the student's observation, mapped; or the game with the change of observation
    that they were trained with, such as symbols where the student sees pixels."""
    exploration: float | None = Field(default=None, ge=0.0, le=1.0)
    """With which probability a DQN acts at random when it learns on; by default 0.05."""
