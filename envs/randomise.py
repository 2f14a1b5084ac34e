"""Domain randomisation: a game whose arguments are drawn anew (Tobin et al. 2017; Sadeghi & Levine 2017).

Two ways, of which `envs.vector` takes the first where there are environments enough:

- A batch of ours is made of several batches, the groups, each of which holds one draw for good; environment i
  belongs to group i modulo their number. Where all arguments are choices, the groups are all combinations of them.
  Where one is a range, there are `STRATA` groups, a Latin hypercube (McKay et al. 1979) that depends on the task alone.
- One object an environment draws the arguments at every reset, from a generator of its own, and makes the game anew.

All games that can be drawn must have the same spaces, but for the bounds of what is observed.
"""

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import batch_space

from envs.errors import ConfigError
from envs.interface import in_words
from envs.observations import taken
from envs.same_step import each_seed, final_infos, to_reset
from envs.task import Range

Array = npt.NDArray[Any]
Draws = Mapping[str, Sequence[Any] | Range]
"""Argument → the values, or the range, it is drawn from."""
Arguments = dict[str, Any]

STRATA = 8
"""Groups of a batch one of whose arguments is drawn from a range."""
GROUPS = 16
"""The most groups of a batch: each costs a call a step."""
KEPT = 16
"""Games that an object keeps, so as not to make them anew when their arguments are drawn again."""


def draw(draws: Draws, generator: np.random.Generator) -> Arguments:
    """One value for each argument: a choice with equal chances, a range uniformly; whole numbers if its ends are."""
    return {name: _drawn(domain, generator) for name, domain in draws.items()}


def groups(draws: Draws) -> list[Arguments] | None:
    """What the groups of a batch hold; None if that takes more than `GROUPS`."""
    if any(isinstance(domain, Range) for domain in draws.values()):
        generator = np.random.default_rng(list(json.dumps(_plain(draws), sort_keys=True).encode()))
        columns = {name: _spread(domain, generator.permutation(STRATA)) for name, domain in draws.items()}
        return [{name: column[row] for name, column in columns.items()} for row in range(STRATA)]
    combinations = list(itertools.islice(itertools.product(*_choices(draws)), GROUPS + 1))
    return None if len(combinations) > GROUPS else [dict(zip(draws, values, strict=True)) for values in combinations]


def why_not_grouped(draws: Draws, num_envs: int) -> str | None:
    """What keeps so many environments from being played in groups; None if nothing does."""
    if not draws:
        return None
    held = groups(draws)
    if held is None:
        return f"its randomised arguments have more than {GROUPS} combinations"
    if len(held) > num_envs:
        return f"its randomised arguments take {len(held)} groups, more than there are environments ({num_envs})"
    return None


def randomised_batch(
    make: Callable[[int, Arguments], Any],
    single: Callable[[Arguments], gym.Env[Any, Any]],
    draws: Draws,
    num_envs: int,
    game: str,
) -> VectorEnv[Any, Any, Any]:
    """A batch in groups.

    Args:
        make: a batch of so many environments with some arguments; it must have `step_arrays`.
        single: one environment with some arguments, to see its spaces.
        draws: what the arguments are drawn from; `why_not_grouped` says None of it.
        num_envs: how many environments.
        game: its name, for messages.

    Raises ConfigError if the spaces of the games differ.
    """
    space, first = common_space(single, draws, game)
    return GroupedVectorEnv(make, groups(draws) or [first], num_envs, space)


def common_space(
    make: Callable[[Arguments], gym.Env[Any, Any]], draws: Draws, game: str
) -> tuple[spaces.Space[Any], Arguments]:
    """The observation space of all the games that can be drawn, and the arguments of one of them.

    Each argument is tried at each of its choices, or at both ends of its range, beside the first of the others.
    Raises ConfigError, naming the argument, if the spaces differ; and what making a game raises.
    """
    first = {name: _tried(domain)[0] for name, domain in draws.items()}
    observation, action = _spaces(make, first)
    for name, domain in draws.items():
        for value in _tried(domain)[1:]:
            seen, acted = _spaces(make, {**first, name: value})
            joined = _joined(observation, seen)
            if joined is None or acted != action:
                what, ours, theirs = (
                    ("actions", action, acted) if joined is not None else ("observations", observation, seen)
                )
                raise ConfigError(
                    f"change 'randomise' of game {game!r}: {name} changes the {what}: {in_words(ours)} with "
                    f"{first[name]!r}, {in_words(theirs)} with {value!r}; take values with the same spaces"
                )
            observation = joined
    return observation, first


class RandomisedEnv(gym.Wrapper[Any, Any, Any, Any]):
    """One object whose game is drawn at every reset.

    Args:
        make: the game of some arguments.
        draws: what they are drawn from.
        game: its name, for messages.

    Raises ConfigError if the spaces of the games differ.
    """

    def __init__(self, make: Callable[[Arguments], gym.Env[Any, Any]], draws: Draws, game: str) -> None:
        observation, first = common_space(make, draws, game)
        self._make, self._draws = make, draws
        self._generator = np.random.default_rng()
        self.drawn = first
        """The arguments of now."""
        self._games: dict[str, gym.Env[Any, Any]] = {}
        super().__init__(self._game(first))
        self.observation_space = observation
        self.action_space = self.env.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Draw a game and start an episode in it. A seed decides all that is drawn from now on."""
        if seed is not None:
            self._generator = np.random.default_rng(seed)
        self.drawn = draw(self._draws, self._generator)
        self.env = self._game(self.drawn)
        return self.env.reset(seed=int(self._generator.integers(2**31)), options=options)

    def close(self) -> None:
        """Close all the games that are kept."""
        for env in self._games.values():
            env.close()

    def _game(self, arguments: Arguments) -> gym.Env[Any, Any]:
        """The game of these arguments; the one that was made first of those kept makes room for it."""
        key = repr(sorted(arguments.items(), key=lambda item: item[0]))
        if key not in self._games:
            if len(self._games) >= KEPT:
                self._games.pop(next(iter(self._games))).close()
            self._games[key] = self._make(arguments)
        return self._games[key]


class GroupedVectorEnv(VectorEnv[Any, Array, Array]):
    """Several SAME_STEP batches as one: environment i is one of group i modulo their number.

    It has no `get_state`: the groups' states are of different games.

    Args:
        make: a batch of so many environments with some arguments; it must have `step_arrays`.
        held: what each group holds.
        num_envs: how many environments, at least one a group.
        space: of observations, of all groups.
    """

    def __init__(
        self,
        make: Callable[[int, Arguments], Any],
        held: Sequence[Arguments],
        num_envs: int,
        space: spaces.Space[Any],
    ) -> None:
        self.held = list(held)
        self.slots = [np.arange(group, num_envs, len(held)) for group in range(len(held))]
        self.groups = [make(len(mine), arguments) for mine, arguments in zip(self.slots, held, strict=True)]
        self.num_envs = num_envs
        self.metadata = self.groups[0].metadata
        self.render_mode = self.groups[0].render_mode
        self.single_observation_space, self.single_action_space = space, self.groups[0].single_action_space
        self.observation_space = batch_space(space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    @property  # type: ignore[override]  # as SyncVectorEnv's
    def np_random(self) -> tuple[np.random.Generator, ...]:
        """One generator an environment."""
        return tuple(self._dealt([group.np_random for group in self.groups]))

    @np_random.setter  # type: ignore[override]
    def np_random(self, value: Sequence[np.random.Generator]) -> None:
        for group, mine in zip(self.groups, self.slots, strict=True):
            group.np_random = [value[slot] for slot in mine.tolist()]

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start new episodes; seeds and the option `reset_mask` as every batch of ours takes them."""
        seeds, which = each_seed(seed, self.num_envs), to_reset(options, self.num_envs)
        mask = np.isin(np.arange(self.num_envs), which)
        others = {name: value for name, value in (options or {}).items() if name != "reset_mask"}
        parts = []
        for group, mine in zip(self.groups, self.slots, strict=True):
            given = [seeds[slot] for slot in mine.tolist()]
            parts.append(group.reset(seed=given, options={**others, "reset_mask": mask[mine]})[0])
        return self._gathered(parts), {}

    def step(self, actions: Array) -> tuple[Any, Array, Array, Array, dict[str, Any]]:
        """One step of every environment."""
        observations, rewards, terminated, truncated, ended, last = self.step_arrays(actions)
        return observations, rewards, terminated, truncated, final_infos(self.num_envs, ended, last)

    def step_arrays(self, actions: Array) -> tuple[Any, Array, Array, Array, Array, Any]:
        """The same in arrays alone, as each of the groups' `step_arrays`; ends are in the order of environments."""
        given = np.asarray(actions)
        steps = [group.step_arrays(given[mine]) for group, mine in zip(self.groups, self.slots, strict=True)]
        observations, rewards, terminated, truncated = (
            self._gathered([step[part] for step in steps]) for part in range(4)
        )
        ended = np.concatenate([mine[step[4]] for step, mine in zip(steps, self.slots, strict=True)])
        order = np.argsort(ended)
        last = taken(_concatenated([step[5] for step in steps]), order)
        return observations, rewards, terminated, truncated, ended[order], last

    def observe(self) -> Any:
        """What the agents see now."""
        return self._gathered([group.observe() for group in self.groups])

    def render(self) -> tuple[Any, ...] | None:
        """A frame of each environment."""
        frames = [group.render() for group in self.groups]
        return None if frames[0] is None else tuple(self._dealt(frames))

    def close_extras(self, **kwargs: Any) -> None:
        """Close the groups."""
        for group in self.groups:
            group.close()

    def _dealt(self, parts: Sequence[Sequence[Any]]) -> list[Any]:
        """What the groups say of their environments, in the order of environments."""
        dealt: list[Any] = [None] * self.num_envs
        for mine, part in zip(self.slots, parts, strict=True):
            for slot, one in zip(mine.tolist(), part, strict=True):
                dealt[slot] = one
        return dealt

    def _gathered(self, parts: Sequence[Any]) -> Any:
        """Arrays of the groups as one, (num_envs, …)."""
        if isinstance(parts[0], dict):
            return {name: self._gathered([part[name] for part in parts]) for name in parts[0]}
        whole = np.empty((self.num_envs, *parts[0].shape[1:]), dtype=parts[0].dtype)
        for mine, part in zip(self.slots, parts, strict=True):
            whole[mine] = part
        return whole


def _drawn(domain: Sequence[Any] | Range, generator: np.random.Generator) -> Any:
    if not isinstance(domain, Range):
        return domain[int(generator.integers(len(domain)))]
    if domain.whole:
        return int(generator.integers(int(domain.low), int(domain.high), endpoint=True))
    return float(generator.uniform(domain.low, domain.high))


def _spread(domain: Sequence[Any] | Range, order: Array) -> list[Any]:
    """A value for each of n groups: the middles of n equal parts of a range, or the choices in turn, in this order."""
    if not isinstance(domain, Range):
        return [domain[place % len(domain)] for place in order.tolist()]
    width = domain.high - domain.low + (1 if domain.whole else 0)
    middles = [domain.low + (place + 0.5) / len(order) * width for place in order.tolist()]
    return [min(int(middle), int(domain.high)) if domain.whole else float(middle) for middle in middles]


def _choices(draws: Draws) -> list[Sequence[Any]]:
    return [domain for domain in draws.values() if not isinstance(domain, Range)]


def _tried(domain: Sequence[Any] | Range) -> Sequence[Any]:
    return [domain.low, domain.high] if isinstance(domain, Range) else domain


def _plain(draws: Draws) -> dict[str, Any]:
    """As JSON takes it."""
    return {name: domain.model_dump() if isinstance(domain, Range) else list(domain) for name, domain in draws.items()}


def _spaces(make: Callable[[Arguments], gym.Env[Any, Any]], arguments: Arguments) -> tuple[Any, Any]:
    env = make(arguments)
    try:
        return env.observation_space, env.action_space
    finally:
        env.close()


def _joined(ours: spaces.Space[Any], theirs: spaces.Space[Any]) -> spaces.Space[Any] | None:
    """A space that holds the observations of both, which may differ in their bounds alone; None if they do in more."""
    if isinstance(ours, spaces.Dict) and isinstance(theirs, spaces.Dict) and ours.keys() == theirs.keys():
        parts = {key: _joined(ours[key], theirs[key]) for key in ours}
        if any(part is None for part in parts.values()):
            return None
        return spaces.Dict({key: part for key, part in parts.items() if part is not None})
    if isinstance(ours, spaces.Box) and isinstance(theirs, spaces.Box):
        if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype) or ours.dtype is None:
            return None
        low, high = np.minimum(ours.low, theirs.low), np.maximum(ours.high, theirs.high)
        return spaces.Box(low, high, ours.shape, ours.dtype.type)
    return ours if ours == theirs else None


def _concatenated(parts: Sequence[Any]) -> Any:
    if isinstance(parts[0], dict):
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return np.concatenate(parts)
