"""A teacher as a player of the target: its actions through the mapping, step by step or in whole episodes."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from agents.evaluation import LONGEST, SEED_BASE, default_mode
from agents.generators import derived_seed
from envs.batched import Stepped, stepped
from envs.errors import ConfigError, GameError
from envs.interface import Interface
from envs.observations import stacked, taken
from envs.vector import interface, make_vec, seed_each
from transfer.demonstrations.episodes import Episode
from transfer.opposing import make_opposed

if TYPE_CHECKING:
    from agents.config import Mode
    from agents.outputs import Outputs
    from agents.policy import Policy
    from envs.task import Task

Choose = Callable[[Any], np.ndarray]
"""Observations (B, …) → actions (B, …), ready for the environments."""
AT_ONCE = 64
"""Episodes that are played side by side, at most."""


class Demonstrator:
    """teacher∘mapping at play, among the target's actions that the source knows.

    Args:
        outputs: teacher∘mapping.
        space: the target's actions.
        matched: the discrete actions that the source knows.
        squashed: whether continuous actions are in [-1, 1] (after tanh where they are Gaussian), to be scaled to the
            space, as SAC's and TD3's are.
        mode: sampled or greedy; action values are always greedy.
        epsilon: the probability of a uniformly random action instead, drawn for each environment.
        seed: decides every draw; no global generator is touched.

    Raises ConfigError if the heads do not fit the space.
    """

    def __init__(
        self,
        outputs: "Callable[[Any], Outputs]",
        space: spaces.Space[Any],
        matched: tuple[int, ...],
        *,
        squashed: bool,
        mode: "Mode",
        epsilon: float,
        seed: int,
    ) -> None:
        self.outputs, self.space, self.squashed = outputs, space, squashed
        self.matched = np.array(matched, dtype=np.int64)
        self.mode, self.epsilon = mode, epsilon
        self.generator = np.random.default_rng(seed)

    def __call__(self, observations: Any) -> np.ndarray:
        """Actions (B, …) in observations (B, …)."""
        with torch.no_grad():
            outputs = self.outputs(observations)
        actions = self._choices(outputs) if isinstance(self.space, spaces.Discrete) else self._amounts(outputs)
        if self.epsilon > 0.0:
            strays = self.generator.random(len(actions)) < self.epsilon
            actions[strays] = uniform(self.space, len(actions), self.generator)[strays]
        return actions

    def _choices(self, outputs: "Outputs") -> np.ndarray:
        """The greatest of the matched actions' heads; of logits with Gumbel noise, which draws from their softmax."""
        if outputs.kind not in ("categorical", "q"):
            raise ConfigError(f"a teacher with a {outputs.kind} head cannot choose among {self.space}")
        heads = outputs.head.double().cpu().numpy()[:, self.matched]
        if outputs.kind == "categorical" and self.mode == "sampled":
            heads = heads + self.generator.gumbel(size=heads.shape)
        return np.asarray(self.matched[heads.argmax(axis=1)])

    def _amounts(self, outputs: "Outputs") -> np.ndarray:
        if not isinstance(self.space, spaces.Box) or outputs.head.shape[1:] != self.space.shape:
            raise ConfigError(f"a teacher with a {outputs.kind} head for each observation cannot act in {self.space}")
        actions = outputs.head.double().cpu().numpy()
        if outputs.log_std is not None and self.mode == "sampled":
            std = outputs.log_std.double().exp().cpu().numpy()
            actions = actions + std * self.generator.standard_normal(actions.shape)
        low, high = self.space.low, self.space.high
        if self.squashed:
            within = np.tanh(actions) if outputs.kind == "gaussian" else actions
            actions = low + 0.5 * (within + 1.0) * (high - low)
        return np.asarray(np.clip(actions, low, high).astype(self.space.dtype))


def uniform(space: spaces.Space[Any], n: int, generator: np.random.Generator) -> np.ndarray:
    """n uniformly random actions of a Discrete or a bounded Box space."""
    if isinstance(space, spaces.Discrete):
        return np.asarray(space.start + generator.integers(space.n, size=n))
    if not isinstance(space, spaces.Box):
        raise ConfigError(f"demonstrations have single actions or continuous ones, found {space}")
    return np.asarray(generator.uniform(space.low, space.high, (n, *space.shape)).astype(space.dtype))


def demonstrate(
    policy: "Policy", task: "Task", episodes: int, *, mode: "Mode | None" = None, epsilon: float = 0.0, seed: int = 0
) -> tuple[Interface, list[Episode]]:
    """Whole episodes of a policy on a task, through the mapping by names where that is another game; and its spaces.

    Raises MappingError if the games do not map, ConfigError if the policy cannot act there.
    """
    from transfer.mapping import Mapping

    venv = make_vec(task, n_envs=1)
    known = interface(venv)
    venv.close()
    mapping = Mapping.between(policy.interface, known)

    def chooser(space: spaces.Space[Any], drawn: int) -> Choose:
        return Demonstrator(
            mapping.teacher(policy),
            space,
            mapping.matched,
            squashed=bool(policy.network.squash_output),
            mode=mode or default_mode(policy.algorithm),
            epsilon=epsilon,
            seed=drawn,
        )

    return known, play_episodes(task, chooser, episodes, seed=seed)


def play(venv: VecEnv, choose: Choose, steps: int) -> Iterator[tuple[Any, np.ndarray, Stepped]]:
    """Observations, actions and what came of them, from a reset on, `steps` times num_envs transitions."""
    observations: Any = venv.reset()
    for _ in range(steps):
        actions = choose(observations)
        step = stepped(venv, actions)
        yield observations, actions, step
        observations = step.observations


def play_episodes(
    task: "Task | str", chooser: Callable[[spaces.Space[Any], int], Choose], episodes: int, *, seed: int
) -> list[Episode]:
    """Whole episodes, each from a reset with a seed of its own; none of these is an evaluation's.

    Args:
        task: what is played, by one agent.
        chooser: called with the space of actions and a seed for each batch of episodes; answers who plays them.
        episodes: how many, at least 1.
        seed: decides the episodes' seeds, and the players'.

    Raises ConfigError for fewer than one episode, GameError for an episode that never ends.
    """
    if episodes < 1:
        raise ConfigError(f"found {episodes} episodes, expected at least 1")
    first = derived_seed(seed, 0, below=SEED_BASE - episodes)
    played: list[Episode] = []
    venv = make_opposed(task, n_envs=min(AT_ONCE, episodes))
    try:
        while len(played) < episodes:
            start = first + len(played)
            choose = chooser(venv.action_space, derived_seed(seed, 1, len(played)))
            found = _first_episodes(venv, choose, list(range(start, start + venv.num_envs)))
            played += found[: episodes - len(played)]
    finally:
        venv.close()
    return played


def _first_episodes(venv: VecEnv, choose: Choose, seeds: list[int]) -> list[Episode]:
    """The first episode of each environment."""
    seed_each(venv, seeds)
    open_ = np.ones(venv.num_envs, dtype=bool)
    records = [_Record() for _ in seeds]
    for observations, actions, step in play(venv, choose, LONGEST):
        last = dict(zip(step.ended.tolist(), range(len(step.ended)), strict=True))
        for index in np.flatnonzero(open_).tolist():
            record = records[index]
            record.add(taken(observations, index), actions[index], step.rewards[index])
            if index in last:
                place = last[index]
                record.end(taken(step.final_observations, place), terminated=not bool(step.cut[place]))
                open_[index] = False
        if not open_.any():
            return [record.episode(seed) for record, seed in zip(records, seeds, strict=True)]
    raise GameError(f"an episode has not ended after {LONGEST:,} steps; give the game a time limit")


class _Record:
    """An episode in the making."""

    def __init__(self) -> None:
        self.observations: list[Any] = []
        self.actions: list[Any] = []
        self.rewards: list[Any] = []
        self.terminated = False

    def add(self, observation: Any, action: Any, reward: Any) -> None:
        self.observations.append(observation)
        self.actions.append(action)
        self.rewards.append(reward)

    def end(self, observation: Any, *, terminated: bool) -> None:
        self.observations.append(observation)
        self.terminated = terminated

    def episode(self, seed: int) -> Episode:
        rewards = np.array(self.rewards)
        return Episode(stacked(self.observations), np.array(self.actions), rewards, self.terminated, seed)
