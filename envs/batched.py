"""The one adapter from Gymnasium's vector environments to Stable-Baselines3's."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvStepReturn

from envs.errors import ConfigError, GameError
from envs.guard import at, blamed, finite, shown
from envs.observations import stacked, taken

_FINAL = {"final_obs", "_final_obs", "final_info", "_final_info"}


class Stepped(NamedTuple):
    """One step of B environments as arrays; M of them ended an episode in it and have begun another."""

    observations: Any
    """(B, …), of what comes next."""
    rewards: np.ndarray  # (B,) float32
    dones: np.ndarray  # (B,) bool
    ended: np.ndarray
    """Which environments ended an episode: (M,) int64."""
    cut: np.ndarray
    """Which of these were cut off by a limit, instead of terminated: (M,) bool."""
    final_observations: Any
    """The last observation of each episode that ended: (M, …)."""
    records: list[dict[str, Any]]
    """Monitor's record of each episode that ended, where environments keep one."""
    successes: list[Any]
    """What `is_success` said at these ends, where a game says it."""
    infos: Sequence[dict[str, Any]]
    """SB3's infos (B,)."""


def stepped(venv: VecEnv, actions: np.ndarray) -> Stepped:
    """One step of any environments; as arrays all the way where the outermost of them knows how."""
    by_arrays = getattr(type(venv), "step_arrays", None)  # not the instance: wrappers show what is inside them
    if by_arrays is not None:
        step: Stepped = by_arrays(venv, actions)
        return step
    observations, rewards, dones, infos = venv.step(actions)
    ended = np.flatnonzero(dones)
    mine = [infos[index] for index in ended.tolist()]
    told = ["terminal_observation" in info for info in mine]  # which foreign environments may not do
    cut = np.array([info.get("TimeLimit.truncated", False) for info in mine], dtype=bool) & np.array(told, dtype=bool)
    last = [info.get("terminal_observation", taken(observations, at)) for info, at in zip(mine, ended, strict=True)]
    return Stepped(
        observations,
        rewards,
        dones,
        ended,
        cut,
        stacked(last) if last else taken(observations, slice(0)),
        [info["episode"] for info in mine if "episode" in info],
        [info["is_success"] for info in mine if "is_success" in info],
        infos,
    )


class _Infos(Sequence[dict[str, Any]]):
    """The infos of a step, made when somebody looks."""

    def __init__(self, make: Callable[[], list[dict[str, Any]]], size: int) -> None:
        self._make, self._size = make, size
        self._made: list[dict[str, Any]] | None = None

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: Any) -> Any:
        if self._made is None:
            self._made = self._make()
        return self._made[index]


class BatchedVecEnv(VecEnv):
    """A SAME_STEP `gymnasium.vector.VectorEnv` as SB3 wants it: terminal observations, truncation, episode records.

    An environment costs Python work only in the step that ends its episode. Attributes with one entry per environment
    are dealt out by `get_attr`; all others belong to the whole batch.

    Args:
        envs: the batch.
        game: its name, for messages.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], game: str) -> None:
        if envs.metadata.get("autoreset_mode") != AutoresetMode.SAME_STEP:
            raise ConfigError(
                f"game {game!r} resets its batch by {envs.metadata.get('autoreset_mode')}; expected SAME_STEP: "
                "run it with backend 'dummy'"
            )
        self.envs = envs
        self.game = game
        self._actions: Any = None
        self._returns = np.zeros(envs.num_envs)
        self._lengths = np.zeros(envs.num_envs, dtype=np.int64)
        self._started = time.time()
        self._by_arrays: Any = _by_arrays(envs)
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)
        self.metadata = {**envs.metadata, **self.metadata}

    def reset(self) -> Any:
        """Start new episodes with the seeds and options given since the last reset. Returns the observations."""
        options = self._options[0]
        if any(other != options for other in self._options):
            raise ConfigError(f"game {self.game!r} is batched: its environments are reset with the same options")
        with blamed(self.game, lambda: "at the reset of its batch"):
            observations, infos = self.envs.reset(seed=_seed(self._seeds), options=options or None)
        if not finite(observations):
            raise GameError(f"game {self.game!r} returned NaN or infinity in an observation at the reset of its batch")
        self.reset_infos = [_one(infos, index) for index in range(self.num_envs)]
        self._returns[:], self._lengths[:] = 0.0, 0
        self._reset_seeds()
        self._reset_options()
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        """Remember the actions."""
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        """One step of every environment; those whose episode ends are reset in it."""
        step = self.step_arrays(self._actions)
        return step.observations, step.rewards, step.dones, list(step.infos)

    def step_arrays(self, actions: np.ndarray) -> Stepped:
        """The same step as arrays; no Python object for an environment whose episode goes on."""
        self._actions = actions
        batch: dict[str, Any] = {}
        with blamed(self.game, lambda: f"in a step of its batch (actions {shown(actions)})"):
            if self._by_arrays is not None:
                observations, rewards, terminated, truncated, ended, last = self._by_arrays(actions)
            else:
                observations, rewards, terminated, truncated, batch = self.envs.step(actions)
                ended = np.flatnonzero(terminated | truncated)
                last = self._last(observations, batch, ended)
        self._returns += rewards
        self._lengths += 1
        self._check(observations, rewards)
        dones = terminated | truncated
        cut = truncated[ended] & ~terminated[ended]
        records: list[dict[str, Any]] = []
        recorded: dict[int, dict[str, Any]] = {}
        if len(ended):
            self._check_last(last, ended)
            recorded = self._recorded(ended)
            records = list(recorded.values())
            self._returns[ended], self._lengths[ended] = 0.0, 0
            for index in ended.tolist():
                self.reset_infos[index] = _one(batch, index)
        finals = [_one(batch["final_info"], index) for index in ended.tolist()] if batch.get("final_info") else []
        return Stepped(
            observations,
            rewards.astype(np.float32),
            dones,
            ended,
            cut,
            last,
            records,
            [info["is_success"] for info in finals if "is_success" in info],
            _Infos(lambda: self._infos(batch, dones, ended, cut, last, recorded, finals), self.num_envs),
        )

    def close(self) -> None:
        """Close the batch; a second time does nothing."""
        self.envs.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """A frame of each environment."""
        frames: Any = self.envs.render()
        return [None] * self.num_envs if frames is None else list(frames)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute for each environment asked for."""
        value = getattr(self._owner(attr_name), attr_name)
        return self._deal(value, indices)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the whole batch. Raises ConfigError if only some environments are meant."""
        self._whole(indices, f"attribute {attr_name!r}")
        setattr(self._owner(attr_name), attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of the batch, once. Raises ConfigError if only some environments are meant."""
        self._whole(indices, f"method {method_name!r}")
        return self._deal(getattr(self._owner(method_name), method_name)(*method_args, **method_kwargs), None)

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]], indices: VecEnvIndices = None
    ) -> list[bool]:
        """True for SB3's Monitor, whose episode records these environments make themselves."""
        return [issubclass(Monitor, wrapper_class)] * len(list(self._get_indices(indices)))

    def get_state(self) -> dict[str, Any]:
        """All that decides what follows, as arrays with a leading axis of num_envs; games of ours only."""
        state: dict[str, Any] = self._owner("get_state").get_state()
        return {**state, "return": self._returns.copy(), "length": self._lengths.copy()}

    def set_state(self, state: dict[str, Any]) -> Any:
        """Go on from what `get_state` returned. Returns the observations there."""
        self._owner("set_state").set_state(state)
        self._returns, self._lengths = state["return"].copy(), state["length"].copy()
        return self._owner("observe").observe()

    def take(self, envs: VectorEnv[Any, Any, Any], returns: np.ndarray, lengths: np.ndarray) -> None:
        """Go on with another batch of the same game, whose episodes have earned (B,) and lasted (B,) so much."""
        self.envs, self._by_arrays = envs, _by_arrays(envs)
        self._returns, self._lengths = returns.copy(), lengths.copy()

    def _check(self, observations: Any, rewards: np.ndarray) -> None:
        if np.isfinite(rewards).all() and finite(observations):
            return
        for index in range(self.num_envs):
            when = at(int(self._lengths[index]), self._actions[index])
            if not np.isfinite(rewards[index]):
                raise GameError(f"game {self.game!r} returned the reward {rewards[index]} {when}")
            if not finite(taken(observations, index)):
                raise GameError(f"game {self.game!r} returned NaN or infinity in its observation {when}")

    def _infos(
        self,
        batch: dict[str, Any],
        dones: np.ndarray,
        ended: np.ndarray,
        cut: np.ndarray,
        last: Any,
        recorded: dict[int, dict[str, Any]],
        finals: list[dict[str, Any]],
    ) -> list[dict[str, Any]]:
        """The infos of a step in SB3's words."""
        if batch.keys() <= _FINAL:
            infos: list[dict[str, Any]] = [{"TimeLimit.truncated": False} for _ in range(self.num_envs)]
        else:
            infos = [
                {} if done else {**_one(batch, index), "TimeLimit.truncated": False} for index, done in enumerate(dones)
            ]
        for place, index in enumerate(ended.tolist()):
            infos[index] = {
                **(finals[place] if finals else {}),
                **({"episode": recorded[index]} if index in recorded else {}),
                "TimeLimit.truncated": bool(cut[place]),
                "terminal_observation": taken(last, place),
            }
        return infos

    def _recorded(self, ended: np.ndarray) -> dict[int, dict[str, Any]]:
        """Monitor's record of each episode that ended, by environment; the game's own records, where it keeps any
        because a learner sees only a part of its episodes, or other rewards."""
        own: dict[int, dict[str, Any]] | None = getattr(self.envs.unwrapped, "records", None)
        now = round(time.time() - self._started, 6)
        if own is not None:
            return {index: {**own[index], "t": now} for index in ended.tolist() if index in own}
        earned, lengths = self._returns[ended].tolist(), self._lengths[ended].tolist()
        return {
            index: {"r": round(earned[place], 6), "l": lengths[place], "t": now}
            for place, index in enumerate(ended.tolist())
        }

    def _last(self, observations: Any, batch: dict[str, Any], ended: np.ndarray) -> Any:
        """The final observations of the episodes that ended, (M, …)."""
        final = [batch["final_obs"][index] for index in ended.tolist()]
        return stacked(final) if final else taken(observations, slice(0))

    def _check_last(self, last: Any, ended: np.ndarray) -> None:
        if finite(last):
            return
        for place, index in enumerate(ended.tolist()):
            if not finite(taken(last, place)):
                when = at(int(self._lengths[index]), self._actions[index])
                raise GameError(f"game {self.game!r} returned NaN or infinity in its observation {when}")

    def _owner(self, name: str) -> Any:
        """The outermost layer of the batch that has this attribute."""
        layer: Any = self.envs
        while name not in vars(layer) and not hasattr(type(layer), name) and hasattr(layer, "env"):
            layer = layer.env
        if not hasattr(layer, name):
            raise AttributeError(f"game {self.game!r} has no attribute {name!r}")
        return layer

    def _deal(self, value: Any, indices: VecEnvIndices) -> list[Any]:
        sequence = isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)
        each = sequence and len(value) == self.num_envs
        return [value[index] if each else value for index in self._get_indices(indices)]

    def _whole(self, indices: VecEnvIndices, what: str) -> None:
        if sorted(self._get_indices(indices)) != list(range(self.num_envs)):
            raise ConfigError(f"game {self.game!r} is batched: {what} belongs to all its environments, not to some")


def _by_arrays(envs: Any) -> Any:
    return envs.step_arrays if _steps_by_arrays(type(envs)) else None


def _steps_by_arrays(kind: type) -> bool:
    """Whether `step_arrays` says all that `step` does: a subclass may have changed `step` alone."""
    return next("step_arrays" in vars(base) for base in kind.__mro__ if {"step", "step_arrays"} & vars(base).keys())


def _seed(seeds: Sequence[int | None]) -> Any:
    """As every vector environment takes it: one number where they follow each other, else a list."""
    first = seeds[0]
    if all(seed is None for seed in seeds):
        return None
    if first is not None and list(seeds) == list(range(first, first + len(seeds))):
        return first
    return list(seeds)


def _one(batch: dict[str, Any], index: int) -> dict[str, Any]:
    """One environment's info out of a batch's, in which `_key` says who has `key`."""
    if not batch:
        return {}
    mine = {}
    for key, value in batch.items():
        if key in _FINAL or (key.startswith("_") and key[1:] in batch):
            continue
        if f"_{key}" not in batch or batch[f"_{key}"][index]:
            mine[key] = _one(value, index) if isinstance(value, dict) else value[index]
    return mine
