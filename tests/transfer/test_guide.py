"""Guided resets: where the student takes over, what is counted, what it is credited with, and what it never sees."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents.outputs import Outputs
from envs.cartpole import CartPoleEnv
from envs.errors import ConfigError
from envs.task import Change, Task
from envs.vector import make_vec
from tests.transfer.teachers import (
    CARTPOLE,
    FAST,
    SHORT,
    carried,
    context,
    learner_of,
    run_config,
    vector,
)
from transfer.carry import check, train_run
from transfer.choosing import chosen
from transfer.guided import GuidedBatch, GuidedObjects
from transfer.mapping import Mapping
from transfer.method import compose
from transfer.methods.guide import GuideSettings, Horizon

GRID = Task(game="headstart/Empty-5x5-v0")


class Fixed:
    """The same horizon for every episode."""

    stage = 0

    def __init__(self, bound):
        self.bound, self.whole = bound, []

    def draw(self, count):
        return np.full(count, self.bound, dtype=np.int64)

    def finished(self, stage, earned):
        self.whole.append(earned)


def balance(observations):
    """Keeps a pole up for a while: deterministic."""
    return (observations[:, 2] + 0.3 * observations[:, 3] > 0).astype(np.int64)


def right(observations):
    """Lets a pole fall within a dozen steps."""
    return np.ones(len(observations), dtype=np.int64)


def guided(backend, task=CARTPOLE, act=balance, bound=6, n=3, seed=5):
    horizons = Fixed(bound)
    venv = make_vec(task, n_envs=n, seed=seed, backend=backend)
    if backend == "dummy":
        return GuidedObjects(venv, act, horizons)
    return GuidedBatch(venv, act, horizons, make_vec(task, n_envs=n, seed=seed + 1000))


BACKENDS = pytest.mark.parametrize("backend", ["batched", "dummy"])


def led(seed, act, bound):
    """One CartPole led by hand: where the student takes over, the guide's steps there, and all it took."""
    env = CartPoleEnv()
    seen, _ = env.reset(seed=seed)
    left, steps, taken = bound, 0, 0
    while left:
        seen, _, terminated, _, _ = env.step(int(act(seen[None])[0]))
        left, steps, taken = left - 1, steps + 1, taken + 1
        if terminated:
            left, steps = steps // 2, 0
            seen, _ = env.reset()
    return seen, steps, taken


# Where the student takes over


@BACKENDS
@pytest.mark.parametrize(("act", "bound"), [(balance, 6), (right, 20), (right, 0)])
def test_the_student_takes_over_where_the_guide_stops(backend, act, bound):
    """`right` falls before its horizon: the episode after it is led for half as many steps as it stood."""
    venv = guided(backend, act=act, bound=bound)
    found = venv.reset()
    expected = [led(5 + index, act, bound) for index in range(3)]
    np.testing.assert_array_equal(found, np.stack([seen for seen, _, _ in expected]))
    assert venv.guided.tolist() == [steps for _, steps, _ in expected]
    assert venv.taken == sum(taken for _, _, taken in expected)


@BACKENDS
def test_every_later_episode_begins_where_a_guide_leaves_it(backend):
    """In a game whose layout is fixed, all episodes are handed over in one state."""
    turns = [2, 1, 2]  # forward, right, forward

    class Walk:
        """A guide that acts by the number of its steps, which it reads off a batch of its own."""

        def __init__(self):
            env = gym.make(GRID.game)
            self.seen = [env.reset(seed=0)[0]]
            for action in turns:
                self.seen.append(env.step(action)[0])

        def __call__(self, observations):
            places = [next(i for i, one in enumerate(self.seen) if np.array_equal(one, seen)) for seen in observations]
            return np.array([turns[min(place, len(turns) - 1)] for place in places])

    walk = Walk()
    task = Task(game=GRID.game, change=Change(time_limit=9))
    venv = guided(backend, task, walk, len(turns), n=2)
    begun = list(venv.reset())
    lengths = []
    for _ in range(25):
        seen, _, dones, infos = venv.step(np.array([0, 0]))  # turning on the spot, until the time is over
        begun += list(seen[dones])
        lengths += [info["episode"]["l"] for info in infos if "episode" in info]
    assert len(begun) == 2 + 2 * 4
    assert all(np.array_equal(one, walk.seen[-1]) for one in begun)
    assert lengths == [9 - len(turns)] * 8
    assert venv.taken == len(turns) * 2 * (1 + 4)


def test_a_batch_and_objects_begin_alike():
    """Over many episodes with random horizons: the same means and spreads of the states, as the theory of both says."""
    found = {}
    for backend in ("batched", "dummy"):
        venv = guided(backend, n=8)
        venv.horizons = Horizon(GuideSettings(schedule="random", horizon=12), seed=1)
        venv.reset()
        states, steps = [], []
        for _ in range(900 if backend == "batched" else 250):
            seen, _, dones, _ = venv.step(np.ones(8, dtype=np.int64))
            states += list(seen[dones])
            steps += venv.guided[dones].tolist()
        found[backend] = np.array(states), np.array(steps)
    (ours, led_), (theirs, peers) = found.values()
    assert set(led_) == set(peers) == set(range(13))
    for column in range(4):
        spread = np.sqrt(ours[:, column].var() / len(ours) + theirs[:, column].var() / len(theirs))
        assert abs(ours[:, column].mean() - theirs[:, column].mean()) < 4.5 * spread
        assert ours[:, column].std() == pytest.approx(theirs[:, column].std(), rel=0.35)
    assert abs(led_.mean() - peers.mean()) < 4.5 * np.sqrt(led_.var() / len(led_) + peers.var() / len(peers))


def test_no_beginning_is_used_twice():
    """Each environment, whether it learns or waits, keeps a generator that no other has."""
    venv = guided("batched", Task(game="headstart/DoorKey-5x5-v0"), lambda seen: np.zeros(len(seen), int), 4, n=3)
    venv.reset()
    layouts = []
    for step in range(600):
        _, _, dones, _ = venv.step(np.full(3, 1 + step % 2))
        layouts += [venv.batch.get_state()["chance"][index].tobytes() for index in np.flatnonzero(dones)]
    rows = [*venv.batch.get_state()["chance"], *venv._pool["chance"]]
    assert len({row.tobytes() for row in rows}) == 6
    assert len(layouts) == len(set(layouts)) > 5


# What is counted and credited


@BACKENDS
def test_the_guides_steps_count_towards_the_time_limit_and_not_for_the_student(backend):
    venv = guided(backend, SHORT, balance, 6)  # 15 steps
    venv.reset()
    finished, cut, seen = [], [], np.zeros((3, 4))
    for _ in range(9 * 4):
        seen, rewards, dones, infos = venv.step(balance(seen))
        assert (rewards == 1.0).all()
        finished += [info["episode"] for info in infos if "episode" in info]
        cut += [info["TimeLimit.truncated"] for info, done in zip(infos, dones, strict=True) if done]
    whole = [episode for episode, truncated in zip(finished, cut, strict=True) if truncated]
    assert len(whole) > 3
    assert all((episode["l"], episode["r"]) == (9, 9.0) for episode in whole)
    assert sorted(set(venv.horizons.whole)) == sorted({episode["l"] + 6.0 for episode in finished})


@BACKENDS
def test_a_guide_that_is_gone_leaves_the_games_as_they_are(backend):
    alone = make_vec(SHORT, n_envs=3, seed=5, backend=backend)
    venv = guided(backend, SHORT, bound=0)
    np.testing.assert_array_equal(venv.reset(), alone.reset())
    for step in range(60):
        for ours, theirs in zip(venv.step(np.full(3, step % 2)), alone.step(np.full(3, step % 2)), strict=True):
            if not isinstance(ours, list):
                np.testing.assert_array_equal(ours, theirs)
    assert venv.taken == 0


# Horizons


def test_the_curriculum_moves_on_while_returns_are_as_good_as_before():
    horizon = Horizon(GuideSettings(horizon=10, stages=3, window=2, tolerance=0.1, until=1.0), seed=0)
    assert horizon.draw(2).tolist() == [10, 10]
    for earned in (5.0, 7.0):
        horizon.finished(0, earned)
    assert horizon.bound == 5
    horizon.finished(0, 100.0)  # of an episode that an earlier stage began
    for earned in (5.0, 5.2):  # 5.1, more than a tenth below the best, 6
        horizon.finished(1, earned)
    assert horizon.bound == 5
    horizon.finished(1, 5.8)  # (5.2 + 5.8) / 2 = 5.5
    assert horizon.bound == 0


def test_tolerance_is_below_returns_of_either_sign():
    horizon = Horizon(GuideSettings(horizon=10, stages=3, window=1, tolerance=0.1, until=1.0), seed=0)
    horizon.finished(0, -100.0)
    horizon.finished(1, -111.0)
    assert horizon.stage == 1
    horizon.finished(1, -109.0)
    assert horizon.stage == 2


@pytest.mark.parametrize("schedule", ["curriculum", "random", "linear"])
def test_the_guide_is_gone_in_the_end(schedule):
    horizon = Horizon(GuideSettings(horizon=10, schedule=schedule, until=0.4), seed=0)
    assert horizon.bound == 10
    horizon.progress = 0.2
    assert horizon.bound == (5 if schedule == "linear" else 10)
    horizon.progress = 0.4
    assert horizon.bound == 0
    assert not horizon.draw(20).any()


def test_random_horizons_are_uniform_and_seeded():
    horizon, same, other = (Horizon(GuideSettings(horizon=4, schedule="random"), seed) for seed in (0, 0, 1))
    drawn = horizon.draw(5000)
    assert np.bincount(drawn) / 5000 == pytest.approx(np.full(5, 0.2), abs=0.03)
    assert np.array_equal(drawn, same.draw(5000))
    assert not np.array_equal(drawn, other.draw(5000))


# The teacher as a guide


def test_heads_become_actions():
    draw = torch.Generator().manual_seed(0)
    logits = torch.log(torch.tensor([[0.7, 0.3]])).repeat(4000, 1)
    choices = spaces.Discrete(2)
    sampled = chosen(Outputs("categorical", logits), choices, squashed=False, generator=draw)
    assert sampled.mean() == pytest.approx(0.3, abs=0.03)
    assert not chosen(Outputs("categorical", logits), choices, squashed=False, generator=None).any()
    values = Outputs("q", torch.tensor([[0.0, 1.0]]))
    assert chosen(values, choices, squashed=False, generator=draw).tolist() == [1]
    box = spaces.Box(-2, 4, (1,), np.float32)
    means = Outputs("gaussian", torch.zeros(4000, 1), log_std=torch.full((4000, 1), -1.0))
    noisy = chosen(means, box, squashed=False, generator=draw)
    assert noisy.dtype == np.float32
    assert noisy.std() == pytest.approx(np.exp(-1), rel=0.1)
    assert chosen(means, box, squashed=True, generator=None)[0] == pytest.approx(1.0)
    firm = Outputs("deterministic", torch.tensor([[-1.0], [1.0], [0.5]]))
    assert chosen(firm, box, squashed=True, generator=draw).ravel() == pytest.approx([-2, 4, 2.5])


@pytest.mark.parametrize("source", ["ppo", "dqn"])
def test_a_mapped_teacher_plays_the_targets_actions(source):
    """With left and right exchanged, teacher∘mapping plays what the teacher would, exchanged."""
    run = context(source=source)
    known = run.teacher.interface
    mapping = Mapping.between(known, known, actions={"left": "right", "right": "left"})
    acts = []
    for held in (run, replace(run, mapping=mapping)):
        methods = compose([{"method": "guide", "mode": "greedy"}])
        methods.bind(held)
        seen = np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32)
        acts.append(methods.methods[0]._acting(1)(seen))
    assert 0 < acts[0].sum() < 20
    assert np.array_equal(acts[1], 1 - acts[0])


# In a training

LINE = {"method": "guide", "schedule": "linear", "horizon": 5}


@pytest.mark.parametrize(
    ("algorithm", "game"),
    [
        *[(name, "headstart/CartPole-v1") for name in ("ppo", "a2c", "dqn", "sb3-dqn")],
        *[(name, "CartPole-v1") for name in ("ppo", "sb3-ppo", "dqn")],
    ],
)
def test_learners_see_their_own_steps_only(algorithm, game):
    """Gymnasium's own CartPole has no batch of ours: one object an environment."""
    task = Task(game=game, change=Change(time_limit=15))
    methods = compose([LINE])
    learner = learner_of(methods, context(task, algorithm=algorithm))
    learner.learn(128)
    world = methods.methods[0]._world
    assert isinstance(world, GuidedBatch if game.startswith("headstart") else GuidedObjects)
    assert methods.taken >= 10
    assert learner.num_timesteps == 128
    assert all(episode["l"] <= 10 for episode in learner.ep_info_buffer)
    assert len(learner.ep_info_buffer) > 0


def test_continuous_actions_are_guided():
    task = Task(game="Pendulum-v1", change=Change(time_limit=10))
    FAST.setdefault("sac", {"n_envs": 1, "net_arch": [8], "buffer_size": 200, "learning_starts": 20, "batch_size": 8})
    methods = compose([LINE])
    run = context(task, algorithm="sac", source="sac", architecture={"net_arch": [8]})
    learner = learner_of(methods, run)
    learner.learn(40)
    assert [episode["l"] for episode in learner.ep_info_buffer] == [5] * 8
    assert methods.taken == 9 * 5


def test_a_batch_without_states_is_played_by_objects():
    pytest.importorskip("minatar")
    task = Task(game="MinAtar/Breakout-v1")
    methods = compose([LINE])
    methods.bind(context(task, architecture={"net_arch": [8]}))
    venv = methods.wrap(make_vec(task, n_envs=2))
    venv.seed(0)
    venv.reset()
    assert isinstance(venv, GuidedObjects)
    assert methods.taken >= 10


def test_a_randomised_target_is_guided_too():
    """Its groups have no states, so one object an environment draws new arguments in every episode."""
    task = SHORT.changed({"randomise": {"length": [0.4, 0.6]}})
    methods = compose([LINE])
    learner = learner_of(methods, context(task, algorithm="a2c"))
    learner.learn(64)
    assert isinstance(methods.methods[0]._world, GuidedObjects)
    assert methods.taken >= 10


@pytest.mark.parametrize("by", [[LINE, "shape"], ["shape", LINE]])
@BACKENDS
def test_shaping_begins_with_the_student(by, backend):
    """The discounted sum of what is added is −Φ(s₀), s₀ being the state in which the student takes over."""
    methods = compose(by)
    run = context(SHORT)
    methods.bind(run)
    venv = methods.wrap(make_vec(SHORT, n_envs=1, seed=1, backend=backend))
    shape = next(method for method in methods.methods if method.name == "shape")
    first, sums = venv.reset(), []
    total, steps = 0.0, 0
    while len(sums) < 6:
        seen, rewards, dones, infos = venv.step(np.array([steps % 2]))
        total += run.gamma**steps * (float(rewards[0]) - 1.0)
        steps += 1
        if dones[0]:
            end = infos[0]["terminal_observation"][None]
            bootstrap = run.gamma**steps * shape.potential(end)[0] if infos[0]["TimeLimit.truncated"] else 0.0
            sums.append(total - (bootstrap - shape.potential(first)[0]))
            first, total, steps = seen, 0.0, 0
    assert np.abs(sums).max() < 1e-4


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return train_run(run_config(), root), root


def test_a_guided_run_counts_all_steps_and_is_evaluated_unguided(source):
    run, root = source
    curriculum = {"method": "guide", "episodes": 2, "window": 2, "stages": 3, "until": 1.0}
    config = carried(run_config(seed=7, steps=320), run.config, [curriculum])
    done = train_run(config, root)
    told = done.provenance
    assert told["steps_before_learning"] > 2
    assert told["steps_unseen"] > 0
    assert told["steps_taken"] >= 320
    alone = train_run(run_config(seed=7, steps=320), root)
    assert np.array_equal(done.evaluations().returns[0], alone.evaluations().returns[0])
    assert "guide/horizon" in (done.path / "progress.csv").read_text()


def test_the_same_config_gives_the_same_weights(source, tmp_path):
    run, root = source
    config = carried(
        run_config(seed=3, steps=256), run.config, [{"method": "guide", "schedule": "random", "horizon": 6}]
    )
    first = train_run(config, root)
    (tmp_path / run.key).symlink_to(run.path)
    second = train_run(config, tmp_path)
    ours, theirs = (held.policy().network.state_dict() for held in (first, second))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


# Refused before anything is trained


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"horizon": 5, "fraction": 0.5}, "found both horizon and fraction"),
        ({"horizon": 0}, "horizon"),
        ({"stages": 1}, "stages"),
        ({"schedule": "square"}, "schedule"),
    ],
)
def test_settings_that_make_no_sense(settings, words):
    source = run_config()
    with pytest.raises(ConfigError, match=words):
        check(carried(run_config(), source, [{"method": "guide", **settings}]), source)


def test_a_fraction_of_the_time_limit():
    methods = compose([{"method": "guide", "fraction": 0.4}])
    methods.bind(context(SHORT))
    assert methods.methods[0].horizons.most == 6
    with pytest.raises(ConfigError, match="says none: give horizon"):
        check(carried(run_config(GRID), run_config(GRID), [{"method": "guide", "fraction": 0.4}]), run_config(GRID))


def test_heads_that_cannot_be_read_guide_between_equal_games_only():
    """An identical game needs no mapping of heads: any policy can play it."""
    known = vector("a", "b")
    other = vector("b", "a")
    for mapping, fine in ((Mapping.between(known, known), True), (Mapping.between(known, other), False)):
        from transfer.method import Crossing

        source = run_config().model_copy(update={"algorithm": "qrdqn"})
        crossing = Crossing(source, run_config(), mapping)
        if fine:
            compose(["guide"]).check(crossing)
        else:
            with pytest.raises(ConfigError, match="cannot read qrdqn's"):
                compose(["guide"]).check(crossing)
