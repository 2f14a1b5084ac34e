"""The show in a terminal: a game's own text or its picture in half blocks, bars of text; elsewhere plain lines."""

import sys
import time
from collections.abc import Callable, Sequence
from typing import TextIO

import numpy as np
from PIL import Image
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.style import Style
from rich.table import Table
from rich.text import Text

from agents.rollout import Decision, Frame
from agents.watch.drawing import Caption, Ranges, Shown, outcome, picture_of
from agents.watch.pictures import features_of, fit
from agents.watch.show import Show, settled
from agents.watch.theme import number

WIDEST = 64
"""Of a panel, in characters."""
BAR = 16
"""Of a bar, in characters."""
SHADES = " .:-=+*#%@"
"""From dark to light, where there are no colours."""
MOST_ROWS = 10
"""Of actions, and of features."""


def watch_in_terminal(
    show: Show,
    *,
    fps: int | None = None,
    file: TextIO | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Play a show, drawn in the terminal; a line per player and step where the output is none."""
    console = Console(file=file or sys.stdout, highlight=False)
    if console.is_terminal:
        _draw(show, console, 1 / (fps or show.fps), sleep)
    else:
        titles = _titles(show.captions)
        for shown in show:
            for title, item in zip(titles, shown, strict=True):
                if not item.held:
                    print(f"{title}{line(item.frame)}", file=console.file, flush=True)


def _titles(captions: Sequence[Caption]) -> list[str]:
    """What begins each player's lines: no more than tells them apart."""
    if len(captions) == 1:
        return [""]
    short = [caption.title for caption in captions]
    if len(set(short)) == len(short):
        return [f"{title}: " for title in short]
    return [f"{caption.title} ({caption.subtitle}): " for caption in captions]


def line(frame: Frame) -> str:
    """A frame as one line of text."""
    parts = [f"episode {frame.episode + 1} step {frame.step}"]
    if frame.reward is not None:
        parts.append(f"reward {number(frame.reward, signed=True)} return {number(frame.total)}")
    if frame.said is not None:
        parts.append(frame.said)
    if frame.over:
        return ", ".join([*parts, outcome(frame).partition(" ")[0]])
    if frame.value is not None:
        parts.append(f"value {number(frame.value)}")
    names = [decision.action_name for decision in frame.decisions]
    parts.append("action " + " / ".join(name or "-" for name in names))
    probabilities = frame.probabilities
    if probabilities and len(frame.decisions) == 1:
        legal = frame.decisions[0].legal
        shares = [f"{share:.0%}" for share in probabilities.values()]
        shown = shares if legal is None else [share if on else "–" for share, on in zip(shares, legal, strict=True)]
        parts.append(" ".join(f"{name} {share}" for name, share in zip(probabilities, shown, strict=True)))
    return ", ".join(parts)


def _draw(show: Show, console: Console, seconds: float, sleep: Callable[[float], None]) -> None:
    ranges = [Ranges() for _ in show.captions]
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        for shown in show:
            live.update(panels(show.captions, shown, ranges, console), refresh=True)
            sleep(1.0 if settled(shown) else seconds)


def panels(
    captions: Sequence[Caption], shown: Sequence[Shown], ranges: Sequence[Ranges], console: Console
) -> RenderableType:
    """All panels, side by side."""
    width = min(WIDEST, (console.width - 2 * len(shown)) // len(shown))
    grid = Table.grid(padding=(0, 2, 0, 0))
    for _ in shown:
        grid.add_column(width=width, vertical="top")
    below = 5 + max(min(len(item.frame.decisions[0].names), MOST_ROWS) for item in shown)
    below += any(item.frame.said for item in shown)
    height = max(6, console.height - below - 1)
    grid.add_row(
        *(
            _panel(caption, item, span, width, height, console)
            for caption, item, span in zip(captions, shown, ranges, strict=True)
        )
    )
    return grid


def _panel(caption: Caption, item: Shown, ranges: Ranges, width: int, height: int, console: Console) -> RenderableType:
    frame = item.frame
    picture = None if frame.text else picture_of(frame)
    if frame.text:
        top: RenderableType = told(frame.text, height, dimmed=item.held)
    elif picture is None:
        features = features_of(frame.observation, caption.features)[: min(height, 2 * MOST_ROWS)]
        top = _features(features, ranges, width)
    else:
        colours = console.color_system is not None and not console.no_color
        top = half_blocks(picture, width, height, colours=colours, dimmed=item.held)
    stats = (
        f"step {frame.step}  reward {number(frame.reward, signed=True)}  "
        f"return {number(frame.total)}  value {number(frame.value)}"
    )
    end = Text(f" {outcome(frame)} " if frame.over else "", style="reverse" if frame.over else "")
    return Group(
        Text(f"{caption.title} · episode {frame.episode + 1}", style="bold", no_wrap=True, overflow="ellipsis"),
        Text(caption.subtitle, style="dim", no_wrap=True, overflow="ellipsis"),
        *([Text(frame.said, no_wrap=True, overflow="ellipsis")] if frame.said else []),
        top,
        Text(stats, no_wrap=True, overflow="ellipsis"),
        *_actions(frame.decisions, width),
        end,
    )


def told(text: str, rows: int, *, dimmed: bool = False) -> Text:
    """A game's own text, its colours kept; what is lower than so many rows is counted."""
    lines = text.rstrip("\n").split("\n")
    beyond = len(lines) - rows
    if beyond > 0:
        lines = [*lines[: rows - 1], f"… {beyond + 1} more lines: make the terminal higher"]
    shown = Text.from_ansi("\n".join(lines), no_wrap=True, overflow="crop")
    if dimmed:
        shown.stylize("dim")
    return shown


def half_blocks(picture: Image.Image, columns: int, rows: int, *, colours: bool = True, dimmed: bool = False) -> Text:
    """A picture of at most so many characters, each two pixels high; by shades of grey where there are no colours."""
    if not colours:
        return _shaded(picture, columns, rows)
    small = fit(picture, columns, 2 * rows)
    pixels = np.asarray(small).astype(int)
    if dimmed:
        pixels = pixels // 2
    if len(pixels) % 2:
        pixels = np.concatenate([pixels, pixels[-1:]])
    text = Text(no_wrap=True)
    for upper, lower in zip(pixels[::2], pixels[1::2], strict=True):
        for high, low in zip(upper.tolist(), lower.tolist(), strict=True):
            text.append("▀", Style.parse(f"rgb({_rgb(high)}) on rgb({_rgb(low)})"))
        text.append("\n")
    text.right_crop(1)
    return text


def _shaded(picture: Image.Image, columns: int, rows: int) -> Text:
    """Characters are about twice as high as wide."""
    small = fit(picture, columns, 2 * rows)
    small = small.resize((small.width, max(1, small.height // 2)), Image.Resampling.BOX)
    grey = np.rint(np.asarray(small.convert("L")) / 255 * (len(SHADES) - 1)).astype(int)
    return Text("\n".join("".join(SHADES[level] for level in row) for row in grey), no_wrap=True)


def _rgb(colour: Sequence[int]) -> str:
    return ",".join(str(part) for part in colour)


def _features(features: Sequence[tuple[str, float]], ranges: Ranges, width: int) -> Text:
    room = max(8, width - 2 * BAR // 2 - 12)
    text = Text(no_wrap=True)
    for name, value in features:
        share = ranges.share(name, value)
        half = BAR // 2
        filled = round(abs(share) * half)
        left = ("█" * filled if share < 0 else "").rjust(half)
        right = ("█" * filled if share > 0 else "").ljust(half)
        text.append(f"{name[:room]:<{room}} {left}│{right} {number(value):>8}\n")
    text.right_crop(1)
    return text


def _actions(decisions: Sequence[Decision], width: int) -> list[Text]:
    """A row per action: the names, and a bar per agent; of what has no bars the action taken."""
    first = decisions[0]
    if first.kind not in ("categorical", "q") or first.numbers is None:
        return [Text(f"▶ {first.action_name or ''}", style="bold", no_wrap=True, overflow="ellipsis")]
    room = min(max(len(name) for name in first.names), width // 3)
    bar = max(3, min(BAR, (width - room - 4) // len(decisions) - 9))
    rows = []
    for index, name in enumerate(first.names[:MOST_ROWS]):
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"{'▶' if index == first.action else ' '} {name[:room]:<{room}} ")
        for decision in decisions:
            taken = decision.action == index
            text.append(_bar(decision, index, bar), "bold blue" if taken else "")
        rows.append(text)
    return rows


def _bar(decision: Decision, index: int, width: int) -> str:
    if decision.numbers is None:
        return ""
    if decision.legal is not None and not decision.legal[index]:
        return f"{'':<{width}} {'–':>{5 if decision.kind == 'categorical' else 7}} "
    value = float(decision.numbers[index])
    if decision.kind == "q":
        spread = float(np.ptp(decision.numbers))
        filled = round(width * (value - float(decision.numbers.min())) / spread) if spread else 0
        return f"{'█' * filled:<{width}} {number(value):>7} "
    return f"{'█' * round(width * value):<{width}} {value:>5.0%} "
