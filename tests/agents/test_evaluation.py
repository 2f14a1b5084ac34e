"""Evaluation: one episode a seed, raw rewards, the same numbers each time, and no trace left in the generators."""

import random
from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents import evaluation
from agents.algorithms import build_learner, default_mode
from agents.evaluation import SEED_BASE, EpisodeResults, Evaluator, evaluate
from agents.policy import Policy
from envs.errors import ConfigError, GameError
from envs.task import Change, Task
from envs.vector import interface, make_vec


class Lottery(gym.Env[np.ndarray, int]):
    """Episodes whose length and rewards only their seed decides; odd lengths are truncated, even ones terminated.

    It draws from the global generators, as it should not.
    """

    observation_space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = spaces.Discrete(2)
    resets = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        Lottery.resets += 1
        random.random(), np.random.random(), torch.rand(1)  # noqa: NPY002
        self.left = self.length = int(self.np_random.integers(1, 9))
        return np.zeros(2, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        over, odd = self.left == 0, self.length % 2 == 1
        reward = float(self.np_random.normal() * 1e3)
        return self.np_random.normal(size=2).astype(np.float32), reward, over and not odd, over and odd, {}


class Wide(Lottery):
    """With another kind of action, and what Pendulum sees."""

    observation_space = spaces.Box(-1, 1, (3,), np.float32)
    action_space = spaces.Box(-1, 1, (2,), np.float32)


class Endless(Lottery):
    """Never over."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        observation, info = super().reset(seed=seed)
        self.left = 0
        return observation, info


LOTTERY, CARTPOLE = Task(game="HeadstartTests/Lottery-v0"), Task(game="headstart/CartPole-v1")


@pytest.fixture(autouse=True)
def games() -> Iterator[None]:
    known = {f"HeadstartTests/{game.__name__}-v0": game for game in (Lottery, Endless, Wide)}
    for name, game in known.items():
        gym.register(name, game)
    yield
    for name in known:
        del gym.registry[name]


def policy_for(task: Task, algorithm: str = "ppo", **settings: Any) -> Policy:
    venv = make_vec(task)
    learner = build_learner(algorithm, venv, settings | {"n_envs": venv.num_envs}, seed=3)
    return Policy.of(learner, task, interface(venv), algorithm, settings)


def equal(one: EpisodeResults, other: EpisodeResults) -> bool:
    names = ("seeds", "returns", "lengths", "terminated", "truncated")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


def test_each_episode_is_the_first_of_its_seed() -> None:
    found = evaluate(policy_for(LOTTERY), LOTTERY, episodes=12)
    for number in range(12):
        game = gym.make(LOTTERY.game)
        game.reset(seed=SEED_BASE + number)
        total, length, terminated, truncated = 0.0, 0, False, False
        while not terminated and not truncated:
            _, reward, terminated, truncated, _ = game.step(0)
            total, length = total + float(reward), length + 1
        assert found.seeds[number] == SEED_BASE + number
        assert found.returns[number] == pytest.approx(total, rel=1e-12)
        assert (found.lengths[number], found.terminated[number], found.truncated[number]) == (
            length,
            terminated,
            truncated,
        )
    assert found.terminated.any()
    assert found.truncated.any()
    assert found.mean == found.returns.mean()


def test_games_one_by_one_are_left_alone_once_they_are_over() -> None:
    with Evaluator(LOTTERY, episodes=5, mode="greedy") as evaluator:
        policy = policy_for(LOTTERY)
        Lottery.resets = 0
        first = evaluator.evaluate(policy)
        assert Lottery.resets == 5
        assert equal(evaluator.evaluate(policy), first)


def test_a_batched_game_gives_what_single_objects_give() -> None:
    policy = policy_for(CARTPOLE)
    batched = evaluate(policy, CARTPOLE, episodes=8, mode="greedy")
    for number in range(8):
        single = make_vec(CARTPOLE, backend="dummy")
        single.seed(SEED_BASE + number)
        observation: Any = single.reset()
        total, done = 0.0, [False]
        while not done[0]:
            observation, reward, done, _ = single.step(policy.act(observation, mode="greedy"))
            total += reward[0]
        assert batched.returns[number] == batched.lengths[number] == total
    assert len(set(batched.returns)) > 1


@pytest.mark.parametrize("task", [LOTTERY, CARTPOLE])
@pytest.mark.parametrize("mode", ["sampled", "greedy"])
def test_evaluating_twice_gives_the_same_numbers(task: Task, mode: Any) -> None:
    policy = policy_for(task)
    with Evaluator(task, episodes=6, mode=mode, seed=1) as evaluator:
        first, again = evaluator.evaluate(policy, 40), evaluator.evaluate(policy, 40)
    assert equal(first, again)


def test_samples_depend_on_seed_and_step_and_nothing_else() -> None:
    policy = policy_for(CARTPOLE)

    def returns(seed: int, step: int) -> list[float]:
        torch.manual_seed(np.random.default_rng().integers(2**31))
        with Evaluator(CARTPOLE, episodes=10, mode="sampled", seed=seed) as evaluator:
            return list(evaluator.evaluate(policy, step).returns)

    assert returns(0, 0) == returns(0, 0)
    assert returns(0, 0) != returns(1, 0)
    assert returns(0, 0) != returns(0, 1)


@pytest.mark.parametrize("task", [LOTTERY, CARTPOLE])
def test_no_global_generator_moves(task: Task) -> None:
    policy = policy_for(task)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    torch.manual_seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index, union-attr] # noqa: NPY002
    evaluate(policy, task, episodes=3, mode="sampled")
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index, union-attr] # noqa: NPY002
    assert before == after


@pytest.mark.parametrize("training", [True, False])
def test_the_network_stays_in_its_mode(training: bool) -> None:
    policy = policy_for(CARTPOLE)
    policy.network.set_training_mode(training)
    evaluate(policy, CARTPOLE, episodes=2)
    assert policy.network.training is training


def test_a_tasks_own_changes_count() -> None:
    limited = Task(game=CARTPOLE.game, change=Change(time_limit=4))
    found = evaluate(policy_for(CARTPOLE), limited, episodes=5)
    assert found.lengths.tolist() == [4] * 5
    assert found.truncated.all()


def test_modes_are_the_algorithms() -> None:
    expected = {"ppo": "sampled", "a2c": "sampled", "dqn": "greedy", "sac": "greedy", "td3": "greedy"}
    assert {name: default_mode(name) for name in expected} == expected


def test_the_default_mode_is_used() -> None:
    policy = policy_for(CARTPOLE)
    default, sampled = evaluate(policy, CARTPOLE, episodes=8), evaluate(policy, CARTPOLE, episodes=8, mode="sampled")
    assert equal(default, sampled)
    assert not equal(default, evaluate(policy, CARTPOLE, episodes=8, mode="greedy"))


def test_several_agents_are_one_episode() -> None:
    pytest.importorskip("mpe2")
    from mpe2 import simple_spread_v3

    task = Task(game="mpe2/simple_spread_v3")
    policy = policy_for(task)
    found = evaluate(policy, task, episodes=3, mode="greedy")
    assert found.returns.shape == found.lengths.shape == (3,)
    assert found.truncated.all()
    for number in range(3):
        game = simple_spread_v3.parallel_env(**_arguments(task))
        observations, _ = game.reset(seed=SEED_BASE + number)
        totals = dict.fromkeys(game.possible_agents, 0.0)
        length = 0
        while game.agents:
            stacked = np.stack([observations[agent] for agent in game.possible_agents])
            actions = policy.act(stacked, mode="greedy")
            observations, rewards, *_ = game.step(
                {agent: int(action) for agent, action in zip(game.possible_agents, actions, strict=True)}
            )
            totals = {agent: total + rewards[agent] for agent, total in totals.items()}
            length += 1
        assert found.returns[number] == pytest.approx(np.mean(list(totals.values())), rel=1e-5)
        assert found.lengths[number] == length


def _arguments(task: Task) -> dict[str, Any]:
    from envs.catalogue import find_game

    return {**find_game(task.game).arguments, **task.arguments}


def test_mistakes_are_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_for(CARTPOLE)
    with pytest.raises(ConfigError, match=r"has observations Box\(.*the policy expects Box\(.*headstart transfer"):
        evaluate(policy, LOTTERY, episodes=1)
    with pytest.raises(ConfigError, match="has actions Box"):
        evaluate(policy_for(Task(game="Pendulum-v1")), Task(game="HeadstartTests/Wide-v0"), episodes=1)
    with pytest.raises(ConfigError, match="found 0 evaluation episodes, expected at least 1"):
        evaluate(policy, CARTPOLE, episodes=0)
    monkeypatch.setattr(evaluation, "LONGEST", 20)
    with pytest.raises(GameError, match="an episode has not ended after 20 steps; give the game a time limit"):
        evaluate(policy_for(LOTTERY), Task(game="HeadstartTests/Endless-v0"), episodes=2)


def test_times_add_up() -> None:
    policy = policy_for(CARTPOLE)
    with Evaluator(CARTPOLE, episodes=2, mode="greedy") as evaluator:
        opened = evaluator.wall_seconds
        evaluator.evaluate(policy)
        once = evaluator.wall_seconds
        evaluator.evaluate(policy)
        assert evaluator.wall_seconds > once > opened > 0
        assert evaluator.cpu_seconds > 0
