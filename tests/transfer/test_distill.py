"""Offline distillation: the student comes to agree with its teachers, and every transition is counted."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from agents.config import RunConfig
from agents.outputs import policy_outputs
from envs.errors import ConfigError
from tests.transfer.teachers import CARTPOLE, carried, context, learner_of, make_teacher, run_config, vector
from transfer.carry import train_run
from transfer.distillation.lessons import joined
from transfer.distillation.playing import Manner, Playing
from transfer.mapping import Mapping
from transfer.method import Crossing, Teacher, compose

QUICK = {"transitions": 1600, "epochs": 40, "batch_size": 64, "learning_rate": 0.01, "n_envs": 8}


def distilled(run, **settings):
    """The learner after distillation, and the transitions that were booked, step by step."""
    methods = compose([{"method": "distill", **QUICK, **settings}])
    learner = learner_of(methods, run)
    booked = []
    methods.prepare(learner, booked.append)
    return learner, booked, methods


def visited(run, seed=99):
    """States that the teacher gets into, in episodes that nobody learnt from."""
    playing = Playing(run.task, [Teacher(run.teacher, run.mapping)], Manner(random=0.3), 8, seed)
    data = playing.take(1600, lambda _: None)
    playing.close()
    return torch.as_tensor(data.observations)


def agreement(learner, run, seen):
    found = policy_outputs(learner.policy, seen).head.argmax(dim=-1)
    return (found == run.teacher.outputs(seen).head.argmax(dim=-1)).float().mean().item()


@pytest.mark.parametrize(
    ("source", "algorithm", "settings"),
    [
        ("ppo", "ppo", {}),
        ("ppo", "dqn", {}),
        ("dqn", "ppo", {}),
        ("dqn", "ppo", {"loss": "nll"}),
        ("dqn", "sb3-dqn", {"loss": "mse"}),
        ("ppo", "a2c", {"features": 0.1}),
    ],
)
def test_a_student_of_another_size_comes_to_agree_with_its_teacher(source, algorithm, settings):
    run = context(algorithm=algorithm, source=source, net_arch=[16], activation="relu")
    learner, _, _ = distilled(run, random=0.3, **settings)
    seen = visited(run)
    assert agreement(learner, run, seen) > 0.95


def test_every_transition_is_booked_as_it_is_taken():
    _, booked, methods = distilled(context(), epochs=1, transitions=1003)
    assert booked == [8] * 125
    assert "1,000 transitions" in methods.notes()[0]


def test_the_same_config_gives_the_same_weights_whatever_else_is_drawn():
    found = []
    for noise in (0, 3):
        run = context()
        methods = compose([{"method": "distill", **QUICK, "epochs": 2, "features": 0.1}])
        learner = learner_of(methods, run)
        torch.rand(noise)
        np.random.rand(noise)  # noqa: NPY002
        before = torch.get_rng_state()
        methods.prepare(learner, lambda _: None)
        assert torch.equal(torch.get_rng_state(), before)
        found.append({name: tensor.clone() for name, tensor in learner.policy.state_dict().items()})
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_values_are_matched_and_scaled_beside_shaping():
    run = context(net_arch=[32], activation="tanh")
    methods = compose([{"method": "distill", **QUICK}, {"method": "shape", "scale": 0.25}])
    learner = learner_of(methods, run)
    methods.prepare(learner, lambda _: None)
    seen = visited(run)
    wanted = 0.75 * run.teacher.outputs(seen).value
    found = policy_outputs(learner.policy, seen).value.detach()
    assert torch.corrcoef(torch.stack([found, wanted]))[0, 1] > 0.95
    assert (found - wanted).square().mean() < 0.1 * wanted.var()


def test_a_distilled_dqn_acts_as_taught_and_its_target_network_follows():
    run = context(algorithm="dqn", source="ppo", learning_starts=5000)
    learner, _, _ = distilled(run, epochs=1)
    assert learner.acts_from_the_start
    assert learner.exploration_initial_eps == 0.05
    ours, target = learner.policy.q_net.state_dict(), learner.policy.q_net_target.state_dict()
    assert all(torch.equal(ours[name], target[name]) for name in ours)


def test_the_students_normaliser_knows_the_data():
    run = context(normalise_observations=True)
    learner, booked, _ = distilled(run, epochs=1)
    normaliser = learner.policy.features_extractor.normaliser
    assert normaliser.count[0].item() == sum(booked)


def test_several_teachers_are_all_learnt_from():
    """Two teachers that contradict each other: the weights decide whom the student follows."""
    run = context(net_arch=[16])
    with torch.no_grad():
        other = make_teacher("ppo", run.teacher.interface, run.teacher.architecture, seed=0)
        other.network.action_net.weight.neg_()
        other.network.action_net.bias.neg_()
    several = Teacher(other, run.mapping)
    seen, shares = visited(run), []
    for weights in ((9.0, 1.0), (1.0, 9.0)):
        both = type(run)(**{**vars(run), "further": (several,), "_seen": {}})
        learner, _, _ = distilled(both, weights=weights, random=0.3)
        shares.append(agreement(learner, run, seen))
    assert shares[0] > 0.8 > 0.2 > shares[1]


def test_on_the_source_nothing_of_the_target_is_taken():
    run = context(net_arch=[16], activation="relu")
    run.teacher.task = CARTPOLE
    learner, booked, _ = distilled(run, on="source", random=0.3)
    assert booked == []
    assert agreement(learner, run, visited(run)) > 0.95


def crossing(source="ppo", target="ppo", steps=1000, further=(), mapping=None):
    run = context()
    config = RunConfig(task=CARTPOLE, algorithm=source, steps=steps)
    return Crossing(config, config.model_copy(update={"algorithm": target}), mapping or run.mapping, further)


@pytest.mark.parametrize(
    ("settings", "arguments", "words"),
    [
        ({}, {"steps": 9}, "the distillation set would be empty, a tenth of 9 steps"),
        ({"transitions": 1000}, {}, "plays 1,000 transitions of the target, and the budget is 1,000"),
        ({"transitions": 1001, "then_learn": False}, {}, "plays 1,001 transitions"),
        ({"weights": (1.0, 1.0)}, {}, "expected 1, one a teacher"),
        ({"loss": "mse"}, {"source": "dqn"}, "mse cannot compare the logits"),
        ({}, {"source": "qrdqn"}, "cannot read qrdqn"),
        ({}, {"target": "ars"}, "cannot read ars"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(settings, arguments, words):
    methods = compose([{"method": "distill", **settings}])
    with pytest.raises(ConfigError, match=words) as found:
        methods.check(crossing(**arguments))
    assert "\n" not in str(found.value)


def test_the_source_is_no_place_for_a_student_that_observes_something_else():
    before, after = vector("x", "y"), vector("y", "x", "z")
    methods = compose([{"method": "distill", "on": "source"}])
    with pytest.raises(ConfigError, match=r"teaches on what the source sees, Box\(2,\)"):
        methods.check(crossing(mapping=Mapping.between(before, after)))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ("finetune", 'take one of them, or finetune with layers = "torso"'),
        ({"method": "dagger", "then_learn": False}, "differ in then_learn"),
    ],
)
def test_methods_that_contradict_it(other, words):
    with pytest.raises(ConfigError, match=words):
        compose(["distill", other])


def test_an_empty_data_set_is_an_error():
    with pytest.raises(ConfigError, match="the distillation set is empty"):
        joined([])


@pytest.mark.parametrize("part", ["features", "actions"])
def test_a_mapping_that_carries_too_little_is_refused(part):
    known = vector("x", "y")
    with pytest.raises(ConfigError, match=r"map (some|them)"):
        compose(["distill"]).check(crossing(mapping=Mapping.between(known, known, **{part: "none"})))


@pytest.mark.parametrize("method", ["distill", "dagger"])
def test_what_was_played_comes_out_of_the_budget_and_two_runs_are_alike(method, tmp_path):
    found = []
    for name in ("first", "second"):
        source = train_run(run_config(), tmp_path / name)
        told = {"method": method, "transitions": 64, "n_envs": 4, "epochs": 2}
        config = carried(run_config(steps=256), source.config, [told])
        found.append(train_run(config, tmp_path / name))
    assert found[0].provenance["steps_before_learning"] == {"distill": 64, "dagger": 60}[method]
    assert found[0].provenance["steps_taken"] >= 256
    assert found[0].evaluations().steps.tolist() == [0, 64, 128, 192, 256]
    first, second = (load_file(run.path / "policy" / "policy.safetensors") for run in found)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert np.array_equal(found[0].evaluations().returns, found[1].evaluations().returns)
