"""Games, customised: one by one and batched, to the same trajectories."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from envs.batched import BatchedVecEnv
from envs.cartpole import CartPoleVectorEnv
from envs.customise import BatchedSticky, action_subset, source_of, subset_names
from envs.errors import ConfigError, GameError, UnknownName
from envs.task import Change, Task
from envs.vector import interface, make_vec

LISTED = "headstart/CartPole-v1"
FLOATING = {"gravity": 0.0, "force_mag": 0.0, "theta_threshold_radians": 99.0, "x_threshold": 99.0}

MODULE = '''
import gymnasium as gym
import numpy as np

def upright(observation, action, reward, next_observation, terminated):
    """Depends on all five."""
    lean = float(abs(next_observation[2]) - abs(observation[2]))
    return reward - lean + 0.25 * action - 2.0 * terminated

def nothing(observation, action, reward, next_observation, terminated):
    return None

def never(observation, action, reward, next_observation, terminated):
    return float("nan")

def still(env):
    """Hides both velocities."""
    space = gym.spaces.Box(env.observation_space.low[[0, 2]], env.observation_space.high[[0, 2]])
    return gym.wrappers.TransformObservation(env, lambda observation: observation[[0, 2]], space)

class Named(gym.ObservationWrapper):
    """Turns the entries around, and says so."""

    metadata = {"headstart": {"features": ["d", "c", "b", "a"]}}

    def observation(self, observation):
        return observation[::-1].copy()

def no_env(env):
    return 3
'''


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_changes.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)


def made(change: Change, backend: Any = "auto", n_envs: int = 3, seed: int = 6, game: str = LISTED) -> VecEnv:
    return make_vec(Task(game=game, change=change), n_envs=n_envs, seed=seed, backend=backend)


def rollout(venv: VecEnv, steps: int = 250, seed: int = 0) -> list[Any]:
    """All that a learner sees, but the clock."""
    n_actions = getattr(venv.action_space, "n", 1)
    trail: list[Any] = [venv.reset().tolist()]
    for actions in np.random.default_rng(seed).integers(0, n_actions, (steps, venv.num_envs)):
        observations, rewards, dones, infos = venv.step(actions)
        ends = [
            (
                info["TimeLimit.truncated"],
                info["terminal_observation"].tolist(),
                info["episode"]["r"],
                info["episode"]["l"],
            )
            for info in infos
            if "episode" in info
        ]
        trail.append((observations.tolist(), rewards.tolist(), dones.tolist(), ends))
    return trail


CHANGES = st.builds(
    Change,
    reward=st.sampled_from([None, "my_changes:upright"]),
    time_limit=st.sampled_from([None, 1, 15]),
    actions=st.sampled_from([None, ("right", "left"), (1,), ("left", 1)]),
    sticky=st.sampled_from([0.0, 0.3, 0.9]),
)


@settings(max_examples=25, deadline=None)
@given(change=CHANGES, seed=st.integers(0, 99))
def test_a_change_is_the_same_game_batched_and_one_by_one(change: Change, seed: int) -> None:
    batched, objects = made(change, "batched", seed=seed), made(change, "dummy", seed=seed)
    assert isinstance(batched, BatchedVecEnv)
    assert isinstance(objects, DummyVecEnv)
    assert interface(batched) == interface(objects)
    assert rollout(batched, 80, seed) == rollout(objects, 80, seed)


@pytest.mark.parametrize("backend", ["batched", "dummy"])
@pytest.mark.parametrize(
    "change", [Change(), Change(sticky=0.5), Change(reward="my_changes:upright"), Change(time_limit=9, actions=(1, 0))]
)
def test_the_same_seed_gives_the_same_trajectory(change: Change, backend: str) -> None:
    first = made(change, backend)
    trail = rollout(first)
    assert rollout(made(change, backend)) == trail
    assert rollout(made(change, backend, seed=7)) != trail
    first.seed(6)
    assert rollout(first) == trail, "nothing of the last episodes survives a seeded reset"


def test_a_time_limit_truncates_and_may_also_be_longer() -> None:
    venv = made(Change(time_limit=4), n_envs=1)
    assert [end[3:] for _, _, _, ends in rollout(venv, 12)[1:] for end in ends] == [(4,)] * 3
    for backend in ("batched", "dummy"):
        task = Task(game=LISTED, arguments=FLOATING, change=Change(time_limit=700))
        venv = make_vec(task, seed=0, backend=backend)  # type: ignore[arg-type]
        venv.reset()
        done = [bool(venv.step(np.array([0]))[2][0]) for _ in range(700)]
        assert done.index(True) == 699


def test_a_time_limit_reaches_games_that_are_made_by_a_function() -> None:
    venv = made(Change(time_limit=6), game="MinAtar/Freeway-v1", n_envs=1)
    venv.reset()
    infos = [venv.step(np.array([0]))[3][0] for _ in range(6)]
    assert infos[-1]["episode"]["l"] == 6
    assert infos[-1]["TimeLimit.truncated"]


def test_actions_are_chosen_in_order_by_name_or_number() -> None:
    swapped = made(Change(actions=("right", 0)))
    assert interface(swapped).actions == ("right", "left")
    plain = made(Change())
    swapped.reset()
    plain.reset()
    assert np.array_equal(swapped.step(np.array([0, 1, 0]))[0], plain.step(np.array([1, 0, 1]))[0])
    only = made(Change(actions=("forward", "left")), game="MiniGrid-Empty-5x5-v0")
    assert only.action_space == spaces.Discrete(2)
    assert interface(only).actions == ("forward", "left")
    assert subset_names((0,), None) is None


def test_a_reward_sees_the_whole_transition() -> None:
    for backend in ("batched", "dummy"):
        changed, plain = (made(Change(reward=name), backend, n_envs=2) for name in ("my_changes:upright", None))
        before = changed.reset()
        plain.reset()
        ended = 0
        for actions in np.random.default_rng(3).integers(0, 2, (120, 2)):
            after, rewards, dones, infos = changed.step(actions)
            plain.step(actions)
            for i in range(2):
                last = infos[i]["terminal_observation"] if dones[i] else after[i]
                expected = 1 - (abs(last[2]) - abs(before[i][2])) + 0.25 * actions[i] - 2.0 * dones[i]
                assert rewards[i] == pytest.approx(expected)
            ended += dones.sum()
            before = after
        assert ended > 2


def test_a_reward_sees_the_actions_that_were_carried_out() -> None:
    for backend in ("batched", "dummy"):
        venv = made(Change(reward="my_changes:upright", actions=("right",)), backend, n_envs=1)
        venv.reset()
        assert venv.step(np.array([0]))[1][0] > 1.2, "a quarter is earned for pushing to the right, action 1"


@pytest.mark.parametrize("probability", [0.25, 0.8])
def test_sticky_actions_repeat_as_often_as_they_should(probability: float) -> None:
    taken: list[np.ndarray] = []

    class Spy(CartPoleVectorEnv):
        def step(self, actions: Any) -> Any:
            taken.append(actions)
            return super().step(actions)

    envs = BatchedSticky(Spy(200, max_episode_steps=10**6, theta_threshold_radians=1e9, x_threshold=1e9), probability)
    envs.reset(seed=0)
    wanted = np.random.default_rng(0).integers(0, 2, (60, 200))
    for actions in wanted:
        envs.step(actions)
    carried_out = np.array(taken)
    assert np.array_equal(carried_out[0], wanted[0]), "the first action of an episode has none before it"
    differing = wanted[1:] != carried_out[:-1]
    repeated = (carried_out[1:] == carried_out[:-1])[differing]
    error = 4 * np.sqrt(probability * (1 - probability) / repeated.size)
    assert repeated.mean() == pytest.approx(probability, abs=error)


@pytest.mark.parametrize(
    "game", ["headstart/Empty-5x5-v0", "headstart/DoorKey-5x5-v0", LISTED, "headstart/CartPoleShuffled-v1"]
)
def test_sticky_actions_are_the_same_batched_and_one_by_one(game: str) -> None:
    change = Change(sticky=0.4, time_limit=25)
    batched, objects = made(change, "batched", game=game), made(change, "dummy", game=game)
    trail = rollout(batched, 80)
    assert trail == rollout(objects, 80)
    assert trail != rollout(made(change, "batched", seed=7, game=game), 80)
    assert trail != rollout(made(Change(time_limit=25), "batched", game=game), 80)


def test_a_sticky_grid_world_goes_on_from_its_state() -> None:
    change = Change(sticky=0.5)
    venv, other = (made(change, "batched", seed=seed, game="headstart/Empty-5x5-v0") for seed in (6, 60))
    assert isinstance(venv, BatchedVecEnv)
    assert isinstance(other, BatchedVecEnv)
    venv.reset(), other.reset()
    actions = np.random.default_rng(0).integers(0, 7, (60, 3))
    for row in actions[:20]:
        venv.step(row)
    other.set_state(venv.get_state())
    for row in actions[20:]:
        assert np.array_equal(venv.step(row)[0], other.step(row)[0])
    assert all(np.array_equal(array, other.get_state()[name]) for name, array in venv.get_state().items())
    assert "generators" not in made(Change(), "batched", game="headstart/Empty-5x5-v0").get_state()  # type: ignore[attr-defined]


@pytest.mark.parametrize("game", ["headstart/Empty-5x5-v0", LISTED])
def test_each_environment_draws_for_itself(game: str) -> None:
    """Environment 1 of three is the single one of its seed, whatever its neighbours do."""
    three, one = made(Change(sticky=0.5), n_envs=3, game=game), made(Change(sticky=0.5), n_envs=1, seed=7, game=game)
    three.reset(), one.reset()
    for actions in np.random.default_rng(0).integers(0, 2, (60, 3)):
        assert np.array_equal(three.step(actions)[0][1], one.step(actions[1:2])[0][0])


def test_an_episode_starts_without_a_last_action() -> None:
    for backend in ("batched", "dummy"):
        venv = made(Change(sticky=0.999, time_limit=2, actions=(0, 1)), backend, n_envs=1)
        venv.reset()
        for start in (0, 1, 0, 1):
            velocity = venv.step(np.array([start]))[0][0, 1]
            assert (velocity > 0) == (start == 1)
            venv.step(np.array([1 - start]))


def test_an_observation_wrapper_runs_one_object_each() -> None:
    venv = made(Change(observation="my_changes:still"))
    assert isinstance(venv, DummyVecEnv)
    assert venv.reset().shape == (3, 2)
    assert interface(venv).features is None, "the names of four entries do not fit two"
    assert interface(venv).actions == ("left", "right")
    with pytest.raises(ConfigError, match="cannot be batched: the change 'observation' works on single environments"):
        made(Change(observation="my_changes:still"), "batched")


def test_an_observation_wrapper_may_name_what_it_shows() -> None:
    venv = made(Change(observation="my_changes:Named"))
    assert interface(venv).features == ("d", "c", "b", "a")
    assert np.array_equal(venv.reset(), made(Change()).reset()[:, ::-1])


def test_continuous_games_can_be_sticky_too() -> None:
    venv = made(Change(sticky=0.5), game="Pendulum-v1")
    venv.reset()
    assert np.isfinite(venv.step(np.zeros((3, 1), np.float32))[0]).all()


@pytest.mark.parametrize(
    ("game", "change", "kind", "words"),
    [
        (
            LISTED,
            {"actions": ("lift",)},
            UnknownName,
            "action of game 'headstart/CartPole-v1': 'lift': did you mean 'left'",
        ),
        (LISTED, {"actions": (2,)}, ConfigError, "game 'headstart/CartPole-v1' has no action 2: expected 0 to 1"),
        (LISTED, {"actions": (-1,)}, ConfigError, "has no action -1: expected 0 to 1"),
        (LISTED, {"actions": ()}, ConfigError, r"change 'actions' is \[\]: expected at least one action"),
        (
            LISTED,
            {"actions": ("left", 0)},
            ConfigError,
            r"is \['left', 0\]: expected at least one action, each only once",
        ),
        ("Pendulum-v1", {"actions": (0,)}, ConfigError, "names discrete actions, but game 'Pendulum-v1' has Box"),
        (
            "FrozenLake-v1",
            {"actions": ("left",)},
            ConfigError,
            "has no names for its 4 actions: give numbers, not 'left'",
        ),
        (LISTED, {"reward": "my_changes:up"}, ConfigError, "module 'my_changes' has no attribute 'up'"),
        (LISTED, {"reward": "upright"}, ConfigError, "reward 'upright' should be written 'module:attribute'"),
        (LISTED, {"observation": "my_changes:no_env"}, ConfigError, "returned int: expected a gymnasium.Env"),
    ],
)
def test_wrong_changes_are_said_in_one_line(game: str, change: dict[str, Any], kind: Any, words: str) -> None:
    for backend in ("auto", "dummy"):
        with pytest.raises(kind, match=words) as caught:
            made(Change(**change), backend, game=game)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("backend", ["batched", "dummy"])
def test_a_reward_that_is_no_number_is_said(backend: str) -> None:
    venv = made(Change(reward="my_changes:nothing"), backend)
    venv.reset()
    with pytest.raises(GameError, match="the reward function returned None: expected a number"):
        venv.step(np.array([0, 0, 0]))
    venv = made(Change(reward="my_changes:never"), backend)
    venv.reset()
    with pytest.raises(GameError, match=r"returned the reward nan at step 1 of an episode \(action 1\)"):
        venv.step(np.array([1, 0, 0]))


def test_a_subset_gives_the_games_numbers() -> None:
    names = ["noop", "left", "right"]
    assert action_subset(("right", 0), spaces.Discrete(3), "x", names).tolist() == [2, 0]


def test_the_source_is_that_of_the_whole_module() -> None:
    assert source_of("my_changes:upright") == hashlib.sha256(MODULE.encode()).hexdigest()
    assert source_of("my_changes:upright") == source_of("my_changes:still")
    with pytest.raises(ConfigError, match="no attribute 'sideways'"):
        source_of("my_changes:sideways")
    with pytest.raises(ConfigError, match="'math:sin': the module 'math' has no Python source"):
        source_of("math:sin")
