"""Agents who die one by one, who are not all there, who differ, and who may not do everything: beside play by hand."""

from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from pettingzoo import ParallelEnv

from envs.batched import stepped
from envs.errors import ConfigError, GameError
from envs.masks import MASK, SEEN
from envs.parallel import ParallelVecEnv

NAMES = ("a", "b", "c")


class Toy(ParallelEnv):
    """Agents with lives of their own. Actions earn; what is seen is random, drawn from the seed.

    Args:
        lives: steps each agent plays; 0: not there at the reset.
        sizes: entries each agent sees, and actions it has: (entries, actions).
        cut: who is truncated rather than terminated at the end.
        masks: "", "seen" (a Dict) or "info".
        breaks: a way to break PettingZoo's contract in step 2.
    """

    metadata: ClassVar[dict[str, Any]] = {"name": "toy", "render_modes": []}
    render_mode: str | None = None

    def __init__(
        self,
        lives: tuple[int, ...] = (1, 2, 3),
        sizes: tuple[tuple[int, int], ...] = ((2, 3),) * 3,
        cut: tuple[str, ...] = (),
        masks: str = "",
        breaks: str = "",
    ) -> None:
        self.possible_agents = list(NAMES[: len(lives)])
        self.lives, self.sizes = dict(zip(NAMES, lives, strict=False)), dict(zip(NAMES, sizes, strict=False))
        self.cut, self.masks, self.breaks = cut, masks, breaks
        self.rng = np.random.default_rng()

    @cache  # noqa: B019
    def observation_space(self, agent: str) -> spaces.Space[Any]:
        entries, actions = self.sizes[agent]
        box = spaces.Box(-10.0, 10.0, (entries,), np.float64)
        return spaces.Dict({SEEN: box, MASK: spaces.Box(0, 1, (actions,), np.int8)}) if self.masks == "seen" else box

    @cache  # noqa: B019
    def action_space(self, agent: str) -> spaces.Space[Any]:
        return spaces.Discrete(self.sizes[agent][1])

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.time = 0
        self.agents = [agent for agent in self.possible_agents if self.lives[agent]]
        return self._see(self.agents), self._infos(self.agents)

    def step(self, actions: dict[str, int]) -> Any:
        assert list(actions) == self.agents
        self.time += 1
        who = list(self.agents)
        over = {agent: self.time >= self.lives[agent] for agent in who}
        self.agents = [agent for agent in who if not over[agent]]
        rewards: dict[str, Any] = {agent: actions[agent] + self.time / 8 for agent in who}
        ended = {agent: over[agent] and agent not in self.cut for agent in who}
        cut = {agent: over[agent] and agent in self.cut for agent in who}
        seen, infos = self._see(who), self._infos(who)
        if self.time == 2 and self.breaks:
            self._break(seen, rewards, ended, infos)
        return seen, rewards, ended, cut, infos

    def _break(self, seen: dict[str, Any], rewards: dict[str, Any], ended: dict[str, Any], infos: Any) -> None:
        match self.breaks:
            case "vanish":
                self.agents.remove("b")
            case "appear":
                self.agents.append("z")
            case "return":
                self.agents.insert(0, "a")
            case "reward":
                del rewards["b"]
            case "termination":
                del ended["b"]
            case "words":
                rewards["b"] = "much"
            case "nan reward":
                rewards["b"] = float("nan")
            case "nan":
                seen["b"][1] = np.nan
            case "shape":
                seen["b"] = np.zeros(3)
            case "scalar":
                seen["b"] = np.array(1.0)
            case "type":
                seen["b"] = np.array(["x", "y"])
            case "raise":
                raise RuntimeError("out of luck")
            case "mask":
                infos["b"][MASK] = np.zeros(3, np.int8)
            case "no mask":
                del infos["b"][MASK]

    def _see(self, who: list[str]) -> dict[str, Any]:
        seen = {agent: self.rng.uniform(-1, 1, self.sizes[agent][0]) for agent in who}
        return {a: {SEEN: seen[a], MASK: self._mask(a)} for a in who} if self.masks == "seen" else seen

    def _infos(self, who: list[str]) -> dict[str, Any]:
        return {agent: {MASK: self._mask(agent)} if self.masks == "info" else {"time": self.time} for agent in who}

    def _mask(self, agent: str) -> np.ndarray:
        n = self.sizes[agent][1]
        return (
            np.zeros(n, np.int8) if self.time >= self.lives[agent] else (np.arange(n) != self.time % n).astype(np.int8)
        )


def by_hand(make: Callable[[], Toy], seed: int, actions: np.ndarray) -> list[dict[str, Any]]:
    """What a VecEnv of one copy should say for actions (steps, n_agents), found by stepping the game itself."""
    game = make()
    names = game.possible_agents
    most = max(entries for entries, _ in game.sizes.values())
    n_actions = max(count for _, count in game.sizes.values())
    masked = bool(game.masks) or len({count for _, count in game.sizes.values()}) > 1

    def row(agent: str, seen: Any, info: Any, over: bool) -> tuple[np.ndarray, np.ndarray]:
        shown, mask = np.zeros(most, np.float32), np.zeros(n_actions, np.int8)
        if seen is None:
            return shown, np.ones(n_actions, np.int8)
        values = seen[SEEN] if game.masks == "seen" else seen
        shown[: len(values)] = values
        legal = seen[MASK] if game.masks == "seen" else info[MASK] if game.masks else np.ones(game.sizes[agent][1])
        mask[: len(legal)] = legal
        return shown, np.ones(n_actions, np.int8) if over and not mask.any() else mask

    seen, infos = game.reset(seed=seed)
    alive, told = list(game.agents), [{"rows": [row(a, seen.get(a), infos.get(a), False) for a in names]}]
    returns, lengths = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0)
    for chosen in actions:
        moves = {a: int(chosen[names.index(a)]) % game.sizes[a][1] for a in alive}
        seen, rewards, ended, cut, infos = game.step(moves)
        over = [a for a in alive if ended[a] or cut[a]]
        rows = [row(a, seen.get(a), infos.get(a), a in over) for a in names]
        for a in alive:
            returns[a], lengths[a] = returns[a] + rewards[a], lengths[a] + 1
        idle = [a for a in names if a not in alive]
        alive = [a for a in alive if a not in over]
        step: dict[str, Any] = {
            "rewards": [rewards.get(a, 0.0) for a in names],
            "dones": [a in over or (not alive and a in idle) for a in names],
            "cut": [bool(a in over and cut[a]) for a in names],
            "idle": [a in idle for a in names],
            "last": {a: rows[names.index(a)] for a in over},
            "records": {a: (returns[a], lengths[a]) for a in over},
        }
        rows = [row(a, seen[a] if a in alive else None, infos.get(a), False) for a in names]
        if not alive:
            seen, infos = game.reset()
            alive, returns, lengths = list(game.agents), dict.fromkeys(names, 0.0), dict.fromkeys(names, 0)
            rows = [row(a, seen.get(a), infos.get(a), False) for a in names]
        told.append({**step, "rows": rows})
    for step in told:
        step["masked"] = masked
    return told


def _parts(observations: Any, masked: bool, slot: int) -> tuple[np.ndarray, np.ndarray | None]:
    return (observations[SEEN][slot], observations[MASK][slot]) if masked else (observations[slot], None)


def _agrees(observations: Any, slot: int, step: dict[str, Any], expected: tuple[np.ndarray, np.ndarray]) -> None:
    shown, mask = _parts(observations, step["masked"], slot)
    np.testing.assert_array_equal(shown, expected[0])
    assert shown.dtype == np.float32
    if mask is not None:
        np.testing.assert_array_equal(mask, expected[1])


lives = st.tuples(*[st.integers(0, 4)] * 3).filter(any)
sizes = st.tuples(*[st.tuples(st.integers(1, 3), st.integers(2, 4))] * 3)


@settings(max_examples=25, deadline=None)
@given(lives, sizes, st.sets(st.sampled_from(NAMES)), st.sampled_from(["", "seen", "info"]), st.integers(0, 9))
def test_it_plays_as_stepping_by_hand(
    lives: tuple[int, ...], sizes: tuple[tuple[int, int], ...], cut: set[str], masks: str, seed: int
) -> None:
    def make() -> Toy:
        return Toy(lives, sizes, tuple(cut), masks)

    venv = ParallelVecEnv(make, 2)
    venv.seed(seed)
    actions = np.random.default_rng(seed).integers(0, int(venv.action_space.n), (11, 6))  # type: ignore[attr-defined]
    told = [by_hand(make, seed + copy, actions[:, 3 * copy : 3 * copy + 3]) for copy in range(2)]
    observations = venv.reset()
    for copy, mine in enumerate(told):
        for agent in range(3):
            _agrees(observations, 3 * copy + agent, mine[0], mine[0]["rows"][agent])
    for number, chosen in enumerate(actions, start=1):
        observations, rewards, dones, infos = venv.step(chosen)
        for copy, mine in enumerate(told):
            step = mine[number]
            for agent, name in enumerate(NAMES):
                slot, info = 3 * copy + agent, infos[3 * copy + agent]
                assert rewards[slot] == np.float32(step["rewards"][agent])
                assert dones[slot] == step["dones"][agent]
                assert info["TimeLimit.truncated"] == step["cut"][agent]
                assert info.get("idle", False) == step["idle"][agent]
                _agrees(observations, slot, step, step["rows"][agent])
                assert ("episode" in info) == (name in step["records"])
                assert ("terminal_observation" in info) == dones[slot]
                if name in step["records"]:
                    assert (info["episode"]["r"], info["episode"]["l"]) == step["records"][name]
                    last = (
                        {key: np.array([part]) for key, part in info["terminal_observation"].items()}
                        if step["masked"]
                        else info["terminal_observation"][None]
                    )
                    _agrees(last, 0, step, step["last"][name])


def test_a_death_ends_its_slot_at_once_and_the_slot_idles() -> None:
    venv = ParallelVecEnv(lambda: Toy((1, 3), cut=("b",)))
    venv.reset()
    _, _, dones, infos = venv.step(np.array([2, 0]))
    assert dones.tolist() == [True, False]
    assert infos[0]["episode"]["r"] == 2.125
    assert not infos[0]["TimeLimit.truncated"]
    observations, rewards, dones, infos = venv.step(np.array([2, 1]))
    assert isinstance(observations, np.ndarray)
    assert observations[0].tolist() == [0.0, 0.0]
    assert rewards.tolist() == [0.0, 1.25]
    assert not dones.any()
    assert [info.get("idle", False) for info in infos] == [True, False]
    _, _, dones, infos = venv.step(np.array([2, 1]))
    assert dones.tolist() == [True, True]  # the idling ends with the copy's episode
    assert ["episode" in info for info in infos] == [False, True]
    assert [info["TimeLimit.truncated"] for info in infos] == [False, True]
    assert not venv.idle.any()


def test_a_time_limit_truncates_who_is_left() -> None:
    """A terminated agent stays terminated, and the copy begins its next episode in the same step."""
    venv = ParallelVecEnv(lambda: Toy((1, 2, 9)), 2, time_limit=2)
    for _ in range(2):
        venv.reset()
        _, _, dones, _ = venv.step(np.zeros(6, dtype=int))
        assert dones.tolist() == [True, False, False] * 2
        step = stepped(venv, np.zeros(6, dtype=int))
        assert step.dones.all()
        assert step.ended.tolist() == [1, 2, 4, 5]
        assert step.cut.tolist() == [False, True] * 2
        assert [record["l"] for record in step.records] == [2] * 4
        assert not venv.idle.any()


def test_slots_that_idled_are_not_among_those_that_ended() -> None:
    venv = ParallelVecEnv(lambda: Toy((1, 2)), 2)
    venv.reset()
    first, second = (stepped(venv, np.zeros(4, dtype=int)) for _ in range(2))
    assert first.ended.tolist() == [0, 2]
    assert second.ended.tolist() == [1, 3]
    assert second.dones.all()
    assert [record["l"] for record in second.records] == [2, 2]
    assert second.final_observations.shape == (2, 2)


def test_an_indicator_says_who_sees() -> None:
    venv = ParallelVecEnv(lambda: Toy((2, 1), ((2, 3), (1, 3))), agent_indicator=True)
    observations = venv.reset()
    assert isinstance(observations, np.ndarray)
    assert observations[:, 2:].tolist() == [[1.0, 0.0], [0.0, 1.0]]
    assert observations[1, 1] == 0.0
    observations, *_ = venv.step(np.zeros(2, dtype=int))
    observations, *_ = venv.step(np.zeros(2, dtype=int))[0:1]
    assert observations[:, 2:].tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_pictures_stay_bytes_and_take_planes_for_indicators() -> None:
    class Screen(Toy):
        @cache  # noqa: B019
        def observation_space(self, agent: str) -> spaces.Space[Any]:
            return spaces.Box(0, 255, (4, 4, 1), np.uint8)

        def _see(self, who: list[str]) -> dict[str, Any]:
            return {agent: np.full((4, 4, 1), 7, np.uint8) for agent in who}

    observations = ParallelVecEnv(lambda: Screen((2, 1)), agent_indicator=True).reset()
    assert isinstance(observations, np.ndarray)
    assert observations.dtype == np.uint8
    assert observations[1, 2, 2].tolist() == [7, 0, 255]
    assert ParallelVecEnv(lambda: Screen((2, 1))).observation_space == spaces.Box(0, 255, (4, 4, 1), np.uint8)


def test_continuous_actions_of_other_lengths_are_cut_to_what_an_agent_has() -> None:
    class Pushed(Toy):
        @cache  # noqa: B019
        def action_space(self, agent: str) -> spaces.Space[Any]:
            return spaces.Box(-1, 1, (2,), np.float32) if agent == "a" else spaces.Box(0, 2, (1,), np.float32)

        def step(self, actions: dict[str, Any]) -> Any:
            self.given = actions
            return super().step(dict.fromkeys(actions, 0))

    venv = ParallelVecEnv(lambda: Pushed((2, 2)))
    assert venv.action_space == spaces.Box(
        np.array([-1, -1], np.float32), np.array([2, 1], np.float32), dtype=np.float32
    )
    venv.reset()
    venv.step(np.array([[2.0, 0.5], [-1.0, 0.5]]))
    given: Any = venv.get_attr("given")[0]
    assert given["a"].tolist() == [1.0, 0.5]
    assert given["b"].tolist() == [0.0]


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        ("vanish", r"let 'b' vanish from its agents without termination or truncation"),
        ("appear", r"has the new agents 'z'; expected agents of possible_agents"),
        ("return", r"let 'a' appear while others play"),
        ("reward", r"gave no reward for 'b'"),
        ("termination", r"gave no termination for 'b'"),
        ("words", r"gave 'b' the reward much; expected a number"),
        ("nan reward", r"gave 'b' the reward nan"),
        ("nan", r"showed 'b' NaN or infinity"),
        ("shape", r"showed 'b' an observation of the shape \(3,\); its space says \(2,\)"),
        ("scalar", r"showed 'b' an observation of the shape \(\); its space says \(2,\)"),
        ("type", r"showed 'b' an observation of the type <U1; its space says float64"),
        ("raise", r"raised RuntimeError\('out of luck'\) at step 2 of an episode \(actions b: 0, c: 0\)"),
    ],
)
def test_a_broken_contract_is_one_line_with_the_game_the_agent_and_the_step(breaks: str, words: str) -> None:
    venv = ParallelVecEnv(lambda: Toy((1, 3, 4), breaks=breaks), name="toy:game")
    venv.reset()
    venv.step(np.zeros(3, dtype=int))
    with pytest.raises(GameError, match=rf"^game 'toy:game' {words}") as error:
        venv.step(np.zeros(3, dtype=int))
    assert "\n" not in str(error.value)
    assert "at step 2 of an episode" in str(error.value)


@pytest.mark.parametrize(
    ("place", "given", "words"),
    [
        (0, None, r"gave None as its observations; expected a dictionary by agent"),
        (1, 1.0, r"gave 1\.0 as its rewards; expected a dictionary by agent"),
        (2, {"a": np.array([False, True])}, r"gave 'a' the termination \[False, True\]; expected true or false"),
        (4, None, r"gave None as its infos; expected a dictionary by agent"),
        (4, {"a": "tired"}, r"gave 'a' the info tired; expected a dictionary"),
    ],
)
def test_a_step_of_another_kind_is_one_line_with_what_is_wrong(place: int, given: Any, words: str) -> None:
    class Other(Toy):
        def step(self, actions: dict[str, int]) -> Any:
            results = list(super().step(actions))
            results[place] = given
            return tuple(results)

    venv = ParallelVecEnv(lambda: Other((3,)), name="toy:game")
    venv.reset()
    with pytest.raises(GameError, match=rf"^game 'toy:game' {words} \(at step 1 of an episode\)$"):
        venv.step(np.zeros(1, dtype=int))


@pytest.mark.parametrize(
    ("infos", "words"),
    [
        (None, r"gave None as its infos; expected a dictionary by agent"),
        ({"a": "tired"}, r"gave 'a' the info tired; expected a dictionary"),
    ],
)
def test_a_reset_of_another_kind_is_one_line_with_what_is_wrong(infos: Any, words: str) -> None:
    class Other(Toy):
        def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            return super().reset(seed, options)[0], infos

    with pytest.raises(GameError, match=rf"^game 'toy:game' {words} \(at the reset of an episode\)$"):
        ParallelVecEnv(lambda: Other((3,)), name="toy:game").reset()


def test_a_game_that_does_not_say_who_plays_is_one_line() -> None:
    class Silent(Toy):
        def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            found = super().reset(seed, options)
            del self.agents
            return found

    with pytest.raises(GameError, match=r"raised AttributeError\(.*no attribute 'agents'.*at the reset of an episode"):
        ParallelVecEnv(lambda: Silent((3,)), name="toy:game").reset()


def test_an_agent_who_is_named_twice_is_refused() -> None:
    game = Toy((3, 3))
    game.possible_agents = ["a", "b", "a"]
    with pytest.raises(ConfigError, match=r"possible_agents names 'a' more than once; expected each agent once"):
        ParallelVecEnv(lambda: game)


@pytest.mark.parametrize(
    ("breaks", "words"),
    [
        ("mask", r"left 'b' no legal action: its 'action_mask' is all 0"),
        ("no mask", r"gave 'b' no infos\['action_mask'\]"),
    ],
)
def test_broken_masks_are_one_line(breaks: str, words: str) -> None:
    venv = ParallelVecEnv(lambda: Toy((1, 3, 4), masks="info", breaks=breaks))
    venv.reset()
    venv.step(np.zeros(3, dtype=int))
    with pytest.raises(GameError, match=words):
        venv.step(np.zeros(3, dtype=int))


def test_a_game_without_agents_is_one_line() -> None:
    with pytest.raises(GameError, match="began an episode without agents"):
        ParallelVecEnv(lambda: Toy((0, 0))).reset()
    with pytest.raises(ConfigError, match="the game has no possible_agents"):
        ParallelVecEnv(lambda: Toy(()))


def test_an_indicator_needs_vectors_or_pictures() -> None:
    class Symbol(Toy):
        @cache  # noqa: B019
        def observation_space(self, agent: str) -> spaces.Space[Any]:
            return spaces.Discrete(3)

    with pytest.raises(ConfigError, match=r"agent_indicator: the agents see Discrete\(3\)"):
        ParallelVecEnv(lambda: Symbol((1, 2)), agent_indicator=True)
