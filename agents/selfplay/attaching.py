"""What a training does for those who play against somebody: their pool, and its newest weights at every rollout."""

from pathlib import Path
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from agents.policy import Policy
from agents.runs import runs_root
from agents.selfplay.pools import LearningPool, fixed_pool, learning_pool
from envs.interface import Interface
from envs.turns.opponents import learnt
from envs.turns.vector import TurnsVecEnv


class Refreshing(BaseCallback):
    """Hands the pool the learner's weights at the start of each rollout."""

    def __init__(self, pool: LearningPool, venv: TurnsVecEnv) -> None:
        super().__init__()
        self.pool, self.venv = pool, venv

    def _on_rollout_start(self) -> None:
        self.pool.refresh(int(self.model.num_timesteps), set(self.venv.against.tolist()))

    def _on_step(self) -> bool:
        return True


def oppose(learner: Any, policy: Policy, *, steps: int, root: Path) -> Refreshing | None:
    """Give a learner's boards their opponents, if these have to do with learning; the callback that keeps them up.

    Args:
        learner: as transfer leaves it before its first step.
        policy: its policy, sharing its network.
        steps: the budget.
        root: where runs live.

    Raises a HeadstartError for opponents that cannot be had.
    """
    venv = None if learner.env is None else learner.env.unwrapped
    if not isinstance(venv, TurnsVecEnv) or not any(map(learnt, venv.opponents)):
        return None
    pool = learning_pool(venv.opponents, policy, steps=steps, root=root)
    venv.set_pool(pool)
    return Refreshing(pool, venv)


def settle(venv: Any, interface: Interface, *, root: Path | None = None) -> None:
    """Give the boards of an evaluation their opponents, runs among them. Raises a HeadstartError.

    `root`: where runs live; by default $HEADSTART_RUNS, else ./runs.
    """
    inner = venv.unwrapped
    if isinstance(inner, TurnsVecEnv) and inner.pool is None:
        inner.set_pool(fixed_pool(inner.opponents, interface, root=runs_root(root), game=inner.games.name))
