"""Which weights are carried, what stays frozen and how long, who learns how fast, and the optimiser's state."""

from dataclasses import replace

import pytest
import torch
from stable_baselines3.common.logger import Logger

from agents.config import RunConfig
from agents.optimising import learning_state
from agents.parts import of_part, parts
from envs.errors import CheckpointError, ConfigError
from tests.transfer.teachers import CARTPOLE, context, learner_of, run_config
from transfer.carry import train_run
from transfer.method import Crossing, compose
from transfer.methods.thawing import shares, thawing

KNOWN = ["torso.0", "torso.1", "action_head", "value_head"]
DEEP = {"net_arch": [6, 5], "activation": "tanh", "normalise_observations": False}


def run_of(algorithm="ppo", **more):
    return context(algorithm=algorithm, source=algorithm, architecture=DEEP, **more)


def with_teacher(entry, algorithm="ppo", **more):
    run = run_of(algorithm, **more)
    return run, learner_of(compose([{"method": "finetune", **entry}]), run)


def crossing(algorithm="ppo", **hyperparameters):
    config = RunConfig(task=CARTPOLE, algorithm=algorithm, steps=1, hyperparameters=hyperparameters)
    return Crossing(config, config, context().mapping)


@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "dqn"])
@pytest.mark.parametrize(
    "layers", [["torso.0"], ["torso.1", "action_head"], ["torso"], ["torso", "action_head"], "torso", "all"]
)
def test_the_named_layers_are_the_teachers_and_the_others_the_students_own(algorithm, layers):
    run, learner = with_teacher({"layers": layers}, algorithm)
    fresh = learner_of(compose(["kickstart"]), fresh_run(run))
    theirs, found, own = (parts(policy) for policy in (run.teacher.network, learner.policy, fresh.policy))
    names = {"all": set(found), "torso": {"torso.0", "torso.1"}}.get(layers if isinstance(layers, str) else "", layers)
    carried = {name for name in found if name in names or (name.startswith("torso") and "torso" in names)}
    assert carried
    for name, parameters in found.items():
        for parameter, teacher, start in zip(parameters, theirs[name], own[name], strict=True):
            assert torch.equal(parameter, teacher if name in carried else start), name
    if algorithm == "dqn":
        for one, other in zip(
            learner.q_net.state_dict().values(), learner.q_net_target.state_dict().values(), strict=True
        ):
            assert torch.equal(one, other)


def fresh_run(run):
    """The same run, whose learner gets the teacher's architecture without its weights."""
    return replace(run, hyperparameters={**run.hyperparameters, **run.teacher.architecture})


def test_statistics_can_stay_behind():
    architecture = {**DEEP, "normalise_observations": True}
    run = context(architecture=architecture)
    for carried in (True, False):
        learner = learner_of(compose([{"method": "finetune", "normaliser": carried}]), run)
        ours = learner.policy.features_extractor.normaliser
        theirs = run.teacher.network.features_extractor.normaliser
        assert torch.equal(ours.mean, theirs.mean) is carried
        assert bool(ours.count.any()) is carried


# Freezing and thawing


def test_layers_thaw_from_the_heads_down_at_equal_fractions():
    assert thawing((), 0.2, ["encoder", *KNOWN]) == {
        "torso.1": pytest.approx(0.2 / 3),
        "torso.0": pytest.approx(0.4 / 3),
        "encoder": pytest.approx(0.2),
    }
    assert thawing(("torso",), 0.5, KNOWN) == {"torso.1": 0.25, "torso.0": 0.5}
    assert thawing(("torso.0", "value_head"), 0.5, KNOWN) == {"value_head": 0.25, "torso.0": 0.5}
    assert thawing(("torso",), None, KNOWN) == {"torso.0": float("inf"), "torso.1": float("inf")}
    table = thawing(("action_head",), {"torso": 0.3, "torso.1": 0.1}, KNOWN)
    assert table == {"action_head": float("inf"), "torso.0": 0.3, "torso.1": 0.1}


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_a_part_starts_to_learn_exactly_when_its_time_has_come(algorithm):
    run, learner = run_of(algorithm), None
    methods = compose([{"method": "finetune", "unfreeze": 0.5}])
    learner = learner_of(methods, run)

    def learning():
        known = parts(learner.policy)
        return {name for name, ps in known.items() if all(p.requires_grad for p in ps)}

    heads = {"action_head", "value_head"} & set(parts(learner.policy))
    for progress, expected in (
        (0.0, heads),
        (0.2499, heads),
        (0.25, heads | {"torso.1"}),
        (0.49, heads | {"torso.1"}),
        (0.5, heads | {"torso.0", "torso.1"}),
        (0.6, heads | {"torso.0", "torso.1"}),
    ):
        methods.schedule(progress)
        assert learning() == expected, progress


@pytest.mark.parametrize("algorithm", ["ppo", "sb3-ppo", "a2c", "dqn", "sb3-dqn"])
@pytest.mark.parametrize("part", ["torso", "torso.0", "action_head"])
def test_frozen_parts_stay_bit_for_bit_while_the_others_learn(algorithm, part):
    small = {"n_steps": 16} if algorithm.endswith(("ppo", "a2c")) else {"learning_starts": 10}
    _, learner = with_teacher({"freeze": [part]}, algorithm, **small)
    held = {id(parameter) for parameter in of_part(learner.policy, part)}
    before = [(p, p.detach().clone()) for ps in parts(learner.policy).values() for p in ps]
    learner.learn(96)
    assert held
    for parameter, value in before:
        assert torch.equal(parameter, value) is (id(parameter) in held)


# Rates


def rates(optimiser):
    return {id(p): group["lr"] for group in optimiser.param_groups for p in group["params"]}


def test_shares_of_the_rate_by_part():
    assert shares({}, 0.5, ["encoder", *KNOWN]) == {"torso.1": 0.5, "torso.0": 0.25, "encoder": 0.125}
    assert shares({"torso": 0.3, "torso.1": 0.6}, None, KNOWN) == {"torso.0": 0.3, "torso.1": 0.6}
    assert shares({"torso.1": 2.0}, 0.5, KNOWN) == {"torso.1": 2.0, "torso.0": 0.25}


@pytest.mark.parametrize("algorithm", ["ppo", "sb3-ppo", "a2c", "dqn", "sb3-dqn"])
def test_rates_of_their_own_survive_a_scheduled_rate(algorithm):
    """Stable-Baselines3 overwrites the rate of every group of parameters before each update."""
    run = run_of(algorithm, learning_rate="lin_0.01")
    learner = learner_of(compose([{"method": "finetune", "rates": {"torso.0": 0.1}, "decay": 0.5}]), run)
    learner.set_logger(Logger(None, []))
    known = parts(learner.policy)
    for remaining in (1.0, 0.5, 0.25):
        learner._current_progress_remaining = remaining
        for _ in range(2):
            learner._update_learning_rate(learner.policy.optimizer)
        found = rates(learner.policy.optimizer)
        for name, share in {"torso.0": 0.1, "torso.1": 0.5, "action_head": 1.0}.items():
            assert [found[id(p)] for p in known[name]] == pytest.approx([0.01 * remaining * share] * len(known[name]))


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_a_tiny_rate_moves_little_in_compiled_code_and_through_pytorch(algorithm):
    made = []
    for compiles in (True, False):
        _, learner = with_teacher(
            {"rates": {"torso.0": 1e-3}},
            algorithm,
            learning_rate="lin_0.01",
            **({} if algorithm == "ppo" else {"learning_starts": 10}),
        )
        learner.compiles = compiles
        assert (learner._compiled() is not None) is compiles
        before = {name: [p.detach().clone() for p in ps] for name, ps in parts(learner.policy).items()}
        learner.learn(128)
        moved = {
            name: max(float((p.detach() - q).abs().max()) for p, q in zip(ps, before[name], strict=True))
            for name, ps in parts(learner.policy).items()
        }
        assert 0 < moved["torso.0"] < 0.01 * moved["torso.1"]
        made.append(learner)
    for ours, theirs in zip(*(one.policy.parameters() for one in made), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


# The optimiser's state


@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "dqn"])
def test_the_optimiser_goes_on_from_the_sources_state(algorithm, tmp_path):
    source = train_run(
        run_config(algorithm=algorithm, **({"learning_starts": 10} if algorithm == "dqn" else {})), tmp_path
    )
    teacher = source.policy()
    assert any(value.abs().sum() > 0 for value in teacher.learning.values())
    run = replace(context(algorithm=algorithm, source=algorithm), teacher=teacher)
    learner = learner_of(compose([{"method": "finetune", "optimiser": True}]), run)
    found = learning_state(learner)
    assert found.keys() == teacher.learning.keys()
    assert all(torch.equal(found[key], value) for key, value in teacher.learning.items())
    learner.learn(64)


def test_without_a_state_to_go_on_from_it_says_so():
    with pytest.raises(CheckpointError, match=r"has no optimiser\.safetensors beside it"):
        learner_of(compose([{"method": "finetune", "optimiser": True}]), context())


# Refusals


@pytest.mark.parametrize(
    ("settings", "algorithm", "words"),
    [
        ({"freeze": ["torso", "action_head"]}, "ppo", "leaves the policy nothing to learn: free its torso"),
        ({"freeze": ["torso.0", "torso.1", "action_head"]}, "dqn", "leaves the policy nothing to learn"),
        ({"unfreeze": {"torso": 0.1, "action_head": 0.1}}, "ppo", "leaves the policy nothing to learn"),
        ({"freeze": ["torso.7"]}, "ppo", r"finetune: the network has no torso.7: it has torso.0, torso.1, action_head"),
        ({"layers": ["torso.7"]}, "ppo", "the network has no torso.7"),
        ({"rates": {"value_head": 0.5}}, "dqn", "dqn has no value_head"),
        ({"layers": ["encoder"]}, "ppo", "finetune.layers carries nothing"),
        ({"freeze": ["torso"]}, "trpo", "tells layers apart in ppo, a2c, dqn, sac, td3 and ddpg, not in trpo"),
    ],
)
def test_contradictions_are_refused_before_anything_is_trained(settings, algorithm, words):
    with pytest.raises(ConfigError, match=words) as caught:
        compose([{"method": "finetune", **settings}]).check(crossing(algorithm))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"layers": "heads"}, 'layers: found \'heads\', expected "all", "torso" or a list of parts'),
        ({"layers": ["tors"]}, "layers: found 'tors', expected encoder, torso"),
        ({"unfreeze": 1.5}, "unfreeze: found 1.5, expected a fraction"),
        ({"decay": 0}, "decay: found 0"),
    ],
)
def test_a_wrong_setting_gets_one_line(settings, words):
    with pytest.raises(ConfigError, match=words):
        compose([{"method": "finetune", **settings}])


def test_adams_state_is_for_the_same_weights_only():
    with pytest.raises(ConfigError, match="carries Adam's state of the same weights"):
        compose([{"method": "finetune", "optimiser": True, "layers": "torso"}]).check(crossing())


@pytest.mark.parametrize(
    ("layers", "fits"),
    [("all", False), (["torso", "action_head"], False), (["torso", "value_head"], True), ("torso", True)],
)
def test_heads_are_refused_where_no_action_is_mapped(layers, fits):
    known = crossing()
    mapping = replace(known.mapping, carries_actions=False)
    methods = compose([{"method": "finetune", "layers": layers}])
    if fits:
        methods.check(replace(known, mapping=mapping))
        return
    with pytest.raises(ConfigError, match="no action is mapped, so that no head can be carried"):
        methods.check(replace(known, mapping=mapping))


def test_a_critic_of_states_is_carried_where_no_action_is_mapped():
    run = run_of()
    run = replace(run, mapping=replace(run.mapping, carries_actions=False))
    learner = learner_of(compose([{"method": "finetune", "layers": ["torso", "value_head"]}]), run)
    theirs, ours = parts(run.teacher.network), parts(learner.policy)
    for name in KNOWN:
        same = all(torch.equal(one, other) for one, other in zip(theirs[name], ours[name], strict=True))
        assert same is (name != "action_head"), name
    without = learner_of(compose([{"method": "finetune", "layers": "torso"}]), run)
    assert not torch.equal(parts(without.policy)["value_head"][0], theirs["value_head"][0])


def test_a_critic_of_actions_is_not_carried_where_no_action_is_mapped():
    known = crossing("dqn")
    mapping = replace(known.mapping, carries_actions=False)
    with pytest.raises(ConfigError, match="no action is mapped, so that no head can be carried"):
        compose([{"method": "finetune", "layers": ["torso", "action_head"]}]).check(replace(known, mapping=mapping))
