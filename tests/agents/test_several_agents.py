"""Evaluating, watching and training where agents die one by one."""

from pathlib import Path

import numpy as np
import pytest

from agents.algorithms import build_learner
from agents.evaluation import Evaluator
from agents.policy import Policy
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
