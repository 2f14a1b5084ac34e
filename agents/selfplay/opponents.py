"""Networks as opponents: those of other runs, of the learner as it is now, and as it was."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agents.build import build_network, load_tensors, tensors_of
from agents.outputs import Outputs
from agents.policy import Policy
from envs.errors import ConfigError
from envs.interface import Interface, in_words
from envs.masks import MASK, SEEN, inner, is_masked
from envs.turns.games import Array, TurnGames


class NetworkOpponent:
    """A policy that plays the other seats, on all boards that ask at once in one forward pass.

    Its actions are sampled from its probabilities over the legal actions, each board's by one number from the board's
    own generator, so that a game does not depend on how many others are played beside it. Policies that know no chance
    play their best legal action.

    Args:
        name: for messages and tables.
        policy: whose network must not change but through `take`.
        greedy: whether the most probable legal action is played instead.
    """

    def __init__(self, name: str, policy: Policy, *, greedy: bool = False) -> None:
        self.name, self.policy, self.greedy = name, policy, greedy
        self._read = policy.reader()
        self._masked = is_masked(policy.interface.observation_space)

    def choose(
        self,
        games: TurnGames,
        boards: Array,
        observations: Array,
        masks: Array,
        generators: Sequence[np.random.Generator],
    ) -> Array:
        """Legal actions (M,) for observations (M, …)."""
        probabilities = self.probabilities(observations, masks)
        if self.greedy or self.draws_nothing:
            return np.asarray(probabilities.argmax(axis=1))
        return drawn(probabilities, np.array([generator.random() for generator in generators]))

    def probabilities(self, observations: Array, masks: Array) -> Array:
        """(M, n) float64 over the legal actions; of action values all on the best one."""
        head = self.outputs(observations, masks)
        if head.kind not in ("categorical", "q"):
            raise ConfigError(f"opponent {self.name!r} has {head.kind} actions, expected a choice among legal moves")
        logits = np.where(masks == 1, head.head.detach().cpu().double().numpy(), -np.inf)  # (M, n)
        if head.kind == "q":
            return np.asarray(np.eye(logits.shape[1])[logits.argmax(axis=1)])
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(weights / weights.sum(axis=1, keepdims=True))

    def outputs(self, observations: Array, masks: Array) -> Outputs:
        """What the network says: logits (M, n) and values (M,)."""
        if not self._masked:
            return self._read(torch.as_tensor(observations))
        return self._read({SEEN: torch.as_tensor(observations), MASK: torch.as_tensor(masks)})

    @property
    def draws_nothing(self) -> bool:
        """Whether the policy knows action values only."""
        return hasattr(self.policy.network, "q_net")

    def take(self, weights: Mapping[str, Tensor]) -> None:
        """Play with these weights from now on; they are copied."""
        load_tensors(self.policy.network, weights, f"the weights for opponent {self.name!r}")
        self._read = self.policy.reader()


def drawn(probabilities: Array, draws: Array) -> Array:
    """Actions (M,) by inverse distribution functions: probabilities (M, n), numbers (M,) in [0, 1)."""
    reached = np.cumsum(probabilities, axis=1)
    actions = (reached <= (draws * reached[:, -1])[:, None]).sum(axis=1)
    last = probabilities.shape[1] - 1 - (probabilities[:, ::-1] > 0).argmax(axis=1)
    return np.asarray(np.minimum(actions, last), dtype=np.int64)


def copied(policy: Policy) -> Policy:
    """The same policy with a network of its own, on the CPU."""
    network = build_network(policy.algorithm, policy.architecture, policy.interface)
    load_tensors(network, tensors_of(policy.network), "a copy of the policy")
    return replace(policy, network=network)


def weights_of(policy: Policy) -> dict[str, Tensor]:
    """A copy of a policy's weights as they are now, on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in tensors_of(policy.network).items()}


def check_fits(name: str, learnt: Interface, found: Interface, game: str) -> None:
    """Raises ConfigError unless a policy sees and plays what a game has: shapes and number of actions."""
    pairs: tuple[tuple[str, spaces.Space[Any], spaces.Space[Any]], ...] = (
        ("observations", inner(learnt.observation_space), inner(found.observation_space)),
        ("actions", learnt.action_space, found.action_space),
    )
    for what, theirs, ours in pairs:
        if in_words(theirs) != in_words(ours):
            raise ConfigError(
                f"opponent {name!r} was trained with {what} {in_words(theirs)}, and {game} has {in_words(ours)}: "
                "name a run on the same game"
            )
