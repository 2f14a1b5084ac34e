"""Networks that play the other seats: legal moves only, as likely as they say, and weights of their own."""

from typing import Any

import numpy as np
import pytest
import torch

from agents.algorithms import resolve
from agents.build import build_network, tensors_of
from agents.networks import architecture
from agents.outputs import Outputs
from agents.policy import Policy
from agents.selfplay.opponents import NetworkOpponent, copied, drawn
from envs.errors import ConfigError
from envs.task import Task
from envs.vector import interface, make_vec

TASK = Task(game="headstart/TicTacToe-v0")


def policy_of(algorithm: str) -> Policy:
    hyperparameters = resolve(TASK, algorithm, {"net_arch": [4]})
    known, described = interface(make_vec(TASK)), architecture(hyperparameters)
    return Policy(build_network(algorithm, described, known), known, algorithm, described, hyperparameters, TASK)


class Saying(NetworkOpponent):
    """Says what it is told to say, of legal and of illegal moves."""

    kind: Any = "categorical"
    head = torch.tensor([[5.0, 0.0, np.log(3.0), 9.0]])

    def outputs(self, observations: np.ndarray, masks: np.ndarray) -> Outputs:
        return Outputs(self.kind, self.head.expand(len(masks), -1))


@pytest.fixture(scope="module")
def saying() -> Saying:
    return Saying("saying", policy_of("ppo"))


MASKS = np.array([[0, 1, 1, 0]], dtype=np.int8)


def chosen(opponent: NetworkOpponent, count: int) -> np.ndarray:
    masks, generators = np.repeat(MASKS, count, axis=0), [np.random.default_rng(seed) for seed in range(count)]
    return opponent.choose(None, np.arange(count), np.zeros((count, 1)), masks, generators)  # type: ignore[arg-type]


def test_illegal_moves_have_no_probability(saying: Saying) -> None:
    """However likely the network takes them to be; the others share as it says, 1 to 3."""
    assert saying.probabilities(np.zeros((1, 1)), MASKS)[0].tolist() == pytest.approx([0, 0.25, 0.75, 0])
    found = chosen(saying, 2000)
    assert set(found.tolist()) == {1, 2}
    assert abs((found == 2).mean() - 0.75) < 0.04


def test_the_best_legal_move(saying: Saying, monkeypatch: pytest.MonkeyPatch) -> None:
    """Greedy, and of action values."""
    monkeypatch.setattr(saying, "greedy", True)
    assert set(chosen(saying, 20).tolist()) == {2}
    monkeypatch.setattr(saying, "kind", "q")
    assert saying.probabilities(np.zeros((1, 1)), MASKS)[0].tolist() == [0, 0, 1, 0]
    monkeypatch.setattr(saying, "kind", "gaussian")
    with pytest.raises(ConfigError, match="opponent 'saying' has gaussian actions, expected a choice"):
        chosen(saying, 1)


def test_draws_by_the_inverse_distribution_function() -> None:
    """A number belongs to the action whose share it lies in; no number to an action without one, not even the ends."""
    shares = np.array([[0.0, 0.25, 0.0, 0.75, 0.0]])
    for number, expected in ((0.0, 1), (0.2499, 1), (0.25, 3), (0.9, 3), (np.nextafter(1.0, 0.0), 3)):
        assert drawn(shares, np.array([number])).tolist() == [expected]
    thirds = np.full((1, 3), 1 / 3 - 1e-17)
    assert drawn(np.hstack([thirds, [[0.0]]]), np.array([1.0])).tolist() == [2]


def test_a_copy_has_a_network_of_its_own() -> None:
    first = policy_of("ppo")
    second = copied(first)
    before = {name: tensor.clone() for name, tensor in tensors_of(second.network).items()}
    with torch.no_grad():
        for parameter in first.network.parameters():
            parameter += 1
    assert all(torch.equal(before[name], tensor) for name, tensor in tensors_of(second.network).items())
