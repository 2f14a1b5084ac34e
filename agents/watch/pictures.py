"""A game's picture at any size; and a picture of observations that have none."""

import numpy as np
from PIL import Image

from agents.watch.theme import PALETTE
from envs.masks import MASK, SEEN

PIXEL_GAME_COLOURS = 64
"""A picture of at most so many colours is a grid or a pixel game, and is enlarged without smoothing."""


def as_picture(array: np.ndarray) -> Image.Image:
    """A rendered array (H, W), (H, W, 3) or (H, W, 4), bytes or floats in [0, 1], as an RGB image."""
    pixels = np.asarray(array)
    if pixels.dtype != np.uint8:
        scale = 255.0 if np.issubdtype(pixels.dtype, np.floating) and pixels.max(initial=0) <= 1.0 else 1.0
        pixels = np.clip(np.nan_to_num(pixels.astype(float)) * scale, 0, 255).astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB")


def fit(image: Image.Image, width: int, height: int) -> Image.Image:
    """The largest copy with the same proportions inside (width, height).

    Grids and pixel games keep their hard edges: enlarged to a whole multiple without smoothing first.
    """
    scale = min(width / image.width, height / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    if scale > 1 and image.getcolors(PIXEL_GAME_COLOURS) is not None:
        times = int(np.ceil(scale))
        image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def planes_picture(observation: np.ndarray) -> Image.Image:
    """An observation (H, W) or (H, W, C) as coloured planes, the last non-zero one on top."""
    planes = np.atleast_3d(np.asarray(observation, dtype=float))
    picture = np.full((*planes.shape[:2], 3), 24.0)
    for plane in range(planes.shape[2]):
        values = planes[..., plane] - min(planes[..., plane].min(), 0.0)
        strength = (values / values.max() if values.max() > 0 else values)[..., None]
        picture = picture * (1 - strength) + np.array(PALETTE[plane % len(PALETTE)]) * strength
    return Image.fromarray(picture.astype(np.uint8))


def features_of(observation: object, names: tuple[str, ...] | None) -> list[tuple[str, float]]:
    """The entries of an observation that is not a picture, by name; numbered where nobody named them."""
    observation = looked_at(observation)
    parts = observation if isinstance(observation, dict) else {"state": observation}
    labels: list[str] = []
    values: list[float] = []
    for key, part in parts.items():
        entries = np.asarray(part, dtype=float).ravel().tolist()
        labels += [key] if len(entries) == 1 else [f"{key}[{i}]" for i in range(len(entries))]
        values += entries
    named = names if names is not None and len(names) == len(values) else tuple(labels)
    return list(zip(named, values, strict=True))


def looked_at(observation: object) -> object:
    """An observation without the mask that says which actions are legal, which the actions' bars show."""
    masked = isinstance(observation, dict) and observation.keys() == {SEEN, MASK}
    return observation[SEEN] if masked else observation  # type: ignore[index]


def is_planes(observation: object) -> bool:
    """Whether an observation is an array of two or three axes, at least 3 high and wide, to be drawn as planes."""
    return isinstance(observation, np.ndarray) and observation.ndim in (2, 3) and min(observation.shape[:2]) >= 3
