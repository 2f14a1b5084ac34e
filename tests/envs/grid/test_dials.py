"""What the dials do in every family, held to MiniGrid's own environments where these can do the same."""

from typing import Any

import numpy as np
import pytest

from envs.errors import ConfigError
from envs.grid import cells as c
from envs.grid.dials import setting
from envs.grid.families import all_families
from envs.grid.solvable import solvable_each
from envs.grid.vector import GridVectorEnv
from envs.grid.worlds import Worlds
from tests.envs.grid import minigrid_side, our_side, search
from tests.envs.grid.minigrid_side import World
from tests.envs.grid.our_side import SETUPS
from tests.envs.grid.test_differential import compare, layouts, play

GAMES = {family: setups[min(1, len(setups) - 1)] for family, setups in SETUPS.items()}
GAMES["KeyCorridor"] = ("KeyCorridorS4R3-v0", {})
STILL = [family for family in GAMES if family != "Dynamic-Obstacles"]
"""Where nothing happens by chance."""
EXCHANGED = np.array([c.TURN_RIGHT, c.TURN_LEFT, *range(c.FORWARD, c.DONE + 1)])


def game(family: str, count: int, **dials: Any) -> Worlds:
    name, arguments = GAMES[family]
    return our_side.make(name, {**arguments, **dials}, count=count)


def begun(family: str, count: int, seed: int, **dials: Any) -> tuple[Worlds, list[World]]:
    worlds = game(family, count, **dials)
    our_side.start(worlds, range(seed, seed + count))
    return worlds, [tuple(part.copy() for part in world) for world in our_side.each(worlds)]


def images(worlds: Worlds) -> np.ndarray:
    seen = worlds.observe()
    image: np.ndarray = seen["image"] if isinstance(seen, dict) else seen
    return image


@pytest.mark.parametrize("size", [3, 5, 9, 15, 31, 61])
@pytest.mark.parametrize("family", ["DoorKey", "MultiRoom", "ObstructedMaze", "FourRooms", "Fetch"])
def test_a_view_of_another_size_is_minigrids(family: str, size: int) -> None:
    name, arguments = GAMES[family]
    worlds = game(family, 6, view_size=size)
    env = minigrid_side.make(name, {**arguments, "agent_view_size": size})
    before = layouts((name, arguments), worlds, 6, seed=3)
    rng = np.random.default_rng(0)
    steps = 10 if size < 20 else 3
    assert compare(env, play(worlds, before, rng, np.zeros((steps, 6, 0, 2), dtype=np.int16))) > steps


@pytest.mark.parametrize("family", STILL)
def test_mirrored_controls_are_minigrids_with_left_for_right(family: str) -> None:
    name, arguments = GAMES[family]
    plain, mirrored = game(family, 20), game(family, 20, mirrored=True)
    before = layouts((name, arguments), plain, 20, seed=6)
    chosen = np.random.default_rng(0).integers(0, 7, (15, 20))
    none = np.zeros((15, 20, 0, 2), dtype=np.int16)
    ours = play(mirrored, before, np.random.default_rng(0), none, chosen)
    ours.actions = EXCHANGED[chosen]
    assert compare(minigrid_side.make(name, arguments), ours) > 50


@pytest.mark.parametrize("family", GAMES)
def test_slip_makes_another_movement_of_a_movement(family: str) -> None:
    """Each outcome is that of one of the movements, as often as it should be; the other actions do what they say."""
    count, slip = 1500, 0.4
    plain, slippery = game(family, count), game(family, count, slip=slip)
    given = _before_a_free_cell(plain, count)
    outcomes = []
    for action in range(plain.setting.family.n_actions):
        our_side.set_each(plain, given)
        plain.step(np.full(count, action), plain.obstacles.copy() if plain.obstacles.shape[1] else None)
        outcomes.append(plain.status[:, : c.STEPS].copy())
    for action, outcome in enumerate(outcomes):
        our_side.set_each(slippery, given)
        slippery.seed(slippery.everyone, list(range(count)))
        slippery.step(np.full(count, action), slippery.obstacles.copy() if slippery.obstacles.shape[1] else None)
        now = slippery.status[:, : c.STEPS]
        if action > c.FORWARD:
            assert np.array_equal(now, outcome)
            continue
        like = np.array([(now == outcomes[other]).all(axis=1) for other in range(3)])
        assert (like.sum(axis=0) == 1).all()
        expected = [1 - slip if other == action else slip / 2 for other in range(3)]
        assert like.mean(axis=1) == pytest.approx(expected, abs=4.5 * np.sqrt(0.25 / count))


def _before_a_free_cell(worlds: Worlds, count: int) -> list[World]:
    """Copies of one world in which the agent can go forward."""
    for seed in range(200):
        our_side.start(worlds, range(seed, seed + count))
        free = np.flatnonzero(our_side.ahead(worlds.cells, worlds.status) == c.EMPTY)
        if len(free):
            world = (worlds.cells[free[0]], worlds.status[free[0]], worlds.obstacles[free[0]])
            return [(world[0].copy(), world[1].copy(), world[2].copy()) for _ in range(count)]
    raise AssertionError("no agent before a free cell")


def test_slip_is_the_seeds() -> None:
    one, other, third = (begun("Empty", 50, seed, slip=0.5)[0] for seed in (0, 0, 1))
    actions = np.full(50, c.FORWARD)
    for worlds in (one, other, third):
        for _ in range(5):
            worlds.step(actions)
    assert np.array_equal(one.status, other.status)
    assert np.array_equal(one.status[1:], third.status[:-1]), "an environment's chance is its own, whatever its place"
    assert not np.array_equal(one.status, third.status)


@pytest.mark.parametrize("family", GAMES)
def test_permuted_codes_are_another_name_for_the_same(family: str) -> None:
    objects, colours = [0, 1, 9, 8, 7, 2, 3, 4, 5, 6, 10], [3, 0, 5, 1, 2, 4]
    plain, permuted = game(family, 30), game(family, 30, permute_objects=objects, permute_colours=colours)
    for worlds in (plain, permuted):
        our_side.start(worlds, range(30))
    rng = np.random.default_rng(0)
    for _ in range(20):
        seen, shown = images(plain), images(permuted)
        expected = seen.copy()
        expected[..., 0] = np.array(objects)[seen[..., 0]]
        expected[..., 1] = np.where(seen[..., 0] > 1, np.array(colours)[seen[..., 1]], 0)
        assert np.array_equal(shown, expected)
        actions = our_side.useful(rng, plain)
        for one, two in zip(plain.step(actions), permuted.step(actions), strict=True):
            assert np.array_equal(one, two)
        assert all(np.array_equal(array, permuted.get_state()[name]) for name, array in plain.get_state().items())


@pytest.mark.parametrize("seed", range(20))
def test_a_seed_gives_a_permutation(seed: int) -> None:
    table = setting("empty", {"permute_objects": seed, "permute_colours": seed}).dials.codes()
    again = setting("empty", {"permute_objects": seed, "permute_colours": seed}).dials.codes()
    assert np.array_equal(table, again)
    shown = table.view(np.uint8).reshape(len(table), 4)[:, 1:]  # light, kind, colour, state
    looks = [kind | colour << 4 for kind in range(2, 10) for colour in range(6)]
    assert len({tuple(shown[look]) for look in looks}) == len(looks)
    assert sorted({int(shown[look, 0]) for look in looks}) == list(range(2, 10))


@pytest.mark.parametrize("number", [1, 4])
@pytest.mark.parametrize("family", GAMES)
def test_distractors_hinder_nobody(family: str, number: int) -> None:
    plain, _ = begun(family, 40, 0)
    more, given = begun(family, 40, 0, distractors=number)
    added = plain.cells != more.cells
    assert np.array_equal(plain.status, more.status)
    assert (plain.cells[added] == c.EMPTY).all()
    assert np.isin(more.cells[added] & 15, (c.KEY, c.BALL, c.BOX)).all()
    assert not (more.cells[added] >> 9).any(), "they hold nothing, and none is the one to pick up"
    assert added.sum(axis=(1, 2)).max() == number
    assert added.sum() >= 0.5 * 40 * number
    ending = more.setting.family.ending
    assert solvable_each(more.cells, more.status, more.obstacles, ending).all()
    for index, (world, where) in enumerate(zip(given[:6], added[:6], strict=True)):
        looks = world[0][where] & 0x7F
        assert not np.isin(looks, plain.cells[index] & 0x7F).any(), "like nothing that belongs to the level"
        way = search.way(search.without_obstacles(world, ending), ending)
        assert way is not None


@pytest.mark.parametrize("family", GAMES)
def test_kinds_of_reward_differ_in_the_reward_alone(family: str) -> None:
    kinds = {
        kind: game(family, 200, reward=kind, **({"stage_reward": 0.25} if kind == "stages" else {}))
        for kind in ("minigrid", "goal", "stages")
    }
    name, arguments = GAMES[family]
    before = layouts((name, arguments), kinds["minigrid"], 200, seed=11)
    chance = kinds["minigrid"].chance
    for worlds in kinds.values():
        our_side.set_each(worlds, before)
        worlds.chance[:] = chance
    rng, live, succeeded = np.random.default_rng(0), np.ones(200, dtype=bool), 0
    for _ in range(25):
        actions = our_side.useful(rng, kinds["minigrid"])
        stage = kinds["stages"].status[:, c.STAGE].copy()
        results = {kind: worlds.step(actions) for kind, worlds in kinds.items()}
        rewards = {kind: result[0][live] for kind, result in results.items()}
        success = rewards["minigrid"] > 0
        succeeded += success.sum()
        assert np.array_equal(rewards["goal"], np.where(success, 1.0, rewards["minigrid"]))
        new = np.bitwise_count(kinds["stages"].status[live, c.STAGE] & ~stage[live])
        assert rewards["stages"] == pytest.approx(rewards["minigrid"] + 0.25 * new)
        for kind in ("goal", "stages"):
            assert np.array_equal(results["minigrid"][1:], results[kind][1:])
            assert np.array_equal(kinds["minigrid"].cells, kinds[kind].cells)
        live &= ~(results["minigrid"][1] | results["minigrid"][2])
    assert succeeded


TOO_SMALL = {
    "empty": ({"size": 3}, "Empty's size is 3: expected a whole number from 4"),
    "four_rooms": ({"goal_pos": (9, 9)}, "FourRooms's goal_pos is (9, 9), where its walls meet"),
    "door_key": ({"size": 4}, "DoorKey's size is 4: expected a whole number from 5"),
    "multi_room": ({"maxRoomSize": 3}, "MultiRoom's maxRoomSize is 3: expected a whole number from 4"),
    "unlock": ({"room_size": 3}, "Unlock's room_size is 3: expected a whole number from 4"),
    "unlock_pickup": ({"room_size": 3}, "UnlockPickup's room_size is 3: expected a whole number from 4"),
    "blocked_unlock_pickup": ({"room_size": 3}, "BlockedUnlockPickup's room_size is 3: expected a whole number from 4"),
    "key_corridor": ({"room_size": 2}, "KeyCorridor's room_size is 2: expected a whole number from 3"),
    "locked_room": ({"size": 12}, "LockedRoom's size is 12: expected a whole number from 13"),
    "lava_gap": ({"size": 4}, "LavaGap's size is 4: expected a whole number from 5"),
    "crossing": ({"size": 8}, "Crossing's size is 8: expected an odd number, 7 or 9"),
    "dist_shift": ({"strip2_row": 6}, "DistShift's strip2_row is 6: expected a whole number from 1 to 5"),
    "dynamic_obstacles": ({"size": 4}, "DynamicObstacles's size is 4: expected a whole number from 5"),
    "go_to_door": ({"size": 4}, "GoToDoor's size is 4: expected a whole number from 5"),
    "fetch": ({"size": 5, "numObjs": 9}, "Fetch's numObjs is 9, with the agent more than the 9 cells of size 5"),
    "obstructed_maze_1dlhb": ({"room_size": 3}, "ObstructedMaze's room_size is 3: expected a whole number from 4"),
    "obstructed_maze_full": ({"agent_room": (0, 0)}, "ObstructedMaze's agent_room is (0, 0): expected (1, 1) or"),
    "obstructed_maze_full_v1": ({"num_quarters": 5}, "ObstructedMaze's num_quarters is 5: expected a whole number"),
}


@pytest.mark.parametrize("family", all_families())
def test_a_level_that_cannot_be_is_told_in_one_line(family: str) -> None:
    arguments, words = TOO_SMALL[family]
    with pytest.raises(ConfigError) as caught:
        GridVectorEnv(2, family=family, **arguments)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_rooms_that_never_fit_are_told_in_one_line() -> None:
    envs = GridVectorEnv(1, family="multi_room", minNumRooms=40, maxNumRooms=40)
    with pytest.raises(ConfigError, match=r"MultiRoom's rooms do not fit: .*expected a smaller maxNumRooms"):
        envs.reset(seed=0)
