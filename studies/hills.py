"""A potential for MountainCar, for `sparse.toml`: what one knows of hills without having learnt it."""

import numpy as np


def energy(observations: np.ndarray) -> np.ndarray:
    """The car's mechanical energy, in units of that of its highest speed: positions and velocities (B, 2) → (B,).

    Gymnasium's hill pulls by -0.0025 cos(3x) a step and the speed is at most 0.07, so E = v²/2 + 0.0025/3 sin(3x).
    """
    position, velocity = observations[:, 0].astype(np.float64), observations[:, 1].astype(np.float64)
    return np.asarray((velocity**2 / 2 + 0.0025 / 3 * (np.sin(3 * position) + 1)) / (0.07**2 / 2))
