"""Atari games: the protocol, the same game whatever plays it, whole games recorded, and what is refused."""

import pickle
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ale_py", reason="the extra 'atari' is not installed")
pytest.importorskip("cv2", reason="the extra 'atari' is not installed")

import gymnasium
from gymnasium.utils.env_checker import check_env
from gymnasium.wrappers import AtariPreprocessing, FrameStackObservation
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from agents.config import RunConfig
from agents.evaluation import Evaluator
from agents.networks import policy_kwargs
from agents.provenance import packages_of
from agents.stage import open_stage
from envs import engines
from envs.atari import pool
from envs.atari.single import AtariEnv
from envs.atari.vector import AtariVectorEnv
from envs.batched import BatchedVecEnv
from envs.catalogue import find_game, list_games
from envs.engines import settled
from envs.errors import ConfigError, HeadstartError, MissingExtra, UnknownName
from envs.scoring import scored
from envs.task import Change, Task
from envs.vector import interface, make_vec

FREEWAY = "ALE/Freeway-v5"


def trail(venv: VecEnv, steps: int = 60, seed: int = 0) -> list[Any]:
    """All that a learner sees, but the clock."""
    seen: list[Any] = [np.ascontiguousarray(venv.reset()).tobytes()]
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        observations, rewards, dones, infos = venv.step(rng.integers(0, venv.action_space.n, venv.num_envs))
        ends = [
            (
                np.ascontiguousarray(info["terminal_observation"]).tobytes(),
                info["TimeLimit.truncated"],
                {key: value for key, value in info.get("episode", {}).items() if key != "t"},
            )
            for info, done in zip(infos, dones, strict=True)
            if done
        ]
        seen.append((np.ascontiguousarray(observations).tobytes(), rewards.tolist(), dones.tolist(), ends))
    return seen


@pytest.mark.parametrize(
    ("rom", "arguments"),
    [("freeway", {"mode": 2}), ("breakout", {"difficulty": 1}), ("boxing", {"full_action_space": True})],
)
def test_it_shows_what_gymnasium_s_preprocessing_shows(rom: str, arguments: dict[str, Any]) -> None:
    """Without sticky actions, whose dice we give another seed."""
    ours = AtariEnv(game=rom, repeat_action_probability=0.0, **arguments)
    peer: Any = gymnasium.make(f"ALE/{rom.capitalize()}-v5", frameskip=1, repeat_action_probability=0.0, **arguments)
    peer = FrameStackObservation(AtariPreprocessing(peer, noop_max=0, frame_skip=4, screen_size=84), 4)
    mine, theirs = ours.reset(seed=3)[0], peer.reset(seed=3)[0]
    np.testing.assert_array_equal(mine.transpose(2, 0, 1), theirs)
    rng = np.random.default_rng(1)
    for _ in range(100):
        action = int(rng.integers(ours.action_space.n))
        (mine, *said, _), (theirs, *told, _) = ours.step(action), peer.step(action)
        np.testing.assert_array_equal(mine.transpose(2, 0, 1), theirs)
        assert said == told
    peer.close()


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"obs_type": "ram", "mode": 1, "difficulty": 1, "max_episode_steps": 23},
        {"noop_max": 30, "size": 42, "stack": 2, "frameskip": 2, "threads": 2, "max_episode_steps": 40},
    ],
)
def test_a_batch_plays_as_objects_do(arguments: dict[str, Any]) -> None:
    task = Task(game=FREEWAY, arguments=arguments)
    batch, objects = make_vec(task, n_envs=2, seed=9), make_vec(task, n_envs=2, seed=9, backend="dummy")
    assert isinstance(batch, BatchedVecEnv)
    assert isinstance(objects, DummyVecEnv)
    assert interface(batch) == interface(objects)
    assert trail(batch) == trail(objects)


def test_changes_work_on_a_batch_as_on_objects() -> None:
    task = Task(game=FREEWAY, change=Change(actions=("up", "noop"), sticky=0.5, time_limit=25))
    trails = [trail(make_vec(task, n_envs=2, seed=1, backend=backend)) for backend in ("batched", "dummy")]
    assert trails[0] == trails[1]
    assert any(any(dones) for _, _, dones, _ in trails[0][1:])


def test_the_same_seed_is_the_same_game_and_another_another() -> None:
    venv = make_vec(FREEWAY, n_envs=2, seed=4)
    first = trail(venv)
    venv.seed(4)
    assert trail(venv) == first
    venv.seed(40)
    assert trail(venv) != first


LIVES = {"life_loss": True, "clip_rewards": True, "max_episode_steps": 300}


@pytest.mark.parametrize("backend", ["batched", "dummy"])
def test_a_lost_life_ends_an_episode_and_records_are_of_whole_games(backend: Any) -> None:
    venv = make_vec(Task(game="ALE/Breakout-v5", arguments=LIVES), n_envs=1, seed=0, backend=backend)
    ends: list[dict[str, Any]] = []
    rewards: list[float] = []
    venv.reset()
    rng = np.random.default_rng(0)
    for _ in range(320):
        _, reward, done, infos = venv.step(rng.integers(0, 4, 1))
        rewards += reward.tolist()
        ends += [infos[0]] if done[0] else []
    games = [info["episode"] for info in ends if "episode" in info]
    assert len(ends) >= 5 * len(games) > 0  # five lives
    assert not ends[0]["TimeLimit.truncated"]
    assert sum(game["r"] for game in games) <= sum(rewards) + 60
    assert set(rewards) <= {0.0, 1.0}
    assert 100 < games[0]["l"] <= 300


def test_evaluation_plays_whole_games_for_raw_rewards() -> None:
    task = Task(game="ALE/Breakout-v5", arguments={**LIVES, "mode": 4})
    assert scored(task).arguments == {"max_episode_steps": 300, "mode": 4}
    assert scored(Task(game="CartPole-v1")) == Task(game="CartPole-v1")
    with Evaluator(task, episodes=1, mode="sampled") as evaluator:
        assert evaluator.task == scored(task)


def test_whole_games_are_watched() -> None:
    """For raw rewards, too: what is watched is what is scored."""
    stage = open_stage(Task(game="ALE/Breakout-v5", arguments=LIVES))
    seen, steps, over = stage.reset(0), 0, False
    rng = np.random.default_rng(0)
    while not over:
        seen, _, terminated, truncated = stage.step(rng.integers(0, 4, 1))
        steps, over = steps + 1, terminated or truncated
    assert isinstance(seen, np.ndarray)
    assert 100 < steps <= 300
    stage.close()


def test_a_batch_s_state_can_be_put_back() -> None:
    envs = AtariVectorEnv(2, game="breakout", noop_max=10, max_episode_steps=40)
    actions = np.random.default_rng(0).integers(0, 4, (120, 2))
    envs.reset(seed=0)
    for pair in actions[:30]:
        envs.step(pair)
    state = envs.get_state()
    after = [envs.step(pair)[:4] for pair in actions[30:]]
    other = AtariVectorEnv(2, game="breakout", noop_max=10, max_episode_steps=40)
    other.reset(seed=5)
    other.set_state(state)
    for pair, found in zip(actions[30:], after, strict=True):
        for one, expected in zip(other.step(pair)[:4], found, strict=True):
            np.testing.assert_array_equal(one, expected)


def test_an_object_goes_on_after_pickling() -> None:
    env = AtariEnv(game="freeway")
    env.reset(seed=1)
    for _ in range(10):
        env.step(1)
    other = pickle.loads(pickle.dumps(env))  # noqa: S301 - our own
    for _ in range(20):
        (seen, *said), (found, *told) = env.step(1), other.step(1)
        np.testing.assert_array_equal(seen, found)
        assert said == told


@pytest.mark.filterwarnings("ignore:.*alternative render modes:UserWarning")
def test_gymnasium_s_check_passes_and_a_frame_is_the_screen() -> None:
    env = AtariEnv(game="freeway", render_mode="rgb_array")
    check_env(env)
    assert env.render().shape == (210, 160, 3)


def test_pixels_are_an_image_for_the_encoder_nature_and_ram_is_a_vector_from_0_to_1() -> None:
    pixels, ram = AtariEnv(game="freeway"), AtariEnv(game="freeway", obs_type="ram")
    assert is_image_space(pixels.observation_space)
    assert pixels.metadata["headstart"]["features"] == ("screen_3_ago", "screen_2_ago", "screen_1_ago", "screen")
    assert pixels.metadata["headstart"]["actions"] == ("noop", "up", "down")
    extractor = policy_kwargs({}, pixels.observation_space)["features_extractor_class"]
    assert extractor.__name__ == "NatureCNN"
    seen, _ = ram.reset(seed=0)
    assert seen.shape == (128,)
    assert seen.dtype == np.float32
    assert 0.0 <= seen.min() < 0.5 < seen.max() <= 1.0
    assert ram.metadata["headstart"]["features"][5] == "freeway_ram_5"  # no other game's


def test_two_views_are_of_one_game() -> None:
    ram = Task(game=FREEWAY, change=Change(observation="envs.atari.views:ram"))
    venv = make_vec(ram, n_envs=1, seed=2)
    peer = make_vec(Task(game=FREEWAY, arguments={"obs_type": "ram"}), n_envs=1, seed=2)
    np.testing.assert_array_equal(venv.reset(), peer.reset())
    for _ in range(5):
        np.testing.assert_array_equal(venv.step([1])[0], peer.step(np.array([1]))[0])
    assert interface(venv).features == interface(peer).features
    with pytest.raises(ConfigError, match=r"a view of envs\.atari\.views is of Atari games: found CartPoleEnv"):
        make_vec(Task(game="CartPole-v1", change=Change(observation="envs.atari.views:ram")))


def test_arguments_can_be_drawn_for_domain_randomisation() -> None:
    venv = make_vec(Task(game=FREEWAY, change=Change(randomise={"difficulty": (0, 1)})), n_envs=2, seed=0)
    assert venv.reset().shape == (2, 84, 84, 4)
    venv.step(np.array([1, 1]))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"mode": 9}, ConfigError, "Atari game 'freeway' has no mode 9: expected one of 0, 1, 2, 3, 4, 5, 6, 7"),
        ({"difficulty": 4}, ConfigError, "Atari game 'freeway' has no difficulty 4: expected one of 0, 1"),
        ({"obs_type": "rgb"}, ConfigError, "obs_type: found 'rgb', expected 'pixels' or 'ram'"),
        ({"stick": 1}, ConfigError, "unknown key 'stick': did you mean 'stack'"),
        ({"game": "combat"}, ConfigError, "its ROM is there, but ALE does not play it"),
        ({"game": "freway"}, UnknownName, "unknown Atari game 'freway': did you mean 'freeway'"),
    ],
)
def test_what_cannot_be_played_gets_one_line(
    arguments: dict[str, Any], error: type[HeadstartError], words: str
) -> None:
    with pytest.raises(error, match=words):
        make_vec(Task(game=FREEWAY, arguments=arguments))


def test_roms_that_end_the_process_are_refused_before() -> None:
    for name in ("combat", "joust", "maze_craze", "warlords"):
        with pytest.raises(ConfigError, match="ALE does not play it; take another game"):
            AtariEnv(game=name)


@pytest.fixture
def without_envpool(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without EnvPool."""
    monkeypatch.setattr(pool, "find_spec", lambda name: None)


@pytest.fixture
def with_envpool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A machine with an EnvPool that knows Freeway, and plays nothing."""
    package = ModuleType("envpool")
    package.list_all_envs = lambda: ["Freeway-v5"]  # type: ignore[attr-defined]
    monkeypatch.setattr(pool, "find_spec", lambda name: object())
    monkeypatch.setitem(sys.modules, "envpool", package)
    return package


def by(engine: str, game: str = FREEWAY, **more: Any) -> Task:
    """A task that asks for an engine."""
    return Task(game=game, arguments={"engine": engine, **more.pop("arguments", {})}, **more)


@pytest.mark.usefixtures("without_envpool")
def test_without_envpool_its_engine_is_refused_by_the_extra_s_name() -> None:
    with pytest.raises(MissingExtra, match=r"install it with pip install 'headstart\[envpool\]', or leave engine out"):
        make_vec(by("envpool"), n_envs=2)


@pytest.mark.usefixtures("without_envpool")
def test_without_envpool_auto_is_ale_and_the_run_that_names_no_engine() -> None:
    run, plain = (RunConfig(task=task, steps=10) for task in (by("auto"), Task(game=FREEWAY)))
    assert run.task == plain.task
    assert run.key() == plain.key()
    assert isinstance(make_vec(by("auto"), n_envs=2), BatchedVecEnv)


@pytest.mark.usefixtures("with_envpool")
def test_with_envpool_auto_is_envpool_in_the_run_s_config_and_key(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engines._tell.cache_clear()
    run = RunConfig(task=by("auto", arguments={"mode": 1}), steps=10)
    assert run.task == by("envpool", arguments={"mode": 1})
    assert "engine 'auto' is 'envpool' here" in caplog.text
    assert run.key() == RunConfig(task=by("envpool", arguments={"mode": 1}), steps=10).key()
    assert run.key() != RunConfig(task=Task(game=FREEWAY, arguments={"mode": 1}), steps=10).key()
    document = run.model_dump_json()
    monkeypatch.setattr(pool, "find_spec", lambda name: None)  # gone on with on another machine
    assert RunConfig.model_validate_json(document).task == run.task


@pytest.mark.parametrize(
    ("task", "why"),
    [
        (by("auto", arguments={"obs_type": "ram"}), "it shows pixels alone"),
        (by("auto", change=Change(observation="envs.atari.views:ram")), "the change 'observation' is not for its"),
        (by("auto", change=Change(randomise={"mode": (0, 1)})), "the change 'randomise' is not for its"),
        (by("auto", "ALE/Pong-v5"), "Atari game 'pong' is none of EnvPool's"),
    ],
)
@pytest.mark.usefixtures("with_envpool")
def test_auto_is_ale_where_envpool_does_not_do_what_is_asked(
    task: Task, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    engines._tell.cache_clear()
    assert "engine" not in settled(task).arguments
    assert f"engine 'auto' is the game's own here (not 'envpool': {why}" in caplog.text


@pytest.mark.usefixtures("with_envpool")
def test_an_envpool_that_cannot_be_imported_is_not_taken_and_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "envpool.py").write_text("raise FileNotFoundError('no assets')", encoding="utf-8")
    monkeypatch.delitem(sys.modules, "envpool")
    monkeypatch.syspath_prepend(tmp_path)
    assert "engine" not in settled(by("auto")).arguments
    with pytest.raises(ConfigError, match="'freeway': importing 'envpool' raised FileNotFoundError: no assets"):
        make_vec(by("envpool"), n_envs=2)


@pytest.mark.usefixtures("with_envpool")
def test_envpool_s_version_is_a_part_of_the_keys_of_its_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"envpool": ["envpool"], "ale_py": ["ale-py"]}
    monkeypatch.setattr("agents.provenance._distributions", lambda: known)
    assert packages_of(by("envpool")) == ["ale-py", "envpool"]
    assert packages_of(by("ale")) == packages_of(Task(game=FREEWAY)) == ["ale-py"]


@pytest.mark.usefixtures("without_envpool")
def test_what_envpool_trained_is_watched_on_ale() -> None:
    """Wherever it was trained: single games are ALE's."""
    stage, plain = open_stage(by("envpool"), seed=1), open_stage(Task(game=FREEWAY), seed=1)
    np.testing.assert_array_equal(stage.reset(1), plain.reset(1))
    assert stage.picture() is not None
    with pytest.raises(ConfigError, match="engine 'envpool' plays batches, and the change 'observation' works on"):
        make_vec(by("envpool", change=Change(observation="envs.atari.views:ram")))


@pytest.mark.skipif(find_spec("envpool") is None, reason="EnvPool is not installed")
def test_envpool_plays_the_same_game_by_its_own_dice() -> None:
    task = Task(game="ALE/Breakout-v5", arguments={"engine": "envpool", "max_episode_steps": 50})
    venv = make_vec(task, n_envs=2, seed=3)
    assert interface(venv) == interface(make_vec("ALE/Breakout-v5"))
    first = trail(venv)
    venv.seed(3)
    assert trail(venv) == first


@pytest.mark.skipif(find_spec("envpool") is None, reason="EnvPool is not installed")
def test_without_dice_envpool_shows_bit_for_bit_what_ale_does() -> None:
    """A frame of no action, which it always begins with, is all that its games have besides."""
    arguments = {"repeat_action_probability": 0.0, "noop_max": 1, "mode": 1, "difficulty": 1, "max_episode_steps": 30}
    tasks = [by(engine, arguments=arguments) for engine in ("ale", "envpool")]
    trails = [trail(make_vec(task, n_envs=2, seed=3)) for task in tasks]
    assert trails[0] == trails[1]


def test_without_opencv_screens_are_refused_by_the_extra_s_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(
        MissingExtra, match=r"'opencv-python-headless': install it with pip install 'headstart\[atari\]'"
    ):
        AtariEnv(game="freeway")
    AtariEnv(game="freeway", obs_type="ram")


def test_games_that_nobody_listed_can_be_played_too() -> None:
    game = find_game("ALE/Tetris-v5")
    assert (game.family, game.arguments) == ("atari", {"game": "ALE/Tetris-v5"})
    assert make_vec("ALE/Tetris-v5").reset().shape == (1, 84, 84, 4)
    listed = [game for game in list_games() if game.family == "atari"]
    assert len(listed) >= 20
    assert all(game.reference is not None and game.random is not None for game in listed)
