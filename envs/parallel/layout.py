"""What agents see and do, brought to the one pair of spaces that a shared policy has.

Boxes of different sizes are padded with zeros, numbers of discrete actions with actions that a mask forbids, continuous
actions with entries that nobody reads. An indicator says, if asked for, which agent it is that sees.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from envs.errors import ConfigError, GameError
from envs.masks import MASK, SEEN
from envs.parallel.conversions import Game

Array = npt.NDArray[Any]
Space = spaces.Space[Any]
Rows = Sequence[Array]
"""Where observations are written: an array (n_agents, …) for each part."""

WHOLE = ""
"""The key of an observation that has no parts."""


class Layout:
    """The shared spaces of a game's agents, and the way into and out of them.

    Args:
        game: a PettingZoo parallel game.
        agent_indicator: whether a one-hot number of the agent is appended to what it sees: to vectors as entries, to
            pictures as planes.
        masks_in_infos: whether the infos hold an "action_mask" for each agent.

    Raises ConfigError: the agents' spaces are of kinds that one policy cannot share.
    """

    def __init__(self, game: Game, *, agent_indicator: bool = False, masks_in_infos: bool = False) -> None:
        self.agents: tuple[str, ...] = tuple(game.possible_agents)
        if not self.agents:
            raise ConfigError("the game has no possible_agents: expected a PettingZoo game with at least one agent")
        if twice := sorted({repr(agent) for agent in self.agents if self.agents.count(agent) > 1}):
            raise ConfigError(f"possible_agents names {', '.join(twice)} more than once; expected each agent once")
        seen = [game.observation_space(agent) for agent in self.agents]
        done = [game.action_space(agent) for agent in self.agents]
        self.action_space, self._given = _actions(self.agents, done)
        keys, self.masks_in_infos = _keys(self.agents, seen), masks_in_infos
        parts = [_Part(key, self.agents, [_part(space, key) for space in seen]) for key in keys]
        n_actions = int(self.action_space.n) if isinstance(self.action_space, spaces.Discrete) else 0
        sizes = [int(space.n) if isinstance(space, spaces.Discrete) else 0 for space in done]
        masked = keys == [SEEN, MASK]
        if masked:
            parts[1].become_mask(n_actions, sizes)
        if agent_indicator:
            parts[0].indicate(len(self.agents))
        self.parts = parts
        uneven = len(set(sizes)) > 1
        if not masked and (masks_in_infos or uneven):
            if keys != [WHOLE]:
                raise ConfigError(
                    f"the agents have {sizes} actions and see a Dict with the keys {keys}: a mask of legal actions "
                    f"can only stand beside a single observation; expected the keys {SEEN!r} and {MASK!r}"
                )
            parts[0].key = SEEN
            self.parts = [parts[0], _mask_part(self.agents, n_actions, sizes)]
            masked = True
        self.masked = masked
        self.observation_space: Space = (
            self.parts[0].space
            if len(self.parts) == 1 and self.parts[0].key == WHOLE
            else spaces.Dict({part.key: part.space for part in self.parts})
        )
        self._by_info = masked and keys == [WHOLE]  # the mask is no part of what the game shows
        self._one = len(self.parts) == 1 and self.parts[0].key == WHOLE

    def empty(self, copies: int) -> list[Array]:
        """Arrays (copies · n_agents, …), one a part, for observations to be written into."""
        return [part.empty(copies) for part in self.parts]

    def whole(self, arrays: Sequence[Array]) -> Any:
        """The arrays as the observation that the space describes."""
        return arrays[0] if self._one else {part.key: array for part, array in zip(self.parts, arrays, strict=True)}

    def put(self, rows: Rows, index: int, seen: Any, info: Mapping[str, Any]) -> None:
        """Write what an agent sees into its row. Raises GameError: it is not what the agent's space says."""
        if self._one:
            self.parts[0].put(rows[0], index, seen)
        elif self._by_info:
            self.parts[0].put(rows[0], index, seen)
            if self.masks_in_infos:
                if MASK not in info:
                    raise GameError(f"gave {self.agents[index]!r} no infos[{MASK!r}], which it gave before")
                self.parts[1].put(rows[1], index, info[MASK])
        else:
            if not isinstance(seen, Mapping) or not all(part.key in seen for part in self.parts):
                found = sorted(seen) if isinstance(seen, Mapping) else type(seen).__name__
                raise GameError(
                    f"showed {self.agents[index]!r} an observation {found}; expected the keys "
                    f"{[part.key for part in self.parts]}"
                )
            for part, row in zip(self.parts, rows, strict=True):
                part.put(row, index, seen[part.key])

    def blank(self, rows: Rows, index: int) -> None:
        """Write what an agent sees who does not play: zeros, and a mask that forbids nothing."""
        for part, row in zip(self.parts, rows, strict=True):
            row[index] = 1 if self.masked and part.key == MASK else 0

    def free(self, rows: Rows, index: int) -> None:
        """An agent whose episode ended may be shown no legal action; networks need one."""
        if self.masked and not rows[1][index].any():
            rows[1][index] = 1

    def actions(self, chosen: Array) -> list[Any]:
        """Actions (slots, …) of the shared space as the game's own, slot by slot."""
        return self._given(chosen)


class _Part:
    """One part of the observation, which all agents have, with a place for each in the shared space."""

    def __init__(self, key: str, agents: Sequence[str], own: Sequence[Space]) -> None:
        self.key, self.agents, self.own = key, agents, list(own)
        self.space = _shared(key, agents, own)
        self.dtype = self.space.dtype
        self.starts = [int(space.start) if isinstance(space, spaces.Discrete) else 0 for space in own]
        self.shapes = [tuple(space.shape or ()) for space in own]
        whole = tuple(self.space.shape or ())
        self.corners = [tuple(slice(length) for length in shape) for shape in self.shapes]
        self.fits = all(shape == whole for shape in self.shapes) and not any(self.starts)
        self.accepted = [space.dtype for space in own]
        self.template: Array | None = None if self.fits else np.zeros((len(agents), *whole), self.dtype)

    def become_mask(self, n_actions: int, sizes: Sequence[int]) -> None:
        """A mask is as long as there are shared actions, whatever type it has in the game."""
        if any(shape != (size,) for shape, size in zip(self.shapes, sizes, strict=True)):
            raise ConfigError(
                f"the agents' masks have the shapes {self.shapes}, their actions number {sizes}: "
                "expected a mask with an entry for each action"
            )
        self.space, self.dtype = spaces.MultiBinary(n_actions), np.dtype(np.int8)
        self.fits = all(size == n_actions for size in sizes)
        self.template = None if self.fits else np.zeros((len(self.agents), n_actions), np.int8)

    def indicate(self, count: int) -> None:
        """Append a one-hot number of the agent to what it sees."""
        space = self.space
        if not isinstance(space, spaces.Box) or len(space.shape) not in (1, 3):
            raise ConfigError(
                f"agent_indicator: the agents see {' '.join(str(space).split())}; expected vectors or pictures (Box)"
            )
        added = (*space.shape[:-1], count)
        most = 255 if space.dtype == np.uint8 and len(space.shape) == 3 and space.high.max() > 1 else 1
        low = np.concatenate([space.low, np.zeros(added, space.dtype)], axis=-1)
        high = np.concatenate([space.high, np.full(added, most, space.dtype)], axis=-1)
        size = space.shape[-1]
        self.space = spaces.Box(low, high, dtype=space.dtype.type)
        self.template = np.zeros((count, *low.shape), space.dtype)
        for index in range(count):
            self.template[index, ..., size + index] = most
        self.fits = False

    def empty(self, copies: int) -> Array:
        if self.template is None:
            return np.empty((copies * len(self.agents), *(self.space.shape or ())), self.dtype)
        return np.tile(self.template, (copies, *(1 for _ in self.template.shape[1:])))

    def put(self, rows: Array, index: int, seen: Any) -> None:
        if type(seen) is not np.ndarray or seen.shape != self.shapes[index] or seen.dtype is not self.accepted[index]:
            seen = self._checked(index, seen)
        if self.fits:
            rows[index] = seen
        else:
            if self.starts[index]:
                seen = seen - self.starts[index]
            rows[index][self.corners[index]] = seen

    def _checked(self, index: int, seen: Any) -> Array:
        """An observation that is no array of the expected kind: brought there if nothing is lost by it."""
        of, space = f" of {self.key!r}" if self.key else "", self.own[index]
        try:
            found = np.asarray(seen)
        except ValueError as error:
            raise GameError(f"showed {self.agents[index]!r} what is no array{of}: {error}") from error
        if found.shape != self.shapes[index]:
            raise GameError(
                f"showed {self.agents[index]!r} an observation{of} of the shape {found.shape}; its space says "
                f"{self.shapes[index]}"
            )
        if found.dtype == object or not np.can_cast(found.dtype, space.dtype or np.int64, "same_kind"):
            raise GameError(
                f"showed {self.agents[index]!r} an observation{of} of the type {found.dtype}; its space says "
                f"{space.dtype}"
            )
        return found


def _mask_part(agents: Sequence[str], n_actions: int, sizes: Sequence[int]) -> _Part:
    """A mask that the game does not show: of what each agent has of the shared actions."""
    part = _Part(MASK, agents, [_entries(size) for size in sizes])
    part.space, part.dtype = spaces.MultiBinary(n_actions), np.dtype(np.int8)
    part.fits = all(size == n_actions for size in sizes)
    part.template = np.stack([np.arange(n_actions) < size for size in sizes]).astype(np.int8)
    return part


def _keys(agents: Sequence[str], seen: Sequence[Space]) -> list[str]:
    """The parts of an observation. Raises ConfigError where agents do not have the same."""
    kinds = {tuple(space.spaces) if isinstance(space, spaces.Dict) else None for space in seen}
    if len(kinds) > 1 and len({None if kind is None else frozenset(kind) for kind in kinds}) > 1:
        raise ConfigError(
            f"agents who share a policy need the same parts of observations; found {seen[0]} of {agents[0]!r} and "
            f"{next(space for space in seen if type(space) is not type(seen[0]) or space != seen[0])} of another"
        )
    if not isinstance(seen[0], spaces.Dict):
        return [WHOLE]
    return [SEEN, MASK] if seen[0].spaces.keys() == {SEEN, MASK} else list(seen[0].spaces)


def _part(space: Space, key: str) -> Space:
    part: Space = space if key == WHOLE else space[key]  # type: ignore[index]
    return _entries(part.shape[0]) if key == MASK and isinstance(part, spaces.MultiBinary) else part


def _entries(size: int) -> spaces.Box:
    """A mask as the padding knows it: masks of different lengths are no different kinds of things."""
    return spaces.Box(0, 1, (size,), np.int8)


def _shared(key: str, agents: Sequence[str], own: Sequence[Space]) -> Space:
    """The space that all agents' fit into."""
    kinds = {type(space) for space in own}
    what = f"observations ({key})" if key else "observations"
    if len(kinds) == 1 and all(isinstance(space, spaces.Box) for space in own):
        boxes: list[Any] = list(own)
        if len({box.dtype for box in boxes}) == 1 and len({len(box.shape) for box in boxes}) == 1:
            return _around(boxes)
    elif len(kinds) == 1 and isinstance(own[0], spaces.Discrete):
        return spaces.Discrete(max(int(space.n) for space in own))  # type: ignore[attr-defined]
    elif len(kinds) == 1 and isinstance(own[0], spaces.MultiDiscrete | spaces.MultiBinary):
        if all(space == own[0] for space in own):
            return own[0]
    elif len(kinds) == 1:
        raise ConfigError(
            f"agents' {what} of the kind {type(own[0]).__name__} cannot be stacked; "
            "expected Box, Discrete, MultiDiscrete or MultiBinary, or a Dict of these"
        )
    raise _different(what, agents, own)


def _around(boxes: Sequence[Any]) -> spaces.Box:
    """The smallest Box in which all Boxes of one type have a place, padded with zeros; floats as float32."""
    shape = tuple(max(lengths) for lengths in zip(*(box.shape for box in boxes), strict=True))
    dtype: Any = boxes[0].dtype
    if np.issubdtype(dtype, np.floating):
        dtype = np.dtype(np.float32)
    elif dtype == np.bool_:
        dtype = np.dtype(np.uint8)
    lows, highs = [], []
    with np.errstate(over="ignore"):  # float64's largest number becomes infinity
        for box in boxes:
            widths = [(0, most - length) for most, length in zip(shape, box.shape, strict=True)]
            lows.append(np.pad(box.low.astype(dtype), widths))
            highs.append(np.pad(box.high.astype(dtype), widths))
    return spaces.Box(np.minimum.reduce(lows), np.maximum.reduce(highs), shape, dtype.type)


def _actions(agents: Sequence[str], own: Sequence[Space]) -> tuple[Space, Callable[[Array], list[Any]]]:
    """The shared action space, and what turns actions (slots, …) of it into the game's own."""
    n = len(agents)
    if all(isinstance(space, spaces.Discrete) for space in own):
        sizes = [int(space.n) for space in own]  # type: ignore[attr-defined]
        starts = [int(space.start) for space in own]  # type: ignore[attr-defined]
        shared = spaces.Discrete(max(sizes))
        if len(set(sizes)) == 1 and not any(starts):
            return shared, lambda chosen: list(np.asarray(chosen).tolist())
        return shared, lambda chosen: [
            starts[slot % n] + action % sizes[slot % n] for slot, action in enumerate(np.asarray(chosen).tolist())
        ]
    if all(space == own[0] for space in own) and isinstance(own[0], spaces.MultiDiscrete | spaces.MultiBinary):
        return own[0], list
    boxes: list[Any] = [space for space in own if isinstance(space, spaces.Box)]
    if len(boxes) == n and all(space == own[0] for space in own):
        dtype = boxes[0].dtype
        return own[0], lambda chosen: list(np.asarray(chosen, dtype))
    if len(boxes) == n and len({box.dtype for box in boxes}) == 1 and all(len(box.shape) == 1 for box in boxes):
        return _around(boxes), lambda chosen: [
            np.clip(row[: boxes[slot % n].shape[0]], boxes[slot % n].low, boxes[slot % n].high)
            for slot, row in enumerate(np.asarray(chosen, boxes[0].dtype))
        ]
    kinds = {type(space) for space in own}
    if len(kinds) == 1 and not isinstance(own[0], spaces.Box | spaces.MultiDiscrete | spaces.MultiBinary):
        raise ConfigError(
            f"agents' actions of the kind {type(own[0]).__name__} cannot be learnt; "
            "expected Discrete, Box, MultiDiscrete or MultiBinary"
        )
    raise _different("actions", agents, own)


def _different(what: str, agents: Sequence[str], own: Sequence[Space]) -> ConfigError:
    different = [index for index, space in enumerate(own) if space != own[0]]
    names = ", ".join(repr(agents[index]) for index in different)
    return ConfigError(
        f"agents who share a policy need the same spaces, or Boxes or Discrete spaces that can be padded, but "
        f"the {what} of {names} ({' '.join(str(own[different[0]]).split())}) differ from those of {agents[0]!r} "
        f"({' '.join(str(own[0]).split())}): wrap the game so that they agree"
    )
