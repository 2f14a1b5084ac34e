"""Action values with something added, by which a policy acts: Q(s, a) + Φ(s, a), the look-ahead advice of Wiewiora,
Cottrell & Elkan (2003).

The rule is a(s) = argmax_a Q(s, a) + Φ(s, a), and the update of Q-learning with F = γΦ(s′, a′) − Φ(s, a), where a′ is
the action that this rule takes in s′:

    δ = r + γΦ(s′, a′) − Φ(s, a) + γQ(s′, a′) − Q(s, a) = r + γ max_a′ (Q + Φ)(s′, a′) − (Q + Φ)(s, a)

which is Q-learning's with Q + Φ in the place of Q. So it is enough that both networks of a DQN say Q + Φ.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from agents.outputs import Observations

Bias = Callable[[Observations], Tensor]
"""B observations, as a game gives them or as a network sees them → Φ (B, n_actions), without gradient."""


def set_bias(policy: Any, bias: Bias | None) -> None:
    """Let a DQN's policy act, be evaluated and be learnt by Q + Φ; None: by Q again.

    The bias may change from call to call. It is no part of the policy's weights: what is saved is Q.
    """
    for handle in getattr(policy, "bias_handles", ()):
        handle.remove()
    policy.action_bias = bias
    policy.bias_handles = []
    if bias is not None:

        def add(_: Any, seen: tuple[Any, ...], q_values: Tensor) -> Tensor:
            return q_values + bias(seen[0]).to(q_values)

        policy.bias_handles = [net.register_forward_hook(add) for net in (policy.q_net, policy.q_net_target)]


def bias_of(policy: Any) -> Bias | None:
    """What `set_bias` set."""
    bias: Bias | None = getattr(policy, "action_bias", None)
    return bias
