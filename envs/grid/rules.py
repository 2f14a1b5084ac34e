"""What an action does, when an episode ends and what it earns: MiniGrid's rules, with the dials that bend them."""

from typing import Any, NamedTuple

import numpy as np

from envs.compiling import compiled
from envs.grid.cells import (
    BALL,
    BOX,
    BOX_OPENED,
    CARRYING,
    CLOSED,
    COLOUR_SHIFT,
    DIRECTION,
    DONE,
    DOOR,
    DOOR_OPENED,
    DROP,
    EMPTY,
    ENDING_FETCH,
    ENDING_GO_TO_DOOR,
    ENDING_OBSTACLES,
    ENDING_OPEN_DOOR,
    ENDING_PICK_TARGET,
    FLOOR,
    FORWARD,
    GOAL_KIND,
    HELD_SHIFT,
    HOLDS_KEY,
    KEY,
    KEY_PICKED,
    LAVA_KIND,
    LOCKED,
    NOTHING,
    OPEN_DOOR,
    PICKUP,
    STAGE,
    STATE_SHIFT,
    STEPS,
    TARGET_A,
    TARGET_B,
    TOGGLE,
    TURN_LEFT,
    TURN_RIGHT,
    UNLOCKED,
    WALL,
    WANTED,
    X,
    Y,
    colour,
    kind,
    state,
)
from envs.grid.chance import integer, real

REWARD_MINIGRID, REWARD_GOAL, REWARD_STAGES = range(3)
TRIES = 101
"""How often MiniGrid draws a new place for an obstacle before it stays where it is."""


class Rules(NamedTuple):
    """What decides a step beside the world itself; a type that compiled functions take."""

    ending: int
    """One of `cells.ENDING_*`."""
    max_steps: int
    """The reward for success falls from 1 towards 0.1 over so many steps; the episode is truncated after them."""
    limit: int
    """It is truncated after so many as well."""
    reward: int
    """REWARD_MINIGRID; REWARD_GOAL: 1 for success at any time; REWARD_STAGES: MiniGrid's and `stage_reward`."""
    stage_reward: float
    """For the first time in an episode that a key is picked up, and a locked door, a closed door and a box opened."""
    mirrored: bool
    """Whether the actions left and right are exchanged."""
    slip: float
    """The probability that left, right or forward turns into one of the other two."""


@compiled
def step(
    cells: Any,
    status: Any,
    obstacles: Any,
    chance: Any,
    actions: Any,
    rules: Any,
    moves: Any,
    rewards: Any,
    terminated: Any,
    truncated: Any,
) -> None:
    """One step of every environment, in place.

    Args:
        cells, status, obstacles, chance: the worlds.
        actions: (n,) int64.
        rules: Rules.
        moves: int16 (n, k, 2), the place each obstacle goes to, or its own if it stays; (n, 0, 2) draws them by chance.
        rewards, terminated, truncated: float64 and bool (n,), written.
    """
    for e in range(len(actions)):
        row, world = status[e], cells[e]
        action = _carried_out(chance[e], actions[e], rules)
        row[STEPS] += 1
        blocked = False
        if rules.ending == ENDING_OBSTACLES:
            blocked = kind(_ahead(world, row)) not in (NOTHING, GOAL_KIND)
            _move_obstacles(world, row, obstacles[e], chance[e], moves[e])
        stages = row[STAGE]
        success, over = _act(world, row, action)
        success, over = _judged(world, row, action, rules.ending, success, over)
        earned = 0.0
        if success:
            earned = 1.0 if rules.reward == REWARD_GOAL else 1.0 - 0.9 * (row[STEPS] / rules.max_steps)
        if blocked and action == FORWARD:
            earned, over = -1.0, True
        if rules.reward == REWARD_STAGES and row[STAGE] != stages:
            earned += rules.stage_reward * _count(row[STAGE] & ~stages)
        rewards[e], terminated[e] = earned, over
        truncated[e] = row[STEPS] >= rules.max_steps or row[STEPS] >= rules.limit


@compiled
def _carried_out(chance: Any, action: Any, rules: Any) -> Any:
    """The action that comes of the chosen one."""
    if action > FORWARD:
        return action
    if rules.mirrored and action != FORWARD:
        action = TURN_LEFT + TURN_RIGHT - action
    if rules.slip > 0.0:
        drawn = real(chance)
        if drawn < rules.slip:
            action = (action + (1 if drawn < rules.slip / 2 else 2)) % 3
    return action


@compiled
def _place_ahead(row: Any) -> Any:
    """x and y of the cell that the agent faces."""
    direction = row[DIRECTION]
    x = np.int64(row[X]) + (direction == 0) - (direction == 2)
    y = np.int64(row[Y]) + (direction == 1) - (direction == 3)
    return x, y


@compiled
def _ahead(world: Any, row: Any) -> Any:
    """What the agent faces; beyond the edge, a wall."""
    x, y = _place_ahead(row)
    if x < 0 or y < 0 or y >= world.shape[0] or x >= world.shape[1]:
        return np.int64(WALL)
    return np.int64(world[y, x])


@compiled
def _act(world: Any, row: Any, action: Any) -> Any:
    """Carry out the action. Returns whether a goal was reached, and whether the episode is over."""
    if action <= TURN_RIGHT:
        row[DIRECTION] = (row[DIRECTION] + (1 if action == TURN_RIGHT else 3)) & 3
        return False, False
    if action == DONE:
        return False, False
    x, y = _place_ahead(row)
    cell = _ahead(world, row)
    what = kind(cell)
    if action == FORWARD:
        if what in (NOTHING, FLOOR, GOAL_KIND, LAVA_KIND) or (what == DOOR and state(cell) == OPEN_DOOR):
            row[X], row[Y] = x, y
        return what == GOAL_KIND, what in (GOAL_KIND, LAVA_KIND)
    if action == PICKUP:
        if what in (KEY, BALL, BOX) and row[CARRYING] == EMPTY:
            row[CARRYING] = cell
            world[y, x] = EMPTY
            if what == KEY:
                row[STAGE] |= KEY_PICKED
    elif action == DROP:
        if cell == EMPTY and row[CARRYING] != EMPTY:
            world[y, x] = row[CARRYING]
            row[CARRYING] = EMPTY
    elif what == DOOR:
        world[y, x] = _toggled_door(row, cell)
    elif what == BOX:
        held = EMPTY if not cell & HOLDS_KEY else KEY | ((cell >> HELD_SHIFT) & 7) << COLOUR_SHIFT
        world[y, x] = held
        row[STAGE] |= BOX_OPENED
    return False, False


@compiled
def _toggled_door(row: Any, cell: Any) -> Any:
    """The door that comes of toggling it: a locked one opens for a key of its colour."""
    now = state(cell)
    if now == LOCKED:
        held = np.int64(row[CARRYING])
        if kind(held) != KEY or colour(held) != colour(cell):
            return cell
        row[STAGE] |= UNLOCKED
    elif now == CLOSED:
        row[STAGE] |= DOOR_OPENED
    return (cell & ~(3 << STATE_SHIFT)) | (CLOSED if now == OPEN_DOOR else OPEN_DOOR) << STATE_SHIFT


@compiled
def _judged(world: Any, row: Any, action: Any, ending: Any, success: Any, over: Any) -> Any:
    """Success and the end of the episode, by what the family asks for beside a goal."""
    if ending == ENDING_OPEN_DOOR:
        ahead = _ahead(world, row)
        success |= action == TOGGLE and kind(ahead) == DOOR and state(ahead) == OPEN_DOOR
    elif ending == ENDING_PICK_TARGET:
        success |= action == PICKUP and (row[CARRYING] & WANTED) != 0
    elif ending == ENDING_FETCH:
        held = np.int64(row[CARRYING])
        over |= held != EMPTY
        success |= kind(held) == row[TARGET_A] and colour(held) == row[TARGET_B]
    elif ending == ENDING_GO_TO_DOOR:
        over |= action in (TOGGLE, DONE)
        apart = abs(row[X] - row[TARGET_A]) + abs(row[Y] - row[TARGET_B])
        success |= action == DONE and apart == 1
    return success, over or success


@compiled
def _move_obstacles(world: Any, row: Any, balls: Any, chance: Any, places: Any) -> None:
    """Move each ball to a free cell around it, in their order."""
    for k in range(len(balls)):
        old_x, old_y = np.int64(balls[k, 0]), np.int64(balls[k, 1])
        if len(places):
            x, y = np.int64(places[k, 0]), np.int64(places[k, 1])
        else:
            x, y = _free_place(world, row, old_x, old_y, chance)
        if x != old_x or y != old_y:
            world[y, x] = world[old_y, old_x]
            world[old_y, old_x] = EMPTY
            balls[k, 0], balls[k, 1] = x, y


@compiled
def _free_place(world: Any, row: Any, x: Any, y: Any, chance: Any) -> Any:
    """A free cell of the nine around (x, y) by MiniGrid's rejection; (x, y) itself if it finds none."""
    left, top = max(x - 1, 0), max(y - 1, 0)
    right, bottom = min(left + 3, world.shape[1]), min(top + 3, world.shape[0])
    for _ in range(TRIES):
        new_x, new_y = integer(chance, left, right), integer(chance, top, bottom)
        if world[new_y, new_x] == EMPTY and not (new_x == row[X] and new_y == row[Y]):
            return new_x, new_y
    return x, y


@compiled
def _count(bits: Any) -> Any:
    """How many stages."""
    return (bits & 1) + ((bits >> 1) & 1) + ((bits >> 2) & 1) + ((bits >> 3) & 1)
