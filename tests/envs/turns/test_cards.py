"""Poker as it is shown: nobody sees the other's hand before it has to be shown, and the chips are OpenSpiel's."""

from typing import Any

import numpy as np
import pytest

from envs.turns import cards, openspiel
from envs.turns.games import OVER
from envs.turns.opponents import uniform

MAKERS = {"kuhn": (openspiel.kuhn_poker, cards.kuhn), "leduc": (openspiel.leduc_poker, cards.leduc)}
BOARD = np.array([0])


def dealt(name: str, deal: list[int], moves: list[int]) -> Any:
    """A game with these cards, after these moves; a third card is dealt when it is due."""
    games = MAKERS[name][0](1)
    state, rest = games.game.new_initial_state(), list(deal)
    for move in [None, None, *moves]:
        if move is None or state.is_chance_node():
            state.apply_action(rest.pop(0))
        if move is not None:
            state.apply_action(move)
    if state.is_chance_node():
        state.apply_action(rest.pop(0))
    games.states[0] = state
    return games


def test_a_table_in_text() -> None:
    games = dealt("leduc", [4, 1, 2], [2, 1, 1, 2])
    assert games.text(0, 0) == (
        "first   king of spades  3 chips in\n"
        "second  hidden          7 chips in\n"
        "table   queen of spades\n"
        "round 1: raise, call\n"
        "round 2: call, raise"
    )
    assert games.text(0, 1).splitlines()[:2] == [
        "first   hidden          3 chips in",
        "second  jack of hearts  7 chips in",
    ]
    assert "hidden" not in games.text(0)
    assert dealt("kuhn", [0, 2], []).text(0, 0) == "first   jack    1 chip in\nsecond  hidden  1 chip in\n–"


@pytest.mark.parametrize(("moves", "shown"), [([0, 0], True), ([1, 1], True), ([1, 0], False), ([0, 1, 0], False)])
def test_who_folds_has_seen_nothing(moves: list[int], shown: bool) -> None:
    """Cards are shown at a showdown alone; whoever has folded, or was folded to, keeps the own."""
    games = dealt("kuhn", [0, 2], moves)
    assert games.states[0].is_terminal()
    assert ("king" in games.text(0, 0)) is shown
    assert ("jack" in games.text(0, 1)) is shown
    assert np.array_equal(games.picture(0, 0), games.picture(0)) is shown


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_pictures_and_text_do_not_depend_on_what_is_hidden(name: str) -> None:
    """Two games that differ by the other's card alone look the same from one's seat, and not to who sees all."""
    one, other = dealt(name, [0, 1], [1]), dealt(name, [0, 2], [1])
    assert one.text(0, 0) == other.text(0, 0)
    assert np.array_equal(one.picture(0, 0), other.picture(0, 0))
    assert one.text(0, 1) != other.text(0, 1)
    assert not np.array_equal(one.picture(0, 1), other.picture(0, 1))
    assert not np.array_equal(one.picture(0), other.picture(0))


@pytest.mark.parametrize("name", sorted(MAKERS))
def test_chips_and_folds_are_those_of_the_rules(name: str) -> None:
    """Who loses pays what lay in; whether somebody folded is seen in the chips, which are then not alike."""
    make, table = MAKERS[name]
    games, choice, folds = make(1), np.random.default_rng(0), 0
    for seed in range(60):
        games.reset(BOARD, [np.random.default_rng(seed)])
        while games.to_move()[0] != OVER:
            games.apply(BOARD, uniform(games.masks(BOARD), choice.random(1)))
        found, returns = table(games.states[0]), games.returns(BOARD)[0]
        lost = int(returns.argmin())
        assert returns[lost] in (0.0, -found.chips[lost])
        assert found.folded == (found.chips[0] != found.chips[1])
        folds += found.folded
    assert 0 < folds < 60
