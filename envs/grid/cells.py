"""A cell in 16 bits, and the columns of an environment's status row.

    bits 0-3    kind, MiniGrid's OBJECT_TO_IDX
    bits 4-6    colour, MiniGrid's COLOR_TO_IDX
    bits 7-8    state, of a door: open, closed, locked
    bit  9      the box holds a key
    bits 10-12  that key's colour
    bit  13     this object is the one to pick up

The world of n environments is four arrays and nothing else: `cells` uint16 (n, height, width), indexed [env, y, x];
`status` int32 (n, STATUS), its columns named below; `obstacles` int16 (n, k, 2), x and y of each moving ball; `chance`
uint64 (n, 2), `envs.grid.chance`.
"""

from typing import Any

import numpy as np

from envs.compiling import compiled

UNSEEN, NOTHING, WALL_KIND, FLOOR, DOOR, KEY, BALL, BOX, GOAL_KIND, LAVA_KIND, AGENT = range(11)
"""Kinds. NOTHING is the kind of an empty cell."""
RED, GREEN, BLUE, PURPLE, YELLOW, GREY = range(6)
"""Colours."""
COLOURS = ("red", "green", "blue", "purple", "yellow", "grey")
SORTED_COLOURS = (BLUE, GREEN, GREY, PURPLE, RED, YELLOW)
"""By name, as MiniGrid's COLOR_NAMES: the order in which its generators count them."""
OPEN_DOOR, CLOSED, LOCKED = range(3)
"""A door's states."""

COLOUR_SHIFT, STATE_SHIFT, HELD_SHIFT = 4, 7, 10
LOOK = (1 << 9) - 1
"""The bits that can be seen: kind, colour and state."""
HOLDS_KEY = 1 << 9
HELD_COLOUR = 7 << HELD_SHIFT
WANTED = 1 << 13
"""The object to pick up, wherever it goes: in a cell, or carried."""

EMPTY = NOTHING
WALL = WALL_KIND | GREY << COLOUR_SHIFT
GOAL = GOAL_KIND | GREEN << COLOUR_SHIFT
LAVA = LAVA_KIND | RED << COLOUR_SHIFT

X, Y, DIRECTION, CARRYING, STEPS, MISSION, TARGET_A, TARGET_B, STAGE, OPEN = range(10)
"""Columns of `status`. CARRYING is a packed cell, EMPTY when nothing; MISSION a code; TARGET_A and TARGET_B are x and y
of the door to go to, or kind and colour of the object to fetch; STAGE has a bit for each stage reached, below."""
STATUS = 12
"""Columns in all."""

KEY_PICKED, UNLOCKED, DOOR_OPENED, BOX_OPENED = 1, 2, 4, 8
"""Stages: a key was picked up; a locked door, a closed door, a box was opened."""

RIGHT, DOWN, LEFT, UP = range(4)
"""Directions, as MiniGrid's."""
TURN_LEFT, TURN_RIGHT, FORWARD, PICKUP, DROP, TOGGLE, DONE = range(7)
"""Actions, as MiniGrid's."""

ENDING_GOAL, ENDING_OPEN_DOOR, ENDING_PICK_TARGET, ENDING_FETCH, ENDING_GO_TO_DOOR, ENDING_OBSTACLES = range(6)
"""What a family's success is, beside walking onto a goal: to open the door; to pick up the WANTED object; to pick up
one of kind TARGET_A and colour TARGET_B (any other ends the episode too); to be `done` beside the door at (TARGET_A,
TARGET_B); nothing, but walking into something that is no goal costs 1 and ends the episode."""


@compiled
def pack(kind: Any, colour: Any, state: Any) -> Any:
    """A cell of three small integers."""
    return np.uint16(kind | (colour << COLOUR_SHIFT) | (state << STATE_SHIFT))


@compiled
def kind(cell: Any) -> Any:
    """What stands there."""
    return np.int64(cell) & 15


@compiled
def colour(cell: Any) -> Any:
    """Its colour."""
    return (np.int64(cell) >> COLOUR_SHIFT) & 7


@compiled
def state(cell: Any) -> Any:
    """A door's state."""
    return (np.int64(cell) >> STATE_SHIFT) & 3


@compiled
def door(colour: Any, state: Any) -> Any:
    """A door that is OPEN_DOOR, CLOSED or LOCKED."""
    return pack(DOOR, colour, state)


@compiled
def key(colour: Any) -> Any:
    """A key."""
    return pack(KEY, colour, 0)


@compiled
def ball(colour: Any) -> Any:
    """A ball."""
    return pack(BALL, colour, 0)


@compiled
def box(colour: Any) -> Any:
    """A box with nothing in it."""
    return pack(BOX, colour, 0)


@compiled
def box_with_key(colour: Any, key_colour: Any) -> Any:
    """A box that leaves a key behind when it is opened."""
    return np.uint16(np.int64(pack(BOX, colour, 0)) | HOLDS_KEY | (key_colour << HELD_SHIFT))


@compiled
def wanted(cell: Any) -> Any:
    """The same object, marked as the one to pick up."""
    return np.uint16(np.int64(cell) | WANTED)
