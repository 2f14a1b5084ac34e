"""Ways through a level, found without the code that the generators trust: exactly, by trying every action in the
engine; and in plain Python, by walking and handling one thing after another. Both give the actions themselves."""

from collections import deque
from collections.abc import Iterator, Sequence
from heapq import heappop, heappush

import numpy as np

from envs.grid import cells as c
from envs.grid.worlds import Worlds
from tests.envs.grid import our_side
from tests.envs.grid.minigrid_side import World

STEPS = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Of the four directions."""
Pose = tuple[int, int, int]


def exact_way(worlds: Worlds, world: World, actions: Sequence[int], most: int = 300_000) -> list[int] | None:
    """The shortest way to success, by breadth-first search over exact states; None if there is none.

    Args:
        worlds: of the game, to try things in.
        world: where to start from.
        actions: those that are tried; any of them might be left out to search less.
        most: states, before an OverflowError.
    """
    cells, status, obstacles = world
    status = status.copy()
    status[c.STEPS] = 0
    states, origins = [_row(cells, status)], [(-1, -1)]
    found = {states[0]}
    done = 0
    while done < len(states):
        some = range(done, min(len(states), done + worlds.count // len(actions)))
        tried = [(index, action) for index in some for action in actions]
        done = some.stop
        for place, (index, _) in enumerate(tried):
            _unrow(states[index], worlds.cells[place], worlds.status[place])
        worlds.status[:, c.MISSION :] = status[c.MISSION :]
        worlds.obstacles[:] = obstacles
        given = np.zeros(worlds.count, dtype=np.int64)
        given[: len(tried)] = [action for _, action in tried]
        moves = worlds.obstacles.copy() if len(obstacles) else None
        rewards, terminated, _ = worlds.step(given, moves)
        for place, origin in enumerate(tried):
            if terminated[place]:
                if rewards[place] > 0:
                    origins.append(origin)
                    return _back(origins, len(origins) - 1)
                continue
            state = _row(worlds.cells[place], worlds.status[place])
            if state not in found:
                found.add(state)
                states.append(state)
                origins.append(origin)
        if len(states) > most:
            raise OverflowError(f"more than {most} states")
    return None


def _row(cells: np.ndarray, status: np.ndarray) -> bytes:
    return status[: c.CARRYING + 1].astype(np.uint16).tobytes() + cells.tobytes()


def _unrow(state: bytes, cells: np.ndarray, status: np.ndarray) -> None:
    row = np.frombuffer(state, dtype=np.uint16)
    status[: c.CARRYING + 1] = row[: c.CARRYING + 1]
    status[c.STEPS] = 0
    cells[:] = row[c.CARRYING + 1 :].reshape(cells.shape)


def _back(origins: Sequence[tuple[int, int]], last: int) -> list[int]:
    """The actions that led there."""
    actions = []
    while origins[last][0] >= 0:
        last, action = origins[last]
        actions.append(action)
    return actions[::-1]


class Walk:
    """A world as plain numbers, what was done in it so far, and what can be done next."""

    def __init__(self, world: World, ending: int) -> None:
        cells, status, _ = without_obstacles(world, ending)
        self.ending = ending
        self.cells = {(x, y): cell for y, row in enumerate(cells.tolist()) for x, cell in enumerate(row)}
        self.pose: Pose = (int(status[c.X]), int(status[c.Y]), int(status[c.DIRECTION]))
        self.hands = int(status[c.CARRYING])
        self.target = (int(status[c.TARGET_A]), int(status[c.TARGET_B]))
        self.actions: list[int] = []

    def copy(self) -> "Walk":
        other = Walk.__new__(Walk)
        other.__dict__.update(self.__dict__)
        other.cells, other.actions = self.cells.copy(), self.actions.copy()
        return other

    def key(self) -> tuple[object, ...]:
        """The same for two that have the same before them."""
        return min(self.region()), self.hands, tuple(self.cells.values())

    def region(self) -> dict[tuple[int, int], tuple[int, int] | None]:
        """Where the agent can walk to, each with the cell before it."""
        start = self.pose[:2]
        found: dict[tuple[int, int], tuple[int, int] | None] = {start: None}
        todo = deque([start])
        while todo:
            x, y = todo.popleft()
            for dx, dy in STEPS:
                there = (x + dx, y + dy)
                if there not in found and _open(self.cells.get(there, c.WALL)):
                    found[there] = (x, y)
                    todo.append(there)
        return found

    def touched(self) -> Iterator[tuple[tuple[int, int], tuple[int, int], int]]:
        """What the agent can walk up to: from where, where it is, which direction."""
        for x, y in self.region():
            for direction, (dx, dy) in enumerate(STEPS):
                if (x + dx, y + dy) in self.cells:
                    yield (x, y), (x + dx, y + dy), direction

    def face(self, place: tuple[int, int], direction: int) -> None:
        """Walk to a place of the region and turn."""
        before, path = self.region(), [place]
        while (origin := before[path[-1]]) is not None:
            path.append(origin)
        for here, there in zip(path[::-1], path[-2::-1], strict=False):
            self._turn(STEPS.index((there[0] - here[0], there[1] - here[1])))
            self.actions.append(c.FORWARD)
            self.pose = (*there, self.pose[2])
        self._turn(direction)

    def _turn(self, direction: int) -> None:
        turns = (direction - self.pose[2]) % 4
        self.actions += [c.TURN_LEFT] if turns == 3 else [c.TURN_RIGHT] * turns
        self.pose = (*self.pose[:2], direction)

    def finished(self) -> bool:
        """Do what ends the episode well, if that is in reach."""
        for here, there, direction in self.touched():
            action = self._ends(there)
            if action is not None:
                self.face(here, direction)
                self.actions.append(action)
                return True
        return False

    def _ends(self, there: tuple[int, int]) -> int | None:
        cell, empty = self.cells[there], self.hands == c.EMPTY
        kind, colour, state = cell & 15, cell >> 4 & 7, cell >> 7 & 3
        if self.ending in (c.ENDING_GOAL, c.ENDING_OBSTACLES):
            return c.FORWARD if kind == c.GOAL_KIND else None
        if self.ending == c.ENDING_OPEN_DOOR:
            return c.TOGGLE if kind == c.DOOR and (state == c.CLOSED or _fits(self.hands, cell)) else None
        if self.ending == c.ENDING_PICK_TARGET:
            return c.PICKUP if cell & c.WANTED and empty else None
        if self.ending == c.ENDING_FETCH:
            return c.PICKUP if (kind, colour) == self.target and empty else None
        return c.DONE if there == self.target else None

    def opened(self) -> bool:
        """Open one door or box in reach, which cannot hurt."""
        if self.ending in (c.ENDING_GO_TO_DOOR, c.ENDING_OBSTACLES):
            return False
        for here, there, direction in self.touched():
            cell = self.cells[there]
            box = cell & 15 == c.BOX and not cell & c.WANTED
            if box or (cell & 15 == c.DOOR and (cell >> 7 & 3 == c.CLOSED or _fits(self.hands, cell))):
                self.face(here, direction)
                self.actions.append(c.TOGGLE)
                held = c.KEY | (cell >> 10 & 7) << 4 if cell & c.HOLDS_KEY else c.EMPTY
                self.cells[there] = held if box else cell & 0x7F
                return True
        return False

    def onwards(self) -> Iterator["Walk"]:
        """What can be picked up, or where what is carried can be put down; the likeliest first."""
        if self.ending in (c.ENDING_FETCH, c.ENDING_GO_TO_DOOR, c.ENDING_OBSTACLES):
            return
        if self.hands == c.EMPTY:
            locks = {self.cells[there] >> 4 & 7 for _, there, _ in self.touched() if self.cells[there] & 0x10F == 0x104}
            for there, (here, direction) in self._movable(locks):
                other = self.copy()
                other.face(here, direction)
                other.actions.append(c.PICKUP)
                other.hands, other.cells[there] = self.cells[there], c.EMPTY
                yield other
        else:
            for here, there, direction in self._quiet():
                other = self.copy()
                other.face(here, direction)
                other.actions.append(c.DROP)
                other.hands, other.cells[there] = c.EMPTY, self.hands
                yield other

    def _movable(self, locks: set[int]) -> list[tuple[tuple[int, int], tuple[tuple[int, int], int]]]:
        things = {there: (here, way) for here, there, way in self.touched() if self.cells[there] & 15 in (5, 6, 7)}
        fitting = [item for item in things.items() if self._is_key_of(item[0], locks)]
        return fitting + [item for item in things.items() if item not in fitting]

    def _is_key_of(self, there: tuple[int, int], locks: set[int]) -> bool:
        return self.cells[there] & 15 == c.KEY and self.cells[there] >> 4 & 7 in locks

    def _quiet(self) -> list[tuple[tuple[int, int], tuple[int, int], int]]:
        """Empty cells whose loss leaves the rest of the region together; those with the most open ones around first."""
        region, found = self.region(), {}
        for here, there, direction in self.touched():
            if self.cells[there] == c.EMPTY and there not in found and there != self.pose[:2]:
                others = sum((there[0] + dx, there[1] + dy) in region for dx, dy in STEPS)
                beside = sum(self.cells.get((there[0] + dx, there[1] + dy), c.WALL) & 15 == c.DOOR for dx, dy in STEPS)
                blocked = self.cells[there]
                self.cells[there] = c.WALL
                if len(self.region()) == len(region) - (there in region):
                    found[there] = (beside, others, here, direction)
                self.cells[there] = blocked
        ranked = sorted(found.items(), key=lambda item: item[1][:2])
        return [(here, there, direction) for there, (_, _, here, direction) in ranked[:4]]


def _open(cell: int) -> bool:
    return cell & 15 in (c.NOTHING, c.FLOOR) or cell & 0x18F == c.DOOR


def _fits(hands: int, cell: int) -> bool:
    return cell & 0x18F == c.DOOR | c.LOCKED << 7 and hands & 0x7F == c.KEY | cell & 0x70


def way(world: World, ending: int, most: int = 2000) -> list[int] | None:
    """Actions that succeed in this world, not the fewest; None if none were found.

    Doors and boxes in reach are opened at once. Which objects to pick up and where to put them down is searched, those
    ways first on which the most doors have been opened, and the most things come within reach.
    """
    turn, heap, seen = 0, [(0, 0, 0, Walk(world, ending))], set()
    while heap and turn < most:
        *_, walk = heappop(heap)
        while True:
            if walk.finished():
                return walk.actions
            if not walk.opened():
                break
        key = walk.key()
        if key in seen:
            continue
        seen.add(key)
        for other in walk.onwards():
            turn += 1
            opened = sum(cell & 0x18F == c.DOOR for cell in other.cells.values())
            heappush(heap, (-opened, -len({there for _, there, _ in other.touched()}), turn, other))
    return None


def without_obstacles(world: World, ending: int) -> World:
    """The world without balls that move: they leave the way by chance, so none makes a level unsolvable."""
    cells, status, obstacles = world
    cells = cells.copy()
    if ending == c.ENDING_OBSTACLES:
        cells[obstacles[:, 1], obstacles[:, 0]] = c.EMPTY
    return cells, status, obstacles


def replayed(worlds: Worlds, given: Sequence[World], ways: Sequence[Sequence[int]]) -> np.ndarray:
    """What each way's last action earns, (n,); nan if the episode does not end with it."""
    our_side.set_each(worlds, given)
    still = worlds.obstacles.copy()
    earned, over = np.full(len(given), np.nan), np.zeros(worlds.count, dtype=bool)
    lengths = np.array([len(actions) for actions in ways])
    actions = np.zeros((lengths.max(), worlds.count), dtype=np.int64)
    for index, way_there in enumerate(ways):
        actions[: len(way_there), index] = way_there
    for step, tried in enumerate(actions):
        rewards, terminated, truncated = worlds.step(tried, still if still.shape[1] else None)
        now = (terminated & ~over)[: len(given)] & (lengths == step + 1)
        earned[now] = rewards[: len(given)][now]
        over |= terminated | truncated
    return earned
