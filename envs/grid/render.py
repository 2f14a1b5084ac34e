"""Pictures of a world: as pixels in MiniGrid's own drawing, as text, and in a window.

Below the pixels stand the mission and what the agent carries, which MiniGrid's picture does not say.
"""

import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from envs.fonts import font
from envs.grid.cells import (
    BALL,
    BOX,
    CARRYING,
    CLOSED,
    COLOUR_SHIFT,
    COLOURS,
    DIRECTION,
    DOOR,
    EMPTY,
    FLOOR,
    GOAL_KIND,
    KEY,
    LAVA_KIND,
    LOCKED,
    LOOK,
    MISSION,
    NOTHING,
    OPEN_DOOR,
    STATE_SHIFT,
    STEPS,
    UNSEEN,
    WALL_KIND,
    X,
    Y,
)
from envs.grid.worlds import Worlds
from envs.registry import did_you_mean

Array = npt.NDArray[Any]

TILE = 32
"""Pixels a side of a cell, as MiniGrid's."""
FPS = 10
"""Frames a second of a window, as MiniGrid's."""

_AHEAD = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""x and y of the cell ahead, by direction."""
_LIT, _AGENT = 9, 10
"""Bits of a tile's code above those of `LOOK`: whether it is seen, and 1 + the agent's direction, 0 without it."""
_PAPER, _INK = (255, 255, 255), (27, 36, 48)


def mode(given: str | None, metadata: Mapping[str, Any]) -> str | None:
    """A render mode of an environment. Raises UnknownName if it has no such mode."""
    if given is not None and given not in metadata["render_modes"]:
        raise did_you_mean("render mode of grid worlds", given, metadata["render_modes"])
    return given


def frame(
    cells: Array, status: Array, visible: Array | None = None, tile: int = TILE, missions: Sequence[str] = ()
) -> Array:
    """One world as pixels, (height, width, 3) uint8.

    Args:
        cells: (H, W) uint16, packed.
        status: (STATUS,) int32.
        visible: (view, view) bool, indexed [x, y] as an observation's image: what the agent sees is drawn lighter.
        tile: pixels a side of a cell.
        missions: code → text. With some, the mission and what is carried stand below, in a strip that is as high as the
            longest of them needs, so that every frame of a game has one size.
    """
    rows, columns = cells.shape
    below = _strip(int(status[MISSION]), int(status[CARRYING]) & LOOK, tuple(missions), columns * tile)
    picture = np.empty((rows * tile + len(below), columns * tile, 3), dtype=np.uint8)
    grid = picture[: rows * tile].reshape(rows, tile, columns, 3 * tile).swapaxes(1, 2)
    codes = _codes(cells, status, visible)
    for code in np.unique(codes).tolist():
        grid[codes == code] = _tile(code, tile).reshape(tile, 3 * tile)
    picture[rows * tile :] = below
    return picture


def frames(worlds: Worlds) -> tuple[Array, ...]:
    """Each of the worlds as pixels, what its agent sees drawn lighter, mission and what is carried below."""
    seen, missions = worlds.observe(), worlds.setting.missions
    visible = (seen["image"] if isinstance(seen, dict) else seen)[..., 0] != UNSEEN
    return tuple(
        frame(cells, status, view, missions=missions)
        for cells, status, view in zip(worlds.cells, worlds.status, visible, strict=True)
    )


def texts(worlds: Worlds) -> tuple[str, ...]:
    """Each of the worlds as text, with its mission; in colour where the process writes to a terminal."""
    missions, colour = worlds.setting.missions, _in_colour()
    return tuple(
        text(cells, status, missions[int(status[MISSION])], colour)
        for cells, status in zip(worlds.cells, worlds.status, strict=True)
    )


def _in_colour() -> bool:
    return sys.__stdout__ is not None and sys.__stdout__.isatty() and not os.environ.get("NO_COLOR")


def _codes(cells: Array, status: Array, visible: Array | None) -> Array:
    """What is to be drawn of each cell, (H, W) int64: its look, whether it is seen, and the agent."""
    codes = (cells & LOOK).astype(np.int64)
    if visible is not None:
        codes |= _seen(visible, status, cells.shape).astype(np.int64) << _LIT
    codes[status[Y], status[X]] |= (int(status[DIRECTION]) + 1) << _AGENT
    return codes


def _seen(visible: Array, status: Array, shape: tuple[int, ...]) -> Array:
    """The cells of the world that a view shows, (H, W) bool."""
    size = len(visible)
    ahead_x, ahead_y = _AHEAD[int(status[DIRECTION])]
    columns, rows = np.nonzero(visible)
    across, forward = columns - size // 2, size - 1 - rows  # the agent stands in the middle of the last row
    x = status[X] + ahead_x * forward - ahead_y * across
    y = status[Y] + ahead_y * forward + ahead_x * across
    inside = (x >= 0) & (x < shape[1]) & (y >= 0) & (y < shape[0])
    seen = np.zeros(shape, dtype=np.bool_)
    seen[y[inside], x[inside]] = True
    return seen


@cache
def _tile(code: int, size: int) -> Array:
    """(size, size, 3) uint8: drawn by MiniGrid, once, and kept."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")  # MiniGrid imports pygame
    from minigrid.core.grid import Grid
    from minigrid.core.world_object import WorldObj

    kind, colour, state = code & 15, code >> COLOUR_SHIFT & 7, code >> STATE_SHIFT & 3
    direction = (code >> _AGENT) - 1
    thing = WorldObj.decode(kind, colour, state) if kind != NOTHING else None
    drawn = Grid.render_tile(thing, direction if direction >= 0 else None, bool(code >> _LIT & 1), size)
    return np.asarray(drawn).astype(np.uint8)


@lru_cache(256)
def _strip(mission: int, carried: int, missions: tuple[str, ...], width: int) -> Array:
    """The mission, and what is carried, below a picture that is `width` wide; no rows where there are no missions."""
    if not missions:
        return np.empty((0, width, 3), dtype=np.uint8)
    size = max(10, width // 32)
    pad, line = size // 2, size + size // 3
    lines = max(len(_wrapped(text, width - 2 * pad, size)) for text in missions)
    slot = 2 * line
    paper = Image.new("RGB", (width, _even(lines * line + slot + 3 * pad)), _PAPER)
    draw, face = ImageDraw.Draw(paper), font(size)
    for place, text in enumerate(_wrapped(missions[mission], width - 2 * pad, size)):
        draw.text((pad, pad + place * line), text, fill=_INK, font=face)
    top, left = paper.height - pad - slot, 2 * pad + round(face.getlength("carries"))
    middle = top + slot // 2
    draw.text((pad, middle), "carries", fill=_INK, font=face, anchor="lm")
    if carried != EMPTY:
        paper.paste(Image.fromarray(_tile(carried, slot)), (left, top))
        left += slot + pad
    draw.text((left, middle), _named(carried), fill=_INK, font=face, anchor="lm")
    return np.asarray(paper)


@cache
def _wrapped(text: str, width: int, size: int) -> tuple[str, ...]:
    """Lines that are at most `width` pixels wide, unless a single word is wider."""
    face, lines = font(size), [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and face.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return tuple(lines)


def _even(size: int) -> int:
    return size + size % 2


_LETTERS = {KEY: "k", BALL: "b", BOX: "x", FLOOR: ":"}
_DOORS = {OPEN_DOOR: "O", CLOSED: "C", LOCKED: "L"}
_COLOUR_LETTERS = ("r", "g", "b", "p", "y", "e")
_WHOLE = {NOTHING: " .", WALL_KIND: "##", GOAL_KIND: "GG", LAVA_KIND: "~~"}
"""Cells whose colour tells nothing."""
_FACING = (">", "v", "<", "^")
_KINDS = {WALL_KIND: "wall", FLOOR: "floor", KEY: "key", BALL: "ball", BOX: "box", GOAL_KIND: "goal", LAVA_KIND: "lava"}
_STATES = {OPEN_DOOR: "open", CLOSED: "closed", LOCKED: "locked"}
_ANSI = (31, 32, 34, 35, 33, 37)
"""Of the colours."""
_ANSI_OF = {NOTHING: "2", WALL_KIND: "90", GOAL_KIND: "30;42", LAVA_KIND: "30;43"}
_AGENT_ANSI = "1;31;7"


def text(cells: Array, status: Array, mission: str, colour: bool = False) -> str:
    """One world as lines of text, two characters a cell, with what each of them means below.

    Args:
        cells: (H, W) uint16, packed.
        status: (STATUS,) int32.
        mission: in words.
        colour: whether colours are told by ANSI codes too.
    """
    looks = (cells & LOOK).tolist()
    rows = [[_painted(_letters(look), look, colour) for look in row] for row in looks]
    x, y, direction = int(status[X]), int(status[Y]), int(status[DIRECTION])
    below = looks[y][x]
    agent = _FACING[direction] + (" " if below == EMPTY else _letters(below)[0])
    rows[y][x] = f"\033[{_AGENT_ANSI}m{agent}\033[0m" if colour else agent
    carried = _named(int(status[CARRYING]) & LOOK)
    head = [f"mission: {mission}", f"step {int(status[STEPS])}, carries {carried}"]
    return "\n".join([*head, *("".join(row) for row in rows), *_legend(looks, agent[0])])


def _legend(looks: list[list[int]], agent: str) -> list[str]:
    """What the characters mean that occur, the doors first."""
    found = {look for row in looks for look in row if look not in (EMPTY, 0)}
    things = sorted(found, key=lambda look: (look & 15 != DOOR, look & 15, look))
    said = [f"{agent} agent", *(f"{_letters(look)} {_named(look)}" for look in things if look & 15 != WALL_KIND)]
    lines = textwrap.wrap("  ".join(part.replace(" ", "\0") for part in said), 78)
    return [line.replace("\0", " ") for line in lines]


def _letters(look: int) -> str:
    """A cell in two characters: which door or thing, and its colour."""
    kind = look & 15
    if kind in _WHOLE:
        return _WHOLE[kind]
    return (_DOORS[look >> STATE_SHIFT & 3] if kind == DOOR else _LETTERS[kind]) + _COLOUR_LETTERS[_colour(look)]


def _named(look: int) -> str:
    """A cell in words: `nothing`, `locked red door`, `grey key`, `lava`."""
    kind, colour = look & 15, COLOURS[_colour(look)]
    if kind == DOOR:
        return f"{_STATES[look >> STATE_SHIFT & 3]} {colour} door"
    if kind in (FLOOR, KEY, BALL, BOX):
        return f"{colour} {_KINDS[kind]}"
    return _KINDS.get(kind, "nothing")


def _painted(letters: str, look: int, colour: bool) -> str:
    if not colour:
        return letters
    kind = look & 15
    return f"\033[{_ANSI_OF.get(kind, f'1;{_ANSI[_colour(look)]}')}m{letters}\033[0m"


def _colour(look: int) -> int:
    return look >> COLOUR_SHIFT & 7
