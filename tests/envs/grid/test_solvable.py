"""Every level that our generators draw can be solved, and one that cannot is recognised."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from envs.grid import cells as c
from envs.grid.solvable import solvable, solvable_each
from envs.grid.worlds import Worlds
from tests.envs.grid import minigrid_side, our_side, search
from tests.envs.grid.minigrid_side import World
from tests.envs.grid.our_side import SETUPS, Setup

WALKING = (c.TURN_LEFT, c.TURN_RIGHT, c.FORWARD)
HANDLING = (*WALKING, c.PICKUP, c.DROP, c.TOGGLE)
TRIED = {"GoToDoor": (*WALKING, c.DONE), "Fetch": (*WALKING, c.PICKUP, c.TOGGLE), "MultiRoom": (*WALKING, c.TOGGLE)}
"""Enough to solve these families; the others may want all of HANDLING, or walk only."""
HANDLED = ("DoorKey", "Unlock", "UnlockPickup", "BlockedUnlockPickup", "KeyCorridor", "LockedRoom", "ObstructedMaze")
LARGE = ("KeyCorridorS5", "KeyCorridorS6", "LockedRoom", "DoorKey-16", *(f"ObstructedMaze-{size}" for size in "12F"))
"""Too many states to try all."""
GAMES = {family: [setup for setup in setups if "max_steps" not in setup[1]] for family, setups in SETUPS.items()}
"""Those with as many steps as MiniGrid gives."""
ONE_BY_ONE = [
    pytest.param(family, setup, id="-".join(map(str, (setup[0], *setup[1].values()))))
    for family, setups in GAMES.items()
    for setup in setups
]


def drawn(setup: Setup, count: int, seed: int) -> tuple[Worlds, list[World]]:
    """So many worlds of a game, and copies of what they are at the start."""
    worlds = our_side.make(*setup, count=count)
    our_side.start(worlds, range(seed, seed + count))
    return worlds, [tuple(part.copy() for part in world) for world in our_side.each(worlds)]


def tried(family: str) -> tuple[int, ...]:
    return TRIED.get(family, HANDLING if family in HANDLED else WALKING)


def solvable_all(worlds: Worlds, given: list[World]) -> np.ndarray:
    cells, status, obstacles = (np.array(part) for part in zip(*given, strict=True))
    found: np.ndarray = solvable_each(cells, status, obstacles, worlds.setting.family.ending)
    return found


def assert_solvable(setup: Setup, count: int, seed: int) -> None:
    """By a way through each level that is found in plain Python and then gone in the engine, in the time there is."""
    worlds, given = drawn(setup, count, seed)
    given = [search.without_obstacles(world, worlds.setting.family.ending) for world in given]
    ways = [search.way(world, worlds.setting.family.ending) for world in given]
    lost = [index for index, way in enumerate(ways) if way is None]
    assert not lost, f"{setup} from seeds {[seed + index for index in lost]}: no way was found"
    assert (search.replayed(worlds, given, ways) > 0).all()
    assert max(map(len, ways)) <= worlds.rules.max_steps


@pytest.mark.parametrize("family", SETUPS)
def test_some_levels_of_each_family_can_be_solved(family: str) -> None:
    for setup in GAMES[family]:
        assert_solvable(setup, 1 if "Full" in setup[0] else 4, seed=0)
        worlds, given = drawn(setup, 100, seed=100)
        assert solvable_all(worlds, given).all()


@pytest.mark.slow
@pytest.mark.parametrize(("family", "setup"), ONE_BY_ONE)
def test_thousands_of_levels_of_each_game_can_be_solved(family: str, setup: Setup) -> None:
    assert_solvable(setup, 20 if "Full" in setup[0] else 200, seed=1_000_000)
    worlds, given = drawn(setup, 10_000, seed=2_000_000)
    assert solvable_all(worlds, given).all()


def assert_exactly_solvable(family: str, setup: Setup, count: int, seed: int) -> None:
    """By trying all actions, until one ends the episode well."""
    worlds, given = drawn(setup, count, seed)
    laboratory = our_side.make(*setup, count=1024)
    given = [search.without_obstacles(world, worlds.setting.family.ending) for world in given]
    ways = [search.exact_way(laboratory, world, tried(family)) for world in given]
    assert None not in ways
    assert (search.replayed(worlds, given, ways) > 0).all()
    others = [search.way(world, worlds.setting.family.ending) for world in given]
    assert all(len(way) <= len(other) for way, other in zip(ways, others, strict=True))


@pytest.mark.parametrize("family", SETUPS)
def test_trying_everything_solves_small_levels(family: str) -> None:
    for setup in GAMES[family][:2]:
        if not setup[0].startswith(LARGE):
            assert_exactly_solvable(family, setup, 3, seed=0)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "setup"), ONE_BY_ONE)
def test_trying_everything_solves_levels(family: str, setup: Setup) -> None:
    if not setup[0].startswith(LARGE):
        assert_exactly_solvable(family, setup, 30, seed=3_000_000)


def _cleared(world: World, kind: int) -> World:
    cells, status, obstacles = world
    return np.where(cells & 15 == kind, np.uint16(c.EMPTY), cells), status, obstacles


def _walled_in(world: World, kind: int) -> World:
    """Every such thing with walls in place of what lies around it; where the agent stands it is moved away."""
    cells, status, obstacles = (part.copy() for part in world)
    for y, x in np.argwhere(cells & 15 == kind):
        for beside in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= beside[0] < cells.shape[0] and 0 <= beside[1] < cells.shape[1]:
                cells[beside] = c.WALL
    here = tuple(status[[c.Y, c.X]])
    free = np.argwhere(cells == c.EMPTY)
    if cells[here] != c.EMPTY and len(free):
        status[[c.Y, c.X]] = free[0]
    return cells, status, obstacles


def _recoloured(world: World, kind: int) -> World:
    """Such things in the next colour."""
    cells, status, obstacles = world
    colour = (cells >> 4 & 7) + 1
    return np.where(cells & 15 == kind, cells & ~np.uint16(0x70) | colour % 6 << 4, cells), status, obstacles


def _in_lava(world: World, kind: int) -> World:
    cells, status, obstacles = _walled_in(world, kind)
    inner = np.zeros(cells.shape, dtype=bool)
    inner[1:-1, 1:-1] = True
    return np.where(inner & (cells == c.WALL), np.uint16(c.LAVA), cells), status, obstacles


def _locked(world: World, kind: int) -> World:
    cells, status, obstacles = world
    return np.where(cells & 15 == kind, cells & 0x7F | c.LOCKED << 7, cells).astype(np.uint16), status, obstacles


SPOILT: dict[str, tuple[str, Setup, Callable[[World, int], World], int]] = {
    "no goal": ("Empty", ("Empty-Random-6x6-v0", {}), _cleared, c.GOAL_KIND),
    "a goal between walls": ("Empty", ("Empty-Random-6x6-v0", {}), _walled_in, c.GOAL_KIND),
    "a goal in lava": ("FourRooms", ("FourRooms-v0", {}), _in_lava, c.GOAL_KIND),
    "no key": ("DoorKey", ("DoorKey-6x6-v0", {}), _cleared, c.KEY),
    "another key": ("DoorKey", ("DoorKey-6x6-v0", {}), _recoloured, c.KEY),
    "another door": ("Unlock", ("Unlock-v0", {}), _recoloured, c.DOOR),
    "a walled door": ("Unlock", ("Unlock-v0", {}), _walled_in, c.DOOR),
    "nothing to pick up": ("UnlockPickup", ("UnlockPickup-v0", {"room_size": 4}), _cleared, c.BOX),
    "no key behind the ball": ("BlockedUnlockPickup", ("BlockedUnlockPickup-v0", {"room_size": 4}), _cleared, c.KEY),
    "no key in the corridor": ("KeyCorridor", ("KeyCorridorS3R2-v0", {}), _cleared, c.KEY),
    "doors without keys": ("MultiRoom", ("MultiRoom-N2-S4-v0", {}), _locked, c.DOOR),
    "a door between walls": ("GoToDoor", ("GoToDoor-6x6-v0", {}), _walled_in, c.DOOR),
    "a ball between walls": ("Fetch", ("Fetch-6x6-N2-v0", {}), _walled_in, c.BALL),
    "no box with a key": ("ObstructedMaze", ("ObstructedMaze-1Dlhb-v0", {"room_size": 4}), _cleared, c.BOX),
    "no way for lava": ("LavaGap", ("LavaGapS6-v0", {}), _in_lava, c.GOAL_KIND),
    "obstacles and no goal": ("Dynamic-Obstacles", ("Dynamic-Obstacles-6x6-v0", {}), _cleared, c.GOAL_KIND),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_a_level_that_cannot_be_solved_is_recognised(fault: str) -> None:
    family, setup, spoil, kind = SPOILT[fault]
    worlds, given = drawn(setup, 8, seed=40)
    laboratory, ending = our_side.make(*setup, count=1024), worlds.setting.family.ending
    if fault == "a ball between walls":
        given = [world for world in given if world[1][c.TARGET_A] == c.BALL]
    for world in given:
        whole, spoilt = (search.without_obstacles(part, ending) for part in (world, spoil(world, kind)))
        assert solvable(*whole, ending)
        assert not solvable(*spoilt, ending)
        assert search.way(spoilt, ending) is None
        assert search.exact_way(laboratory, spoilt, tried(family)) is None


def crammed(rng: np.random.Generator, world: World, barrier: int, things: int) -> World:
    """The world with barriers strewn over it, and its things, and some more, somewhere else."""
    cells, status, obstacles = (part.copy() for part in world)
    free = cells == c.EMPTY
    free[status[c.Y], status[c.X]] = False
    cells[free & (rng.random(cells.shape) < 0.15)] = barrier
    moved = [cells[tuple(place)] for place in np.argwhere(np.isin(cells & 15, (c.KEY, c.BALL, c.BOX)))]
    cells[np.isin(cells & 15, (c.KEY, c.BALL, c.BOX))] = c.EMPTY
    moved += [int(rng.choice([c.BALL, c.KEY, c.BOX])) | int(rng.integers(6)) << 4 for _ in range(things)]
    for thing in moved:
        places = np.argwhere((cells == c.EMPTY) & free)
        if len(places):
            cells[tuple(places[rng.integers(len(places))])] = thing
    return cells, status, obstacles


@pytest.mark.parametrize(
    ("family", "setup", "things", "missed"),
    [
        ("DoorKey", ("DoorKey-5x5-v0", {}), 0, 0),
        ("DoorKey", ("DoorKey-6x6-v0", {}), 1, 0.02),
        ("UnlockPickup", ("UnlockPickup-v0", {"room_size": 4}), 0, 0.02),
        ("MultiRoom", ("MultiRoom-N2-S4-v0", {}), 0, 0),
        ("Fetch", ("Fetch-6x6-N2-v0", {}), 3, 0),
        ("FourRooms", ("FourRooms-v0", {}), 0, 0),
    ],
)
@pytest.mark.parametrize("barrier", [c.WALL, c.LAVA])
def test_what_is_called_solvable_is(family: str, setup: Setup, things: int, missed: float, barrier: int) -> None:
    """In strewn levels, too: never wrongly, and seldom not, though there may be no room to put a thing down."""
    worlds, given = drawn(setup, 60, seed=500)
    rng, laboratory = np.random.default_rng(0), our_side.make(*setup, count=1024)
    strewn = [crammed(rng, world, barrier, things) for world in given]
    said = solvable_all(worlds, strewn)
    true = np.array([search.exact_way(laboratory, world, tried(family)) is not None for world in strewn])
    assert 0.1 < true.mean() < 0.95
    assert not (said & ~true).any()
    assert (true & ~said).sum() <= missed * true.sum()


def test_minigrids_mazes_without_a_key_are_recognised() -> None:
    """In its first version a ball may take the place of a box with a key that opens the only way to the target."""
    setup: Setup = ("ObstructedMaze-2Dlhb-v0", {})
    worlds = our_side.make(*setup, count=1)
    given = our_side.taken(*setup, worlds.setting.missions, range(200))
    said = solvable_all(worlds, given)
    assert 2 < (~said).sum() < 30
    for world in [world for world, can in zip(given, said, strict=True) if not can]:
        assert (world[0] & 15 == c.BOX).sum() == 1
        assert search.way(world, worlds.setting.family.ending, most=100) is None


def test_nothing_is_changed_by_looking() -> None:
    worlds, _ = drawn(("ObstructedMaze-1Dlhb-v0", {}), 5, seed=0)
    before = worlds.get_state()
    solvable_each(worlds.cells, worlds.status, worlds.obstacles, worlds.setting.family.ending)
    assert all(np.array_equal(before[name], array) for name, array in worlds.get_state().items())


def test_ways_succeed_in_minigrid_too() -> None:
    for name in ("DoorKey-8x8-v0", "BlockedUnlockPickup-v0", "ObstructedMaze-1Q-v1", "LockedRoom-v0"):
        worlds, given = drawn((name, {}), 3, seed=9)
        env: Any = minigrid_side.make(name)
        for world in given:
            way = search.way(world, worlds.setting.family.ending)
            assert way is not None
            minigrid_side.put(env, world, worlds.setting.missions[world[1][c.MISSION]])
            for action in way:
                _, reward, terminated, _, _ = env.step(action)
            assert terminated
            assert reward == 1 - 0.9 * (len(way) / worlds.rules.max_steps)
