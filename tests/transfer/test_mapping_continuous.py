"""SAC, TD3 and DDPG through a mapping: actor, critics and targets start as the teacher's after it, everywhere."""

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.algorithms import resolve
from agents.build import build_network
from agents.config import Evaluation, RunConfig
from agents.networks import sync_normalisers
from agents.outputs import policy_outputs
from agents.parts import parts
from envs.errors import ConfigError, MappingError
from envs.interface import Interface
from envs.task import Task
from tests.transfer.teachers import carried, make_teacher
from transfer.carry import train_run
from transfer.mapping import Mapping
from transfer.method import Crossing, compose

FEATURES, DIMENSIONS = ("x", "v", "angle", "spin", "fuel"), ("gas", "wheel", "brake", "horn")
names = st.lists(st.sampled_from(FEATURES), min_size=1, max_size=4, unique=True)
doings = st.lists(st.sampled_from(DIMENSIONS), min_size=1, max_size=4, unique=True)
sizes = st.lists(st.integers(1, 6), max_size=2)
limits = st.tuples(st.floats(-5, -0.5), st.floats(0.5, 5))


def game(features, dimensions, bounds=()):
    """Features and dimensions by name; dimensions go from -1 to 1 where no bounds are given."""
    low, high = zip(*(bounds or [(-1, 1)] * len(dimensions)), strict=True)
    seen = spaces.Box(-np.inf, np.inf, (len(features),), np.float32)
    return Interface(seen, spaces.Box(np.float32(low), np.float32(high)), tuple(features), tuple(dimensions))


def teacher_of(algorithm, interface, architecture, seed=0):
    """With one set of statistics, as training leaves it."""
    teacher = make_teacher(algorithm, interface, architecture, seed)
    sync_normalisers(teacher.network)
    return teacher


@st.composite
def problems(draw):
    """A teacher and a mapping from its game to another, sharing at least a feature and a dimension."""
    ours, theirs, doing, could = draw(names), draw(names), draw(doings), draw(doings)
    source, target = (game(seen, done, [draw(limits) for _ in done]) for seen, done in ((ours, doing), (theirs, could)))
    pairs = {"features": {theirs[0]: draw(st.sampled_from(ours))}, "actions": {could[0]: draw(st.sampled_from(doing))}}
    said = {**pairs, "spread": draw(st.floats(0.1, 2))}
    missing = Mapping.between(source, target, **said).missing
    fill = {ours[i]: draw(st.floats(-2, 2)) for i in missing if draw(st.booleans())}
    mapping = Mapping.between(source, target, **said, fill=fill)
    separate = {"pi": draw(sizes), "qf": draw(sizes)}
    architecture = {
        "net_arch": separate if draw(st.booleans()) else draw(sizes),
        "activation": draw(st.sampled_from(["tanh", "relu"])),
        "normalise_observations": draw(st.booleans()),
        "share_features_extractor": draw(st.booleans()),
    }
    return mapping, teacher_of(
        draw(st.sampled_from(["sac", "td3", "ddpg"])), source, architecture, draw(st.integers(0, 99))
    )


def folded(mapping, teacher, **how):
    student = build_network(teacher.algorithm, mapping.architecture(teacher), mapping.target)
    mapping.fold(teacher, student, **how)
    return student


def drawn(mapping, seed):
    """Observations of the target, some of them far out, and its actions, scaled to [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    (features,), (dimensions,) = mapping.target.observation_space.shape, mapping.target.action_space.shape
    scales = torch.tensor([[0.0], [1.0], [1.0], [5.0], [100.0]])
    return scales * torch.randn(5, features, generator=generator), 2 * torch.rand(
        5, dimensions, generator=generator
    ) - 1


def as_the_source_acts(mapping, actions):
    """Scaled actions of the target as the source's: by hand, in the names of both; 0 where the target has none."""
    if mapping.actions is None:
        return actions
    theirs = torch.zeros(len(actions), len(mapping.source.actions))
    for ours, index in enumerate(mapping.actions):
        if index is not None:
            theirs[:, index] = actions[:, ours]
    return theirs


def values(network, observations, actions):
    """Of all critics, and of their targets: (2, n_critics, B)."""
    both = network.critic(observations, actions), network.critic_target(observations, actions)
    return torch.stack([torch.stack(several)[..., 0] for several in both])


@settings(max_examples=150, deadline=None)
@given(problems(), st.integers(0, 2**31 - 1))
def test_actor_and_critics_are_the_teachers_after_the_mapping(problem, seed):
    mapping, teacher = problem
    student, theirs = folded(mapping, teacher), teacher.network
    (seen, actions), close = drawn(mapping, seed), {"rtol": 1e-3, "atol": 1e-3}
    expected, found = mapping.teacher(teacher)(seen), policy_outputs(student, seen)
    torch.testing.assert_close(found.head, expected.head, **close)
    if teacher.algorithm == "sac":
        torch.testing.assert_close(found.log_std, expected.log_std, **close)
    mean = theirs.actor.features_extractor.normaliser.mean if teacher.architecture["normalise_observations"] else None
    as_seen, as_done = mapping.observations(seen, mapping.filling(mean)), as_the_source_acts(mapping, actions)
    torch.testing.assert_close(values(student, seen, actions), values(theirs, as_seen, as_done), **close)
    if teacher.algorithm != "sac":
        theirs.actor.load_state_dict(theirs.actor_target.state_dict())
        student.actor.load_state_dict(student.actor_target.state_dict())
        expected, found = mapping.teacher(teacher)(seen), policy_outputs(student, seen)
        torch.testing.assert_close(found.head, expected.head, **close)


@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_it_plays_the_teachers_actions_in_the_targets_bounds(algorithm):
    source, target = game("xv", ("gas", "wheel")), game("vx", ("wheel", "horn", "gas"), [(-2, 2), (0, 4), (0, 6)])
    teacher = teacher_of(algorithm, source, {"net_arch": [5], "normalise_observations": True})
    student = folded(Mapping.between(source, target), teacher)
    seen = torch.randn(6, 2, generator=torch.Generator().manual_seed(0)).numpy()
    theirs, ours = (
        teacher.network.predict(seen[:, ::-1].copy(), deterministic=True)[0],
        student.predict(seen, deterministic=True)[0],
    )
    expected = np.stack([2 * theirs[:, 1], np.full(6, 2.0), 3 + 3 * theirs[:, 0]], axis=1)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_heads_can_be_left_and_new_dimensions_are_not_read(algorithm):
    source, target = game("xv", ("gas", "wheel")), game("vx", ("horn", "gas"))
    teacher = teacher_of(algorithm, source, {"net_arch": [5, 4]})
    mapping = Mapping.between(source, target)
    student = build_network(algorithm, {"net_arch": [5, 4]}, target)
    before = {name: [p.clone() for p in several] for name, several in parts(student).items()}
    mapping.fold(teacher, student, heads=False)
    for name, several in parts(student).items():
        same = [torch.equal(p, q) for p, q in zip(several, before[name], strict=True)]
        assert all(same) if name.endswith("head") else not any(same), name
    theirs, ours = teacher.network.critic.qf0[0].weight, student.critic.qf0[0].weight
    assert torch.equal(ours, torch.stack([theirs[:, 1], theirs[:, 0], torch.zeros(5), theirs[:, 2]], dim=1))


def test_the_torso_is_left_where_no_action_is_mapped():
    source, target = game("xv", ("gas", "wheel")), game("vx", ("up", "down", "left"))
    teacher, mapping = teacher_of("sac", source, {"net_arch": [5]}), Mapping.between(source, target, actions="none")
    student = build_network("sac", {"net_arch": [5]}, target)
    own = student.critic.qf1[0].weight[:, 2:].clone()
    mapping.fold(teacher, student)
    theirs = teacher.network
    assert torch.equal(student.actor.latent_pi[0].weight, theirs.actor.latent_pi[0].weight[:, [1, 0]])
    assert torch.equal(student.critic.qf1[0].weight[:, :2], theirs.critic.qf1[0].weight[:, [1, 0]])
    assert torch.equal(student.critic.qf1[0].weight[:, 2:], own)


@pytest.mark.parametrize(("algorithm", "full"), [("sac", True), ("ppo", True), ("ppo", False)])
def test_deviations_that_depend_on_the_state_permute_but_have_none_for_a_new_dimension(algorithm, full):
    source, high = game("xv", ("gas", "wheel")), 1.0 if algorithm == "ppo" else 3.0
    architecture = {"net_arch": [5], "use_sde": True} | ({"full_std": full} if algorithm == "ppo" else {})
    teacher = teacher_of(algorithm, source, architecture)
    mapping = Mapping.between(source, game("vx", ("wheel", "gas"), [(-high, high)] * 2))
    theirs, ours = teacher.network, folded(mapping, teacher)
    theirs, ours = (getattr(network, "actor", network).log_std for network in (theirs, ours))
    assert torch.equal(ours, theirs[:, [1, 0]] if full else theirs)
    with pytest.raises(MappingError, match="set use_sde to false"):
        folded(Mapping.between(source, game("vx", ("wheel", "horn"))), teacher)
    if not full:
        with pytest.raises(MappingError, match="one standard deviation for all"):
            folded(Mapping.between(source, game("vx", ("wheel", "gas"), [(-1, 1), (-2, 2)])), teacher)


@pytest.mark.parametrize(
    ("architecture", "words"),
    [
        ({"net_arch": [5], "n_critics": 3}, "2 critics, the student's .* 3 critics: .*n_critics"),
        ({"net_arch": [5], "share_features_extractor": True}, "share the actor's encoder: .*share_features_extractor"),
    ],
)
def test_critics_of_another_kind_are_refused(architecture, words):
    source, target = game("xv", ("gas", "wheel")), game("vx", ("wheel", "gas"))
    teacher = teacher_of("td3", source, {"net_arch": [5]})
    with pytest.raises(MappingError, match=words):
        Mapping.between(source, target).fold(teacher, build_network("td3", architecture, target))


@pytest.mark.parametrize(("encoder", "side"), [("planes", 7), ("planes-conv", 7), ("planes-conv", 4)])
def test_planes_are_mapped_in_front_of_every_critic(encoder, side):
    """Folded into linear layers, into filters, and where padding does not fold behind a frozen input layer."""

    def grid(side, planes, dimensions):
        seen, acts = spaces.Box(0, 1, (side, side, 3), np.uint8), spaces.Box(-1, 1, (2,), np.float32)
        return Interface(seen, acts, planes, dimensions)

    source, target = (
        grid(5, ("ball", "wall", "me"), ("gas", "wheel")),
        grid(side, ("me", "ball", "new"), ("horn", "gas")),
    )
    mapping = Mapping.between(source, target)
    teacher = teacher_of("sac", source, {"net_arch": [6], "encoder": encoder})
    student, close = folded(mapping, teacher), {"rtol": 1e-3, "atol": 1e-3}
    generator = torch.Generator().manual_seed(0)
    seen = torch.randint(0, 2, (4, side, side, 3), generator=generator).float()
    actions = 2 * torch.rand(4, 2, generator=generator) - 1
    torch.testing.assert_close(policy_outputs(student, seen).head, mapping.teacher(teacher)(seen).head, **close)
    expected = values(teacher.network, mapping.observations(seen), as_the_source_acts(mapping, actions))
    torch.testing.assert_close(values(student, seen, actions), expected, **close)


class Reach(gym.Env):
    """A point on a line is pushed towards the middle; `turned` tells what is seen, and pushed, in another order."""

    def __init__(self, turned=False):
        features, dimensions = ("place", "speed", "wind"), ("push", "nothing")
        self.order = (2, 0, 1) if turned else (0, 1)
        self.doing = (1, 0) if turned else (0, 1)
        named = {"features": [features[i] for i in self.order], "actions": [dimensions[i] for i in self.doing]}
        self.metadata = {"render_modes": [], "headstart": named}
        self.observation_space = spaces.Box(-np.inf, np.inf, (len(self.order),), np.float32)
        high = np.float32([4, 2] if turned else [2, 1])[list(self.doing)]
        self.action_space = spaces.Box(-high, high)
        self.strength = 0.5 if turned else 1.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state, self.time = self.np_random.uniform(-1, 1, 3), 0
        return self.seen(), {}

    def seen(self):
        return self.state[list(self.order)].astype(np.float32)

    def step(self, action):
        self.time += 1
        self.state[1] += 0.1 * self.strength * action[self.doing.index(0)]
        self.state[0] += 0.1 * self.state[1]
        return self.seen(), -float(self.state[0] ** 2), False, self.time == 20, {}


gym.register("Reach-v0", entry_point=Reach)
gym.register("ReachTurned-v0", entry_point=Reach, kwargs={"turned": True})


def config_of(algorithm, game, steps, seed):
    small = {"net_arch": [8, 8], "batch_size": 16, "buffer_size": 500, "learning_starts": 20, "n_envs": 1}
    task = Task(game=game)
    return RunConfig(
        task=task,
        algorithm=algorithm,
        hyperparameters=resolve(task, algorithm, {**small, "normalise_observations": True}),
        steps=steps,
        seed=seed,
        evaluation=Evaluation(every=100, episodes=4, mode="greedy"),
    )


@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_a_student_starts_at_the_teachers_return(algorithm, tmp_path):
    source = config_of(algorithm, "Reach-v0", 200, 0)
    learnt = train_run(source, tmp_path)
    config = carried(config_of(algorithm, "ReachTurned-v0", 300, 1), source, ["finetune"])
    run = train_run(config, tmp_path)
    assert run.done
    same = config_of(algorithm, "Reach-v0", 100, 1)  # the same episodes as the student's, by its seed
    again = train_run(carried(same, source, ["finetune"]), tmp_path)
    started, known = run.evaluations(), again.evaluations()
    assert (started.steps[0], known.steps[0]) == (0, 0)
    np.testing.assert_allclose(started.returns[0], known.returns[0], rtol=1e-4)
    seen = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        run.policy(0).outputs(seen).head, learnt.policy().outputs(seen[:, [1, 2]]).head[:, [1, 0]], rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize(
    "how",
    [{"layers": "torso"}, {"layers": ["torso.0", "value_head"]}, {"freeze": ["torso"], "rates": {"action_head": 0.5}}],
)
def test_parts_are_carried_and_frozen_through_a_mapping(how, tmp_path):
    source = config_of("sac", "Reach-v0", 60, 0)
    train_run(source, tmp_path)
    run = train_run(
        carried(config_of("sac", "ReachTurned-v0", 60, 1), source, [{"method": "finetune", **how}]), tmp_path
    )
    start, end = (parts(policy.network) for policy in (run.policy(0), run.policy()))
    for name, several in start.items():
        same = all(torch.equal(p, q) for p, q in zip(several, end[name], strict=True))
        assert same is (name.partition(".")[0] in how.get("freeze", ())), name


def test_an_algorithm_whose_layers_are_not_known_is_refused_between_other_spaces():
    source, target = game("xv", ("gas", "wheel")), game("vx", ("wheel", "gas"))
    config = RunConfig(task=Task(game="Pendulum-v1"), algorithm="tqc", steps=1)
    with pytest.raises(ConfigError, match="carries networks of tqc between equal spaces only"):
        compose(["finetune"]).check(Crossing(config, config, Mapping.between(source, target)))
    known = config.model_copy(update={"algorithm": "td3"})
    compose(["finetune"]).check(Crossing(known, known, Mapping.between(source, target)))


def test_new_dimensions_are_said_to_start_in_the_middle():
    seen = spaces.Box(-1, 1, (1,), np.float32)
    source, target = (
        Interface(seen, spaces.Box(-1, 1, (n,), np.float32), ("where",), ("push", "turn")[:n]) for n in (1, 2)
    )
    lines = Mapping.between(source, target).report().lines()
    assert "actions new in the target, which start in the middle of their ranges: turn" in lines
