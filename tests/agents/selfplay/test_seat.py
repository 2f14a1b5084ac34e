"""A seat that is watched: what the others have played is said, also before its first move."""

import numpy as np

from agents.stage import open_stage
from envs.masks import MASK
from envs.task import Task

TASK = Task(game="headstart/TicTacToe-v0", arguments={"against": "first"})


def test_whoever_moves_first_is_heard_before_the_first_step() -> None:
    stage = open_stage(TASK, text=True)
    stage.reset(0)
    assert stage.said() == "first (x, dark), against first"
    seen = stage.reset(1)
    assert isinstance(seen, dict)
    assert stage.said() == "second (o, light), against first, who played a3"
    stage.step(np.array([int(seen[MASK][0].argmax())]))
    assert stage.said() == "second (o, light), against first, who played c3"
    stage.close()


def test_an_episode_that_ends_before_the_first_move_is_not_told_of() -> None:
    stage = open_stage(Task.customised(TASK.game, {"against": "first", "time_limit": 1}), text=True)
    for seed in range(6):
        stage.reset(seed)
        assert stage.said() == "first (x, dark), against first"  # who sits second would never move
    stage.close()
