"""Kickstarting: how its weight goes down, and what it compares."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agents.auxiliary import attach
from agents.config import RunConfig
from agents.outputs import Batch, Outputs
from envs.errors import ConfigError
from tests.transfer.teachers import CARTPOLE, context, learner_of, make_teacher
from transfer.method import Crossing, Teacher, compose
from transfer.methods.kickstart import annealed, divergence, similarity_error

WAYS = ("linear", "cosine", "exponential", "constant")


def observations(n=6, seed=0):
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))


def at_work(run=None, **settings):
    """Kickstarting with a learner of its run."""
    methods = compose([{"method": "kickstart", **settings}])
    return methods, learner_of(methods, run or context())


# The weight


@pytest.mark.parametrize(
    ("how", "middle", "end"),
    [("linear", 0.75, 0.001), ("cosine", 0.8535534, 2.5e-6), ("exponential", 0.3162278, 0.01), ("constant", 1.0, 1.0)],
)
def test_each_way_of_annealing_at_exact_places(how, middle, end):
    assert annealed(how, 0.0) == 1.0
    assert annealed(how, 0.25) == pytest.approx(middle)
    assert annealed(how, 0.999) == pytest.approx(end, rel=0.02)
    assert annealed(how, 1.0) == annealed(how, 2.0) == 0.0


@given(st.sampled_from(WAYS), st.floats(0, 3), st.floats(0, 3))
def test_the_weight_never_grows(how, one, other):
    early, late = sorted((one, other))
    assert 0.0 <= annealed(how, late) <= annealed(how, early) <= 1.0


@pytest.mark.parametrize("how", WAYS)
def test_the_loss_carries_the_weight_of_its_progress(how):
    methods, learner = at_work(coefficient=2.0, until=0.8, anneal=how)
    batch = Batch(learner.policy, observations())
    whole = methods.auxiliary_loss(batch).item()
    methods.schedule(0.2)
    assert methods.auxiliary_loss(batch).item() == pytest.approx(whole * annealed(how, 0.25), rel=1e-5)
    methods.schedule(0.8)
    assert methods.auxiliary_loss(batch) is None


# What is compared


def test_the_reverse_divergence_is_that_of_its_definition():
    run = context()
    methods, learner = at_work(run, direction="reverse")
    seen = observations()
    teacher = run.teacher.outputs(seen).head.log_softmax(dim=-1)
    student = Batch(learner.policy, seen).outputs.head.log_softmax(dim=-1)
    expected = (student.exp() * (student - teacher)).sum(dim=-1).mean()
    torch.testing.assert_close(methods.auxiliary_loss(Batch(learner.policy, seen)), expected)


def test_the_temperature_of_logits_softens_both():
    run = context()
    methods, learner = at_work(run, logit_temperature=4.0)
    seen = observations()
    heads = [run.teacher.outputs(seen).head / 4, Batch(learner.policy, seen).outputs.head / 4]
    expected = divergence(*(Outputs("categorical", head) for head in heads)).mean()
    torch.testing.assert_close(methods.auxiliary_loss(Batch(learner.policy, seen)), expected)


@pytest.mark.parametrize("source", ["ppo", "dqn"])
def test_value_matching_is_the_mean_square_with_its_weight(source):
    run = context(source=source)
    seen = observations()
    plain, learner = at_work(run)
    valued = compose([{"method": "kickstart", "value": 0.3}])
    valued.bind(run)
    values = Batch(learner.policy, seen).outputs.value
    expected = 0.3 * (values - run.teacher.outputs(seen).value).square().mean()
    added = valued.auxiliary_loss(Batch(learner.policy, seen)) - plain.auxiliary_loss(Batch(learner.policy, seen))
    torch.testing.assert_close(added, expected)


def test_value_matching_reaches_the_critic_of_a_compiled_learner():
    weights = []
    for name in ("ppo", "sb3-ppo"):
        run = context(algorithm=name, n_steps=32, batch_size=16)
        methods, learner = at_work(run, value=1.0, coefficient=5.0)
        attach(learner, methods.auxiliary_loss)
        learner.learn(64)
        weights.append(learner.policy.state_dict())
    for key, value in weights[0].items():
        torch.testing.assert_close(value, weights[1][key], rtol=1e-5, atol=1e-5, msg=key)


def test_similarities_are_the_papers_and_need_no_equal_sizes():
    """‖G_T − G_S‖²_F/B² with rows of FFᵀ normalised, by hand for two observations."""
    teacher = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    student = torch.tensor([[3.0], [3.0]])
    grams = np.eye(2), np.full((2, 2), 1 / np.sqrt(2))
    expected = np.square(grams[0] - grams[1]).sum() / 4
    assert similarity_error(teacher, student).item() == pytest.approx(expected)
    assert similarity_error(teacher, teacher @ torch.tensor([[0.0, 2.0], [-2.0, 0.0]])).item() == pytest.approx(0)


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_feature_matching_draws_the_torso_and_not_the_heads(algorithm):
    run = context(algorithm=algorithm, source="ppo", architecture={"net_arch": [5], "activation": "tanh"})
    methods, learner = at_work(run, features=1.0, coefficient=1.0)
    plain = compose(["kickstart"])
    plain.bind(run)
    seen = observations()
    difference = methods.auxiliary_loss(Batch(learner.policy, seen)) - plain.auxiliary_loss(Batch(learner.policy, seen))
    names, parameters = zip(*learner.policy.named_parameters(), strict=True)
    gradients = torch.autograd.grad(difference, parameters, allow_unused=True)
    moved = {name for name, g in zip(names, gradients, strict=True) if g is not None and g.abs().max() > 1e-6}
    torso = "mlp_extractor.policy_net.0.weight" if algorithm == "ppo" else "q_net.q_net.0.weight"
    head = "action_net.weight" if algorithm == "ppo" else "q_net.q_net.2.weight"
    assert torso in moved
    assert head not in moved


def test_nothing_is_added_for_features_where_the_student_is_the_teacher():
    run = context()
    methods = compose(["finetune", {"method": "kickstart", "features": 1.0, "value": 1.0}])
    learner = learner_of(methods, run)
    assert methods.auxiliary_loss(Batch(learner.policy, observations())).item() == pytest.approx(0, abs=1e-6)


# Several teachers


def several(weights=()):
    """A run with two teachers of one game."""
    run = context()
    other = make_teacher("dqn", run.mapping.source, {"net_arch": [8], "activation": "tanh"}, seed=1)
    return replace(run, further=(Teacher(other, run.mapping),)), {"weights": weights}


def test_several_teachers_are_averaged_by_their_weights():
    run, settings = several((3.0, 1.0))
    methods, learner = at_work(run, **settings)
    seen = observations()
    student = Batch(learner.policy, seen).outputs
    parts = [divergence(one.outputs(seen), student).mean() for one in (run, run.further[0])]
    torch.testing.assert_close(methods.auxiliary_loss(Batch(learner.policy, seen)), 0.75 * parts[0] + 0.25 * parts[1])


def test_a_further_teacher_is_asked_once_about_a_rollout():
    run, _ = several()
    methods, learner = at_work(run)
    rollout = observations(8).numpy()
    rows = np.array([5, 1, 6])
    of_rollout = Batch(learner.policy, torch.as_tensor(rollout[rows]), rollout=rollout, rows=rows)
    alone = Batch(learner.policy, torch.as_tensor(rollout[rows]))
    torch.testing.assert_close(methods.auxiliary_loss(of_rollout), methods.auxiliary_loss(alone))


# Refusals


def crossing(source="ppo", target="ppo"):
    config = RunConfig(task=CARTPOLE, algorithm=source, steps=1)
    return Crossing(config, config.model_copy(update={"algorithm": target}), context().mapping)


@pytest.mark.parametrize(
    ("settings", "known", "words"),
    [
        ({"value": 1.0}, crossing("ppo", "dqn"), "kickstart.value matches state values: found ppo and dqn"),
        ({"weights": [1.0, 2.0]}, crossing(), r"kickstart.weights: found \[1.0, 2.0\] for 1 teachers"),
        ({"weights": [0.0]}, crossing(), "not all 0"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_trained(settings, known, words):
    with pytest.raises(ConfigError, match=words):
        compose([{"method": "kickstart", **settings}]).check(known)
