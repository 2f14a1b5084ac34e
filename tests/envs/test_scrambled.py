"""CartPole told otherwise: the same game behind shuffled features, noise and renamed actions."""

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from envs.cartpole import CartPoleVectorEnv
from envs.errors import ConfigError, UnknownName
from envs.scrambled import ScrambledEnv, ScrambledVectorEnv, noise
from envs.vector import interface, make_vec

ORDER = ("noise", "angle", "position", "noise", "velocity", "angular_velocity")
TOLD = {"order": ORDER, "actions": ("right", "left")}


def test_a_batch_is_cartpole_behind_the_names():
    told, plain = ScrambledVectorEnv(3, **TOLD, max_episode_steps=30), CartPoleVectorEnv(3, max_episode_steps=30)
    told.reset(seed=0)
    plain.reset(seed=0)
    plain.set_state({**plain.get_state(), "state": told.get_state()["state"]})
    for step in range(8):
        actions = np.array([step % 2, 1, 0])
        seen, reward, *_ = told.step(actions)
        own, expected, *_ = plain.step(1 - actions)
        np.testing.assert_array_equal(seen[:, [2, 4, 1, 5]], own)
        np.testing.assert_array_equal(reward, expected)
        assert (np.abs(seen[:, [0, 3]]) <= 1).all()


def test_a_batch_and_single_environments_say_the_same():
    batch, singles = ScrambledVectorEnv(3, **TOLD), [ScrambledEnv(**TOLD) for _ in range(3)]
    first, _ = batch.reset(seed=5)
    np.testing.assert_array_equal(first, np.stack([env.reset(seed=5 + i)[0] for i, env in enumerate(singles)]))
    for step in range(60):
        actions = np.array([step % 2, 1, (step // 3) % 2])
        seen, reward, terminated, _, infos = batch.step(actions)
        for i, env in enumerate(singles):
            own, earned, fallen, _, _ = env.step(int(actions[i]))
            assert (reward[i], terminated[i]) == (earned, fallen)
            np.testing.assert_array_equal(infos["final_obs"][i] if fallen else seen[i], own)
            if fallen:
                np.testing.assert_array_equal(seen[i], env.reset()[0])


def test_a_state_taken_out_and_put_back_goes_on_alike():
    one, other = ScrambledVectorEnv(2, **TOLD), ScrambledVectorEnv(2, **TOLD)
    one.reset(seed=1)
    other.reset(seed=9)
    other.set_state(one.get_state())
    np.testing.assert_array_equal(one.observe(), other.observe())
    for _ in range(40):
        np.testing.assert_array_equal(one.step(np.array([0, 1]))[0], other.step(np.array([0, 1]))[0])


def test_noise_is_uniform_and_new_at_every_step():
    drawn = noise(np.arange(4, dtype=np.uint64), np.arange(4), 2)
    assert len(np.unique(drawn)) == 8
    many = noise(np.full(10_000, 7, np.uint64), np.arange(10_000), 3)
    assert np.abs(many.mean(axis=0)).max() < 0.05
    assert np.abs(many.var(axis=0) - 1 / 3).max() < 0.02
    assert np.abs(np.corrcoef(many.T) - np.eye(3)).max() < 0.05


def test_the_catalogue_names_what_is_seen_and_what_is_lied_about():
    shuffled, reversed_ = (interface(make_vec(f"headstart/CartPole{name}-v1")) for name in ("Shuffled", "Reversed"))
    assert shuffled.features == ("noise_1", "angle", "position", "noise_2", "angular_velocity", "noise_3", "velocity")
    assert shuffled.actions == ("right", "left")
    assert reversed_.actions == ("left", "right")
    one, plain = make_vec("headstart/CartPoleReversed-v1", seed=0), make_vec("headstart/CartPole-v1", seed=0)
    one.reset()
    plain.reset()
    seen, own = one.step(np.array([0]))[0], plain.step(np.array([1]))[0]
    np.testing.assert_array_equal(seen, own)


@pytest.mark.filterwarnings("ignore:.*(infinity|spec):UserWarning")
def test_gymnasiums_checker_is_content():
    check_env(ScrambledEnv(**TOLD), skip_render_check=True)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"order": ["angl"]}, UnknownName, "unknown feature of CartPole 'angl': did you mean 'angle'"),
        ({"order": ["angle", "angle"]}, ConfigError, "each but noise only once"),
        ({"actions": ["left"]}, ConfigError, "expected left and right, each once"),
        ({"action_names": ["a", "a"]}, ConfigError, "expected 2 different names"),
        ({"gravty": 1}, UnknownName, "did you mean 'gravity'"),
    ],
)
def test_a_mistake_is_named(arguments, error, words):
    with pytest.raises(error, match=words):
        ScrambledVectorEnv(2, **arguments)
