"""Advice on actions: look-back in the world, look-ahead in the choice, and what is refused."""

import numpy as np
import pytest
import stable_baselines3
import torch
from stable_baselines3.common.vec_env import VecEnvWrapper

from agents.dqn import DQN
from agents.policy import Policy
from envs.errors import ConfigError
from envs.vector import interface, make_vec
from tests.agents.toys import DISCRETE, off_policy_learner
from tests.transfer.teachers import SHORT, context, learner_of
from tests.transfer.test_methods import crossing
from transfer.method import compose
from transfer.shaping.worlds import AdvisedVecEnv

GAMMA = 0.9


def advise(seen):
    """Some Φ(s, a) of CartPole."""
    table = np.stack([seen[:, 2] * 7 + 1, 2 - seen[:, 0]], axis=1)
    return lambda actions: table[np.arange(len(table)), actions]


# Look-back


@pytest.mark.parametrize("backend", ["batched", "dummy"])
def test_what_look_back_adds_sums_to_nothing_or_to_the_last_advice_where_truncated(backend):
    """Through the real environments: Σ γᵗFₜ = 0 if terminated, γᵀ⁻¹Φ(s, a) of the last step if truncated."""
    venv = AdvisedVecEnv(make_vec(SHORT, n_envs=3, seed=1, backend=backend), advise, GAMMA)
    rng, seen = np.random.default_rng(0), venv.reset().copy()
    added: list[list[float]] = [[], [], []]
    ends = set()
    for _ in range(240):
        actions = rng.integers(0, 2, 3)
        last = advise(seen)(actions)
        seen, rewards, dones, infos = venv.step(actions)
        seen = seen.copy()
        for i in range(3):
            added[i].append(float(rewards[i]) - 1.0)  # a CartPole pays 1 a step
            if dones[i]:
                total = sum(GAMMA**t * value for t, value in enumerate(added[i]))
                cut = infos[i]["TimeLimit.truncated"]
                expected = GAMMA ** (len(added[i]) - 1) * last[i] if cut else 0.0
                assert total == pytest.approx(expected, abs=1e-4)
                ends.add(cut)
                added[i] = []
    assert ends == {True, False}


def test_both_ways_to_step_add_the_same():
    first, second = (AdvisedVecEnv(make_vec(SHORT, n_envs=3, seed=1), advise, GAMMA) for _ in range(2))
    first.reset()
    second.reset()
    rng = np.random.default_rng(0)
    for _ in range(60):
        actions = rng.integers(0, 2, 3)
        np.testing.assert_array_equal(first.step(actions)[1], second.step_arrays(actions).rewards)


@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "sb3-ppo"])
def test_learners_on_policy_are_advised_by_the_sources_probabilities(algorithm):
    run = context(SHORT, algorithm=algorithm)
    methods = compose([{"method": "advice", "scale": 2.0}])
    methods.bind(run)
    venv = methods.wrap(make_vec(SHORT, n_envs=2, seed=0))
    first = venv.reset().copy()
    actions = np.array([0, 1])
    _, rewards, _, _ = venv.step(actions)
    chances = run.teacher.outputs(torch.as_tensor(first)).log_probabilities().exp().numpy()
    np.testing.assert_allclose(rewards - 1, 2.0 * chances[[0, 1], actions], atol=1e-5)


# Look-ahead


def bias(seen):
    seen = torch.as_tensor(seen)
    return torch.stack([seen[:, 0] * 4, seen[:, 1] * -3 + 1, seen[:, 2] * 2], dim=1).detach()


def test_a_biased_update_is_look_aheads():
    """δ = r + γ(Q + Φ)(s′, a′) − (Q + Φ)(s, a), a′ = argmax Q + Φ: in compiled code, through PyTorch, and by hand."""
    learners = []
    for compiles in (True, False, None):
        learner = off_policy_learner(DQN, DISCRETE, learning_rate=0.003)
        if compiles is None:
            by_hand(learner)
        else:
            learner.compiles, learner.action_bias = compiles, bias
            np.random.seed(0)  # noqa: NPY002
            learner.train(gradient_steps=3, batch_size=32)
        learners.append(learner.q_net.state_dict())
    for name, value in learners[0].items():
        for other in learners[1:]:
            torch.testing.assert_close(value, other[name], rtol=1e-4, atol=1e-5)


def by_hand(learner):
    """The same, from the definition."""
    np.random.seed(0)  # noqa: NPY002
    for _ in range(3):
        data = learner.replay_buffer.sample(32)
        with torch.no_grad():
            following, ahead = learner.q_net_target(data.next_observations), bias(data.next_observations)
            chosen = (following + ahead).argmax(dim=1, keepdim=True)
            now = bias(data.observations).gather(1, data.actions)
            f = learner.gamma * (1 - data.dones) * ahead.gather(1, chosen) - now
            target = data.rewards + f + (1 - data.dones) * learner.gamma * following.gather(1, chosen)
        loss = torch.nn.functional.smooth_l1_loss(learner.q_net(data.observations).gather(1, data.actions), target)
        learner.policy.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.policy.parameters(), learner.max_grad_norm)
        learner.policy.optimizer.step()


def test_a_biased_learner_acts_and_is_evaluated_by_q_and_the_bias():
    learner = off_policy_learner(DQN, DISCRETE)
    seen = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    with torch.no_grad():
        q = learner.q_net(torch.as_tensor(seen))
    expected = (q + bias(seen)).argmax(dim=1).numpy()
    assert (expected != q.argmax(dim=1).numpy()).any()
    learner.action_bias = bias
    policy = Policy.of(learner, None, interface(learner.env), "dqn", {})
    np.testing.assert_array_equal(learner.predict(seen, deterministic=True)[0], expected)
    compiled = learner._compiled()
    compiled.load()
    np.testing.assert_array_equal(compiled.act(seen), expected)
    np.testing.assert_array_equal(policy.player(mode="greedy")(seen), expected)
    np.testing.assert_array_equal(policy.act(seen, mode="greedy"), expected)
    torch.testing.assert_close(policy.reader()(seen).head, policy.outputs(seen).head)
    learner.action_bias = None
    np.testing.assert_array_equal(policy.player(mode="greedy")(seen), q.argmax(dim=1).numpy())
    np.testing.assert_array_equal(policy.act(seen, mode="greedy"), q.argmax(dim=1).numpy())


def test_an_advised_dqn_starts_with_the_advice_and_ends_without():
    run = context(SHORT, algorithm="dqn", source="dqn", learning_starts=1000)
    methods = compose([{"method": "advice", "scale": 1000.0, "until": 0.5, "exploration": 0.0}])
    learner = learner_of(methods, run)
    taken = []

    class Recorder(VecEnvWrapper):
        def reset(self):
            return self.venv.reset()

        def step_async(self, actions):
            taken.append((learner._last_obs.copy(), actions.copy()))
            self.venv.step_async(actions)

        def step_wait(self):
            return self.venv.step_wait()

    learner.set_env(Recorder(learner.env))
    learner.learn(60)
    wanted = [run.teacher.outputs(torch.as_tensor(seen)).head.argmax(dim=1).numpy() for seen, _ in taken]
    np.testing.assert_array_equal(np.concatenate(wanted), np.concatenate([actions for _, actions in taken]))
    seen = torch.randn(8, 4)
    methods.schedule(0.5)
    torch.testing.assert_close(learner.q_net(seen), learner.q_net.q_net(seen))
    assert "evaluated by Q + Φ until the advice has faded" in methods.notes()[0]


# Refusals


@pytest.mark.parametrize(
    ("entry", "source", "target", "words"),
    [
        ({"look": "ahead"}, "dqn", "sb3-dqn", 'sb3-dqn does not declare it: take look = "back" with ppo'),
        ({"look": "ahead"}, "ppo", "ppo", 'ppo does not declare it: take look = "back"$'),
        ({"look": "back"}, "dqn", "dqn", 'dqn is none: take look = "ahead"'),
        ({}, "ppo", "sac", "sac is neither"),
        ({"until": None}, "dqn", "dqn", "found until = None, expected at most 0.9"),
        ({"of": "q"}, "ppo", "ppo", "needs a source with action values: ppo has none"),
        ({}, "qrdqn", "dqn", "cannot read qrdqn's"),
    ],
)
def test_advice_that_cannot_work_is_refused_in_one_line(entry, source, target, words):
    with pytest.raises(ConfigError, match=words) as caught:
        compose([{"method": "advice", **entry}]).check(crossing(source, target))
    assert "\n" not in str(caught.value)


def test_the_same_knowledge_is_not_counted_twice():
    with pytest.raises(ConfigError, match="advice and shape both add what the source thinks"):
        compose(["shape", "advice"])
    with pytest.raises(ConfigError, match="the same as to start Q at Φ, and finetune starts it"):
        compose(["finetune", "advice"]).check(crossing("dqn", "dqn"))
    compose([{"method": "finetune", "layers": "torso"}, "advice"]).check(crossing("dqn", "dqn"))


def test_the_declaration_is_ours_alone():
    assert hasattr(DQN, "action_bias")
    assert not hasattr(stable_baselines3.DQN, "action_bias")
