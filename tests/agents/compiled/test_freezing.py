"""Layers that do not learn: not computed backward, computed forward once a rollout, and SB3's numbers all the same."""

from typing import Any

import numpy as np
import pytest
import stable_baselines3
import torch

from agents.compiled import stacks, steps
from agents.parts import of_part
from agents.ppo import PPO
from tests.agents.compiled.test_ppo import assert_alike, learner

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")

FROZEN: dict[str, tuple[str, ...]] = {
    "torso": ("torso",),
    "lowest": ("torso.0",),
    "upper": ("torso.1",),
    "critic's head": ("value_head",),
    "all but the action head": ("torso", "value_head"),
}


def frozen(algorithm: Any, network: str, parts: tuple[str, ...], **settings: Any) -> Any:
    """A learner with a full rollout, some of its parts frozen."""
    made = learner(algorithm, network, **settings)
    for part in parts:
        for parameter in of_part(made.policy, part):
            parameter.requires_grad_(False)
    return made


def trained(made: Any, updates: int = 2) -> Any:
    np.random.seed(1)  # noqa: NPY002
    for _ in range(updates):
        made.train()
    return made


@pytest.mark.parametrize("frozen_parts", FROZEN)
@pytest.mark.parametrize("network", ["numbers", "symbols", "unlike halves"])
@pytest.mark.parametrize("compiles", [True, False], ids=["compiled", "torch"])
def test_an_update_with_frozen_parts_is_sb3s(network: str, frozen_parts: str, compiles: bool) -> None:
    parts = FROZEN[frozen_parts]
    if network == "unlike halves" and "torso.1" in parts:
        parts = ("torso.0",)
    ours, theirs = frozen(PPO, network, parts), frozen(stable_baselines3.PPO, network, parts)
    before = {name: value.detach().clone() for name, value in ours.policy.named_parameters()}
    ours.compiles = compiles
    assert (ours._compiled() is not None) is compiles
    trained(ours)
    trained(theirs)
    assert_alike(ours, theirs)
    for name, value in ours.policy.named_parameters():
        assert torch.equal(value, before[name]) is not value.requires_grad, name


@pytest.mark.parametrize("compiles", [True, False], ids=["compiled", "torch"])
def test_what_thaws_between_updates_learns_from_then_on_as_sb3s(compiles: bool) -> None:
    made = []
    for algorithm in (PPO, stable_baselines3.PPO):
        one = frozen(algorithm, "symbols", ("torso",))
        if isinstance(one, PPO):
            one.compiles = compiles
        trained(one, 1)
        for parameter in of_part(one.policy, "torso.1"):
            parameter.requires_grad_(True)
        trained(one, 1)
        for parameter in of_part(one.policy, "torso.0"):
            parameter.requires_grad_(True)
        made.append(trained(one, 1))
    assert_alike(*made)


@pytest.mark.parametrize("network", ["numbers", "symbols", "mission"])
def test_an_auxiliary_loss_joins_what_learns_above_a_frozen_torso(network: str) -> None:
    made = []
    for compiles in (True, False):
        one = frozen(PPO, network, ("torso",))
        one.compiles = compiles
        one.auxiliary = lambda batch: 0.3 * batch.outputs.log_probabilities()[:, 1].mean()
        made.append(trained(one))
    assert_alike(*made, tolerance=1e-5)


def test_the_gradient_stops_below_the_lowest_layer_that_learns() -> None:
    made = frozen(PPO, "numbers", ("torso",))
    made.compiles = True
    stacked = made._compiled().stacked
    stacked.grad[:] = np.nan  # a layer that is computed backward would be cleared first
    trained(made, 1)
    learning = {t for t in range(len(stacked.tensors)) if stacked.tensors[t, steps.LEARNS]}
    assert len(learning) == 4  # weights and biases of two heads
    for t, (start, end, _) in enumerate(stacked.tensors):
        assert bool(np.isnan(stacked.grad[start:end]).all()) is (t not in learning)
    assert list(stacked.stacks[:, stacks.LOWEST]) == [2, 5]


def test_a_rollout_too_large_to_keep_is_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, again = frozen(PPO, "symbols", ("torso",)), frozen(PPO, "symbols", ("torso",))
    for one in (kept, again):
        one.compiles = True
    trained(kept)
    monkeypatch.setattr("agents.compiled.actor_critic.MOST_KEPT", 10)
    trained(again)
    assert_alike(kept, again, tolerance=1e-6)
