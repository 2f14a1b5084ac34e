"""Demonstrations: a teacher's episodes on the target, in and out of Minari data sets, and into replay buffers."""

from transfer.demonstrations.datasets import load, save
from transfer.demonstrations.episodes import Episode, Transitions, transitions

__all__ = ["Episode", "Transitions", "load", "save", "transitions"]
