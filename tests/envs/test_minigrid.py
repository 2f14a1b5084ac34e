"""MiniGrid's view as symbols."""

import gymnasium
import minigrid  # noqa: F401  # registers its games
import numpy as np
import pytest
from gymnasium import spaces
from minigrid.core.constants import COLOR_TO_IDX, OBJECT_TO_IDX, STATE_TO_IDX
from stable_baselines3.common.preprocessing import is_image_space

from envs.errors import ConfigError
from envs.minigrid import ACTIONS, FEATURES, HIGHEST, symbols

GAMES = (
    "MiniGrid-Empty-5x5-v0",
    "MiniGrid-DoorKey-5x5-v0",
    "MiniGrid-FourRooms-v0",
    "MiniGrid-MultiRoom-N2-S4-v0",
    "MiniGrid-Unlock-v0",
    "MiniGrid-KeyCorridorS3R1-v0",
    "MiniGrid-LavaGapS5-v0",
    "MiniGrid-SimpleCrossingS9N1-v0",
)


def test_the_space_says_how_many_symbols_each_channel_has() -> None:
    env = symbols(gymnasium.make("MiniGrid-Empty-5x5-v0"))
    space = env.observation_space
    assert isinstance(space, spaces.Box)
    assert space.shape == (7, 7, 3)
    assert space.dtype == np.uint8
    assert (space.low == 0).all()
    assert np.unique(space.high.reshape(-1, 3), axis=0).tolist() == [[10, 5, 2]]


def test_the_largest_symbols_are_minigrids() -> None:
    assert tuple(max(table.values()) for table in (OBJECT_TO_IDX, COLOR_TO_IDX, STATE_TO_IDX)) == HIGHEST


def test_nobody_takes_symbols_for_an_image() -> None:
    raw = gymnasium.make("MiniGrid-Empty-5x5-v0")
    assert isinstance(raw.observation_space, spaces.Dict)
    assert is_image_space(raw.observation_space["image"])
    assert not is_image_space(symbols(raw).observation_space)


@pytest.mark.parametrize("game", GAMES)
def test_observations_are_the_game_s_own_images_within_bounds(game: str) -> None:
    env, raw = symbols(gymnasium.make(game)), gymnasium.make(game)
    rng = np.random.default_rng(1)
    for episode in range(3):
        observation, _ = env.reset(seed=episode)
        expected, _ = raw.reset(seed=episode)
        for _ in range(60):
            assert observation in env.observation_space
            np.testing.assert_array_equal(observation, expected["image"])
            action = int(rng.integers(len(ACTIONS)))
            observation, *_rest, terminated, truncated, _ = env.step(action)
            expected, *_same = raw.step(action)
            if terminated or truncated:
                break


def test_the_carried_key_lies_in_the_agent_s_own_cell() -> None:
    env = symbols(gymnasium.make("MiniGrid-DoorKey-5x5-v0"))
    env.reset(seed=3)
    core = env.unwrapped
    for x, y in np.ndindex(core.width, core.height):
        thing = core.grid.get(x, y)
        if thing is not None and thing.type == "key":
            core.carrying = thing
    view = env.observation(core.gen_obs())
    assert view[3, 6].tolist() == [5, 4, 0]  # a yellow key
    assert view in env.observation_space


def test_other_view_sizes_keep_their_shape_and_bounds() -> None:
    env = symbols(gymnasium.make("MiniGrid-Empty-5x5-v0", agent_view_size=3))
    assert env.observation_space.shape == (3, 3, 3)
    assert env.reset(seed=0)[0] in env.observation_space


def test_names_count_channels_and_actions() -> None:
    env = symbols(gymnasium.make("MiniGrid-DoorKey-5x5-v0"))
    names = env.metadata["headstart"]
    assert names == {"features": FEATURES, "actions": ACTIONS}
    assert len(names["features"]) == env.observation_space.shape[-1]
    assert len(names["actions"]) == env.action_space.n
    assert [action.name for action in env.unwrapped.actions] == list(ACTIONS)


def test_a_game_without_such_an_image_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"a Dict with an 'image' of \(view, view, 3\); found Box"):
        symbols(gymnasium.make("CartPole-v1"))
