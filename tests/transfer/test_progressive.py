"""Progressive columns: equation 2, the frozen column, checkpoints, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from agents.algorithms import build_policy, resolve
from agents.compiled import compiled_dqn, compiled_ppo
from agents.config import RunConfig
from agents.networks import encoders, normaliser
from agents.outputs import policy_outputs
from agents.policy import Policy, load_policy
from agents.progressive import earlier_columns
from envs.errors import CheckpointError, ConfigError
from envs.task import Task
from tests.transfer.teachers import (
    CARTPOLE,
    FAST,
    SHORT,
    carried,
    context,
    learner_of,
    make_teacher,
    run_config,
    unnamed,
    vector,
)
from transfer.carry import interface_of, train_run
from transfer.mapping import Mapping
from transfer.method import Context, Crossing, compose
from transfer.methods.progressive import first_column

BOX = spaces.Box(-np.inf, np.inf, (3,), np.float32)
SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=3)
PROGRESSIVE = "progressive"


def network(algorithm, own, column, *, column_algorithm=None, start="random", scale=0.7, space=BOX, **more):
    """A progressive network with random weights, for three numbers and two actions."""
    described = {
        "column": {"algorithm": column_algorithm or algorithm, "architecture": {"net_arch": column, **more}},
        "scale": scale,
        "start": start,
    }
    architecture = {"net_arch": own, "activation": "tanh", "progressive": described, **more}
    return build_policy(algorithm, architecture, space, spaces.Discrete(2))


def plain(x, layers):
    """What each layer of a stack makes: [x, h_1, h_2, …]."""
    found = [x]
    for layer in layers:
        found.append(torch.tanh(F.linear(found[-1], layer.weight, layer.bias)))
    return found


def by_hand(x, stack, first, head):
    """Equation 2 of Rusu et al. 2016, a layer at a time, from the weights alone; `first` are column 1's layers."""
    theirs, h = plain(x, first), x
    for i, layer in enumerate(stack.layers):
        z = F.linear(h, layer.weight, layer.bias)
        if 0 < i < len(theirs):  # the first layers both read the observation
            lateral = stack.laterals[str(i)]
            adapted = torch.tanh(F.linear(lateral.alpha * theirs[i], lateral.down.weight))
            z = z + F.linear(adapted, stack.up[str(i)].weight)
        h = torch.tanh(z)
    lateral = stack.laterals["head"]
    adapted = torch.tanh(F.linear(lateral.alpha * theirs[-1], lateral.down.weight))
    n = h.shape[1]
    return F.linear(h, head.weight[:, :n], head.bias) + F.linear(adapted, head.weight[:, n:])


@settings(max_examples=12, deadline=None)
@given(own=SIZES, column=SIZES, seed=st.integers(0, 1000))
def test_an_actor_critic_computes_equation_2_for_all_sizes(own, column, seed):
    torch.manual_seed(seed)
    policy = network("ppo", own, column, activation="tanh")
    x = torch.randn(5, 3)
    first = policy.features_extractor.column.stacks
    found = policy_outputs(policy, x)
    nets = policy.mlp_extractor
    logits = by_hand(x, nets.policy_net, [m for m in first["pi"] if hasattr(m, "weight")], policy.action_net)
    values = by_hand(x, nets.value_net, [m for m in first["vf"] if hasattr(m, "weight")], policy.value_net)
    torch.testing.assert_close(
        torch.log_softmax(found.head, dim=-1), torch.log_softmax(logits, dim=-1), atol=1e-5, rtol=1e-4
    )
    torch.testing.assert_close(found.value, values.flatten(), atol=1e-5, rtol=1e-4)


@settings(max_examples=8, deadline=None)
@given(own=SIZES, column=SIZES, seed=st.integers(0, 1000))
def test_action_values_follow_equation_2_for_all_sizes(own, column, seed):
    torch.manual_seed(seed)
    policy = network("dqn", own, column, activation="tanh")
    x = torch.randn(5, 3)
    stack, first = policy.q_net.q_net, policy.q_net.features_extractor.column.stacks["q"]
    expected = by_hand(x, stack, [m for m in first if hasattr(m, "weight")], stack.head)
    torch.testing.assert_close(policy.q_net(x), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_without_laterals_the_second_column_is_a_plain_network(algorithm):
    """`start = "zero"` sets U to 0: the same weights in a plain network give the same outputs."""
    own, x = [6, 4], torch.randn(7, 3)
    policy = network(algorithm, own, [5, 5], start="zero", activation="tanh")
    other = build_policy(algorithm, {"net_arch": own, "activation": "tanh"}, BOX, spaces.Discrete(2))
    if algorithm == "ppo":
        pairs = [
            (policy.mlp_extractor.policy_net, other.mlp_extractor.policy_net, policy.action_net, other.action_net),
            (policy.mlp_extractor.value_net, other.mlp_extractor.value_net, policy.value_net, other.value_net),
        ]
    else:
        pairs = [(policy.q_net.q_net, other.q_net.q_net[:-1], policy.q_net.q_net.head, other.q_net.q_net[-1])]
    with torch.no_grad():
        for stack, layers, head, plain_head in pairs:
            for ours, theirs in zip(stack.layers, layers[::2], strict=True):
                theirs.load_state_dict(ours.state_dict())
            plain_head.weight.copy_(head.weight[:, : own[-1]])
            plain_head.bias.copy_(head.bias)
    found, expected = policy_outputs(policy, x), policy_outputs(other, x)
    torch.testing.assert_close(found.head, expected.head)
    torch.testing.assert_close(found.value, expected.value)


def test_a_student_of_another_kind_reads_all_stacks_of_the_column():
    policy = network("dqn", [4, 4], [5, 6], column_algorithm="ppo", activation="tanh")
    assert [source.stop - source.start for source in policy.q_net.q_net.laterals["1"].sources] == [5, 5]
    actor = network("ppo", [4, 4], [5, 6], column_algorithm="dqn", activation="tanh").mlp_extractor
    for stack in (actor.policy_net, actor.value_net):
        assert [source.stop - source.start for source in stack.laterals["head"].sources] == [6]


def test_an_encoder_that_learns_is_a_layer_of_its_column():
    """Of pictures the default has no hidden layers: all that there is to read are the encoder's features."""
    pictures = spaces.Box(0, 255, (3, 40, 40), np.uint8)
    policy = network("ppo", None, None, space=pictures)
    assert isinstance(policy.net_arch, list)
    assert policy.mlp_extractor.policy_net.laterals["head"].sources == [slice(512, 1024)]
    seen = torch.randint(0, 256, (2, 3, 40, 40), dtype=torch.uint8)
    features = policy.extract_features(seen)
    assert torch.equal(policy.features_extractor.column.encoder(seen / 255), features[:, 512:])
    assert features[:, :512].requires_grad
    assert len(encoders(policy)) == 1


# The frozen column


def held(learner):
    return [{key: value.clone() for key, value in c.state_dict().items()} for c in earlier_columns(learner.policy)]


@pytest.mark.parametrize("algorithm", ["ppo", "sb3-ppo", "a2c", "dqn", "sb3-dqn"])
@pytest.mark.parametrize("source", ["ppo", "dqn"])
def test_learning_leaves_the_first_column_bit_identical(algorithm, source):
    run = context(algorithm=algorithm, source=source, net_arch=[8, 8])
    learner = learner_of(compose([PROGRESSIVE]), run)
    before, own = held(learner), {k: v.clone() for k, v in learner.policy.named_parameters()}
    assert len(before) == (2 if "dqn" in algorithm else 1)
    learner.learn(200)
    for column, values in zip(earlier_columns(learner.policy), before, strict=True):
        assert not list(column.parameters())
        assert values
        assert all(torch.equal(column.state_dict()[key], value) for key, value in values.items())
    learnt = {k for k, v in learner.policy.named_parameters() if not torch.equal(v, own[k])}
    assert {k for k in own if not k.startswith("q_net_target")} == {k for k in learnt if "q_net_target" not in k}


def test_no_gradient_reaches_the_first_column():
    policy = network("ppo", [4], [5])
    features = policy.extract_features(torch.randn(2, 3))
    assert not features.requires_grad  # nothing before the laterals is computed backward
    outputs = policy_outputs(policy, torch.randn(2, 3))
    (outputs.head.sum() + outputs.value.sum()).backward()
    assert all(tensor.grad is None for column in earlier_columns(policy) for tensor in column.state_dict().values())
    assert policy.mlp_extractor.policy_net.laterals["head"].alpha.grad.abs() > 0


def test_the_first_column_is_the_teacher_through_the_mapping():
    source, target = vector("a", "b", "c"), vector("c", "x", "a", actions=("right", "up", "left"))
    architecture = {"net_arch": [4, 5], "activation": "tanh", "normalise_observations": True}
    teacher = make_teacher("ppo", source, architecture)
    mapping = Mapping.between(source, target)
    column, report = first_column(teacher, mapping)
    seen = torch.randn(6, 3)
    fill = mapping.filling(normaliser(teacher.network).mean)
    theirs = teacher.network.extract_features(mapping.observations(seen, fill))
    expected = teacher.network.mlp_extractor(theirs)
    found = column(seen)  # (6, 4 + 5 + 4 + 5)
    torch.testing.assert_close(found[:, 4:9], expected[0])
    torch.testing.assert_close(found[:, 13:], expected[1])
    assert report.lines()


def test_the_students_normaliser_moves_and_the_columns_does_not():
    run = context(
        architecture={"net_arch": [8], "activation": "tanh", "normalise_observations": True},
        normalise_observations=True,
    )
    learner = learner_of(compose([PROGRESSIVE]), run)
    column = earlier_columns(learner.policy)[0]
    assert torch.equal(column.encoder.normaliser.mean, normaliser(run.teacher.network).mean)
    assert normaliser(learner.policy) is learner.policy.features_extractor.own.normaliser
    from agents.networks import NormaliserCallback

    before = held(learner)[0]
    learner.learn(200, callback=NormaliserCallback())
    assert normaliser(learner.policy).count.max() > 0
    assert torch.equal(column.encoder.normaliser.mean, before["encoder.normaliser.mean"])


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_compiled_code_leaves_progressive_networks_to_pytorch(algorithm):
    policy = network(algorithm, [4], [4], activation="tanh")
    assert compiled_ppo(policy) is None
    assert compiled_dqn(policy) is None


# Runs and checkpoints


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_a_run_trains_saves_loads_and_teaches(algorithm, tmp_path):
    source = train_run(run_config(algorithm=algorithm), tmp_path)
    config = carried(run_config(algorithm=algorithm, seed=1), source.config, [PROGRESSIVE])
    run = train_run(config, tmp_path)
    policy = run.policy()
    earlier = earlier_columns(policy.network)
    assert earlier
    name = "mlp_extractor.policy_net.0.weight" if algorithm == "ppo" else "q_net.q_net.0.weight"
    stack = earlier[0].stacks["pi" if algorithm == "ppo" else "q"]
    assert torch.equal(stack[0].weight, source.policy().network.state_dict()[name])
    assert policy.architecture["progressive"]["column"]["algorithm"] == algorithm
    seen = torch.randn(4, 4)
    policy.save(tmp_path / "copy")
    again = load_policy(tmp_path / "copy")
    assert torch.equal(again.outputs(seen).head, policy.outputs(seen).head)
    assert again.act(seen.numpy(), mode="greedy").shape == (4,)

    third = train_run(carried(run_config(algorithm=algorithm, seed=2), run.config, [PROGRESSIVE]), tmp_path)
    columns = earlier_columns(third.policy().network)[0]
    assert len(columns.layouts) == 2
    assert torch.equal(columns.encoder.column.stacks["pi" if algorithm == "ppo" else "q"][0].weight, stack[0].weight)
    taught = train_run(carried(run_config(algorithm=algorithm, seed=3), run.config, ["kickstart", "shape"]), tmp_path)
    assert taught.done


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_a_progressive_teacher_can_be_finetuned_between_equal_games(algorithm):
    run = context(algorithm=algorithm, source=algorithm)
    second = learner_of(compose([PROGRESSIVE]), run)
    teacher = Policy(second.policy, run.teacher.interface, algorithm, compose_architecture(second, run), {})
    learner = learner_of(compose(["finetune"]), replace(run, teacher=teacher, _seen={}))
    seen = torch.randn(6, 4)
    found, expected = policy_outputs(learner.policy, seen), teacher.outputs(seen)
    torch.testing.assert_close(found.head, expected.head)
    torch.testing.assert_close(found.value, expected.value)
    before = held(learner)
    learner.learn(100)
    after = held(learner)
    assert all(torch.equal(old[key], new[key]) for old, new in zip(before, after, strict=True) for key in old)


def test_the_same_config_gives_the_same_weights(tmp_path):
    source = train_run(run_config(), tmp_path / "a")
    train_run(run_config(), tmp_path / "b")
    config = carried(run_config(seed=1), source.config, [{"method": PROGRESSIVE, "start": "zero"}, "kickstart"])
    one, two = (train_run(config, tmp_path / name).policy().network.state_dict() for name in "ab")
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_a_third_column_reads_both_before_it():
    run = context()
    second = learner_of(compose([PROGRESSIVE]), run)
    architecture = compose_architecture(second, run)
    teacher = Policy(second.policy, run.teacher.interface, "ppo", architecture, {})
    third = learner_of(compose([PROGRESSIVE]), replace(run, teacher=teacher, _seen={}))
    head = third.policy.mlp_extractor.policy_net.laterals["head"]
    assert len(head.sources) == 2
    seen = torch.randn(5, 4)
    features = third.policy.extract_features(seen)
    first = plain(seen, [run.teacher.network.mlp_extractor.policy_net[0]])[1]
    torch.testing.assert_close(features[:, head.sources[0]], first)
    torch.testing.assert_close(
        features[:, head.sources[1]],
        second.policy.mlp_extractor.policy_net.hidden(second.policy.extract_features(seen))[-1],
    )


def compose_architecture(learner, run):
    """The architecture of a learner as its method built it."""
    methods = compose([PROGRESSIVE])
    methods.bind(run)
    from agents.networks import architecture

    return architecture(methods.build(dict(run.hyperparameters)))


def test_a_column_may_not_choose_which_module_is_imported(tmp_path):
    run = context()
    learner = learner_of(compose([PROGRESSIVE]), run)
    policy = Policy(learner.policy, run.teacher.interface, "ppo", compose_architecture(learner, run), {})
    policy.save(tmp_path / "policy")
    file = tmp_path / "policy" / "policy.json"
    document = json.loads(file.read_text())
    document["architecture"]["progressive"]["column"]["architecture"]["encoder"] = "antigravity:fly"
    file.write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match="antigravity"):
        load_policy(tmp_path / "policy")


# What is refused


def crossing(source="ppo", target="ppo", mapping=None, **hyperparameters):
    run = RunConfig(task=CARTPOLE, algorithm=source, steps=1, hyperparameters=hyperparameters)
    return Crossing(run, run.model_copy(update={"algorithm": target}), mapping or context().mapping)


@pytest.mark.parametrize(
    ("source", "target", "hyperparameters", "words"),
    [
        ("ppo", "sac", {}, "not for sac"),
        ("ppo", "trpo", {}, "not for trpo"),
        ("sac", "ppo", {}, "found sac"),
        ("ppo", "ppo", {"share_features_extractor": False}, "share_features_extractor"),
        ("ppo", "ppo", {"net_arch": []}, "net_arch is empty"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line(source, target, hyperparameters, words):
    with pytest.raises(ConfigError, match=words) as error:
        compose([PROGRESSIVE]).check(crossing(source, target, **hyperparameters))
    assert "\n" not in str(error.value)


def test_two_starts_contradict_each_other():
    with pytest.raises(ConfigError, match="progressive and finetune both"):
        compose([PROGRESSIVE, "finetune"])
    with pytest.raises(ConfigError, match="progressive and finetune both"):
        compose(["finetune", PROGRESSIVE])
    compose([PROGRESSIVE, "kickstart", "shape"])


def test_columns_of_columns_are_carried_between_equal_observations_only():
    source, target = vector("a", "b"), vector("b", "a")
    column = {"algorithm": "ppo", "architecture": {"net_arch": [4]}}
    architecture = {"net_arch": [4], "progressive": {"column": column, "scale": 1.0, "start": "random"}}
    teacher = make_teacher("ppo", source, architecture)
    with pytest.raises(ConfigError, match="equal observations"):
        first_column(teacher, Mapping.between(source, target))


def test_a_users_hyperparameters_cannot_name_columns():
    with pytest.raises(ConfigError, match="progressive"):
        run_config(task=SHORT, progressive={})


def test_a_progressive_policy_is_not_exported(tmp_path):
    from agents.zips import write_zip

    policy = replace(make_teacher("ppo", unnamed(BOX), {"net_arch": [4]}), task=CARTPOLE)
    policy.architecture["progressive"] = {}
    with pytest.raises(CheckpointError, match="no progressive networks"):
        write_zip(policy, tmp_path / "p.zip")


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_a_map_that_does_not_fold_enters_the_column_behind_a_frozen_input_layer(algorithm, tmp_path):
    task = Task(game="headstart/DoorKey-5x5-v0")
    target = task.model_copy(update={"arguments": {"view_size": 5}})
    source, seen = interface_of(task), interface_of(target)
    small = {"net_arch": [8], "activation": "tanh", "normalise_observations": False, "encoder": "planes-conv"}
    teacher, mapping = make_teacher(algorithm, source, small), Mapping.between(source, seen)
    assert mapping.architecture(teacher)["encoder"] != small["encoder"]
    values = resolve(target, algorithm, {**FAST[algorithm], **small})
    run = Context(teacher, mapping, target, algorithm, values, 64, 0)
    configs = (
        RunConfig(task=task, algorithm=algorithm, steps=1, hyperparameters=small),
        RunConfig(task=target, algorithm=algorithm, steps=64, hyperparameters=values),
    )
    compose([PROGRESSIVE]).check(Crossing(*configs, mapping))
    learner = learner_of(compose([PROGRESSIVE]), run)
    seen.observation_space.seed(0)
    pictures = torch.as_tensor(np.stack([seen.observation_space.sample() for _ in range(4)]))
    policy = Policy(learner.policy, seen, algorithm, compose_architecture(learner, run), {})
    columns, layers = [], []
    for column in earlier_columns(learner.policy)[:1]:
        column.register_forward_hook(lambda module, _, made: columns.append((module.layout, made)))
    theirs = teacher.network.mlp_extractor.policy_net if algorithm == "ppo" else teacher.network.q_net.q_net[-2]
    theirs.register_forward_hook(lambda _, __, made: layers.append(made))
    found = policy.outputs(pictures)
    teacher.outputs(mapping.observations(pictures))
    layout, whole = columns[0]
    own = whole[:, layout.layer("pi" if algorithm == "ppo" else "q", 1)]  # (4, 8)
    torch.testing.assert_close(own, layers[0], rtol=1e-3, atol=2e-3)
    policy.save(tmp_path / "saved")
    torch.testing.assert_close(load_policy(tmp_path / "saved").outputs(pictures).head, found.head)
