"""The bars under a picture: what the policy said of each action, the one taken marked."""

from collections.abc import Sequence

import numpy as np
from PIL import ImageDraw

from agents.rollout import Decision
from agents.watch import theme
from agents.watch.theme import number, write
from envs.fonts import font

ROW = 24
HEAD = 24
NUMBER = 56
"""Room for a number, in pixels."""
MOST_AGENTS = 8
"""That have a column of bars each; the others are counted."""
MOST_ROWS = 10
"""Of one column of actions; more go into two columns, and what is beyond those is counted."""

HEADINGS = {
    "categorical": "action probabilities",
    "q": "action values",
    "gaussian": "continuous action: mean (bar), drawn (line)",
    "deterministic": "continuous action",
}


class Bars:
    """Bars for the actions of one panel: one column of bars per agent. Laid out from the first decisions.

    Args:
        decisions: of the first frame, one per agent.
        width: in pixels.
    """

    def __init__(self, decisions: Sequence[Decision], width: int) -> None:
        self.names, self.width = decisions[0].names, width
        self.heading = HEADINGS[decisions[0].kind]
        self.agents = min(len(decisions), MOST_AGENTS)
        self.columns = 1 if len(self.names) <= MOST_ROWS or self.agents > 1 else 2
        self.shown = min(len(self.names), self.columns * MOST_ROWS)
        self.rows = -(-self.shown // self.columns)
        self.column = (width - (self.columns - 1) * 16) // self.columns
        longest = max((font(13, bold=True).getlength(name) for name in self.names), default=0.0)
        room = self.column // 2 if self.columns == 1 else self.column - NUMBER - 16
        self.label = min(max(round(longest) + 24, 70), room)
        self.spread = 0.0
        self.height = HEAD + self.rows * ROW

    def draw(self, draw: ImageDraw.ImageDraw, corner: tuple[int, int], decisions: Sequence[Decision]) -> None:
        """Draw with the upper left corner there."""
        left, top = corner
        beyond = len(self.names) - self.shown
        heading = self.heading + (f" (and {beyond} more)" if beyond else "")
        if self.agents > 1:
            more = len(decisions) - self.agents
            heading = f"+{more} more" if more else ""
        write(draw, (left, top + 9), heading, width=self.width, size=12, colour=theme.MUTED)
        if self.agents > 1:
            self._several(draw, left, top, decisions)
        else:
            self._one(draw, left, top + HEAD, decisions[0])

    def _one(self, draw: ImageDraw.ImageDraw, left: int, top: int, decision: Decision) -> None:
        shares = self._shares(decision)
        for place, index in enumerate(self._listed(decision)):
            x = left + place // self.rows * (self.column + 16)
            y = top + (place % self.rows) * ROW + ROW // 2
            taken = _taken(decision, index)
            self._name(draw, x, y, decision.names[index], taken)
            box = (x + self.label, y - 7, x + self.column - NUMBER, y + 7)
            _bar(draw, box, decision, index, shares)
            write(
                draw,
                (x + self.column, y),
                _number(decision, index),
                width=NUMBER - 4,
                size=12,
                bold=taken,
                anchor="rm",
            )

    def _several(self, draw: ImageDraw.ImageDraw, left: int, top: int, decisions: Sequence[Decision]) -> None:
        """A column of bars for each agent, without numbers."""
        width = (self.width - self.label) // self.agents
        for agent, decision in enumerate(decisions[: self.agents]):
            x, shares = left + self.label + agent * width, self._shares(decision)
            write(draw, (x, top + 9), f"agent {agent + 1}", width=width - 8, size=12, colour=theme.MUTED)
            for index in range(self.shown):
                y = top + HEAD + index * ROW + ROW // 2
                _bar(draw, (x, y - 7, x + width - 8, y + 7), decision, index, shares)
        for index in range(self.shown):
            self._name(draw, left, top + HEAD + index * ROW + ROW // 2, self.names[index], False)

    def _listed(self, decision: Decision) -> list[int]:
        """The actions that have a bar: of more than there is room for the action taken and the likeliest, in order."""
        everything = list(range(len(self.names)))
        if self.shown == len(self.names) or decision.numbers is None or decision.kind not in ("categorical", "q"):
            return everything[: self.shown]
        legal = True if decision.legal is None else decision.legal
        ranks = np.argsort(-np.where(legal, decision.numbers, -np.inf), kind="stable").tolist()
        return sorted(sorted(ranks, key=lambda index: not _taken(decision, index))[: self.shown])

    def _name(self, draw: ImageDraw.ImageDraw, x: int, y: int, name: str, taken: bool) -> None:
        if taken:
            draw.polygon([(x, y - 5), (x + 7, y), (x, y + 5)], fill=theme.CHOSEN)
        write(draw, (x + 12, y), name, width=self.label - 18, bold=taken)

    def _shares(self, decision: Decision) -> np.ndarray | None:
        """Lengths of the bars of a discrete action, in [0, 1].

        Action values are drawn above the worst of them, on the largest spread seen so far: they differ by little.
        """
        if decision.numbers is None or decision.kind not in ("categorical", "q"):
            return None
        if decision.kind == "categorical":
            return decision.numbers
        above: np.ndarray = decision.numbers - decision.numbers.min()
        self.spread = max(self.spread, float(above.max()))
        return above / self.spread if self.spread else above


def _taken(decision: Decision, index: int) -> bool:
    return isinstance(decision.action, int) and decision.action == index


def _number(decision: Decision, index: int) -> str:
    if decision.numbers is None:
        return ""
    if decision.legal is not None and not decision.legal[index]:
        return "–"
    value = float(decision.numbers[index])
    if decision.kind == "categorical":
        return f"{100 * value:.0f} %" if value >= 0.0995 or value == 0 else f"{100 * value:.1f} %"
    return number(value)


def _bar(
    draw: ImageDraw.ImageDraw,
    box: tuple[int, int, int, int],
    decision: Decision,
    index: int,
    shares: np.ndarray | None,
) -> None:
    left, top, right, bottom = box
    draw.rectangle(box, fill=theme.WELL)
    if decision.bounds is not None:
        _continuous(draw, box, decision, index)
    elif shares is not None and (length := float(shares[index]) * (right - left)) >= 0.5:
        colour = theme.CHOSEN if _taken(decision, index) else theme.BAR
        draw.rectangle((left, top, left + length, bottom), fill=colour)


def _continuous(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], decision: Decision, index: int) -> None:
    """A bar from 0 (or the nearest bound) to the mean, a band of a standard deviation, a line at the action."""
    left, top, right, bottom = box
    low, high = scale(decision, index)

    def place(value: float) -> float:
        return left + (right - left) * float(np.clip((value - low) / (high - low), 0, 1))

    if decision.numbers is not None:
        mean = float(decision.numbers[index])
        if decision.spread is not None:
            deviation = float(decision.spread[index])
            draw.rectangle((place(mean - deviation), top, place(mean + deviation), bottom), fill=theme.LINE)
        ends = sorted((place(0.0), place(mean)))
        draw.rectangle((ends[0], top + 3, ends[1], bottom - 3), fill=theme.BAR)
    draw.line((place(0.0), top, place(0.0), bottom), fill=theme.MUTED)
    if isinstance(decision.action, np.ndarray):
        x = place(float(np.ravel(decision.action)[index]))
        draw.rectangle((x - 1, top - 2, x + 1, bottom + 2), fill=theme.CHOSEN)


def scale(decision: Decision, index: int) -> tuple[float, float]:
    """The bounds of one dimension of a continuous action; ±1 where it has none."""
    if decision.bounds is None:
        return -1.0, 1.0
    low, high = float(decision.bounds[0][index]), float(decision.bounds[1][index])
    return (low, high) if np.isfinite(low) and np.isfinite(high) and high > low else (-1.0, 1.0)
