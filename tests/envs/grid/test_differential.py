"""Our grid worlds against MiniGrid's own environments, world by world and step by step."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from envs.grid import cells as c
from envs.grid.vector import GridVectorEnv
from envs.grid.worlds import Worlds
from tests.envs.grid import minigrid_side, our_side, search
from tests.envs.grid.minigrid_side import World
from tests.envs.grid.our_side import SETUPS, Setup

STEPS = 25
"""From each layout."""
SAMPLE, PROOF = 60, 10_000
"""Layouts a family."""
BATCH = 500
FAMILIES = tuple(SETUPS)

HAPPENINGS = {
    "Empty": {"goal", "truncated"},
    "FourRooms": {"goal", "truncated"},
    "DoorKey": {"goal", "truncated", "picked up", "dropped", "unlocked", "wrong key", "opened", "closed", "kept out"},
    "MultiRoom": {"goal", "truncated", "opened", "closed", "walked through"},
    "Unlock": {"success", "truncated", "picked up", "dropped", "unlocked", "wrong key", "opened", "kept out"},
    "UnlockPickup": {"success", "truncated", "picked up", "dropped", "unlocked", "wrong key", "opened", "box emptied"},
    "BlockedUnlockPickup": {
        "success",
        "truncated",
        "picked up",
        "dropped",
        "unlocked",
        "wrong key",
        "opened",
        "box emptied",
    },
    "KeyCorridor": {
        "success",
        "truncated",
        "picked up",
        "dropped",
        "unlocked",
        "wrong key",
        "opened",
        "closed",
        "box emptied",
    },
    "LockedRoom": {
        "goal",
        "truncated",
        "picked up",
        "dropped",
        "unlocked",
        "wrong key",
        "opened",
        "closed",
        "kept out",
    },
    "LavaGap": {"goal", "truncated", "lava"},
    "LavaCrossing": {"goal", "truncated", "lava"},
    "SimpleCrossing": {"goal", "truncated"},
    "DistShift": {"goal", "truncated", "lava"},
    "Dynamic-Obstacles": {"goal", "truncated", "bumped", "ran into a ball", "followed a ball", "stuck ball"},
    "GoToDoor": {"success", "truncated", "opened", "done in vain"},
    "Fetch": {"success", "truncated", "picked up", "wrong pick"},
    "ObstructedMaze": {
        "success",
        "truncated",
        "picked up",
        "dropped",
        "unlocked",
        "wrong key",
        "opened",
        "box emptied",
        "key found",
    },
}
"""What has to come up in each family's play for a comparison to mean something."""


@dataclass
class Play:
    """Some steps of many worlds; (steps, n, ...) each, and the worlds before them and after, (n, ...)."""

    before: list[World]
    actions: np.ndarray
    moves: np.ndarray
    images: np.ndarray
    directions: np.ndarray
    rewards: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    cells: np.ndarray
    status: np.ndarray
    missions: Sequence[str]

    @property
    def lengths(self) -> np.ndarray:
        """Steps to the first end, in each world."""
        ended = self.terminated | self.truncated
        return np.where(ended.any(axis=0), ended.argmax(axis=0) + 1, len(ended))


def play(worlds: Worlds, before: list[World], rng: np.random.Generator, moves: np.ndarray, actions: Any = None) -> Play:
    """Our side. `moves` (steps, n, k, 2) are where the obstacles go; the actions are drawn unless given."""
    our_side.set_each(worlds, before)
    taken, seen, results = [], [worlds.observe()], []
    cells, status = [worlds.cells.copy()], [worlds.status.copy()]
    for step in range(len(moves)):
        taken.append(our_side.useful(rng, worlds) if actions is None else actions[step])
        results.append(worlds.step(taken[-1], moves[step] if moves.shape[2] else None))
        seen.append(worlds.observe())
        cells.append(worlds.cells.copy())
        status.append(worlds.status.copy())
    as_dict = worlds.setting.as_dict
    images = np.array([one["image"] if as_dict else one for one in seen])
    rewards, terminated, truncated = (np.array(part) for part in zip(*results, strict=True))
    if as_dict:
        assert all(np.array_equal(one["mission"], status[0][:, c.MISSION]) for one in seen)
        assert all(
            np.array_equal(one["direction"], rows[:, c.DIRECTION]) for one, rows in zip(seen, status, strict=True)
        )
    return Play(
        before,
        np.array(taken),
        moves,
        images,
        np.array(status)[:, :, c.DIRECTION],
        rewards,
        terminated,
        truncated,
        np.array(cells),
        np.array(status),
        worlds.setting.missions,
    )


def compare(env: Any, ours: Play) -> int:
    """Step MiniGrid's environment through each world as ours was, and compare all. Returns the number of steps."""
    steps = 0
    for index, length in enumerate(ours.lengths.tolist()):
        minigrid_side.put(env, ours.before[index], ours.missions[ours.before[index][1][c.MISSION]], index)
        _same_sight(env.gen_obs(), ours, 0, index)
        for step in range(length):
            observation, reward, terminated, truncated, _ = env.step(int(ours.actions[step, index]))
            assert np.array_equal(minigrid_side.places(env), ours.moves[step, index])
            _same_sight(observation, ours, step + 1, index)
            found = (np.float64(reward).tobytes(), terminated, truncated)
            assert found == (
                ours.rewards[step, index].tobytes(),
                bool(ours.terminated[step, index]),
                bool(ours.truncated[step, index]),
            ), _where(env, ours, step + 1, index)
        _same_world(env, ours, length, index)
        steps += length
    return steps


def _same_sight(observation: dict[str, Any], ours: Play, step: int, index: int) -> None:
    image = ours.images[step, index]
    assert observation["image"].dtype == image.dtype
    assert np.array_equal(observation["image"], image), _where(None, ours, step, index)
    assert observation["direction"] == ours.directions[step, index], _where(None, ours, step, index)
    assert observation["mission"] == ours.missions[ours.status[step, index, c.MISSION]]


def _same_world(env: Any, ours: Play, step: int, index: int) -> None:
    """Also what is not seen: box contents, which object is wanted, where an obstacle went."""
    cells, status, _ = minigrid_side.take(env, ours.missions)
    assert np.array_equal(cells, ours.cells[step, index]), _where(env, ours, step, index)
    columns = [c.X, c.Y, c.DIRECTION, c.CARRYING, c.STEPS, c.MISSION]
    assert np.array_equal(status[columns], ours.status[step, index, columns]), _where(env, ours, step, index)


def _where(env: Any, ours: Play, step: int, index: int) -> str:
    """For the reader of a failure: the world and the actions."""
    drawn = "" if env is None else f"\nMiniGrid now:\n{env.pprint_grid()}"
    return (
        f"world {index}, after step {step}: actions {ours.actions[:step, index].tolist()} from status "
        f"{ours.before[index][1].tolist()}, obstacles {ours.before[index][2].tolist()}, cells\n"
        f"{ours.before[index][0].tolist()}\nours: {ours.status[step, index].tolist()}{drawn}"
    )


def moved(env: Any, worlds: Worlds, before: list[World], rng: np.random.Generator, steps: int) -> tuple[Any, Any]:
    """Actions (steps, n), and the places (steps, n, k, 2) to which MiniGrid's chance moves the obstacles meanwhile."""
    actions = rng.integers(0, 3, (steps, len(before)))
    bold = rng.random((steps, len(before)))
    moves = np.zeros((steps, *worlds.obstacles.shape), dtype=np.int16)
    for index, world in enumerate(before):
        minigrid_side.put(env, world, worlds.setting.missions[0], index)
        ended = False
        for step in range(steps):
            if not ended:
                ahead = env.grid.get(*env.front_pos)
                free = ahead is None or ahead.type == "goal"
                chosen = c.FORWARD if bold[step, index] < (0.6 if free else 0.1) else actions[step, index] % 2
                actions[step, index] = chosen
                _, _, terminated, truncated, _ = env.step(int(actions[step, index]))
                ended = terminated or truncated
            moves[step, index] = minigrid_side.places(env)
    return actions, moves


def happened(ours: Play, ending: int) -> Counter[str]:
    """What came up, and how often."""
    found: Counter[str] = Counter()
    for index, length in enumerate(ours.lengths.tolist()):
        for step in range(length):
            found.update(_happened(ours, step, index, ending))
    return found


def _happened(ours: Play, step: int, index: int, ending: int) -> Sequence[str]:
    cells, status = ours.cells[step, index], ours.status[step, index]
    action, after = int(ours.actions[step, index]), ours.status[step + 1, index]
    seen = int(our_side.ahead(cells[None], status[None])[0])
    now = int(our_side.ahead(ours.cells[step + 1, index][None], status[None])[0])
    kind, reward, terminated = seen & 15, ours.rewards[step, index], ours.terminated[step, index]
    went = (after[[c.X, c.Y]] != status[[c.X, c.Y]]).any()
    door, blocked = kind == c.DOOR and action == c.TOGGLE, ending == c.ENDING_OBSTACLES and action == c.FORWARD
    checks = {
        "truncated": ours.truncated[step, index],
        "goal": kind == c.GOAL_KIND and action == c.FORWARD and reward > 0 and terminated,
        "success": kind != c.GOAL_KIND and reward > 0 and terminated,
        "lava": kind == c.LAVA_KIND and terminated,
        "picked up": status[c.CARRYING] == c.EMPTY != after[c.CARRYING],
        "dropped": status[c.CARRYING] != c.EMPTY == after[c.CARRYING],
        "unlocked": door and seen >> 7 == c.LOCKED and now >> 7 == c.OPEN_DOOR,
        "kept out": door and seen >> 7 == c.LOCKED and now >> 7 == c.LOCKED,
        "wrong key": door and seen >> 7 == c.LOCKED == now >> 7 and status[c.CARRYING] & 15 == c.KEY,
        "opened": door and seen >> 7 != c.OPEN_DOOR and now >> 7 == c.OPEN_DOOR,
        "closed": door and seen >> 7 == c.OPEN_DOOR and now >> 7 == c.CLOSED,
        "walked through": kind == c.DOOR and went,
        "box emptied": kind == c.BOX and action == c.TOGGLE,
        "key found": kind == c.BOX and now & 15 == c.KEY,
        "done in vain": action == c.DONE and terminated and reward == 0,
        "wrong pick": status[c.CARRYING] != after[c.CARRYING] and terminated and reward == 0,
        "bumped": blocked and kind == c.WALL_KIND and reward == -1,
        "ran into a ball": blocked and kind == c.BALL and reward == -1 and not went,
        "followed a ball": blocked and kind == c.BALL and reward == -1 and went,
        "stuck ball": step > 0 and (ours.moves[step, index] == ours.moves[step - 1, index]).all(axis=-1).any(),
    }
    return [name for name, found in checks.items() if found]


def layouts(setup: Setup, worlds: Worlds, count: int, seed: int) -> list[World]:
    """Half of them ours, half MiniGrid's; two in three of them stirred."""
    name, arguments = setup
    our_side.start(worlds, range(seed, seed + worlds.count))
    ours = [tuple(part.copy() for part in world) for world in our_side.each(worlds)][: count - count // 2]
    drawn = ours + our_side.taken(name, arguments, worlds.setting.missions, range(seed, seed + count // 2))
    rng, ending = np.random.default_rng(seed), worlds.setting.family.ending
    return [our_side.stirred(rng, world, ending, worlds.rules.max_steps) for world in drawn]


def proven(family: str, count: int, seed: int) -> tuple[int, int, Counter[str]]:
    """Layouts and steps compared, and what happened in them."""
    layouts_compared, steps, found = 0, 0, Counter[str]()
    setups = SETUPS[family]
    for turn, setup in enumerate(setups):
        share = -(-count // len(setups))
        for start in range(0, share, BATCH):
            size = min(BATCH, share - start)
            worlds, env = our_side.make(*setup, count=size), minigrid_side.make(*setup)
            before = layouts(setup, worlds, size, seed + 100_000 * turn + start)
            ours = _played(env, worlds, before, np.random.default_rng(seed + start))
            steps += compare(env, ours)
            layouts_compared += len(before)
            found += happened(ours, worlds.setting.family.ending)
    return layouts_compared, steps, found


def _played(env: Any, worlds: Worlds, before: list[World], rng: np.random.Generator) -> Play:
    if len(before) < worlds.count:
        before = before + before[: worlds.count - len(before)]
    if worlds.obstacles.shape[1]:
        actions, moves = moved(env, worlds, before, rng, STEPS)
        return play(worlds, before, rng, moves, actions)
    return play(worlds, before, rng, np.zeros((STEPS, worlds.count, 0, 2), dtype=np.int16))


@pytest.mark.parametrize("family", FAMILIES)
def test_some_worlds_of_each_family_go_on_as_minigrids(family: str) -> None:
    compared, steps, found = proven(family, SAMPLE, seed=0)
    assert compared >= SAMPLE
    assert steps > 5 * SAMPLE
    assert found["truncated"]
    assert found["goal"] + found["success"]


@pytest.mark.parametrize("family", ["DoorKey", "UnlockPickup", "Fetch", "GoToDoor"])
def test_every_action_on_everything_with_everything_in_hand(family: str) -> None:
    """One step each: all that can lie ahead, all that can be carried, all actions."""
    setup = SETUPS[family][0]
    worlds, env = our_side.make(*setup, count=1), minigrid_side.make(*setup)
    our_side.start(worlds, [1])
    cells, status, obstacles = next(our_side.each(worlds))
    cells[cells & c.WANTED > 0] = c.EMPTY
    cells[1:4, 1:3], status[[c.X, c.Y, c.DIRECTION]] = c.EMPTY, (1, 2, c.RIGHT)
    hues = [colour << 4 for colour in range(6)]
    things = [kind | hue for kind in (c.FLOOR, c.KEY, c.BALL, c.BOX) for hue in hues] + [
        c.EMPTY,
        c.WALL,
        c.GOAL,
        c.LAVA,
    ]
    doors = [c.DOOR | hue | state << 7 for hue in hues for state in range(3)]
    special = [c.BOX | c.GREY << 4 | c.HOLDS_KEY | c.RED << 10]
    special += [c.BOX | c.RED << 4 | c.WANTED] if family == "UnlockPickup" else []
    carried = [c.EMPTY, c.BALL | c.BLUE << 4, *(c.KEY | hue for hue in hues), special[0]]
    before, chosen = [], []
    for thing in things + doors + special:
        for hands in carried if family != "Fetch" else [c.EMPTY]:
            for action in range(7):
                world = (cells.copy(), status.copy(), obstacles)
                world[0][2, 2], world[1][c.CARRYING] = thing, hands
                before.append(world)
                chosen.append(action)
    many = our_side.make(*setup, count=len(before))
    none = np.zeros((1, len(before), 0, 2), dtype=np.int16)
    assert compare(env, play(many, before, np.random.default_rng(0), none, np.array([chosen]))) == len(before)


@pytest.mark.parametrize("family", FAMILIES)
def test_whole_episodes_go_on_as_minigrids_to_their_good_end(family: str) -> None:
    for setup in SETUPS[family]:
        count = 1 if "Full" in setup[0] or family == "Dynamic-Obstacles" else 3
        worlds, env = our_side.make(*setup, count=count), minigrid_side.make(*setup)
        our_side.start(worlds, range(30, 30 + count))
        before = [tuple(part.copy() for part in world) for world in our_side.each(worlds)]
        if family == "Dynamic-Obstacles":
            actions, moves = moved(env, worlds, before, np.random.default_rng(0), 300)
        else:
            actions = _padded([search.way(world, worlds.setting.family.ending) or [] for world in before])
            moves = np.zeros((len(actions), count, 0, 2), dtype=np.int16)
        ours = play(worlds, before, np.random.default_rng(0), moves, actions)
        succeeded = (ours.rewards > 0).any(axis=0)
        assert succeeded.all() or "max_steps" in setup[1] or family == "Dynamic-Obstacles"
        compare(env, ours)


def _padded(ways: Sequence[Sequence[int]]) -> np.ndarray:
    """(steps, n), turning on the spot after the end."""
    actions = np.zeros((max(map(len, ways)), len(ways)), dtype=np.int64)
    for index, way in enumerate(ways):
        actions[: len(way), index] = way
    return actions


@pytest.mark.parametrize("family", FAMILIES)
def test_the_batch_goes_on_as_minigrids_from_episode_to_episode(family: str) -> None:
    """Through the vector environment: last observations, and the worlds that it draws and starts by itself."""
    name, arguments = SETUPS[family][0]
    envs = GridVectorEnv(3, **our_side.keywords(name, {**arguments, "max_steps": 20, "observation": "dict"}))
    peers = [minigrid_side.make(name, {**arguments, "max_steps": 20}) for _ in range(3)]
    rng, ends = np.random.default_rng(0), 0
    seen, _ = envs.reset(seed=5)
    for _ in range(60):
        for index, peer in enumerate(peers):
            world = [envs.get_state()[part][index] for part in ("cells", "status", "obstacles")]
            minigrid_side.put(peer, (world[0], world[1], world[2]), envs.missions[seen["mission"][index]])
            _same_dict(peer.gen_obs(), {part: values[index] for part, values in seen.items()}, envs.missions)
        actions = our_side.useful(rng, envs.worlds)
        if family == "Dynamic-Obstacles":  # what it draws cannot be fed to MiniGrid: observations only
            seen, *_ = envs.step(actions)
            continue
        expected = [peer.step(int(action)) for peer, action in zip(peers, actions, strict=True)]
        seen, rewards, terminated, truncated, infos = envs.step(actions)
        for index, (last, reward, over, late, _) in enumerate(expected):
            assert (rewards[index], terminated[index], truncated[index]) == (reward, over, late)
            if over or late:
                _same_dict(last, infos["final_obs"][index], envs.missions)
                ends += 1
    assert ends >= 9 or family == "Dynamic-Obstacles"


def _same_dict(theirs: dict[str, Any], ours: dict[str, Any], missions: Sequence[str]) -> None:
    assert np.array_equal(theirs["image"], ours["image"])
    assert theirs["direction"] == ours["direction"]
    assert theirs["mission"] == missions[ours["mission"]]


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_ten_thousand_worlds_of_each_family_go_on_as_minigrids(family: str) -> None:
    compared, steps, found = proven(family, PROOF, seed=1_000_000)
    print(f"{family}: {compared} layouts, {steps} steps, {dict(found)}")
    assert compared >= PROOF
    assert HAPPENINGS[family] <= found.keys()
