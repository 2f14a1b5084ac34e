"""make_vec: the batched way against Stable-Baselines3's own, object by object; and what games may do wrong."""

import logging
import time
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack

from envs import vector
from envs.batched import BatchedVecEnv
from envs.cartpole import CartPoleVectorEnv
from envs.errors import ConfigError, GameError, UnknownName
from envs.task import Change, Task
from envs.vector import interface, make_env, make_vec, seed_each

SHORT = Task(game="headstart/CartPole-v1", change=Change(time_limit=23))
LISTED = "headstart/CartPole-v1"


class Scripted(gym.Env[Any, Any]):
    """Counts steps; at the third step of each episode `fault` decides what goes wrong."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(
        self,
        fault: str = "",
        observation_space: Any = None,
        action_space: Any = None,
        render_mode: str | None = None,
    ) -> None:
        self.fault, self.render_mode, self.count, self.episodes = fault, render_mode, 0, 0
        self.observation_space = observation_space or spaces.Box(0, 99, (2,), np.float32)
        self.action_space = action_space or spaces.Discrete(3)
        self.actions: list[Any] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.count = 0
        if self.fault == "reset":
            raise RuntimeError("no\nboard")
        self.episodes += 1
        return self._observation(), {"number": self.episodes}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        self.count += 1
        self.actions.append(action)
        odd = self.count == 3
        if odd and self.fault == "raise":
            raise ValueError("the ghost\nwas not there")
        if odd and self.fault == "shape":
            return np.zeros(1, np.float32), 0.0, False, False, {}
        reward: Any = {"nan reward": np.nan, "inf reward": np.inf, "no reward": None}.get(self.fault, 1.0)
        observation = self._observation()
        if odd and self.fault == "nan":
            observation[1] = np.nan
        return observation, reward if odd else 1.0, odd and not self.fault, False, {"count": self.count}

    def render(self) -> Any:
        return np.full((4, 5, 3), self.count, np.uint8)

    def _observation(self) -> Any:
        space = self.observation_space
        if isinstance(space, spaces.Box):
            return np.full(space.shape, self.count % 2 if space.dtype == bool else self.count, space.dtype)
        return space.sample()


@pytest.fixture(autouse=True)
def scripted() -> Iterator[None]:
    gym.register("Scripted-v0", Scripted)
    yield
    del gym.registry["Scripted-v0"]


def task(**arguments: Any) -> Task:
    return Task(game="Scripted-v0", arguments=arguments)


def without_time(info: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in info.items() if key not in ("episode", "terminal_observation")}
    if "episode" in info:
        kept["episode"] = {key: value for key, value in info["episode"].items() if key != "t"}
        kept["last"] = info["terminal_observation"].tolist()
    return kept


def assert_same_step(left: Any, right: Any) -> None:
    for one, other in zip(left[:3], right[:3], strict=True):
        assert np.array_equal(one, other)
        assert one.dtype == other.dtype
    assert [without_time(info) for info in left[3]] == [without_time(info) for info in right[3]]


@pytest.mark.parametrize("n_envs", [1, 5])
def test_batched_equals_one_object_each(n_envs: int) -> None:
    batched, objects = make_vec(SHORT, n_envs=n_envs, seed=11), make_vec(SHORT, n_envs=n_envs, seed=11, backend="dummy")
    assert isinstance(batched, BatchedVecEnv)
    assert isinstance(objects, DummyVecEnv)
    assert np.array_equal(batched.reset(), objects.reset())
    generator = np.random.default_rng(0)
    seen = {True: 0, False: 0}
    for step in range(3000):
        if step in (700, 1500):
            for venv in (batched, objects):
                venv.seed(step)
            assert np.array_equal(batched.reset(), objects.reset())
        actions = generator.integers(0, 2, n_envs)
        left, right = batched.step(actions), objects.step(actions)
        assert_same_step(left, right)
        for info in left[3]:
            if "episode" in info:
                seen[info["TimeLimit.truncated"]] += 1
    assert min(seen.values()) > 20, "both kinds of end are compared"
    assert batched.reset_infos == objects.reset_infos


def test_batched_equals_gymnasiums_own_cartpole() -> None:
    batched, objects = make_vec(LISTED, n_envs=3, seed=2), make_vec("CartPole-v1", n_envs=3, seed=2)
    assert np.array_equal(batched.reset(), objects.reset())
    for actions in np.random.default_rng(1).integers(0, 2, (300, 3)):
        assert_same_step(batched.step(actions), objects.step(actions))


def test_infos_of_a_batch_are_dealt_out_as_sb3_does() -> None:
    fns = [lambda: gym.make("Scripted-v0", disable_env_checker=True)] * 2
    batched = BatchedVecEnv(SyncVectorEnv(fns, autoreset_mode=AutoresetMode.SAME_STEP), "Scripted-v0")
    objects = DummyVecEnv([lambda: Monitor(fns[0]())] * 2)
    assert np.array_equal(batched.reset(), objects.reset())
    assert batched.reset_infos == objects.reset_infos
    for _ in range(7):
        left, right = batched.step(np.array([0, 1])), objects.step(np.array([0, 1]))
        assert_same_step(left, right)
    assert batched.reset_infos == objects.reset_infos == [{"number": 3}] * 2


def test_a_batch_that_resets_a_step_late_is_refused() -> None:
    late = SyncVectorEnv([lambda: gym.make("CartPole-v1")])
    with pytest.raises(ConfigError, match="expected SAME_STEP: run it with backend 'dummy'"):
        BatchedVecEnv(late, "CartPole-v1")


def test_a_next_step_batch_runs_as_objects_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    vector._told.clear()
    with caplog.at_level(logging.WARNING, "envs.vector"):
        for _ in range(2):
            assert isinstance(make_vec("CartPole-v1"), DummyVecEnv)
    (record,) = caplog.records
    assert record.getMessage() == (
        "game 'CartPole-v1' runs one object per environment: its batched implementation does not reset an environment "
        "in the step that ends the episode (its mode is NEXT_STEP)"
    )
    with pytest.raises(ConfigError, match="cannot be batched: its mode of autoreset is NEXT_STEP"):
        make_vec("CartPole-v1", backend="batched")
    with pytest.raises(ConfigError, match="'Acrobot-v1' cannot be batched: it has no batched implementation"):
        make_vec("Acrobot-v1", backend="batched")


def test_a_seed_decides_everything_and_environment_i_has_seed_plus_i() -> None:
    for backend in ("batched", "dummy"):
        first, second = (make_vec(LISTED, n_envs=3, seed=4, backend=backend) for _ in range(2))  # type: ignore[arg-type]
        assert np.array_equal(first.reset(), second.reset())
        assert first.action_space.sample() == second.action_space.sample()
        assert not np.array_equal(first.reset(), make_vec(LISTED, n_envs=3, backend=backend).reset())  # type: ignore[arg-type]
        seed_each(second, [40, 5, 6])
        seeded = second.reset()
        first.seed(4)
        assert np.array_equal(seeded[1:], first.reset()[1:])
        assert not np.array_equal(second.reset(), seeded), "a seed serves one reset"


def test_seed_each_reaches_through_wrappers_and_wants_a_seed_each() -> None:
    venv = make_vec(LISTED, n_envs=2)
    stacked = VecFrameStack(venv, 2)
    seed_each(stacked, [9, 7])
    assert np.array_equal(stacked.reset()[0, 4:], make_vec(LISTED, seed=9).reset()[0])
    with pytest.raises(ConfigError, match="3 seeds for 2 environments: expected one each"):
        seed_each(venv, [1, 2, 3])


def test_the_interface_names_what_fits() -> None:
    said = interface(make_vec(LISTED))
    assert (said.features, said.actions) == (("position", "velocity", "angle", "angular_velocity"), ("left", "right"))
    assert interface(VecFrameStack(make_vec(LISTED), 2)).features is None, "eight entries have no four names"
    assert interface(make_vec("Scripted-v0")).features is None
    assert interface(make_vec("Pendulum-v1")).actions == ("torque",)
    spread = interface(make_vec(Task(game="mpe2/simple_spread_v3", arguments={"N": 2})))
    assert spread.features is not None
    assert len(spread.features) == 12


def test_a_foreign_vec_env_has_an_interface_too() -> None:
    said = interface(DummyVecEnv([lambda: gym.make("CartPole-v1")]))
    assert said.features is None
    assert interface(DummyVecEnv([lambda: gym.make(LISTED)])).actions == ("left", "right")


def test_attributes_of_a_batch() -> None:
    venv = make_vec(LISTED, n_envs=3)
    assert venv.get_attr("gravity") == [9.8] * 3
    assert venv.get_attr("gravity", [0, 2]) == [9.8] * 2
    venv.set_attr("gravity", 3.7)
    assert venv.get_attr("gravity", 1) == [3.7]
    assert len({id(generator) for generator in venv.get_attr("np_random")}) == 3
    assert np.array_equal(venv.reset(), venv.env_method("observe"))
    assert venv.env_is_wrapped(Monitor) == [True] * 3
    assert venv.env_is_wrapped(gym.wrappers.TimeLimit, [0]) == [False]
    assert not venv.has_attr("wings")
    with pytest.raises(AttributeError, match="game 'headstart/CartPole-v1' has no attribute 'wings'"):
        venv.get_attr("wings")
    with pytest.raises(ConfigError, match="attribute 'gravity' belongs to all its environments, not to some"):
        venv.set_attr("gravity", 1.0, [0])
    with pytest.raises(ConfigError, match="method 'observe' belongs to all"):
        venv.env_method("observe", indices=[1])


def test_options_go_to_the_whole_batch() -> None:
    venv = make_vec(LISTED, n_envs=2)
    venv.set_options({"low": 0.1, "high": 0.11})
    assert (venv.reset() >= 0.1).all()
    assert (venv.reset() < 0.1).all()
    venv.set_options([{"low": 0.1}, {}])
    with pytest.raises(ConfigError, match="is batched: its environments are reset with the same options"):
        venv.reset()


@pytest.mark.parametrize("change", [Change(), Change(sticky=0.4, actions=("right", "left"), time_limit=30)])
def test_a_batch_goes_on_from_a_stored_state(change: Change) -> None:
    asked = Task(game=LISTED, change=change)
    first, second = make_vec(asked, n_envs=3, seed=0), make_vec(asked, n_envs=3, seed=50)
    first.reset()
    second.reset()
    assert isinstance(first, BatchedVecEnv)
    assert isinstance(second, BatchedVecEnv)
    actions = np.random.default_rng(0).integers(0, 2, (120, 3))
    for step in range(17):
        last = first.step(actions[step])[0]
    state = first.get_state()
    assert all(isinstance(part, np.ndarray) and len(part) == 3 for part in state.values())
    expected = [first.step(action) for action in actions[17:]]
    assert np.array_equal(second.set_state(state), last)
    for action, step in zip(actions[17:], expected, strict=True):
        assert_same_step(second.step(action), step)


@pytest.mark.parametrize("game", [LISTED, "CartPole-v1"])
def test_pictures(game: str) -> None:
    venv = make_vec(game, n_envs=2, seed=0, render=True)
    venv.reset()
    images = venv.get_images()
    assert [image.shape for image in images if image is not None] == [(400, 600, 3)] * 2
    tiled = venv.render()
    assert tiled is not None
    assert tiled.size == 2 * 400 * 600 * 3
    venv.close()
    assert make_vec(LISTED).get_images() == [None]


def test_closing_twice_does_nothing() -> None:
    for backend in ("batched", "dummy"):
        venv = make_vec(LISTED, backend=backend, render=True)  # type: ignore[arg-type]
        venv.reset()
        venv.render()
        venv.close()
        venv.close()


def test_pictures_of_a_game_of_objects() -> None:
    venv = make_vec("Scripted-v0", n_envs=2, render=True)
    venv.reset()
    venv.step(np.array([0, 0]))
    assert [int(image.max()) for image in venv.get_images() if image is not None] == [1, 1]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("raise", r"game 'Scripted-v0' raised ValueError\('the ghost\\nwas not there'\) at step 3 of an episode "),
        ("nan", "game 'Scripted-v0' returned NaN or infinity in its observation at step 3 of an episode "),
        ("nan reward", "game 'Scripted-v0' returned the reward nan at step 3 of an episode "),
        ("inf reward", "game 'Scripted-v0' returned the reward inf at step 3 of an episode "),
        ("no reward", r"game 'Scripted-v0' raised TypeError\(.*\) at step 3 of an episode "),
        ("shape", r"an observation of shape \(1,\) at step 3 of an episode \(action 2\); its space says \(2,\)"),
    ],
)
def test_a_game_that_breaks_its_contract_is_named(fault: str, words: str) -> None:
    venv = make_vec(task(fault=fault), n_envs=2)
    venv.reset()
    venv.step(np.array([1, 1]))
    venv.reset()
    for _ in range(2):
        venv.step(np.array([1, 1]))
    with pytest.raises(GameError, match=words) as caught:
        venv.step(np.array([2, 0]))
    assert "(action 2)" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_reset_that_raises_is_named_with_its_seed() -> None:
    venv = make_vec(task(fault="reset"), seed=8)
    with pytest.raises(
        GameError, match=r"'Scripted-v0' raised RuntimeError\('no\\nboard'\) at the reset of an episode \(seed 8\)"
    ):
        venv.reset()


def test_a_batch_that_breaks_its_contract_is_named() -> None:
    venv = make_vec(LISTED, n_envs=2)
    venv.reset()
    venv.step(np.array([1, 0]))
    with pytest.raises(
        GameError, match=r"'headstart/CartPole-v1' raised ValueError\(.*\) in a step of its batch \(actions \[1, 7\]\)"
    ):
        venv.step(np.array([1, 7]))
    venv.set_attr("gravity", np.nan)
    with pytest.raises(GameError, match=r"NaN or infinity in its observation at step 2 of an episode \(action 1\)"):
        venv.step(np.array([1, 0]))
    venv.set_options({"low": 1.0, "high": -1.0})
    with pytest.raises(GameError, match=r"raised ValueError.* at the reset of its batch"):
        venv.reset()


class NanReward(CartPoleVectorEnv):
    """A batch whose second environment earns NaN."""

    def step(self, actions: Any) -> Any:
        observations, rewards, *rest = super().step(actions)
        rewards[1] = np.nan
        return observations, rewards, *rest


def test_a_batchs_reward_that_is_no_number_is_named() -> None:
    venv = BatchedVecEnv(NanReward(2), "nan")
    venv.reset()
    with pytest.raises(GameError, match=r"game 'nan' returned the reward nan at step 1 of an episode \(action 0\)"):
        venv.step(np.array([1, 0]))


def test_booleans_are_stored_as_bytes() -> None:
    venv = make_vec(task(observation_space=spaces.Box(0, 1, (3, 3, 2), bool)))
    assert venv.observation_space == spaces.Box(0, 1, (3, 3, 2), np.uint8)
    assert venv.reset().dtype == np.uint8
    assert venv.step(np.array([0]))[0].max() == 1


def test_actions_are_counted_from_nought() -> None:
    venv = make_vec(task(action_space=spaces.Discrete(3, start=5)))
    assert venv.action_space == spaces.Discrete(3)
    venv.reset()
    venv.step(np.array([2]))
    assert venv.get_attr("actions") == [[7]]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"observation_space": spaces.Tuple([spaces.Discrete(2)])},
            "observations of the kind Tuple, which cannot be learnt from; expected Box",
        ),
        ({"observation_space": spaces.Dict(mission=spaces.Text(9))}, "observations of the kind Text"),
        (
            {"action_space": spaces.Dict(a=spaces.Discrete(2))},
            "actions of the kind Dict, which cannot be learnt; expected Box",
        ),
        ({"wings": 2}, "unexpected keyword argument 'wings'"),
    ],
)
def test_what_cannot_be_learnt_or_made_is_said(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        make_vec(task(**arguments))
    assert "\n" not in str(caught.value)
    assert "Scripted-v0" in str(caught.value)


def test_other_mistakes_are_said() -> None:
    with pytest.raises(UnknownName, match="unknown argument of CartPole 'gravty': did you mean 'gravity'"):
        make_vec(Task(game=LISTED, arguments={"gravty": 1}))
    with pytest.raises(ConfigError, match="0 environments of 'CartPole-v1': expected 1 or more"):
        make_vec("CartPole-v1", n_envs=0)
    with pytest.raises(ConfigError, match="has several agents: the change 'sticky' is for single-agent games"):
        make_vec(Task(game="mpe2/simple_spread_v3", change=Change(sticky=0.5)))


def test_one_environment_alone() -> None:
    env = make_env(Task(game="headstart/CartPoleLong-v1", change=Change(actions=("right",))))
    assert env.get_wrapper_attr("length") == 2.0
    assert env.action_space == spaces.Discrete(1)
    env.reset(seed=0)
    assert env.step(0)[0][1] > 0


def test_a_batch_costs_little_per_environment() -> None:
    venv = make_vec(LISTED, n_envs=512, seed=0)
    venv.reset()
    started = time.perf_counter()
    for actions in np.random.default_rng(0).integers(0, 2, (40, 512)):
        venv.step(actions)
    assert 40 * 512 / (time.perf_counter() - started) > 20_000, "an object each manages about 20 000 a second"


@pytest.mark.slow
def test_processes_equal_objects() -> None:
    processes, objects = make_vec(SHORT, n_envs=2, seed=3, backend="subproc"), make_vec(SHORT, n_envs=2, seed=3)
    assert isinstance(processes, SubprocVecEnv)
    assert np.array_equal(processes.reset(), objects.reset())
    assert interface(processes) == interface(objects)
    for actions in np.random.default_rng(0).integers(0, 2, (60, 2)):
        assert_same_step(processes.step(actions), objects.step(actions))
    with pytest.raises(GameError, match="a process of game 'headstart/CartPole-v1' ended; its error is above"):
        processes.step(np.array([0, 9]))
    for _ in range(2):
        processes.close()
