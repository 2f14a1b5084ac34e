"""What a policy scores: one episode per evaluation environment, each reset once with a held-out seed of its own.

The protocol:

- Episode i is played in environment i, which is reset with the seed `SEED_BASE` + i. Training seeds lie below
  `SEED_BASE`, so these episodes are held out; they are the same at every evaluation of every run.
- Each environment's first episode counts and no other, so that short episodes are not over-represented.
- Rewards are the task's own, never shaped, clipped or normalised ones, and episodes are whole (`envs.scoring`).
- Sampled actions are drawn from a generator that is seeded by (seed, step). No global generator is changed, nor the
  network's mode, so that a training with evaluations is bit for bit the one without.
- In a game of several agents an episode is one copy of the game, until its last agent is out; its return is the mean
  over the returns of the agents who were in it, its length that of the longest.
- Where one plays against somebody, it is against whom the task's argument `against` names (`envs.turns.making`).
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from agents.algorithms import default_mode as default_mode
from agents.config import Mode
from agents.generators import derived_seed, preserved
from agents.policy import Policy
from envs.batched import stepped
from envs.errors import ConfigError, GameError
from envs.interface import Interface
from envs.scoring import scored
from envs.task import Task
from envs.turns.making import evaluated
from envs.turns.vector import TurnsVecEnv
from envs.vector import interface as interface_of
from envs.vector import make_vec, seed_each

SEED_BASE = 2**30
"""Of the evaluation seeds; all training seeds lie below."""

LONGEST = 200_000
"""Steps after which an episode is taken for one that never ends."""


@dataclass(frozen=True)
class EpisodeResults:
    """One evaluation: arrays of the shape (n_episodes,)."""

    seeds: np.ndarray
    """What each episode's environment was reset with."""
    returns: np.ndarray
    """Raw, undiscounted returns, float64."""
    lengths: np.ndarray
    """Steps."""
    terminated: np.ndarray
    """Whether the game itself ended the episode."""
    truncated: np.ndarray
    """Whether a time limit ended it."""

    @property
    def mean(self) -> float:
        """Of the returns."""
        return float(self.returns.mean())


def evaluate(
    policy: Policy,
    task: Task | str,
    *,
    episodes: int = 20,
    mode: Mode | None = None,
    seed: int = 0,
    root: Path | None = None,
) -> EpisodeResults:
    """Play the held-out episodes once.

    Args:
        policy: who plays; its spaces must be the task's.
        task: what is played.
        episodes: how many, at least 1.
        mode: sampled or greedy actions; by default the algorithm's (`default_mode`).
        seed: decides sampled actions.
        root: where runs live that are played against; by default $HEADSTART_RUNS, else ./runs.

    Raises:
        ConfigError: the policy's spaces are not the task's.
        GameError: an episode never ends, or the game breaks its contract.
    """
    mode = mode or default_mode(policy.algorithm)
    with Evaluator(task, episodes=episodes, mode=mode, seed=seed, root=root) as evaluator:
        return evaluator.evaluate(policy)


class Evaluator:
    """Evaluates again and again on the same episodes; its environments stay open in between.

    `wall_seconds` and `cpu_seconds` add up what evaluating took.
    """

    def __init__(self, task: Task | str, *, episodes: int, mode: Mode, seed: int = 0, root: Path | None = None) -> None:
        if episodes < 1:
            raise ConfigError(f"found {episodes} evaluation episodes, expected at least 1")
        self.task = scored(evaluated(Task(game=task) if isinstance(task, str) else task))
        self.mode, self.seed = mode, seed
        self.seeds = SEED_BASE + np.arange(episodes)  # (n_episodes,)
        self.wall_seconds = self.cpu_seconds = 0.0
        with self._timed(), preserved():
            self.venv: VecEnv = make_vec(self.task, n_envs=episodes)
            self.interface = interface_of(self.venv)
            self._settle(root)
            if isinstance(self.venv.unwrapped, TurnsVecEnv):
                self.venv.unwrapped.once = True  # no opponent thinks about games that nobody counts
        self.agents = self.venv.num_envs // episodes  # slots of one copy lie side by side

    def _settle(self, root: Path | None) -> None:
        """See that somebody plays against the policy, where the game is played against somebody."""
        from agents.selfplay.attaching import settle  # which knows runs, and these know evaluations

        settle(self.venv, self.interface, root=root)

    def evaluate(self, policy: Policy, step: int = 0) -> EpisodeResults:
        """Play every episode from its seed. The step only decides what is sampled."""
        _must_agree(policy.interface, self.interface, self.task)
        generator = torch.Generator().manual_seed(derived_seed(self.seed, step))
        training = policy.network.training
        try:
            with self._timed(), preserved():
                return self._play(policy, generator)
        finally:
            policy.network.set_training_mode(training)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Add what happens inside to `wall_seconds` and `cpu_seconds`."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall_seconds += time.perf_counter() - wall
            self.cpu_seconds += time.process_time() - cpu

    def close(self) -> None:
        """Close the environments."""
        self.venv.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _play(self, policy: Policy, generator: torch.Generator) -> EpisodeResults:
        slots = self.venv.num_envs
        returns, lengths = np.zeros(slots), np.zeros(slots, dtype=np.int64)
        truncated = np.zeros(slots, dtype=bool)
        seed_each(self.venv, np.repeat(self.seeds, self.agents).tolist())
        observations: Any = self.venv.reset()
        playing = _playing(self.venv)
        open_ = playing.copy()
        choose = policy.player(mode=self.mode, generator=generator)
        for _ in range(LONGEST):
            actions = choose(observations)
            observations, rewards, ended, cut = _step(self.venv, observations, actions, open_)
            returns[open_] += rewards[open_]
            lengths[open_] += 1
            truncated |= open_ & cut
            open_ &= ~ended
            if not open_.any():
                return self._results(returns, lengths, truncated, playing)
        raise GameError(
            f"{self.task}: an episode has not ended after {LONGEST:,} steps; give the game a time limit, such as "
            "--change time_limit=1000"
        )

    def _results(
        self, returns: np.ndarray, lengths: np.ndarray, truncated: np.ndarray, playing: np.ndarray
    ) -> EpisodeResults:
        """Slots (n_episodes · n_agents,) to episodes; those of a copy who outlasted the others say how it ended."""
        returns, lengths, truncated, playing = (
            each.reshape(-1, self.agents) for each in (returns, lengths, truncated, playing)
        )
        longest = lengths.max(axis=1)
        cut = np.asarray((truncated | (lengths < longest[:, None])).all(axis=1))
        return EpisodeResults(
            self.seeds.copy(),
            returns.mean(axis=1, where=playing),
            longest,
            terminated=np.logical_not(cut),
            truncated=cut,
        )


def _playing(venv: VecEnv) -> np.ndarray:
    """The slots (n_slots,) in which somebody plays after a reset: of a game of several agents perhaps not all."""
    idle: np.ndarray | None = getattr(venv.unwrapped, "idle", None)
    return np.ones(venv.num_envs, dtype=bool) if idle is None else ~idle


def _step(
    venv: VecEnv, observations: Any, actions: np.ndarray, open_: np.ndarray
) -> tuple[Any, np.ndarray, np.ndarray, np.ndarray]:
    """One step of the episodes that go on: observations, rewards, and who ended and who was cut off, (n_slots,).

    Of objects one by one, those whose episode is over are left alone; a batch steps as one.
    """
    if not isinstance(venv, DummyVecEnv):
        step = stepped(venv, actions)
        cut = np.zeros(len(open_), dtype=bool)
        cut[step.ended[step.cut]] = True
        return step.observations, step.rewards, step.dones, cut
    rewards, ended, cut = np.zeros(len(open_)), np.zeros(len(open_), dtype=bool), np.zeros(len(open_), dtype=bool)
    for slot in np.flatnonzero(open_):
        observation, reward, terminated, truncated, _ = venv.envs[slot].step(actions[slot])
        rewards[slot], ended[slot], cut[slot] = float(reward), terminated or truncated, truncated and not terminated
        if isinstance(observations, dict):
            for key, batch in observations.items():
                batch[slot] = observation[key]
        else:
            observations[slot] = observation
    return observations, rewards, ended, cut


def _must_agree(learnt: Interface, found: Interface, task: Task | str) -> None:
    """Raises ConfigError where shapes or numbers of actions differ; bounds may differ, as with other physics."""
    for what, ours, theirs in (
        ("observations", learnt.observation_space, found.observation_space),
        ("actions", learnt.action_space, found.action_space),
    ):
        if type(ours) is not type(theirs) or _size(ours) != _size(theirs):
            raise ConfigError(
                f"{task} has {what} {_in_words(theirs)}, the policy expects {_in_words(ours)}: evaluate it on the game "
                "it was trained on, or carry it over with headstart transfer"
            )


def _in_words(space: spaces.Space[object]) -> str:
    """In one line, without a Box's bounds."""
    if isinstance(space, spaces.Box):
        return f"Box{space.shape} of {space.dtype}"
    return " ".join(str(space).split())


def _size(space: spaces.Space[object]) -> object:
    """What must be equal for a network to fit two spaces."""
    match space:
        case spaces.Discrete():
            return int(space.n)
        case spaces.MultiDiscrete():
            return space.nvec.tolist()
        case spaces.Dict():
            return {key: _size(part) for key, part in space.spaces.items()}
        case spaces.Box():
            return (space.shape, space.dtype == np.uint8)
    return space.shape
