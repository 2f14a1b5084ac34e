"""PettingZoo games as a VecEnv of agents who share a policy."""

from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pytest
from gymnasium import spaces
from mpe2 import simple_spread_v3
from pettingzoo import ParallelEnv
from stable_baselines3 import PPO

from envs.errors import ConfigError, GameError
from envs.parallel import ParallelVecEnv
from envs.particles import names_of_simple_spread, simple_spread


def spread(**arguments: Any) -> Callable[[], Any]:
    return lambda: simple_spread_v3.parallel_env(**arguments)


class Countdown(ParallelEnv):
    """Two agents; both end after `length` steps, by termination or by truncation. Rewards are 1 and 2 a step."""

    metadata: ClassVar[dict[str, Any]] = {"name": "countdown", "render_modes": ["rgb_array"]}
    render_mode: str | None = "rgb_array"

    def __init__(
        self, length: int = 3, truncate: bool = False, leaves: str | None = None, forgets: bool = False
    ) -> None:
        self.possible_agents = ["a", "b"]
        self.length, self.truncate, self.leaves, self.forgets = length, truncate, leaves, forgets

    @cache  # noqa: B019
    def observation_space(self, agent: str) -> spaces.Space[Any]:
        return spaces.Box(0.0, 100.0, (2,), np.float64)

    @cache  # noqa: B019
    def action_space(self, agent: str) -> spaces.Space[Any]:
        return spaces.Discrete(2)

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.agents, self.left, self.seeded, self.options = ["a", "b"], self.length, seed, options
        return self._see(), {agent: {"fresh": True} for agent in self.agents}

    def step(self, actions: dict[str, int]) -> Any:
        self.left -= 1
        over = self.left == 0
        ends = {agent: over or agent == self.leaves for agent in self.agents}
        never = dict.fromkeys(self.agents, False)
        seen = self._see()
        if self.forgets:
            del seen["b"]
        terminations, truncations = (never, ends) if self.truncate else (ends, never)
        return seen, {"a": 1.0, "b": 2.0}, terminations, truncations, {agent: {} for agent in self.agents}

    def _see(self) -> dict[str, np.ndarray]:
        return {"a": np.array([self.left, 1.0]), "b": np.array([self.left, 2.0])}

    def render(self) -> np.ndarray:
        return np.full((4, 6, 3), self.left, dtype=np.uint8)


def lengths(*each: int) -> Callable[[], Countdown]:
    """Makes copies of these lengths, in turn."""
    games = iter(each)
    return lambda: Countdown(next(games))


def test_plays_as_stepping_each_copy_by_hand() -> None:
    venv = ParallelVecEnv(spread(N=3, max_cycles=5), 2)
    venv.seed(40)
    peers = [spread(N=3, max_cycles=5)() for _ in range(2)]
    expected = [peer.reset(seed=40 + k)[0] for k, peer in enumerate(peers)]
    observations = venv.reset()
    assert observations.dtype == np.float32
    rng = np.random.default_rng(0)
    for _ in range(12):  # more than two episodes
        np.testing.assert_array_equal(observations, np.concatenate([list(seen.values()) for seen in expected]))
        actions = rng.integers(5, size=6)
        observations, rewards, dones, infos = venv.step(actions)
        for k, peer in enumerate(peers):
            agents = peer.possible_agents
            mine = actions[3 * k : 3 * k + 3].tolist()
            seen, gains, _, truncations, _ = peer.step(dict(zip(agents, mine, strict=True)))
            for slot, agent in enumerate(agents, start=3 * k):
                assert rewards[slot] == np.float32(gains[agent])
                assert dones[slot] == truncations[agent] == infos[slot]["TimeLimit.truncated"]
                if dones[slot]:
                    np.testing.assert_array_equal(infos[slot]["terminal_observation"], seen[agent])
            expected[k] = peer.reset()[0] if not peer.agents else seen


@pytest.mark.parametrize("truncate", [False, True])
def test_truncation_stays_apart_from_termination(truncate: bool) -> None:
    venv = ParallelVecEnv(lambda: Countdown(2, truncate))
    venv.reset()
    venv.step(np.zeros(2, dtype=int))
    observations, _, dones, infos = venv.step(np.zeros(2, dtype=int))
    assert dones.tolist() == [True, True]
    assert [info["TimeLimit.truncated"] for info in infos] == [truncate, truncate]
    assert [info["terminal_observation"].tolist() for info in infos] == [[0.0, 1.0], [0.0, 2.0]]
    assert observations.tolist() == [[2.0, 1.0], [2.0, 2.0]]  # the next episode's first


def test_each_agent_has_its_own_episode_record() -> None:
    venv = ParallelVecEnv(lengths(3, 2), 2)
    venv.reset()
    records: dict[int, list[tuple[float, int]]] = {slot: [] for slot in range(4)}
    for _ in range(6):
        *_, infos = venv.step(np.zeros(4, dtype=int))
        for slot, info in enumerate(infos):
            if "episode" in info:
                records[slot].append((info["episode"]["r"], info["episode"]["l"]))
                assert info["episode"]["t"] >= 0
    assert records == {0: [(3, 3)] * 2, 1: [(6, 3)] * 2, 2: [(2, 2)] * 3, 3: [(4, 2)] * 3}


def test_seeds_and_options_go_to_copies_once() -> None:
    venv = ParallelVecEnv(Countdown, 2)
    assert venv.seed(7) == [7, 7, 8, 8]
    venv.set_options({"level": 2})
    venv.reset()
    assert [copy.seeded for copy in venv.copies] == [7, 8]
    assert [copy.options for copy in venv.copies] == [{"level": 2}] * 2
    venv.reset()
    assert [copy.seeded for copy in venv.copies] == [None, None]
    assert [copy.options for copy in venv.copies] == [None, None]
    assert venv.reset_infos == [{"fresh": True}] * 4


def test_same_seed_same_play() -> None:
    def play(seed: int) -> list[list[float]]:
        venv = ParallelVecEnv(spread(N=2), 2)
        venv.seed(seed)
        return [venv.reset().tolist(), venv.step(np.array([1, 2, 3, 4]))[0].tolist()]

    assert play(3) == play(3)
    assert play(3) != play(4)


def test_results_handed_out_are_never_changed_later() -> None:
    venv = ParallelVecEnv(lambda: Countdown(2))
    first = venv.reset()
    kept = first.copy()
    second, *_ = venv.step(np.zeros(2, dtype=int))
    held = second.copy()
    venv.step(np.zeros(2, dtype=int))
    np.testing.assert_array_equal(first, kept)
    np.testing.assert_array_equal(second, held)


def test_attributes_and_methods_answer_for_each_slot() -> None:
    venv = ParallelVecEnv(lengths(3, 5), 2)
    assert venv.get_attr("length") == [3, 3, 5, 5]
    assert venv.get_attr("length", [1, 2]) == [3, 5]
    venv.set_attr("length", 9, [2])
    assert venv.get_attr("length") == [3, 3, 9, 9]
    assert venv.env_method("action_space", "a", indices=[0, 3]) == [spaces.Discrete(2)] * 2
    assert venv.env_is_wrapped(object) == [False] * 4  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        venv.get_attr("nothing_of_the_kind")


def test_an_attribute_is_set_below_the_wrappers() -> None:
    venv = ParallelVecEnv(spread(N=2))
    venv.set_attr("max_cycles", 4)
    venv.reset()
    dones = [venv.step(np.zeros(2, dtype=int))[2].all() for _ in range(4)]
    assert dones == [False, False, False, True]


def test_pictures_one_a_slot_and_one_tile_a_copy() -> None:
    venv = ParallelVecEnv(lengths(3, 5), 2)
    venv.reset()
    assert [picture.max() for picture in venv.get_images() if picture is not None] == [3, 3, 5, 5]
    picture = venv.render()
    assert picture is not None
    assert picture.shape == (8, 6, 3)  # two copies, not four slots


def test_what_the_game_says_of_itself_is_handed_on() -> None:
    assert ParallelVecEnv(lambda: simple_spread(N=1)).metadata["headstart"]["actions"][1] == "left"
    assert ParallelVecEnv(Countdown).metadata["render_modes"] == ["human", "rgb_array"]  # SB3's: it opens the window


def test_a_real_game_shows_itself() -> None:
    venv = ParallelVecEnv(spread(N=2, render_mode="rgb_array"))
    venv.reset()
    picture = venv.render()
    assert picture is not None
    assert picture.std() > 0
    venv.close()


def test_agents_with_other_kinds_of_spaces_are_named() -> None:
    class Odd(Countdown):
        @cache  # noqa: B019
        def action_space(self, agent: str) -> spaces.Space[Any]:
            return spaces.Discrete(2) if agent == "a" else spaces.MultiBinary(2)

    with pytest.raises(ConfigError, match=r"the actions of 'b' \(MultiBinary\(2\)\) differ from those of 'a'"):
        ParallelVecEnv(Odd)


def test_a_forgotten_agent_is_one_line() -> None:
    venv = ParallelVecEnv(lambda: Countdown(3, forgets=True))
    venv.reset()
    with pytest.raises(GameError, match="no observation for 'b'"):
        venv.step(np.zeros(2, dtype=int))


def test_something_else_than_a_pettingzoo_game_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"expected a PettingZoo ParallelEnv.*found str"):
        ParallelVecEnv(lambda: "game")


def test_a_parallelisable_aec_game_is_taken() -> None:
    venv = ParallelVecEnv(lambda: simple_spread_v3.env(N=2))
    assert venv.reset().shape == (2, 12)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_names_of_simple_spread_fit_what_is_seen(n: int) -> None:
    game = simple_spread(N=n)
    names = game.metadata["headstart"]
    assert len(set(names["features"])) == len(names["features"])
    assert game.observation_space("agent_0").shape == (len(names["features"]),)
    assert game.action_space("agent_0").n == len(names["actions"])


def test_names_of_simple_spread_stand_at_the_right_entries() -> None:
    game = simple_spread(N=2)
    world = game.unwrapped.world
    game.reset(seed=1)
    observations, *_ = game.step({"agent_0": 2, "agent_1": 4})
    seen = dict(zip(names_of_simple_spread(2), observations["agent_0"], strict=True))
    me, other = world.agents
    assert seen["self_velocity_x"] == np.float32(me.state.p_vel[0]) > 0  # action 2 is right
    assert observations["agent_1"][1] > 0  # action 4 is up
    assert seen["self_position_y"] == np.float32(me.state.p_pos[1])
    assert seen["landmark_1_offset_x"] == np.float32((world.landmarks[1].state.p_pos - me.state.p_pos)[0])
    assert seen["other_1_offset_y"] == np.float32((other.state.p_pos - me.state.p_pos)[1])


def test_a_learner_learns_from_it() -> None:
    venv = ParallelVecEnv(spread(N=2, max_cycles=4), 2)
    learner = PPO("MlpPolicy", venv, n_steps=8, batch_size=16, n_epochs=1, seed=0, device="cpu")
    learner.learn(64)
    assert learner.num_timesteps == 64
