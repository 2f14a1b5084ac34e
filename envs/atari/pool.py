"""Atari batches that EnvPool plays (Weng et al. 2022), where it is installed."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from envs.atari.console import Console
from envs.atari.settings import AtariSettings, rom_of, settings_of
from envs.atari.single import metadata_of
from envs.catalogue import find_game
from envs.errors import ConfigError, HeadstartError, MissingExtra
from envs.generators import from_seed
from envs.registry import import_module
from envs.same_step import each_seed, final_infos, to_reset
from envs.task import Task

ENVPOOL = "envpool"
SEEDS = 2**31
"""EnvPool's seeds are 32-bit numbers."""


class EnvPoolAtari(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """A batch in EnvPool's threads; an episode that ends is followed by the next one in that same step.

    The same game by the same protocol, but other episodes than ALE's own for a seed, and a state that cannot be taken
    out: a run goes on from the beginning of its last checkpoint's episodes.

    Args:
        num_envs: how many.
        render_mode: there is none.
        arguments: the fields of `AtariSettings`; only pixels.

    Raises MissingExtra where EnvPool is not installed, ConfigError for what it does not do.
    """

    def __init__(
        self,
        num_envs: int = 1,
        *,
        max_episode_steps: int | None = 27_000,
        render_mode: str | None = None,
        **arguments: Any,
    ) -> None:
        settings = settings_of({"max_episode_steps": max_episode_steps, **arguments})
        if find_spec(ENVPOOL) is None:
            raise MissingExtra(
                f"Atari game {settings.game!r}: engine 'envpool' needs the package 'envpool': install it with "
                "pip install 'headstart[envpool]', or leave engine out (--change engine=ale for what it trained)"
            )
        _imported(settings.game)
        if settings.obs_type == "ram" or render_mode is not None:
            raise ConfigError(
                f"Atari game {settings.game!r}: engine 'envpool' shows the agent's pixels and nothing else; "
                "leave engine out to see the RAM or to watch"
            )
        self.settings: AtariSettings = settings
        self.num_envs = num_envs
        first = Console(settings)
        self.metadata = {
            **metadata_of(first, settings),
            "render_modes": [],
            "autoreset_mode": AutoresetMode.SAME_STEP,
        }
        self.single_observation_space = first.observation_space
        self.single_action_space = spaces.Discrete(len(first.actions))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.np_random = tuple(from_seed(None) for _ in range(num_envs))  # type: ignore[assignment]
        self._pool: Any = None
        self._earned, self._steps = np.zeros(num_envs), np.zeros(num_envs, np.int64)
        self.records: dict[int, dict[str, Any]] | None = None
        """As `AtariVectorEnv.records`."""

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start new episodes; with seeds, in a new pool."""
        seeds, which = each_seed(seed, self.num_envs), to_reset(options, self.num_envs)
        given = [one for one in seeds if one is not None]
        if given or self._pool is None:
            if (given and len(given) < self.num_envs) or len(which) < self.num_envs:
                raise ConfigError("engine 'envpool' seeds and first resets all its environments at once, not some")
            if given:
                self.np_random = tuple(from_seed(one) for one in given)  # type: ignore[assignment]
            self._pool = self._made()
        frames, _ = self._pool.reset(which.astype(np.int32))
        if len(which) == self.num_envs:
            self._frames = frames
        else:
            self._frames = np.array(self._frames)
            self._frames[which] = frames
        self._earned[which], self._steps[which] = 0.0, 0
        return self.observe(), {}

    def observe(self) -> np.ndarray:
        """What the agents see: (n_envs, size, size, stack) uint8."""
        return np.array(self._frames).transpose(0, 2, 3, 1)

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One decision in every game. `actions` (n_envs,) count within the offered actions."""
        frames, rewards, terminated, truncated, infos = self._pool.step(np.asarray(actions, np.int32))
        self._frames = np.array(frames)
        truncated = truncated & ~terminated
        ended = np.flatnonzero(terminated | truncated)
        last = self.observe()[ended]
        self._earned += infos["reward"]
        self._steps += 1
        if len(ended):
            over = ended[(infos["terminated"][ended] != 0) | truncated[ended]]
            if self.settings.keeps_records:
                self.records = {int(i): {"r": float(self._earned[i]), "l": int(self._steps[i])} for i in over}
            self._earned[over], self._steps[over] = 0.0, 0
            begun, _ = self._pool.reset(ended.astype(np.int32))
            self._frames[ended] = begun
        elif self.settings.keeps_records:
            self.records = {}
        infos = final_infos(self.num_envs, ended, last)
        return self.observe(), rewards.astype(np.float64), terminated, truncated, infos

    def close_extras(self, **kwargs: Any) -> None:
        """Close the pool."""
        if self._pool is not None:
            self._pool.close()

    def _made(self) -> Any:
        settings = self.settings
        envpool, name = _imported(settings.game)
        seeds = [int(generator.integers(SEEDS)) for generator in self.np_random]  # type: ignore[attr-defined]
        return envpool.make_gymnasium(
            name,
            num_envs=self.num_envs,
            num_threads=settings.threads,
            env_seed=seeds,
            stack_num=settings.stack,
            frame_skip=settings.frameskip,
            noop_max=max(1, settings.noop_max),
            episodic_life=settings.life_loss,
            reward_clip=settings.clip_rewards,
            use_fire_reset=False,
            img_height=settings.size,
            img_width=settings.size,
            mode=-1 if settings.mode is None else settings.mode,
            difficulty=-1 if settings.difficulty is None else settings.difficulty,
            full_action_space=settings.full_action_space,
            repeat_action_probability=settings.repeat_action_probability,
            max_episode_steps=settings.max_episode_steps or 2**30,
        )


def why_not(task: Task) -> str | None:
    """What keeps EnvPool from playing batches of a task; None if nothing does."""
    if find_spec(ENVPOOL) is None:
        return "it is not installed, see pip install 'headstart[envpool]'"
    arguments = {**find_game(task.game).arguments, **task.arguments}
    if arguments.get("obs_type") == "ram":
        return "it shows pixels alone"
    for change in ("observation", "randomise"):
        if getattr(task.change, change):
            return f"the change {change!r} is not for its batches"
    try:
        _imported(rom_of(str(arguments.get("game"))))
    except HeadstartError as error:
        return str(error)
    return None


def _imported(game: str) -> tuple[Any, str]:
    """EnvPool, and its name of a game. Raises ConfigError if it cannot be imported, or does not know the game."""
    envpool: Any = import_module(ENVPOOL, game, "Atari game")
    name = "".join(word.capitalize() for word in game.split("_")) + "-v5"
    if name not in envpool.list_all_envs():
        raise ConfigError(f"Atari game {game!r} is none of EnvPool's; leave engine out")
    return envpool, name
