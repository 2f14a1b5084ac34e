"""Domain randomisation: what is drawn, when, by whom, and that one learner can play all of it."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from agents.config import RunConfig
from agents.evaluation import evaluate
from envs import randomise
from envs.batched import BatchedVecEnv, stepped
from envs.errors import ConfigError, HeadstartError
from envs.task import Change, Range, Task
from envs.vector import interface, make_env, make_vec, seed_each
from tests.transfer.teachers import make_teacher

DOORS = Task(game="headstart/DoorKey-5x5-v0", change=Change(randomise={"size": [5, 8]}))
POLES = Task(game="headstart/CartPole-v1", change=Change(randomise={"length": {"low": 0.2, "high": 1.0}}))
PLAIN = Task(game="CartPole-v1", change=Change(time_limit=20))


def games_of(venv):
    """The randomised layer of each object."""
    found = []
    for env in venv.envs:
        while not isinstance(env, randomise.RandomisedEnv):
            env = env.env
        found.append(env)
    return found


# What is drawn


def test_choices_and_ranges_are_uniform():
    generator = np.random.default_rng(0)
    draws = {"colour": ["red", "blue"], "size": Range(low=3, high=5), "slip": Range(low=-1.0, high=1.0)}
    drawn = [randomise.draw(draws, generator) for _ in range(3000)]
    assert np.mean([one["colour"] == "red" for one in drawn]) == pytest.approx(0.5, abs=0.04)
    sizes = [one["size"] for one in drawn]
    assert all(isinstance(size, int) for size in sizes)
    assert np.bincount(sizes)[3:] / 3000 == pytest.approx(np.full(3, 1 / 3), abs=0.04)
    slips = np.array([one["slip"] for one in drawn])
    assert np.histogram(slips, 4, (-1, 1))[0] / 3000 == pytest.approx(np.full(4, 0.25), abs=0.04)


def test_groups_are_all_combinations_of_choices():
    assert randomise.groups({"a": [1, 2], "b": ["x"], "c": [0.5, 1.5]}) == [
        {"a": a, "b": "x", "c": c} for a in (1, 2) for c in (0.5, 1.5)
    ]
    assert randomise.groups({"a": list(range(4)), "b": list(range(4))}) is not None
    assert randomise.groups({"a": list(range(17))}) is None


def test_groups_of_ranges_are_a_latin_hypercube_that_the_task_alone_decides():
    draws = {"a": Range(low=0.0, high=8.0), "b": Range(low=10, high=17), "c": ["x", "y"]}
    held = randomise.groups(draws)
    assert sorted(one["a"] for one in held) == [0.5 + part for part in range(8)]
    assert sorted(one["b"] for one in held) == list(range(10, 18))
    assert sorted(one["c"] for one in held) == ["x"] * 4 + ["y"] * 4
    assert held == randomise.groups(draws)
    assert [one["a"] for one in held] != sorted(one["a"] for one in held)


# One object an environment


def test_objects_draw_at_every_reset_and_a_seed_decides_all_of_it():
    task = Task(game="CartPole-v1", change=Change(randomise={"max_episode_steps": [4, 5, 6, 7]}))

    def lengths(seed):
        venv = make_vec(task, n_envs=2, seed=seed)
        assert isinstance(venv, DummyVecEnv)
        first = venv.reset()
        found = []
        for _ in range(120):
            *_, infos = venv.step(np.zeros(2, int))
            found += [info["episode"]["l"] for info in infos if "episode" in info]
        return first, found

    first, found = lengths(0)
    assert set(found) == {4, 5, 6, 7}
    same, again = lengths(0)
    assert np.array_equal(first, same)
    assert found == again
    assert lengths(50)[1] != found


def test_an_object_plays_the_game_that_was_drawn():
    env = make_env(
        Task(game="headstart/CartPole-v1", change=Change(randomise={"length": [0.1, 2.0], "gravity": [5.0]}))
    )
    seen = set()
    for seed in range(12):
        env.reset(seed=seed)
        assert env.unwrapped.gravity == 5.0
        seen.add(env.unwrapped.length)
    assert seen == {0.1, 2.0}


def test_what_wraps_a_game_stays_around_it_when_it_is_drawn_anew():
    task = Task(
        game="headstart/CartPole-v1", change=Change(randomise={"length": [0.1, 2.0]}, actions=(1, 0), sticky=0.2)
    )
    venv = make_vec(task, n_envs=2, seed=0, backend="dummy")
    venv.reset()
    for _ in range(80):
        venv.step(np.zeros(2, int))
    games = games_of(venv)
    assert all(len(game._games) == 2 for game in games)


def test_only_so_many_games_are_kept():
    made = []

    class Game(gym.Env):
        observation_space = action_space = spaces.Discrete(2)

        def __init__(self, number):
            self.number, self.closed = number, False
            made.append(self)

        def reset(self, *, seed=None, options=None):
            return 0, {}

        def close(self):
            self.closed = True

    env = randomise.RandomisedEnv(lambda drawn: Game(drawn["number"]), {"number": Range(low=0, high=10**6)}, "game")
    for _ in range(40):
        env.reset()
        assert not env.unwrapped.closed
        assert env.unwrapped.number == env.drawn["number"]
    assert sum(not game.closed for game in made) == randomise.KEPT
    env.close()
    assert all(game.closed for game in made)


# A batch in groups


@pytest.fixture(scope="module")
def doors():
    return make_vec(DOORS, n_envs=5, seed=3)


def test_a_batch_is_its_groups_side_by_side():
    """Environment by environment what a batch of that size alone plays, with the same seeds."""
    doors = make_vec(DOORS.changed({"time_limit": 60}), n_envs=5)
    assert isinstance(doors, BatchedVecEnv)
    limited = Change(time_limit=60)
    alone = {
        size: make_vec(Task(game=DOORS.game, arguments={"size": size}, change=limited), n_envs=5) for size in (5, 8)
    }
    seed_each(doors, [7, 8, 9, 10, 11])
    seen = doors.reset()
    theirs = {}
    for size, venv in alone.items():
        seed_each(venv, [7, 8, 9, 10, 11])
        theirs[size] = venv.reset()
    sizes = [5, 8, 5, 8, 5]
    generator = np.random.default_rng(0)
    ends = 0
    for _ in range(300):
        for index, size in enumerate(sizes):
            np.testing.assert_array_equal(seen[index], theirs[size][index])
        actions = generator.integers(0, 7, 5)
        step = stepped(doors, actions)
        steps = {size: stepped(venv, actions) for size, venv in alone.items()}
        for index, size in enumerate(sizes):
            assert step.rewards[index] == steps[size].rewards[index]
            assert step.dones[index] == steps[size].dones[index]
            if step.dones[index]:
                ends += 1
                ours, its = (np.flatnonzero(found.ended == index)[0] for found in (step, steps[size]))
                np.testing.assert_array_equal(step.final_observations[ours], steps[size].final_observations[its])
                assert step.records[ours]["l"] == steps[size].records[its]["l"]
        seen, theirs = step.observations, {size: found.observations for size, found in steps.items()}
    assert ends >= 25


def test_a_batch_takes_the_other_changes_too():
    settings = {"randomise": {"length": [0.5, 1.0]}, "sticky": 0.3, "actions": ["right", "left"], "time_limit": 6}
    venv = make_vec(Task.customised(POLES.game, settings), n_envs=4, seed=0)
    assert isinstance(venv, BatchedVecEnv)
    venv.reset()
    for step in range(12):
        _, _, dones, infos = venv.step(np.full(4, step % 2))
    assert dones.all()
    assert all(info["episode"]["l"] == 6 for info in infos)


def test_too_few_environments_for_the_groups_play_one_by_one():
    assert isinstance(make_vec(DOORS, n_envs=1), DummyVecEnv)
    assert isinstance(make_vec(POLES, n_envs=7), DummyVecEnv)
    assert isinstance(make_vec(POLES, n_envs=8), BatchedVecEnv)
    with pytest.raises(ConfigError, match=r"take 2 groups, more than there are environments \(1\)"):
        make_vec(DOORS, n_envs=1, backend="batched")


def test_a_batch_of_groups_has_no_states(doors):
    with pytest.raises(AttributeError, match="get_state"):
        doors.get_state()


def test_bounds_that_differ_are_joined():
    task = Task(game="headstart/CartPole-v1", change=Change(randomise={"x_threshold": [1.0, 3.0, 2.0]}))
    for n_envs in (1, 3):
        assert make_vec(task, n_envs=n_envs).observation_space.high[0] == 6.0


# The task


def test_a_task_shows_and_keeps_its_randomisation():
    assert str(DOORS) == 'headstart/DoorKey-5x5-v0(randomise={"size": [5, 8]})'
    for task in (DOORS, POLES):
        assert Task.model_validate_json(task.model_dump_json()) == task
        assert task.changed({"sticky": 0.1}).change.randomise == task.change.randomise


def test_it_is_in_a_runs_key_and_absent_where_there_is_none():
    plain = RunConfig(task=Task(game=DOORS.game), steps=1)
    assert plain.key() != plain.model_copy(update={"task": DOORS}).key()
    other = DOORS.changed({"randomise": {"size": [5, 6]}})
    assert plain.model_copy(update={"task": other}).key() != plain.model_copy(update={"task": DOORS}).key()
    assert "randomise" not in plain.task.model_dump_json()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"randomise": {"size": []}}, r"size: found \[\], expected a list of choices"),
        ({"randomise": {"size": 5}}, r"size: found 5, expected a list of choices"),
        ({"randomise": {"size": {"low": 5}}}, r"size: found {'low': 5}, expected a list"),
        ({"randomise": {"size": {"low": 5, "high": "8"}}}, r"expected a list of choices, or { low"),
        ({"randomise": {"size": {"low": 8, "high": 5}}}, r"size: low is 8 and high 5: expected low at most high"),
        ({"randomise": [5]}, r"found \[5\], expected a table of arguments"),
        ({"size": 5, "randomise": {"size": [5, 8]}}, "the argument 'size' is given and randomised"),
        ({"time_limit": 5, "randomise": {"max_episode_steps": [5, 8]}}, "'max_episode_steps' is given and randomised"),
        ({"randomise": {"sizes": [5]}}, "'sizes': did you mean 'size'"),
        ({"randomise": {"size": [5, 2]}}, "size"),
        ({"randomise": {"view_size": [5, 7]}}, r"view_size changes the observations: Box\(5, 5, 3\) with 5"),
    ],
)
@pytest.mark.parametrize("backend", ["auto", "dummy"])
def test_what_cannot_be_drawn_is_refused_in_one_line(settings, words, backend):
    with pytest.raises(HeadstartError, match=words) as caught:
        make_vec(Task.customised(DOORS.game, settings), n_envs=4, backend=backend)
    assert "\n" not in str(caught.value)


def test_actions_that_differ_are_refused():
    task = Task(game="MinAtar/Breakout-v1", change=Change(randomise={"minimal_actions": [True, False]}))
    pytest.importorskip("minatar")
    with pytest.raises(
        ConfigError, match=r"minimal_actions changes the actions: Discrete\(3\) with True, Discrete\(6\)"
    ):
        make_vec(task, n_envs=4)


@pytest.mark.parametrize("episodes", [3, 8])
def test_evaluation_plays_the_same_draws_every_time(episodes):
    """Three episodes are played one by one, eight in groups; with other poles the returns are others."""
    policy = make_teacher("ppo", interface(make_vec(POLES)), {"net_arch": [8], "normalise_observations": False})
    first, second = (evaluate(policy, POLES, episodes=episodes, seed=1) for _ in range(2))
    assert np.array_equal(first.returns, second.returns)
    plain = evaluate(policy, Task(game=POLES.game), episodes=episodes, seed=1)
    assert not np.array_equal(first.returns, plain.returns)
