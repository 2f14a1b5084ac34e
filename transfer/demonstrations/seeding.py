"""Demonstrations into the replay buffer of an off-policy learner, and gradient steps on them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import stable_baselines3
from gymnasium import spaces
from pydantic import Field
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.utils import polyak_update

from agents.algorithms import ALGORITHMS, default_mode
from agents.config import Mode
from agents.generators import derived_seed
from agents.networks import normaliser, update_normaliser
from envs.batched import Stepped
from envs.errors import ConfigError
from envs.observations import each, taken
from transfer.demonstrations.datasets import load
from transfer.demonstrations.episodes import transitions
from transfer.demonstrations.given import DataSetSettings, check_fits, check_unchanged
from transfer.demonstrations.playing import Demonstrator, play
from transfer.method import check_readable

if TYPE_CHECKING:
    from transfer.method import Context, Crossing

STREAM = 0xDE30
"""Tells the generator of a run's demonstrations from its others."""
AT_ONCE = 1000
"""Gradient steps between two looks at the target network, at most."""


class DemonstrationSettings(DataSetSettings):
    """Where demonstrations come from, and how many."""

    steps: int = Field(default=5000, ge=1)
    """Transitions of the target that the teacher takes, rounded up to whole steps of all environments; they count as
    the student's. Not used with `dataset`."""
    mode: Mode | None = None
    """Whether the teacher's actions are sampled or greedy; by default as its algorithm is evaluated."""
    epsilon: float = Field(default=0.0, ge=0.0, le=1.0)
    """The probability that an action of the teacher is replaced by a uniformly random one of the target's."""


@dataclass(frozen=True)
class Seeded:
    """What was put into a buffer."""

    transitions: int
    """How many."""
    returns: tuple[float, ...]
    """Raw, undiscounted returns of the whole episodes among them."""


def check_seeding(crossing: "Crossing", settings: DemonstrationSettings, method: str) -> None:
    """Refuse what cannot be demonstrated. Raises ConfigError."""
    target, mapping = crossing.target, crossing.mapping
    if not issubclass(ALGORITHMS.load(target.algorithm), OffPolicyAlgorithm):
        raise ConfigError(
            f"{method} fills a replay buffer, and {target.algorithm} has none: take dqn, sac or td3, or the method "
            "kickstart"
        )
    if settings.dataset is not None:
        check_unchanged(settings.dataset, settings.sha256)
        return
    check_readable(crossing.source, mapping, method)
    if not getattr(mapping, "carries_actions", True):
        raise ConfigError(f"{method} plays the teacher's actions, and the mapping carries none: map at least one")
    if mapping.continuous and mapping.actions is not None and None in mapping.actions:
        raise ConfigError(f"{method}: the teacher cannot act where a dimension of the actions is not mapped: map it")
    if settings.steps >= target.steps:
        raise ConfigError(
            f"{method}: the teacher is to take {settings.steps:,} steps, and the budget is {target.steps:,}: take "
            "fewer, or give more"
        )
    size, n_envs = target.hyperparameters.get("buffer_size"), target.hyperparameters.get("n_envs", 1)
    if size is not None and -(-settings.steps // n_envs) > size // n_envs:
        raise ConfigError(
            f"{method}: {settings.steps:,} steps of the teacher do not fit into a replay buffer of {size:,}: take "
            "fewer, or raise buffer_size"
        )


def seed_buffer(
    learner: OffPolicyAlgorithm,
    buffer: Any,
    context: "Context",
    settings: DemonstrationSettings,
    spend: Callable[[int], None],
) -> Seeded:
    """Fill a replay buffer with the data set's transitions or, booked one by one, with the teacher's.

    The teacher plays in the learner's own environments, so that rewards are what the learner's would be. The last
    transition of each environment is marked as cut off, since what follows it in the buffer is not what followed it.
    After it the learner learns and acts by its policy as if it had taken these transitions: they count towards
    `learning_starts`. A normaliser sees them, too.
    """
    if settings.dataset is None:
        seeded = _from_teacher(learner, buffer, context, settings, spend)
    else:
        seeded = _from_dataset(learner, buffer, settings.dataset)
        learner.learning_starts = max(0, learner.learning_starts - seeded.transitions)
    _seal(buffer)
    if normaliser(learner.policy) is not None:
        held = buffer.observations[: buffer.size()]
        update_normaliser(learner.policy, held.reshape(-1, *held.shape[2:]))
    return seeded


def practise(learner: OffPolicyAlgorithm, gradient_steps: int) -> None:
    """Gradient steps on what the buffer holds, before the learner acts; all in the learner's own way.

    A DQN's target network follows as often, in gradient steps, as it does while the learner acts.
    """
    every, done = _target_interval(learner), 0
    while done < gradient_steps:
        part = min(every - done % every, AT_ONCE, gradient_steps - done)
        learner.train(gradient_steps=part, batch_size=learner.batch_size)
        done += part
        if done % every == 0 and isinstance(learner, stable_baselines3.DQN):
            polyak_update(learner.q_net.parameters(), learner.q_net_target.parameters(), learner.tau)
            polyak_update(learner.batch_norm_stats, learner.batch_norm_stats_target, 1.0)


def _target_interval(learner: OffPolicyAlgorithm) -> int:
    """Gradient steps from one update of a DQN's target network to the next: those that it takes while it acts.

    They are taken in rounds, within which the target stands still, however short its interval is in steps of the game.
    """
    if not isinstance(learner, stable_baselines3.DQN):
        return AT_ONCE
    frequency = getattr(learner.train_freq, "frequency", learner.train_freq)
    steps = int(frequency if not isinstance(frequency, tuple) else frequency[0])
    gradient_steps = learner.gradient_steps if learner.gradient_steps >= 0 else steps * learner.n_envs
    calls = max(learner.target_update_interval // learner.n_envs, 1)
    return max(1, gradient_steps, round(calls * gradient_steps / steps))


def _from_teacher(
    learner: OffPolicyAlgorithm,
    buffer: Any,
    context: "Context",
    settings: DemonstrationSettings,
    spend: Callable[[int], None],
) -> Seeded:
    env = learner.env
    if env is None:
        raise RuntimeError("the learner has no environments")
    choose = Demonstrator(
        context.outputs,
        env.action_space,
        context.mapping.matched,
        squashed=bool(context.teacher.network.squash_output),
        mode=settings.mode or default_mode(context.teacher.algorithm),
        epsilon=settings.epsilon,
        seed=derived_seed(context.seed, STREAM),
    )
    returns: list[float] = []
    rounds = -(-settings.steps // env.num_envs)
    for observations, actions, step in play(env, choose, rounds):
        _add(learner, buffer, observations, actions, step)
        returns += [float(record["r"]) for record in step.records]
        spend(env.num_envs)
    return Seeded(rounds * env.num_envs, tuple(returns))


def _add(learner: OffPolicyAlgorithm, buffer: Any, observations: Any, actions: np.ndarray, step: Stepped) -> None:
    """A transition of each environment; what follows an end is the episode's own last observation."""
    following, rewards = each(np.copy, step.observations), step.rewards
    if learner._vec_normalize_env is not None:  # the buffer holds raw rewards, and scales what it yields
        rewards = learner._vec_normalize_env.get_original_reward()
    cut = np.zeros(len(rewards), dtype=bool)
    cut[step.ended[step.cut]] = True
    if len(step.ended):
        for held, last in _pairs(following, step.final_observations):
            held[step.ended] = last
    infos = [{"TimeLimit.truncated": bool(one)} for one in cut]
    buffer.add(observations, following, _held(learner, actions), rewards, step.dones, infos)


def _from_dataset(learner: OffPolicyAlgorithm, buffer: Any, dataset: str) -> Seeded:
    """Each environment's part of the buffer gets consecutive transitions; fewer than n_envs are left over."""
    episodes = load(dataset)
    flat = transitions(episodes)
    n = buffer.n_envs
    rows = min(len(flat) // n, buffer.buffer_size)
    if rows < 1:
        raise ConfigError(f"the data set {dataset!r} has {len(flat)} transitions for {n} environments: expected more")
    check_fits(dataset, flat, learner.observation_space, learner.action_space)
    starts = np.arange(n) * (len(flat) // n)
    for row in range(rows):
        at = starts + row
        done = flat.terminated[at] | flat.cut[at]
        infos = [{"TimeLimit.truncated": bool(cut)} for cut in flat.cut[at]]
        seen, following = (_as_held(learner, taken(part, at)) for part in (flat.observations, flat.following))
        buffer.add(seen, following, _held(learner, flat.actions[at]), flat.rewards[at], done, infos)
    return Seeded(rows * n, tuple(float(episode.rewards.sum()) for episode in episodes))


def _held(learner: OffPolicyAlgorithm, actions: np.ndarray) -> np.ndarray:
    """Actions as the buffer holds them: continuous ones in [-1, 1]."""
    return learner.policy.scale_action(actions) if isinstance(learner.action_space, spaces.Box) else actions


def _as_held(learner: OffPolicyAlgorithm, observations: Any) -> Any:
    """Observations as the buffer holds them: images with their channels first."""
    space = learner.observation_space
    if isinstance(space, spaces.Dict):
        return {name: _channels_first(observations[name], part.shape) for name, part in space.spaces.items()}
    return _channels_first(observations, space.shape)


def _channels_first(batch: np.ndarray, shape: Any) -> np.ndarray:
    moved = batch.ndim == 4 and batch.shape[1:] != shape
    return np.moveaxis(batch, -1, 1) if moved else batch


def _pairs(held: Any, given: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(held[name], given[name]) for name in held] if isinstance(held, dict) else [(held, given)]


def _seal(buffer: Any) -> None:
    """Mark the latest transition of each environment as the last of its episode, cut off unless it terminated.

    A buffer of one array for observations knows no time limits; there it counts as terminated, which is what
    Stable-Baselines3 does to the last transition before a reset.
    """
    row = (buffer.pos - 1) % buffer.buffer_size
    if buffer.handle_timeout_termination:
        buffer.timeouts[row] = np.maximum(buffer.timeouts[row], 1.0 - buffer.dones[row])
    buffer.dones[row] = 1.0
