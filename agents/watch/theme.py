"""Colours, fonts and small pieces of text that all panels share."""

import math
from functools import cache

from PIL import Image, ImageDraw

from envs.fonts import font

Colour = tuple[int, int, int]

PAGE: Colour = (232, 236, 241)
CARD: Colour = (255, 255, 255)
WELL: Colour = (241, 244, 247)
LINE: Colour = (222, 227, 233)
INK: Colour = (27, 36, 48)
MUTED: Colour = (102, 115, 130)
BAR: Colour = (176, 190, 206)
CHOSEN: Colour = (29, 98, 220)
NEGATIVE: Colour = (214, 128, 36)
TERMINATED: Colour = (27, 36, 48)
TRUNCATED: Colour = (150, 84, 10)

PALETTE: tuple[Colour, ...] = (
    (60, 130, 220),
    (232, 140, 48),
    (70, 170, 110),
    (214, 74, 84),
    (146, 108, 196),
    (226, 190, 60),
    (64, 180, 190),
    (220, 120, 170),
    (150, 160, 172),
    (140, 100, 72),
)
"""Of planes and agents, in turn."""


@cache
def fitted(text: str, width: int, size: int, bold: bool = False) -> str:
    """The text, shortened with an ellipsis until it is at most `width` pixels wide."""
    face = font(size, bold=bold)
    if face.getlength(text) <= width:
        return text
    for length in range(len(text) - 1, 0, -1):
        shorter = text[:length].rstrip() + "…"
        if face.getlength(shorter) <= width:
            return shorter
    return "…"


def write(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    *,
    width: int,
    size: int = 13,
    bold: bool = False,
    colour: Colour = INK,
    anchor: str = "lm",
) -> None:
    """One line of text, never wider than `width` pixels. Anchors are Pillow's: l, m, r and a, m, s."""
    draw.text(place, fitted(text, width, size, bold), fill=colour, font=font(size, bold=bold), anchor=anchor)


def number(value: float | None, *, signed: bool = False) -> str:
    """A number in at most seven characters or so: 0.031, 12.5, 1 234, 2.1e+07; an en dash for None."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return {math.inf: "∞", -math.inf: "\N{MINUS SIGN}∞"}.get(value, "NaN")
    sign = "+" if signed and value > 0 else ""
    size = abs(value)
    if size >= 1e6 or 0 < size < 0.001:
        text = f"{value:.1e}"
    elif value == round(value) or size >= 1000:
        text = f"{value:,.0f}".replace(",", "\u2009")
    else:
        text = f"{value:.{3 if size < 1 else 2 if size < 10 else 1}f}"
    return (sign + text).replace("-", "\N{MINUS SIGN}")


def blend(image: Image.Image, colour: Colour, share: float) -> Image.Image:
    """The image with a share of a colour mixed in, in [0, 1]."""
    return Image.blend(image, Image.new("RGB", image.size, colour), share)
