"""Can the agent reach the ending of this level? A breadth-first search that carries its plan out in a copy.

Where the agent can walk is flooded: through empty cells, floors and doors that are not locked, never over lava, and
onto a goal only to end. What this region touches is then changed, one thing at a time, until nothing helps any more:

- boxes are opened: they vanish, or leave their key behind;
- a key is taken to a locked door of its colour;
- an object that stands before something not yet touched is picked up;
- what is carried is put down where it hinders nothing: on an empty cell that the rest of the region does not need,
  neither to hang together nor to touch what it touches.

Every one of these is a walk and an action that the rules allow, so a level that is called solvable is solvable. As each
leaves all that was touched within reach, their order does not matter, and the search needs no way back. What it does
not find are plans that must put an object where it hinders something for a while: a level that has no others is called
unsolvable. None of the families' own levels is of that sort.

What the endings allow is kept to: in Fetch nothing but the target may be picked up, in GoToDoor nothing be opened, with
moving obstacles there is walking alone. Balls that move are taken as gone: they leave the way by chance. Steps are not
counted.
"""

from typing import Any

import numpy as np

from envs.compiling import compiled
from envs.grid.cells import (
    BALL,
    BOX,
    CARRYING,
    CLOSED,
    DOOR,
    EMPTY,
    ENDING_FETCH,
    ENDING_GO_TO_DOOR,
    ENDING_GOAL,
    ENDING_OBSTACLES,
    ENDING_OPEN_DOOR,
    ENDING_PICK_TARGET,
    FLOOR,
    GOAL_KIND,
    HELD_COLOUR,
    HELD_SHIFT,
    HOLDS_KEY,
    KEY,
    LAVA_KIND,
    LOCKED,
    NOTHING,
    OPEN_DOOR,
    TARGET_A,
    TARGET_B,
    WALL,
    WALL_KIND,
    WANTED,
    X,
    Y,
    colour,
    door,
    key,
    kind,
    state,
)

_OUTSIDE, _LEAF, _INNER = range(3)
"""Of the flood's tree: not reached; reached, and nothing through it; something was reached through it."""


@compiled
def solvable_each(cells: Any, status: Any, obstacles: Any, ending: Any) -> Any:
    """Which of the worlds can be brought to their ending, (n,) bool. Nothing is changed."""
    found = np.empty(len(cells), dtype=np.bool_)
    for env in range(len(cells)):
        found[env] = solvable(cells[env], status[env], obstacles[env], ending)
    return found


@compiled
def solvable(world: Any, row: Any, balls: Any, ending: Any) -> Any:
    """Whether one world, (height, width), its status row and its moving balls, can be brought to its ending.

    `ending` is one of `cells.ENDING_*`. Nothing is changed.
    """
    flat, span = _framed(world, balls, ending)
    tree, seen, order = np.zeros(len(flat), np.int64), np.zeros(len(flat), np.int64), np.zeros(len(flat), np.int64)
    root = np.int64(row[Y] + 1) * span + row[X] + 1
    hands: Any = np.int64(row[CARRYING])
    turned = False  # whether the search for a place to put something was made from the region's other end too
    for _ in range(4 * len(flat)):  # each round opens, picks up, puts down or turns round: far fewer are needed
        region = order[: _flood(flat, span, root, ending, tree, order)]
        if _ended(flat, span, region, seen, hands, row, ending):
            return True
        if _opened(flat, span, region, hands, ending):
            continue
        if hands == EMPTY:
            found = _useful(flat, span, region, seen, ending)
            if found < 0:
                return False
            hands = flat[found]
            flat[found] = EMPTY
            turned = False
        else:
            place = _harmless(flat, span, region, tree)
            if place >= 0:
                flat[place] = hands
                hands = EMPTY
            elif turned:
                return False
            else:  # the root itself is never tried
                root = region[-1]
                turned = True
    return False


@compiled
def walks_to_ending(world: Any, row: Any, balls: Any, ending: Any) -> Any:
    """Whether the ending can be reached by walking and opening doors alone: no key is used and nothing is moved."""
    flat, span = _framed(world, balls, ending)
    tree, seen, order = np.zeros(len(flat), np.int64), np.zeros(len(flat), np.int64), np.zeros(len(flat), np.int64)
    root = np.int64(row[Y] + 1) * span + row[X] + 1
    region = order[: _flood(flat, span, root, ending, tree, order)]
    return _ended(flat, span, region, seen, np.int64(row[CARRYING]), row, ending)


@compiled
def _framed(world: Any, balls: Any, ending: Any) -> Any:
    """The world, flat, with a frame of walls so that each cell has four neighbours; the length of its rows."""
    height, width = world.shape
    span = width + 2
    flat = np.zeros((height + 2) * span, np.int64)
    for cell in range(len(flat)):
        flat[cell] = WALL
    for y in range(height):
        for x in range(width):
            flat[(y + 1) * span + x + 1] = world[y, x]
    if ending == ENDING_OBSTACLES:
        for ball in range(len(balls)):
            flat[(np.int64(balls[ball, 1]) + 1) * span + balls[ball, 0] + 1] = EMPTY
    return flat, span


@compiled
def _walkable(cell: Any, ending: Any) -> Any:
    what = kind(cell)
    if what == DOOR:
        return state(cell) == OPEN_DOOR or (state(cell) == CLOSED and _may_open(ending))
    return what in (NOTHING, FLOOR)


@compiled
def _may_open(ending: Any) -> Any:
    """Whether doors and boxes can be opened without ending the episode."""
    return ending != ENDING_GO_TO_DOOR and ending != ENDING_OBSTACLES


@compiled
def _movable(cell: Any) -> Any:
    return kind(cell) == KEY or kind(cell) == BALL or kind(cell) == BOX


@compiled
def _barren(cell: Any) -> Any:
    """What leads nowhere, whatever is done."""
    return kind(cell) == WALL_KIND or kind(cell) == LAVA_KIND


@compiled
def _flood(flat: Any, span: Any, root: Any, ending: Any, tree: Any, order: Any) -> Any:
    """Fill `order` with the cells that can be walked to, nearest first, and `tree` with their parts; how many."""
    tree[:] = _OUTSIDE
    tree[root], order[0], reached, done = _LEAF, root, 1, 0
    while done < reached:
        cell = order[done]
        for step in (1, -1, span, -span):
            beside = cell + step
            if tree[beside] == _OUTSIDE and _walkable(flat[beside], ending):
                tree[cell], tree[beside] = _INNER, _LEAF
                order[reached] = beside
                reached += 1
        done += 1
    tree[root] = _INNER
    return reached


@compiled
def _ended(flat: Any, span: Any, region: Any, seen: Any, hands: Any, row: Any, ending: Any) -> Any:
    """Whether the ending is one action away; and all that the region touches is marked as seen."""
    door_to_go_to = np.int64(row[TARGET_B] + 1) * span + row[TARGET_A] + 1
    for cell in region:
        seen[cell] = 1
        for step in (1, -1, span, -span):
            seen[cell + step] = 1
            found = flat[cell + step]
            if ending in (ENDING_GOAL, ENDING_OBSTACLES):
                ends = kind(found) == GOAL_KIND
            elif ending == ENDING_GO_TO_DOOR:
                ends = cell + step == door_to_go_to
            elif ending == ENDING_OPEN_DOOR:
                ends = kind(found) == DOOR and (state(found) == CLOSED or _fits(hands, found))
            elif hands != EMPTY:
                ends = False
            elif ending == ENDING_PICK_TARGET:
                ends = found & WANTED != 0
            else:
                ends = kind(found) == row[TARGET_A] and colour(found) == row[TARGET_B]
            if ends:
                return True
    return False


@compiled
def _fits(hands: Any, found: Any) -> Any:
    """Whether what is carried opens what was found."""
    locked = kind(found) == DOOR and state(found) == LOCKED
    return locked and kind(hands) == KEY and colour(hands) == colour(found)


@compiled
def _opened(flat: Any, span: Any, region: Any, hands: Any, ending: Any) -> Any:
    """Open every box that the region touches, and every door that the carried key fits; whether there was any."""
    if not _may_open(ending):
        return False
    opened = False
    for cell in region:
        for step in (1, -1, span, -span):
            found = flat[cell + step]
            if _fits(hands, found):
                flat[cell + step] = door(colour(found), OPEN_DOOR)
                opened = True
            elif kind(found) == BOX and not found & WANTED:
                flat[cell + step] = key((found & HELD_COLOUR) >> HELD_SHIFT) if found & HOLDS_KEY else EMPTY
                opened = True
    return opened


@compiled
def _useful(flat: Any, span: Any, region: Any, seen: Any, ending: Any) -> Any:
    """Where an object stands that is worth picking up: a key of a door in reach, or what hides something; or -1."""
    if ending in (ENDING_FETCH, ENDING_OBSTACLES):
        return -1
    locks = 0
    for cell in region:
        for step in (1, -1, span, -span):
            found = flat[cell + step]
            if kind(found) == DOOR and state(found) == LOCKED:
                locks |= 1 << colour(found)
    for cell in region:
        for step in (1, -1, span, -span):
            beside = cell + step
            found = flat[beside]
            if _movable(found):
                if kind(found) == KEY and locks >> colour(found) & 1:
                    return beside
                for further in (1, -1, span, -span):
                    if not seen[beside + further] and not _barren(flat[beside + further]):
                        return beside
    return -1


@compiled
def _harmless(flat: Any, span: Any, region: Any, tree: Any) -> Any:
    """An empty cell that the region needs neither to hang together nor to touch what it touches; or -1.

    A leaf of the flood's tree is needed by no other cell. What it touches must be touched by another one.
    """
    for last in range(len(region) - 1, -1, -1):
        cell = region[last]
        if tree[cell] == _LEAF and flat[cell] == EMPTY:
            needed = False
            for step in (1, -1, span, -span):
                beside = cell + step
                if tree[beside] == _OUTSIDE and not _barren(flat[beside]):
                    others = 0
                    for further in (1, -1, span, -span):
                        others += tree[beside + further] != _OUTSIDE
                    needed |= others < 2
            if not needed:
                return cell
    return -1
