"""Replay seeding: what the buffer holds is what the teacher did, and every step of it is booked."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import VecEnvWrapper

from agents.algorithms import build_learner, resolve
from agents.config import RunConfig
from agents.training import train
from envs.errors import ConfigError
from envs.interface import Interface
from envs.observations import each
from envs.task import Task
from envs.vector import interface, make_vec
from tests.agents.toys import DISCRETE, toys
from tests.transfer.teachers import SHORT, carried, context, learner_of, make_teacher, run_config
from transfer.carry import hooks_for
from transfer.demonstrations.playing import Demonstrator
from transfer.mapping import Mapping
from transfer.method import Context, Crossing, compose

PENDULUM = Task(game="Pendulum-v1")
CONTINUOUS = {"net_arch": [8], "n_envs": 2, "buffer_size": 500, "learning_starts": 10, "batch_size": 8}


class Witness(VecEnvWrapper):
    """Remembers what was played, in Stable-Baselines3's words."""

    def reset(self):
        self.seen, self.played = self.venv.reset(), []
        return self.seen

    def step_async(self, actions):
        self.actions = np.array(actions)
        self.venv.step_async(actions)

    def step_wait(self):
        following, rewards, dones, infos = self.venv.step_wait()
        ends = each(np.copy, following)
        for index in np.flatnonzero(dones):
            for held, last in parts(ends, infos[index]["terminal_observation"]):
                held[index] = last
        cut = [info.get("TimeLimit.truncated", False) for info in infos]
        self.played.append((each(np.copy, self.seen), self.actions, rewards.copy(), ends, dones.copy(), np.array(cut)))
        self.seen = following
        return following, rewards, dones, infos


def parts(held, given):
    """Arrays side by side, of observations in one part or in several."""
    return [(held[name], given[name]) for name in held] if isinstance(held, dict) else [(held, given)]


def prepared(by, run, learner=None):
    """The learner after `prepare`, what was booked each time, and its methods."""
    methods = compose(by)
    if learner is None:
        learner = learner_of(methods, run)
    else:
        methods.bind(run)
        methods.initialise(learner)
    learner.set_logger(configure(None, []))
    witness = Witness(learner.env)
    learner.env = witness
    booked = []
    methods.prepare(learner, booked.append)
    return learner, booked, methods, witness


def continuous(algorithm, seed=0):
    """A run on Pendulum, with a random teacher, and its learner."""
    venv = make_vec(PENDULUM, n_envs=2, seed=1)
    known = interface(venv)
    hyperparameters = resolve(PENDULUM, algorithm, CONTINUOUS)
    teacher = make_teacher(algorithm, known, {"net_arch": [8]})
    run = Context(teacher, Mapping.between(known, known), PENDULUM, algorithm, hyperparameters, steps=1000, seed=seed)
    return run, build_learner(algorithm, venv, hyperparameters, seed=seed)


def dqn(**settings):
    return context(SHORT, algorithm="dqn", source=settings.pop("source", "dqn"), **settings)


@pytest.mark.parametrize("n_envs", [1, 3])
def test_the_buffer_holds_what_the_teacher_did_transition_for_transition(n_envs):
    run = dqn(n_envs=n_envs)
    learner, booked, _, witness = prepared([{"method": "replay", "steps": 100, "epsilon": 0.6}], run)
    rows = -(-100 // n_envs)
    buffer = learner.replay_buffer
    assert booked == [n_envs] * rows
    assert (buffer.pos, buffer.full) == (rows, False)
    columns = [np.stack(part) for part in zip(*witness.played, strict=True)]
    seen, actions, rewards, ends, dones, cut = columns
    np.testing.assert_array_equal(buffer.observations[:rows], seen)
    np.testing.assert_array_equal(buffer.actions[:rows, :, 0], actions)
    np.testing.assert_array_equal(buffer.rewards[:rows], rewards)
    np.testing.assert_array_equal(buffer.next_observations[:rows], ends)
    np.testing.assert_array_equal(buffer.dones[: rows - 1], dones[:-1])
    np.testing.assert_array_equal(buffer.timeouts[: rows - 1], cut[:-1])
    assert cut.any()
    assert (dones & ~cut).any()


def test_the_teacher_is_asked_about_what_it_sees():
    run = dqn()
    _, _, _, witness = prepared([{"method": "replay", "steps": 40}], run)
    for seen, actions, *_ in witness.played:
        best = run.teacher.outputs(torch.as_tensor(seen)).head.argmax(dim=-1).numpy()
        np.testing.assert_array_equal(actions, best)


def test_the_last_transition_bootstraps_and_ends_its_episode():
    """What follows it in the buffer is the student's reset, not what followed it."""
    learner, _, _, witness = prepared([{"method": "replay", "steps": 40}], dqn())
    buffer, last = learner.replay_buffer, witness.played[-1]
    ended = buffer.dones[buffer.pos - 1] * (1 - buffer.timeouts[buffer.pos - 1])
    np.testing.assert_array_equal(ended, last[4] & ~last[5])
    assert (buffer.dones[buffer.pos - 1] == 1).all()


def test_a_buffer_of_one_array_is_cut_where_the_student_begins():
    run = dqn(optimize_memory_usage=True)
    learner, _, _, witness = prepared([{"method": "replay", "steps": 60}], run)
    buffer = learner.replay_buffer
    seen = np.stack([part[0] for part in witness.played])
    np.testing.assert_array_equal(buffer.observations[:30], seen)
    going_on = buffer.dones[:29] == 0
    np.testing.assert_array_equal(
        buffer.observations[1:30][going_on], np.stack([part[3] for part in witness.played])[:29][going_on]
    )
    assert (buffer.dones[29] == 1).all()


@pytest.mark.parametrize("algorithm", ["dqn", "sb3-dqn"])
def test_observations_of_several_parts_are_held_as_the_learner_sees_them(algorithm):
    """A picture, whose channels Stable-Baselines3 puts first, beside a vector."""
    eye, leg = spaces.Box(0, 255, (40, 36, 3), np.uint8), spaces.Box(-1, 1, (2,), np.float32)
    venv = toys(DISCRETE, spaces.Dict({"eye": eye, "leg": leg}), n_envs=2)
    known = Interface(venv.observation_space, venv.action_space)
    hyperparameters = {"net_arch": [8], "n_envs": 2, "buffer_size": 100}
    learner = build_learner(algorithm, venv, hyperparameters, seed=0)
    run = Context(
        make_teacher("dqn", known, {"net_arch": [8]}), Mapping.between(known, known), SHORT, algorithm, {}, 100, 0
    )
    learner, booked, _, witness = prepared([{"method": "replay", "steps": 40, "epsilon": 0.5}], run, learner)
    buffer = learner.replay_buffer
    assert booked == [2] * 20
    assert any(dones.any() for *_, dones, _ in witness.played)
    for row, (seen, _, _, ends, _, _) in enumerate(witness.played):
        for held, expected in (*parts(buffer.observations, seen), *parts(buffer.next_observations, ends)):
            np.testing.assert_array_equal(held[row], expected)


@pytest.mark.parametrize("algorithm", ["sac", "td3"])
def test_continuous_actions_are_held_as_the_learner_holds_its_own(algorithm):
    run, learner = continuous(algorithm)
    learner, booked, _, witness = prepared([{"method": "replay", "steps": 30, "learn": 3}], run, learner)
    assert sum(booked) == 30
    actions = np.stack([part[1] for part in witness.played])
    assert np.abs(actions).max() <= 2.0
    np.testing.assert_allclose(learner.replay_buffer.actions[:15], actions / 2.0, atol=1e-6)
    assert learner._n_updates == 3


def test_a_greedy_continuous_teacher_acts_as_its_policy_does():
    run, learner = continuous("sac")
    _, _, _, witness = prepared([{"method": "replay", "steps": 20, "mode": "greedy"}], run, learner)
    for seen, actions, *_ in witness.played:
        np.testing.assert_allclose(actions, run.teacher.act(seen, mode="greedy"), atol=1e-5)


def test_sampled_choices_follow_the_teachers_probabilities_over_mapped_actions():
    from agents.outputs import Outputs

    logits = torch.log(torch.tensor([[0.5, 0.3, 0.2]])).expand(20_000, 3)
    choose = Demonstrator(
        lambda _: Outputs("categorical", logits),
        spaces.Discrete(3),
        (0, 2),
        squashed=False,
        mode="sampled",
        epsilon=0.0,
        seed=0,
    )
    share = np.bincount(choose(None), minlength=3) / 20_000
    assert share[1] == 0
    assert share[0] == pytest.approx(5 / 7, abs=5 * np.sqrt(5 / 7 * 2 / 7 / 20_000))


def test_epsilon_replaces_that_share_of_the_actions():
    from agents.outputs import Outputs

    q_values = torch.tensor([[1.0, 0.0]]).expand(20_000, 2)
    heads = {"squashed": False, "mode": "greedy", "epsilon": 0.4, "seed": 0}
    choose = Demonstrator(lambda _: Outputs("q", q_values), spaces.Discrete(2), (0, 1), **heads)
    assert choose(None).mean() == pytest.approx(0.2, abs=5 * np.sqrt(0.2 * 0.8 / 20_000))


def test_a_share_of_every_minibatch_comes_from_the_demonstrations():
    run = dqn(n_envs=1)
    learner, _, _, witness = prepared([{"method": "replay", "steps": 30, "share": 0.25}], run)
    buffer = learner.replay_buffer
    assert buffer.size() == 0
    theirs = {part[0].tobytes() for part in witness.played}
    assert all(row.numpy().tobytes() in theirs for row in buffer.sample(8).observations)
    for _ in range(5):
        buffer.add(np.zeros((1, 4)), np.zeros((1, 4)), np.zeros(1), np.zeros(1), np.zeros(1), [{}])
    own = (buffer.sample(40).observations == 0).all(dim=1)
    assert own.sum() == 30


def test_with_demonstrations_enough_the_student_acts_and_learns_from_its_first_step():
    run = dqn(n_envs=1, learning_starts=50, train_freq=4, exploration_initial_eps=0.0, exploration_final_eps=0.0)
    learner, booked, _, _ = prepared([{"method": "replay", "steps": 60}], run)
    learner.num_timesteps = sum(booked)
    before = learner._n_updates
    learner.learn(8, reset_num_timesteps=False)
    assert learner._n_updates > before
    assert learner.num_timesteps == 68


def test_the_steps_are_the_budgets_and_the_same_config_gives_the_same_weights(tmp_path):
    source = run_config(algorithm="dqn", steps=64)
    train(source, tmp_path)
    config = carried(run_config(algorithm="dqn", steps=256), source, [{"method": "replay", "steps": 101, "learn": 5}])
    policies = []
    for root in (tmp_path, tmp_path / "again"):
        run = train(config, root, hooks=hooks_for(config, tmp_path))
        assert run.provenance["steps_before_learning"] == 102
        assert 256 <= run.provenance["steps_taken"] < 256 + 8
        policies.append(run.policy().network.state_dict())
    assert all(torch.equal(value, policies[1][key]) for key, value in policies[0].items())


def test_raw_rewards_are_held_where_the_learner_normalises_them():
    run = dqn(normalise_rewards=True)
    learner, _, _, witness = prepared([{"method": "replay", "steps": 40}], run)
    assert (learner.replay_buffer.rewards[:20] == 1.0).all()
    assert not all((part[2] == 1.0).all() for part in witness.played)


def crossing(algorithm, steps=1000, **hyperparameters):
    run = dqn()
    source = RunConfig(task=SHORT, algorithm="dqn", steps=1)
    target = RunConfig(task=SHORT, algorithm=algorithm, steps=steps, hyperparameters=hyperparameters)
    return Crossing(source, target, run.mapping)


@pytest.mark.parametrize(
    ("settings", "known", "words"),
    [
        ({}, crossing("ppo"), "replay fills a replay buffer, and ppo has none: take dqn, sac or td3, or the method k"),
        ({}, crossing("ars"), "ars has none"),
        ({"learn": 5, "steps": 10}, crossing("qrdqn"), "the target network of qrdqn follows only while it acts"),
        ({"steps": 1000}, crossing("dqn"), "is to take 1,000 steps, and the budget is 1,000"),
        ({"steps": 10}, crossing("dqn", buffer_size=10, n_envs=4), "10 steps .* not fit into a replay buffer of 10"),
    ],
)
def test_what_cannot_be_seeded_is_refused_before_anything_is_trained(settings, known, words):
    with pytest.raises(ConfigError, match=words):
        compose([{"method": "replay", **settings}]).check(known)


@pytest.mark.parametrize("pair", [["replay", "qdagger"], ["qdagger", "replay"], ["kickstart", "qdagger"]])
def test_what_counts_the_same_twice_is_refused(pair):
    with pytest.raises(ConfigError, match="both"):
        compose(pair)
