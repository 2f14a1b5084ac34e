"""PettingZoo's parallel games: several agents who act at the same time, as slots of one VecEnv."""

from envs.parallel.vector import ParallelVecEnv

__all__ = ["ParallelVecEnv"]
