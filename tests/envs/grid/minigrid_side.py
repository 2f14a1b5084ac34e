"""MiniGrid's own environments, set up with worlds of ours and read back as such.

A world is (cells (height, width), status (12,), obstacles (k, 2)), as `envs.grid.cells` says. Nothing here comes from
the code that it is there to test but the names of a world's bits and columns.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import gymnasium as gym
import minigrid  # noqa: F401  # registers its games
import numpy as np
from gymnasium.envs.registration import load_env_creator
from minigrid.core.constants import COLOR_TO_IDX, IDX_TO_COLOR, IDX_TO_OBJECT, OBJECT_TO_IDX
from minigrid.core.grid import Grid
from minigrid.core.world_object import Ball, Box, Door, Floor, Goal, Key, Lava, Wall, WorldObj

from envs.grid import cells as c

World = tuple[np.ndarray, np.ndarray, np.ndarray]

MADE = {c.FLOOR: Floor, c.KEY: Key, c.BALL: Ball, c.BOX: Box, c.WALL_KIND: Wall, c.GOAL_KIND: Goal}
OBSTACLES = {"lava": Lava, "wall": Wall}


def make(name: str, arguments: Mapping[str, Any] | None = None) -> Any:
    """MiniGrid's environment of that name, without `MiniGrid-`, some arguments changed, reset; no wrappers."""
    spec = gym.registry[f"MiniGrid-{name}"]
    given = {**spec.kwargs, **(arguments or {})}
    if "obstacle_type" in given:
        given["obstacle_type"] = OBSTACLES[given["obstacle_type"]]
    env = load_env_creator(spec.entry_point)(**given)
    env.reset(seed=0)
    return env


def put(env: Any, world: World, mission: str, chance: int = 0) -> None:
    """Set the world up in MiniGrid's environment, as if it had been reached by playing; what it draws, from a seed."""
    cells, status, _ = world
    height, width = cells.shape
    assert (env.width, env.height) == (width, height)
    kept: dict[int, WorldObj | None] = {c.EMPTY: None, c.WALL: Wall(), c.GOAL: Goal(), c.LAVA: Lava()}
    env.grid = Grid(width, height)
    env.grid.grid = [kept[cell] if cell in kept else thing(cell) for cell in cells.ravel().tolist()]
    env.agent_pos = (int(status[c.X]), int(status[c.Y]))
    env.agent_dir = int(status[c.DIRECTION])
    env.carrying = None if status[c.CARRYING] == c.EMPTY else thing(int(status[c.CARRYING]))
    env.step_count = int(status[c.STEPS])
    env.mission = mission
    env.np_random = np.random.default_rng(chance)
    _put_aims(env, world)


def _put_aims(env: Any, world: World) -> None:
    """What the family's `step` looks at besides the grid."""
    cells, status, obstacles = world
    packed = cells.ravel()
    if hasattr(env, "obstacles"):
        env.obstacles = [env.grid.get(x, y) for x, y in obstacles.tolist()]
        for ball, place in zip(env.obstacles, obstacles.tolist(), strict=True):
            assert isinstance(ball, Ball)
            ball.cur_pos = tuple(place)
    if hasattr(env, "target_pos"):
        env.target_pos = (int(status[c.TARGET_A]), int(status[c.TARGET_B]))
        env.target_color = env.grid.get(*env.target_pos).color
    if hasattr(env, "targetType"):
        env.targetType = IDX_TO_OBJECT[int(status[c.TARGET_A])]
        env.targetColor = IDX_TO_COLOR[int(status[c.TARGET_B])]
    if hasattr(env, "door"):
        (place,) = np.flatnonzero((packed & 15) == c.DOOR)
        env.door = env.grid.grid[place]
    if hasattr(env, "obj"):
        places = np.flatnonzero(packed & c.WANTED)
        assert len(places) + bool(status[c.CARRYING] & c.WANTED) <= 1
        env.obj = env.carrying if status[c.CARRYING] & c.WANTED else Ball()
        for place in places:
            env.obj = env.grid.grid[place]


def thing(cell: int) -> WorldObj | None:
    """MiniGrid's object for a packed cell, a new one."""
    kind, colour, state = cell & 15, IDX_TO_COLOR[cell >> 4 & 7], cell >> 7 & 3
    if kind == c.NOTHING:
        return None
    if kind == c.DOOR:
        return Door(colour, is_open=state == 0, is_locked=state == 2)
    if kind == c.LAVA_KIND:
        return Lava()
    made = MADE[kind](colour)
    if cell & c.HOLDS_KEY:
        made.contains = Key(IDX_TO_COLOR[cell >> 10 & 7])
    return made


def packed(obj: WorldObj | None, wanted: WorldObj | None = None) -> int:
    """The other way round: the packed cell of MiniGrid's object."""
    if obj is None:
        return c.EMPTY
    cell = OBJECT_TO_IDX[obj.type] | COLOR_TO_IDX[obj.color] << 4
    if isinstance(obj, Door):
        cell |= obj.encode()[2] << 7
    if obj.contains is not None:
        assert isinstance(obj.contains, Key)
        cell |= 1 << 9 | COLOR_TO_IDX[obj.contains.color] << 10
    return cell | (1 << 13 if obj is wanted else 0)


def take(env: Any, missions: Sequence[str]) -> World:
    """The world that stands in MiniGrid's environment. Its mission has to be one of these."""
    wanted = getattr(env, "obj", None)
    flat = [c.EMPTY if obj is None else packed(obj, wanted) for obj in env.grid.grid]
    cells = np.array(flat, dtype=np.uint16).reshape(env.height, env.width)
    status = np.zeros(c.STATUS, dtype=np.int32)
    status[[c.X, c.Y]] = env.agent_pos
    status[c.DIRECTION] = env.agent_dir
    status[c.CARRYING] = packed(env.carrying, wanted)
    status[c.STEPS] = env.step_count
    status[c.MISSION] = missions.index(env.mission)
    if hasattr(env, "target_pos"):
        status[[c.TARGET_A, c.TARGET_B]] = env.target_pos
    if hasattr(env, "targetType"):
        status[[c.TARGET_A, c.TARGET_B]] = OBJECT_TO_IDX[env.targetType], COLOR_TO_IDX[env.targetColor]
    return cells, status, places(env)


def places(env: Any) -> np.ndarray:
    """Where MiniGrid's obstacles are, (k, 2)."""
    found = [ball.cur_pos for ball in getattr(env, "obstacles", ())]
    return np.array(found, dtype=np.int16).reshape(len(found), 2)


def worlds(env: Any, missions: Sequence[str], seeds: Sequence[int]) -> Iterator[World]:
    """The worlds that MiniGrid's own generator draws from these seeds; one where it gives up is passed over."""
    for seed in seeds:
        try:
            env.reset(seed=int(seed))
        except RecursionError:  # "rejection sampling failed in place_obj", "connect_all failed"
            continue
        yield take(env, missions)
