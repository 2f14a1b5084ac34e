"""The terms that shaping adds to rewards, as functions of arrays.

Φ is 0 where an episode terminates, for nothing comes after; where it is truncated the game would have gone on.
"""

from typing import Any

import numpy as np


def state_term(before: Any, after: Any, terminated: Any, gamma: float) -> Any:
    """F = γΦ(s′) − Φ(s) (Ng, Harada & Russell 1999, equation 2), with Φ(s′) = 0 where the episode terminates.

    Over an episode of T steps Σ γᵗFₜ = −Φ(s₀), and γᵀΦ(s_T) more if it is truncated, whatever the agent does. With
    potentials that change, Φ(s, t) and Φ(s′, t + 1) in their places, this holds too (Devlin & Kudenko 2012).

    Args:
        before: Φ(s), (B,).
        after: Φ of what the step led to, the final observation where the episode ended (B,).
        terminated: (B,) bool.
        gamma: the learner's discount.
    """
    return gamma * np.where(terminated, 0.0, after) - before


def look_back_term(before: Any, now: Any, terminated: Any, gamma: float) -> Any:
    """F = Φ(s, a) − γ⁻¹Φ(s₋, a₋), look-back advice (Wiewiora, Cottrell & Elkan 2003, equation 5).

    Φ(s₋, a₋) is 0 in an episode's first step. In the step that terminates it Φ(s, a) is taken as 0: the absorbing state
    would give back γ · (−γ⁻¹Φ(s, a)). Then Σ γᵗFₜ = 0, and γᵀ⁻¹Φ of the last state and action if truncated.

    Args:
        before: Φ(s₋, a₋), (B,).
        now: Φ(s, a), (B,).
        terminated: (B,) bool.
        gamma: the learner's discount, above 0.
    """
    return np.where(terminated, 0.0, now) - before / gamma


def look_ahead_term(now: Any, ahead: Any, terminated: Any, gamma: float) -> Any:
    """F = γΦ(s′, a′) − Φ(s, a), look-ahead advice (Wiewiora, Cottrell & Elkan 2003, equation 4).

    a′ is what the learner does in s′, which must be by Q + Φ: its values are Q* − Φ, and their own greedy action is
    another policy's.

    Args:
        now: Φ(s, a), (B,).
        ahead: Φ(s′, a′), (B,).
        terminated: (B,) bool.
        gamma: the learner's discount.
    """
    return gamma * np.where(terminated, 0.0, ahead) - now
