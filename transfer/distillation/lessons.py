"""What teachers say of observations: a data set for supervised learning."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.outputs import Outputs
from envs.errors import ConfigError


@dataclass(frozen=True)
class Lesson:
    """What one teacher says of N observations; constants."""

    outputs: Outputs
    """teacher∘mapping: heads in the target's actions."""
    hidden: Tensor | None = None
    """Its last hidden layer (N, n_hidden), where that is to be matched."""

    def on(self, device: torch.device) -> "Lesson":
        """The same on a device."""
        outputs = self.outputs
        moved = Outputs(
            outputs.kind, outputs.head.to(device), _moved(outputs.log_std, device), _moved(outputs.value, device)
        )
        return Lesson(moved, _moved(self.hidden, device))


class Packed:
    """Lessons as one matrix (N, …), so that those of a minibatch are one look-up and the rest is views."""

    def __init__(self, lessons: Sequence[Lesson]) -> None:
        self._layout: list[list[tuple[str, int]]] = []
        columns: list[Tensor] = []
        self._kinds = [lesson.outputs.kind for lesson in lessons]
        for lesson in lessons:
            one = lesson.outputs
            parts = {"head": one.head, "log_std": one.log_std, "value": one.value, "hidden": lesson.hidden}
            known = {name: part.reshape(len(one.head), -1) for name, part in parts.items() if part is not None}
            self._layout.append([(name, part.shape[1]) for name, part in known.items()])
            columns += known.values()
        self._matrix = torch.cat(columns, dim=1)

    def of(self, rows: Tensor) -> list[Lesson]:
        """The lessons of some observations."""
        widths = [width for layout in self._layout for _, width in layout]
        views = iter(self._matrix.index_select(0, rows).split(widths, dim=1))  # type: ignore[no-untyped-call]
        found = []
        for kind, layout in zip(self._kinds, self._layout, strict=True):
            parts = {name: next(views) for name, _ in layout}
            value = parts.get("value")
            outputs = Outputs(kind, parts["head"], parts.get("log_std"), None if value is None else value.squeeze(1))
            found.append(Lesson(outputs, parts.get("hidden")))
        return found


@dataclass(frozen=True)
class DataSet:
    """N observations as the student's environments give them, and a lesson of each teacher."""

    observations: Any
    lessons: tuple[Lesson, ...]

    def __len__(self) -> int:
        return len(self.lessons[0].outputs.head)


def joined(sets: Sequence[DataSet]) -> DataSet:
    """Several data sets of the same teachers as one. Raises ConfigError if nothing is in them."""
    if not sets or not sum(map(len, sets)):
        raise ConfigError("the distillation set is empty: expected at least one transition; give more transitions")
    lessons = zip(*(found.lessons for found in sets), strict=True)
    return DataSet(_stack([found.observations for found in sets]), tuple(map(_joined, lessons)))


def _joined(lessons: Sequence[Lesson]) -> Lesson:
    outputs = [lesson.outputs for lesson in lessons]
    whole = Outputs(
        outputs[0].kind,
        torch.cat([one.head for one in outputs]),
        _cat([one.log_std for one in outputs]),
        _cat([one.value for one in outputs]),
    )
    return Lesson(whole, _cat([lesson.hidden for lesson in lessons]))


def _cat(tensors: Sequence[Tensor | None]) -> Tensor | None:
    known = [tensor for tensor in tensors if tensor is not None]
    return torch.cat(known) if len(known) == len(tensors) else None


def _stack(observations: Sequence[Any]) -> Any:
    if isinstance(observations[0], dict):
        return {key: np.concatenate([one[key] for one in observations]) for key in observations[0]}
    return np.concatenate(list(observations))


def _moved(tensor: Tensor | None, device: torch.device) -> Tensor | None:
    return None if tensor is None else tensor.to(device)
