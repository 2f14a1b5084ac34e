"""Evaluating, watching and training where agents die one by one."""

from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

from agents.algorithms import build_learner
from agents.evaluation import Evaluator
from agents.policy import Policy
from agents.resuming import environments
from agents.rollout import Player
from envs.task import Task
from envs.vector import interface, make_vec

GAME = '''
import functools

import numpy as np
from gymnasium import spaces
from pettingzoo import ParallelEnv


class Mortals(ParallelEnv):
    """Agent k plays 2 + k steps and earns k + 1 in each; `absent` of them are not there."""

    metadata = {"name": "mortals", "render_modes": []}
    render_mode = None

    def __init__(self, absent=0):
        self.possible_agents = ["a", "b", "c"]
        self.absent = absent

    @functools.cache
    def observation_space(self, agent):
        return spaces.Box(-9.0, 9.0, (2,), np.float32)

    @functools.cache
    def action_space(self, agent):
        return spaces.Discrete(2)

    def reset(self, seed=None, options=None):
        self.agents, self.time = self.possible_agents[self.absent:], 0
        return self.see(self.agents), {agent: {} for agent in self.agents}

    def step(self, actions):
        self.time += 1
        who = list(self.agents)
        number = {agent: self.possible_agents.index(agent) for agent in who}
        over = {agent: self.time == 2 + number[agent] for agent in who}
        self.agents = [agent for agent in who if not over[agent]]
        cut = {agent: over[agent] and agent == "c" for agent in who}
        ended = {agent: over[agent] and agent != "c" for agent in who}
        return self.see(who), {a: number[a] + 1.0 for a in who}, ended, cut, {a: {} for a in who}

    def see(self, who):
        return {agent: np.array([self.time, 1.0], np.float32) for agent in who}
'''


@pytest.fixture
def mortals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "mortalgame.py").write_text(GAME)
    monkeypatch.syspath_prepend(tmp_path)
    return "mortalgame:Mortals"


@pytest.mark.parametrize(("absent", "mean"), [(0, (2 + 6 + 12) / 3), (1, (6 + 12) / 2)])
def test_an_episode_s_return_is_the_mean_over_those_who_were_there(mortals: str, absent: int, mean: float) -> None:
    task = Task(game=mortals, arguments={"absent": absent})
    venv = make_vec(task)
    settings = {"n_envs": venv.num_envs, "n_steps": 4, "batch_size": 12, "n_epochs": 1}
    learner = build_learner("ppo", venv, settings, seed=0)
    learner.learn(24)  # with deaths in its rollouts
    policy = Policy.of(learner, task, interface(venv), "ppo", settings)
    with Evaluator(task, episodes=3, mode="greedy") as evaluator:
        found = evaluator.evaluate(policy)
    np.testing.assert_allclose(found.returns, mean)
    assert found.lengths.tolist() == [4] * 3
    assert found.truncated.all()  # the last one was cut off
    assert not found.terminated.any()


def test_watching_goes_on_until_the_last_one_is_out(mortals: str) -> None:
    frames = list(Player(None, Task(game=mortals)).episode(0))
    assert [frame.step for frame in frames] == [0, 1, 2, 3, 4]
    assert frames[-1].truncated
    assert not any(frame.over for frame in frames[:-1])
    assert frames[-1].total == pytest.approx((2 + 6 + 12) / 3)
    observation = frames[3].observation
    assert isinstance(observation, np.ndarray)
    assert not observation.any()  # the first agent is out


def test_a_training_is_taken_up_in_the_middle_of_an_episode(mortals: str) -> None:
    venv, other = make_vec(mortals, n_envs=2, seed=3), make_vec(mortals, n_envs=2, seed=8)
    for each in (venv, other):
        each.reset()
    actions = np.zeros(6, dtype=int)
    for _ in range(3):  # the first agent of each copy is out
        venv.step(actions)
    saved = deepcopy(environments.state(venv))
    environments.restore(other, lambda _: saved, games=True)
    for _ in range(5):
        for mine, theirs in zip(venv.step(actions)[:3], other.step(actions)[:3], strict=True):
            np.testing.assert_array_equal(mine, theirs)
