"""Poker as one who sits at the table sees it: the hands, the card on the table, what was said, and the chips put in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from envs.fonts import font
from envs.turns.render import BOARD, EMPTY, INK, MARGIN, PAPER, SIGN, Array

SEATS = ("first", "second")
RANKS = ("jack", "queen", "king")
SUITS = ("spades", "hearts")
CARD = (44, 60)
"""Pixels of a card, (width, height)."""
LABEL, ROW = 72, 72
"""Pixels left of the cards, and a row of the table."""


@dataclass(frozen=True)
class Table:
    """What lies on a table with two players."""

    hands: tuple[str | None, ...]
    """Each player's card, such as "king of hearts"; None for one that is not shown."""
    chips: tuple[int, ...]
    """What each has put in."""
    said: tuple[tuple[str, ...], ...]
    """Of each round, in turn."""
    folded: bool
    """Whether a player has left the game, so that nobody has to show a card."""
    shared: str | None = None
    """The card that all see, once it lies there."""
    shares: bool = False
    """Whether the game has such a card."""

    def seen(self, player: int | None, *, over: bool) -> "Table":
        """As a player sees it, or one who sees everything (None): the other's card only once it has to be shown."""
        if player is None or (over and not self.folded):
            return self
        return replace(self, hands=tuple(hand if seat == player else None for seat, hand in enumerate(self.hands)))


Laid = Callable[[Any], Table]
"""The table of an OpenSpiel state."""


def kuhn(state: Any) -> Table:
    """Kuhn poker: an ante of one chip each, a bet of one."""
    dealt, moves = _history(state)
    said = tuple(("pass", "bet")[move] for _, move in moves)
    chips = tuple(1 + sum(move for player, move in moves if player == seat) for seat in (0, 1))
    return Table(_hands(dealt, RANKS), chips, (said,), ("bet", "pass") in pairwise(said))


def leduc(state: Any) -> Table:
    """Leduc poker: an ante of one chip each, raises of two chips, in the second round of four."""
    names = tuple(f"{rank} of {suit}" for rank in RANKS for suit in SUITS)
    dealt, moves = _history(state)
    chips, said = [1, 1], [list[str](), list[str]()]
    first = _first_round([move for _, move in moves])
    for place, (player, move) in enumerate(moves):
        late = place >= first
        said[late].append(("fold", "call", "raise")[move])
        if move:
            chips[player] = max(chips) + (move - 1) * (4 if late else 2)
    shared = names[dealt[2]] if len(dealt) > 2 else None
    folded = bool(moves) and moves[-1][1] == 0
    return Table(_hands(dealt, names), tuple(chips), tuple(map(tuple, said)), folded, shared, shares=True)


def _history(state: Any) -> tuple[list[int], list[tuple[int, int]]]:
    """The cards that chance dealt, and who made which move."""
    history = [(each.player, each.action) for each in state.full_history()]
    return [move for player, move in history if player < 0], [each for each in history if each[0] >= 0]


def _hands(dealt: Sequence[int], names: Sequence[str]) -> tuple[str | None, ...]:
    return tuple(names[card] for card in dealt[: len(SEATS)])


def _first_round(moves: Sequence[int]) -> int:
    """How many moves belong to Leduc's first round: it ends with the first call that is not the first move."""
    return next((place + 1 for place, move in enumerate(moves) if move == 1 and place), len(moves))


def text(table: Table) -> str:
    """A table in lines of text."""
    rows = [
        (seat, hand or "hidden", f"{chips} chip{'s' * (chips != 1)} in")
        for seat, hand, chips in zip(SEATS, table.hands, table.chips, strict=True)
    ]
    width = max(len(hand) for _, hand, _ in rows)
    lines = [f"{seat:<8}{hand:<{width}}  {chips}" for seat, hand, chips in rows]
    if table.shares:
        lines.append(f"{'table':<8}{table.shared or 'no card yet'}")
    return "\n".join([*lines, *_said(table)])


def _said(table: Table) -> list[str]:
    rounds = [", ".join(said) or "–" for said in table.said]
    return [f"round {number}: {said}" for number, said in enumerate(rounds, 1)] if len(rounds) > 1 else rounds


def picture(table: Table) -> Array:
    """A table drawn: (height, width, 3) uint8. Cards that are not shown lie face down."""
    said = _said(table)
    rows = len(SEATS) + table.shares
    width = max(320, int(max(font(14).getlength(line) for line in said)) + 2 * MARGIN)
    image = Image.new("RGB", (width, rows * ROW + 24 * len(said) + 2 * MARGIN), PAPER)
    draw = ImageDraw.Draw(image)
    for row, (seat, hand, chips) in enumerate(zip(SEATS, table.hands, table.chips, strict=True)):
        y = MARGIN + row * ROW
        draw.text((MARGIN, y + CARD[1] / 2), seat, INK, font(14), anchor="lm")
        _card(draw, y, hand)
        _chips(draw, y, chips)
    if table.shares:
        y = MARGIN + len(SEATS) * ROW
        draw.text((MARGIN, y + CARD[1] / 2), "table", INK, font(14), anchor="lm")
        if table.shared is not None:
            _card(draw, y, table.shared)
    for line, words in enumerate(said):
        draw.text((MARGIN, MARGIN + rows * ROW + 24 * line), words, INK, font(14))
    return np.asarray(image)


def _card(draw: Any, y: int, name: str | None) -> None:
    x = MARGIN + LABEL
    box = (x, y, x + CARD[0], y + CARD[1])
    draw.rounded_rectangle(box, 6, fill=PAPER if name else BOARD, outline=INK, width=2)
    if name is None:
        for step in range(10, CARD[1] - 4, 10):
            draw.line((x + 6, y + step, x + CARD[0] - 6, y + step), fill=EMPTY, width=3)
        return
    rank, _, suit = name.partition(" of ")
    sign = {"spades": "♠", "hearts": "♥"}.get(suit, "")
    colour = SIGN if suit == "hearts" else INK
    draw.text((x + CARD[0] / 2, y + CARD[1] / 2), rank[0].upper() + sign, colour, font(20, bold=True), anchor="mm")


def _chips(draw: Any, y: int, chips: int) -> None:
    """A disc for each chip, ten a row."""
    x = MARGIN + LABEL + CARD[0] + 16
    for chip in range(chips):
        left, top = x + chip % 10 * 14, y + 10 + chip // 10 * 18
        draw.ellipse((left, top, left + 12, top + 12), fill=BOARD, outline=INK)
