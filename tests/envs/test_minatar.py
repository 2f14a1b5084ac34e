"""MinAtar's five games: reproducible, limited in time, named and visible."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils import seeding
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from minatar import Environment
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from envs.batched import BatchedVecEnv
from envs.errors import ConfigError, GameError, HeadstartError, UnknownName
from envs.minatar import COLOURS, GAMES, MinAtarEnv, MinAtarVectorEnv, draw, make
from envs.task import Change, Task
from envs.vector import interface, make_vec

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


@pytest.mark.parametrize("backend", ["batched", "dummy"])
@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"game": 3}, UnknownName, "unknown MinAtar game '3'"),
        ({"sticky_action_prob": 1.5}, ConfigError, r"sticky_action_prob is a probability in \[0, 1\]; found 1.5"),
        ({"sticky_action_prob": "often"}, ConfigError, r"a probability in \[0, 1\]; found 'often'"),
        ({"max_episode_steps": 0}, ConfigError, "a whole number of at least 1, or none; found 0"),
        ({"max_episode_steps": "long"}, ConfigError, "a whole number of at least 1, or none; found 'long'"),
        ({"max_episode_steps": 2.5}, ConfigError, "a whole number of at least 1, or none; found 2.5"),
    ],
)
def test_arguments_outside_their_range_are_refused(
    arguments: dict[str, Any], error: type[HeadstartError], words: str, backend: Any
) -> None:
    with pytest.raises(error, match=words):
        make_vec(Task(game="MinAtar/Breakout-v1", arguments=arguments), backend=backend)


def same(left: Any, right: Any) -> bool:
    """Equality of what vector environments return, types included."""
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, np.ndarray) and left.dtype == object:
        return all(same(one, other) for one, other in zip(left, right, strict=True))
    return bool(np.array_equal(left, right)) and np.asarray(left).dtype == np.asarray(right).dtype


@pytest.mark.parametrize("game", GAMES)
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"sticky_action_prob": 0.6, "max_episode_steps": 37},
        {"sticky_action_prob": 0.0, "difficulty_ramping": False, "minimal_actions": False, "max_episode_steps": None},
    ],
)
def test_a_batch_plays_as_gymnasiums_batch_of_single_games(game: str, arguments: dict[str, Any]) -> None:
    n_envs = 5
    ours = MinAtarVectorEnv(n_envs, game=game, **arguments)
    peer = SyncVectorEnv([lambda: make(game, **arguments)] * n_envs, autoreset_mode=AutoresetMode.SAME_STEP)
    assert ours.observation_space == peer.observation_space
    assert ours.action_space == peer.action_space
    rng = np.random.default_rng(1)
    ends = {"terminated": 0, "truncated": 0}
    for seed in (3, None, [7, None, 2, 2, 0]):
        for one, other in zip(ours.reset(seed=seed), peer.reset(seed=seed), strict=True):
            assert same(one, other)
        for _ in range(250):
            actions = rng.integers(0, ours.single_action_space.n, n_envs)
            left, right = ours.step(actions), peer.step(actions)
            for one, other in zip(left, right, strict=True):
                assert same(one, other)
            ends["terminated"] += int(left[2].sum())
            ends["truncated"] += int(left[3].sum())
    assert ends["terminated"] > 0 or game == "freeway"
    assert (ends["truncated"] > 0) == ("max_episode_steps" in arguments and arguments["max_episode_steps"] is not None)


def test_a_mask_resets_only_some_games_of_a_batch() -> None:
    envs = MinAtarVectorEnv(3, game="asterix")
    envs.reset(seed=0)
    before = [envs.step(np.array([1, 2, 3]))[0] for _ in range(9)][-1]
    after, _ = envs.reset(options={"reset_mask": np.array([False, True, False])})
    assert same(after[[0, 2]], before[[0, 2]])
    assert not same(after[1], before[1])
    with pytest.raises(ConfigError, match=r"reset_mask is bool \(2,\): expected bool \(3,\)"):
        envs.reset(options={"reset_mask": np.ones(2, dtype=bool)})
    with pytest.raises(ConfigError, match="2 seeds for 3 environments: expected one each"):
        envs.reset(seed=[1, 2])


def test_what_a_batch_returns_is_not_overwritten_later() -> None:
    envs = MinAtarVectorEnv(2, game="freeway")
    first, _ = envs.reset(seed=0)
    kept = first.copy()
    later = [envs.step(np.array([1, 1]))[0] for _ in range(4)]
    assert same(first, kept)
    assert not same(later[0], later[-1])


MODULE = """
def by_planes(observation, action, reward, next_observation, terminated):
    return reward + 0.1 * action - terminated + float(next_observation.sum()) - float(observation[:, :, 0].sum())
"""


@pytest.mark.parametrize(
    "change",
    [
        Change(),
        Change(time_limit=23),
        Change(sticky=0.4),
        Change(actions=("right", "noop")),
        Change(reward="plane_changes:by_planes"),
        Change(reward="plane_changes:by_planes", actions=(2, 0, 1), sticky=0.7, time_limit=40),
    ],
)
def test_a_batch_plays_as_the_objects_do_with_every_change(
    change: Change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plane_changes.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    task = Task(game="MinAtar/Breakout-v1", change=change)
    batch, objects = make_vec(task, n_envs=4, seed=9), make_vec(task, n_envs=4, seed=9, backend="dummy")
    assert isinstance(batch, BatchedVecEnv)
    assert isinstance(objects, DummyVecEnv)
    assert interface(batch) == interface(objects)
    trails = [trail(venv) for venv in (batch, objects)]
    assert trails[0] == trails[1]
    assert any(ends for *_, ends in trails[0])


def trail(venv: VecEnv) -> list[Any]:
    """All that a learner sees in 150 steps, but the clock."""
    seen: list[Any] = [(venv.reset().tobytes(), [])]
    rng = np.random.default_rng(4)
    for _ in range(150):
        observations, rewards, dones, infos = venv.step(rng.integers(0, venv.action_space.n, venv.num_envs))
        ends = [
            (
                index,
                info["terminal_observation"].tobytes(),
                info["TimeLimit.truncated"],
                info["episode"]["r"],
                info["episode"]["l"],
            )
            for index, info in enumerate(infos)
            if dones[index]
        ]
        seen.append((observations.tobytes(), rewards.tolist(), dones.tolist(), ends))
    return seen


def test_what_a_batch_cannot_do_is_played_object_by_object(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plane_views.py").write_text("def same(env):\n    return env\n")
    monkeypatch.syspath_prepend(tmp_path)
    task = Task(game="MinAtar/Freeway-v1", change=Change(observation="plane_views:same"))
    assert isinstance(make_vec(task, n_envs=2), DummyVecEnv)
    with pytest.raises(ConfigError, match="cannot be batched: the change 'observation' works on single environments"):
        make_vec(task, n_envs=2, backend="batched")


def test_a_batch_says_what_is_wrong() -> None:
    with pytest.raises(UnknownName, match="unknown MinAtar game 'breakot': did you mean 'breakout'"):
        make_vec(Task(game="MinAtar/Breakout-v1", arguments={"game": "breakot"}))
    with pytest.raises(ConfigError, match="unexpected keyword argument 'ramping'"):
        make_vec(Task(game="MinAtar/Breakout-v1", arguments={"ramping": False}), n_envs=2)
    venv = make_vec("MinAtar/Breakout-v1", n_envs=2, seed=0)
    venv.reset()
    with pytest.raises(GameError, match=r"raised IndexError.* in a step of its batch \(actions \[1, 3\]\)"):
        venv.step(np.array([1, 3]))


def test_a_batch_shows_a_frame_of_each_game() -> None:
    venv = make_vec("MinAtar/Breakout-v1", n_envs=2, seed=0, render=True)
    venv.reset()
    frames = venv.get_images()
    assert [frame.shape for frame in frames if frame is not None] == [(240, 240, 3)] * 2
    assert MinAtarVectorEnv(1, game="freeway").render() is None
