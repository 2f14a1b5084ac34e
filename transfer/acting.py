"""A source's heads in a target's actions: rows of choices, dimensions of numbers."""

import math
from collections.abc import Mapping as Pairs
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from agents.masking import masked
from agents.outputs import Outputs
from transfer.matching import Indices, bounds

if TYPE_CHECKING:
    from transfer.mapping import Mapping


def rows(
    actions: Indices, merged: Pairs[int, tuple[int, ...]], source: Tensor, *, shift: bool, margin: float
) -> Tensor:
    """The target's rows of a discrete head, (n_source, …) → (n_target, …); see `Mapping.rows`."""
    stands = [merged.get(i, () if j is None else (j,)) for i, j in enumerate(actions)]
    if shift:
        often = [max(1, sum(j in those for those in stands)) for j in range(len(source))]
        shared = torch.tensor(often, device=source.device, dtype=source.dtype).log()
        source = source - shared.reshape(-1, *[1] * (source.dim() - 1))
    first = torch.tensor([those[0] for those in stands if those], device=source.device)
    carried = source[first]
    if merged:
        places = {target: place for place, target in enumerate(i for i, those in enumerate(stands) if those)}
        carried = carried.clone()
        for target, those in merged.items():
            carried[places[target]] = source[list(those)].mean(dim=0) + (math.log(len(those)) if shift else 0.0)
    if all(stands):
        return carried
    new = carried.mean(dim=0) - margin
    known = iter(carried)
    return torch.stack([next(known) if those else new for those in stands])


def legal(outputs: Outputs, masks: Tensor) -> Outputs:
    """Discrete heads (B, n), those of actions whose mask (B, n) is 0 at `agents.masking.ILLEGAL`."""
    head = masked(outputs.head, masks.to(outputs.head.device))
    value = head.max(dim=-1).values if outputs.kind == "q" else outputs.value
    return replace(outputs, head=head, value=value)


@dataclass(frozen=True)
class Dimensions:
    """Continuous dimensions: target = scale · source + shift, so that the source's bounds become the target's."""

    index: tuple[int, ...]
    """For each of the target's dimensions the source's; 0 for a new one."""
    scale: Tensor
    """(n_target,); 0 for a new dimension."""
    shift: Tensor
    """(n_target,); of a new dimension its middle."""
    log_scale: Tensor
    """(n_target,), what a log standard deviation changes by; of a new dimension its log standard deviation."""

    @classmethod
    def of(cls, mapping: "Mapping", *, squashed: bool) -> Self:
        """Of a mapping between two Box spaces. With `squashed`, actions are scaled to their bounds afterwards."""
        theirs, ours = bounds(mapping.source.action_space), bounds(mapping.target.action_space)
        scales, shifts, logs = [], [], []
        for (low, high), j in zip(ours, mapping.actions or (), strict=True):
            half = (high - low) / 2 if math.isfinite(high - low) and not squashed else 1.0
            middle = (high + low) / 2 if math.isfinite(high - low) and not squashed else 0.0
            if j is None:
                scales.append(0.0)
                shifts.append(middle)
                logs.append(math.log(mapping.spread * half))
                continue
            from_low, from_high = theirs[j]
            same = squashed or (from_low, from_high) == (low, high)
            scale = 1.0 if same else (high - low) / (from_high - from_low)
            scales.append(scale)
            shifts.append(0.0 if same else low - scale * from_low)
            logs.append(math.log(scale))
        index = tuple(j or 0 for j in mapping.actions or ())
        return cls(index, torch.tensor(scales), torch.tensor(shifts), torch.tensor(logs))

    def means(self, source: Tensor) -> Tensor:
        """(…, n_source) → (…, n_target)."""
        return source[..., list(self.index)] * self.scale.to(source) + self.shift.to(source)

    def weights(self, source: Tensor) -> Tensor:
        """Of the means' layer: (n_source, n_in) → (n_target, n_in)."""
        return source[list(self.index)] * self.scale.to(source)[:, None]

    def log_std(self, source: Tensor) -> Tensor:
        """(…, n_source) → (…, n_target)."""
        log_scale = self.log_scale.to(source)
        return torch.where(self.scale.to(source) == 0, log_scale, source[..., list(self.index)] + log_scale)

    @property
    def new(self) -> bool:
        """Whether there are new dimensions."""
        return bool((self.scale == 0).any())
