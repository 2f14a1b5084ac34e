"""Auxiliary losses: the adapter does what the same term in the algorithm's own loss would have done."""

import copy
import gc
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sb3_contrib
import stable_baselines3 as sb3
import torch
from torch import Tensor
from torch.nn import functional as F

from agents.auxiliary import attach, attached, detach
from agents.dqn import DQN
from agents.outputs import Batch
from agents.ppo import PPO
from envs.errors import ConfigError
from tests.agents.test_ppo import assert_same_parameters
from tests.agents.toys import BOX, DISCRETE, off_policy_learner, on_policy_learner, toys

ON_POLICY = {
    "ppo": (sb3.PPO, {"n_steps": 16, "batch_size": 16, "n_epochs": 2, "max_grad_norm": 0.1}),
    "a2c": (sb3.A2C, {"n_steps": 16, "max_grad_norm": 0.1}),
}


def learner_of(name: str) -> Any:
    """An SB3 learner with data to learn from, its generators at a known place."""
    match name:
        case "ppo" | "a2c":
            algorithm, settings = ON_POLICY[name]
            learner = on_policy_learner(algorithm, DISCRETE, **settings)
        case "dqn":
            learner = off_policy_learner(sb3.DQN, DISCRETE, max_grad_norm=0.05)
        case "sac":
            learner = off_policy_learner(sb3.SAC, BOX, ent_coef=1.0)
        case "td3":
            learner = off_policy_learner(sb3.TD3, BOX)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    return learner


def update(learner: Any) -> None:
    if hasattr(learner, "rollout_buffer"):
        learner.train()
    else:
        learner.train(gradient_steps=4, batch_size=16)


def term(batch: Batch) -> Tensor:
    """Something with a gradient in every parameter that the optimiser steps."""
    if batch.optimiser == "critic":
        return 0.01 * sum((p.square().sum() for p in batch.policy.critic.parameters()), torch.zeros(()))
    outputs = batch.outputs
    return 0.5 * (outputs.head - 1.0).square().mean() + (0.0 if outputs.value is None else outputs.value.mean())


def write_the_term_into_the_loss(name: str, learner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """SB3's own train(), in which one quantity of the loss carries the term with it."""
    buffer: Any = getattr(learner, "rollout_buffer", None) or learner.replay_buffer
    seen = {}
    draw = buffer._get_samples

    def drawing(*args: Any, **kwargs: Any) -> Any:
        seen["data"] = draw(*args, **kwargs)
        return seen["data"]

    buffer._get_samples = drawing

    def added(optimiser: str = "policy") -> Tensor:
        return term(Batch(learner.policy, seen["data"].observations, optimiser=optimiser))

    def patched(loss: str, weight: float, optimiser: str = "policy") -> None:
        functions = SimpleNamespace(**{loss: lambda a, b: getattr(F, loss)(a, b) + added(optimiser) / weight})
        monkeypatch.setattr(f"stable_baselines3.{name}.{name}.F", functions)

    match name:
        case "ppo" | "a2c":
            patched("mse_loss", learner.vf_coef)
        case "dqn":
            patched("smooth_l1_loss", 1)
        case "sac":
            patched("mse_loss", 0.5 * 2, "critic")  # half the sum over two critics
            act = learner.actor.action_log_prob

            def action_log_prob(observations: Tensor) -> tuple[Tensor, Tensor]:
                actions, log_prob = act(observations)
                return actions, log_prob + added("actor") if torch.is_grad_enabled() else log_prob

            learner.actor.action_log_prob = action_log_prob
        case "td3":
            patched("mse_loss", 2, "critic")
            judge = learner.critic.q1_forward
            learner.critic.q1_forward = lambda *args: judge(*args) - added("actor")


@pytest.mark.parametrize("name", ["ppo", "a2c", "dqn", "sac", "td3"])
def test_the_adapter_is_the_term_in_the_loss(name: str) -> None:
    adapted, written, untouched = (learner_of(name) for _ in range(3))
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    attach(adapted, term)
    update(adapted)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    with pytest.MonkeyPatch.context() as monkeypatch:
        write_the_term_into_the_loss(name, written, monkeypatch)
        update(written)
    assert_same_parameters(adapted, written, tolerance=1e-6)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    update(untouched)
    with pytest.raises(AssertionError):
        assert_same_parameters(adapted, untouched, tolerance=1e-4)


@pytest.mark.parametrize(("name", "ours"), [("ppo", PPO), ("dqn", DQN)])
def test_our_learners_and_sb3s_with_the_adapter_agree(name: str, ours: Any) -> None:
    theirs = learner_of(name)
    if name == "ppo":
        mine = on_policy_learner(ours, DISCRETE, **ON_POLICY["ppo"][1])
    else:
        mine = off_policy_learner(ours, DISCRETE, max_grad_norm=0.05)
    for learner in (mine, theirs):
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        attach(learner, lambda batch: -3 * batch.outputs.log_probabilities()[:, 0].mean())
        assert attached(learner)
        update(learner)
    assert_same_parameters(mine, theirs)


@pytest.mark.parametrize("name", ["ppo", "a2c", "dqn", "sac", "td3"])
def test_a_loss_of_none_and_a_detached_one_leave_the_learner_to_itself(name: str) -> None:
    plain, silent, released = (learner_of(name) for _ in range(3))
    attach(silent, lambda batch: None)
    attach(released, term)
    detach(released)
    assert not attached(released)
    for learner in (plain, silent, released):
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002
        update(learner)
    assert_same_parameters(plain, silent, tolerance=1e-7)
    assert_same_parameters(plain, released, tolerance=0)
    assert "get" not in vars(getattr(released, "rollout_buffer", SimpleNamespace()))
    assert "sample" not in vars(getattr(released, "replay_buffer", SimpleNamespace()))


@pytest.mark.parametrize("name", ["a2c", "ppo", "dqn"])
def test_the_learners_own_clipping_is_back_after_each_update(name: str) -> None:
    learner = learner_of(name)
    clip = learner.max_grad_norm
    attach(learner, term)
    during = []
    learner.policy.optimizer.register_step_pre_hook(lambda *_: during.append(learner.max_grad_norm))
    if name == "ppo":
        learner.target_kl = 1e-9  # stops before a step
        learner.policy.action_net.weight.data.add_(1.0)
    update(learner)
    assert learner.max_grad_norm == clip
    assert all(norm == clip for norm in during)


def test_attaching_again_replaces_the_loss_and_works_after_a_load(tmp_path: Path) -> None:
    learner = learner_of("a2c")
    calls = []
    attach(learner, lambda batch: calls.append("first"))
    attach(learner, lambda batch: calls.append("second"))
    update(learner)
    assert calls == ["second"]
    learner.save(tmp_path / "a2c.zip")
    loaded = sb3.A2C.load(tmp_path / "a2c.zip", env=toys(DISCRETE), device="cpu")
    assert not attached(loaded)
    assert loaded.max_grad_norm == 0.1
    attach(loaded, lambda batch: calls.append("loaded"))
    loaded.learn(64)
    assert calls[1] == "loaded"


def test_the_adapter_does_not_keep_a_learner_alive() -> None:
    learner = learner_of("a2c")
    attach(learner, term)
    gone = weakref.ref(learner)
    del learner
    gc.collect()
    assert gone() is None


def test_the_gradient_of_the_actors_loss_stays_out_of_the_critic() -> None:
    learner = learner_of("sac")
    critic = copy.deepcopy(learner.critic.state_dict())
    attach(learner, lambda batch: term(batch) if batch.optimiser == "actor" else None)
    learner.critic.optimizer.param_groups[0]["lr"] = 0.0
    learner.lr_schedule = lambda _: 0.0
    update(learner)
    for name, value in learner.critic.state_dict().items():
        torch.testing.assert_close(value, critic[name])


@pytest.mark.parametrize("algorithm", [sb3_contrib.TRPO, sb3_contrib.ARS])
def test_algorithms_without_such_steps_are_refused(algorithm: Any) -> None:
    learner = algorithm("MlpPolicy", toys(DISCRETE), device="cpu")
    with pytest.raises(ConfigError, match=f"{algorithm.__name__} takes no gradient steps on a loss.* take ppo"):
        attach(learner, term)
