"""Mappings of planes, symbols, Discrete and Dict observations: folded or behind an input layer, the student starts as
teacher∘mapping on every observation."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.algorithms import resolve
from agents.build import build_network
from agents.mapped import MappedEncoder
from agents.networks import encoders, normaliser, update_normaliser
from agents.outputs import policy_outputs
from agents.policy import load_policy
from envs.errors import CheckpointError, MappingError, UnknownName
from envs.interface import Interface
from envs.task import Task
from tests.transfer.teachers import FAST, learner_of, make_teacher
from transfer.carry import interface_of
from transfer.mapping import Mapping
from transfer.method import Context, compose

ARCHITECTURE = {"net_arch": [8], "activation": "tanh", "normalise_observations": False}

KINDS = ("empty", "wall", "door", "key", "lava")
COLOURS = ("red", "green", "blue", "grey")
ACTIONS = ("left", "right", "fire")

several = st.lists(st.sampled_from(["player", "ball", "wall", "gold", "trail"]), min_size=1, max_size=4, unique=True)
sizes = st.tuples(st.integers(3, 6), st.integers(3, 6))
anchors = st.tuples(*[st.sampled_from(["start", "centre", "end"])] * 2)


def planes(names, size=(4, 4), actions=ACTIONS, anchor=("centre", "centre")):
    box = spaces.Box(0, 1, (*size, len(names)), np.uint8)
    return Interface(box, spaces.Discrete(len(actions)), tuple(names), tuple(actions), {}, anchor)


def symbols(kinds=KINDS, colours=COLOURS, size=(4, 4), actions=ACTIONS, anchor=("centre", "centre")):
    high = np.array([len(kinds) - 1, len(colours) - 1], np.uint8)
    box = spaces.Box(0, np.broadcast_to(high, (*size, 2)), dtype=np.uint8)
    values = {"object": tuple(kinds), "colour": tuple(colours)}
    return Interface(box, spaces.Discrete(len(actions)), ("object", "colour"), tuple(actions), values, anchor)


def of_parts(image, **parts):
    """The same with its observation as the part `image` of a Dict."""
    space = spaces.Dict({"image": image.observation_space, **{key: spaces.Discrete(n) for key, n in parts.items()}})
    return Interface(space, image.action_space, image.features, image.actions, image.values, image.anchor)


def drawn(space, count, seed):
    """Observations of a space, as environments give them."""
    space.seed(seed)
    samples = [space.sample() for _ in range(count)]
    if isinstance(space, spaces.Dict):
        return {key: torch.as_tensor(np.stack([sample[key] for sample in samples])) for key in space.spaces}
    return torch.as_tensor(np.stack(samples))


def check_start(mapping, teacher, seed=0):
    """Fold the teacher into a student of the mapping's architecture, and compare. Returns the student."""
    architecture = mapping.architecture(teacher)
    student = build_network(teacher.algorithm, architecture, mapping.target)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    mapping.fold(teacher, student)
    seen = drawn(mapping.target.observation_space, 6, seed)
    expected, found = mapping.teacher(teacher)(seen), policy_outputs(student, seen)
    torch.testing.assert_close(found.log_probabilities(), expected.log_probabilities(), rtol=1e-3, atol=2e-3)
    torch.testing.assert_close(found.value, expected.value, rtol=1e-3, atol=2e-3)
    if teacher.algorithm == "dqn":
        torch.testing.assert_close(student.q_net_target(seen), student.q_net(seen))
    mapped = mapping.source.observation_space
    given = mapping.observations(seen)
    one = {key: value[0].numpy() for key, value in given.items()} if isinstance(given, dict) else given[0].numpy()
    assert mapped.contains(one), "the source sees what its game could have shown"
    return student


def small(draw, encoder, *, normalise=False):
    return {
        "net_arch": [draw(st.integers(1, 5))],
        "activation": draw(st.sampled_from(["tanh", "relu"])),
        "encoder": encoder,
        "normalise_observations": normalise and draw(st.booleans()),
    }


@st.composite
def of_planes(draw):
    ours, theirs = draw(several), draw(several)
    could = draw(st.lists(st.sampled_from(ACTIONS), min_size=2, max_size=3, unique=True))
    anchor = draw(anchors)
    source = planes(theirs, draw(sizes), anchor=anchor)
    target = planes(ours, draw(sizes), could, anchor)
    pairs = {} if set(ours) & set(theirs) and draw(st.booleans()) else {ours[0]: draw(st.sampled_from(theirs))}
    said = {"planes": pairs, "resize": draw(st.sampled_from(["crop", "nearest"]))}
    missing = Mapping.between(source, target, **said).report().features.dropped
    said["fill"] = {name: 1 for name in missing if draw(st.booleans())}
    said["pad"] = {name: 1 for name in theirs if draw(st.booleans())}
    encoder = draw(st.sampled_from(["planes", "planes-conv", "flat"]))
    architecture = small(draw, encoder, normalise=encoder != "planes-conv")
    algorithm = draw(st.sampled_from(["ppo", "dqn"]))
    return Mapping.between(source, target, **said), make_teacher(
        algorithm, source, architecture, draw(st.integers(0, 9))
    )


@settings(max_examples=250, deadline=None)
@given(of_planes(), st.integers(0, 999))
def test_planes_map_cropped_padded_or_resized(problem, seed):
    check_start(*problem, seed)


@st.composite
def of_symbols(draw):
    def subset(names):
        return draw(st.lists(st.sampled_from(names), min_size=3, max_size=len(names), unique=True))

    anchor = draw(anchors)
    source = symbols(subset(KINDS), subset(COLOURS), draw(sizes), anchor=anchor)
    target = symbols(subset(KINDS), subset(COLOURS), draw(sizes), anchor=anchor)
    said = {"resize": draw(st.sampled_from(["crop", "nearest"]))}
    if draw(st.booleans()):
        ours, theirs = draw(st.sampled_from(target.values["object"])), draw(st.sampled_from(source.values["object"]))
        said["planes"] = {f"object.{ours}": theirs}
    said["pad"] = {"object": draw(st.sampled_from(source.values["object"]))}
    forms = draw(st.sampled_from(["grids", "dicts", "from a dict", "from a grid"]))
    encoder = draw(st.sampled_from(["planes", "planes-conv"]))
    if forms in ("dicts", "from a dict"):
        source, encoder = of_parts(source, direction=4, **({"mission": 3} if draw(st.booleans()) else {})), "symbols"
        if "mission" in source.observation_space.spaces and draw(st.booleans()):
            said["fill"] = {"mission": 2}
    if forms in ("dicts", "from a grid"):
        target = of_parts(target, direction=4, **({"goal": 2} if draw(st.booleans()) else {}))
    architecture = small(draw, encoder, normalise=encoder == "planes")
    algorithm = draw(st.sampled_from(["ppo", "dqn"]))
    return Mapping.between(source, target, **said), make_teacher(
        algorithm, source, architecture, draw(st.integers(0, 9))
    )


@settings(max_examples=250, deadline=None)
@given(of_symbols(), st.integers(0, 999))
def test_symbols_map_alone_and_in_dicts(problem, seed):
    check_start(*problem, seed)


def test_what_folds_adds_no_layer_and_what_does_not_adds_one():
    conv = {"net_arch": [4], "encoder": "planes-conv"}
    source = planes(("ball", "wall"), (4, 4))
    teacher = make_teacher("ppo", source, conv)
    for size, names, layers in (((4, 4), ("wall", "ball", "gold"), 0), ((6, 5), ("ball",), 0), ((3, 4), ("ball",), 1)):
        mapping = Mapping.between(source, planes(names, size))
        student = check_start(mapping, teacher)
        assert sum(isinstance(encoder, MappedEncoder) for encoder in encoders(student)) == layers, size


def test_a_view_is_cropped_around_the_agent():
    source, target = symbols(size=(3, 3), anchor=("centre", "end")), symbols(size=(5, 5), anchor=("centre", "end"))
    grid = torch.arange(25).reshape(1, 5, 5, 1).remainder(4).repeat(1, 1, 1, 2).to(torch.uint8)
    assert torch.equal(Mapping.between(source, target).observations(grid), grid[:, 1:4, 2:5])
    padded = Mapping.between(target, source, pad={"object": "wall"}).observations(grid[:, :3, :3])
    assert torch.equal(padded[:, 1:4, 2:5], grid[:, :3, :3])
    assert padded[0, 0, 0].tolist() == [1, 0]


def test_statistics_of_planes_go_with_their_cells():
    architecture = {"net_arch": [3], "encoder": "planes", "normalise_observations": True}
    source, target = planes(("ball", "wall"), (3, 3)), planes(("gold", "ball"), (3, 3))
    teacher = make_teacher("ppo", source, architecture)
    student = check_start(Mapping.between(source, target), teacher)
    ours, theirs = normaliser(student), normaliser(teacher.network)
    assert torch.equal(ours.mean.reshape(9, 2)[:, 1], theirs.mean.reshape(9, 2)[:, 0])
    assert (ours.count.reshape(9, 2)[:, 0] == 0).all()
    assert (ours.count.reshape(9, 2)[:, 1] == 1000).all()


def test_statistics_behind_an_input_layer_are_updated_with_what_the_source_sees():
    architecture = {"net_arch": [3], "encoder": "planes", "normalise_observations": True}
    source, target = planes(("ball",), (3, 3)), planes(("ball",), (6, 6))
    mapping = Mapping.between(source, target, resize="nearest")
    student = check_start(mapping, make_teacher("ppo", source, architecture))
    before = normaliser(student).count.clone()
    update_normaliser(student, torch.ones(10, 6, 6, 1, dtype=torch.uint8))
    assert torch.equal(normaliser(student).count, before + 10)


def test_a_discrete_observation_maps_by_its_values():
    def rooms(*names):
        return Interface(spaces.Discrete(len(names)), spaces.Discrete(3), None, ACTIONS, {"observation": names})

    source, target = rooms("hall", "attic", "cellar"), rooms("cellar", "hall", "porch", "attic")
    mapping = Mapping.between(source, target, planes={"porch": "attic"})
    assert mapping.observations(torch.arange(4)).tolist() == [2, 0, 1, 1]
    for algorithm in ("ppo", "dqn"):
        check_start(mapping, make_teacher(algorithm, source, {"net_arch": [4], "encoder": "flat"}))
    with pytest.raises(MappingError, match=r"Discrete\(3\) in the source and Discrete\(4\) in the target"):
        Mapping.between(*(Interface(spaces.Discrete(n), spaces.Discrete(3)) for n in (3, 4)))


def test_a_checkpoint_of_a_student_behind_an_input_layer_loads_without_the_teacher(tmp_path):
    conv = {"net_arch": [4], "encoder": "planes-conv"}
    source, target = planes(("ball", "wall"), (4, 4)), planes(("wall",), (3, 5))
    mapping = Mapping.between(source, target)
    teacher = make_teacher("ppo", source, conv)
    student = check_start(mapping, teacher)
    architecture = mapping.architecture(teacher)
    policy = make_teacher("ppo", target, architecture)
    policy.network.load_state_dict(student.state_dict())
    policy.save(tmp_path / "policy")
    loaded = load_policy(tmp_path / "policy")
    seen = drawn(target.observation_space, 5, 0)
    torch.testing.assert_close(loaded.outputs(seen).head, policy.outputs(seen).head)
    text = (tmp_path / "policy" / "policy.json").read_text()
    (tmp_path / "policy" / "policy.json").write_text(text.replace('"planes-conv"', '"os:path"'))
    with pytest.raises(CheckpointError, match="holds one that has a name, found 'os:path'"):
        load_policy(tmp_path / "policy")


def test_a_student_behind_a_layer_can_teach_in_turn():
    first, second, third = planes(("ball",), (4, 4)), planes(("ball",), (3, 3)), planes(("ball", "gold"), (5, 3))
    teacher = make_teacher("dqn", first, {"net_arch": [4], "encoder": "planes-conv"})
    mapping = Mapping.between(first, second)
    student = make_teacher("dqn", second, mapping.architecture(teacher))
    mapping.fold(teacher, student.network)
    check_start(Mapping.between(second, third), student)


@pytest.mark.parametrize(
    ("source", "target", "said", "error", "words"),
    [
        (
            planes(("ball",)),
            planes(("gold",)),
            {},
            MappingError,
            "no plane of the target .* source has ball; the targe",
        ),
        (planes(("ball",)), planes(("ball",)), {"planes": {"bal": "ball"}}, UnknownName, "did you mean 'ball'"),
        (
            symbols(),
            symbols(),
            {"planes": {"wal": "door"}},
            UnknownName,
            "unknown target plane 'wal': did you mean 'wall'",
        ),
        (symbols(), symbols(), {"pad": {"object": "wal"}}, UnknownName, "did you mean 'wall'"),
        (symbols(), symbols(), {"fill": {"object": 1}}, MappingError, "'object' has a fill, but is carried"),
        (
            of_parts(symbols(), mission=6),
            of_parts(symbols(), mission=9),
            {},
            MappingError,
            'mapping.parts.mission = "no',
        ),
        (of_parts(symbols()), of_parts(symbols()), {"parts": {"imag": "image"}}, UnknownName, "did you mean 'image'"),
    ],
)
def test_what_cannot_be_mapped_is_said_in_one_line(source, target, said, error, words):
    with pytest.raises(error, match=words) as caught:
        Mapping.between(source, target, **said)
    assert "\n" not in str(caught.value)


def test_a_part_can_be_left_out():
    source, target = of_parts(symbols(), mission=6), of_parts(symbols(), mission=9)
    mapping = Mapping.between(source, target, parts={"mission": "none"}, fill={"mission": 4})
    seen = mapping.observations(drawn(target.observation_space, 3, 0))
    assert seen["mission"].tolist() == [4, 4, 4]
    assert "mission = 4" in "\n".join(mapping.report().lines())


@pytest.mark.parametrize("algorithm", ["ppo", "dqn", "a2c"])
def test_a_learner_behind_an_input_layer_starts_as_the_teacher_and_learns(algorithm):
    task, smaller = Task(game="headstart/DoorKey-5x5-v0"), {"view_size": 5}
    target = Task(game="headstart/DoorKey-5x5-v0", arguments=smaller)
    source, seen = interface_of(task), interface_of(target)
    teacher = make_teacher(algorithm, source, {**ARCHITECTURE, "encoder": "planes-conv"})
    mapping = Mapping.between(source, seen)
    values = {**FAST[algorithm], **ARCHITECTURE, "encoder": "planes-conv"}
    context = Context(teacher, mapping, target, algorithm, resolve(target, algorithm, values), 64, 0)
    learner = learner_of(compose(["finetune"]), context)
    observations = drawn(seen.observation_space, 4, 0)
    found = policy_outputs(learner.policy, observations).log_probabilities()
    torch.testing.assert_close(found, mapping.teacher(teacher)(observations).log_probabilities(), rtol=1e-3, atol=2e-3)
    layer = [encoder for encoder in encoders(learner.policy) if isinstance(encoder, MappedEncoder)]
    assert layer
    assert not list(layer[0].layer.parameters())
    learner.learn(128)
    assert not torch.equal(policy_outputs(learner.policy, observations).log_probabilities(), found)
