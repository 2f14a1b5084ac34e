"""Frames are what happened: states and rewards as in SB3's environments, and the policy's own numbers."""

from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from agents.policy import Policy
from agents.rollout import Decision, Frame, Player, action_names, rollout
from envs.errors import GameError, MappingError
from envs.interface import Interface
from envs.task import Change, Task
from envs.vector import make_vec
from tests.agents.toys import fresh

CARTPOLE = Task(game="headstart/CartPole-v1")


class Plain(gym.Env[np.ndarray, int]):
    """No picture, no render mode, five steps."""

    metadata = {"render_modes": [], "headstart": {"features": ["height", "speed"], "actions": ["coast", "burn"]}}  # noqa: RUF012
    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, broken: bool = False) -> None:
        self.broken = broken

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        if self.broken:
            raise ValueError("out of fuel")
        seen = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return seen, -1.0, self.steps == 5, False, {}


class Odd(Plain):
    """Takes a render mode that it has no picture for."""

    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__()
        self.render_mode = render_mode

    def render(self) -> Any:
        return "text"


@pytest.fixture(scope="module", autouse=True)
def plain_games() -> Iterator[None]:
    """Two games without a picture, registered for this module."""
    gym.register("Plain-v0", entry_point=Plain)
    gym.register("Odd-v0", entry_point=Odd)
    yield
    del gym.registry["Plain-v0"], gym.registry["Odd-v0"]


@pytest.fixture(scope="module")
def cartpole() -> Policy:
    return fresh(CARTPOLE)


def told(frame: Frame) -> tuple[Any, ...]:
    """All of a frame but its picture, to compare."""
    decision = frame.decisions[0]
    numbers = None if decision.numbers is None else decision.numbers.tolist()
    return (
        np.asarray(frame.observation).tolist(),
        numbers,
        decision.action,
        frame.value,
        frame.reward,
        frame.total,
        frame.terminated,
        frame.truncated,
    )


def test_frames_are_what_sb3s_environments_do(cartpole: Policy) -> None:
    frames = list(rollout(cartpole, CARTPOLE, seed=11))
    venv = make_vec(CARTPOLE, backend="dummy")
    venv.seed(11)
    observation = venv.reset()[0]
    for before, after in pairwise(frames):
        np.testing.assert_array_equal(before.observation, observation)
        observations, rewards, dones, infos = venv.step(np.array([before.action]))
        observation = infos[0]["terminal_observation"] if dones[0] else observations[0]
        assert after.reward == rewards[0]
        assert after.over == dones[0]
        assert after.truncated == infos[0]["TimeLimit.truncated"]
    np.testing.assert_array_equal(frames[-1].observation, observation)
    assert frames[-1].total == infos[0]["episode"]["r"]
    venv.close()


def test_the_numbers_of_a_frame_are_of_its_own_observation(cartpole: Policy) -> None:
    for frame in list(rollout(cartpole, CARTPOLE, seed=2))[:-1]:
        outputs = cartpole.outputs(torch.as_tensor(np.asarray(frame.observation))[None])
        expected = torch.softmax(outputs.head[0], dim=-1)
        assert frame.probabilities == pytest.approx(
            dict(zip(("left", "right"), expected.tolist(), strict=True)), rel=1e-5
        )
        assert outputs.value is not None
        assert frame.value == pytest.approx(float(outputs.value[0]), rel=1e-5)


def test_an_episode_counts_and_sums_and_its_last_frame_decides_nothing(cartpole: Policy) -> None:
    frames = list(rollout(cartpole, CARTPOLE, seed=4))
    assert [frame.step for frame in frames] == list(range(len(frames)))
    rewards = [frame.reward for frame in frames]
    assert rewards[0] is None
    np.testing.assert_allclose([frame.total for frame in frames], np.cumsum([0.0, *rewards[1:]]))
    assert [frame.over for frame in frames] == [False] * (len(frames) - 1) + [True]
    assert (frames[-1].action, frames[-1].probabilities, frames[-1].value) == (None, None, None)
    assert frames[0].action_name in ("left", "right")


def test_every_state_has_its_picture_the_last_one_too(cartpole: Policy) -> None:
    frames = list(rollout(cartpole, CARTPOLE, seed=4))
    images = [frame.image for frame in frames]
    assert all(image is not None and image.dtype == np.uint8 and image.shape[2] == 3 for image in images)
    assert not np.array_equal(images[-1], images[-2])  # not the next episode's, nor the one before
    assert not np.array_equal(images[-1], images[0])


def test_the_same_seed_is_the_same_episode_whatever_was_played_before(cartpole: Policy) -> None:
    both = list(rollout(cartpole, CARTPOLE, seed=7, episodes=2))
    second = [told(frame) for frame in both if frame.episode == 1]
    assert second == [told(frame) for frame in rollout(cartpole, CARTPOLE, seed=8)]
    assert second != [told(frame) for frame in both if frame.episode == 0]


def test_no_global_generator_is_used_or_changed(cartpole: Policy) -> None:
    first = [told(frame) for frame in rollout(cartpole, CARTPOLE, seed=1)]
    torch.manual_seed(99)
    np.random.seed(99)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    assert [told(frame) for frame in rollout(cartpole, CARTPOLE, seed=1)] == first
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_greedy_takes_the_likeliest_and_sampled_does_not_always(cartpole: Policy) -> None:
    def likeliest(frame: Frame) -> bool:
        numbers = frame.decisions[0].numbers
        return numbers is not None and frame.action == int(numbers.argmax())

    greedy = list(rollout(cartpole, CARTPOLE, mode="greedy"))[:-1]
    sampled = list(rollout(cartpole, CARTPOLE, mode="sampled", episodes=3))
    assert all(likeliest(frame) for frame in greedy)
    assert not all(likeliest(frame) for frame in sampled if not frame.over)


def test_steps_are_cut_and_episodes_go_on_for_ever(cartpole: Policy) -> None:
    frames = list(islice(rollout(cartpole, CARTPOLE, episodes=None, max_steps=3), 9))
    assert [frame.step for frame in frames] == [0, 1, 2, 3, 0, 1, 2, 3, 0]
    assert [frame.episode for frame in frames] == [0] * 4 + [1] * 4 + [2]


def test_a_time_limit_truncates(cartpole: Policy) -> None:
    limited = Task(game=CARTPOLE.game, change=Change(time_limit=4))
    last = list(rollout(cartpole, limited))[-1]
    assert (last.step, last.terminated, last.truncated) == (4, False, True)


def test_action_values_and_their_maximum() -> None:
    policy = fresh(CARTPOLE, "dqn")
    frame = next(rollout(policy, CARTPOLE))
    decision = frame.decisions[0]
    assert decision.kind == "q"
    assert decision.numbers is not None
    assert frame.value == pytest.approx(float(decision.numbers.max()))
    assert frame.action == int(decision.numbers.argmax())
    assert frame.probabilities is None


@pytest.mark.parametrize("algorithm", ["sac", "td3", "ppo"])
def test_continuous_means_are_in_the_games_units(algorithm: str) -> None:
    task = Task(game="Pendulum-v1")
    frame = next(
        rollout(
            fresh(task, algorithm, use_sde=False) if algorithm == "ppo" else fresh(task, algorithm), task, mode="greedy"
        )
    )
    decision = frame.decisions[0]
    assert decision.bounds is not None
    assert (decision.bounds[0].tolist(), decision.bounds[1].tolist()) == ([-2.0], [2.0])
    assert isinstance(decision.action, np.ndarray)
    np.testing.assert_allclose(decision.numbers, decision.action, rtol=1e-5)
    assert (decision.spread is not None) == (algorithm == "ppo")
    assert frame.action_name == f"torque {decision.action[0]:.2f}"


def test_heads_that_cannot_be_read_are_watched_all_the_same() -> None:
    task = Task(game="Pendulum-v1")
    decision = next(rollout(fresh(task, "tqc"), task)).decisions[0]
    assert decision.numbers is None
    assert isinstance(decision.action, np.ndarray)
    assert decision.bounds is not None


def test_agents_who_share_a_policy_have_a_decision_each() -> None:
    pytest.importorskip("mpe2")
    task = Task(game="mpe2/simple_spread_v3")
    frames = list(rollout(fresh(task), task, max_steps=30))
    assert all(len(frame.decisions) == 3 for frame in frames)
    assert frames[-1].truncated
    assert not frames[-1].terminated
    assert frames[0].image is not None


@pytest.mark.parametrize("game", ["Plain-v0", "Odd-v0"])
def test_a_game_without_a_picture_has_none(game: str) -> None:
    task = Task(game=game)
    player = Player(fresh(task), task)
    frames = list(player.episode(0))
    assert [frame.image for frame in frames] == [None] * 6
    assert (frames[-1].terminated, frames[-1].total) == (True, -5.0)
    if game == "Plain-v0":
        assert player.interface.features == ("height", "speed")
    player.close()


def test_a_game_that_has_text_is_told_in_text_when_asked() -> None:
    task = Task(game="FrozenLake-v1")
    player = Player(fresh(task), task, text=True)
    first = next(iter(player.episode(0)))
    player.close()
    assert first.image is None
    assert first.text is not None
    assert "FHFH" in first.text
    assert next(rollout(fresh(task), task, max_steps=1)).text is None


def test_a_game_without_text_keeps_its_picture() -> None:
    task = Task(game="CartPole-v1")
    player = Player(fresh(task), task, text=True)
    first = next(iter(player.episode(0)))
    player.close()
    assert first.image is not None
    assert first.text is None


def test_a_game_that_raises_is_named() -> None:
    policy = fresh(Task(game="Plain-v0"))
    with pytest.raises(GameError, match=r"game 'Plain-v0' raised .*out of fuel.* at step 1"):
        list(rollout(policy, Task(game="Plain-v0", arguments={"broken": True})))


def test_a_policy_of_other_spaces_is_refused_in_one_line(cartpole: Policy) -> None:
    with pytest.raises(MappingError, match=r"Acrobot-v1 has observations Box\(6,\).*trained with Box\(4,\)"):
        next(rollout(cartpole, Task(game="Acrobot-v1")))


def test_actions_without_names_are_numbered() -> None:
    assert action_names(Interface(gym.spaces.Discrete(2), gym.spaces.Discrete(2))) == ("action 0", "action 1")
    box = gym.spaces.Box(-1, 1, (2,), np.float32)
    assert action_names(Interface(box, box)) == ("action[0]", "action[1]")


def test_a_continuous_action_is_named_by_its_entries() -> None:
    decision = Decision(("main", "side"), "gaussian", None, action=np.array([0.25, -1.0]))
    assert decision.action_name == "main 0.25, side -1.00"
