"""MinAtar's five games: reproducible, limited in time, named and visible."""

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.utils.env_checker import check_env
from minatar import Environment
from stable_baselines3.common.preprocessing import is_image_space

from envs.errors import ConfigError, UnknownName
from envs.minatar import COLOURS, GAMES, MinAtarEnv, draw, make

PLANES = {"asterix": 4, "breakout": 4, "freeway": 7, "seaquest": 10, "space_invaders": 6}
ACTIONS = {
    "asterix": ("noop", "left", "up", "right", "down"),
    "breakout": ("noop", "left", "right"),
    "freeway": ("noop", "up", "down"),
    "seaquest": ("noop", "left", "up", "right", "down", "fire"),
    "space_invaders": ("noop", "left", "right", "fire"),
}


def trajectory(env: MinAtarEnv, seed: int, steps: int = 150) -> list[tuple[bytes, float, bool]]:
    """Observations, rewards and ends under random actions."""
    rng = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    seen = [(observation.tobytes(), 0.0, False)]
    for _ in range(steps):
        observation, reward, terminated, _, _ = env.step(int(rng.integers(env.action_space.n)))
        seen.append((observation.tobytes(), reward, terminated))
        if terminated:
            env.reset()
    return seen


@pytest.mark.filterwarnings("ignore:.*Not able to test alternative render modes:UserWarning")
@pytest.mark.parametrize("game", GAMES)
def test_passes_gymnasium_s_check(game: str) -> None:
    check_env(MinAtarEnv(game, render_mode="rgb_array"))


@pytest.mark.parametrize("game", GAMES)
def test_spaces_and_names(game: str) -> None:
    env = MinAtarEnv(game)
    names = env.metadata["headstart"]
    assert env.observation_space == spaces.Box(0, 1, (10, 10, PLANES[game]), np.uint8)
    assert not is_image_space(env.observation_space)
    assert len(names["features"]) == PLANES[game]
    assert names["actions"] == ACTIONS[game]
    assert env.action_space.n == len(ACTIONS[game])


def test_planes_are_named_in_their_order() -> None:
    env = MinAtarEnv("breakout")
    assert env.metadata["headstart"]["features"] == ("paddle", "ball", "trail", "brick")
    observation, _ = env.reset(seed=0)
    assert observation.sum(axis=(0, 1)).tolist() == [1, 1, 1, 30]  # three rows of ten bricks


@pytest.mark.parametrize("game", GAMES)
def test_same_seed_same_game_whatever_was_played_before(game: str) -> None:
    env = MinAtarEnv(game, sticky_action_prob=0.5)
    first = trajectory(env, 5)
    trajectory(env, 6)
    env.step(env.action_space.n - 1)  # the last action must not leak into the next episode
    assert trajectory(env, 5) == first
    assert trajectory(MinAtarEnv(game, sticky_action_prob=0.5), 5) == first
    assert trajectory(env, 7) != first


@pytest.mark.parametrize("game", GAMES)
def test_plays_as_the_package_does(game: str) -> None:
    env = MinAtarEnv(game)
    env.reset(seed=11)
    peer = Environment(game)
    peer.seed(int(seeding.np_random(11)[0].integers(2**32)))
    peer.reset()
    rng = np.random.default_rng(2)
    for _ in range(400):
        action = int(rng.integers(env.action_space.n))
        observation, reward, terminated, truncated, _ = env.step(action)
        peer_reward, peer_terminal = peer.act(peer.minimal_action_set()[action])
        np.testing.assert_array_equal(observation, peer.state())
        assert (reward, terminated, truncated) == (peer_reward, peer_terminal, False)
        if terminated:
            env.reset()  # goes on with the generator, as the package does
            peer.last_action = 0
            peer.reset()


def test_an_unseeded_episode_goes_on_with_the_generator() -> None:
    env = MinAtarEnv("asterix")
    env.reset(seed=1)
    second = [env.reset()[0].tobytes(), trajectory_without_seed(env)]
    env.reset(seed=1)
    assert [env.reset()[0].tobytes(), trajectory_without_seed(env)] == second
    assert trajectory_without_seed(env) != second[1]


def trajectory_without_seed(env: MinAtarEnv) -> list[bytes]:
    """Forty observations from where the game stands."""
    return [env.step(k % env.action_space.n)[0].tobytes() for k in range(40)]


def test_the_time_limit_truncates_and_does_not_terminate() -> None:
    env = make("seaquest", max_episode_steps=7)
    env.reset(seed=0)
    ends = [env.step(0)[2:4] for _ in range(7)]
    assert ends[-1] == (False, True)
    assert not any(truncated for _, truncated in ends[:-1])


def test_the_default_time_limit_is_5000_steps_and_can_be_lifted() -> None:
    assert make("breakout")._max_episode_steps == 5000
    assert isinstance(make("breakout", max_episode_steps=None), MinAtarEnv)


def test_all_six_actions_on_request() -> None:
    env = make("breakout", minimal_actions=False)
    assert env.action_space == spaces.Discrete(6)
    assert env.metadata["headstart"]["actions"] == ("noop", "left", "up", "right", "down", "fire")


def test_a_frame_shows_each_plane_in_its_colour() -> None:
    env = MinAtarEnv("breakout", render_mode="rgb_array")
    env.reset(seed=0)
    frame = env.render()
    assert frame.shape == (240, 240, 3)
    assert frame.dtype == np.uint8
    assert frame[30, 5].tolist() == COLOURS[3].tolist()  # a brick in the second row
    assert frame[235, 4 * 24 + 5].tolist() == COLOURS[0].tolist()  # the paddle
    assert frame[150, 100].tolist() == [0, 0, 0]


def test_higher_planes_lie_on_top_and_colours_differ() -> None:
    state = np.zeros((10, 10, 10), dtype=bool)
    state[0, 0, [1, 4]] = True
    state[9, 9, 0] = True
    picture = draw(state)
    assert picture[0, 0].tolist() == COLOURS[4].tolist()
    assert picture[239, 239].tolist() == COLOURS[0].tolist()
    assert len(np.unique(COLOURS, axis=0)) == len(COLOURS) >= max(PLANES.values())


def test_a_window_opens_and_closes_headless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env = make("freeway", render_mode="human")
    env.reset(seed=0)
    env.step(0)
    assert env.render() is None
    env.close()
    env.close()


def test_without_a_render_mode_there_is_no_picture() -> None:
    env = MinAtarEnv("breakout")
    env.reset(seed=0)
    assert env.render() is None


def test_an_unknown_game_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown MinAtar game 'breakot': did you mean 'breakout'"):
        make("breakot")


def test_a_probability_outside_its_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"sticky_action_prob is a probability in \[0, 1\]; found 1.5"):
        make("breakout", sticky_action_prob=1.5)
