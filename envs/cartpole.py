"""CartPole with its physics as arguments: a batch of environments in numpy, and a single one over the same rules.

With the default physics both follow Gymnasium's CartPole-v1 state by state. Unlike Gymnasium's own batched CartPole,
this one resets an environment in the step that ends its episode (SAME_STEP), gives every environment a generator of
its own, and lets its whole state be taken out and put back.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.envs.classic_control import cartpole as classic
from gymnasium.envs.classic_control.utils import maybe_parse_reset_bounds
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from envs import generators
from envs.errors import ConfigError
from envs.registry import did_you_mean
from envs.same_step import each_seed, final_infos, to_reset

Array = npt.NDArray[Any]

NAMES = {
    "features": ["position", "velocity", "angle", "angular_velocity"],
    "actions": ["left", "right"],
}

_START = 0.05
"""A reset draws each entry of the state uniformly from [-0.05, 0.05)."""


@dataclass(eq=False, repr=False)
class Physics:
    """The rules of Barto, Sutton & Anderson (1983), as Gymnasium writes them. Attributes may be set at any time."""

    gravity: float = 9.8
    """m/s²."""
    masscart: float = 1.0
    """kg."""
    masspole: float = 0.1
    """kg."""
    length: float = 0.5
    """Half the pole's length, m."""
    force_mag: float = 10.0
    """N."""
    tau: float = 0.02
    """Seconds between two states."""
    kinematics_integrator: str = "euler"
    """`euler`, or `semi-implicit`."""
    theta_threshold_radians: float = 12 * 2 * math.pi / 360
    """The episode ends when the pole leans further."""
    x_threshold: float = 2.4
    """The episode ends when the cart is further from the middle, m."""
    sutton_barto_reward: bool = False
    """-1 for the fall and 0 otherwise, instead of 1 for every step."""

    def __post_init__(self) -> None:
        """Raises ConfigError if no such cart can exist."""
        for field in fields(Physics):
            value = getattr(self, field.name)
            if isinstance(field.default, float) and not isinstance(value, Real):
                raise ConfigError(f"CartPole's {field.name} is {value!r}: expected a number")
        for name in ("masscart", "masspole", "length", "tau", "theta_threshold_radians", "x_threshold"):
            value = getattr(self, name)
            if not value > 0:
                raise ConfigError(f"CartPole's {name} is {value}: expected a number above 0")
        for name in ("gravity", "force_mag"):
            if not math.isfinite(getattr(self, name)):
                raise ConfigError(f"CartPole's {name} is {getattr(self, name)}: expected a finite number")
        if self.kinematics_integrator not in ("euler", "semi-implicit"):
            raise ConfigError(
                f"CartPole's kinematics_integrator is {self.kinematics_integrator!r}: "
                "expected 'euler' or 'semi-implicit'"
            )

    @property
    def total_mass(self) -> float:
        """Of cart and pole, kg."""
        return self.masspole + self.masscart

    @property
    def polemass_length(self) -> float:
        """The pole's mass times half its length, kg·m."""
        return self.masspole * self.length

    def spaces(self) -> tuple[spaces.Box, spaces.Discrete]:
        """Observations: position, velocity, angle, angular velocity; to twice what ends the episode. Left and right."""
        high = np.array([self.x_threshold * 2, np.inf, self.theta_threshold_radians * 2, np.inf], dtype=np.float32)
        return spaces.Box(-high, high, dtype=np.float32), spaces.Discrete(2)

    def advance(self, state: Array, action: Array | int) -> Array:
        """The state one step later. `state` is (4,) or (4, n_envs) float64, `action` 0 or 1 for each.

        The order of operations is Gymnasium's, so that the bits are too.
        """
        x, x_dot, theta, theta_dot = state
        force = np.where(np.equal(action, 1), self.force_mag, -self.force_mag)
        cos, sin = np.cos(theta), np.sin(theta)
        total, tau = self.total_mass, self.tau
        temp = (force + self.polemass_length * np.square(theta_dot) * sin) / total
        theta_acc = (self.gravity * sin - cos * temp) / (
            self.length * (4.0 / 3.0 - self.masspole * np.square(cos) / total)
        )
        x_acc = temp - self.polemass_length * theta_acc * cos / total
        if self.kinematics_integrator == "euler":
            return np.array(
                (x + tau * x_dot, x_dot + tau * x_acc, theta + tau * theta_dot, theta_dot + tau * theta_acc)
            )
        x_dot, theta_dot = x_dot + tau * x_acc, theta_dot + tau * theta_acc
        return np.array((x + tau * x_dot, x_dot, theta + tau * theta_dot, theta_dot))

    def fallen(self, state: Array) -> Array:
        """Whether the episode is over: bool, () or (n_envs,)."""
        x, _, theta, _ = state
        return np.asarray((np.abs(x) > self.x_threshold) | (np.abs(theta) > self.theta_threshold_radians))

    def reward(self, fallen: Array) -> Array:
        """What the step that led here earned: float64, shaped as `fallen`."""
        return -fallen.astype(np.float64) if self.sutton_barto_reward else np.ones(fallen.shape)


class CartPoleVectorEnv(Physics, VectorEnv[Array, Array, Array]):
    """A batch of CartPoles that share their physics; an environment whose episode ends is reset in that same step.

    Args:
        num_envs: how many.
        max_episode_steps: an episode is truncated after this many steps.
        render_mode: None or `rgb_array`.
        physics: attributes of `Physics`.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]  # Gymnasium declares it without ClassVar
        "render_modes": ["rgb_array"],
        "render_fps": 50,
        "autoreset_mode": AutoresetMode.SAME_STEP,
        "headstart": NAMES,
    }

    def __init__(
        self,
        num_envs: int = 1,
        *,
        max_episode_steps: int = 500,
        render_mode: str | None = None,
        **physics: Any,
    ) -> None:
        Physics.__init__(self, **_known(physics))
        self.num_envs = num_envs
        self.max_episode_steps = max_episode_steps
        self.render_mode = render_mode
        self.single_observation_space, self.single_action_space = self.spaces()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._generators = [generators.from_seed(None) for _ in range(num_envs)]
        self._state = np.zeros((4, num_envs))
        self._steps = np.zeros(num_envs, dtype=np.int64)
        self._painter = _Painter(render_mode)

    @property  # type: ignore[override]  # as SyncVectorEnv's
    def np_random(self) -> tuple[np.random.Generator, ...]:
        """One generator an environment."""
        return tuple(self._generators)

    @np_random.setter  # type: ignore[override]
    def np_random(self, value: Sequence[np.random.Generator]) -> None:
        self._generators = list(value)

    def observe(self) -> Array:
        """What the agents see now: (n_envs, 4) float32."""
        return self._state.T.astype(np.float32, order="C")

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Start new episodes.

        Args:
            seed: s seeds environment i with s + i; a sequence gives each its own; None goes on with the generators.
            options: `reset_mask` ((n_envs,) bool) resets only those; `low` and `high` bound the first state.
        """
        seeds, which = each_seed(seed, self.num_envs), to_reset(options, self.num_envs)
        bounds = maybe_parse_reset_bounds(_without_mask(options), -_START, _START)
        for index in which.tolist():
            if seeds[index] is not None:
                self._generators[index] = generators.from_seed(seeds[index])
        self._start(which, *bounds)
        return self.observe(), {}

    def step(self, actions: Array) -> tuple[Array, Array, Array, Array, dict[str, Any]]:
        """One step of every environment. `actions` is (n_envs,) of 0 and 1."""
        observations, rewards, terminated, truncated, ended, last = self.step_arrays(actions)
        return observations, rewards, terminated, truncated, final_infos(self.num_envs, ended, last)

    def step_arrays(self, actions: Array) -> tuple[Array, Array, Array, Array, Array, Array]:
        """One step of every environment, in arrays alone.

        Returns:
            observations: of the episodes that are now under way, (n_envs, 4) float32.
            rewards, terminated, truncated: (n_envs,) float64 and bool.
            ended: (m,) int64, the environments whose episode ended in this step.
            last: (m, 4), the observations that these episodes ended with.
        """
        actions = np.asarray(actions)
        if actions.shape != (self.num_envs,) or not ((actions == 0) | (actions == 1)).all():
            raise ValueError(f"actions {actions.tolist()}: expected {self.num_envs} of 0 (left) or 1 (right)")
        self._state = self.advance(self._state, actions)
        self._steps += 1
        terminated = self.fallen(self._state)
        truncated = self._steps >= self.max_episode_steps
        observations = self.observe()
        ended = np.flatnonzero(terminated | truncated)
        last = observations[ended]
        if len(ended):
            self._start(ended)
            observations[ended] = self._state[:, ended].T
        return observations, self.reward(terminated), terminated, truncated, ended, last

    def get_state(self) -> dict[str, Array]:
        """All that decides what follows, but the physics: copies, each with a leading axis of n_envs."""
        return {
            "state": self._state.T.copy(),
            "steps": self._steps.copy(),
            "generators": generators.to_array(self._generators),
        }

    def set_state(self, state: dict[str, Array]) -> None:
        """Go on from what `get_state` returned."""
        if state["state"].shape != (self.num_envs, 4):
            raise ValueError(f"a state of shape {state['state'].shape}: expected ({self.num_envs}, 4)")
        self._state = np.ascontiguousarray(state["state"].T, dtype=np.float64)
        self._steps = state["steps"].astype(np.int64)
        self._generators = generators.from_array(state["generators"])

    def render(self) -> tuple[Array, ...] | None:
        """A frame of each environment, (400, 600, 3) uint8."""
        if self.render_mode is None:
            return None
        return tuple(self._painter.paint(self, state) for state in self._state.T)

    def close_extras(self, **kwargs: Any) -> None:
        """Give back the drawing surface."""
        self._painter.close()

    def _start(self, which: Array, low: float = -_START, high: float = _START) -> None:
        for index in which.tolist():
            self._state[:, index] = self._generators[index].uniform(low, high, 4)
        self._steps[which] = 0


class CartPoleEnv(Physics, gym.Env[Array, Any]):
    """One CartPole. Its time limit is Gymnasium's TimeLimit, as for every single environment."""

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["human", "rgb_array"],
        "render_fps": 50,
        "headstart": NAMES,
    }

    def __init__(self, *, render_mode: str | None = None, **physics: Any) -> None:
        Physics.__init__(self, **_known(physics))
        self.render_mode = render_mode
        self.observation_space, self.action_space = self.spaces()
        self.state = np.zeros(4)
        self._painter = _Painter(render_mode)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Start a new episode; `low` and `high` among the options bound the first state."""
        super().reset(seed=seed)
        low, high = maybe_parse_reset_bounds(options, -_START, _START)
        self.state = self.np_random.uniform(low, high, size=4)
        if self.render_mode == "human":
            self.render()
        return self.state.astype(np.float32), {}

    def step(self, action: int) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """One step; 0 pushes to the left, 1 to the right."""
        if action not in (0, 1):
            raise ValueError(f"action {action!r}: expected 0 (left) or 1 (right)")
        self.state = self.advance(self.state, action)
        fallen = self.fallen(self.state)
        if self.render_mode == "human":
            self.render()
        return self.state.astype(np.float32), float(self.reward(fallen)), bool(fallen), False, {}

    def render(self) -> Array | None:
        """A frame, (400, 600, 3) uint8; or, for `human`, a window."""
        return None if self.render_mode is None else self._painter.paint(self, self.state)

    def close(self) -> None:
        """Close the window."""
        self._painter.close()


class _Painter:
    """Gymnasium's drawing of one state, made when the first frame is asked for."""

    def __init__(self, render_mode: str | None) -> None:
        self._mode = render_mode
        self._env: Any = None

    def paint(self, physics: Physics, state: Array) -> Any:
        if self._env is None:
            self._env = classic.CartPoleEnv(render_mode=self._mode)
        self._env.length, self._env.x_threshold, self._env.state = physics.length, physics.x_threshold, state
        return self._env.render()

    def close(self) -> None:
        if self._env is not None:
            self._env.close()
            self._env = None


def _known(physics: dict[str, Any]) -> dict[str, Any]:
    names = [attribute.name for attribute in fields(Physics)]
    for name in physics:
        if name not in names:
            raise did_you_mean("argument of CartPole", name, names)
    return physics


def _without_mask(options: dict[str, Any] | None) -> dict[str, Any]:
    """The options that bound the first state."""
    return {name: value for name, value in (options or {}).items() if name != "reset_mask"}
