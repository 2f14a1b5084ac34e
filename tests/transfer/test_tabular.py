"""Shaping on random tabular games, solved exactly: it changes no optimal policy, and what that takes."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transfer.shaping.arithmetic import look_ahead_term, look_back_term, state_term

EXACT = 1e-7
SWEEPS = 4000
seeds = st.integers(0, 2**32 - 1)


@dataclass(frozen=True)
class Game:
    """S states, of which `ends` are terminal, and A actions."""

    chances: np.ndarray  # (S, A, S), of what follows
    rewards: np.ndarray  # (S, A, S)
    ends: np.ndarray  # (S,) bool
    gamma: float


def random_game(seed):
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(2, 7)), int(rng.integers(2, 4))
    ends = np.zeros(n, dtype=bool)
    ends[: int(rng.integers(1, n))] = True
    chances = rng.dirichlet(np.full(n, 0.5), size=(n, m))
    return Game(chances, rng.normal(size=(n, m, n)), ends, float(rng.uniform(0.5, 0.95))), rng


def solve(game, added=0.0, bias=0.0):
    """Q (S, A) of the rewards and what is added (S, A, S), where a′ is chosen, and counted, by Q + bias."""
    q = np.zeros(game.rewards.shape[:2])
    paid = (game.chances * (game.rewards + added)).sum(axis=2)
    for _ in range(SWEEPS):
        best = np.where(game.ends, 0.0, (q + bias).max(axis=1))  # (S,)
        step = paid + game.gamma * game.chances @ best
        if np.abs(step - q).max() < 1e-12:
            break
        q = step
    return q


def added_to_all(game, term, before, after, *, keep_the_end=False):
    """A term for every (s, a, s′): (S, A, S)."""
    shape = game.rewards.shape
    ends = np.zeros_like(game.ends) if keep_the_end else game.ends
    return np.broadcast_to(term(before, after, ends[None, None, :], game.gamma), shape)


def same_policy(game, q, other):
    """Whether, in every state that is played, each one's best action is best to the other."""
    rows = np.flatnonzero(~game.ends)
    for mine, theirs in ((q, other), (other, q)):
        lost = theirs[rows].max(axis=1) - theirs[rows, mine[rows].argmax(axis=1)]
        if (lost > EXACT).any():
            return False
    return True


# Potentials of states


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_a_potential_changes_no_optimal_policy(seed):
    """Q of the shaped game is Q − Φ (Ng, Harada & Russell 1999, theorem 1), whatever Φ says of terminal states."""
    game, rng = random_game(seed)
    phi = rng.normal(scale=5.0, size=len(game.ends))
    q = solve(game)
    shaped = solve(game, added_to_all(game, state_term, phi[:, None, None], phi[None, None, :]))
    rows = ~game.ends
    np.testing.assert_allclose(shaped[rows], (q - phi[:, None])[rows], atol=EXACT)
    assert same_policy(game, q, shaped)


def fork():
    """One choice, between two ends: the first pays 1."""
    chances = np.zeros((3, 2, 3))
    chances[0, 0, 1] = chances[0, 1, 2] = 1.0
    chances[1:, :, 1] = 1.0
    rewards = np.zeros((3, 2, 3))
    rewards[0, 0, 1] = 1.0
    return Game(chances, rewards, np.array([False, True, True]), 0.9)


def test_a_potential_kept_at_the_end_leads_elsewhere():
    game, phi = fork(), np.array([0.0, 0.0, 5.0])
    terms = (state_term, phi[:, None, None], phi[None, None, :])
    assert same_policy(game, solve(game), solve(game, added_to_all(game, *terms)))
    wrong = solve(game, added_to_all(game, *terms, keep_the_end=True))
    assert not same_policy(game, solve(game), wrong)
    assert wrong[0].argmax() == 1


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_any_potential_kept_at_the_end_shows_in_the_values(seed):
    game, rng = random_game(seed)
    phi = rng.normal(scale=5.0, size=len(game.ends))
    wrong = solve(game, added_to_all(game, state_term, phi[:, None, None], phi[None, None, :], keep_the_end=True))
    rows = ~game.ends
    assert np.abs(wrong[rows] - (solve(game) - phi[:, None])[rows]).max() > 1e-4


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_shaping_is_starting_the_values_at_the_potential(seed):
    """Wiewiora 2003: the same experience, the same updates, and so the same actions."""
    game, rng = random_game(seed)
    phi = rng.normal(size=len(game.ends))
    phi[game.ends] = 0.0
    shaped = rng.normal(size=game.rewards.shape[:2])
    begun = shaped + phi[:, None]
    for s, a, s2, r in experience(game, rng):
        f = state_term(phi[s], phi[s2], game.ends[s2], game.gamma)
        first = update(shaped, s, a, r + f, s2, game)
        second = update(begun, s, a, r, s2, game)
        assert first == pytest.approx(second, abs=1e-9)
    np.testing.assert_allclose(begun, shaped + phi[:, None], atol=1e-9)


def experience(game, rng, steps=300):
    """Random play, begun again at each end."""
    starts = np.flatnonzero(~game.ends)
    s = rng.choice(starts)
    for _ in range(steps):
        a = rng.integers(game.rewards.shape[1])
        s2 = rng.choice(len(game.ends), p=game.chances[s, a])
        yield s, a, s2, game.rewards[s, a, s2]
        s = rng.choice(starts) if game.ends[s2] else s2


def update(q, s, a, r, s2, game, bias=None):
    """One step of Q-learning, a′ = argmax Q + bias; its error."""
    ahead = 0 if bias is None else bias[s2]
    best = int((q[s2] + ahead).argmax())
    error = r + (0.0 if game.ends[s2] else game.gamma * q[s2, best]) - q[s, a]
    q[s, a] += 0.3 * error
    return error


# Advice


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_look_ahead_with_biased_choice_changes_no_optimal_policy(seed):
    """The values learnt are Q − Φ, so that argmax Q̂ + Φ is argmax Q."""
    game, rng = random_game(seed)
    phi = rng.normal(scale=5.0, size=game.rewards.shape[:2])
    added = added_to_all(game, look_ahead_term, phi[:, :, None], np.zeros(len(game.ends)))
    advised = solve(game, added, bias=phi)  # γΦ(s′, a′) comes in with a′
    q, rows = solve(game), ~game.ends
    np.testing.assert_allclose(advised[rows], (q - phi)[rows], atol=EXACT)
    assert same_policy(game, q, advised + phi)


def test_look_ahead_without_the_bias_chooses_another_policy():
    game, phi = fork(), np.array([[5.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    added = added_to_all(game, look_ahead_term, phi[:, :, None], np.zeros(3))
    advised = solve(game, added, bias=phi)
    assert same_policy(game, solve(game), advised + phi)
    assert not same_policy(game, solve(game), advised)


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_look_ahead_is_starting_the_values_at_the_advice(seed):
    """Wiewiora, Cottrell & Elkan 2003: identical updates, and identical choices by Q + Φ."""
    game, rng = random_game(seed)
    phi = rng.normal(size=game.rewards.shape[:2])
    phi[game.ends] = 0.0
    advised = rng.normal(size=phi.shape)
    begun = advised + phi
    for s, a, s2, r in experience(game, rng):
        ahead = phi[s2, int((advised[s2] + phi[s2]).argmax())]
        f = look_ahead_term(phi[s, a], ahead, game.ends[s2], game.gamma)
        first = update(advised, s, a, r + f, s2, game, bias=phi)
        assert first == pytest.approx(update(begun, s, a, r, s2, game), abs=1e-9)
    np.testing.assert_allclose(begun, advised + phi, atol=1e-9)


def with_memory(game, phi, *, keep_the_end=False):
    """The game whose states also know the step before, with look-back advice: Q (S, 1 + S·A, A), the first without
    one."""
    n, m = game.rewards.shape[:2]
    before = np.concatenate([[0.0], phi.reshape(-1)])  # (1 + S·A,)
    ends = np.zeros_like(game.ends) if keep_the_end else game.ends
    q = np.zeros((n, 1 + n * m, m))
    places = 1 + np.arange(n * m).reshape(n, m)
    f = look_back_term(before[None, :, None, None], phi[:, None, :, None], ends[None, None, None, :], game.gamma)
    paid = (game.chances[:, None] * (game.rewards[:, None] + f)).sum(axis=3)  # (S, 1 + S·A, A)
    for _ in range(SWEEPS):
        best = np.where(game.ends[:, None], 0.0, q.max(axis=2))  # (S, 1 + S·A)
        follows = best[:, places]  # (S′, S, A)
        step = paid + game.gamma * np.einsum("sap,psa->sa", game.chances, follows)[:, None]
        if np.abs(step - q).max() < 1e-12:
            break
        q = step
    return q


@settings(max_examples=15, deadline=None)
@given(seed=seeds)
def test_look_back_changes_no_optimal_policy(seed):
    """Where the step before is known, the values are Q − γ⁻¹Φ(s₋, a₋): the same order of actions after every step."""
    game, rng = random_game(seed)
    phi = rng.normal(scale=3.0, size=game.rewards.shape[:2])
    q, rows = solve(game), ~game.ends
    advised = with_memory(game, phi)
    before = np.concatenate([[0.0], phi.reshape(-1)]) / game.gamma
    np.testing.assert_allclose(advised[rows], (q[:, None] - before[None, :, None])[rows], atol=1e-6)


def test_look_back_kept_at_the_end_leads_elsewhere():
    game, phi = fork(), np.array([[0.0, 5.0], [0.0, 0.0], [0.0, 0.0]])
    assert with_memory(game, phi)[0, 0].argmax() == solve(game)[0].argmax() == 0
    assert with_memory(game, phi, keep_the_end=True)[0, 0].argmax() == 1
