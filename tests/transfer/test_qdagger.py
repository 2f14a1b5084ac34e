"""QDagger: its coefficient, its loss, its two phases, and what is booked of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from stable_baselines3.common.logger import configure

from agents.auxiliary import attach
from agents.config import RunConfig
from agents.outputs import Batch, Outputs
from agents.training import train
from envs.errors import ConfigError
from envs.task import Change, Task
from envs.vector import make_vec
from tests.transfer.teachers import CARTPOLE, SHORT, carried, context, learner_of, run_config
from transfer.carry import hooks_for
from transfer.method import Crossing, compose
from transfer.methods.qdagger import listed_score, measured_score, remaining


def prepared(run, **settings):
    """A DQN after the first phase, the method, and what was booked."""
    methods = compose([{"method": "qdagger", "steps": 100, "offline": 20, "random_score": 9.0, **settings}])
    learner = learner_of(methods, run)
    learner.set_logger(configure(None, []))
    attach(learner, methods.auxiliary_loss)
    booked = []
    methods.prepare(learner, booked.append)
    return learner, methods.methods[0], booked


def dqn(**settings):
    return context(SHORT, algorithm=settings.pop("algorithm", "dqn"), source="ppo", **settings)


# The coefficient


@pytest.mark.parametrize(
    ("student", "teacher", "random", "expected"),
    [
        (0.0, 10.0, 0.0, 1.0),
        (10.0, 10.0, 0.0, 0.0),
        (15.0, 10.0, 0.0, 0.0),
        (5.0, 10.0, 0.0, 0.5),
        (-150.0, -100.0, -200.0, 0.5),
        (-175.0, -100.0, -200.0, 0.75),
        (-100.0, -100.0, -200.0, 0.0),
        (-900.0, 100.0, -200.0, 1.0),
        (5.0, 3.0, 3.0, 0.0),
        (0.0, 2.0, 3.0, 0.0),
    ],
)
def test_the_coefficient_is_what_the_student_lacks_of_the_teachers_score(student, teacher, random, expected):
    assert remaining(student, teacher, random) == pytest.approx(expected)


def test_the_worst_students_are_taught_most_where_returns_are_negative():
    """1 − G_S/G_T, without the random score, is −1 at the random score of this game, and 0 after the clip."""
    teacher, random = -100.0, -200.0
    students = [-200.0, -180.0, -150.0, -110.0]
    naive = [max(1 - student / teacher, 0.0) for student in students]
    ours = [remaining(student, teacher, random) for student in students]
    assert naive == [0.0] * 4
    assert ours == sorted(ours, reverse=True)
    assert ours[0] == 1.0


def test_the_weight_follows_the_students_latest_episodes():
    learner, method, _ = prepared(dqn(), coefficient=3.0, window=2, until=0.5)
    method._scores = (29.0, 9.0)
    learner._setup_learn(100)
    assert method.weight == 3.0  # no episode yet
    for earned in (1000.0, 14.0, 24.0):
        learner.ep_info_buffer.append({"r": earned})
    assert method.weight == pytest.approx(3.0 * (1 - (19.0 - 9.0) / 20.0))
    method.schedule(0.5)
    assert method.weight == 0.0
    assert method.auxiliary_loss(Batch(learner.policy, torch.zeros(2, 4))) is None


# The loss


def test_the_loss_is_the_mean_cross_entropy_up_to_the_teachers_entropy():
    """By hand: the gradient of the mean of −Σ π_T ln softmax(Q/τ) is (softmax(Q/τ) − π_T)/(τB)."""
    run = dqn()
    methods = compose([{"method": "qdagger", "coefficient": 2.0, "temperature": 0.5}])
    learner = learner_of(methods, run)
    seen = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    q_values = learner.policy.q_net(seen).detach().requires_grad_()
    loss = methods.auxiliary_loss(Batch(learner.policy, seen, known=Outputs("q", q_values)))
    (gradient,) = torch.autograd.grad(loss, q_values)
    taught = torch.softmax(run.teacher.outputs(seen).head, dim=-1)
    expected = 2.0 * (torch.softmax(q_values.detach() / 0.5, dim=-1) - taught) / (0.5 * 6)
    torch.testing.assert_close(gradient, expected)
    twice = Batch(learner.policy, torch.cat([seen, seen]))  # a mean, not a sum
    assert methods.auxiliary_loss(twice).item() == pytest.approx(loss.item(), rel=1e-5)


# The phases


@pytest.mark.parametrize("algorithm", ["dqn", "sb3-dqn"])
def test_the_first_phase_draws_the_student_to_its_teacher(algorithm):
    run = dqn(algorithm=algorithm, learning_rate=0.01)
    learner, method, booked = prepared(run, offline=150)
    assert booked == [2] * 50
    assert learner._n_updates == 150
    seen = learner.replay_buffer.observations[:50].reshape(-1, 4)
    taught = run.teacher.outputs(torch.as_tensor(seen)).head.argmax(dim=-1)
    with torch.no_grad():
        learnt = learner.q_net(torch.as_tensor(seen)).argmax(dim=-1)
    assert (taught == learnt).float().mean() > 0.9
    teacher, random = method._scores
    assert 0 < teacher <= 15
    assert random == 9.0


def test_the_target_network_follows_as_often_as_while_acting():
    run = dqn(target_update_interval=80, train_freq=4, gradient_steps=1, n_envs=2, tau=1.0)
    learner, _, _ = prepared(run, offline=10)  # 80 steps are 40 calls, 10 of which end with a gradient step
    for ours, theirs in zip(learner.q_net.parameters(), learner.q_net_target.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    learner, _, _ = prepared(run, offline=9)
    pairs = zip(learner.q_net.parameters(), learner.q_net_target.parameters(), strict=True)
    assert not all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_the_target_stands_still_within_a_round_however_short_its_interval():
    """As while acting, where it is brought up to date between rounds only."""
    run = dqn(target_update_interval=2, train_freq=8, gradient_steps=12, n_envs=2, tau=1.0)
    for offline, same in ((12, True), (11, False)):
        learner, _, _ = prepared(run, offline=offline)
        pairs = zip(learner.q_net.parameters(), learner.q_net_target.parameters(), strict=True)
        assert all(torch.equal(ours, theirs) for ours, theirs in pairs) == same


def test_the_student_does_not_start_at_random_again():
    run = dqn()
    learner, _, _ = prepared(run, exploration=0.02)
    assert learner.exploration_initial_eps == 0.02
    assert learner.exploration_final_eps <= 0.02


def test_the_random_score_is_the_catalogues_where_the_game_is_unchanged():
    assert listed_score(CARTPOLE) == 22.73
    assert listed_score(SHORT) is None
    assert listed_score(Task(game="headstart/CartPole-v1", arguments={"gravity": 1.0})) is None


def test_a_measured_random_score_counts_as_many_episodes_of_each_environment_and_books_every_step():
    venv = make_vec(SHORT, n_envs=3, seed=0)
    booked = []
    score = measured_score(venv, 7, np.random.default_rng(0), booked.append)
    assert set(booked) == {3}
    assert 9 <= score <= 15
    assert 27 <= len(booked) <= 45  # three episodes of each, of 9 to 15 steps
    assert (venv.get_attr("num_envs") or [3])[0] == 3
    venv.close()


def test_measuring_is_part_of_what_is_spent(tmp_path):
    source = run_config(algorithm="ppo", steps=64)
    train(source, tmp_path)
    entry = {"method": "qdagger", "steps": 60, "offline": 5, "random_episodes": 2}
    config = carried(run_config(algorithm="dqn", steps=256), source, [entry])
    weights = []
    for root in (tmp_path, tmp_path / "again"):
        run = train(config, root, hooks=hooks_for(config, tmp_path))
        spent = run.provenance["steps_before_learning"]
        assert spent > 60 + 2 * 8
        assert run.provenance["steps_taken"] >= 256
        weights.append(run.policy().network.state_dict())
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())


def test_a_teacher_that_never_ends_an_episode_has_no_score():
    with pytest.raises(ConfigError, match="none of the teacher's episodes ended within 4 steps"):
        prepared(dqn(), steps=4)


# Refusals


def crossing(source="ppo", target="dqn", mapping=None):
    run = dqn()
    config = RunConfig(task=SHORT, algorithm=source, steps=100_000)
    return Crossing(config, config.model_copy(update={"algorithm": target}), mapping or run.mapping)


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (crossing(target="ppo"), "qdagger teaches a DQN, and the student is ppo: take dqn, or kickstart"),
        (crossing(source="sac"), "teacher with discrete actions, and the source is sac"),
        (crossing(source="qrdqn"), "cannot read qrdqn's"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_trained(known, words):
    with pytest.raises(ConfigError, match=words):
        compose(["qdagger"]).check(known)


@pytest.mark.parametrize("other", ["kickstart", "replay", "dagger"])
def test_nothing_is_counted_twice(other):
    with pytest.raises(ConfigError, match=f"qdagger and {other}|{other} and qdagger"):
        compose(["qdagger", other])


def test_a_changed_game_is_measured():
    changed = Task(game="headstart/CartPole-v1", change=Change(sticky=0.5))
    run = replace(dqn(), task=changed)
    _, method, booked = prepared(run, random_score=None, random_episodes=1, steps=40)
    assert len(booked) > 20
    assert method._scores[1] > 5
