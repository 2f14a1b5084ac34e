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
    DOWN,
    DROP,
    EMPTY,
    ENDING_FETCH,
    ENDING_GO_TO_DOOR,
    ENDING_GOAL,
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
    LEFT,
    LOCKED,
    NOTHING,
    OPEN_DOOR,
    PICKUP,
    RIGHT,
    STAGE,
    STATE_SHIFT,
    STEPS,
    TARGET_A,
    TARGET_B,
    TOGGLE,
    TURN_LEFT,
    TURN_RIGHT,
    UNLOCKED,
    UP,
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
_WALKABLE = 1 << NOTHING | 1 << FLOOR | 1 << GOAL_KIND | 1 << LAVA_KIND
_PORTABLE = 1 << KEY | 1 << BALL | 1 << BOX
"""Kinds as bits."""
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
        action = _carried_out(chance, e, actions[e], rules)
        status[e, STEPS] += 1
        blocked = False
        if rules.ending == ENDING_OBSTACLES:
            blocked = kind(_ahead(cells, status, e)[2]) not in (NOTHING, GOAL_KIND)
            _move_obstacles(cells, status, e, obstacles, chance, moves)
        stages = status[e, STAGE]
        success, over = _act(cells, status, e, action)
        if rules.ending != ENDING_GOAL:
            success, over = _judged(cells, status, e, action, rules.ending, success, over)
        earned = 0.0
        if success:
            earned = 1.0 if rules.reward == REWARD_GOAL else 1.0 - 0.9 * (status[e, STEPS] / rules.max_steps)
        if blocked and action == FORWARD:
            earned, over = -1.0, True
        if rules.reward == REWARD_STAGES and status[e, STAGE] != stages:
            earned += rules.stage_reward * _count(status[e, STAGE] & ~stages)
        rewards[e], terminated[e] = earned, over
        truncated[e] = status[e, STEPS] >= rules.max_steps or status[e, STEPS] >= rules.limit


@compiled
def _carried_out(chance: Any, e: Any, action: Any, rules: Any) -> Any:
    """The action that comes of the chosen one."""
    exchanged = np.int64(rules.mirrored) & (action < FORWARD)
    action ^= exchanged
    if rules.slip > 0.0 and action <= FORWARD:
        drawn = real(chance[e])
        if drawn < rules.slip:
            action = (action + (1 if drawn < rules.slip / 2 else 2)) % 3
    return action


@compiled
def _ahead(cells: Any, status: Any, e: Any) -> Any:
    """x and y of the cell that the agent faces, and the cell; beyond the edge, a wall."""
    direction = np.int64(status[e, DIRECTION])
    x = np.int64(status[e, X]) + (direction == RIGHT) - (direction == LEFT)
    y = np.int64(status[e, Y]) + (direction == DOWN) - (direction == UP)
    inside = (x >= 0) & (y >= 0) & (x < cells.shape[2]) & (y < cells.shape[1])
    cell = np.int64(cells[e, np.uintp(y if inside else 0), np.uintp(x if inside else 0)])
    return x, y, cell if inside else WALL


@compiled
def _act(cells: Any, status: Any, e: Any, action: Any) -> Any:
    """Carry out the action. Returns whether a goal was reached, and whether the episode is over.

    Most actions move the agent or do nothing. They are worked out without branches, which no processor can foresee.
    """
    x, y, cell = _ahead(cells, status, e)
    what = kind(cell)
    turned = np.int64(action == TURN_RIGHT) - np.int64(action == TURN_LEFT)
    status[e, DIRECTION] = (status[e, DIRECTION] + turned) & 3
    open_door = (what == DOOR) & (state(cell) == OPEN_DOOR)
    walks = (action == FORWARD) & (((_WALKABLE >> what) & 1 == 1) | open_door)
    status[e, X], status[e, Y] = x if walks else status[e, X], y if walks else status[e, Y]
    empty_handed = status[e, CARRYING] == EMPTY
    if (action == PICKUP) & empty_handed & ((_PORTABLE >> what) & 1 == 1):
        status[e, CARRYING] = cell
        cells[e, y, x] = EMPTY
        if what == KEY:
            status[e, STAGE] |= KEY_PICKED
    elif (action == DROP) & (cell == EMPTY) & (not empty_handed):
        cells[e, y, x] = status[e, CARRYING]
        status[e, CARRYING] = EMPTY
    elif (action == TOGGLE) & (what == DOOR):
        cells[e, y, x] = _toggled_door(status, e, cell)
    elif (action == TOGGLE) & (what == BOX):
        cells[e, y, x] = KEY | ((cell >> HELD_SHIFT) & 7) << COLOUR_SHIFT if cell & HOLDS_KEY else EMPTY
        status[e, STAGE] |= BOX_OPENED
    reached = (action == FORWARD) & (what == GOAL_KIND)
    return reached, reached | ((action == FORWARD) & (what == LAVA_KIND))


@compiled
def _toggled_door(status: Any, e: Any, cell: Any) -> Any:
    """The door that comes of toggling it: a locked one opens for a key of its colour."""
    now = state(cell)
    if now == LOCKED:
        held = np.int64(status[e, CARRYING])
        if kind(held) != KEY or colour(held) != colour(cell):
            return cell
        status[e, STAGE] |= UNLOCKED
    elif now == CLOSED:
        status[e, STAGE] |= DOOR_OPENED
    return (cell & ~(3 << STATE_SHIFT)) | (CLOSED if now == OPEN_DOOR else OPEN_DOOR) << STATE_SHIFT


@compiled
def _judged(cells: Any, status: Any, e: Any, action: Any, ending: Any, success: Any, over: Any) -> Any:
    """Success and the end of the episode, by what the family asks for beside a goal."""
    if ending == ENDING_OPEN_DOOR:
        _, _, ahead = _ahead(cells, status, e)
        success |= action == TOGGLE and kind(ahead) == DOOR and state(ahead) == OPEN_DOOR
    elif ending == ENDING_PICK_TARGET:
        success |= action == PICKUP and (status[e, CARRYING] & WANTED) != 0
    elif ending == ENDING_FETCH:
        held = np.int64(status[e, CARRYING])
        over |= held != EMPTY
        success |= kind(held) == status[e, TARGET_A] and colour(held) == status[e, TARGET_B]
    elif ending == ENDING_GO_TO_DOOR:
        over |= action in (TOGGLE, DONE)
        apart = abs(status[e, X] - status[e, TARGET_A]) + abs(status[e, Y] - status[e, TARGET_B])
        success |= action == DONE and apart == 1
    return success, over or success


@compiled
def _move_obstacles(cells: Any, status: Any, e: Any, obstacles: Any, chance: Any, moves: Any) -> None:
    """Move each ball to a free cell around it, in their order."""
    luck = chance[e]
    for k in range(obstacles.shape[1]):
        old_x, old_y = np.int64(obstacles[e, k, 0]), np.int64(obstacles[e, k, 1])
        if moves.shape[1]:
            x, y = np.int64(moves[e, k, 0]), np.int64(moves[e, k, 1])
        else:
            x, y = _free_place(cells, status, e, luck, old_x, old_y)
        if x != old_x or y != old_y:
            cells[e, y, x] = cells[e, old_y, old_x]
            cells[e, old_y, old_x] = EMPTY
            obstacles[e, k, 0], obstacles[e, k, 1] = x, y


@compiled
def _free_place(cells: Any, status: Any, e: Any, luck: Any, x: Any, y: Any) -> Any:
    """A free cell of the nine around (x, y) by MiniGrid's rejection; (x, y) itself if it finds none."""
    left, top = max(x - 1, 0), max(y - 1, 0)
    right, bottom = min(left + 3, cells.shape[2]), min(top + 3, cells.shape[1])
    width = right - left
    for _ in range(TRIES):
        drawn = integer(luck, 0, width * (bottom - top))
        new_x, new_y = left + drawn % width, top + drawn // width
        if cells[e, new_y, new_x] == EMPTY and not (new_x == status[e, X] and new_y == status[e, Y]):
            return new_x, new_y
    return x, y


@compiled
def _count(bits: Any) -> Any:
    """How many stages."""
    return (bits & 1) + ((bits >> 1) & 1) + ((bits >> 2) & 1) + ((bits >> 3) & 1)
