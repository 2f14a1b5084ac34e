"""Distillation's losses against values worked out by hand, and their gradients."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents.outputs import Outputs
from transfer.distillation.loss import (
    distance,
    divergence,
    greedy_actions,
    hint_error,
    negative_log_likelihood,
    squared_error,
    value_error,
)

LN = np.log


def logits(*rows):
    return Outputs("categorical", torch.tensor(rows, dtype=torch.float64))


def values(*rows):
    return Outputs("q", torch.tensor(rows, dtype=torch.float64))


def test_kl_of_a_teacher_with_action_values_divides_them_by_the_temperature():
    """softmax((ln 3)·τ/τ, 0) = (3/4, 1/4) against (1/2, 1/2)."""
    teacher, student = values([0.01 * LN(3.0), 0.0]), logits([7.0, 7.0])
    expected = 0.75 * LN(0.75 / 0.5) + 0.25 * LN(0.25 / 0.5)
    torch.testing.assert_close(divergence(teacher, student, None, 0.01, 1.0), torch.tensor([expected]).double())


def test_logits_are_taken_as_they_are_whatever_the_temperature():
    teacher, student = logits([LN(3.0), 0.0]), logits([0.0, 0.0])
    assert torch.equal(divergence(teacher, student, None, 0.01), divergence(teacher, student, None, 1.0))


def test_a_student_with_action_values_has_a_temperature_of_its_own():
    teacher, student = logits([LN(3.0), 0.0]), values([2 * LN(3.0), 0.0])
    assert divergence(teacher, student, None, 0.01, 2.0).abs().item() < 1e-12


def test_only_matched_actions_count_and_are_renormalised():
    """Of (3, 1, 96)/100 the first two are (3/4, 1/4)."""
    teacher, student = logits([LN(3.0), 0.0, LN(96.0)]), logits([LN(3.0), 0.0, -5.0])
    assert divergence(teacher, student, (0, 1)).abs().item() < 1e-12
    assert divergence(teacher, student).item() > 1.0


def test_kl_between_gaussians():
    """σ_T = 1, σ_S = 2, μ apart by 1: ln 2 + (1 + 1)/8 − 1/2, twice."""
    zero = torch.zeros(1, 2, dtype=torch.float64)
    teacher = Outputs("gaussian", zero, log_std=zero)
    student = Outputs("gaussian", zero + 1, log_std=zero + LN(2.0))
    torch.testing.assert_close(divergence(teacher, student), torch.tensor([2 * (LN(2.0) + 0.25 - 0.5)]).double())
    torch.testing.assert_close(divergence(teacher, student, (1,)), torch.tensor([LN(2.0) - 0.25]).double())


def test_the_label_is_the_teachers_best_matched_action():
    teacher, student = values([1.0, 2.0, 9.0]), logits([0.0, LN(3.0), 50.0])
    torch.testing.assert_close(
        negative_log_likelihood(teacher, student, (0, 1)), torch.tensor([-LN(0.75)], dtype=torch.float64)
    )


def test_squares_are_of_action_values_and_of_logits_without_their_mean():
    assert squared_error(values([1.0, 2.0]), values([2.0, 4.0])).item() == pytest.approx(2.5)
    assert squared_error(logits([1.0, 2.0]), logits([11.0, 12.0])).item() == pytest.approx(0.0)


def test_deterministic_actions_and_hints():
    actions = [Outputs("deterministic", torch.tensor([[x, 0.0]])) for x in (0.5, -0.5)]
    assert divergence(*actions).item() == pytest.approx(0.5)
    assert hint_error(torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 0.0]])).item() == pytest.approx(2.5)
    assert value_error(torch.tensor([3.0]), torch.tensor([1.0]), 8.0).item() == pytest.approx(0.5)


def test_actions_of_all_kinds_of_heads_meet_between_minus_one_and_one():
    space = spaces.Box(np.float32([-2.0]), np.float32([6.0]))
    plain = greedy_actions(Outputs("gaussian", torch.tensor([[4.0]])), space, squashed=False)
    assert (plain.kind, plain.head.item()) == ("deterministic", pytest.approx(0.5))
    squashed = greedy_actions(Outputs("gaussian", torch.tensor([[0.5]])), space, squashed=True)
    assert squashed.head.item() == pytest.approx(np.tanh(0.5))


@pytest.mark.parametrize("kind", ["kl", "nll", "mse"])
@pytest.mark.parametrize("make", [logits, values])
def test_gradients(kind, make):
    generator = torch.Generator().manual_seed(0)
    teacher = make(*torch.randn(3, 4, generator=generator).tolist())
    head = torch.randn(3, 4, generator=generator, dtype=torch.float64, requires_grad=True)

    def loss(head):
        return distance(kind, teacher, Outputs(teacher.kind, head), (0, 1, 3), 0.5, 2.0).mean()

    assert torch.autograd.gradcheck(loss, head)
    (gradient,) = torch.autograd.grad(loss(head), head)
    assert torch.equal(gradient[:, 2], torch.zeros(3).double())


def test_losses_averaged_over_teachers_are_least_at_the_mixture_of_their_policies():
    first, second = logits([2.0, 0.0, -1.0]), logits([-1.0, 0.5, 1.0])
    mixture = 0.3 * first.head.softmax(-1) + 0.7 * second.head.softmax(-1)
    head = mixture.log().clone().requires_grad_(True)
    student = Outputs("categorical", head)
    (0.3 * divergence(first, student) + 0.7 * divergence(second, student)).sum().backward()
    assert head.grad.abs().max().item() < 1e-12
