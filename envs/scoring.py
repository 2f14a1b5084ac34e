"""What a score is of: the game itself, without what holds in training alone."""

from envs.catalogue import find_game
from envs.task import Task


def scored(task: Task) -> Task:
    """The task without the arguments that hold in training alone: clipped rewards, ends at a lost life.

    Raises what `find_game` does.
    """
    left_out = find_game(task.game).training
    if not set(left_out) & task.arguments.keys():
        return task
    return task.model_copy(
        update={"arguments": {name: value for name, value in task.arguments.items() if name not in left_out}}
    )
