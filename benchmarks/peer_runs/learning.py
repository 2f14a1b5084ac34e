"""Timing and thresholds for every learner that is a Stable-Baselines3 algorithm: theirs, sbx's and ours."""

import argparse
import json
import math
from collections.abc import Callable
from statistics import median
from typing import Any

import checks
import numpy as np
from report import Clock, Span, say, versions
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv

PACKAGES = ("torch", "stable-baselines3", "rl-zoo3", "sbx-rl", "jax", "gymnasium", "minigrid", "MinAtar", "numba")


def arguments(description: str | None) -> argparse.ArgumentParser:
    """What all runners of learners are told."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--game", default="CartPole-v1")
    parser.add_argument("--set", type=json.loads, default={}, metavar="JSON", help="hyperparameters over the settings")
    parser.add_argument("--steps", type=int, required=True, help="the budget")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--check", choices=checks.THRESHOLDS, help="train until this is reached, instead of timing")
    parser.add_argument("--every", type=int, default=2048, help="steps between checks")
    parser.add_argument("--cap", type=float, default=math.inf, help="seconds after which nothing is reached")
    parser.add_argument("--in-turn", type=int, default=1, metavar="N", help="so many seeds, one after the other")
    parser.add_argument("--warm", type=int, default=2, help="rollouts, with their updates, before the timed part")
    return parser


class Timed(BaseCallback):
    """Begins the timed part when some rollouts and updates are over."""

    def __init__(self, span: Span, warm: int) -> None:
        super().__init__()
        self.span, self._left = span, warm

    def _on_rollout_start(self) -> None:
        if self._left == 0:
            self.span.begin(self.num_timesteps)
        self._left -= 1

    def _on_step(self) -> bool:
        return True


class Until(BaseCallback):
    """Stops when a check is passed, or the time is up. Looks before each rollout, once its grid point has come."""

    def __init__(
        self, clock: Clock, check: str, every: int, cap: float, began: float, make_games: Callable[[], VecEnv]
    ) -> None:
        super().__init__()
        self.clock, self.check, self.every, self.cap = clock, check, every, cap
        self._make_games = make_games
        self._games: VecEnv | None = None
        self._due = every
        self._began = began
        self.score: float | None = None
        self.reached: dict[str, float] | None = None

    def look(self) -> None:
        """Score the learner; remember steps and seconds if that is enough."""
        at = self.clock.cold()
        with self.clock.pause():
            score = self._score()
        if score is None:
            return
        self.score = score
        if score >= checks.THRESHOLDS[self.check] and at - self._began <= self.cap:
            self.reached = {"steps": self.num_timesteps, "seconds": at}

    def _score(self) -> float | None:
        if self.check == "cartpole":
            return checks.greedy_cartpole(lambda seen: self.model.predict(seen, deterministic=True)[0])
        episodes = [episode["r"] for episode in self.model.ep_info_buffer or ()]  # the last 100 at most
        recent = float(np.mean(episodes)) if len(episodes) == checks.EPISODES else None
        if self.check == "breakout" or recent is None or recent < 0.8 * checks.THRESHOLDS[self.check]:
            return recent if self.check == "breakout" else None
        return self._play()

    def _play(self) -> float:
        """The mean return of fresh episodes, actions sampled."""
        self._games = self._games or self._make_games()
        mean, _ = evaluate_policy(
            self.model, self._games, n_eval_episodes=checks.EPISODES, deterministic=False, warn=False
        )
        return float(mean)  # type: ignore[arg-type]

    def _on_rollout_start(self) -> None:
        if self.reached is None and self.num_timesteps >= self._due:
            self._due = (self.num_timesteps // self.every + 1) * self.every
            self.look()

    def _on_step(self) -> bool:
        return self.reached is None and not self.over

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self.clock.cold() - self._began >= self.cap


Made = tuple[BaseAlgorithm, Callable[[], VecEnv], list[BaseCallback]]
"""A learner, what makes games to check it on, and what it is to call besides."""


def run(clock: Clock, options: argparse.Namespace, make: Callable[[int], Made]) -> None:
    """Train as the command line says, and print the line of JSON.

    With several seeds in turn, `reached` is when the last one was through, or None unless all were.
    """
    learner, make_games, others = make(options.seed)
    found = {"seed": options.seed, "versions": versions(*PACKAGES), "hyperparameters": _told(learner)}
    if options.check is None:
        span = Span(clock)
        learner.learn(options.steps, callback=CallbackList([Timed(span, options.warm), *others]))
        say(clock, **span.end(learner.num_timesteps), **found)
        return
    first = _until(clock, options, 0.0, learner, make_games, others)  # its time began with the process
    seeds = range(options.seed + 1, options.seed + options.in_turn)
    each = [first, *(_until(clock, options, clock.cold(), *make(seed)) for seed in seeds)]
    reached = [one.reached for one in each if one.reached is not None]
    last = {"steps": median(one["steps"] for one in reached), "seconds": reached[-1]["seconds"]} if reached else None
    steps = sum(one.num_timesteps for one in each)
    say(clock, reached=last if len(reached) == len(each) else None, score=each[-1].score, steps=steps, **found)


def _until(
    clock: Clock,
    options: argparse.Namespace,
    began: float,
    learner: BaseAlgorithm,
    make_games: Callable[[], VecEnv],
    others: list[BaseCallback],
) -> Until:
    """Train one seed until the check is passed, or its time (since `began`) or its budget is up."""
    until = Until(clock, options.check, options.every, options.cap, began, make_games)
    learner.learn(options.steps, callback=CallbackList([until, *others]))
    if until.reached is None and not until.over:
        until.look()
    return until


def _told(learner: Any) -> dict[str, Any]:
    names = ("n_envs", "n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda", "ent_coef")
    return {name: getattr(learner, name) for name in names}
