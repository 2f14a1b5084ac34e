"""Random changes to pictures, planes and grids that leave what they mean alone: shifts and cutouts.

A random shift pads an image by n on every side and crops it back at random (DrQ: Kostrikov, Yarats & Fergus 2021,
"Image Augmentation Is All You Need"); a cutout blanks a random rectangle (DeVries & Taylor 2017; for reinforcement
learning RAD: Laskin et al. 2020). Every observation of a batch draws for itself; all its channels, stacked frames among
them, are changed alike.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first

Change = Callable[["Image", np.ndarray, np.random.Generator], np.ndarray]
"""An image's kind, a batch (B, H, W, C) and a generator → a batch like it."""


@dataclass(frozen=True)
class Image:
    """How a space's observations are images."""

    picture: bool
    """Whether they are pictures: their borders are repeated where a shift uncovers something. Else the lowest value
    stands there: nothing on a plane, what cannot be seen in a grid of symbols."""
    channels_first: bool
    """Whether an observation is (C, H, W), else (H, W, C)."""
    blank: np.ndarray
    """What stands where nothing is, (C,)."""

    @classmethod
    def of(cls, space: spaces.Space[Any]) -> Self | None:
        """None if a space's observations are no images: they need three axes."""
        if not isinstance(space, spaces.Box) or len(space.shape) != 3:
            return None
        picture = is_image_space(space)
        first = picture and is_image_space_channels_first(space)
        low = np.moveaxis(space.low, 0, -1) if first else space.low
        return cls(picture, first, np.nan_to_num(low.min(axis=(0, 1)).astype(np.float64), neginf=0.0).astype(low.dtype))


def images(space: spaces.Space[Any]) -> dict[str, Image]:
    """The parts of a space that are images, by name; of a space without parts the name is empty."""
    parts = space.spaces if isinstance(space, spaces.Dict) else {"": space}
    found = {name: Image.of(part) for name, part in parts.items()}
    return {name: image for name, image in found.items() if image is not None}


def reach(height: int, width: int) -> int:
    """How far images of a size are shifted unless said: DrQ's 4 of 84 pixels, at least 1."""
    return max(1, round(min(height, width) / 21))


def shift(most: int | None) -> Change:
    """Pad by `most` on every side, and crop back at random; None: by `reach`."""

    def change(image: Image, batch: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        b, height, width, _ = batch.shape
        n = reach(height, width) if most is None else most
        down, right = generator.integers(-n, n + 1, size=(2, b))
        rows = np.arange(height) + down[:, None]  # (B, H), of the unshifted image
        columns = np.arange(width) + right[:, None]  # (B, W)
        inside_rows, inside_columns = rows.clip(0, height - 1), columns.clip(0, width - 1)
        moved: np.ndarray = batch[np.arange(b)[:, None, None], inside_rows[:, :, None], inside_columns[:, None, :]]
        if not image.picture:
            bare = (rows != inside_rows)[:, :, None] | (columns != inside_columns)[:, None, :]
            moved[bare] = image.blank
        return moved

    return change


def cutout(least: float, most: float) -> Change:
    """Blank one rectangle, its sides between these fractions of the image's, at least 1; it lies inside the image."""

    def change(image: Image, batch: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        b, height, width, _ = batch.shape
        inside = []
        for size in (height, width):
            low = max(1, round(least * size))
            length = generator.integers(low, max(low, round(most * size)) + 1, size=b)
            start = generator.integers(0, size - length + 1)
            place = np.arange(size)
            inside.append((place >= start[:, None]) & (place < (start + length)[:, None]))  # (B, size)
        changed = batch.copy()
        changed[inside[0][:, :, None] & inside[1][:, None, :]] = image.blank
        return changed

    return change


class Augmentation:
    """Changes to the images of observations, one after the other, with draws of its own.

    Args:
        space: of the observations, as whoever calls has them.
        changes: to each of them in turn.
        seed: of the draws.
    """

    def __init__(self, space: spaces.Space[Any], changes: list[Change], seed: int) -> None:
        self.images = images(space)
        self.changes = changes
        self.generator = np.random.default_rng(seed)

    def __call__(self, observations: Any) -> Any:
        """A batch (B, …), or one for each part → another like it; what is given stays as it is."""
        if isinstance(observations, dict):
            return {
                name: self._changed(self.images[name], part) if name in self.images else part
                for name, part in observations.items()
            }
        return self._changed(self.images[""], observations) if "" in self.images else observations

    def _changed(self, image: Image, batch: Any) -> Any:
        if isinstance(batch, torch.Tensor):
            return torch.as_tensor(self._changed(image, batch.cpu().numpy()), device=batch.device)
        if not len(batch):
            return batch
        found = np.moveaxis(batch, 1, -1) if image.channels_first else batch
        for change in self.changes:
            found = change(image, found, self.generator)
        return np.ascontiguousarray(np.moveaxis(found, -1, 1) if image.channels_first else found)
