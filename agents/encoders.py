"""Encoders: what stands between an observation and a policy's first layer.

Every encoder is a Stable-Baselines3 features extractor. Where plain SB3 has the same one (`flat` without a
normaliser, `nature`, `combined`) its own class is used, so that an exported zip opens without Headstart.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import (
    get_flattened_obs_dim,
    is_image_space,
    is_image_space_channels_first,
)
from stable_baselines3.common.torch_layers import (
    BaseFeaturesExtractor,
    FlattenExtractor,
)
from torch import Tensor, nn

from envs.errors import ConfigError
from envs.masks import inner
from envs.registry import Registry, load_attribute

SMALLEST_IMAGE = 36
"""Pixels a side that the three convolutions of `nature` leave one of."""

MOST_SYMBOLS = 32
"""An integer grid whose entries go up to this is taken for symbols, not for colours."""

ENCODERS = Registry(
    "encoder",
    {
        "flat": "agents.encoders:FlatEncoder",
        "planes": "agents.encoders:PlanesEncoder",
        "planes-conv": "agents.encoders:PlanesConvEncoder",
        "symbols": "agents.encoders:SymbolsEncoder",
        "nature": "stable_baselines3.common.torch_layers:NatureCNN",
        "combined": "stable_baselines3.common.torch_layers:CombinedExtractor",
    },
)
"""Name → features extractor. `module:Class` works as a name too."""


class Normaliser(nn.Module):
    """Shifts and scales each feature to mean 0 and variance 1, and clips it, as SB3's VecNormalize does.

    The statistics are buffers, so that checkpoints hold them, and change only in `update`: they are constant within a
    rollout and the update that uses it. Each feature has a count of its own, so that a mapping can carry some
    features' statistics and leave others new.
    """

    mean: Tensor
    var: Tensor
    count: Tensor

    def __init__(self, size: int, clip: float = 10.0, epsilon: float = 1e-8) -> None:
        super().__init__()
        self.clip = clip
        self.epsilon = epsilon
        self.register_buffer("mean", torch.zeros(size))  # (size,)
        self.register_buffer("var", torch.ones(size))  # (size,), of the population
        self.register_buffer("count", torch.zeros(size))  # (size,), observations seen

    def forward(self, features: Tensor) -> Tensor:
        """(B, size) → (B, size), within ±clip."""
        return ((features - self.mean) * torch.rsqrt(self.var + self.epsilon)).clamp(-self.clip, self.clip)

    @torch.no_grad()
    def update(self, features: Tensor) -> None:
        """Merge a batch (B, size) into the statistics.

        Chan, Golub & LeVeque 1979: of two samples a and b with means m and sums of squares M,
        M = M_a + M_b + (m_b − m_a)² n_a n_b / n.
        """
        if not len(features):
            return
        batch = features.double()
        n_b, mean_b = float(len(batch)), batch.mean(dim=0)
        var_b = batch.var(dim=0, correction=0)
        n_a, mean_a, var_a = self.count.double(), self.mean.double(), self.var.double()
        n = n_a + n_b
        delta = mean_b - mean_a
        self.mean.copy_(mean_a + delta * n_b / n)
        self.var.copy_((var_a * n_a + var_b * n_b + delta.square() * n_a * n_b / n) / n)
        self.count.copy_(n)

    def copy_from(self, other: "Normaliser") -> None:
        """Take the statistics of another normaliser of the same size."""
        self.load_state_dict(other.state_dict())


class FlatEncoder(BaseFeaturesExtractor):
    """The observation as one vector, normalised if asked for."""

    def __init__(self, observation_space: spaces.Space[Any], normalise: bool = False) -> None:
        super().__init__(observation_space, get_flattened_obs_dim(observation_space))
        self.normaliser = Normaliser(self.features_dim) if normalise else None

    def encode(self, observations: Tensor) -> Tensor:
        """Preprocessed observations (B, …) → what the normaliser sees (B, features_dim)."""
        return observations.flatten(1)

    def forward(self, observations: Tensor) -> Tensor:
        """Preprocessed observations (B, …) → features (B, features_dim)."""
        features = self.encode(observations)
        return features if self.normaliser is None else self.normaliser(features)


class Planes(nn.Module):
    """An integer grid (B, H, W, C) as 0/1 planes (B, H, W, P): a plane for each value of each channel.

    A channel whose highest value is 1 is a plane already and stays one. Planes are ordered by channel, then by value:
    `labels` lists them as (channel, value).
    """

    _offsets: Tensor
    _symbolic: Tensor

    def __init__(self, observation_space: spaces.Space[Any]) -> None:
        super().__init__()
        highs = channel_highs(observation_space)
        if highs is None:
            raise ConfigError(
                f"encoder planes: expected a grid of integers from 0 to at most {MOST_SYMBOLS} of the shape "
                f"(height, width, channels), found {observation_space}; take the encoder flat"
            )
        shape = observation_space.shape or ()
        widths = [1 if high == 1 else high + 1 for high in highs]
        self.labels = [
            (channel, value) for channel, high in enumerate(highs) for value in ([1] if high == 1 else range(high + 1))
        ]
        self.shape = (shape[0], shape[1], len(self.labels))
        self.size = shape[0] * shape[1] * len(self.labels)
        cells = torch.arange(shape[0] * shape[1]).unsqueeze(1) * len(self.labels)
        first_planes = torch.tensor([sum(widths[:channel]) for channel in range(len(widths))])
        self.all_binary = all(high == 1 for high in highs)
        self.none_binary = all(high != 1 for high in highs)
        self.register_buffer("_offsets", (cells + first_planes).flatten(), persistent=False)  # (H·W·C,)
        symbolic = torch.tensor([high != 1 for high in highs]).repeat(shape[0] * shape[1])
        self.register_buffer("_symbolic", symbolic, persistent=False)  # (H·W·C,)

    def forward(self, observations: Tensor) -> Tensor:
        """Symbols (B, H, W, C), of any type → flattened planes (B, H·W·P), float."""
        symbols = observations.flatten(1)
        if self.all_binary:
            return symbols.float()
        rows = torch.arange(len(symbols), device=symbols.device).unsqueeze(1) * self.size
        planes = torch.zeros(len(symbols) * self.size, device=symbols.device)
        if self.none_binary:
            planes[(symbols.long() + (self._offsets + rows)).flatten()] = 1.0
        else:
            where = (symbols * self._symbolic).long() + (self._offsets + rows)
            planes[where.flatten()] = torch.where(self._symbolic, 1.0, symbols.float()).flatten()
        return planes.view(len(symbols), self.size)


class PlanesEncoder(FlatEncoder):
    """Symbols as 0/1 planes, flattened: entry (row · W + column) · P + plane."""

    def __init__(self, observation_space: spaces.Space[Any], normalise: bool = False) -> None:
        planes = Planes(observation_space)
        BaseFeaturesExtractor.__init__(self, observation_space, planes.size)
        self.planes = planes
        self.normaliser = Normaliser(planes.size) if normalise else None

    def encode(self, observations: Tensor) -> Tensor:
        """Symbols (B, H, W, C) → flattened planes (B, features_dim)."""
        features: Tensor = self.planes(observations)
        return features


class SymbolsEncoder(BaseFeaturesExtractor):
    """A Dict of symbols, one-hot: its parts one after the other, in the order of the Dict, which Gymnasium sorts.

    Of a grid of symbols its planes, flattened, as `PlanesEncoder` orders them; of a Discrete(n) n entries, one of which
    is 1. Of a grid world with a mission, therefore: direction, image, mission.
    """

    def __init__(self, observation_space: spaces.Space[Any]) -> None:
        parts = parts_of_symbols(observation_space)
        if parts is None:
            raise ConfigError(
                "encoder symbols: expected a Dict of at least one grid of symbols, as for the encoder planes, and of "
                f"Discrete parts counted from 0, found {observation_space}; take auto"
            )
        grids = {key: Planes(part) for key, part in parts.items() if not isinstance(part, spaces.Discrete)}
        sizes = {
            key: int(part.n) if isinstance(part, spaces.Discrete) else grids[key].size for key, part in parts.items()
        }
        super().__init__(observation_space, sum(sizes.values()))
        self.sizes = sizes
        """Entries of each part, in their order."""
        self.grids = nn.ModuleDict(grids)

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Preprocessed observations, symbols (B, H, W, C) and one-hot (B, n) → features (B, features_dim)."""
        return torch.cat(
            [
                self.grids[key](observations[key]) if key in self.grids else observations[key].flatten(1)
                for key in self.sizes
            ],
            dim=1,
        )


class PlanesConvEncoder(BaseFeaturesExtractor):
    """Symbols as planes through MinAtar's network: 16 filters of 3×3, then 128 units (Young & Tian 2019)."""

    def __init__(self, observation_space: spaces.Space[Any], features_dim: int = 128) -> None:
        super().__init__(observation_space, features_dim)
        self.planes = Planes(observation_space)
        height, width, planes = self.planes.shape
        if height < 3 or width < 3:
            raise ConfigError(f"encoder planes-conv: a grid of {height}×{width} is smaller than its 3×3 filters")
        self.network = nn.Sequential(
            nn.Conv2d(planes, 16, kernel_size=3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(16 * (height - 2) * (width - 2), features_dim),
            nn.ReLU(),
        )

    def forward(self, observations: Tensor) -> Tensor:
        """Symbols (B, H, W, C) → features (B, features_dim)."""
        planes = self.planes(observations).view(-1, *self.planes.shape).permute(0, 3, 1, 2)
        features: Tensor = self.network(planes)
        return features


def channel_highs(space: spaces.Space[Any]) -> list[int] | None:
    """The highest value of each channel of a grid of symbols (H, W, C); None if the space is no such grid."""
    if not isinstance(space, spaces.Box) or len(space.shape) != 3 or np.dtype(space.dtype).kind not in "uib":
        return None
    highs = space.high.max(axis=(0, 1)).astype(int)
    if (space.low != 0).any() or highs.max() > MOST_SYMBOLS or highs.min() < 1:
        return None
    return [int(high) for high in highs]


def parts_of_symbols(space: spaces.Space[Any]) -> dict[str, spaces.Space[Any]] | None:
    """The parts of a Dict of grids of symbols, at least one, and of Discrete from 0; None of any other space."""
    if not isinstance(space, spaces.Dict):
        return None
    counted = [isinstance(part, spaces.Discrete) and part.start == 0 for part in space.values()]
    grids = [channel_highs(part) is not None for part in space.values()]
    fit = any(grids) and all(grid or count for grid, count in zip(grids, counted, strict=True))
    return dict(space.items()) if fit else None


def choose_encoder(space: spaces.Space[Any]) -> str:
    """What `auto` stands for: the name of the encoder that suits an observation space."""
    if isinstance(space, spaces.Dict):
        return "combined" if parts_of_symbols(space) is None else "symbols"
    if is_image_space(space):
        return "nature"
    return "planes" if channel_highs(space) is not None else "flat"


def find_encoder(
    name: str | Mapping[str, Any], space: spaces.Space[Any], normalise: bool
) -> tuple[type[BaseFeaturesExtractor], dict[str, Any]]:
    """The features extractor behind a name (or a `module:Class`), and its keyword arguments.

    What is no text is the description of a mapped encoder, see `agents.mapped`. Of observations that say which actions
    are legal, the encoder is one for what is looked at.

    Raises UnknownName, or ConfigError if it has no normaliser and one is asked for.
    """
    if not isinstance(name, str):
        from agents.mapped import find_mapped

        return find_mapped(name, normalise)
    space = inner(space)
    if name == "auto":
        name = choose_encoder(space)
    if name == "flat" and not normalise:
        return FlattenExtractor, {}
    if name == "combined" and not isinstance(space, spaces.Dict):
        raise ConfigError(f"encoder combined: expected a Dict of observations, found {space}; take auto")
    if name == "nature" and not is_image_space(space):
        raise ConfigError(f"encoder nature: expected an image of uint8 from 0 to 255, found {space}; take auto")
    if name == "nature":
        _must_be_large(space)
    found = ENCODERS.load(name) if ":" not in name else _plug_in(name)
    if not normalise:
        return found, {}
    if not issubclass(found, FlatEncoder):
        raise ConfigError(
            f"normalise_observations: the encoder {name} has no normaliser; expected flat or planes, or set it to false"
        )
    return found, {"normalise": True}


def _must_be_large(image: Any) -> None:
    sides = image.shape[1:] if is_image_space_channels_first(image) else image.shape[:2]
    if min(sides) < SMALLEST_IMAGE:
        raise ConfigError(
            f"encoder nature: found images of {sides[0]}×{sides[1]}, expected at least {SMALLEST_IMAGE}×"
            f'{SMALLEST_IMAGE}; show larger ones, or take encoder = "flat"'
        )


def _plug_in(target: str) -> type[BaseFeaturesExtractor]:
    found = load_attribute(target, kind="encoder")
    if not (isinstance(found, type) and issubclass(found, BaseFeaturesExtractor)):
        raise ConfigError(f"encoder {target!r}: expected a subclass of stable_baselines3's BaseFeaturesExtractor")
    return found


def learns(encoder: nn.Module) -> bool:
    """Whether an encoder learns; the features of one that does not can be computed once per rollout."""
    return any(parameter.requires_grad for parameter in encoder.parameters())
