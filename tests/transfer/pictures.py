"""A grid world's symbols as a picture: what a student on pixels sees."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces

CELL = 6


def painted(symbols):
    """Symbols (H, W, 3) → a picture (6H, 6W, 3) in which no two worlds look alike."""
    colours = (np.asarray(symbols).astype(np.uint8) * np.uint8([23, 42, 80])).astype(np.uint8)
    return colours.repeat(CELL, axis=0).repeat(CELL, axis=1)


class Pictures(gym.ObservationWrapper):
    def __init__(self, env):
        super().__init__(env)
        height, width, _ = env.observation_space.shape
        self.observation_space = spaces.Box(0, 255, (CELL * height, CELL * width, 3), np.uint8)

    def observation(self, observation):
        return painted(observation)


class Last(gym.ObservationWrapper):
    """The observation before this one: a view that remembers."""

    def reset(self, **options):
        self.before = None
        return super().reset(**options)

    def observation(self, observation):
        before, self.before = self.before, observation
        return observation if before is None else before
