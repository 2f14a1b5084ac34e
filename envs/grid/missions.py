"""What an agent is told to do: a code in the world's MISSION column, and MiniGrid's own sentence for it.

A family names its missions as a tuple of texts; the code is the index. The functions below make the tuples, and the
compiled ones give the code that a level generator writes. A colour's code is MiniGrid's COLOR_TO_IDX throughout.
"""

from collections.abc import Sequence
from typing import Any

from envs.compiling import compiled
from envs.grid.cells import COLOURS, KEY
from envs.registry import did_you_mean

GOAL_SQUARE = "get to the green goal square"
AVOID_LAVA = "avoid the lava and get to the green goal square"
FIND_OPENING = "find the opening and get to the green goal square"
REACH_GOAL = "reach the goal"
USE_KEY = "use the key to open the door and then get to the goal"
TRAVERSE_ROOMS = "traverse the rooms to get to the goal"
OPEN_DOOR = "open the door"

FETCH_PHRASES = ("get a", "go get a", "fetch a", "go fetch a", "you must fetch a")
"""In the order in which MiniGrid's Fetch draws them."""
_FETCHED = ("key", "ball")
"""As their kinds, KEY and BALL, follow each other."""


def pick_up(thing: str) -> tuple[str, ...]:
    """`pick up the … ball`, or another thing: the code is the colour."""
    return tuple(f"pick up the {colour} {thing}" for colour in COLOURS)


def go_to_door() -> tuple[str, ...]:
    """`go to the … door`: the code is the colour."""
    return tuple(f"go to the {colour} door" for colour in COLOURS)


def fetch() -> tuple[str, ...]:
    """`go get a … key`: the code is `fetch_code(phrase, colour, kind)`."""
    return tuple(f"{phrase} {colour} {thing}" for phrase in FETCH_PHRASES for colour in COLOURS for thing in _FETCHED)


def locked_room() -> tuple[str, ...]:
    """`get the … key from the … room, …`: the code is `locked_room_code(locked, key_room)`.

    Six of the 36 never come up: the key is never in the room that it opens.
    """
    return tuple(
        f"get the {locked} key from the {room} room, unlock the {locked} door and go to the goal"
        for locked in COLOURS
        for room in COLOURS
    )


def code(missions: Sequence[str], text: str) -> int:
    """The code of a mission. Raises UnknownName."""
    if text not in missions:
        raise did_you_mean("mission", text, missions)
    return missions.index(text)


@compiled
def fetch_code(phrase: Any, colour: Any, kind: Any) -> Any:
    """Of Fetch: the phrase's place in FETCH_PHRASES, the object's colour, and its kind, KEY or BALL."""
    return (phrase * 6 + colour) * 2 + (kind - KEY)


@compiled
def locked_room_code(locked: Any, key_room: Any) -> Any:
    """Of LockedRoom: the colours of the locked room and of the room with the key."""
    return locked * 6 + key_room
