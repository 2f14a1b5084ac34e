"""Win rates and ratings, against numbers worked by hand and against other ways to the same maximum."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

from envs.errors import ConfigError
from transfer.intervals import Interval, mean_interval
from transfer.ratings import (
    arm_win_rate,
    elo,
    elo_difference,
    expected,
    win_rate,
    win_rate_interval,
    win_rates,
)


def ends(interval: Interval) -> tuple[float, float]:
    assert interval.low is not None
    assert interval.high is not None
    return interval.low, interval.high


def test_the_win_rate_counts_draws_as_halves() -> None:
    assert win_rate(6, 2, 2) == 0.7
    assert win_rate(0, 4, 0) == 0.5


def test_wilsons_interval_by_hand() -> None:
    """Ten games, eight won: Wilson's 95 % interval is 0.490 to 0.943 (Brown, Cai & DasGupta 2001 give the formula)."""
    found = win_rate_interval(8, 0, 2)
    z = 1.959963984540054
    centre, half = 0.8 + z**2 / 20, z * math.sqrt(0.8 * 0.2 / 10 + z**2 / 400)
    assert found.low == pytest.approx((centre - half) / (1 + z**2 / 10))
    assert found.high == pytest.approx((centre + half) / (1 + z**2 / 10))
    assert ends(found) == pytest.approx((0.490, 0.943), abs=5e-4)


def test_wilsons_interval_is_scipys() -> None:
    for wins, games in ((0, 7), (3, 7), (7, 7), (55, 100)):
        theirs = stats.binomtest(wins, games).proportion_ci(method="wilson")
        ours = win_rate_interval(wins, 0, games - wins)
        assert ends(ours) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_draws_are_halves_in_wilsons_interval_too() -> None:
    assert win_rate_interval(4, 4, 2) == win_rate_interval(6, 0, 4)


@pytest.mark.parametrize("draws", [0.0, 0.5])
def test_wilsons_interval_covers_with_and_without_draws(draws: Any) -> None:
    """95 % of the intervals of 60 games hold the win rate; with draws more do."""
    generator = np.random.default_rng(3)
    rate, hits = 0.6, 0
    shares = [rate - draws / 2, draws, 1 - rate - draws / 2]
    for wins, drawn, losses in generator.multinomial(60, shares, size=2000):
        low, high = ends(win_rate_interval(int(wins), int(drawn), int(losses)))
        hits += low <= rate <= high
    assert hits / 2000 >= 0.93
    assert hits / 2000 <= (0.97 if draws == 0 else 1.0)


def test_returns_become_win_rates() -> None:
    np.testing.assert_array_equal(win_rates([1, 0, -1]), [1, 0.5, 0])


def test_an_arms_interval_is_over_seeds() -> None:
    returns = np.array([[1, 1, -1, 1], [1, 0, 1, -1], [-1, -1, 1, 0]])
    rate, interval = arm_win_rate(returns)
    seeds = [0.75, 0.625, 0.375]
    assert rate == pytest.approx(np.mean(seeds))
    assert interval == mean_interval(seeds)
    assert arm_win_rate(returns.mean(axis=1)) == (rate, interval)
    assert arm_win_rate([0.5])[1].low is None
    with pytest.raises(ConfigError, match="no seed"):
        arm_win_rate([])


def test_expected_and_elo_difference_undo_each_other() -> None:
    assert float(expected(400)) == pytest.approx(10 / 11)
    assert elo_difference(10 / 11) == pytest.approx(400)
    assert elo_difference(1.0) == math.inf
    assert elo_difference(0.0) == -math.inf
    assert float(expected(-math.inf)) == 0


def table(k: int, results: dict[tuple[int, int], tuple[int, int, int]]) -> tuple[Any, Any]:
    wins, draws = np.zeros((k, k)), np.zeros((k, k))
    for (i, j), (won, drawn, lost) in results.items():
        wins[i, j] += won
        wins[j, i] += lost
        draws[i, j] += drawn
        draws[j, i] += drawn
    return wins, draws


def test_two_players_by_hand() -> None:
    """Three of four games won: 400 log₁₀ 3 = 190.85 Elo; the interval is the likelihood ratio's of a proportion."""
    weak, strong = elo(*table(2, {(1, 0): (30, 0, 10)}))
    assert weak.elo == 0
    assert (weak.interval.low, weak.interval.high) == (0, 0)
    assert strong.elo == pytest.approx(400 * math.log10(3), abs=1e-3)

    def deviance(p: float) -> Any:
        return 2 * (30 * math.log(0.75 / p) + 10 * math.log(0.25 / (1 - p))) - stats.chi2.ppf(0.95, 1)

    ends = [optimize.brentq(deviance, 1e-6, 0.75), optimize.brentq(deviance, 0.75, 1 - 1e-6)]
    assert strong.interval.low == pytest.approx(elo_difference(ends[0]), abs=0.01)
    assert strong.interval.high == pytest.approx(elo_difference(ends[1]), abs=0.01)


def test_draws_are_halves() -> None:
    halves = elo(*table(2, {(1, 0): (10, 40, 0)}))[1]
    wins = elo(*table(2, {(1, 0): (30, 0, 20)}))[1]
    assert halves.elo == pytest.approx(wins.elo)
    assert halves.interval.high == pytest.approx(wins.interval.high)


def test_a_chain_adds_up() -> None:
    """0 — 1 — 2, the ends not having met: the differences are those of the two pairs."""
    ratings = elo(*table(3, {(1, 0): (30, 0, 10), (2, 1): (20, 0, 10)}))
    assert ratings[1].elo == pytest.approx(400 * math.log10(3), abs=1e-3)
    assert ratings[2].elo == pytest.approx(400 * math.log10(6), abs=1e-3)
    first, second = ends(ratings[1].interval), ends(ratings[2].interval)
    assert second[1] - second[0] > first[1] - first[0]


def test_the_anchor_only_moves_all() -> None:
    wins, draws = table(3, {(1, 0): (30, 4, 10), (2, 1): (20, 0, 10), (2, 0): (9, 1, 2)})
    from_first, from_last = elo(wins, draws), elo(wins, draws, anchor=2)
    for one, other in zip(from_first, from_last, strict=True):
        assert one.elo - from_first[2].elo == pytest.approx(other.elo, abs=1e-3)


def test_the_maximum_is_that_of_the_minorise_maximise_algorithm() -> None:
    """Hunter (2004): γᵢ ← points of i / Σⱼ games(i, j) / (γᵢ + γⱼ), again and again."""
    generator = np.random.default_rng(0)
    wins = generator.integers(1, 20, size=(5, 5)).astype(float)
    np.fill_diagonal(wins, 0)
    drawn = generator.integers(0, 9, size=(5, 5))
    draws = np.triu(drawn, 1) + np.triu(drawn, 1).T
    points = wins + draws / 2
    strength = np.ones(5)
    for _ in range(2000):
        games = points + points.T
        strength = points.sum(axis=1) / (games / (strength[:, None] + strength[None, :])).sum(axis=1)
        strength /= strength[0]
    found = [rating.elo for rating in elo(wins, draws)]
    np.testing.assert_allclose(found, 400 * np.log10(strength), atol=0.01)


def test_who_won_everything_has_a_lower_bound_and_a_virtual_draw() -> None:
    """n games, all won: with one virtual draw the odds are (n + ½) / ½; the bound is where n log p = −χ²/2."""
    _, best = elo(*table(2, {(1, 0): (50, 0, 0)}))
    assert best.elo == pytest.approx(400 * math.log10(101), abs=0.01)
    bound = math.exp(-stats.chi2.ppf(0.95, 1) / 2 / 50)
    assert best.interval.low == pytest.approx(elo_difference(bound), abs=0.1)
    assert best.interval.high is None
    assert "virtual draw" in str(best.interval.note)
    assert best.elo > elo(*table(2, {(1, 0): (10, 0, 0)}))[1].elo


def test_who_lost_everything_has_an_upper_bound() -> None:
    _, worst = elo(*table(2, {(1, 0): (0, 0, 50)}))
    assert worst.elo == pytest.approx(-400 * math.log10(101), abs=0.01)
    assert worst.interval.low is None
    assert worst.interval.high is not None
    assert worst.interval.high < 0


def test_the_virtual_draw_touches_nobody_elses_difference() -> None:
    """1 and 2 beat 0 always, and each other sometimes: what lies between them stays as it is without 0."""
    ratings = elo(*table(3, {(1, 0): (20, 0, 0), (2, 0): (20, 0, 0), (2, 1): (15, 0, 5)}))
    assert ratings[1].interval.high is None
    assert ratings[2].interval.high is None
    assert ratings[2].elo - ratings[1].elo == pytest.approx(400 * math.log10(3), abs=15)


def test_a_ladder_of_clean_sweeps() -> None:
    ratings = elo(*table(3, {(1, 0): (10, 0, 0), (2, 1): (10, 0, 0), (2, 0): (10, 0, 0)}))
    assert ratings[0].elo < ratings[1].elo < ratings[2].elo < math.inf


@pytest.mark.parametrize(
    ("wins", "draws", "words"),
    [
        (np.zeros((2, 3)), np.zeros((2, 3)), "expected both"),
        (np.eye(2), np.zeros((2, 2)), "against itself"),
        (-np.ones((2, 2)), np.zeros((2, 2)), "below 0"),
        (np.zeros((2, 2)), np.array([[0, 1], [0, 0]]), "not symmetric"),
        (np.zeros((2, 2)), np.zeros((2, 2)), "not connected"),
        (*table(4, {(0, 1): (1, 0, 1), (2, 3): (1, 0, 1)}), "players 0 and 2 are not connected"),
    ],
)
def test_what_is_no_table_of_games(wins: Any, draws: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        elo(wins, draws)


def test_no_games_and_no_such_anchor() -> None:
    with pytest.raises(ConfigError, match="at least one game"):
        win_rate(0, 0, 0)
    with pytest.raises(ConfigError, match="none below 0"):
        win_rate_interval(3, 0, -1)
    with pytest.raises(ConfigError, match="the anchor is player 5"):
        elo(*table(2, {(1, 0): (1, 0, 1)}), anchor=5)


def test_a_hundred_sweeps_of_ten_players_take_a_moment() -> None:
    generator = np.random.default_rng(1)
    wins = generator.binomial(10, 0.5, size=(10, 10)).astype(float)
    np.fill_diagonal(wins, 0)
    ratings = elo(wins, np.zeros((10, 10)))
    for rating in ratings[1:]:
        low, high = ends(rating.interval)
        assert low < rating.elo < high
