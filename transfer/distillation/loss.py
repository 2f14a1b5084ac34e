"""What a student is told to bring down: how far its heads are from those of a teacher, on the same observations."""

from dataclasses import replace
from typing import Literal

import torch
from gymnasium import spaces
from torch import Tensor
from torch.nn import functional as F

from agents.masking import ILLEGAL
from agents.outputs import Outputs
from envs.errors import ConfigError

Distance = Literal["kl", "nll", "mse"]
Matched = tuple[int, ...] | None
"""The target's actions (or dimensions) that a teacher knows; None: all."""


def divergence(
    teacher: Outputs,
    student: Outputs,
    matched: Matched = None,
    temperature: float = 1.0,
    student_temperature: float | None = None,
) -> Tensor:
    """KL(teacher‖student) of each observation, (B,); of deterministic actions half the squared distance.

    Of a teacher with action values this is Σ softmax(Q_T/τ) ln(softmax(Q_T/τ) / softmax(·_S)) (Rusu et al. 2015,
    their L_KL, with τ = 0.01 there).

    Args:
        teacher: constants.
        student: with gradient.
        matched: the actions to compare, single ones renormalised to them; by default all.
        temperature: divides the teacher's action values; logits are taken as they are.
        student_temperature: divides the student's action values; by default the same.
    """
    if student.kind == "deterministic":
        return 0.5 * (columns(student.head, matched) - columns(teacher.head, matched)).square().sum(dim=-1)
    if student.kind == "gaussian":
        return _between_gaussians(teacher, student, matched)
    log_t = log_policy(teacher, matched, temperature)
    log_s = log_policy(student, matched, temperature if student_temperature is None else student_temperature)
    return (log_t.exp() * (log_t - log_s)).sum(dim=-1)


def log_policy(outputs: Outputs, matched: Matched, temperature: float) -> Tensor:
    """Log-probabilities (B, n_matched); action values make a policy through softmax(Q/temperature)."""
    head = columns(outputs.head, matched)
    return torch.log_softmax(head / temperature if outputs.kind == "q" else head, dim=-1)


def negative_log_likelihood(
    teacher: Outputs, student: Outputs, matched: Matched = None, student_temperature: float = 1.0
) -> Tensor:
    """−ln π_S(argmax of the teacher's head), (B,): Rusu et al. 2015, their L_NLL. Discrete actions only."""
    best = columns(teacher.head, matched).argmax(dim=-1, keepdim=True)
    return -log_policy(student, matched, student_temperature).gather(-1, best).squeeze(-1)


def squared_error(teacher: Outputs, student: Outputs, matched: Matched = None) -> Tensor:
    """½‖head_T − head_S‖², (B,): of action values as in Rusu et al. 2015 (their L_MSE), of actions, or of logits.

    Logits mean the same policy whatever constant is added to them: theirs are compared without their means. Illegal
    actions are left out of both.
    """
    heads = [columns(outputs.head, matched) for outputs in (teacher, student)]
    if student.kind in ("categorical", "q"):
        legal = heads[0] > ILLEGAL / 2
        heads = [torch.where(legal, head, 0.0) for head in heads]
        if student.kind == "categorical":
            counts = legal.sum(dim=-1, keepdim=True).clamp(min=1)
            heads = [torch.where(legal, head - head.sum(dim=-1, keepdim=True) / counts, 0.0) for head in heads]
    return 0.5 * (heads[0] - heads[1]).square().sum(dim=-1)


def distance(
    kind: Distance,
    teacher: Outputs,
    student: Outputs,
    matched: Matched = None,
    temperature: float = 1.0,
    student_temperature: float = 1.0,
) -> Tensor:
    """One of the three, of each observation, (B,)."""
    if kind == "kl":
        return divergence(teacher, student, matched, temperature, student_temperature)
    if kind == "nll":
        return negative_log_likelihood(teacher, student, matched, student_temperature)
    return squared_error(teacher, student, matched)


def value_error(teacher: Tensor, student: Tensor, square: float) -> Tensor:
    """(V_S − V_T)² over the mean square of V_T, (B,): the same whatever the unit of rewards, and about 1 at first.

    (Their variance would be no scale: a teacher that always succeeds values all that it gets to see alike.)
    """
    return (student - teacher).square() / max(square, 1e-8)


def hint_error(teacher: Tensor, student: Tensor) -> Tensor:
    """½‖u_T − r(u_S)‖² per dimension, (B,): FitNets' hint (Romero et al. 2015, eq. 3), of what a regressor r made."""
    return 0.5 * F.mse_loss(student, teacher, reduction="none").mean(dim=-1)


def greedy_actions(outputs: Outputs, space: spaces.Box, *, squashed: bool) -> Outputs:
    """Continuous heads of any kind as the actions that they stand for, in [−1, 1]: what `mse` compares.

    Args:
        outputs: means before any squashing, or deterministic actions in [−1, 1].
        space: of the actions.
        squashed: whether the means pass through tanh (SAC) or are in the actions' own unit (PPO, A2C).
    """
    if outputs.kind == "deterministic":
        return outputs
    if squashed:
        return replace(outputs, kind="deterministic", head=outputs.head.tanh())
    low, high = (torch.as_tensor(bound, device=outputs.head.device).flatten() for bound in (space.low, space.high))
    return replace(outputs, kind="deterministic", head=2 * (outputs.head - low) / (high - low) - 1)


def columns(head: Tensor, matched: Matched) -> Tensor:
    """The columns of the matched actions, (B, n_matched); a head may hold no others."""
    return head if matched is None or head.shape[-1] == len(matched) else head[..., list(matched)]


def _between_gaussians(teacher: Outputs, student: Outputs, matched: Matched) -> Tensor:
    """Of independent dimensions: Σ log σ_S/σ_T + (σ_T² + (μ_T − μ_S)²)/(2σ_S²) − ½."""
    if teacher.log_std is None or student.log_std is None:
        raise ConfigError("a divergence needs the standard deviations of both policies, and one has none")
    log_t, log_s = columns(teacher.log_std, matched), columns(student.log_std, matched)
    difference = columns(teacher.head, matched) - columns(student.head, matched)
    squares = (2 * log_t).exp() + difference.square()
    return (log_s - log_t + squares / (2 * (2 * log_s).exp()) - 0.5).sum(dim=-1)
