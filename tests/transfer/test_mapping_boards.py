"""Mappings between boards: masks are no part of what is mapped, actions go where their cells go, and a convolutional
student reads the whole of a larger board from its first step on."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.build import build_network
from agents.mapped import MappedEncoder
from agents.masking import ILLEGAL
from agents.networks import encoders
from agents.outputs import Outputs, policy_outputs
from envs.errors import MappingError
from envs.interface import Interface
from envs.masks import MASK, SEEN, inner, with_mask
from envs.task import Task
from tests.transfer.teachers import make_teacher
from transfer.carry import interface_of
from transfer.distillation.loss import distance
from transfer.distillation.playing import Manner, Playing
from transfer.mapping import Mapping
from transfer.method import Teacher
from transfer.opposing import opposed

STONES = ("mine", "theirs")
CONV = {"net_arch": [6], "activation": "tanh", "encoder": "planes-conv", "normalise_observations": False}
FLAT = {**CONV, "encoder": "planes"}


def masked(interface):
    space = with_mask(interface.observation_space, int(interface.action_space.n))
    return Interface(
        space,
        interface.action_space,
        interface.features,
        interface.actions,
        interface.values,
        interface.anchor,
        interface.action_cells,
    )


def of_columns(height, width, features=STONES, anchor=("end", "centre")):
    """A game like connect four."""
    box = spaces.Box(0, 1, (height, width, len(features)), np.uint8)
    names, cells = zip(*((f"column {c + 1}", (None, c)) for c in range(width)), strict=True)
    return masked(Interface(box, spaces.Discrete(width), tuple(features), names, {}, anchor, cells))


def of_cells(height, width, features=STONES, anchor=("centre", "centre"), *, passing=False):
    """A game like tic-tac-toe, or like go, in which one may pass."""
    box = spaces.Box(0, 1, (height, width, len(features)), np.uint8)
    every = [(r, c) for r in range(height) for c in range(width)]
    names = [f"{chr(97 + c)}{height - r}" for r, c in every]
    names, cells = ([*names, "pass"], [*every, None]) if passing else (names, every)
    acts = spaces.Discrete(len(names))
    return masked(Interface(box, acts, tuple(features), tuple(names), {}, anchor, tuple(cells)))


def drawn(interface, count=6, seed=0):
    """Observations with masks, in each of which something is legal."""
    generator = np.random.default_rng(seed)
    n = int(interface.action_space.n)
    masks = generator.integers(0, 2, (count, n), dtype=np.int8)
    masks[np.arange(count), generator.integers(0, n, count)] = 1
    seen = generator.integers(0, 2, (count, *inner(interface.observation_space).shape), dtype=np.uint8)
    return {SEEN: torch.as_tensor(seen), MASK: torch.as_tensor(masks)}


def folded(mapping, teacher):
    """A student of other weights, into which the teacher is folded."""
    student = build_network(teacher.algorithm, mapping.architecture(teacher), mapping.target)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    report = mapping.fold(teacher, student)
    return student, report


def check_start(mapping, teacher, seed=0):
    student, _ = folded(mapping, teacher)
    seen = drawn(mapping.target, seed=seed)
    expected, found = mapping.teacher(teacher)(seen), policy_outputs(student, seen)
    logs = [outputs.log_probabilities() for outputs in (expected, found)]
    legal = seen[MASK].bool()
    torch.testing.assert_close(logs[1][legal], logs[0][legal], rtol=1e-3, atol=2e-3)
    assert all((each.exp()[~legal] == 0).all() for each in logs)
    torch.testing.assert_close(found.value, expected.value, rtol=1e-3, atol=2e-3)
    for kind in ("kl", "nll", "mse"):
        assert distance(kind, expected, found, mapping.matched).isfinite().all()
    both = distance("kl", expected, found), distance("mse", expected, found)
    torch.testing.assert_close(both[0], torch.zeros(len(legal)), rtol=0, atol=1e-3)
    torch.testing.assert_close(both[1], torch.zeros(len(legal)), rtol=0, atol=1e-3)
    return student


sizes = st.tuples(st.integers(3, 6), st.integers(3, 6))
stones = st.lists(st.sampled_from(["mine", "theirs", "last"]), min_size=1, max_size=3, unique=True)


@st.composite
def of_boards(draw):
    ours, theirs = draw(stones), draw(stones)
    if not set(ours) & set(theirs):
        ours = theirs
    anchor = tuple(draw(st.sampled_from(["start", "centre", "end"])) for _ in range(2))
    make = draw(st.sampled_from([of_columns, of_cells]))
    source, target = make(*draw(sizes), theirs, anchor), make(*draw(sizes), ours, anchor)
    mapping = Mapping.between(source, target, resize=draw(st.sampled_from(["crop", "crop", "nearest"])))
    return mapping, make_teacher("ppo", source, draw(st.sampled_from([CONV, FLAT])), draw(st.integers(0, 9)))


@settings(max_examples=150, deadline=None)
@given(of_boards(), st.integers(0, 999))
def test_students_start_as_their_teachers_behind_masks(problem, seed):
    check_start(*problem, seed)


@pytest.mark.parametrize("masks", ["both", "source", "target"])
def test_a_mask_on_one_side_only_is_no_hindrance(masks):
    source, target = of_columns(4, 5), of_columns(6, 7)
    bare = {"source": target, "target": source}.get(masks)
    if bare is not None:
        plain = Interface(*(getattr(bare, name) for name in bare.__dataclass_fields__))
        object.__setattr__(plain, "observation_space", inner(bare.observation_space))
        source, target = (plain if side is bare else side for side in (source, target))
    mapping = Mapping.between(source, target)
    teacher = make_teacher("ppo", source, CONV)
    seen = drawn(of_columns(6, 7))
    given = seen if masks != "source" else seen[SEEN]
    student, _ = folded(mapping, teacher)
    expected, found = mapping.teacher(teacher)(given), policy_outputs(student, given)
    torch.testing.assert_close(found.log_probabilities().exp(), expected.log_probabilities().exp())
    shown = mapping.observations(given)
    assert isinstance(shown, dict) == (masks != "target")
    if isinstance(shown, dict):
        assert (shown[MASK] == 1).all()
        assert shown[MASK].shape == (6, 5)


def test_the_source_says_the_same_whatever_is_legal():
    mapping = Mapping.between(of_columns(4, 5), of_columns(6, 7))
    seen = drawn(mapping.target)
    teacher = mapping.teacher(make_teacher("ppo", mapping.source, CONV))
    every = teacher({**seen, MASK: torch.ones_like(seen[MASK])})
    some = teacher(seen)
    assert torch.equal(some.head, every.head.masked_fill(seen[MASK] == 0, ILLEGAL))
    assert torch.equal(some.value, every.value)


def test_columns_and_cells_go_where_their_planes_go():
    columns = Mapping.between(of_columns(4, 5), of_columns(6, 7))
    assert columns.actions == (None, 0, 1, 2, 3, 4, None)
    seen = drawn(columns.target)
    assert torch.equal(columns.observations(seen)[SEEN], seen[SEEN][:, 2:, 1:6])
    said = "\n".join(columns.report().lines())
    assert "actions carried: column 2 (as column 1), column 3 (as column 2)" in said
    assert "actions new in the target, which start below the carried ones: column 1, column 7" in said
    assert "cells 6×7 in the target, cropped to the source's 4×5" in said
    board = Mapping.between(of_cells(3, 3, passing=True), of_cells(5, 5, passing=True))
    carried = dict(board.report().actions.carried)
    assert carried["b4"] == "a3"
    assert carried["c3"] == "b2"
    assert carried["d2"] == "c1"
    assert carried["pass"] == "pass"
    assert len(carried) == 10
    smaller = Mapping.between(of_columns(6, 7), of_columns(4, 5))
    assert smaller.actions == (1, 2, 3, 4, 5)


def test_pairs_override_cells():
    mapping = Mapping.between(
        of_columns(4, 5), of_columns(6, 7), actions={"column 1": "column 1", "column 4": "column 5"}
    )
    assert mapping.actions == (0, 0, 1, 4, 3, 4, None)
    check_start(mapping, make_teacher("ppo", mapping.source, CONV))


def test_with_the_nearest_cells_several_actions_become_one():
    mapping = Mapping.between(of_columns(4, 6), of_columns(4, 3), resize="nearest")
    assert mapping.actions == (0, 2, 4)
    assert mapping.merged == {0: (0, 1), 1: (2, 3), 2: (4, 5)}
    assert Mapping.between(of_columns(4, 3), of_columns(4, 6), resize="nearest").actions == (None, 0, None, 1, None, 2)


def test_names_count_where_only_one_side_knows_cells():
    source, target = of_columns(4, 5), of_columns(6, 7)
    object.__setattr__(target, "action_cells", None)
    assert Mapping.between(source, target).actions == (0, 1, 2, 3, 4, None, None)


def test_several_actions_of_one_cell_map_in_their_order():
    def game(size):
        cells = [(r, c) for r in range(size) for c in range(size) for _ in range(3)]
        names = tuple(f"{r}-{c} {way}" for (r, c), way in zip(cells, ("left", "up", "right") * size**2, strict=True))
        box = spaces.Box(0, 1, (size, size, 2), np.uint8)
        return Interface(box, spaces.Discrete(len(cells)), STONES, names, {}, ("centre", "centre"), tuple(cells))

    carried = dict(Mapping.between(game(3), game(5)).report().actions.carried)
    assert carried["1-1 up"] == "0-0 up"
    assert carried["3-2 right"] == "2-1 right"
    assert len(carried) == 27


def test_cells_outside_the_board_are_refused():
    wrong = of_columns(4, 5)
    object.__setattr__(wrong, "action_cells", tuple((None, c + 1) for c in range(5)))
    with pytest.raises(MappingError, match="name cells of 1 rows and 6 columns, the observation has 4×5"):
        Mapping.between(wrong, of_columns(6, 7))


def test_an_interface_without_cells_is_written_as_before():
    known = of_cells(3, 3, passing=True)
    document = known.to_json()
    assert document["action_cells"][-2:] == [[2, 2], None]
    assert Interface.from_json(document) == known
    assert Interface.from_json(of_columns(4, 5).to_json()) == of_columns(4, 5)
    object.__setattr__(known, "action_cells", None)
    assert "action_cells" not in known.to_json()


def test_gradients_reach_what_the_source_never_saw():
    """The conv student of a larger board has no frozen layer: cells beyond the source's board learn from the start."""
    mapping = Mapping.between(of_columns(4, 5), of_columns(6, 7))
    student = check_start(mapping, make_teacher("ppo", mapping.source, CONV))
    assert not any(isinstance(encoder, MappedEncoder) for encoder in encoders(student))
    behind = encoders(student)[0].network[3]
    outside = behind.weight.reshape(len(behind.weight), 16, 4, 5).detach().abs().sum(dim=(0, 1)) == 0
    assert outside.sum() == 4 * 5 - 2 * 3
    policy_outputs(student, drawn(mapping.target, 64)).log_probabilities()[:, 3].sum().backward()
    reached = behind.weight.grad.reshape(len(behind.weight), 16, 4, 5).abs().sum(dim=(0, 1)) > 0
    assert reached.all()


def test_a_smaller_board_keeps_its_windows_behind_a_frozen_layer_and_says_so():
    mapping = Mapping.between(of_columns(6, 7), of_columns(4, 5))
    student, report = folded(mapping, make_teacher("ppo", mapping.source, CONV))
    assert isinstance(encoders(student)[0], MappedEncoder)
    (said,) = [line for line in report.lines() if "frozen input layer" in line]
    assert "does not fold into the PlanesConvEncoder: some windows of its filters lie partly beyond" in said
    larger = Mapping.between(of_columns(4, 5), of_columns(6, 7))
    _, whole = folded(larger, make_teacher("ppo", larger.source, CONV))
    assert not any("frozen input layer" in line for line in whole.lines())


def test_squares_leave_illegal_actions_out():
    teacher = Outputs("categorical", torch.tensor([[1.0, ILLEGAL, 3.0]]))
    student = Outputs("categorical", torch.tensor([[2.0, ILLEGAL, 2.0]], requires_grad=True))
    torch.testing.assert_close(distance("mse", teacher, student), torch.tensor([1.0]))
    nothing = distance("kl", teacher, student, (1,))
    torch.testing.assert_close(nothing, torch.zeros(1))
    nothing.sum().backward()
    assert (student.head.grad == 0).all()


BOARD = {"rows": 4, "columns": 5}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "random"),
        ({"opponent": ["league", "mcts:5"], "against": "scripted"}, "scripted"),
        ({"opponent": "first"}, "first"),
        ({"opponent": ["run:0123", "first"]}, ["run:0123", "first"]),
    ],
)
def test_who_only_plays_meets_opponents_that_stay_as_they_are(arguments, expected):
    task = Task(game="headstart/ConnectFour-v0", arguments={**BOARD, **arguments})
    assert opposed(task).arguments["opponent"] == expected


class Supervisor(Playing):
    """Plays, some of it at random, and is closed at the end."""

    def __init__(self, task, teachers):
        super().__init__(task, teachers, Manner(random=0.5), 4, 0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def test_a_teacher_plays_boards_of_self_play_by_the_rules():
    source, target = Task(game="headstart/ConnectFour-v0", arguments=BOARD), Task(game="headstart/ConnectFour-v0")
    mapping = Mapping.between(interface_of(source), interface_of(target))
    teacher = make_teacher("ppo", mapping.source, CONV)
    with Supervisor(target, [Teacher(teacher, mapping)]) as playing:
        found = playing.take(400, lambda _: None)
    assert len(found) == 400
    legal = torch.as_tensor(found.observations[MASK]).bool()
    assert (found.lessons[0].outputs.log_probabilities().exp()[~legal] == 0).all()


def test_cells_are_read_from_the_names_of_actions():
    actions = interface_of(Task(game="headstart/MNK-v0", arguments={"rows": 4, "columns": 5})).actions
    cells = interface_of(Task(game="headstart/MNK-v0", arguments={"rows": 4, "columns": 5})).action_cells
    assert dict(zip(actions, cells, strict=True))["b3"] == (1, 1)
    assert interface_of(Task(game="pettingzoo/connect_four_v3")).action_cells == tuple((None, c) for c in range(7))
    assert interface_of(Task(game="headstart/KuhnPoker-v0")).action_cells is None
