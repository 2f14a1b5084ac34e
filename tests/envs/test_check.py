"""`check_game` on healthy games, and on many that are broken in one way each."""

import os
import random
import re
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.envs.registration import registry
from gymnasium.vector import SyncVectorEnv
from pettingzoo import ParallelEnv

from envs.check import Fault, Report, check_game, check_made
from envs.check.peers import verdict
from envs.check.play import play
from envs.check.players import Player
from envs.check.spaces import misfit
from envs.errors import UnknownName

HEALTHY = (
    "CartPole-v1",
    "headstart/CartPole-v1",
    "MiniGrid-Empty-5x5-v0",
    "MinAtar/Breakout-v1",
    "mpe2/simple_spread_v3",
)


class Walk(gymnasium.Env):
    """A healthy game: a walk on a line, from a random place in the middle to either end."""

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": ["rgb_array"],
        "render_fps": 10,
        "headstart": {"features": ["place", "time"], "actions": ["left", "stay", "right"]},
    }

    def __init__(self, render_mode: str | None = None) -> None:
        self.observation_space: Any = spaces.Box(-10.0, 50.0, (2,), np.float32)
        self.action_space: Any = spaces.Discrete(3)
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.place, self.time = float(self.np_random.uniform(-1, 1)), 0
        return self.seen(), {}

    def step(self, action: int) -> Any:
        self.place += action - 1 + float(self.np_random.normal(0, 0.1))
        self.time += 1
        over = bool(abs(self.place) > 4)
        return self.seen(), float(over), over, self.time >= 40, {}

    def seen(self) -> np.ndarray:
        return np.array([self.place, self.time], np.float32)

    def render(self) -> Any:
        return np.zeros((8, 8, 3), np.uint8)


class WrongShape(Walk):
    def seen(self) -> np.ndarray:
        return np.zeros(3, np.float32)


class WrongDtype(Walk):
    def seen(self) -> np.ndarray:
        return super().seen().astype(np.float64)


class OutOfBounds(Walk):
    def seen(self) -> np.ndarray:
        return super().seen() + np.float32(100) * (self.time == 5) * np.array([0, 1], np.float32)


class NanObservation(Walk):
    def seen(self) -> np.ndarray:
        return np.array([self.place, np.nan if self.time == 3 else self.time], np.float32)


class ListObservation(Walk):
    def seen(self) -> Any:
        return [self.place, float(self.time)]


class NanReward(Walk):
    def step(self, action: int) -> Any:
        observation, _, terminated, truncated, info = super().step(action)
        return observation, float("nan"), terminated, truncated, info


class ArrayReward(Walk):
    def step(self, action: int) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, np.float32(reward), terminated, truncated, info


class OldStep(Walk):
    def step(self, action: int) -> Any:
        observation, reward, terminated, _, info = super().step(action)
        return observation, reward, terminated, info


class OldReset(Walk):
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return super().reset(seed=seed)[0]


class NoSeed(Walk):
    def reset(self, *, options: dict[str, Any] | None = None) -> Any:  # type: ignore[override]
        return super().reset()


class NoOptions(Walk):
    def reset(self, *, seed: int | None = None) -> Any:  # type: ignore[override]
        return super().reset(seed=seed)


class NumberInfo(Walk):
    def step(self, action: int) -> Any:
        return (*super().step(action)[:4], None)


class NumpyFlags(Walk):
    def step(self, action: int) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        return observation, reward, np.bool_(terminated), int(truncated), info


class Unseeded(Walk):
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return super().reset(seed=None)


class GlobalRandom(Walk):
    """Deterministic, for it seeds the global generator: every other game's random numbers change with it."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if seed is not None:
            random.seed(seed)
        return super().reset(seed=seed)

    def seen(self) -> np.ndarray:
        return super().seen() + np.float32(random.random())


class LeakingState(Walk):
    """What was done last leaks into the next episode."""

    last = 0

    def step(self, action: int) -> Any:
        result = super().step(self.last)
        self.last = action
        return result


class Reused(Walk):
    """Returns the same array each time."""

    def seen(self) -> np.ndarray:
        self.array = getattr(self, "array", np.zeros(2, np.float32))
        self.array[:] = self.place, self.time
        return self.array


class RaisesMidway(Walk):
    def step(self, action: int) -> Any:
        if self.time == 7:
            raise ZeroDivisionError("the ball has no mass")
        return super().step(action)


class RejectsAnAction(Walk):
    def step(self, action: int) -> Any:
        return super().step({0: 0, 1: 1}[int(action)])


class NoActionSpace(Walk):
    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        del self.action_space


class TupleSpace(Walk):
    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.observation_space = spaces.Tuple([spaces.Discrete(2), spaces.Discrete(2)])


class ListSpace(Walk):
    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.action_space = ["left", "right"]


class EndlessActions(Walk):
    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.action_space = spaces.Box(-np.inf, np.inf, (3,), np.float32)


class OneName(Walk):
    metadata: dict[str, Any] = {**Walk.metadata, "headstart": {"features": ["place"], "actions": ["left", "stay"]}}  # noqa: RUF012


class SameNames(Walk):
    metadata: dict[str, Any] = {**Walk.metadata, "headstart": {"actions": ["left", "go", "go"]}}  # noqa: RUF012


class MisspeltKey(Walk):
    metadata: dict[str, Any] = {**Walk.metadata, "headstart": {"feature": ["place", "time"]}}  # noqa: RUF012


class NamesInAList(Walk):
    metadata: dict[str, Any] = {**Walk.metadata, "headstart": ["place", "time"]}  # noqa: RUF012


class GreyPicture(Walk):
    def render(self) -> Any:
        return np.zeros((8, 8))


class NoRenderMode(Walk):
    def __init__(self) -> None:
        super().__init__()


class NoReset(Walk):
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        raise FileNotFoundError("level.txt")


class CannotBeMade(Walk):
    def __init__(self, render_mode: str | None = None) -> None:
        raise OSError("no such level")


class CannotClose(Walk):
    window: list[int] | None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.window = [1]
        return super().reset(seed=seed)

    def close(self) -> None:
        if self.window is None:
            raise RuntimeError("closed already")
        self.window = None


class OldGym:
    """Not a gymnasium.Env."""


BROKEN: Mapping[type, tuple[str, ...]] = {
    WrongShape: (r"observation at reset\(seed=1\) has the shape \(3,\)", r"the shape \(2,\) of observation_space"),
    WrongDtype: (r"has the dtype float64", r"observation\.astype\(np\.float32\)"),
    OutOfBounds: (r"at step 5 \(action \d\) is 105\.0 at entry 1 \('time'\), above .* bounds, 50\.0",),
    NanObservation: (r"at step 3 .* holds NaN at entry 1 \('time'\)",),
    ListObservation: (r"is a list", r"a numpy array of shape \(2,\) and dtype float32"),
    NanReward: (r"the reward at step 1 \(action \d\) is nan \(float\)", "a finite Python float"),
    ArrayReward: (r"is 0\.0 \(numpy\.float32\)", r"return float\(reward\)"),
    OldStep: (r"step\(\) returned 4 values", "5 values: observation, reward, terminated, truncated, info"),
    OldReset: (r"reset\(\) returned a numpy.ndarray", "2 values: observation, info"),
    NoSeed: (r"reset\(\) does not take 'seed'", r"super\(\)\.reset\(seed=seed\)"),
    NoOptions: (r"reset\(\) does not take 'options'",),
    NumberInfo: (r"the info that step\(\) returned is a NoneType", "a dictionary, which may be empty"),
    NumpyFlags: (
        r"terminated at step 1 .* is False \(numpy\.bool\)",
        r"truncated at step 1 .* is 0 \(int\)",
        r"return bool\(truncated\)",
    ),
    Unseeded: (r"two new games with the same seed and actions differ in the observation at reset\(seed=1\)",),
    GlobalRandom: (r"draws from, or seeds, a global generator", r"draw from self\.np_random instead of np\.random"),
    LeakingState: (
        r"the same game, reset .* after being played, differs in the observation at step 1",
        "anew in reset",
    ),
    Reused: (r"observation returned at reset\(seed=1\) was changed by a later step", r"observation\.copy\(\)"),
    RaisesMidway: (
        r"raised ZeroDivisionError: the ball has no mass at step 8 \(action \d\) \(test_check\.py, line \d+\)",
    ),
    RejectsAnAction: (r"raised KeyError: 2 at step \d \(action 2\)",),
    NoActionSpace: (r"action_space is None, a NoneType", r"set self\.action_space in __init__"),
    TupleSpace: (r"observation_space is of the kind Tuple", "FlattenObservation"),
    ListSpace: (r"action_space is \['left', 'right'\], a list",),
    EndlessActions: (r"action_space is a Box without finite bounds: -inf to inf", r"spaces\.Box\(-1, 1, \(3,\)\)"),
    OneName: (r'\["features"\] has 1 names', r'\["actions"\] has 2 names', "3, as action_space has"),
    SameNames: (r"says 'go' more than once",),
    MisspeltKey: (r"unknown key 'feature': did you mean 'features'",),
    NamesInAList: (r'metadata\["headstart"\] is a list', "a dictionary with the keys 'features' and 'actions'"),
    GreyPicture: (r"returned float64, shape \(8, 8\)", r"uint8 array of shape \(height, width, 3\)"),
    NoRenderMode: (r"raised TypeError: .*'render_mode'.* when made with render_mode='rgb_array'",),
    NoReset: (r"raised FileNotFoundError: level\.txt at reset\(seed=0\)",),
    CannotBeMade: (r"raised OSError: no such level while it was made \(test_check\.py, line \d+\)",),
    CannotClose: (r"raised RuntimeError: closed already at close\(\), called twice",),
    OldGym: (r"the game is a OldGym", "inherit from gymnasium.Env"),
}


def words(report: Report) -> str:
    return " | ".join(str(fault) for fault in report.faults)


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_games_have_no_fault(name: str) -> None:
    report = check_game(name, steps=120)
    assert report.faults == []
    assert report.steps_per_second is not None
    assert report.steps_per_second > 10
    assert {"it can be played", "the same seed gives the same game"} <= set(report.passed)


def test_the_healthy_walk_has_neither_fault_nor_note() -> None:
    report = check_made(Walk, "walk", steps=60)
    assert report.faults == []
    assert report.notes == []
    assert "Gymnasium's check_env passes" in report.passed
    assert "Stable-Baselines3's check_env passes" in report.passed


@pytest.mark.parametrize("game", BROKEN, ids=lambda game: game.__name__)
def test_each_broken_game_is_told_its_own_fault(game: Any) -> None:
    report = check_made(game, "broken", steps=60)
    for pattern in BROKEN[game]:
        assert re.search(pattern, words(report)), words(report)
    assert len(report.faults) <= 2
    assert not any("\n" in str(fault) for fault in report.faults)


def test_all_faults_are_told_not_only_the_first() -> None:
    class Many(NanReward):
        metadata: dict[str, Any] = {**Walk.metadata, "headstart": {"features": ["place"]}}  # noqa: RUF012

        def seen(self) -> np.ndarray:
            return super().seen().astype(np.float64)

        def render(self) -> Any:
            raise RuntimeError("no display")

    report = check_made(Many, "many", steps=30)
    found = words(report)
    for part in ("has 1 names", "the dtype float64", "is nan", "RuntimeError: no display"):
        assert part in found
    assert len(report.faults) == 4
    assert any(note.startswith("Gymnasium's check_env says:") for note in report.notes)


def test_a_fault_that_only_a_peer_finds_is_told_in_its_words() -> None:
    class SharesItsInfo(Walk):
        info: dict[str, Any] = {}  # noqa: RUF012

        def step(self, action: int) -> Any:
            return (*super().step(action)[:4], self.info)

    report = check_made(SharesItsInfo, "shares", steps=30)
    assert len(report.faults) == 1
    assert report.faults[0].what.startswith("Gymnasium's check_env says: The infos returned by")


def test_notes_are_no_faults() -> None:
    class Bare(Walk):
        metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            super().reset(seed=seed)
            self.place, self.time = 0.0, 0
            print("reset!")
            return self.seen(), {}

        def step(self, action: int) -> Any:
            return self.seen(), 0.0, False, False, {}

    report = check_made(Bare, "bare", steps=30)
    notes = " | ".join(report.notes)
    assert report.fine
    for part in (
        "seeds 1 and 2 give the same game",
        "no episode ended under random actions",
        "no render mode 'rgb_array'",
        "its features are not named",
        "its actions are not named",
        "prints to standard output, where results belong, such as 'reset!'",
    ):
        assert part in notes


def test_nothing_is_printed_and_no_warning_escapes(capsys: pytest.CaptureFixture[str]) -> None:
    class Loud(Walk):
        def step(self, action: int) -> Any:
            print("step")
            np.float32(1) / np.float32(0)
            return super().step(action)

    check_made(Loud, "loud", steps=10)
    assert capsys.readouterr().out == ""


def test_a_report_is_plain_data() -> None:
    document = check_made(WrongShape, "shape", steps=5).to_json()
    assert document["game"] == "shape"
    assert document["fine"] is False
    assert set(document["faults"][0]) == {"what", "expected", "fix"}
    assert str(Fault("a", "b", "c")) == "a; expected b; to mend it, c"


def test_an_unknown_game_is_an_error_not_a_report() -> None:
    with pytest.raises(UnknownName, match="did you mean"):
        check_game("CartPoll-v1")


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("import nowhere_to_be_found\n", "there is no module 'nowhere_to_be_found'"),
        ("x = 1 / 0\n", r"importing 'faulty_game' raised ZeroDivisionError: .* by zero \(faulty_game\.py, line 1\)"),
    ],
)
def test_a_module_that_cannot_be_imported_is_a_fault(
    text: str, pattern: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "faulty_game.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    report = check_game("faulty_game:Id-v0")
    assert re.search(pattern, words(report)), words(report)


def test_a_game_is_checked_without_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    drivers = set()

    def make(**arguments: Any) -> Any:
        drivers.add(os.environ.get("SDL_VIDEODRIVER"))
        return gymnasium.make("CartPole-v1", **arguments)

    assert check_made(make, "CartPole", steps=20).faults == []
    assert drivers == {"dummy"}
    assert "SDL_VIDEODRIVER" not in os.environ


class BadBatch(SyncVectorEnv):
    """Says that it resets in the step that ends an episode, and seeds all its environments alike."""

    def __init__(self, num_envs: int = 1, **arguments: Any) -> None:
        super().__init__([Walk] * num_envs, autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP)

    metadata: dict[str, Any] = {"autoreset_mode": gymnasium.vector.AutoresetMode.SAME_STEP}  # noqa: RUF012

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return super().reset(seed=None if seed is None else [1] * self.num_envs, options=options)


@pytest.fixture
def batched_walk() -> Any:
    gymnasium.register("BadBatch-v0", entry_point=Walk, vector_entry_point=BadBatch)
    yield "BadBatch-v0"
    del registry["BadBatch-v0"]


def test_a_batch_that_plays_otherwise_than_its_single_environments_is_a_fault(batched_walk: str) -> None:
    report = check_game(batched_walk, steps=30)
    assert "the batch and the single environments differ in the observation after 0 steps" in words(report)


class Pair(ParallelEnv):
    """Two agents who walk; healthy."""

    metadata: dict[str, Any] = {"name": "pair", "render_modes": []}  # noqa: RUF012
    render_mode = None

    def __init__(self) -> None:
        self.possible_agents = ["a", "b"]
        self._observation, self._action = spaces.Box(-99.0, 99.0, (1,), np.float32), spaces.Discrete(2)

    def observation_space(self, agent: str) -> Any:
        return self._observation

    def action_space(self, agent: str) -> Any:
        return self._action

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.agents, self.time = ["a", "b"], 0
        self.rng = np.random.default_rng(seed) if seed is not None else getattr(self, "rng", np.random.default_rng())
        return self.seen(), {agent: {} for agent in self.agents}

    def step(self, actions: dict[str, int]) -> Any:
        self.time += 1
        over = self.time == 10
        agents, gains = self.agents, dict.fromkeys(self.agents, 1.0)
        self.agents = [] if over else agents
        never, ends = dict.fromkeys(agents, False), dict.fromkeys(agents, over)
        return {agent: self.seen()[agent] for agent in agents}, gains, never, ends, {agent: {} for agent in agents}

    def seen(self) -> dict[str, np.ndarray]:
        return {agent: self.rng.normal(size=1).astype(np.float32) for agent in self.possible_agents}


class OneDies(Pair):
    def step(self, actions: dict[str, int]) -> Any:
        seen, gains, terminated, truncated, infos = super().step(actions)
        if self.time == 4:
            terminated["b"] = True
            self.agents = ["a"]
        return seen, gains, terminated, truncated, infos


class OneVanishes(Pair):
    def step(self, actions: dict[str, int]) -> Any:
        results = super().step(actions)
        if self.time == 4:
            self.agents = ["a"]
        return results


class StrangerAppears(Pair):
    def step(self, actions: dict[str, int]) -> Any:
        results = super().step({agent: action for agent, action in actions.items() if agent != "z"})
        if self.time == 4:
            self.agents = ["a", "b", "z"]
        return results

    def seen(self) -> dict[str, np.ndarray]:
        return {**super().seen(), "z": np.zeros(1, np.float32)}


class Unequal(Pair):
    _other = spaces.Discrete(3)

    def action_space(self, agent: str) -> Any:
        return self._action if agent == "a" else self._other


class OfOtherKinds(Unequal):
    _other = spaces.MultiBinary(3)  # type: ignore[assignment]


class NanForOne(Pair):
    def seen(self) -> dict[str, np.ndarray]:
        return {**super().seen(), "b": np.array([np.nan], np.float32)}


class NoDictionaries(Pair):
    def step(self, actions: dict[str, int]) -> Any:
        return (list(super().step(actions)[0].values()), *super().step(actions)[1:])


@pytest.mark.parametrize(
    ("game", "pattern"),
    [
        (OneVanishes, "let 'b' vanish from its agents without termination or truncation"),
        (StrangerAppears, "the agents 'z' appeared, who are not of possible_agents"),
        (OfOtherKinds, "the actions of 'b' .* differ from those of 'a'"),
        (NanForOne, r"the observation of b at reset\(seed=1\) holds NaN at entry 0"),
        (NoDictionaries, "a list was returned at step 1 .*a dictionary from agents to values"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_games_of_several_agents_are_told_whose_the_fault_is(game: Callable[[], Any], pattern: str) -> None:
    report = check_made(game, "pair", steps=30)
    assert re.search(pattern, words(report)), words(report)


@pytest.mark.parametrize("game", [OneDies, Unequal])
def test_agents_may_die_and_differ_in_sizes(game: Callable[[], Any]) -> None:
    assert check_made(game, "pair", steps=30).faults == []


def test_a_healthy_pair_passes_pettingzoo_s_own_test() -> None:
    report = check_made(Pair, "pair", steps=30)
    assert report.faults == []
    assert "PettingZoo's parallel_api_test passes" in report.passed
    assert not any("prints" in note for note in report.notes)  # the peer's own words are not the game's


def test_a_slow_game_is_checked_on_fewer_steps_and_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.check.play.PATIENCE", 0.0)
    report = check_made(Walk, "walk", steps=60)
    assert report.fine
    assert "it is slow: checked on 1 steps" in report.notes


def test_each_discrete_action_is_tried_in_turn() -> None:
    taken: list[np.int64] = []

    class Listens(Walk):
        def step(self, action: Any) -> Any:
            taken.append(action)
            return super().step(action)

    play(Player(Listens()), seed=0, steps=9)
    assert [sorted(taken[k : k + 3]) for k in (0, 3, 6)] == [[0, 1, 2]] * 3
    assert {type(action) for action in taken} == {np.int64}  # as learners send them


@pytest.mark.parametrize(
    ("value", "space", "kind"),
    [
        (np.array([1, 2], np.int64), spaces.MultiDiscrete([2, 2]), "bounds"),
        (np.array([1, 1], np.int64), spaces.MultiDiscrete([2, 2]), None),
        (3, spaces.Discrete(3), "type"),
        (2, spaces.Discrete(3), None),
        ({"a": 1}, spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Discrete(2)}), "keys"),
        ({"a": 1, "b": 5}, spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Discrete(2)}), "type"),
        ({"a": 1, "b": 1}, spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Discrete(2)}), None),
        (np.zeros((2, 2), np.uint8), spaces.Box(0, 1, (2, 2), np.uint8), None),
        (np.full((2, 2), 2, np.uint8), spaces.Box(0, 1, (2, 2), np.uint8), "bounds"),
    ],
)
def test_what_does_not_lie_in_its_space(value: Any, space: Any, kind: str | None) -> None:
    found = misfit(value, space, "here")
    assert (found[0] if found else None) == kind


def test_a_peer_s_warning_becomes_a_note_and_colours_go() -> None:
    def judge(env: Any) -> None:
        gymnasium.logger.warn("odd")
        print("passed")

    assert verdict("Judge", judge, Walk) == (None, ["Judge says: WARN: odd"])
