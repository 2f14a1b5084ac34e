"""What plays a game's batches, where that can be chosen, and what `engine = "auto"` stands for on this machine.

It is settled where a run is made, before the run has a key: what is kept of a run names what played it, and who goes on
with the run, evaluates it or collects from it takes the same.
"""

import logging
from functools import cache

from envs.catalogue import find_game
from envs.registry import load_attribute
from envs.task import Task

ENGINE, AUTO = "engine", "auto"
"""The argument of a game, and the value that leaves the choice to the machine."""

log = logging.getLogger(__name__)


def settled(task: Task) -> Task:
    """The task with the engine that `auto` stands for here, which is told once: the first of the game's other engines
    that is installed and does all that is asked, else the game's own, which is said by leaving the argument out.

    Raises what `find_game` does.
    """
    if task.arguments.get(ENGINE) != AUTO:
        return task
    game = find_game(task.game)
    if not game.engines:
        return task  # an argument of the game's that only has this name
    others = {name: value for name, value in task.arguments.items() if name != ENGINE}
    hindrances = []
    for name, why_not in game.engines.items():
        hindrance = load_attribute(why_not, kind="engine")(task)
        if hindrance is None:
            _tell(f"game {task.game!r}: engine 'auto' is {name!r} here")
            return task.model_copy(update={"arguments": {**others, ENGINE: name}})
        hindrances.append(f"not {name!r}: {hindrance}")
    _tell(f"game {task.game!r}: engine 'auto' is the game's own here ({'; '.join(hindrances)})")
    return task.model_copy(update={"arguments": others})


@cache  # a study makes many tasks of one game
def _tell(text: str) -> None:
    log.warning(text)
