"""Plays a game and looks at what came of it: every value returned, and whether a seed gives the same again."""

import math
import random
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium import spaces

from envs.check.players import ALONE, Outcome, Player
from envs.check.report import Broken, Fault, kind_of
from envs.check.spaces import misfit
from envs.masks import MASK

PATIENCE = 5.0
"""Seconds that one play may take; slow games are checked on fewer steps."""


@dataclass
class Moment:
    """What a reset (step 0 of an episode) or a step brought to one agent, copied at once."""

    agent: str
    when: str
    begins: bool
    """Whether it was a reset."""
    outcome: Outcome
    live: Any
    """The very observation that was returned, which the game may change later."""


@dataclass
class Play:
    """Some episodes under random actions."""

    moments: list[Moment] = field(default_factory=list)
    fault: Fault | None = None
    """Why it could not go on."""
    episodes: int = 0
    """How many ended."""
    steps: int = 0
    hurried: bool = False
    """Whether it was ended early because the game is slow."""
    touched_global: bool = False
    """Whether the global generators of numpy or Python were drawn from."""


class Chooser:
    """Random actions: of a discrete space each one in turn, in a new order each time."""

    def __init__(self, player: Player, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._spaces = {agent: deepcopy(player.spaces(agent)[1]) for agent in player.agents}
        for space in self._spaces.values():
            space.seed(seed)
        self._waiting: dict[str, list[int]] = {agent: [] for agent in player.agents}

    def __call__(self, agent: str, shown: Outcome | None = None) -> Any:
        """The agent's next action: a legal one, where what it was shown last says which are."""
        space = self._spaces[agent]
        mask = None if shown is None else _mask(shown)
        if mask is not None and isinstance(space, spaces.Discrete):
            legal = np.flatnonzero(mask)
            return np.int64(int(space.start) + int(self._rng.choice(legal))) if len(legal) else space.sample()
        if not isinstance(space, spaces.Discrete):
            return space.sample()
        if not self._waiting[agent]:
            self._waiting[agent] = [int(number) for number in self._rng.permutation(int(space.n))]
        return np.int64(int(space.start) + self._waiting[agent].pop())  # as learners send it


def play(player: Player, *, seed: int | None, steps: int, actions: int = 0) -> Play:
    """Play from a seeded reset; episodes that end are followed by others, unseeded."""
    record, before = Play(), _global_state()
    deadline = time.perf_counter() + PATIENCE
    choose = Chooser(player, actions)
    try:
        shown = player.reset(seed)
        _write(record, shown, f"at reset(seed={seed})", begins=True)
        for step in range(1, steps + 1):
            chosen = {agent: choose(agent, shown.get(agent)) for agent in player.living()}
            when = f"at step {step} (action {_shown(chosen)})"
            outcomes = shown = player.step(chosen, when)
            _write(record, outcomes, when)
            record.steps = step
            if over(player, outcomes):
                record.episodes += 1
                shown = player.reset()
                _write(record, shown, f"at the reset after step {step}", begins=True)
            if time.perf_counter() > deadline:
                record.hurried = True
                break
    except Broken as error:
        record.fault = error.fault
    record.touched_global = not _same(before, _global_state())
    return record


def ends(player: Player, steps: int = 5000, seconds: float = 1.0) -> bool:
    """Whether an episode ends in this time. Raises Broken."""
    choose, deadline = Chooser(player, 0), time.perf_counter() + seconds
    outcomes = player.reset(1)
    for step in range(1, steps + 1):
        actions = {agent: choose(agent, outcomes.get(agent)) for agent in player.living()}
        outcomes = player.step(actions, f"at step {step}")
        if over(player, outcomes):
            return True
        if time.perf_counter() > deadline:
            break
    return False


def over(player: Player, outcomes: dict[str, Outcome]) -> bool:
    """Whether the episode has ended for everybody."""
    return not player.living() or all(_true(one.terminated) or _true(one.truncated) for one in outcomes.values())


def _mask(shown: Outcome) -> Any:
    """The legal actions, where an observation or an info says which are."""
    seen = shown.observation
    if isinstance(seen, dict) and MASK in seen:
        return seen[MASK]
    return shown.info.get(MASK) if isinstance(shown.info, dict) else None


def _true(value: Any) -> bool:
    """A flag, even if it is no bool: that is another check's affair."""
    return bool(np.any(value))


def misfits(record: Play, player: Player, names: tuple[str, ...] | None) -> Iterator[Fault]:
    """Observations that do not lie in their space: the first of each kind."""
    seen: set[str] = set()
    for moment in record.moments:
        space = player.spaces(moment.agent)[0]
        found = misfit(moment.outcome.observation, space, whose(moment), names)
        if found is not None and found[0] not in seen:
            seen.add(found[0])
            yield found[1]


def bad_rewards(record: Play, kinds: tuple[type, ...] = (float, int)) -> Iterator[Fault]:
    """Rewards that are no finite number of these kinds: the first of each sort."""
    wanted, seen = "a finite Python float", set()
    for moment in _after_steps(record):
        reward = moment.outcome.reward
        if not isinstance(reward, kinds):
            kind, fix = "type", "return float(reward)"
        elif not math.isfinite(moment.outcome.reward):
            kind, fix = "number", "look for a division by zero, or for NaN in the state it is computed from"
        else:
            continue
        if kind not in seen:
            seen.add(kind)
            yield Fault(f"the reward {whose(moment)} is {reward!s} ({kind_of(reward)})", wanted, fix)


def bad_flags(record: Play, kinds: tuple[type, ...] = (bool,)) -> Iterator[Fault]:
    """`terminated` and `truncated` that are not of these kinds: the first of each."""
    seen = set()
    for moment in _after_steps(record):
        for name in ("terminated", "truncated"):
            value = getattr(moment.outcome, name)
            if not isinstance(value, kinds) and name not in seen:
                seen.add(name)
                yield Fault(
                    f"{name} {whose(moment)} is {value!s} ({kind_of(value)})",
                    "True or False, of Python's bool",
                    f"return bool({name})",
                )


def changed_later(record: Play) -> Iterator[Fault]:
    """The first observation that the game changed after it had returned it."""
    for moment in record.moments:
        if not _same(moment.live, moment.outcome.observation):
            yield Fault(
                f"the observation returned {whose(moment)} was changed by a later step",
                "each observation left alone once it is returned, for learners keep it",
                "return self.observation.copy(), or build a new array at each step",
            )
            return


def first_difference(one: Play, other: Play) -> str | None:
    """When and in what two plays differ, such as "in the reward at step 3 (action 1)"; None if they are equal."""
    for mine, theirs in zip(one.moments, other.moments, strict=False):
        for part in ("observation", "reward", "terminated", "truncated"):
            if not _same(getattr(mine.outcome, part), getattr(theirs.outcome, part)):
                return f"in the {part} {whose(mine)}"
    return None


def whose(moment: Moment) -> str:
    """When it was and, if there are several agents, whose it was."""
    return moment.when if moment.agent == ALONE else f"of {moment.agent} {moment.when}"


def _after_steps(record: Play) -> Iterator[Moment]:
    return (moment for moment in record.moments if not moment.begins)


def _write(record: Play, outcomes: dict[str, Outcome], when: str, *, begins: bool = False) -> None:
    for agent, one in outcomes.items():
        copied = Outcome(deepcopy(one.observation), one.reward, one.terminated, one.truncated)
        record.moments.append(Moment(agent, when, begins, copied, one.observation))


def _same(one: Any, other: Any) -> bool:
    """Equality of nested dictionaries, tuples, arrays and numbers, NaN being equal to itself."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    first, second = np.asarray(one), np.asarray(other)
    inexact = first.dtype.kind in "fc" and second.dtype.kind in "fc"
    return np.array_equal(first, second, equal_nan=inexact)


def _global_state() -> tuple[Any, ...]:
    return np.random.get_state(), random.getstate()  # noqa: NPY002  # read, to see whether the game draws from it


def _shown(actions: dict[str, Any]) -> str:
    plain = {agent: np.asarray(action).tolist() for agent, action in actions.items()}
    text = str(plain.get(ALONE, plain))
    return text if len(text) <= 80 else f"{text[:77]}..."
