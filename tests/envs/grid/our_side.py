"""Our side of the comparisons with MiniGrid: games, worlds in the middle of an episode, actions that do something."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from scipy import ndimage

from envs.grid import cells as c
from envs.grid.dials import setting
from envs.grid.worlds import Worlds
from envs.registration import register_games
from tests.envs.grid import minigrid_side
from tests.envs.grid.minigrid_side import World

Setup = tuple[str, dict[str, Any]]
"""A game's name, without the prefix, and arguments that are not its own."""

SETUPS: dict[str, tuple[Setup, ...]] = {
    "Empty": (
        ("Empty-5x5-v0", {}),
        ("Empty-Random-5x5-v0", {}),
        ("Empty-6x6-v0", {}),
        ("Empty-Random-6x6-v0", {}),
        ("Empty-8x8-v0", {}),
        ("Empty-16x16-v0", {}),
        ("Empty-8x8-v0", {"size": 12, "agent_start_pos": (4, 7), "agent_start_dir": 3, "max_steps": 30}),
    ),
    "FourRooms": (
        ("FourRooms-v0", {}),
        ("FourRooms-v0", {"agent_pos": (3, 4), "goal_pos": (12, 15)}),
        ("FourRooms-v0", {"goal_pos": (1, 1), "max_steps": 40}),
    ),
    "DoorKey": (
        ("DoorKey-5x5-v0", {}),
        ("DoorKey-6x6-v0", {}),
        ("DoorKey-8x8-v0", {}),
        ("DoorKey-16x16-v0", {}),
        ("DoorKey-8x8-v0", {"size": 11, "max_steps": 50}),
    ),
    "MultiRoom": (
        ("MultiRoom-N2-S4-v0", {}),
        ("MultiRoom-N4-S5-v0", {}),
        ("MultiRoom-N4-S5-v1", {}),
        ("MultiRoom-N6-v0", {}),
        ("MultiRoom-N6-v0", {"minNumRooms": 1, "maxNumRooms": 4, "maxRoomSize": 6, "width": 18, "height": 20}),
    ),
    "Unlock": (("Unlock-v0", {}), ("Unlock-v0", {"max_steps": 20})),
    "UnlockPickup": (("UnlockPickup-v0", {}), ("UnlockPickup-v0", {"max_steps": 20})),
    "BlockedUnlockPickup": (("BlockedUnlockPickup-v0", {}), ("BlockedUnlockPickup-v0", {"max_steps": 20})),
    "KeyCorridor": (
        ("KeyCorridorS3R1-v0", {}),
        ("KeyCorridorS3R2-v0", {}),
        ("KeyCorridorS3R3-v0", {}),
        ("KeyCorridorS4R3-v0", {}),
        ("KeyCorridorS5R3-v0", {}),
        ("KeyCorridorS6R3-v0", {}),
        ("KeyCorridorS4R3-v0", {"obj_type": "box", "num_rows": 2}),
        ("KeyCorridorS4R3-v0", {"obj_type": "key", "room_size": 5}),
    ),
    "LockedRoom": (("LockedRoom-v0", {}), ("LockedRoom-v0", {"max_steps": 35})),
    "LavaGap": (
        ("LavaGapS5-v0", {}),
        ("LavaGapS6-v0", {}),
        ("LavaGapS7-v0", {}),
        ("LavaGapS7-v0", {"size": 9, "obstacle_type": "wall"}),
    ),
    "LavaCrossing": (
        ("LavaCrossingS9N1-v0", {}),
        ("LavaCrossingS9N2-v0", {}),
        ("LavaCrossingS9N3-v0", {}),
        ("LavaCrossingS11N5-v0", {}),
    ),
    "SimpleCrossing": (
        ("SimpleCrossingS9N1-v0", {}),
        ("SimpleCrossingS9N2-v0", {}),
        ("SimpleCrossingS9N3-v0", {}),
        ("SimpleCrossingS11N5-v0", {}),
    ),
    "DistShift": (
        ("DistShift1-v0", {}),
        ("DistShift2-v0", {}),
        ("DistShift1-v0", {"agent_start_pos": None, "strip2_row": 4, "width": 11, "height": 8}),
    ),
    "Dynamic-Obstacles": (
        ("Dynamic-Obstacles-5x5-v0", {}),
        ("Dynamic-Obstacles-Random-5x5-v0", {}),
        ("Dynamic-Obstacles-6x6-v0", {}),
        ("Dynamic-Obstacles-Random-6x6-v0", {}),
        ("Dynamic-Obstacles-8x8-v0", {}),
        ("Dynamic-Obstacles-16x16-v0", {}),
        ("Dynamic-Obstacles-Random-5x5-v0", {"n_obstacles": 3}),
    ),
    "GoToDoor": (("GoToDoor-5x5-v0", {}), ("GoToDoor-6x6-v0", {}), ("GoToDoor-8x8-v0", {})),
    "Fetch": (
        ("Fetch-5x5-N2-v0", {}),
        ("Fetch-6x6-N2-v0", {}),
        ("Fetch-8x8-N3-v0", {}),
        ("Fetch-8x8-N3-v0", {"size": 7, "numObjs": 6}),
    ),
    "ObstructedMaze": (
        ("ObstructedMaze-1Dl-v0", {}),
        ("ObstructedMaze-1Dlh-v0", {}),
        ("ObstructedMaze-1Dlhb-v0", {}),
        ("ObstructedMaze-2Dl-v0", {}),
        ("ObstructedMaze-2Dlh-v0", {}),
        ("ObstructedMaze-2Dlhb-v0", {}),
        ("ObstructedMaze-2Dlhb-v1", {}),
        ("ObstructedMaze-1Q-v0", {}),
        ("ObstructedMaze-1Q-v1", {}),
        ("ObstructedMaze-2Q-v0", {}),
        ("ObstructedMaze-2Q-v1", {}),
        ("ObstructedMaze-Full-v0", {}),
        ("ObstructedMaze-Full-v1", {}),
    ),
}
"""The families, and for each all games that MiniGrid registers, and some of other sizes or lengths."""

REGISTERED = tuple(dict.fromkeys(name for setups in SETUPS.values() for name, _ in setups))


def keywords(name: str, arguments: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What the game of that name is made with."""
    register_games()
    return {**gym.registry[f"headstart/{name}"].kwargs, **(arguments or {})}


def make(name: str, arguments: Mapping[str, Any] | None = None, *, count: int) -> Worlds:
    """So many worlds of a game."""
    given = keywords(name, arguments)
    return Worlds(setting(given.pop("family"), given), count)


def start(worlds: Worlds, seeds: Sequence[int]) -> None:
    """Draw all worlds from these seeds."""
    worlds.seed(worlds.everyone, [int(seed) for seed in seeds])
    worlds.start(worlds.everyone)


def each(worlds: Worlds) -> Iterator[World]:
    """The worlds, one by one; they are views."""
    return zip(worlds.cells, worlds.status, worlds.obstacles, strict=True)


def set_each(worlds: Worlds, given: Sequence[World]) -> None:
    """Put the given worlds into the place of the first ones."""
    for index, (cells, status, obstacles) in enumerate(given):
        worlds.cells[index], worlds.status[index], worlds.obstacles[index] = cells, status, obstacles


def ahead(cells: np.ndarray, status: np.ndarray) -> np.ndarray:
    """What the agents face, packed."""
    x = np.clip(status[:, c.X] + np.array([1, 0, -1, 0])[status[:, c.DIRECTION]], 0, cells.shape[2] - 1)
    y = np.clip(status[:, c.Y] + np.array([0, 1, 0, -1])[status[:, c.DIRECTION]], 0, cells.shape[1] - 1)
    return cells[np.arange(len(cells)), y, x]


def useful(rng: np.random.Generator, worlds: Worlds) -> np.ndarray:
    """An action for each world, drawn so that keys are picked up, doors opened, things dropped and goals reached."""
    cells, status = worlds.cells, worlds.status
    seen = ahead(cells, status)
    kind, state = seen & 15, seen >> 7 & 3
    full = status[:, c.CARRYING] != c.EMPTY
    weight = np.tile(np.array([0.2, 0.2, 0.4, 0.03, 0.03, 0.03, 0.005]), (len(cells), 1))
    weight[kind == c.WALL_KIND, c.FORWARD] = 0.05
    weight[kind == c.LAVA_KIND, c.FORWARD] = 0.15
    weight[kind == c.GOAL_KIND, c.FORWARD] = 2
    weight[(kind == c.DOOR) & (state == c.OPEN_DOOR), c.FORWARD] = 1
    weight[kind == c.DOOR, c.TOGGLE] = 0.7
    thing = (kind == c.KEY) | (kind == c.BALL) | (kind == c.BOX)
    weight[thing & ~full, c.PICKUP] = 0.7
    weight[(kind == c.BOX), c.TOGGLE] = 0.4
    weight[full & (kind == c.NOTHING), c.DROP] = 0.2
    apart = np.abs(status[:, c.X] - status[:, c.TARGET_A]) + np.abs(status[:, c.Y] - status[:, c.TARGET_B])
    if worlds.setting.family.ending == c.ENDING_GO_TO_DOOR:
        weight[apart == 1, c.DONE] = 0.5
        weight[:, c.TOGGLE] *= 0.2
    weight = weight[:, : worlds.setting.family.n_actions].cumsum(axis=1)
    drawn = rng.random(len(cells)) * weight[:, -1]
    return (drawn[:, None] >= weight).sum(axis=1)


def stirred(rng: np.random.Generator, world: World, ending: int, max_steps: int) -> World:
    """A world as it may be in the middle of an episode: agent and objects elsewhere, doors opened, something carried.

    Only what an episode that goes on can look like: nothing carried in Fetch, Unlock's door not open, the wanted object
    not carried, the agent neither on a goal nor in lava.
    """
    cells, status, obstacles = (part.copy() for part in world)
    if rng.random() < 0.7:
        if ending not in (c.ENDING_GO_TO_DOOR, c.ENDING_OBSTACLES):
            _stir_doors(rng, cells, ending)
            _stir_things(rng, cells, status, ending)
        _stir_agent(rng, cells, status, ending)
    if rng.random() < 0.3:
        status[c.STEPS] = rng.integers(max(0, max_steps - 15), max_steps)
    elif rng.random() < 0.5:
        status[c.STEPS] = rng.integers(max_steps)
    return cells, status, obstacles


def _stir_doors(rng: np.random.Generator, cells: np.ndarray, ending: int) -> None:
    for y, x in np.argwhere(cells & 15 == c.DOOR):
        if rng.random() < 0.5:
            low = c.CLOSED if ending == c.ENDING_OPEN_DOOR else c.OPEN_DOOR
            now = int(cells[y, x] >> 7 & 3)
            cells[y, x] = cells[y, x] & 0x7F | int(rng.integers(low, max(now, 1) + 1)) << 7


def _stir_things(rng: np.random.Generator, cells: np.ndarray, status: np.ndarray, ending: int) -> None:
    """Move things, open boxes, pick one up: a key of a locked door, more often than not."""
    for y, x in _things(cells):
        chance = rng.random()
        if cells[y, x] & 15 == c.BOX and chance < 0.15 and not cells[y, x] & c.WANTED:
            cells[y, x] = c.KEY | (cells[y, x] >> 10 & 7) << 4 if cells[y, x] & c.HOLDS_KEY else c.EMPTY
        elif chance < 0.5:
            to = _free(rng, cells, status, ending)
            if to is not None:
                cells[to], cells[y, x] = cells[y, x], c.EMPTY
    things = [place for place in _things(cells) if not cells[tuple(place)] & c.WANTED]
    if things and rng.random() < 0.4 and ending != c.ENDING_FETCH:
        keys = [place for place in things if _locks_of(cells, cells[tuple(place)]).any()]
        things = keys if keys and rng.random() < 0.7 else things
        y, x = things[rng.integers(len(things))]
        status[c.CARRYING] = cells[y, x]
        cells[y, x] = c.EMPTY
        if status[c.CARRYING] & 15 == c.KEY and rng.random() < 0.3:  # a key of no door, or of another
            status[c.CARRYING] = c.KEY | int(rng.integers(6)) << 4


def _stir_agent(rng: np.random.Generator, cells: np.ndarray, status: np.ndarray, ending: int) -> None:
    """Anywhere, or before something."""
    status[c.DIRECTION] = rng.integers(4)
    kinds = (c.GOAL_KIND, c.BALL) if ending == c.ENDING_OBSTACLES else range(c.DOOR, c.AGENT)
    aims = np.argwhere(np.isin(cells & 15, kinds))
    if rng.random() < 0.5:
        locked = cells & 0x18F == c.DOOR | c.LOCKED << 7
        best = np.argwhere((locked & (status[c.CARRYING] & 15 == c.KEY)) | (cells & c.WANTED > 0))
        aims = best if len(best) else aims
    if len(aims) and rng.random() < 0.6:
        direction = int(rng.integers(4))
        y, x = aims[rng.integers(len(aims))] - np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])[direction]
        inside = 0 <= y < cells.shape[0] and 0 <= x < cells.shape[1] and _within(cells, status, ending)[y, x]
        if inside and (cells[y, x] == c.EMPTY or cells[y, x] & 0x18F == c.DOOR):
            status[[c.X, c.Y, c.DIRECTION]] = x, y, direction
            return
    to = _free(rng, cells, status, ending)
    if to is not None:
        status[[c.Y, c.X]] = to


def _locks_of(cells: np.ndarray, key: int) -> np.ndarray:
    """Which of the cells are locked doors that this opens."""
    mask: np.ndarray = (cells == c.DOOR | (key & 0x70) | c.LOCKED << 7) & (key & 15 == c.KEY)
    return mask


def _things(cells: np.ndarray) -> np.ndarray:
    return np.argwhere(np.isin(cells & 15, (c.KEY, c.BALL, c.BOX)))


def _within(cells: np.ndarray, status: np.ndarray, ending: int) -> np.ndarray:
    """Which cells the agent could ever come to, if all doors that it may open were open."""
    shut = cells & 15 == c.WALL_KIND
    if ending == c.ENDING_GO_TO_DOOR:
        shut |= cells & 15 == c.DOOR
    parts, _ = ndimage.label(~shut)
    mask: np.ndarray = parts == parts[status[c.Y], status[c.X]]
    return mask


def _free(rng: np.random.Generator, cells: np.ndarray, status: np.ndarray, ending: int) -> tuple[int, int] | None:
    """Row and column of an empty cell without the agent, if there is one that it can come to."""
    places = np.argwhere((cells == c.EMPTY) & _within(cells, status, ending))
    places = places[(places != status[[c.Y, c.X]]).any(axis=1)]
    return tuple(places[rng.integers(len(places))].tolist()) if len(places) else None


def taken(name: str, arguments: Mapping[str, Any], missions: Sequence[str], seeds: Sequence[int]) -> list[World]:
    """Worlds that MiniGrid's own generator draws."""
    return list(minigrid_side.worlds(minigrid_side.make(name, arguments), missions, seeds))
