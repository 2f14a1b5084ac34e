"""Our CartPole against Gymnasium's, and what ours can do besides."""

import math
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control import cartpole as classic
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.cartpole import CartPoleEnv, CartPoleVectorEnv, Physics
from envs.errors import ConfigError, UnknownName

PHYSICS = st.fixed_dictionaries(
    {},
    optional={
        "gravity": st.floats(0, 30),
        "masscart": st.floats(0.1, 5),
        "masspole": st.floats(0.01, 2),
        "length": st.floats(0.1, 3),
        "force_mag": st.floats(0, 30),
        "tau": st.floats(0.001, 0.05),
        "kinematics_integrator": st.sampled_from(["euler", "semi-implicit"]),
        "theta_threshold_radians": st.floats(0.1, 0.5),
        "x_threshold": st.floats(0.5, 4),
        "sutton_barto_reward": st.booleans(),
    },
)


def theirs(physics: dict[str, Any]) -> classic.CartPoleEnv:
    """Gymnasium's CartPole with other physics: its derived quantities have to be set by hand."""
    physics = dict(physics)
    env = classic.CartPoleEnv(sutton_barto_reward=physics.pop("sutton_barto_reward", False))
    for name, value in physics.items():
        setattr(env, name, value)
    env.total_mass = env.masspole + env.masscart
    env.polemass_length = env.masspole * env.length
    return env


def actions_of(seed: int, steps: int, n_envs: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, (steps, n_envs))


def same(left: Any, right: Any) -> bool:
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, np.ndarray) and left.dtype == object:
        return all(same(one, other) for one, other in zip(left, right, strict=True))
    return bool(np.array_equal(left, right)) and np.asarray(left).dtype == np.asarray(right).dtype


@pytest.mark.parametrize("n_envs", [1, 2, 3, 8, 17])
def test_the_batch_equals_gymnasiums_same_step_batch_bit_for_bit(n_envs: int) -> None:
    ours = CartPoleVectorEnv(n_envs, max_episode_steps=40)
    peer = SyncVectorEnv(
        [lambda: gym.make("CartPole-v1", max_episode_steps=40)] * n_envs, autoreset_mode=AutoresetMode.SAME_STEP
    )
    for one, other in zip(ours.reset(seed=5), peer.reset(seed=5), strict=True):
        assert same(one, other)
    ends = {"terminated": 0, "truncated": 0}
    for actions in actions_of(0, 400, n_envs):
        left, right = ours.step(actions), peer.step(actions)
        for one, other in zip(left, right, strict=True):
            assert same(one, other)
        ends["terminated"] += left[2].sum()
        ends["truncated"] += left[3].sum()
    assert ends["terminated"] > 0
    assert ends["truncated"] > 0 or n_envs < 3
    assert ours.observation_space == peer.observation_space
    assert ours.action_space == peer.action_space


@settings(max_examples=40, deadline=None)
@given(physics=PHYSICS, seed=st.integers(0, 1000))
def test_the_state_follows_gymnasiums_with_any_physics(physics: dict[str, Any], seed: int) -> None:
    batch, one, peer = CartPoleVectorEnv(3, **physics), CartPoleEnv(**physics), theirs(physics)
    batch.reset(seed=seed)
    assert same(one.reset(seed=seed + 1)[0], peer.reset(seed=seed + 1)[0])
    for actions in actions_of(seed, 60, 3):
        _, rewards, terminated, _, _ = batch.step(actions)
        mine, his = one.step(actions[1]), peer.step(actions[1])
        assert same(one.state, peer.state)
        assert same(mine[0], his[0])
        assert mine[1:] == his[1:]
        assert (rewards[1], terminated[1]) == mine[1:3]
        if mine[2]:
            break
        assert same(batch.get_state()["state"][1], peer.state)


def test_the_first_push_of_an_upright_pole_is_known() -> None:
    physics = Physics(gravity=0.0)
    state = physics.advance(np.zeros(4), 1)
    mass = 1.1
    angular = -(10 / mass) / (0.5 * (4 / 3 - 0.1 / mass))
    assert state == pytest.approx([0, 0.02 * (10 / mass - 0.05 * angular / mass), 0, 0.02 * angular])


@pytest.mark.parametrize("integrator", ["euler", "semi-implicit"])
def test_an_unpushed_cart_follows_its_integrator(integrator: str) -> None:
    physics = Physics(gravity=0.0, force_mag=0.0, kinematics_integrator=integrator)
    x, x_dot, _, theta_dot = physics.advance(np.array([0.0, 1.0, 0.0, 0.0]), 0)
    assert (x, x_dot, theta_dot) == (0.02, 1.0, 0.0)
    fast = Physics(kinematics_integrator=integrator).advance(np.zeros(4), 1)
    assert (fast[0] == 0) == (integrator == "euler")


def test_attributes_may_be_set_at_any_time() -> None:
    late, early = CartPoleVectorEnv(2), CartPoleVectorEnv(2, masspole=1.0, length=1.5, masscart=2.0)
    late.masspole, late.length, late.masscart = 1.0, 1.5, 2.0
    assert (late.total_mass, late.polemass_length) == (3.0, 1.5)
    late.reset(seed=0)
    early.reset(seed=0)
    for actions in actions_of(0, 50, 2):
        for one, other in zip(late.step(actions), early.step(actions), strict=True):
            assert same(one, other)


def test_each_environment_has_a_generator_of_its_own() -> None:
    many, few = CartPoleVectorEnv(5), CartPoleVectorEnv(2)
    many.reset(seed=10)
    few.reset(seed=[12, 14])
    for actions in actions_of(3, 300, 5):
        assert same(many.step(actions)[0][[2, 4]], few.step(actions[[2, 4]])[0])


def test_the_same_seed_gives_the_same_trajectory_and_none_another() -> None:
    first, second = CartPoleVectorEnv(3), CartPoleVectorEnv(3)
    assert not same(first.reset()[0], second.reset()[0])
    assert same(first.reset(seed=1)[0], second.reset(seed=1)[0])
    assert not same(first.reset()[0], first.reset()[0])
    before = first.np_random[1].bit_generator.state
    first.reset(seed=[4, None, 6])
    after = first.np_random[1].bit_generator.state
    assert before != after, "an environment without a seed goes on with its generator"
    assert first.np_random[0].bit_generator.state == _after_reset(4)


def _after_reset(seed: int) -> Any:
    env = CartPoleVectorEnv(1)
    env.reset(seed=seed)
    return env.np_random[0].bit_generator.state


def test_a_partial_reset_leaves_the_others_alone() -> None:
    env = CartPoleVectorEnv(3)
    env.reset(seed=0)
    for actions in actions_of(0, 5, 3):
        env.step(actions)
    before = env.get_state()
    observation, _ = env.reset(options={"reset_mask": np.array([False, True, False])})
    after = env.get_state()
    assert same(before["state"][[0, 2]], after["state"][[0, 2]])
    assert after["steps"].tolist() == [5, 0, 5]
    assert np.abs(observation[1]).max() <= 0.05


def test_options_bound_the_first_state_once() -> None:
    env = CartPoleVectorEnv(8, max_episode_steps=1)
    assert (env.reset(seed=0, options={"low": 0.1, "high": 0.11})[0] >= 0.1).all()
    assert (env.step(np.zeros(8, dtype=int))[0] < 0.1).all(), "the reset at an episode's end is an ordinary one"
    single = CartPoleEnv()
    assert (single.reset(seed=0, options={"low": 0.1, "high": 0.11})[0] >= 0.1).all()


@settings(max_examples=20, deadline=None)
@given(steps=st.integers(0, 60), seed=st.integers(0, 100))
def test_a_state_put_back_gives_the_same_future(steps: int, seed: int) -> None:
    env = CartPoleVectorEnv(3, max_episode_steps=25)
    env.reset(seed=seed)
    for actions in actions_of(seed, steps, 3):
        env.step(actions)
    state, seen = env.get_state(), env.observe()
    assert all(len(part) == 3 for part in state.values())
    future = [env.step(actions) for actions in actions_of(seed + 1, 60, 3)]
    other = CartPoleVectorEnv(3, max_episode_steps=25)
    other.set_state(state)
    assert same(other.observe(), seen)
    for actions, expected in zip(actions_of(seed + 1, 60, 3), future, strict=True):
        for one, two in zip(other.step(actions), expected, strict=True):
            assert same(one, two)


def test_a_state_taken_out_is_a_copy() -> None:
    env = CartPoleVectorEnv(2)
    env.reset(seed=0)
    state = env.get_state()
    kept = {key: value.copy() for key, value in state.items()}
    env.step(np.array([0, 1]))
    assert same(state, kept)
    env.set_state(state)
    env.step(np.array([0, 1]))
    assert same(state, kept)


def test_observations_are_not_shared_between_steps() -> None:
    env = CartPoleVectorEnv(2)
    first, _ = env.reset(seed=0)
    kept = first.copy()
    env.step(np.array([0, 1]))
    assert same(first, kept)
    assert first.flags.c_contiguous


def test_terminated_and_truncated_stay_apart() -> None:
    env = CartPoleVectorEnv(2, max_episode_steps=3, theta_threshold_radians=0.06)
    env.reset(seed=0)
    env.set_state({**env.get_state(), "state": np.array([[0, 0, 0, 0.0], [0, 0, 0.055, 1.0]])})
    _, _, terminated, truncated, infos = env.step(np.array([0, 0]))
    assert (terminated.tolist(), truncated.tolist()) == ([False, True], [False, False])
    assert infos["final_obs"][0] is None
    assert infos["final_obs"][1][2] > 0.06
    env.set_state(
        {**env.get_state(), "state": np.array([[0, 0, 0, 0.0], [0, 0, 0.055, 1.0]]), "steps": np.array([2, 2])}
    )
    _, _, terminated, truncated, _ = env.step(np.array([0, 0]))
    assert (terminated.tolist(), truncated.tolist()) == ([False, True], [True, True])


@pytest.mark.filterwarnings("ignore:.*(infinity|spec):UserWarning")  # as Gymnasium's own CartPole
def test_the_single_environment_passes_gymnasiums_checker() -> None:
    check_env(CartPoleEnv(render_mode="rgb_array"))


def test_pictures_are_gymnasiums() -> None:
    ours, peer = CartPoleEnv(render_mode="rgb_array", length=1.0), classic.CartPoleEnv(render_mode="rgb_array")
    peer.length = 1.0
    batch = CartPoleVectorEnv(2, render_mode="rgb_array", length=1.0)
    ours.reset(seed=4)
    peer.reset(seed=4)
    batch.reset(seed=3)
    frames = batch.render()
    assert frames is not None
    assert same(ours.render(), peer.render())
    assert same(frames[1], peer.render())
    assert not same(frames[0], frames[1])
    assert CartPoleVectorEnv(2).render() is None
    assert CartPoleEnv().render() is None
    for env in (ours, batch, peer):
        env.close()
    batch.close()


def test_a_window_opens_and_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = CartPoleEnv(render_mode="human")
    env.reset(seed=0)
    env.step(1)
    assert env.render() is None
    env.close()
    env.close()


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"gravty": 3}, UnknownName, "unknown argument of CartPole 'gravty': did you mean 'gravity'?"),
        ({"masspole": 0}, ConfigError, "CartPole's masspole is 0: expected a number above 0"),
        ({"length": math.nan}, ConfigError, "CartPole's length is nan: expected a number above 0"),
        ({"kinematics_integrator": "rk4"}, ConfigError, "'rk4': expected 'euler' or 'semi-implicit'"),
    ],
)
def test_wrong_physics_is_said_in_words(arguments: dict[str, Any], kind: type[Exception], words: str) -> None:
    for make in (CartPoleEnv, CartPoleVectorEnv):
        with pytest.raises(kind, match=words.replace("?", r"\?")):
            make(**arguments)


@pytest.mark.parametrize("actions", [[0, 2], [0, -1], [0], [[0], [1]]])
def test_wrong_actions_are_refused(actions: Any) -> None:
    env = CartPoleVectorEnv(2)
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"expected 2 of 0 \(left\) or 1 \(right\)"):
        env.step(np.array(actions))
    with pytest.raises(ValueError, match=r"action 2: expected 0 \(left\) or 1 \(right\)"):
        CartPoleEnv().step(2)


def test_wrong_seeds_masks_and_states_are_refused() -> None:
    env = CartPoleVectorEnv(2)
    with pytest.raises(ConfigError, match="3 seeds for 2 environments: expected one each"):
        env.reset(seed=[1, 2, 3])
    with pytest.raises(ConfigError, match=r"reset_mask is bool \(3,\): expected bool \(2,\)"):
        env.reset(options={"reset_mask": np.ones(3, dtype=bool)})
    with pytest.raises(ValueError, match=r"a state of shape \(4, 2\): expected \(2, 4\)"):
        env.set_state({**env.get_state(), "state": np.zeros((4, 2))})
