"""Opponents that are other runs: `run:KEY`, looked up where runs live.

What decides a run holds the opponent's whole key, never a path: the key says all that decided the opponent.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agents.runs import Run, find_finished
from envs.catalogue import find_game
from envs.errors import ConfigError
from envs.task import Task
from envs.turns.making import AGAINST, OPPONENT, opponents
from envs.turns.opponents import is_function, learnt

PREFIX = "run:"
ARGUMENTS = (OPPONENT, AGAINST)
"""Of a task, that name opponents."""


def is_run(spec: Any) -> bool:
    """Whether an opponent's name stands for a run."""
    return isinstance(spec, str) and spec.startswith(PREFIX)


def resolved(task: Task, root: Path) -> Task:
    """The task, every run among its opponents named by its whole key.

    Raises:
        UnknownName: there is no such run.
        CheckpointError: it is not finished, or not among the runs of `root`.
    """
    changed: dict[str, Any] = {}
    for argument in ARGUMENTS:
        found = task.arguments.get(argument)
        if isinstance(found, str) and is_run(found):
            changed[argument] = named_by_key(found, root)
        elif isinstance(found, Sequence) and any(is_run(spec) for spec in found):
            changed[argument] = [named_by_key(spec, root) if is_run(spec) else spec for spec in found]
    return task.model_copy(update={"arguments": {**task.arguments, **changed}}) if changed else task


def runs_among(task: Task) -> list[str]:
    """The keys of the runs among the opponents of a `resolved` task."""
    named: dict[str, None] = {}
    for argument in ARGUMENTS:
        found = task.arguments.get(argument, ())
        named |= dict.fromkeys(spec for spec in ([found] if isinstance(found, str) else found) if is_run(spec))
    return [spec.removeprefix(PREFIX) for spec in named]


def functions(task: Task) -> list[str]:
    """The opponents of a task that somebody's `module:function` makes."""
    if not find_game(task.game).turns:
        return []
    named = {spec for argument in ARGUMENTS for spec in opponents(task, argument)}
    return sorted(spec for spec in named if not learnt(spec) and is_function(spec))


def named_by_key(spec: str, root: Path) -> str:
    """`run:KEY` of what is named by a key, its beginning or a folder. Raises as `resolved` does."""
    return PREFIX + opposing_run(spec, root).key


def opposing_run(spec: str, root: Path) -> Run:
    """The finished run that an opponent's name stands for. Raises as `resolved` does."""
    reference = spec.removeprefix(PREFIX)
    if not reference:
        raise ConfigError(f"opponent {spec!r} names no run: expected run:KEY")
    return find_finished(reference, root, f"opponent {spec!r}")
