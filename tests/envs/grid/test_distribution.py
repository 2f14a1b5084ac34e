"""Do our generators draw what MiniGrid's draw? Two samples of layouts, compared feature by feature."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy.stats import chi2_contingency

from envs.grid import cells as c
from envs.grid.solvable import solvable_each
from tests.envs.grid import minigrid_side, our_side
from tests.envs.grid.our_side import SETUPS, Setup

SAMPLE, PROOF = 500, 6000
"""Layouts a side."""
SUSPICIOUS = 1e-4
"""A probability below which two samples are not of one distribution, all features of a game taken together."""
RARE = 10
"""A value that comes up less often, on both sides together, is counted with other rare ones."""

Sides = tuple[np.ndarray, np.ndarray, np.ndarray]


def ours(setup: Setup, count: int, seed: int) -> Sides:
    """Cells (n, height, width), status (n, 12) and obstacles (n, k, 2) of so many layouts of ours."""
    worlds = our_side.make(*setup, count=count)
    our_side.start(worlds, range(seed, seed + count))
    return worlds.cells, worlds.status, worlds.obstacles


def theirs(setup: Setup, count: int, seed: int) -> tuple[Sides, float]:
    """The same of MiniGrid's, but those that cannot be solved; and what part of all they are."""
    family = our_side.make(*setup, count=1).setting
    drawn = our_side.taken(*setup, family.missions, range(seed, seed + count))
    cells, status, obstacles = (np.array(part) for part in zip(*drawn, strict=True))
    kept = solvable_each(cells, status, obstacles, family.family.ending)
    return (cells[kept], status[kept], obstacles[kept]), 1 - kept.mean()


def features(sides: Sides) -> dict[str, np.ndarray]:
    """What is counted: whole numbers (n,), each feature's values being classes."""
    cells, status, obstacles = sides
    found = {
        "direction": status[:, c.DIRECTION],
        "ahead": our_side.ahead(cells, status) & 15,
        "mission": status[:, c.MISSION],
        "target": status[:, c.TARGET_A] * 32 + status[:, c.TARGET_B],
        "wanted": (cells & c.WANTED > 0).reshape(len(cells), -1).argmax(axis=1),
    }
    found |= _places("agent", status[:, c.X], status[:, c.Y])
    for ball in range(obstacles.shape[1]):
        found |= _places(f"obstacle {ball}", obstacles[:, ball, 0], obstacles[:, ball, 1])
    return found | _barriers(cells) | _things(cells, status)


def _places(name: str, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    return {name: y.astype(int) * 64 + x, f"{name}'s row": y, f"{name}'s column": x}


def _barriers(cells: np.ndarray) -> dict[str, np.ndarray]:
    """Where walls and lava run, and the gaps in them."""
    barrier = np.isin(cells & 15, (c.WALL_KIND, c.LAVA_KIND))
    found = {"walls and lava": barrier.sum(axis=(1, 2))}
    for name, lines in {"rows": barrier[:, 1:-1], "columns": barrier[:, :, 1:-1].swapaxes(1, 2)}.items():
        full = lines.mean(axis=2) > 0.6
        found[f"{name} of wall or lava"] = (full << np.arange(full.shape[1])).sum(axis=1)
        first = lines[np.arange(len(lines)), full.argmax(axis=1)]
        found[f"gap in the first of the {name}"] = np.where(full.any(axis=1), (~first).argmax(axis=1), -1)
        found[f"gaps in the {name}"] = (~lines & full[:, :, None]).sum(axis=(1, 2))
    return found


def _things(cells: np.ndarray, status: np.ndarray) -> dict[str, np.ndarray]:
    """How many there are of each kind, where they are, what they look like, and how far from each other."""
    count, _, width = cells.shape
    flat, everyone, found = cells.reshape(count, -1), np.arange(count), {}
    place = status[:, c.Y] * width + status[:, c.X]
    for name, kind in {"door": c.DOOR, "key": c.KEY, "ball": c.BALL, "box": c.BOX, "goal": c.GOAL_KIND}.items():
        there = flat & 15 == kind
        found[f"{name}s"] = number = there.sum(axis=1)
        ends = {"first": there.argmax(axis=1), "last": flat.shape[1] - 1 - there[:, ::-1].argmax(axis=1)}
        for which, index in ends.items():
            parts = _places(f"{which} {name}", index % width, index // width)
            parts[f"{which} {name}'s looks"] = flat[everyone, index] >> 4
            parts[f"way to the {which} {name}"] = _apart(index, place, width)
            found |= {part: np.where(number, values, -1) for part, values in parts.items()}
        colour = flat[everyone, ends["first"]] >> 4 & 7
        if name == "door":
            door, hue = ends["first"], colour
            for state, said in enumerate(("open", "closed", "locked")):
                found[f"{said} doors"] = (there & (flat >> 7 & 3 == state)).sum(axis=1)
            found["colours of doors"] = sum((there & (flat >> 4 & 7 == bit)).any(axis=1) << bit for bit in range(6))
        else:
            found[f"from the first door to the first {name}"] = np.where(number, _apart(ends["first"], door, width), -1)
            found[f"{name} and door alike"] = np.where(number, colour == hue, -1)
    return found


def _apart(one: np.ndarray, other: np.ndarray, width: int) -> np.ndarray:
    return abs(one // width - other // width) + abs(one % width - other % width)


def suspicions(one: Sides, other: Sides) -> dict[str, float]:
    """For each feature that varies, how probable a difference at least that large is, if there were none."""
    found = {}
    mine, others = features(one), features(other)
    for name in mine:
        values = np.union1d(mine[name], others[name])
        table = np.array([[(side[name] == value).sum() for value in values] for side in (mine, others)])
        table = _pooled(table)
        if table.shape[1] > 1:
            found[name] = float(chi2_contingency(table, correction=False).pvalue)
    return found


def _pooled(table: np.ndarray) -> np.ndarray:
    rare = table.sum(axis=0) < RARE
    pooled = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    return pooled[:, pooled.sum(axis=0) > 0]


def assert_alike(one: Sides, other: Sides) -> None:
    found = suspicions(one, other)
    worst = min(found, key=found.__getitem__, default="")
    assert not found or found[worst] * len(found) > SUSPICIOUS, _said(worst, one, other)


def _said(name: str, one: Sides, other: Sides) -> str:
    tables = [
        dict(zip(*map(np.ndarray.tolist, np.unique(features(side)[name], return_counts=True)), strict=True))
        for side in (one, other)
    ]
    return f"{name!r} differs: ours {tables[0]}, MiniGrid's {tables[1]}"


FIRST = {family: setups[0] if family != "MultiRoom" else setups[-1] for family, setups in SETUPS.items()}
ALL = [
    pytest.param(setup, id="-".join(map(str, (setup[0], *setup[1].values()))))
    for setups in SETUPS.values()
    for setup in setups
]


@pytest.mark.parametrize("family", SETUPS)
def test_a_game_of_each_family_has_minigrids_layouts(family: str) -> None:
    setup = FIRST[family]
    assert_alike(ours(setup, SAMPLE, seed=0), theirs(setup, SAMPLE, seed=50_000)[0])


@pytest.mark.slow
@pytest.mark.parametrize("setup", ALL)
def test_every_game_has_minigrids_layouts(setup: Setup) -> None:
    others, unsolvable = theirs(setup, PROOF, seed=2_000_000)
    print(f"{setup}: {unsolvable:.3%} of MiniGrid's layouts cannot be solved")
    assert_alike(ours(setup, PROOF, seed=1_000_000), others)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("Empty-Random-5x5-v0", 8 * 4),
        ("LavaGapS5-v0", 3),
        ("LavaGapS6-v0", 2 * 4),
        ("SimpleCrossingS9N1-v0", 6 * 7),
        ("DistShift2-v0", 1),
    ],
)
def test_where_there_are_few_layouts_both_have_them_all(name: str, number: int) -> None:
    distinct = [
        {cells.tobytes() + status[[c.X, c.Y, c.DIRECTION]].tobytes() for cells, status in zip(*sides[:2], strict=True)}
        for sides in (ours((name, {}), 600, seed=0), theirs((name, {}), 600, seed=0)[0])
    ]
    assert distinct[0] == distinct[1]
    assert len(distinct[0]) == number


@pytest.mark.parametrize(
    "setup", [("Dynamic-Obstacles-6x6-v0", {}), ("Dynamic-Obstacles-Random-5x5-v0", {"n_obstacles": 3})]
)
def test_obstacles_move_as_minigrids(setup: Setup) -> None:
    """From one world, where each of them goes to, and where all of them go to."""
    count = 3000
    worlds, env = our_side.make(*setup, count=count), minigrid_side.make(*setup)
    for seed in range(4):
        our_side.start(worlds, [seed] * count)
        world = next(our_side.each(worlds))
        worlds.seed(worlds.everyone, list(range(count)))
        found = []
        for chance in range(count):
            minigrid_side.put(env, world, worlds.setting.missions[0], chance)
            env.step(c.TURN_LEFT)
            found.append(minigrid_side.places(env))
        worlds.step(np.full(count, c.TURN_LEFT))
        for which in (slice(None), 0, 1, -1):
            mine, others = (
                np.unique(places[:, which].reshape(count, -1), axis=0, return_inverse=True)
                for places in (worlds.obstacles, np.array(found))
            )
            assert np.array_equal(mine[0], others[0]) or which == slice(None), "the same places"
            if np.array_equal(mine[0], others[0]) and len(mine[0]) > 1:
                table = np.array([np.bincount(side[1].ravel(), minlength=len(mine[0])) for side in (mine, others)])
                assert chi2_contingency(_pooled(table), correction=False).pvalue > SUSPICIOUS / 16


def _turned(sides: Sides) -> Sides:
    status = sides[1].copy()
    status[::8, c.DIRECTION] = 0
    return sides[0], status, sides[2]


def _without(sides: Sides, condition: Any) -> Sides:
    kept = ~condition(*sides)
    return sides[0][kept], sides[1][kept], sides[2][kept]


WRONG: Mapping[str, tuple[Setup, Any]] = {
    "a direction too often": (("DoorKey-8x8-v0", {}), _turned),
    "no door in the first row": (
        ("DoorKey-8x8-v0", {}),
        lambda sides: _without(sides, lambda cells, *_: (cells[:, 1] & 15 == c.DOOR).any(axis=1)),
    ),
    "seldom a yellow door": (
        ("UnlockPickup-v0", {}),
        lambda sides: _without(
            sides,
            lambda cells, *_: (cells & 0x7F == c.DOOR | c.YELLOW << 4).any(axis=(1, 2)) & (cells[:, 1, 1] == c.EMPTY),
        ),
    ),
    "fewer large rooms": (
        ("GoToDoor-8x8-v0", {}),
        lambda sides: _without(sides, lambda cells, status, _: (cells[:, 7] > 1).any(axis=1) & (status[:, c.X] > 1)),
    ),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_distribution_is_told(mistake: str) -> None:
    setup, spoil = WRONG[mistake]
    right, others = ours(setup, 4 * SAMPLE, seed=7), theirs(setup, 4 * SAMPLE, seed=70_000)[0]
    assert_alike(right, others)
    with pytest.raises(AssertionError, match="differs: ours"):
        assert_alike(spoil(right), others)
