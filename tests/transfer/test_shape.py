"""Shaping: potentials of a user's own, rewards shaped when they are drawn, and its traps."""

import importlib
import sys
from types import ModuleType

import numpy as np
import pytest
import stable_baselines3
import torch
from stable_baselines3.common.vec_env import VecNormalize

from agents.dqn import DQN
from agents.recomputed import Remembered, terminated
from envs.errors import ConfigError
from envs.vector import make_vec
from tests.agents.toys import BOX, DISCRETE, off_policy_learner, quiet, toys
from tests.transfer.teachers import CARTPOLE, SHORT, context, learner_of
from tests.transfer.test_methods import crossing
from transfer.method import completed, compose
from transfer.shaping.drawn import shape_when_drawn
from transfer.shaping.worlds import ShapedVecEnv

GAMMA = 0.9


def weighted(seen):
    """Some potential of the toys' three numbers."""
    return np.asarray(seen, np.float64) @ np.array([1.0, -2.0, 0.5]) + 3.0


def shaped(learner, potential=weighted, coefficient=lambda: 1.0):
    space = learner.observation_space
    shape_when_drawn(learner, potential, GAMMA, coefficient, space)
    return learner


def rewards_by_hand(learner, rows, coefficient=1.0):
    """r + c(γΦ(s′) − Φ(s)) from the buffer's arrays, with Φ(s′) = 0 where the episode terminated."""
    buffer = learner.replay_buffer
    seen, after = (held.reshape(-1, 3)[rows] for held in (buffer.observations, buffer.next_observations))
    goes_on = 1 - buffer.dones.reshape(-1)[rows] * (1 - buffer.timeouts.reshape(-1)[rows])
    term = GAMMA * goes_on * weighted(after) - weighted(seen)
    return buffer.rewards.reshape(-1)[rows] + coefficient * term


def drawn_by(learner, seed=0, n=200, **named):
    """A minibatch, and the rows that it is of."""
    np.random.seed(seed)  # noqa: NPY002
    batch = learner.replay_buffer.sample(n, **named)
    np.random.seed(seed)  # noqa: NPY002
    buffer = learner.replay_buffer
    steps = np.random.randint(0, buffer.size(), size=n)  # noqa: NPY002
    return batch, steps * buffer.n_envs + np.random.randint(0, buffer.n_envs, size=n)  # noqa: NPY002


ALGORITHMS = [
    (stable_baselines3.DQN, DISCRETE),
    (stable_baselines3.SAC, BOX),
    (stable_baselines3.TD3, BOX),
]


@pytest.mark.parametrize(("algorithm", "space"), ALGORITHMS)
def test_a_drawn_reward_is_shaped_and_the_kept_one_raw(algorithm, space):
    learner = off_policy_learner(algorithm, space)
    raw = learner.replay_buffer.rewards.copy()
    plain, _ = drawn_by(learner)
    shaped(learner)
    batch, rows = drawn_by(learner)
    ends = learner.replay_buffer.dones.reshape(-1)[rows] > 0
    assert {True, False} == set((terminated(learner.replay_buffer, rows) > 0)[ends].tolist())
    np.testing.assert_allclose(batch.rewards.numpy()[:, 0], rewards_by_hand(learner, rows), atol=1e-5)
    np.testing.assert_array_equal(learner.replay_buffer.rewards, raw)
    for mine, theirs in ((batch.observations, plain.observations), (batch.actions, plain.actions)):
        assert torch.equal(mine, theirs)  # the draws are what they were


def test_the_coefficient_is_that_of_the_draw():
    now = [1.0]
    learner = shaped(off_policy_learner(stable_baselines3.DQN, DISCRETE), coefficient=lambda: now[0])
    for c in (1.0, 0.25, 0.0):
        now[0] = c
        batch, rows = drawn_by(learner)
        np.testing.assert_allclose(batch.rewards.numpy()[:, 0], rewards_by_hand(learner, rows, c), atol=1e-5)


def test_the_potential_is_asked_once_of_each_transition_until_it_is_overwritten():
    asked = []

    def counting(seen):
        asked.append(len(seen))
        return weighted(seen)

    learner = shaped(off_policy_learner(stable_baselines3.DQN, DISCRETE, buffer_size=400), counting)
    for seed in range(60):
        drawn_by(learner, seed)
    size = learner.replay_buffer.size() * learner.n_envs
    assert sum(asked) == 2 * size
    learner.learn(500, reset_num_timesteps=False)  # the buffer is written over more than once
    batch, rows = drawn_by(learner)
    np.testing.assert_allclose(batch.rewards.numpy()[:, 0], rewards_by_hand(learner, rows), atol=1e-5)
    learner.learn(40, reset_num_timesteps=False)  # and in part
    for seed in range(20):
        batch, rows = drawn_by(learner, seed)
        np.testing.assert_allclose(batch.rewards.numpy()[:, 0], rewards_by_hand(learner, rows), atol=1e-5)


def test_a_buffer_that_was_wholly_overwritten_between_two_draws_is_asked_anew():
    learner = off_policy_learner(stable_baselines3.DQN, DISCRETE, buffer_size=80)
    known = Remembered(learner.replay_buffer, weighted, lambda: learner.num_timesteps)
    rows = np.arange(80)
    known(rows)
    learner.learn(80, reset_num_timesteps=False)  # its position is where it was
    assert learner.replay_buffer.pos == known._pos
    held = learner.replay_buffer.observations.reshape(-1, 3)
    np.testing.assert_allclose(known(rows)[0], weighted(held))


def test_each_reward_of_an_n_step_return_is_shaped():
    """Σ γᵏFₜ₊ₖ telescopes to γⁿΦ(sₜ₊ₙ) − Φ(sₜ)."""
    learner = off_policy_learner(stable_baselines3.DQN, DISCRETE, n_steps=3, gamma=GAMMA)
    plain, _ = drawn_by(learner)
    shaped(learner)
    batch, _ = drawn_by(learner)
    after = (batch.discounts * (1 - batch.dones)).numpy()[:, 0] * weighted(batch.next_observations.numpy())
    expected = plain.rewards.numpy()[:, 0] + after - weighted(batch.observations.numpy())
    np.testing.assert_allclose(batch.rewards.numpy()[:, 0], expected, atol=1e-4)


def test_shaping_comes_before_the_normalisation_of_rewards():
    venv = VecNormalize(toys(DISCRETE, n_envs=2), norm_obs=False, norm_reward=True, gamma=GAMMA)
    learner = quiet(stable_baselines3.DQN("MlpPolicy", venv, seed=5, buffer_size=1000, learning_starts=1000))
    learner.learn(300)
    shaped(learner)
    batch, rows = drawn_by(learner, env=venv)
    expected = venv.normalize_reward(rewards_by_hand(learner, rows))
    np.testing.assert_allclose(batch.rewards.numpy()[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize("memory", [False, True])
def test_compiled_updates_see_what_sb3s_see(memory):
    little = {"optimize_memory_usage": True, "replay_buffer_kwargs": {"handle_timeout_termination": False}}
    learners = []
    for algorithm, compiles in ((DQN, True), (DQN, False), (stable_baselines3.DQN, None)):
        learner = shaped(off_policy_learner(algorithm, DISCRETE, learning_rate=0.003, **(little if memory else {})))
        if compiles is not None:
            learner.compiles = compiles
        for _ in range(3):
            learner.train(gradient_steps=5, batch_size=32)
        learners.append(learner)
    plain = off_policy_learner(DQN, DISCRETE, learning_rate=0.003, **(little if memory else {}))
    for _ in range(3):
        plain.train(gradient_steps=5, batch_size=32)
    ours, *others = [learner.q_net.state_dict() for learner in learners]
    for name, value in ours.items():
        for other in others:
            torch.testing.assert_close(value, other[name], rtol=1e-4, atol=1e-5)
    assert any(not torch.allclose(v, ours[name], atol=1e-3) for name, v in plain.q_net.state_dict().items())


def test_a_run_off_policy_keeps_raw_rewards_and_plays_raw_environments():
    run = context(SHORT, algorithm="dqn", source="ppo", learning_starts=20)
    methods = compose(["shape"])
    learner = learner_of(methods, run)
    learner.learn(120)
    assert learner._n_updates > 0
    assert set(np.unique(learner.replay_buffer.rewards[:50])) == {1.0}
    assert not isinstance(learner.env, ShapedVecEnv)
    batch = learner.replay_buffer.sample(32)
    assert not torch.allclose(batch.rewards, torch.ones(32, 1))


# A function of the user's own


@pytest.fixture
def own(monkeypatch):
    """A module of the user's: `own.height` and functions that are wrong."""
    module = ModuleType("own_potentials")
    module.height = lambda seen: seen[:, 0] * 2.0
    module.column = lambda seen: seen[:, :1]
    module.infinite = lambda seen: np.full(len(seen), np.inf)
    module.broken = lambda seen: seen[:, 99]
    monkeypatch.setitem(sys.modules, "own_potentials", module)
    monkeypatch.setattr("transfer.methods.shape.source_of", lambda target: "0" * 64)
    return module


def entry(name, **more):
    return {"method": "shape", "potential": f"own_potentials:{name}", **more}


def test_a_users_potential_shapes(own):
    methods = compose([entry("height", scale=3.0)])
    run = context(SHORT)
    methods.check(crossing("sac"))  # the source's value is not asked for
    methods.bind(run)
    venv = methods.wrap(make_vec(SHORT, n_envs=2, seed=0))
    first = venv.reset()
    second, rewards, _, _ = venv.step(np.ones(2, dtype=int))
    np.testing.assert_allclose(rewards - 1, 6.0 * (run.gamma * second[:, 0] - first[:, 0]), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("column", r"returned the shape \(2, 1\) for 2 observations: expected \(2,\), a number each"),
        ("infinite", "of a state is inf: return finite numbers"),
        ("broken", "raised IndexError"),
        ("missing", "no attribute 'missing'"),
    ],
)
def test_a_wrong_potential_is_refused_before_anything_is_trained(own, name, words):
    with pytest.raises(ConfigError, match=words) as caught:
        compose([entry(name)]).check(crossing("ppo"))
    assert "\n" not in str(caught.value)


def test_a_runs_key_holds_the_functions_text(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    texts = ("def height(seen):\n    return seen[:, 0]\n", "def height(seen):\n    return 2 * seen[:, 0]\n")
    for i, text in enumerate(texts):
        (tmp_path / f"changed_{i}.py").write_text(text)
    importlib.invalidate_caches()
    entries = [{"method": "shape", "potential": f"changed_{i}:height"} for i in range(2)]
    keys = [completed(entry)["potential_source"] for entry in entries]
    assert len(set(keys)) == 2
    assert all(len(key) == 64 for key in keys)
    kept = completed({"method": "shape", "potential": "changed_0:height", "potential_source": "1234"})
    assert kept["potential_source"] == "1234"  # a recorded config stays what it was


def test_finetune_beside_a_users_potential_starts_the_critic_at_the_sources_value(own):
    methods = compose(["finetune", entry("height")])
    assert methods.methods[0].value_scale == 1.0


def test_a_diverged_critic_is_told_before_a_learner_off_policy_begins():
    run = context(algorithm="dqn", source="ppo")
    with torch.no_grad():
        run.teacher.network.value_net.weight.fill_(float("nan"))
    with pytest.raises(ConfigError, match="source's value of a state is nan: its critic has diverged"):
        learner_of(compose(["shape"]), run)


def test_going_on_from_another_state_begins_with_its_potential():
    venv = ShapedVecEnv(make_vec(CARTPOLE, n_envs=2, seed=0), lambda seen: seen[:, 2] * 10.0 + 1.0, GAMMA)
    venv.reset()
    state = venv.get_state()
    for _ in range(4):
        venv.step(np.ones(2, dtype=int))
    before = venv.set_state(state)
    after, rewards, _, _ = venv.step(np.ones(2, dtype=int))
    expected = 1.0 + GAMMA * (after[:, 2] * 10 + 1) - (before[:, 2] * 10 + 1)
    np.testing.assert_allclose(rewards, expected, atol=1e-5)
