"""Who plays better: win rates and Elo ratings, with intervals. Arrays in, numbers out.

A draw is half a win and half a loss throughout: of w wins, d draws and l losses the points are w + d/2 and the win rate
is (w + d/2) / (w + d + l).

Ratings are Elo's, by maximum likelihood in Bradley & Terry's model (1952): player i beats player j with probability
1 / (1 + 10^((R_j − R_i) / 400)). Only differences of ratings mean anything; one named player is the anchor, at 0.

The games are the unit here: these intervals say how well these very players are known. How well an *arm* of a study
does is a matter of its seeds, each of which is one number (`arm_win_rate`).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats
from scipy.sparse.csgraph import connected_components

from envs.errors import ConfigError
from transfer.intervals import LEVEL, Array, Interval, mean_interval

SCALE = 400 / math.log(10)
"""Elo points per unit of natural log odds: 173.7."""
FARTHEST = 30.0
"""Log odds (5,211 Elo points) beyond which an interval's end is taken for infinite: there, one game in 10¹³ is lost."""
RIDGE = 1e-9
"""Of the likelihood, so that a player who won every game has a highest one, far away."""

Counts = NDArray[np.int64]


def win_rate(wins: int, draws: int, losses: int) -> float:
    """(w + d/2) / (w + d + l). Raises ConfigError for no games, or for fewer than none."""
    games = _games(wins, draws, losses)
    return (wins + draws / 2) / games


def win_rate_interval(wins: int, draws: int, losses: int) -> Interval:
    """Wilson's score interval (1927) of a win rate.

    {p : (p̂ − p)² ≤ z² p (1 − p) / n} with p̂ the win rate, draws as halves, n the number of games and z the normal
    quantile: (p̂ + z²/2n ± z √(p̂(1 − p̂)/n + z²/4n²)) / (1 + z²/n). A game's points have the variance
    p(1 − p) − P(draw)/4, which is less than the p(1 − p) of a game without draws that is reckoned with here: where
    games are drawn, the interval is wider than it need be, never narrower.
    """
    games, rate = _games(wins, draws, losses), win_rate(wins, draws, losses)
    z = float(stats.norm.ppf((1 + LEVEL) / 2))
    centre = rate + z**2 / (2 * games)
    half = z * math.sqrt(rate * (1 - rate) / games + z**2 / (4 * games**2))
    scale = 1 + z**2 / games
    low = max(0.0, (centre - half) / scale) if rate > 0 else 0.0
    high = min(1.0, (centre + half) / scale) if rate < 1 else 1.0
    return Interval(low, high, "Wilson over games, draws as halves")


def win_rates(returns: ArrayLike) -> Array:
    """Returns in [−1, 1] (win 1, draw 0, loss −1) as win rates: (R + 1) / 2, any shape."""
    return (np.asarray(returns, dtype=np.float64) + 1) / 2


def arm_win_rate(returns: ArrayLike) -> tuple[float, Interval]:
    """The win rate of an arm of several seeds, and its interval: the seed is the unit, its games are not.

    Args:
        returns: (n_seeds, n_games), or each seed's mean return (n_seeds,), in [−1, 1].

    Returns:
        The mean of the seeds' win rates, and Student's t interval over seeds, which the reports use, too. The interval
        is not cut at 0 and 1.
    """
    rates = win_rates(returns)
    seeds = rates.mean(axis=1) if rates.ndim == 2 else rates
    if not seeds.size:
        raise ConfigError("found no seed's returns, expected at least one")
    return float(seeds.mean()), mean_interval(seeds)


def expected(difference: ArrayLike) -> Array:
    """The win rate that a difference of ratings stands for: 1 / (1 + 10^(−D/400))."""
    return np.asarray(1 / (1 + 10 ** (-np.asarray(difference, dtype=np.float64) / 400)))


def elo_difference(rate: float) -> float:
    """400 log₁₀(p / (1 − p)): the inverse of `expected`; infinite at 0 and 1."""
    if rate in (0.0, 1.0):
        return math.inf if rate else -math.inf
    return 400 * math.log10(rate / (1 - rate))


@dataclass(frozen=True)
class Rating:
    """One player's."""

    elo: float
    """Finite, above the anchor's 0."""
    interval: Interval
    """Of the difference from the anchor; an end that is infinite is None."""


def elo(wins: ArrayLike, draws: ArrayLike, *, anchor: int = 0) -> list[Rating]:
    """Everybody's rating from a table of games.

    Args:
        wins: (k, k); wins[i, j] is how often i beat j; the diagonal is 0.
        draws: (k, k), symmetric; draws[i, j] is how often they drew.
        anchor: who is at 0.

    The maximum is finite if and only if no group of players won every game against all others (Ford 1957). Where one
    did, one virtual draw is added to each pair of players of whom one won all that they played and no chain of others'
    results leads back: that makes a rating out of "won all n games" that depends on n, and a note says so.
    The intervals go without it. They are those of the profile likelihood: all differences D for which 2 (ℓ(R̂) − max
    {ℓ(R) : R_i − R_anchor = D}) ≤ χ²₁(95 %) = 3.84; of a player who won everything that is a lower bound alone.
    Draws being two halves, ℓ is a quasi-likelihood whose intervals are, as Wilson's, wider than draws make needful.

    Raises:
        ConfigError: the table is no table of games, or not all players are connected by games.
    """
    points = _points(wins, draws)
    if not 0 <= anchor < len(points):
        raise ConfigError(f"the anchor is player {anchor}, expected one of the {len(points)} in the table")
    _check_connected(points)
    virtual = _virtual(points)
    found = _most_likely(points + virtual, anchor)
    top = _most_likely(points, anchor)
    return [Rating(SCALE * float(theta), _profiled(points, i, anchor, top)) for i, theta in enumerate(found)]


def _games(wins: int, draws: int, losses: int) -> int:
    if min(wins, draws, losses) < 0 or wins + draws + losses == 0:
        raise ConfigError(
            f"found {wins} wins, {draws} draws and {losses} losses, expected at least one game, and none below 0"
        )
    return wins + draws + losses


def _points(wins: ArrayLike, draws: ArrayLike) -> Array:
    """(k, k): i's points against j. Raises ConfigError."""
    won, drawn = np.asarray(wins, dtype=np.float64), np.asarray(draws, dtype=np.float64)
    if won.ndim != 2 or won.shape[0] != won.shape[1] or drawn.shape != won.shape:
        raise ConfigError(f"found tables of shapes {won.shape} and {drawn.shape}, expected both (players, players)")
    if (won < 0).any() or (drawn < 0).any() or np.diag(won).any() or np.diag(drawn).any():
        raise ConfigError("found counts below 0 or games of a player against itself, expected neither")
    if not np.array_equal(drawn, drawn.T):
        raise ConfigError("the table of draws is not symmetric: expected draws[i, j] = draws[j, i]")
    return won + drawn / 2


def _check_connected(points: Array) -> None:
    groups, group = connected_components(points + points.T > 0, directed=False)
    if groups > 1:
        apart = int(np.flatnonzero(group != group[0])[0])
        raise ConfigError(
            f"players 0 and {apart} are not connected by games: ratings compare those who met, or met the same others"
        )


def _virtual(points: Array) -> Array:
    """Points of virtual draws (k, k): between players of different strongly connected components that have met."""
    _, group = connected_components(points > 0, directed=True, connection="strong")
    met = points + points.T > 0
    return np.where(met & (group[:, None] != group[None, :]), 0.5, 0.0)


def _likelihood(points: Array, theta: Array) -> float:
    """ℓ = Σ points[i, j] · log P(i beats j), at log odds theta (k,)."""
    return float((points * _log_odds(theta)).sum())


def _log_odds(theta: Array) -> Array:
    """log P(i beats j), (k, k)."""
    return -np.logaddexp(0.0, theta[None, :] - theta[:, None])


def _most_likely(points: Array, anchor: int, held: dict[int, float] | None = None, start: Array | None = None) -> Array:
    """Log odds (k,) of the greatest likelihood, the anchor's 0 and others held where asked: Newton, steps halved.

    The likelihood is concave; a ridge keeps its top in reach where it has none.
    """
    theta = np.zeros(len(points)) if start is None else start.copy()
    for player, value in {anchor: 0.0, **(held or {})}.items():
        theta[player] = value
    free = np.array([player for player in range(len(points)) if player != anchor and player not in (held or {})])
    if not free.size:
        return theta
    games = points + points.T
    here = _objective(points, theta, free)
    for _ in range(200):
        p = np.exp(_log_odds(theta))
        slope = (points - games * p).sum(axis=1)[free] - RIDGE * theta[free]
        weights = games * p * p.T
        curve = np.diag(weights.sum(axis=1)) - weights
        step = np.linalg.solve(curve[np.ix_(free, free)] + RIDGE * np.eye(len(free)), slope)
        step *= min(1.0, 3.0 / max(float(np.abs(step).max()), 1e-300))
        length, there, moved = 1.0, -math.inf, theta
        while length > 1e-8 and there < here:
            moved = theta.copy()
            moved[free] += length * step
            there, length = _objective(points, moved, free), length / 2
        if there < here:
            return theta
        theta, here = moved, there
        if float(np.abs(step).max()) < 1e-9:
            return theta
    return theta


def _objective(points: Array, theta: Array, free: NDArray[np.int64]) -> float:
    return _likelihood(points, theta) - RIDGE / 2 * float((theta[free] ** 2).sum())


def _profiled(points: Array, player: int, anchor: int, top: Array) -> Interval:
    """Where the likelihood allows a player's difference from the anchor to be; `top`: the likeliest log odds."""
    kind = "profile likelihood over games, draws as halves"
    if player == anchor:
        return Interval(0.0, 0.0, kind, "the anchor")
    room, best = float(stats.chi2.ppf(LEVEL, 1)) / 2, _likelihood(points, top)

    def beyond(theta: float) -> float:
        """Above 0 where a difference is too unlikely."""
        return best - _likelihood(points, _most_likely(points, anchor, {player: theta}, top)) - room

    ends: list[float | None] = []
    for far in (-FARTHEST, FARTHEST):
        inside = float(np.clip(top[player], -FARTHEST, FARTHEST))
        found = None if beyond(far) <= 0 else float(optimize.brentq(beyond, inside, far, xtol=1e-7))
        ends.append(None if found is None else SCALE * found)
    low, high = ends
    return Interval(low, high, kind, _note(low, high))


def _note(low: float | None, high: float | None) -> str | None:
    if low is not None and high is not None:
        return None
    ends = (
        "no lower and no upper end" if low is None and high is None else f"no {'lower' if low is None else 'upper'} end"
    )
    return f"{ends}: against the anchor, one side won all that counts; the rating has one virtual draw"
