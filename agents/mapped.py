"""A frozen input layer: a target's observations as an encoder made for a source's sees them.

A map takes each number, symbol or plane of a source's observation from one place of the target's, or from a constant.
It is plain data, so that a checkpoint can hold it and building it runs nobody's code. `InputLayer` carries it out;
`MappedEncoder` is the source's own encoder behind such a layer.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import torch
from gymnasium import spaces
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn

from agents.encoders import MOST_SYMBOLS, FlatEncoder, Normaliser, find_encoder
from envs.errors import ConfigError
from envs.interface import space_from_json, space_to_json

Observations = Tensor | dict[str, Tensor]
NAME = "mapped"
"""What an architecture calls this encoder: `{"name": "mapped", "map": …, "space": …, "encoder": …}`."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Same(_Data):
    """A part that passes unchanged."""

    kind: Literal["same"] = "same"


class Constant(_Data):
    """A part that the target lacks."""

    kind: Literal["constant"] = "constant"
    value: float = 0.0
    """Of all its entries, or the value of a Discrete part."""


class VectorMap(_Data):
    """A vector's entries."""

    kind: Literal["vector"] = "vector"
    entries: tuple[int | None, ...]
    """For each of the source's the target's, or None."""
    fill: tuple[float | None, ...]
    """What stands where the target has none; None: the mean that the source's normaliser knows, else 0."""


class ChoiceMap(_Data):
    """A Discrete part's values."""

    kind: Literal["choice"] = "choice"
    table: tuple[int, ...]
    """For each of the target's values the source's."""


class Channel(_Data):
    """Where one of the source's channels comes from."""

    target: int | None
    """The target's channel, or None."""
    table: tuple[int, ...] | None = None
    """For each of the target's symbols what the source sees; None: the same."""
    fill: float = 0.0
    """What stands where the target has no such channel."""
    pad: float = 0.0
    """What a cell beyond the target's edges holds."""


class GridMap(_Data):
    """A grid (height, width, channels): of planes, symbols or colours."""

    kind: Literal["grid"] = "grid"
    rows: tuple[int | None, ...]
    """For each of the source's rows the target's, or None beyond its edge."""
    columns: tuple[int | None, ...]
    """Likewise."""
    channels: tuple[Channel, ...]
    """For each of the source's."""


How = Annotated[Same | Constant | VectorMap | ChoiceMap | GridMap, Field(discriminator="kind")]


class Part(_Data):
    """One part of the source's observation."""

    source: str
    """Its key; `""` where the observation is no Dict."""
    target: str | None
    """The key of the target's part that stands for it, or None."""
    how: How


class ObservationMap(_Data):
    """For each part of a source's observation where it comes from."""

    parts: tuple[Part, ...]


class InputLayer(nn.Module):
    """A map, carried out.

    Args:
        described: the map.
        source: the source's observation space; as its network sees it if `preprocessed`.
        preprocessed: whether observations come as SB3 preprocesses them: pictures with channels first and divided by
            255, Discrete parts one-hot. Else they come as environments give them.
    """

    def __init__(self, described: ObservationMap, source: spaces.Space[Any], *, preprocessed: bool) -> None:
        super().__init__()
        parts = source.spaces if isinstance(source, spaces.Dict) else {"": source}
        self._single = not isinstance(source, spaces.Dict)
        self._targets = {part.source: part.target for part in described.parts}
        if self._targets.keys() != parts.keys():
            raise ConfigError(f"a map gives the parts {sorted(self._targets)}: expected those of {source}")
        self._keys = {part.source: str(index) for index, part in enumerate(described.parts)}
        layers = (_layer(part.how, parts[part.source], preprocessed) for part in described.parts)
        self.layers = nn.ModuleDict({str(index): layer for index, layer in enumerate(layers)})

    def forward(self, target: Observations) -> Observations:
        """The target's observations (B, …) as the source's (B, …)."""
        given = target if isinstance(target, dict) else {"": target}
        first = next(iter(given.values()))
        seen = {}
        for source, key in self._targets.items():
            layer = self.layers[self._keys[source]]
            seen[source] = layer(first if key is None else given[key])
        return seen[""] if self._single else seen


def _layer(how: Any, space: spaces.Space[Any], preprocessed: bool) -> nn.Module:
    match how:
        case Constant():
            return _Standing(how, space, preprocessed)
        case VectorMap():
            return _Entries(how)
        case ChoiceMap():
            return _Choices(how, int(space.n), preprocessed)  # type: ignore[attr-defined]
        case GridMap():
            return _Cells(how, space, preprocessed)
    return nn.Identity()


class _Standing(nn.Module):
    """The same in every observation."""

    value: Tensor

    def __init__(self, how: Constant, space: spaces.Space[Any], preprocessed: bool) -> None:
        super().__init__()
        if isinstance(space, spaces.Discrete):
            value = torch.tensor(int(how.value))
            value = nn.functional.one_hot(value, int(space.n)).float() if preprocessed else value
        else:
            scale = 255.0 if preprocessed and is_image_space(space) else 1.0
            value = torch.full(space.shape or (), how.value / scale, dtype=_type(space, preprocessed))
        self.register_buffer("value", value, persistent=False)

    def forward(self, observations: Tensor) -> Tensor:
        return self.value.expand(len(observations), *self.value.shape)


class _Entries(nn.Module):
    """(B, n_target) → (B, n_source), float."""

    known: Tensor
    index: Tensor
    fill: Tensor

    def __init__(self, how: VectorMap) -> None:
        super().__init__()
        self.register_buffer("known", torch.tensor([entry is not None for entry in how.entries]), persistent=False)
        self.register_buffer("index", torch.tensor([entry or 0 for entry in how.entries]), persistent=False)
        self.register_buffer("fill", torch.tensor([value or 0.0 for value in how.fill]), persistent=False)

    def forward(self, observations: Tensor) -> Tensor:
        return torch.where(self.known, observations.float()[:, self.index], self.fill)


class _Choices(nn.Module):
    """Values (B,), or one-hot (B, n_target) → (B, n_source)."""

    table: Tensor

    def __init__(self, how: ChoiceMap, size: int, preprocessed: bool) -> None:
        super().__init__()
        self.size, self.preprocessed = size, preprocessed
        self.register_buffer("table", torch.tensor(how.table), persistent=False)

    def forward(self, observations: Tensor) -> Tensor:
        if not self.preprocessed:
            return self.table[observations.long()]
        chosen = observations.flatten(1)
        return chosen.new_zeros(len(chosen), self.size).index_add_(1, self.table, chosen)


class _Cells(nn.Module):
    """(B, height, width, channels) of the target → of the source; of pictures, preprocessed, channels come first."""

    rows: Tensor
    columns: Tensor
    channels: Tensor
    tables: Tensor
    offsets: Tensor
    inside: Tensor
    known: Tensor
    fill: Tensor
    pad: Tensor

    def __init__(self, how: GridMap, space: spaces.Space[Any], preprocessed: bool) -> None:
        super().__init__()
        self.picture = preprocessed and is_image_space(space)
        self.entry_type = _type(space, preprocessed)
        scale = 255.0 if self.picture else 1.0
        rows, columns = ([i is not None for i in axis] for axis in (how.rows, how.columns))
        buffers = {
            "rows": torch.tensor([i or 0 for i in how.rows]),
            "columns": torch.tensor([i or 0 for i in how.columns]),
            "channels": torch.tensor([channel.target or 0 for channel in how.channels]),
            "inside": (torch.tensor(rows)[:, None] & torch.tensor(columns)[None])[..., None],  # (H, W, 1)
            "known": torch.tensor([channel.target is not None for channel in how.channels]),
            "fill": torch.tensor([channel.fill / scale for channel in how.channels]),
            "pad": torch.tensor([channel.pad / scale for channel in how.channels]),
        }
        tables = [channel.table for channel in how.channels]
        symbolic = any(table is not None for table in tables)
        self.width = MOST_SYMBOLS + 1 if symbolic else 0  # of a channel without a table, too, every symbol passes
        each = [(*(table or ()), *range(len(table or ()), self.width)) for table in tables]
        buffers["tables"] = torch.tensor(each).flatten()
        buffers["offsets"] = self.width * torch.arange(len(tables))
        for name, buffer in buffers.items():
            self.register_buffer(name, buffer, persistent=False)

    def forward(self, observations: Tensor) -> Tensor:
        cells = observations.permute(0, 2, 3, 1) if self.picture else observations
        cells = cells.index_select(1, self.rows).index_select(2, self.columns).index_select(3, self.channels)
        if self.width:
            cells = self.tables[cells.long().clamp(max=self.width - 1) + self.offsets]
        cells = torch.where(self.known, cells.to(self.entry_type), self.fill.to(self.entry_type))
        cells = torch.where(self.inside, cells, self.pad.to(self.entry_type))
        return cells.permute(0, 3, 1, 2) if self.picture else cells


def _type(space: spaces.Space[Any], preprocessed: bool) -> torch.dtype:
    """The type of a part's entries: float once preprocessed, else the space's, where torch has it."""
    found = torch.float32 if preprocessed else getattr(torch, str(space.dtype), torch.float32)
    return found if isinstance(found, torch.dtype) else torch.float32


class MappedEncoder(FlatEncoder):
    """A source's encoder behind a frozen input layer.

    Args:
        observation_space: the target's, as its network sees it.
        described: the map.
        source: the source's observation space, as its network sees it.
        encoder: the source's encoder: a name of the registry, or another description of a mapped one.
        normalise: whether that encoder has a normaliser.

    Raises ConfigError for an encoder that has no name in the registry, and for a map of other spaces.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        described: ObservationMap,
        source: spaces.Space[Any],
        encoder: "str | Mapping[str, Any]",
        normalise: bool = False,
    ) -> None:
        if isinstance(encoder, str) and ":" in encoder:
            raise ConfigError(f"a mapped encoder holds one that has a name, found {encoder!r}")
        kind, arguments = find_encoder(encoder, source, normalise)
        inner = kind(source, **arguments)
        BaseFeaturesExtractor.__init__(self, observation_space, inner.features_dim)
        self.layer = InputLayer(described, source, preprocessed=True)
        self.inner = inner

    @property
    def normaliser(self) -> Normaliser | None:  # type: ignore[override]
        """The source encoder's: of what the source sees."""
        found = getattr(self.inner, "normaliser", None)
        return found if isinstance(found, Normaliser) else None

    def encode(self, observations: Any) -> Tensor:
        """Preprocessed observations of the target (B, …) → what the normaliser sees."""
        encoded: Tensor = self.inner.encode(self.layer(observations))  # type: ignore[operator]
        return encoded

    def forward(self, observations: Any) -> Tensor:
        """Preprocessed observations of the target (B, …) → features (B, features_dim)."""
        features: Tensor = self.inner(self.layer(observations))
        return features


def describe(
    described: ObservationMap, source: spaces.Space[Any], encoder: "str | Mapping[str, Any]"
) -> dict[str, Any]:
    """The encoder of an architecture, as plain JSON."""
    return {"name": NAME, "map": described.model_dump(mode="json"), "space": space_to_json(source), "encoder": encoder}


def find_mapped(document: Mapping[str, Any], normalise: bool) -> tuple[type[MappedEncoder], dict[str, Any]]:
    """The class and keyword arguments behind what `describe` wrote. Raises ConfigError."""
    if set(document) != {"name", "map", "space", "encoder"} or document["name"] != NAME:
        raise ConfigError(
            f"encoder: found {sorted(document)}, expected a name or what Headstart writes: name = {NAME!r}"
        )
    try:
        described = ObservationMap.model_validate(document["map"])
        source = space_from_json(document["space"])
    except (ValidationError, KeyError, TypeError, ValueError, AssertionError) as error:
        raise ConfigError(f"encoder {NAME}: not a map of observations: {' '.join(str(error).split())[:200]}") from error
    arguments = {"described": described, "source": source, "encoder": document["encoder"]}
    return MappedEncoder, {**arguments, "normalise": normalise}
