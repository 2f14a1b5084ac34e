"""What a map of observations does to the features behind an encoder: an affine function, where it folds.

    features of what the source sees = A · features of what the target sees + c

Selecting, permuting, filling, cropping, padding and taking the nearest cell are affine once symbols are 0/1 planes.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_flattened_obs_dim, is_image_space
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor
from torch import Tensor, nn

from agents.encoders import FlatEncoder, Planes, PlanesConvEncoder, PlanesEncoder, SymbolsEncoder
from agents.mapped import ChoiceMap, Constant, GridMap, ObservationMap, Same, VectorMap

FLAT = (FlattenExtractor, FlatEncoder, PlanesEncoder, SymbolsEncoder, CombinedExtractor)
"""Encoders whose features are the observation's entries, or its planes, one after the other."""


@dataclass(frozen=True)
class Affine:
    """A, as its entries, and c."""

    rows: Tensor
    """(k,), features of the source."""
    columns: Tensor
    """(k,), features of the target."""
    factors: Tensor
    """(k,)."""
    constant: Tensor
    """c (n_source,); NaN where a vector's feature stands at the mean that the source knows."""
    size: int
    """n_target."""

    @property
    def one_to_one(self) -> bool:
        """Whether every feature stands for one other at most, unchanged: then statistics go with it."""
        unchanged = bool((self.factors == 1).all()) and bool((self.constant[self.rows] == 0).all())
        return unchanged and all(len(set(each.tolist())) == len(each) for each in (self.rows, self.columns))

    def fold(self, weight: Tensor, constant: Tensor) -> tuple[Tensor, Tensor]:
        """W·A (n_out, n_target) and W·c (n_out,), of a layer's weights W (n_out, n_source)."""
        entries = weight[:, self.rows.to(weight.device)] * self.factors.to(weight)
        columns = weight.new_zeros(len(weight), self.size).index_add_(1, self.columns.to(weight.device), entries)
        return columns, weight @ constant.to(weight)


class Cells(NamedTuple):
    """What happens to the planes of one cell, and which cell stands for which."""

    matrix: Tensor
    """(P_source, P_target)."""
    constant: Tensor
    """(P_source,), added to it."""
    pad: Tensor
    """(P_source,), of a cell beyond the target's edges."""
    cells: Tensor
    """(H·W of the source,): the target's cell, or -1."""


def affine(
    described: ObservationMap, source: spaces.Space[Any], target: spaces.Space[Any], encoder: Any
) -> Affine | None:
    """The map behind an encoder of the source, where the same encoder on the target can take it in; else None."""
    if type(encoder) not in FLAT or isinstance(source, spaces.Dict) != isinstance(target, spaces.Dict):
        return None
    symbolic = type(encoder) in (PlanesEncoder, SymbolsEncoder)
    theirs = dict(source.spaces) if isinstance(source, spaces.Dict) else {"": source}
    ours = dict(target.spaces) if isinstance(target, spaces.Dict) else {"": target}
    if any(is_image_space(space) for space in (*theirs.values(), *ours.values())):
        return None
    if type(encoder) is SymbolsEncoder and not _counted(ours):
        return None
    starts, at = {}, 0
    for key, space in ours.items():
        starts[key] = at
        at += _size(space, symbolic)
    pieces = []
    hows = {part.source: part for part in described.parts}
    before = 0
    for key, space in theirs.items():
        part = hows[key]
        other = None if part.target is None else ours[part.target]
        piece = _piece(part.how, space, other, symbolic)
        if piece is None:
            return None
        rows, columns, factors, constant = piece
        pieces.append((rows + before, columns + (0 if part.target is None else starts[part.target]), factors, constant))
        before += len(constant)
    rows, columns, factors, constant = (torch.cat(each) for each in zip(*pieces, strict=True))
    return Affine(rows, columns, factors, constant, at)


def through_filters(
    described: ObservationMap, source: spaces.Space[Any], target: spaces.Space[Any], encoder: Any
) -> Cells | None:
    """The map before 3×3 filters without padding, where they can take it in: planes map, cells are cropped at most."""
    if type(encoder) is not PlanesConvEncoder or isinstance(target, spaces.Dict) or len(described.parts) != 1:
        return None
    how = described.parts[0].how
    if not isinstance(how, GridMap):
        return None
    for axis in (how.rows, how.columns):
        first = axis[0]
        if first is None or axis != tuple(range(first, first + len(axis))):
            return None
    return _cells(how, source, target, symbolic=True)


def _piece(how: Any, source: Any, target: Any, symbolic: bool) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
    """Rows, columns, factors and constants of one part."""
    none = torch.zeros(0, dtype=torch.long)
    size = _size(source, symbolic)
    match how:
        case Same():
            return torch.arange(size), torch.arange(size), torch.ones(size), torch.zeros(size)
        case Constant(value=value):
            return none, none, torch.zeros(0), _standing(value, source, symbolic)
        case VectorMap(entries=entries, fill=fill):
            pairs = [(i, j) for i, j in enumerate(entries) if j is not None]
            standing = [0.0 if j is not None else _or_mean(value) for j, value in zip(entries, fill, strict=True)]
            rows, columns = (torch.tensor([pair[k] for pair in pairs], dtype=torch.long) for k in (0, 1))
            return rows, columns, torch.ones(len(pairs)), torch.tensor(standing)
        case ChoiceMap(table=table):
            return torch.tensor(table), torch.arange(len(table)), torch.ones(len(table)), torch.zeros(size)
        case GridMap():
            cells = _cells(how, source, target, symbolic)
            return None if cells is None else _spread(cells)
    return None


def _spread(each: Cells) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Every cell's entries, as `_piece` gives them."""
    theirs, ours = each.matrix.nonzero(as_tuple=True)
    inside = (each.cells >= 0).nonzero().flatten()
    rows = (inside[:, None] * len(each.matrix) + theirs).flatten()
    columns = (each.cells[inside, None] * each.matrix.shape[1] + ours).flatten()
    factors = each.matrix[theirs, ours].repeat(len(inside))
    constant = torch.where((each.cells >= 0)[:, None], each.constant, each.pad).flatten()
    return rows, columns, factors, constant


def _cells(how: GridMap, source: Any, target: Any, symbolic: bool) -> Cells | None:
    if not symbolic and any(channel.table is not None for channel in how.channels):
        return None
    theirs, ours = _labels(source, symbolic), _labels(target, symbolic)
    matrix, constant = torch.zeros(len(theirs), len(ours)), torch.zeros(len(theirs))
    pad = torch.zeros(len(theirs))
    for p, (c, v) in enumerate(theirs):
        channel = how.channels[c]
        pad[p] = _shown(channel.pad, v)
        if channel.target is None:
            constant[p] = _shown(channel.fill, v)
            continue
        for q, (d, u) in enumerate(ours):
            if d != channel.target:
                continue
            if u is None and channel.table is None:
                matrix[p, q] = 1.0 if v is None else _shown(1, v) - _shown(0, v)
                constant[p] += 0.0 if v is None else _shown(0, v)
            elif u is None and channel.table is not None:
                zero, one = (_shown(symbol, v) for symbol in channel.table[:2])
                matrix[p, q], constant[p] = one - zero, constant[p] + zero
            else:
                matrix[p, q] = _shown(u if channel.table is None else channel.table[int(u or 0)], v)
    width = target.shape[1]
    places = [[-1 if i is None or j is None else i * width + j for j in how.columns] for i in how.rows]
    return Cells(matrix, constant, pad, torch.tensor(places).flatten())


def _shown(symbol: float | None, value: int | None) -> float:
    """What a plane shows of a symbol: whether it is its value; a plane that is no symbol's (None) shows a number."""
    symbol = float(symbol or 0.0)
    return symbol if value is None else float(int(symbol) == value)


def _labels(space: Any, symbolic: bool) -> list[tuple[int, int | None]]:
    """(channel, value) of each plane of a cell; the value of one that is no symbol's is None."""
    if not symbolic:
        return [(channel, None) for channel in range(space.shape[2])]
    labels = Planes(space).labels
    often = [channel for channel, _ in labels]
    return [(channel, None if often.count(channel) == 1 else value) for channel, value in labels]


def _standing(value: float, space: Any, symbolic: bool) -> Tensor:
    if isinstance(space, spaces.Discrete):
        return nn.functional.one_hot(torch.tensor(int(value)), int(space.n)).float()
    if symbolic:
        cell = torch.tensor([_shown(value, v) for _, v in _labels(space, True)])
        return cell.repeat(space.shape[0] * space.shape[1])
    return torch.full((_size(space, symbolic),), float(value))


def _or_mean(value: float | None) -> float:
    return float("nan") if value is None else value


def _size(space: Any, symbolic: bool) -> int:
    if symbolic and not isinstance(space, spaces.Discrete):
        return Planes(space).size
    return int(get_flattened_obs_dim(space))


def _counted(parts: dict[str, Any]) -> bool:
    """Whether the encoder `symbols` takes a Dict of these parts."""
    from agents.encoders import parts_of_symbols

    return parts_of_symbols(spaces.Dict(parts)) is not None
