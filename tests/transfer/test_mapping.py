"""The mapping: what it matches, what it refuses, and that folding it in is exact on every observation."""

import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.build import build_network
from agents.outputs import Outputs, policy_outputs
from envs.errors import ConfigError, MappingError, UnknownName
from envs.interface import Interface
from tests.transfer.teachers import CHOICES, make_teacher, run_config, unnamed, vector
from transfer.mapping import Mapping
from transfer.method import check_readable

names = st.lists(st.sampled_from(["x", "v", "angle", "spin", "fuel", "goal"]), min_size=1, max_size=5, unique=True)
choices = st.lists(st.sampled_from(["left", "right", "fire", "noop", "jump"]), min_size=2, max_size=5, unique=True)
sizes = st.lists(st.integers(1, 7), max_size=2)


@st.composite
def problems(draw, algorithms=("ppo", "dqn")):
    """A teacher and a mapping from its game to another, sharing at least a feature and an action."""
    ours, theirs, doing, could = draw(names), draw(names), draw(choices), draw(choices)
    source, target = vector(*ours, actions=doing), vector(*theirs, actions=could)
    features = {theirs[0]: draw(st.sampled_from(ours))}
    actions = {name: draw(st.sampled_from(doing)) for name in draw(st.lists(st.sampled_from(could), min_size=1))}
    mapping = Mapping.between(source, target, features=features, actions=actions, margin=draw(st.floats(0.1, 3)))
    fill = {ours[i]: draw(st.floats(-2, 2)) for i in mapping.missing if draw(st.booleans())}
    mapping = Mapping.between(source, target, features=features, actions=actions, fill=fill, margin=mapping.margin)
    algorithm = draw(st.sampled_from(algorithms))
    separate = algorithm == "ppo" and draw(st.booleans())
    architecture = {
        "net_arch": {"pi": draw(sizes), "vf": draw(sizes)} if separate else draw(sizes),
        "activation": draw(st.sampled_from(["tanh", "relu", "elu"])),
        "encoder": "flat",
        "normalise_observations": draw(st.booleans()),
    }
    return mapping, make_teacher(algorithm, source, architecture, draw(st.integers(0, 99)))


@settings(max_examples=200, deadline=None)
@given(problems(), st.integers(0, 2**31 - 1))
def test_a_folded_student_is_the_teacher_after_the_mapping(problem, seed):
    mapping, teacher = problem
    student = build_network(teacher.algorithm, teacher.architecture, mapping.target)
    mapping.fold(teacher, student)
    scales = torch.tensor([[0.0], [1.0], [1.0], [5.0], [100.0]])
    size = mapping.target.observation_space.shape[0]
    seen = scales * torch.randn(5, size, generator=torch.Generator().manual_seed(seed))
    expected, found = mapping.teacher(teacher)(seen), policy_outputs(student, seen)
    assert found.kind == expected.kind
    if found.kind == "q":  # logits are equal up to a constant
        torch.testing.assert_close(found.head, expected.head, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.log_probabilities(), expected.log_probabilities(), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(found.value, expected.value, rtol=1e-3, atol=1e-3)
    if teacher.algorithm == "dqn":
        torch.testing.assert_close(student.q_net_target(seen), student.q_net(seen))


@settings(max_examples=200, deadline=None)
@given(problems(algorithms=("ppo",)), st.integers(0, 999))
def test_probabilities_push_forward_to_the_sources(problem, seed):
    """What the target's actions that stand for one of the source's get together is what it had, renormalised."""
    mapping, _ = problem
    logits = 3 * torch.randn(4, len(mapping.source.actions), generator=torch.Generator().manual_seed(seed))
    mapped = mapping.outputs(Outputs("categorical", logits)).log_probabilities().exp().double()
    before = torch.softmax(logits.double(), dim=-1)
    actions = mapping.actions or tuple(range(logits.shape[1]))
    kept = sorted({i for i in actions if i is not None})
    old = torch.tensor([i is not None for i in actions])
    for i in kept:
        together = mapped[:, torch.tensor([j == i for j in actions])].sum(dim=-1) / mapped[:, old].sum(dim=-1)
        torch.testing.assert_close(together, before[:, i] / before[:, kept].sum(dim=-1), rtol=1e-4, atol=1e-6)


@settings(max_examples=200, deadline=None)
@given(problems(), st.integers(0, 999), st.floats(0.01, 50))
def test_a_new_action_is_never_greedy_and_never_above_its_share(problem, seed, spread):
    mapping, teacher = problem
    kind = "q" if teacher.algorithm == "dqn" else "categorical"
    head = spread * torch.randn(8, len(mapping.source.actions), generator=torch.Generator().manual_seed(seed))
    mapped = mapping.outputs(Outputs(kind, head))
    new = [i for i, j in enumerate(mapping.actions or ()) if j is None]
    if not new:
        return
    old = list(mapping.matched)
    assert (mapped.head[:, new].amax(dim=-1) < mapped.head[:, old].amax(dim=-1)).all()
    if kind == "categorical":
        assert (mapped.log_probabilities().exp()[:, new] <= 1 / (len(old) + 1) + 1e-6).all()


def test_action_values_are_shared_without_subtracting_anything():
    mapping = Mapping.between(vector("x"), vector("x", actions=("left", "right", "port")), actions={"port": "left"})
    mapped = mapping.outputs(Outputs("q", torch.tensor([[-3.0, -5.0]])))
    assert mapped.head.tolist() == [[-3.0, -5.0, -3.0]]
    assert mapped.value.item() == -3.0
    logits = mapping.outputs(Outputs("categorical", torch.tensor([[-3.0, -5.0]]))).head
    assert logits.tolist() == [pytest.approx([-3.0 - math.log(2), -5.0, -3.0 - math.log(2)])]


def test_the_value_of_dropped_actions_does_not_count():
    mapping = Mapping.between(vector("x", actions=("a", "b", "c")), vector("x", actions=("b", "a")))
    assert mapping.outputs(Outputs("q", torch.tensor([[1.0, 2.0, 9.0]]))).value.item() == 2.0


def test_features_are_found_by_name_and_the_missing_filled():
    mapping = Mapping.between(vector("x", "v", "fuel"), vector("speed", "wind", "x"), features={"speed": "v"})
    seen = mapping.observations(torch.tensor([[1.0, 2.0, 3.0]]), fill=torch.tensor([7.0, 8.0, 9.0]))
    assert seen.tolist() == [[3.0, 1.0, 9.0]]
    assert mapping.missing == (2,)


def test_missing_features_stand_at_the_sources_mean_or_where_they_are_put():
    source, target = vector("x", "v", "fuel"), vector("x", "v")
    teacher = make_teacher("ppo", source, {"net_arch": [4], "normalise_observations": True})
    mean = teacher.network.features_extractor.normaliser.mean
    seen = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    for fill, value in (({}, mean[2].item()), ({"fuel": 0.25}, 0.25)):
        whole = torch.cat([seen, torch.full((5, 1), value)], dim=1)
        found = Mapping.between(source, target, fill=fill).teacher(teacher)(seen)
        torch.testing.assert_close(found.head, teacher.outputs(whole).head)


def test_statistics_go_through_by_feature():
    source, target = vector("x", "v"), vector("wind", "v")
    architecture = {"net_arch": [3], "normalise_observations": True}
    teacher = make_teacher("ppo", source, architecture)
    student = make_teacher("ppo", target, architecture, seed=1).network  # one that has seen something already
    Mapping.between(source, target).fold(teacher, student)
    ours, theirs = student.features_extractor.normaliser, teacher.network.features_extractor.normaliser
    assert [ours.mean[0], ours.var[0], ours.count[0]] == [0.0, 1.0, 0.0]
    assert [ours.mean[1], ours.var[1], ours.count[1]] == [theirs.mean[1], theirs.var[1], 1000.0]


def test_equal_spaces_without_names_map_by_identity_in_every_family():
    box = spaces.Box(-1, 1, (3,), np.float32)
    seen = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    for algorithm, action in (("ppo", box), ("a2c", CHOICES), ("dqn", CHOICES), ("sac", box), ("td3", box)):
        interface = unnamed(box, action)
        teacher = make_teacher(algorithm, interface, {"net_arch": [5, 4]})
        mapping = Mapping.between(interface, interface)
        assert mapping.identity
        student = build_network(algorithm, {"net_arch": [5, 4]}, interface)
        mapping.fold(teacher, student)
        found, expected = policy_outputs(student, seen), teacher.outputs(seen)
        assert torch.equal(found.head, expected.head)
        for name, tensor in teacher.network.state_dict().items():
            assert torch.equal(student.state_dict()[name], tensor), name


def test_continuous_actions_permute_with_their_deviations():
    def game(*dimensions):
        box = spaces.Box(-1, 1, (len(dimensions),), np.float32)
        return Interface(spaces.Box(-1, 1, (3,), np.float32), box, None, dimensions)

    source, target = game("gas", "wheel", "horn"), game("wheel", "gas")
    teacher = make_teacher("ppo", source, {"net_arch": [5]})
    mapping = Mapping.between(source, target)
    student = build_network("ppo", {"net_arch": [5]}, target)
    mapping.fold(teacher, student)
    seen = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    theirs, ours = teacher.outputs(seen), policy_outputs(student, seen)
    torch.testing.assert_close(ours.head, theirs.head[:, [1, 0]])
    torch.testing.assert_close(ours.log_std, theirs.log_std[:, [1, 0]])
    torch.testing.assert_close(mapping.outputs(theirs).log_std, ours.log_std)


def test_continuous_bounds_are_scaled_and_a_new_dimension_is_stated():
    def game(low, high, *dimensions):
        box = spaces.Box(np.float32(low), np.float32(high), (len(dimensions),), np.float32)
        return Interface(spaces.Box(-1, 1, (3,), np.float32), box, None, dimensions)

    source, target = game(-1, 1, "wheel", "gas"), game(0, 6, "gas", "horn")
    teacher = make_teacher("ppo", source, {"net_arch": [5]})
    mapping = Mapping.between(source, target, spread=0.25)
    student = build_network("ppo", {"net_arch": [5]}, target)
    mapping.fold(teacher, student)
    seen = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    theirs, ours = teacher.outputs(seen), policy_outputs(student, seen)
    torch.testing.assert_close(ours.head[:, 0], 3 + 3 * theirs.head[:, 1])
    torch.testing.assert_close(ours.log_std[:, 0], theirs.log_std[:, 1] + math.log(3))
    torch.testing.assert_close(ours.head[:, 1], torch.full((4,), 3.0))
    torch.testing.assert_close(ours.log_std[:, 1].exp(), torch.full((4,), 0.75))
    torch.testing.assert_close(mapping.outputs(theirs).head, ours.head)
    torch.testing.assert_close(mapping.outputs(theirs).log_std, ours.log_std)
    squashed = mapping.outputs(theirs, squashed=True)  # SAC's means are scaled to the bounds afterwards
    torch.testing.assert_close(squashed.head[:, 0], theirs.head[:, 1])
    assert mapping.matched == (0,)
    assert "gas scaled from -1…1 to 0…6" in mapping.report().lines()
    unbounded = game(-np.inf, np.inf, "gas", "horn")
    with pytest.raises(MappingError, match="expected finite bounds, or the same"):
        Mapping.between(source, unbounded)


def test_one_action_can_stand_for_several():
    source, target = vector("x", actions=("left", "right", "fire")), vector("x", actions=("turn", "fire"))
    mapping = Mapping.between(source, target, actions={"turn": ["left", "right"]})
    mapped = mapping.outputs(Outputs("categorical", torch.tensor([[2.0, 2.0, 1.0]])))
    before = torch.softmax(torch.tensor([2.0, 2.0, 1.0]), dim=0)
    torch.testing.assert_close(mapped.log_probabilities().exp()[0], torch.stack([before[0] + before[1], before[2]]))
    assert mapping.outputs(Outputs("q", torch.tensor([[2.0, 4.0, 1.0]]))).head.tolist() == [[3.0, 1.0]]
    for algorithm in ("ppo", "dqn"):
        teacher = make_teacher(algorithm, source, {"net_arch": [4]})
        student = build_network(algorithm, {"net_arch": [4]}, target)
        mapping.fold(teacher, student)
        seen = torch.randn(4, 1, generator=torch.Generator().manual_seed(1))
        expected, found = mapping.teacher(teacher)(seen), policy_outputs(student, seen)
        torch.testing.assert_close(found.log_probabilities(), expected.log_probabilities(), rtol=1e-4, atol=1e-4)
    assert "turn stands for several: left, right" in mapping.report().lines()
    assert mapping.report().actions.dropped == ()


def test_actions_that_are_not_mapped_leave_the_torso():
    source, target = vector("x", "v"), vector("v", "x", actions=("up", "down", "jump"))
    mapping = Mapping.between(source, target, actions="none")
    assert not mapping.carries_actions
    assert not mapping.identity
    assert mapping.matched == ()
    teacher = make_teacher("ppo", source, {"net_arch": [4]})
    student = build_network("ppo", {"net_arch": [4]}, target)
    before = student.action_net.weight.clone()
    mapping.fold(teacher, student)
    assert torch.equal(student.action_net.weight, before)
    own, theirs = student.mlp_extractor.policy_net[0].weight, teacher.network.mlp_extractor.policy_net[0].weight
    assert torch.equal(own, theirs[:, [1, 0]])
    with pytest.raises(MappingError, match="actions are not mapped"):
        mapping.outputs(Outputs("categorical", torch.zeros(1, 2)))
    assert "actions not mapped" in mapping.report().lines()


def test_observations_that_are_not_mapped_leave_what_lies_behind_the_first_layer():
    source, target = vector("x", "v"), vector("a", "b", "c")
    mapping = Mapping.between(source, target, features="none")
    teacher = make_teacher("ppo", source, {"net_arch": [4, 3]})
    student = build_network("ppo", {"net_arch": [4, 3]}, target)
    mapping.fold(teacher, student)
    ours, theirs = student.mlp_extractor.policy_net, teacher.network.mlp_extractor.policy_net
    assert torch.equal(ours[2].weight, theirs[2].weight)
    assert torch.equal(student.action_net.weight, teacher.network.action_net.weight)
    with pytest.raises(MappingError, match="observations are not mapped"):
        mapping.teacher(teacher)(torch.zeros(1, 3))
    with pytest.raises(ConfigError, match="shape asks the source about observations, and they are not mapped"):
        check_readable(run_config(), mapping, "shape")


def test_state_dependent_deviations_go_through_too():
    box = spaces.Box(-1, 1, (2,), np.float32)
    names = (("x", "v"), ("v", "w", "x"))
    source, target = (Interface(vector(*own).observation_space, box, own) for own in names)
    architecture = {"net_arch": [5], "use_sde": True}
    teacher = make_teacher("ppo", source, architecture)
    mapping = Mapping.between(source, target)
    student = build_network("ppo", architecture, target)
    mapping.fold(teacher, student)
    seen = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    expected, found = mapping.teacher(teacher)(seen), policy_outputs(student, seen)
    torch.testing.assert_close(found.head, expected.head)
    torch.testing.assert_close(found.log_std, expected.log_std)


def test_only_the_torso_is_carried_where_heads_are_left():
    interface = vector("x", "v")
    teacher = make_teacher("ppo", interface, {"net_arch": [4]})
    student = build_network("ppo", {"net_arch": [4]}, interface)
    before = student.action_net.weight.clone(), student.value_net.weight.clone()
    Mapping.between(interface, interface).fold(teacher, student, heads=False)
    assert torch.equal(student.mlp_extractor.policy_net[0].weight, teacher.network.mlp_extractor.policy_net[0].weight)
    assert torch.equal(student.action_net.weight, before[0])
    assert torch.equal(student.value_net.weight, before[1])


def test_float_observations_map_whatever_their_bounds_but_symbols_do_not():
    wide, narrow = spaces.Box(-9, 9, (4,), np.float32), spaces.Box(-1, 1, (4,), np.float32)
    assert Mapping.between(unnamed(wide), unnamed(narrow)).identity
    few, many = spaces.Box(0, 1, (5, 5, 3), np.uint8), spaces.Box(0, 6, (5, 5, 3), np.uint8)
    assert Mapping.between(unnamed(few), unnamed(few)).identity
    with pytest.raises(MappingError, match="observations do not map"):
        Mapping.between(unnamed(few), unnamed(many))


@pytest.mark.parametrize(
    ("source", "target", "pairs", "words"),
    [
        (vector("x"), vector("y"), {}, "no feature of the target is called .* source has x; the target has y"),
        (vector("x"), vector("x", actions=("up", "down")), {}, "source has left, right; the target has up, down"),
        (
            unnamed(spaces.Box(-1, 1, (4,))),
            unnamed(spaces.Box(-1, 1, (6,))),
            {},
            r"the source has Box\(4,\) without names; the target has Box\(6,\) without names",
        ),
        (
            unnamed(spaces.Box(-1, 1, (4,)), spaces.Discrete(2)),
            unnamed(spaces.Box(-1, 1, (4,)), spaces.Discrete(3)),
            {},
            r"actions do not map: the source has Discrete\(2\) without names; the target has Discrete\(3\)",
        ),
        (
            unnamed(spaces.Dict({"image": spaces.Box(0, 9, (7, 7, 3), np.uint8), "mission": spaces.Discrete(6)})),
            unnamed(spaces.Box(-1, 1, (4,))),
            {},
            r"the source has Dict\(image: Box\(7, 7, 3\), mission: Discrete\(6\)\) without names; the target has Box",
        ),
        (vector("x"), vector("a", "b"), {"features": {"a": "x", "b": "x"}}, "paired with 'a' and 'b': keep one"),
        (vector("x"), unnamed(spaces.Box(-1, 1, (1,))), {"features": {"x": "x"}}, "both sides are not named"),
        (vector("x"), vector("x"), {"margin": 0.0}, "margin of new actions is 0.0: expected a positive"),
        (vector("x"), vector("x"), {"fill": {"x": 1.0}}, "'x' has a fill, but is carried"),
    ],
)
def test_what_does_not_map_lists_both_sides(source, target, pairs, words):
    with pytest.raises(MappingError, match=words) as caught:
        Mapping.between(source, target, **pairs)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ({"features": {"wnid": "x"}}, "unknown target feature 'wnid': did you mean 'wind'"),
        ({"features": {"wind": "speeed"}}, "unknown source feature 'speeed': did you mean 'speed'"),
        ({"actions": {"lft": "left"}}, "unknown target action 'lft': did you mean 'left'"),
        ({"actions": {"left": "rigt"}}, "unknown source action 'rigt': did you mean 'right'"),
    ],
)
def test_a_pair_that_names_nothing_gets_a_suggestion(pairs, words):
    with pytest.raises(UnknownName, match=words):
        Mapping.between(vector("x", "speed"), vector("x", "wind"), **pairs)


@pytest.mark.parametrize(
    ("algorithm", "architecture", "words"),
    [
        ("ppo", {"net_arch": [4, 4]}, r"teacher's network is .*\[4\].*student's .*\[4, 4\].*set net_arch"),
        ("ppo", {"net_arch": [4], "activation": "relu"}, "Tanh.*ReLU.*set net_arch, activation"),
        ("ppo", {"net_arch": [4], "normalise_observations": True}, "with a normaliser"),
        ("dqn", {"net_arch": [4]}, "DQNPolicy.*same kind of network"),
    ],
)
def test_a_network_of_another_shape_is_refused(algorithm, architecture, words):
    interface = vector("x", "v")
    teacher = make_teacher("ppo", interface, {"net_arch": [4]})
    with pytest.raises(MappingError, match=words):
        Mapping.between(interface, interface).fold(teacher, build_network(algorithm, architecture, interface))


def test_the_report_tells_what_was_carried_dropped_and_added():
    source = vector("x", "v", "fuel", actions=("left", "right", "fire"))
    target = vector("speed", "wind", "x", actions=("right", "left", "jump"))
    mapping = Mapping.between(source, target, features={"speed": "v"}, fill={"fuel": 0.5})
    assert mapping.report().lines() == [
        "features carried: speed (as v), x",
        "features new in the target, which start unread: wind",
        "features only the source has, filled: fuel = 0.5",
        "actions carried: right, left",
        "actions new in the target, which start below the carried ones: jump",
        "actions only the source has, dropped: fire",
    ]
    assert mapping.report().to_json()["features"]["new"] == ("wind",)
    assert Mapping.between(source, source).report().lines()[0] == "features carried as they are: x, v, fuel"
