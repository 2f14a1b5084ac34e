"""What has to hold before a study trains anything: both games can be opened, and the one maps onto the other."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from agents.algorithms import build_learner, check_action_space, on_policy
from agents.config import RunConfig
from agents.generators import preserved
from agents.policy import Policy
from agents.selfplay.attaching import oppose
from agents.selfplay.pools import fixed_pool
from envs.errors import GameError
from envs.masks import MASK, is_masked
from envs.turns.making import AGAINST, opponents
from envs.turns.vector import TurnsVecEnv
from envs.vector import interface, make_vec
from transfer.carry import carry_of
from transfer.carry import check as check_carried
from transfer.study.plan import Plan
from transfer.study.spec import SCRATCH, SOURCE, naming

TRIED = 0.1
"""Seconds for which each game is played at random, to see how fast it is."""

DRAWN = 8
"""Actions of all environments, drawn beforehand and taken in turn."""

LEARNING = {"ppo": 0.04e-3, "dqn": 0.3e-3}
ON_POLICY, OFF_POLICY = 0.2e-3, 1e-3
"""Rough seconds that learning takes a step on one core: of algorithms by name, and of all others."""

CONVOLVED = 0.03e-3
"""Rough seconds a step more, where boards are looked at with convolutions."""

PASTS = 10
"""Of itself as it was, whom a learner meets: about as many as halfway through a training against its league."""


def check(plan: Plan) -> float:
    """Open both games and try the methods on them.

    Returns a rough estimate of the CPU seconds that training takes, evaluation excluded. Raises HeadstartError: a game
    that cannot be opened, an algorithm that cannot act in it, spaces that do not map, a method that cannot work.
    """
    speeds: dict[str | None, float] = {}
    for at, planned in plan.turned or ((None, plan),):
        with naming(f"dial {at}") if at else contextlib.nullcontext():
            with naming("target"):
                speeds[at] = _seconds_a_step(planned.of(SCRATCH)[0].config, plan.root)
            _check_arms(planned)
    on_source = 0.0
    if isinstance(plan.source_config, RunConfig):
        with naming("source"):
            on_source = _seconds_a_step(plan.source_config, plan.root)
    todo = plan.unfinished.values()
    return sum(run.config.steps * (on_source if run.arm == SOURCE else speeds[run.at]) for run in todo)


def _check_arms(plan: Plan) -> None:
    """Try every arm's methods on both games."""
    first = {run.arm: run.config for run in reversed(plan.runs)}
    for name, config in first.items():
        if config.transfer is not None and name != SOURCE:
            with naming(f"arms.{name}"):
                others = [plan.given.all[each.source].config for each in carry_of(config).further]
                check_carried(config, plan.source_config, others)


def _seconds_a_step(config: RunConfig, root: Path) -> float:
    """Of the game, played for a moment, those who play against the learner among it, and of learning."""
    with opened(config, root) as games:
        others = ON_POLICY if on_policy(config.algorithm) else OFF_POLICY
        convolved = CONVOLVED if config.hyperparameters.get("encoder") == "planes-conv" else 0.0
        return _playing(games) + LEARNING.get(config.algorithm, others) + convolved


def _playing(games: VecEnv) -> float:
    """CPU seconds that a step of one environment takes, the median: some steps compile, or load.

    A game that breaks ends it: its runs will say so, one by one.
    """
    games.action_space.seed(0)
    actions = [np.array([games.action_space.sample() for _ in range(games.num_envs)]) for _ in range(DRAWN)]
    taken: list[float] = []
    masked = is_masked(games.observation_space)
    with contextlib.suppress(GameError):
        answer: Any = (games.reset(),)
        while sum(taken) < TRIED or len(taken) < DRAWN:
            chosen = actions[len(taken) % DRAWN]
            if masked:
                chosen = answer[0][MASK].argmax(axis=1)  # the first that is legal
            start = time.process_time()
            answer = games.step(chosen)
            taken.append(time.process_time() - start)
    return float(np.median(taken)) / games.num_envs if taken else 0.0


@contextlib.contextmanager
def opened(config: RunConfig, root: Path) -> Iterator[VecEnv]:
    """The environments, as training would open them, with those who play against the learner, itself among them."""
    games = make_vec(config.task, n_envs=config.hyperparameters["n_envs"], seed=0)
    try:
        check_action_space(config.algorithm, games.action_space)
        if isinstance(games.unwrapped, TurnsVecEnv):
            _oppose(games, config, root)
        yield games
    finally:
        games.close()


def _oppose(games: VecEnv, config: RunConfig, root: Path) -> None:
    """Opponents as they will be halfway through the training, and a look at those of its evaluations."""
    known, values = interface(games), config.hyperparameters | {"n_envs": games.num_envs}
    fixed_pool(opponents(config.task, AGAINST), known, root=root, game=config.task.game)
    with preserved():
        learner = build_learner(config.algorithm, games, values, seed=0, device=config.device)
    policy = Policy.of(learner, config.task, known, config.algorithm, values)
    opposed = oppose(learner, policy, steps=config.steps, root=root)
    if opposed is not None:
        for past in range(PASTS):
            opposed.pool.refresh(past * config.steps // PASTS)
