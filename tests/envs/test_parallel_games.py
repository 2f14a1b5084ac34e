"""PettingZoo's and MPE2's own games: the adapter beside PettingZoo's parallel API, and what their agents see."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from envs.butterfly import cooperative_pong, knights_archers_zombies, pistonball
from envs.catalogue import find_game
from envs.errors import ConfigError
from envs.parallel import ParallelVecEnv
from envs.parallel.pictures import SmallGrey, small_grey
from envs.particles import simple_reference, simple_spread, simple_tag
from envs.sisl import multiwalker, pursuit
from envs.task import Task
from envs.vector import interface, make_vec

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

SHORT: dict[str, Callable[[], Any]] = {
    "spread": lambda: simple_spread(N=2, max_cycles=4),
    "tag": lambda: simple_tag(prey="learns", max_cycles=4),
    "reference": lambda: simple_reference(max_cycles=4),
    "deaths": lambda: knights_archers_zombies(line_death=True, max_cycles=40),
    "walkers": lambda: multiwalker(terminate_on_fall=False, max_cycles=60),
    "pursuit": lambda: pursuit(n_pursuers=2, n_evaders=3, x_size=8, y_size=8, max_cycles=6),
}


@pytest.mark.parametrize("name", SHORT)
def test_a_real_game_plays_as_pettingzoo_steps_it(name: str) -> None:
    venv, peer = ParallelVecEnv(SHORT[name], 1), SHORT[name]()
    names, steps = venv.agents, 70 if name in ("deaths", "walkers") else 10
    venv.seed(3)
    venv.action_space.seed(3)
    observations, expected = venv.reset(), peer.reset(seed=3)[0]
    alive, died = list(peer.agents), 0
    for step in range(steps):
        for slot, agent in enumerate(names):
            assert isinstance(observations, np.ndarray)
            if agent in alive:
                wanted = np.asarray(expected[agent], np.float32)
                np.testing.assert_array_equal(observations[slot][tuple(map(slice, wanted.shape))], wanted)
            else:
                assert not observations[slot].any()
        actions = np.stack([venv.action_space.sample() for _ in names])
        if name == "deaths":
            actions[:] = [1, 1, 4, 5][step % 4] if step > 20 else 1  # backwards over the edge
        moves = {agent: actions[slot] for slot, agent in enumerate(names) if agent in alive}
        seen, gains, ended, cut, _ = peer.step(moves)
        observations, rewards, dones, infos = venv.step(actions)
        over = [agent for agent in alive if ended[agent] or cut[agent]]
        for slot, agent in enumerate(names):
            assert rewards[slot] == np.float32(gains[agent] if agent in alive else 0.0)
            if agent in over:
                assert dones[slot]
                assert infos[slot]["TimeLimit.truncated"] == (cut[agent] and not ended[agent])
                last = np.asarray(seen[agent], np.float32)
                shown: Any = infos[slot]["terminal_observation"]
                np.testing.assert_array_equal(shown[tuple(map(slice, last.shape))], last)
        alive, expected = [agent for agent in alive if agent not in over], seen
        died += bool(over) and bool(alive)
        if not alive:
            expected = peer.reset()[0]
            alive = list(peer.agents)
    if name == "deaths":
        assert died


@pytest.mark.parametrize("make", [cooperative_pong, lambda: pistonball(n_pistons=3)])
def test_screens_are_small_grey_and_stacked(make: Callable[[], Any]) -> None:
    game = make()
    assert isinstance(game, SmallGrey)
    raw = game.env
    game.reset(seed=1)
    agent = game.possible_agents[0]
    first = small_grey(raw.aec_env.observe(agent))
    actions = {each: game.action_space(each).sample() for each in game.agents}
    seen = game.step(actions)[0][agent]
    assert (seen.shape, seen.dtype) == ((84, 84, 4), np.uint8)
    for age in range(3):
        np.testing.assert_array_equal(seen[..., age], first)
    np.testing.assert_array_equal(seen[..., 3], small_grey(raw.aec_env.observe(agent)))
    assert seen.std() > 0


@pytest.mark.parametrize(
    ("make", "agent"),
    [
        (simple_reference, "agent_0"),
        (lambda: simple_tag(num_adversaries=2, num_good=2, num_obstacles=1), "adversary_0"),
        (simple_tag, "adversary_0"),
        (knights_archers_zombies, "archer_0"),
        (pursuit, "pursuer_0"),
        (multiwalker, "walker_0"),
        (lambda: pistonball(continuous=False, n_pistons=2), "piston_0"),
    ],
)
def test_names_fit_what_is_seen_and_done(make: Callable[[], Any], agent: str) -> None:
    game = make()
    said = game.metadata["headstart"]
    assert len(set(said["features"])) == len(said["features"]) == game.observation_space(agent).shape[-1]
    space = game.action_space(agent)
    assert len(said["actions"]) == (space.n if hasattr(space, "n") else space.shape[0])


def test_predators_of_simple_tag_see_what_their_names_say() -> None:
    game = simple_tag()
    assert game.possible_agents == ["adversary_0", "adversary_1", "adversary_2"]
    seen = game.reset(seed=1)[0]["adversary_0"]
    named = dict(zip(game.metadata["headstart"]["features"], seen, strict=True))
    me, *_, prey = game.unwrapped.world.agents
    assert named["self_position_x"] == np.float32(me.state.p_pos[0])
    assert named["prey_0_offset_y"] == np.float32((prey.state.p_pos - me.state.p_pos)[1])
    assert named["obstacle_1_offset_x"] == np.float32(
        (game.unwrapped.world.landmarks[1].state.p_pos - me.state.p_pos)[0]
    )


def test_a_fleeing_prey_is_caught_less_than_one_that_stays() -> None:
    def caught(prey: str) -> float:
        venv = make_vec(Task(game="mpe2/simple_tag_v3", arguments={"prey": prey}), n_envs=4, seed=0)
        seen, earned = venv.reset(), 0.0
        for _ in range(50):
            assert isinstance(seen, np.ndarray)
            offset = seen[:, 12:14]  # towards the prey, along the longer way
            along = np.abs(offset[:, 0]) > np.abs(offset[:, 1])
            actions = np.where(along, 1 + (offset[:, 0] > 0), 3 + (offset[:, 1] > 0))
            seen, rewards, _, _ = venv.step(actions)
            earned += float(rewards.sum())
        return earned

    assert caught("flees") < caught("stays") / 2


def test_same_seed_same_prey() -> None:
    def play() -> list[Any]:
        venv = make_vec(Task(game="mpe2/simple_tag_v3", arguments={"prey": "random"}), seed=4)
        venv.reset()
        return [venv.step(np.zeros(3, int))[0].tolist() for _ in range(30)]  # type: ignore[union-attr]

    assert play() == play()


def test_a_seed_decides_an_episode_whatever_was_played_before() -> None:
    game = knights_archers_zombies(spawn_delay=10)

    def play() -> list[Any]:
        game.reset(seed=1)
        return [game.step(dict.fromkeys(game.agents, 5))[0]["archer_0"].tolist() for _ in range(25)]

    first = play()
    game.reset(seed=2)
    game.step(dict.fromkeys(game.agents, 5))
    assert play() == first


def test_another_prey_is_one_line() -> None:
    with pytest.raises(
        ConfigError, match="prey of simple_tag is 'bunny', expected one of flees, random, stays, learns"
    ):
        make_vec(Task(game="mpe2/simple_tag_v3", arguments={"prey": "bunny"}))


def test_an_indicator_is_asked_for_as_an_argument_and_named() -> None:
    venv = make_vec(Task(game="mpe2/simple_spread_v3", arguments={"N": 2, "agent_indicator": True}))
    assert venv.observation_space.shape == (14,)
    features = interface(venv).features
    assert features is not None
    assert features[-2:] == ("is_agent_0", "is_agent_1")
    with pytest.raises(ConfigError, match="agent_indicator is 'yes', expected true or false"):
        make_vec(Task(game="mpe2/simple_spread_v3", arguments={"agent_indicator": "yes"}))


def test_games_by_module_and_function_are_what_they_make() -> None:
    kinds = {
        "pettingzoo.sisl.pursuit_v5:parallel_env": (True, False),
        "mpe2.simple_adversary_v3:env": (True, False),
        "pettingzoo.classic.tictactoe_v3:env": (False, True),
    }
    for name, kind in kinds.items():
        game = find_game(name)
        assert (game.multiagent, game.turns) == kind
    assert make_vec("mpe2.simple_adversary_v3:env").observation_space.shape == (10,)
