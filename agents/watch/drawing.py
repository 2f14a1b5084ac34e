"""Panels: a game's picture with what the policy said of it, side by side for several policies.

A `Painter` is made from the first frames and fixes the layout, so that every picture of a recording has one size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from agents.rollout import Frame
from agents.watch import theme
from agents.watch.bars import Bars
from agents.watch.pictures import as_picture, features_of, fit, is_planes, looked_at, planes_picture
from agents.watch.theme import number, write
from envs.fonts import font

WIDTH = 400
"""Of a panel, in pixels."""
GAP = 12
"""Between panels, and around them."""
PAD = 16
"""Inside a panel."""
INNER = WIDTH - 2 * PAD
HEADER = 68
STATS = 74
TALLEST = 368
"""Of the picture."""
FEATURE_ROW = 24
MORE = 24
"""Room for the line that counts what is not drawn."""
MOST_FEATURES = 14
"""Features in one column; twice as many in two; the rest are counted."""


@dataclass(frozen=True)
class Caption:
    """What stands above a panel."""

    title: str
    subtitle: str = ""
    features: tuple[str, ...] | None = None
    """Names of the observation's entries, for games without a picture."""


@dataclass(frozen=True)
class Shown:
    """A frame on show, and whether its episode is over while others go on."""

    frame: Frame
    held: bool = False


class Painter:
    """Draws what is on show. Keeps, per panel, the range that each drawn number has had so far."""

    def __init__(self, captions: Sequence[Caption], first: Sequence[Frame]) -> None:
        self.captions = tuple(captions)
        self.well = max(_well_height(frame, caption) for caption, frame in zip(captions, first, strict=True))
        self.bars = [Bars(frame.decisions, INNER) for frame in first]
        self.ranges = [Ranges() for _ in first]
        self.height = HEADER + self.well + STATS + max(bars.height for bars in self.bars) + PAD
        self.size = (len(first) * (WIDTH + GAP) + GAP, _even(self.height + 2 * GAP))

    def paint(self, shown: Sequence[Shown]) -> Image.Image:
        """All panels, RGB, of `size`."""
        page = Image.new("RGB", self.size, theme.PAGE)
        for place, item in enumerate(shown):
            page.paste(self._panel(place, item), (GAP + place * (WIDTH + GAP), GAP))
        return page

    def _panel(self, place: int, item: Shown) -> Image.Image:
        panel = Image.new("RGB", (WIDTH, self.height), theme.CARD)
        draw = ImageDraw.Draw(panel)
        draw.rectangle((0, 0, WIDTH - 1, self.height - 1), outline=theme.LINE)
        self._header(draw, self.captions[place], item.frame)
        panel.paste(self._picture(place, item), (PAD, HEADER))
        self._stats(draw, HEADER + self.well, item.frame)
        corner = (PAD, HEADER + self.well + STATS)
        if item.frame.over:
            _end_mark(draw, corner, item.frame)
        else:
            self.bars[place].draw(draw, corner, item.frame.decisions)
        return panel

    def _header(self, draw: ImageDraw.ImageDraw, caption: Caption, frame: Frame) -> None:
        count = f"episode {frame.episode + 1}"
        room = INNER - round(font(13).getlength(count)) - 12
        write(draw, (PAD, 24), caption.title, width=room, size=17, bold=True)
        write(draw, (WIDTH - PAD, 24), count, width=120, colour=theme.MUTED, anchor="rm")
        below = " · ".join(text for text in (frame.said, caption.subtitle) if text)
        write(draw, (PAD, 48), below, width=INNER, size=12, colour=theme.MUTED)

    def _picture(self, place: int, item: Shown) -> Image.Image:
        """The picture in its frame; dimmed if it is held while others go on."""
        frame, well = item.frame, Image.new("RGB", (INNER, self.well), theme.WELL)
        picture = picture_of(frame)
        if picture is None:
            features = features_of(frame.observation, self.captions[place].features)
            _draw_features(well, features, self.ranges[place])
        else:
            picture = fit(picture, INNER, self.well)
            well.paste(picture, ((INNER - picture.width) // 2, (self.well - picture.height) // 2))
        if item.held:
            well = theme.blend(well, theme.WELL, 0.55)
        ImageDraw.Draw(well).rectangle((0, 0, INNER - 1, self.well - 1), outline=theme.LINE)
        return well

    def _stats(self, draw: ImageDraw.ImageDraw, top: int, frame: Frame) -> None:
        stats = (
            ("step", str(frame.step)),
            ("reward", number(frame.reward, signed=True)),
            ("return", number(frame.total)),
            ("value", number(frame.value)),
        )
        width = INNER // len(stats)
        for place, (label, text) in enumerate(stats):
            x = PAD + place * width
            write(draw, (x, top + 20), label, width=width - 6, size=12, colour=theme.MUTED)
            write(draw, (x, top + 42), text, width=width - 6, size=18, bold=True)
        draw.line((PAD, top + STATS - 10, WIDTH - PAD, top + STATS - 10), fill=theme.LINE)


class Ranges:
    """The largest size that each named number has had so far."""

    def __init__(self) -> None:
        self._largest: dict[str, float] = {}

    def share(self, name: str, value: float) -> float:
        """The value as a share of its range so far, in [-1, 1]; NaN and infinities are 0 and ±1."""
        if np.isnan(value):
            return 0.0
        if np.isinf(value):
            return float(np.sign(value))
        largest = max(self._largest.get(name, 0.0), abs(value))
        self._largest[name] = largest
        return value / largest if largest else 0.0


def picture_of(frame: Frame) -> Image.Image | None:
    """The game's picture; else its observation's planes; None for a game of mere features."""
    if frame.image is not None:
        return as_picture(frame.image)
    seen = looked_at(frame.observation)
    return planes_picture(np.asarray(seen)) if is_planes(seen) else None


def outcome(frame: Frame) -> str:
    """How an episode ended, in words; empty while it goes on."""
    how = "terminated" if frame.terminated else "truncated" if frame.truncated else ""
    return f"{how} after {frame.step} steps · return {number(frame.total)}" if how else ""


def _end_mark(draw: ImageDraw.ImageDraw, corner: tuple[int, int], frame: Frame) -> None:
    """How the episode ended, where the actions were: there are none to choose any more."""
    left, top = corner
    colour, mark = (theme.TERMINATED, "■") if frame.terminated else (theme.TRUNCATED, "▶")
    draw.rectangle((left, top, left + INNER - 1, top + 37), fill=colour)
    middle, text = (left + INNER / 2, top + 19), f"{mark} {outcome(frame)}"
    write(draw, middle, text, width=INNER - 16, bold=True, colour=theme.CARD, anchor="mm")


def _draw_features(well: Image.Image, features: list[tuple[str, float]], ranges: Ranges) -> None:
    """A row a feature: name, a bar from the middle to either side, the value."""
    draw = ImageDraw.Draw(well)
    shown, columns, rows = _feature_grid(len(features))
    room = well.height - (MORE if shown < len(features) else 0)
    width, height = well.width // columns, min(FEATURE_ROW, (room - 8) // max(rows, 1))
    top = (room - rows * height) // 2
    size, digits = (13, 62) if columns == 1 else (11, 50)
    for place, (name, value) in enumerate(features[:shown]):
        left, y = place // rows * width, top + (place % rows + 0.5) * height
        bar = (left + 0.4 * width, left + width - digits - 8)
        write(draw, (left + 10, y), name, width=round(0.4 * width) - 16, size=size)
        write(draw, (left + width - 8, y), number(value), width=digits - 6, size=size, anchor="rm")
        _centred_bar(draw, bar, y, height, ranges.share(name, value))
    if shown < len(features):
        text = f"and {len(features) - shown} more"
        corner = (well.width - 8, well.height - MORE // 2)
        write(draw, corner, text, width=200, size=11, colour=theme.MUTED, anchor="rm")


def _centred_bar(draw: ImageDraw.ImageDraw, ends: tuple[float, float], y: float, height: int, share: float) -> None:
    half, middle, reach = max(2, height // 2 - 5), sum(ends) / 2, (ends[1] - ends[0]) / 2
    draw.rectangle((ends[0], y - half, ends[1], y + half), fill=theme.LINE)
    tip = middle + share * reach
    colour = theme.CHOSEN if share >= 0 else theme.NEGATIVE
    draw.rectangle((min(middle, tip), y - half, max(middle, tip), y + half), fill=colour)
    draw.line((middle, y - half - 2, middle, y + half + 2), fill=theme.MUTED)


def _feature_grid(n_features: int) -> tuple[int, int, int]:
    """How many features are shown, in how many columns and rows."""
    if n_features <= MOST_FEATURES:
        return n_features, 1, n_features
    shown = min(n_features, 2 * MOST_FEATURES)
    return shown, 2, (shown + 1) // 2


def _well_height(frame: Frame, caption: Caption) -> int:
    picture = picture_of(frame)
    if picture is None:
        rows = _feature_grid(len(features_of(frame.observation, caption.features)))[2]
        return min(TALLEST, max(rows, 3) * FEATURE_ROW + 20)
    return min(TALLEST, round(picture.height * INNER / picture.width))


def _even(size: int) -> int:
    return size + size % 2
