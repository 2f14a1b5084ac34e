"""Which rows, columns and cells of a target's grid are which of a source's, and which actions name the same cells.

Planes and actions follow one rule, so that the action of a cell goes where the cell goes.
"""

from collections import defaultdict
from collections.abc import Mapping as Pairs
from typing import Literal

from envs.errors import MappingError
from envs.interface import Cells, Interface
from transfer.naming import parts_of

Axis = tuple[int | None, ...]
Resize = Literal["crop", "nearest"]


def axis(source: Interface, target: Interface, which: int, theirs: int, ours: int, resize: Resize) -> Axis:
    """For each of the source's rows (which = 0) or columns (1) the target's, None beyond its edge.

    Args:
        source: whose anchor counts where both have the same, else the centre.
        target: likewise.
        which: rows or columns.
        theirs: how many the source has.
        ours: how many the target has.
        resize: how grids of other sizes fit.
    """
    if resize == "nearest":
        return tuple(min(ours - 1, (2 * i + 1) * ours // (2 * theirs)) for i in range(theirs))
    anchors = {side.anchor[which] for side in (source, target)}
    anchor = anchors.pop() if len(anchors) == 1 else "centre"
    offset = {"start": 0, "centre": (ours - theirs) // 2, "end": ours - theirs}[anchor]
    return tuple(i + offset if 0 <= i + offset < ours else None for i in range(theirs))


def by_cells(source: Interface, target: Interface, resize: Resize) -> dict[int, tuple[int, ...]] | None:
    """For the target's actions those of the source that name the same cells; None unless both name cells.

    Several where several of the source's cells are seen in one of the target's. Actions of one cell, such as the ways a
    piece can go from it, map in their order; those of no cell map by their names.

    Raises MappingError for cells outside a grid.
    """
    if source.action_cells is None or target.action_cells is None:
        return None
    sizes = board(source), board(target)
    axes = [axis(source, target, k, sizes[0][k], sizes[1][k], resize) for k in (0, 1)]
    theirs: dict[tuple[Cells, int], list[int]] = defaultdict(list)  # (the target's cells, which of them) → actions
    for action, (cells, rank) in enumerate(_ranked(source.action_cells)):
        moved = None if cells is None else _moved(cells, axes)
        if moved is not None:
            theirs[moved, rank].append(action)
    found: dict[int, tuple[int, ...]] = {}
    for action, (cells, rank) in enumerate(_ranked(target.action_cells)):
        known = _by_name(source, target, action) if cells is None else theirs.get((cells, rank), [])
        if known:
            found[action] = tuple(known)
    return found


def board(interface: Interface) -> tuple[int, int]:
    """Rows and columns of the grid that actions name cells of: what is observed, else as many as the cells need."""
    shapes = {space.shape[:2] for space in parts_of(interface).values() if space.shape and len(space.shape) == 3}
    named = [cells for cells in interface.action_cells or () if cells is not None]
    needed = [1 + max((at for cells in named for at in cells[k::2] if at is not None), default=0) for k in (0, 1)]
    height, width = shapes.pop() if len(shapes) == 1 else needed
    if needed[0] > height or needed[1] > width or any(at is not None and at < 0 for cells in named for at in cells):
        raise MappingError(
            f"actions name cells of {needed[0]} rows and {needed[1]} columns, the observation has {height}×{width}: "
            'expected cells inside, counted from 0, in metadata["headstart"]["cells"]'
        )
    return int(height), int(width)


def _ranked(every: tuple[Cells | None, ...]) -> list[tuple[Cells | None, int]]:
    """Each with how many of the same cells came before it."""
    seen: dict[Cells | None, int] = defaultdict(int)
    ranked = []
    for cells in every:
        ranked.append((cells, seen[cells]))
        seen[cells] += 1
    return ranked


def _moved(cells: Cells, axes: list[Axis]) -> Cells | None:
    """The source's cells as the target's; None if one is beyond its edge."""
    moved = [None if at is None else axes[k % 2][at] for k, at in enumerate(cells)]
    lost = any(at is not None and to is None for at, to in zip(cells, moved, strict=True))
    return None if lost else tuple(moved)


def _by_name(source: Interface, target: Interface, action: int) -> list[int]:
    theirs: Pairs[str, int] = {name: index for index, name in enumerate(source.actions or ())}
    name = (target.actions or ())[action] if target.actions else ""
    index = theirs.get(name)
    return [] if index is None or (source.action_cells or ())[index] is not None else [index]
