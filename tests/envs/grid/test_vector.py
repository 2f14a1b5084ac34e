"""The batch and the single environment: Gymnasium's API, seeds, states, dials and mistakes."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit

from envs import catalogue
from envs.errors import ConfigError, HeadstartError, UnknownName
from envs.grid import cells
from envs.grid.families import all_families
from envs.grid.single import GridEnv
from envs.grid.vector import GridVectorEnv

FAMILIES = sorted(all_families())
GRIDS = [game for game in catalogue.our_list() if game.family == "grid"]
SMALL: dict[str, dict[str, Any]] = {
    "multi_room": {"minNumRooms": 2, "maxNumRooms": 2, "maxRoomSize": 4},
    "door_key": {"size": 5},
    "empty": {"size": 5},
}
"""Arguments that make episodes end, or levels small."""
TURNED = {"slip": 0.3, "mirrored": True, "distractors": 1, "reward": "stages", "view_size": 5, "permute_colours": 3}


def batch(n_envs: int = 4, family: str = "door_key", **keywords: Any) -> GridVectorEnv:
    return GridVectorEnv(n_envs, family=family, **{**SMALL.get(family, {}), **keywords})


def single(family: str = "door_key", **keywords: Any) -> GridEnv:
    return GridEnv(family=family, **{**SMALL.get(family, {}), **keywords})


def actions_of(envs: GridVectorEnv, steps: int, seed: int = 0) -> np.ndarray:
    """Random, more of them forward than not."""
    drawn = np.random.default_rng(seed).integers(0, 2 * envs.single_action_space.n, (steps, envs.num_envs))
    return np.where(drawn < envs.single_action_space.n, drawn, cells.FORWARD)


def same(left: Any, right: Any) -> bool:
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, tuple | list) or (isinstance(left, np.ndarray) and left.dtype == object):
        return len(left) == len(right) and all(same(one, other) for one, other in zip(left, right, strict=True))
    return bool(np.array_equal(left, right)) and np.asarray(left).dtype == np.asarray(right).dtype


def part(observations: Any, index: int) -> Any:
    if isinstance(observations, dict):
        return {name: array[index] for name, array in observations.items()}
    return observations[index]


# --- Gymnasium's API ------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*(spec|human|rendering|image)", "ignore:.*(observation space|Box)")
@pytest.mark.parametrize("observation", ["image", "dict"])
@pytest.mark.parametrize("family", FAMILIES)
def test_gymnasiums_checker_passes(family: str, observation: str) -> None:
    check_env(single(family, observation=observation), skip_render_check=True)


@pytest.mark.filterwarnings("ignore:.*is out of date")
@pytest.mark.parametrize("game", GRIDS, ids=lambda game: game.id)
def test_every_id_is_made_both_ways(game: catalogue.Game) -> None:
    envs = gym.make_vec(f"envs:{game.id}", 3, vectorization_mode="vector_entry_point")
    env = gym.make(f"envs:{game.id}", disable_env_checker=True)
    assert envs.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    assert envs.single_observation_space == env.observation_space
    assert envs.single_action_space == env.action_space
    observations, _ = envs.reset(seed=0)
    assert envs.observation_space.contains(observations)
    assert same(part(observations, 0), env.reset(seed=0)[0])


@pytest.mark.parametrize("keywords", [{}, {"observation": "dict"}, TURNED], ids=["plain", "dict", "turned"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_batch_is_gymnasiums_same_step_batch_of_singles(family: str, keywords: dict[str, Any]) -> None:
    keywords = {"max_steps": 15, **keywords}
    ours = batch(5, family, **keywords)
    theirs = SyncVectorEnv([lambda: single(family, **keywords)] * 5, autoreset_mode=AutoresetMode.SAME_STEP)
    assert same(ours.reset(seed=11)[0], theirs.reset(seed=11)[0])
    for actions in actions_of(ours, 40):
        mine, other = ours.step(actions), theirs.step(actions)
        assert same(mine[:4], other[:4])
        assert mine[4].keys() == other[4].keys()
        assert all(same(mine[4][key], other[4][key]) for key in mine[4])


def test_final_observations_are_told_as_gymnasium_tells_them() -> None:
    envs = batch(3, "empty", max_steps=2, observation="dict")
    envs.reset(seed=0)
    assert envs.step(np.array([0, 0, 0]))[4] == {}
    before = envs.observe()
    observations, _, terminated, truncated, infos = envs.step(np.array([6, 6, 6]))
    assert truncated.all()
    assert not terminated.any()
    assert infos["_final_obs"].all()
    assert infos["final_info"] == {}
    assert same(infos["final_obs"][1], part(before, 1)), "`done` changed nothing"
    assert observations["direction"].tolist() == [0, 0, 0], "of the episodes that have begun"


def test_arrays_alone_say_the_same() -> None:
    one, other = batch(6, "empty", max_steps=7), batch(6, "empty", max_steps=7)
    one.reset(seed=3)
    other.reset(seed=3)
    for actions in actions_of(one, 30):
        observations, rewards, terminated, truncated, infos = one.step(actions)
        arrays = other.step_arrays(actions)
        assert same((observations, rewards, terminated, truncated), arrays[:4])
        ended, last = arrays[4:]
        assert ended.dtype == np.int64
        assert ended.tolist() == np.flatnonzero(terminated | truncated).tolist()
        assert last.shape == (len(ended), 7, 7, 3)
        if len(ended):
            assert same(list(infos["final_obs"][ended]), list(last))


def test_what_was_returned_is_never_written_again() -> None:
    envs = batch(4, "empty", max_steps=3)
    envs.reset(seed=0)
    returned = [envs.step_arrays(actions) for actions in actions_of(envs, 8)]
    copies = [[array.copy() for array in step] for step in returned]
    for actions in actions_of(envs, 20, seed=1):
        envs.step(actions)
    assert same([list(step) for step in returned], copies)


def test_names_missions_and_spaces() -> None:
    envs = batch(2, "fetch", size=5, numObjs=2)
    assert envs.metadata["headstart"]["features"] == ("object", "colour", "state")
    assert envs.single_observation_space["mission"].n == len(envs.missions)
    assert batch(2, "dynamic_obstacles").metadata["headstart"]["actions"] == ("left", "right", "forward")
    image = batch(2).single_observation_space
    assert image.shape == (7, 7, 3)
    assert image.high[0, 0].tolist() == [10, 5, 2]


# --- seeds and resets -----------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_a_world_depends_on_its_seed_and_not_on_its_batch(family: str) -> None:
    envs = batch(7, family, distractors=1)
    envs.reset(seed=100)
    together = envs.get_state()
    for index in (6, 0, 3):
        env = single(family, distractors=1)
        env.reset(seed=1)
        env.reset(seed=100 + index)
        alone = env.get_state()
        assert all(np.array_equal(together[name][index], alone[name][0]) for name in alone)


def test_seeds_as_gymnasium_takes_them() -> None:
    one, other = batch(), batch()
    assert same(one.reset(seed=5)[0], other.reset(seed=[5, 6, 7, 8])[0])
    assert same(one.reset()[0], other.reset()[0]), "without a seed the chance goes on"
    assert not same(one.get_state()["cells"], batch().reset() and batch().get_state()["cells"])
    one.reset(seed=[None, 1, None, 1])
    assert one.get_state()["chance"][1, 0] == one.get_state()["chance"][3, 0] == 1
    assert not same(single().reset()[0], None)


def test_a_mask_resets_only_those() -> None:
    envs = batch(4)
    envs.reset(seed=0)
    for actions in actions_of(envs, 6):
        envs.step(actions)
    before = envs.get_state()
    observations, _ = envs.reset(options={"reset_mask": np.array([True, False, False, True])})
    after = envs.get_state()
    for name in before:
        assert np.array_equal(before[name][1:3], after[name][1:3])
    assert after["status"][[0, 3], cells.STEPS].tolist() == [0, 0]
    assert observations.shape == (4, 7, 7, 3)
    envs.reset(seed=9, options={"reset_mask": np.array([False, False, True, False])})
    assert envs.get_state()["chance"][2, 0] == 11
    assert envs.get_state()["chance"][1, 0] == before["chance"][1, 0]


# --- states ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_taken_out_and_put_back_goes_on_bit_for_bit(family: str) -> None:
    envs = batch(5, family, max_steps=20, **{key: TURNED[key] for key in ("slip", "distractors", "reward")})
    envs.reset(seed=2)
    for actions in actions_of(envs, 13):
        envs.step(actions)
    state = envs.get_state()
    assert all(len(array) == 5 for array in state.values())
    first = [envs.step(actions) for actions in actions_of(envs, 30, seed=1)]
    other = batch(5, family, max_steps=20, **{key: TURNED[key] for key in ("slip", "distractors", "reward")})
    other.set_state(state)
    for actions, expected in zip(actions_of(envs, 30, seed=1), first, strict=True):
        found = other.step(actions)
        assert same(found[:4], expected[:4])
        assert same(found[4].get("final_obs", 0), expected[4].get("final_obs", 0))
    env = single(family, max_steps=20, **{key: TURNED[key] for key in ("slip", "distractors", "reward")})
    env.set_state({name: array[3:4] for name, array in state.items()})
    assert same(env.step(int(actions_of(envs, 30, seed=1)[0, 3]))[0], part(first[0][0], 3)) or first[0][4]


def test_a_state_is_a_copy() -> None:
    envs = batch()
    envs.reset(seed=0)
    state = envs.get_state()
    kept = {name: array.copy() for name, array in state.items()}
    for actions in actions_of(envs, 10):
        envs.step(actions)
    assert same(state, kept)
    envs.set_state(state)
    state["cells"][:] = 0
    assert same(envs.get_state()["cells"], kept["cells"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("chance"), "'chance' is missing: expected uint64 of shape (4, 2)"),
        (lambda state: state.update(cells=state["cells"][:3]), "'cells' is of shape (3, 5, 5): expected uint16"),
        (lambda state: state["status"].__setitem__((1, cells.X), 5), "agent whose x is 5: expected 0 to 4"),
        (lambda state: state["status"].__setitem__((1, cells.DIRECTION), -1), "whose direction is -1: expected 0 to 3"),
    ],
)
def test_a_state_of_other_worlds_is_refused(change: Any, words: str) -> None:
    envs = batch()
    envs.reset(seed=0)
    state = envs.get_state()
    before = envs.get_state()
    change(state)
    with pytest.raises(ConfigError) as caught:
        envs.set_state(state)
    assert words in str(caught.value)
    assert same(envs.get_state(), before), "nothing was set"


# --- dials ----------------------------------------------------------------------------------------


def test_the_default_dials_change_nothing() -> None:
    plain, turned = batch(), batch(slip=0.0, mirrored=False, view_size=7, distractors=0, reward="minigrid")
    plain.reset(seed=1)
    turned.reset(seed=1)
    for actions in actions_of(plain, 30):
        assert same(plain.step(actions)[:4], turned.step(actions)[:4])


def test_mirrored_exchanges_left_and_right() -> None:
    plain, mirrored = batch(), batch(mirrored=True)
    plain.reset(seed=1)
    mirrored.reset(seed=1)
    exchange = np.array([1, 0, 2, 3, 4, 5, 6])
    for actions in actions_of(plain, 60):
        assert same(plain.step(actions)[:4], mirrored.step(exchange[actions])[:4])


def test_slip_replaces_movements_by_each_of_the_other_two_and_nothing_else() -> None:
    n_envs, slip = 30_000, 0.3
    envs = batch(n_envs, "empty", slip=slip)
    envs.reset(seed=0)
    start = envs.get_state()
    for action in range(7):
        envs.set_state({**start, "chance": start["chance"] + np.uint64(1000 * action)})
        envs.step(np.full(n_envs, action))
        status = envs.get_state()["status"]
        turned = (status[:, cells.DIRECTION] - start["status"][:, cells.DIRECTION]) % 4
        share = [np.mean(turned == 3), np.mean(turned == 1), np.mean(status[:, cells.X] != start["status"][:, cells.X])]
        expected = [0.0] * 3 if action > 2 else [1 - slip if each == action else slip / 2 for each in range(3)]
        assert share == pytest.approx(expected, abs=0.012 if action <= 2 else 0)


def test_view_size_shows_the_middle_of_a_larger_view() -> None:
    """The cells near the agent look the same through walls or not, whatever lies further."""
    near, far = batch(view_size=3, size=8), batch(view_size=9, size=8)
    for actions in actions_of(near, 30):
        mine, more = near.observe(), far.observe()
        hidden = mine[..., 0] == 0
        assert mine.shape == (4, 3, 3, 3)
        assert more.shape == (4, 9, 9, 3)
        assert np.array_equal(mine[~hidden], more[:, 3:6, 6:9][~hidden])
        near.step(actions)
        far.set_state(near.get_state())


@pytest.mark.parametrize("given", [4, [0, 1, 9, 8, 7, 6, 5, 4, 3, 2, 10]])
def test_permuted_objects_are_shown_as_others(given: Any) -> None:
    plain, permuted = batch(8, size=8), batch(8, size=8, permute_objects=given)
    before, after = plain.reset(seed=0)[0], permuted.reset(seed=0)[0]
    assert same(plain.get_state(), permuted.get_state()), "the world is as it was"
    assert np.array_equal(before[..., 1:], after[..., 1:])
    shown = {(int(old), int(new)) for old, new in zip(before[..., 0].flat, after[..., 0].flat, strict=True)}
    assert len(shown) == len({old for old, _ in shown}) == len({new for _, new in shown}), "one to one"
    assert {(0, 0), (1, 1)} <= shown
    assert any(old != new for old, new in shown)
    if isinstance(given, list):
        assert all(given[old] == new for old, new in shown)


@pytest.mark.parametrize("given", [1, [5, 4, 3, 2, 1, 0]])
def test_permuted_colours_are_shown_as_others(given: Any) -> None:
    plain, permuted = batch(8, size=8), batch(8, size=8, permute_colours=given)
    before, after = plain.reset(seed=0)[0], permuted.reset(seed=0)[0]
    assert np.array_equal(before[..., [0, 2]], after[..., [0, 2]])
    coloured = before[..., 0] >= 2
    assert not after[~coloured][:, 1].any(), "nothing has no colour"
    shown = {(int(old), int(new)) for old, new in zip(before[coloured][:, 1], after[coloured][:, 1], strict=True)}
    assert len(shown) == len({old for old, _ in shown}) == len({new for _, new in shown})
    if isinstance(given, list):
        assert all(given[old] == new for old, new in shown)


def walk(envs: GridVectorEnv) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rewards, episode ends and steps of three ways through a DoorKey that is laid out by hand."""
    envs.reset(seed=0)
    state = envs.get_state()
    world = np.full((5, 5), cells.WALL, dtype=np.uint16)
    world[1:4, 1] = world[1:4, 3] = cells.EMPTY
    world[3, 1], world[1, 2], world[3, 3] = cells.key(cells.YELLOW), cells.door(cells.YELLOW, cells.LOCKED), cells.GOAL
    state["cells"][:] = world
    state["status"][:, [cells.X, cells.Y, cells.DIRECTION]] = (1, 2, cells.DOWN)
    envs.set_state(state)
    plan = [3, 4, 3, 0, 0, 2, 1, 5, 2, 2, 1, 2, 2]  # take, put down, take; to the door; open; through; to the goal
    results = [envs.step(np.full(envs.num_envs, action))[1:3] for action in plan]
    return np.array([r[0] for r, _ in results]), np.array([e[0] for _, e in results]), np.arange(1, len(plan) + 1)


def test_rewards() -> None:
    for reward in ("minigrid", "goal", "stages"):
        earned, ended, steps = walk(batch(2, reward=reward, stage_reward=0.25))
        assert ended.tolist() == [False] * 12 + [True]
        stages = np.isin(steps, [1, 8]) * 0.25 if reward == "stages" else np.zeros(13)
        last = 1.0 if reward == "goal" else 1 - 0.9 * (13 / 250)
        assert earned.tolist() == [*stages[:-1], last]


def test_the_time_limits() -> None:
    earned, ended, _ = walk(batch(2, max_steps=100))
    assert earned[-1] == 1 - 0.9 * (13 / 100)
    earned, _, _ = walk(batch(2, max_episode_steps=100))
    assert earned[-1] == 1 - 0.9 * (13 / 250), "an earlier end leaves the reward as it is"
    assert ended[-1]
    envs = batch(2, max_episode_steps=3)
    limited = TimeLimit(single(), 3)
    envs.reset(seed=0)
    limited.reset(seed=0)
    for _ in range(3):
        found, expected = envs.step(np.array([6, 6])), limited.step(6)
        assert found[3].tolist() == [expected[3]] * 2


def test_distractors_are_added_to_the_same_levels() -> None:
    plain, more = batch(20, size=8), batch(20, size=8, distractors=3)
    plain.reset(seed=0)
    more.reset(seed=0)
    one, other = plain.get_state(), more.get_state()
    differs = one["cells"] != other["cells"]
    assert (one["cells"][differs] == cells.EMPTY).all()
    assert differs.sum(axis=(1, 2)).max() == 3
    assert same(one["status"], other["status"])


@pytest.mark.parametrize("family", FAMILIES)
def test_observations_are_dictionaries_where_missions_differ(family: str) -> None:
    envs = batch(2, family)
    assert isinstance(envs.single_observation_space, gym.spaces.Dict) == (len(envs.missions) > 1)
    assert isinstance(batch(2, family, observation="image").single_observation_space, gym.spaces.Box)
    seen, _ = batch(2, family, observation="dict").reset(seed=0)
    assert seen["mission"].dtype == seen["direction"].dtype == np.int64


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"slip": 1.5}, "slip: found 1.5, expected less than 1"),
        ({"slip": -0.1}, "slip: found -0.1, expected at least 0"),
        ({"view_size": 4}, "view_size: found 4, expected an odd number"),
        ({"view_size": 1}, "view_size: found 1, expected at least 3"),
        ({"view_size": 99}, "view_size: found 99, expected less than or equal to 61"),
        ({"mirrored": "perhaps"}, "mirrored: found 'perhaps', expected a valid boolean"),
        ({"distractors": -1}, "distractors: found -1, expected at least 0"),
        ({"reward": "gold"}, "reward: found 'gold', expected 'minigrid', 'goal' or 'stages'"),
        ({"observation": "text"}, "observation: found 'text', expected 'image' or 'dict'"),
        ({"max_steps": 0}, "max_steps: found 0, expected at least 1"),
        ({"stage_reward": float("nan")}, "stage_reward: found nan, expected a finite number"),
        (
            {"permute_objects": -1},
            "permute_objects: found -1, expected a seed, or the numbers 0 to 10 in another order",
        ),
        ({"permute_objects": [1, 0, *range(2, 11)]}, "(0, 1, 10 in their places)"),
        ({"permute_colours": [0, 0, 1, 2, 3, 4]}, "permute_colours: found [0, 0, 1, 2, 3, 4], expected a seed, or"),
        ({"permute_colours": "red"}, "permute_colours: found 'red', expected a seed, or the numbers 0 to 5"),
        ({"size": 2}, "DoorKey's size is 2: expected a whole number from 5"),
        ({"size": "big"}, "DoorKey's size is 'big'"),
        ({"sise": 6}, "unknown argument of the grid world 'door_key': 'sise': did you mean 'size'"),
        ({"family": "doorkey"}, "unknown family of grid worlds 'doorkey': did you mean 'door_key'"),
        ({"render_mode": "rgb"}, "'rgb'"),
    ],
)
@pytest.mark.parametrize("make", [batch, single])
def test_a_wrong_argument_is_told_in_one_line(make: Any, keywords: dict[str, Any], words: str) -> None:
    with pytest.raises(HeadstartError) as caught:
        make(**keywords)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_actions_seeds_and_masks_are_told_in_one_line() -> None:
    envs, env = batch(), single()
    envs.reset(seed=0)
    env.reset(seed=0)
    with pytest.raises(ConfigError, match=r"action 7: expected 0 \(left\) to 6 \(done\)"):
        envs.step(np.array([0, 7, 0, 0]))
    with pytest.raises(ConfigError, match="action -1: expected"):
        env.step(-1)
    with pytest.raises(ConfigError, match=r"actions are int64 of shape \(3,\): expected \(4,\) integers"):
        envs.step(np.zeros(3, dtype=np.int64))
    with pytest.raises(ConfigError, match=r"actions are float64 of shape \(1,\): expected \(1,\) integers"):
        env.step(0.5)
    with pytest.raises(ConfigError, match="2 seeds for 4 environments: expected one each"):
        envs.reset(seed=[1, 2])
    with pytest.raises(ConfigError, match=r"reset_mask is int64 \(4,\): expected bool \(4,\)"):
        envs.reset(options={"reset_mask": [0, 1, 0, 0]})
    with pytest.raises(ConfigError, match="0 environments of the grid world 'door_key': expected 1 or more"):
        GridVectorEnv(0, family="door_key")
    with pytest.raises(UnknownName, match="family"):
        GridEnv(family="maze")
