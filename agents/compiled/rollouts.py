"""A rollout collected with arrays: a batched game is one object, and costs Python only where an episode ends."""

from typing import Any

from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from agents.compiled.learner import CompiledPPO
from agents.compiled.ppo import estimate
from envs.batched import stepped
from envs.observations import put, taken


def collect(
    learner: Any,
    compiled: CompiledPPO,
    env: VecEnv,
    callback: BaseCallback,
    buffer: RolloutBuffer,
    n_rollout_steps: int,
) -> bool:
    """Stable-Baselines3's `collect_rollouts` of an on-policy learner: same transitions, same bootstrapping.

    Where an episode is cut off, γ·V of its last observation is added to the last reward.

    Returns:
        False if the callback ended it.
    """
    _rewind(buffer)
    callback.on_rollout_start()
    observations: Any = learner._last_obs
    for t in range(n_rollout_steps):
        actions, values, log_probs = compiled.act(observations)
        step = stepped(env, actions)
        learner.num_timesteps += env.num_envs
        rewards, dones, new_obs, infos = step.rewards, step.dones, step.observations, step.infos
        callback.update_locals(
            {
                "self": learner,
                "env": env,
                "n_steps": t,
                "actions": actions,
                "values": values,
                "log_probs": log_probs,
                "rewards": rewards,
                "dones": dones,
                "new_obs": new_obs,
                "infos": infos,
                "rollout_buffer": buffer,
            }
        )
        if not callback.on_step():
            return False
        learner.ep_info_buffer.extend(step.records)
        learner.ep_success_buffer.extend(step.successes)
        if step.cut.any():
            which = step.ended[step.cut]
            rewards[which] += learner.gamma * compiled.values(taken(step.final_observations, step.cut))
        put(buffer.observations, t, observations)
        buffer.actions[t, :, 0] = actions
        buffer.rewards[t] = rewards
        buffer.episode_starts[t] = learner._last_episode_starts
        buffer.values[t] = values
        buffer.log_probs[t] = log_probs
        observations = learner._last_obs = new_obs
        learner._last_episode_starts = dones
    buffer.pos, buffer.full = n_rollout_steps, True
    dones = learner._last_episode_starts
    estimate(
        buffer.rewards,
        buffer.values,
        buffer.episode_starts,
        compiled.values(observations),
        dones,
        buffer.gamma,
        buffer.gae_lambda,
        buffer.advantages,
        buffer.returns,
    )
    callback.update_locals({"rollout_buffer": buffer, "new_obs": observations, "dones": dones})
    callback.on_rollout_end()
    return True


def _rewind(buffer: RolloutBuffer) -> None:
    """Start to fill it again; its arrays are kept unless SB3 has flattened them."""
    if buffer.generator_ready or buffer.values.shape != (buffer.buffer_size, buffer.n_envs):
        buffer.reset()
    buffer.pos, buffer.full = 0, False
