"""Environments of a task for those who play without learning: teachers, and whoever measures a game's speed.

In games played in turns a learner may have itself, or its past, for an opponent. Who only plays has no such past: they
meet the opponents by whom the task is judged, those of the argument `against`.
"""

from stable_baselines3.common.vec_env import VecEnv

from agents.selfplay.attaching import settle
from agents.selfplay.references import is_run
from envs.catalogue import find_game
from envs.task import Task
from envs.turns.making import evaluated, opponents
from envs.turns.opponents import learnt
from envs.vector import Backend, interface, make_vec


def opposed(task: Task) -> Task:
    """The task with opponents that stay as they are: its own, or where one of them learns, those of `against`."""
    if not find_game(task.game).turns:
        return task
    learning = any(learnt(name) and not is_run(name) for name in opponents(task))
    return evaluated(task) if learning else task


def make_opposed(task: Task | str, *, n_envs: int, seed: int | None = None, backend: Backend = "auto") -> VecEnv:
    """As `envs.vector.make_vec` of the opposed task, its boards with their opponents. Raises a HeadstartError."""
    task = Task(game=task) if isinstance(task, str) else task
    venv = make_vec(opposed(task), n_envs=n_envs, seed=seed, backend=backend)
    settle(venv, interface(venv))
    return venv
