"""Transitions collected with arrays: a batched game is one object, and costs Python only where an episode ends."""

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.buffers import DictReplayBuffer, ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import RolloutReturn, TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.utils import should_collect_more_steps
from stable_baselines3.common.vec_env import VecEnv

from envs.batched import Stepped, stepped
from envs.observations import put

KNOWN = (ReplayBuffer, DictReplayBuffer)
"""Replay buffers whose arrays are read and written without their methods."""
Act = Callable[[Any], np.ndarray]
"""The best actions (B,) in observations (B, …)."""


def collect(
    learner: Any,
    act: Act,
    env: VecEnv,
    callback: BaseCallback,
    train_freq: TrainFreq,
    buffer: ReplayBuffer,
    learning_starts: int,
    log_interval: int | None,
) -> RolloutReturn:
    """Stable-Baselines3's `collect_rollouts` of a DQN: the same draws, the same transitions.

    Raises ValueError if whole episodes are asked for of several environments.
    """
    if env.num_envs > 1 and train_freq.unit is not TrainFrequencyUnit.STEP:
        raise ValueError(f"train_freq counts episodes, which takes one environment; found {env.num_envs}")
    steps = episodes = 0
    callback.on_rollout_start()
    while should_collect_more_steps(train_freq, steps, episodes):
        observations = learner._last_obs
        actions = explore(learner, act, observations, learning_starts, env.num_envs)
        step = stepped(env, actions)
        learner.num_timesteps += env.num_envs
        steps += 1
        callback.update_locals(
            {
                "self": learner,
                "env": env,
                "replay_buffer": buffer,
                "learning_starts": learning_starts,
                "log_interval": log_interval,
                "num_collected_steps": steps,
                "num_collected_episodes": episodes,
                "actions": actions,
                "buffer_actions": actions,
                "new_obs": step.observations,
                "rewards": step.rewards,
                "dones": step.dones,
                "infos": step.infos,
            }
        )
        if not callback.on_step():
            return RolloutReturn(steps * env.num_envs, episodes, continue_training=False)
        learner.ep_info_buffer.extend(step.records)
        learner.ep_success_buffer.extend(step.successes)
        store(buffer, observations, actions, step)
        learner._last_original_obs, learner._last_obs = observations, step.observations
        learner._update_current_progress_remaining(learner.num_timesteps, learner._total_timesteps)
        learner._on_step()
        episodes += len(step.ended)
        for _ in range(len(step.ended)):
            learner._episode_num += 1
            if log_interval is not None and learner._episode_num % log_interval == 0:
                learner.dump_logs()
    callback.on_rollout_end()
    return RolloutReturn(steps * env.num_envs, episodes, continue_training=True)


def explore(learner: Any, act: Act, observations: Any, learning_starts: int, n: int) -> np.ndarray:
    """ε-greedy actions of n environments as SB3 draws them: all of them act at random in the same steps."""
    if learner.num_timesteps >= learning_starts and np.random.rand() >= learner.exploration_rate:  # noqa: NPY002
        return act(observations)
    space: spaces.Discrete = learner.action_space
    if n == 1 or type(space) is not spaces.Discrete or space.dtype != np.int64:
        return np.array([space.sample() for _ in range(n)])
    return space.start + space.np_random.integers(space.n, size=n)  # the same draws; of smaller types they are others


def store(buffer: ReplayBuffer, observations: Any, actions: np.ndarray, step: Stepped) -> None:
    """Add a transition of each environment, as SB3's `add` does; what follows an end is the episode's own."""
    at, following = buffer.pos, (buffer.pos + 1) % buffer.buffer_size
    put(buffer.observations, at, observations)
    one_array = buffer.optimize_memory_usage
    seen, place = (buffer.observations, following) if one_array else (buffer.next_observations, at)
    put(seen, place, step.observations)
    if len(step.ended):
        put(seen, (place, step.ended), step.final_observations)
    buffer.actions[at] = actions.reshape(buffer.actions.shape[1:])
    buffer.rewards[at] = step.rewards
    buffer.dones[at] = step.dones
    if buffer.handle_timeout_termination:
        buffer.timeouts[at] = False
        buffer.timeouts[at, step.ended[step.cut]] = True
    buffer.full |= following == 0
    buffer.pos = following
