"""Data augmentation: the learner sees its pictures, planes or grids shifted or partly blanked at random."""

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from agents.algorithms import on_policy
from agents.augmentation import Augmentation, Change, cutout, images, shift
from agents.generators import derived_seed
from envs.batched import Stepped, stepped
from envs.errors import ConfigError
from envs.interface import in_words
from envs.masks import is_masked
from envs.observations import stacked, taken
from transfer.method import Crossing, Method, MethodSettings, Place

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

WORLD, REPLAY = 0x6175676D, 0x61756772
"""Parts of the seeds of the draws, so that they are those of nothing else in the run."""


class AugmentSettings(MethodSettings):
    """Which changes, and how large."""

    changes: tuple[Literal["shift", "cutout"], ...] = Field(default=("shift",), min_length=1)
    """What is done to each observation, in this order."""
    shift: int | None = Field(default=None, ge=1)
    """By how many pixels or cells an image is shifted at most, up, down, left and right. By default a 21st of its
    shorter side, at least 1: DrQ's 4 of 84."""
    smallest: float = Field(default=0.1, gt=0.0, le=1.0)
    """The shortest side of what is cut out, as a fraction of the image's side."""
    largest: float = Field(default=0.3, gt=0.0, le=1.0)
    """The longest."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.smallest > self.largest:
            raise ValueError(f"smallest is {self.smallest} and largest {self.largest}: expected smallest <= largest")
        return self

    def made(self) -> list[Change]:
        """The changes themselves."""
        made = {"shift": shift(self.shift), "cutout": cutout(self.smallest, self.largest)}
        return [made[name] for name in self.changes]


class Augment(Method):
    """World or gradient: the learner learns from randomly shifted or partly blanked images.

    A learner on its own rollouts acts on what it learns from, or its probability ratios would compare two different
    observations: its world shows augmented observations, drawn anew in every step (RAD, Laskin et al. 2020). A learner
    from a replay buffer acts on what it sees, and every minibatch drawn is augmented, s and s' each by itself (DrQ with
    K = M = 1, Kostrikov et al. 2021). Evaluation sees neither.
    """

    Settings: ClassVar[type[MethodSettings]] = AugmentSettings
    places: ClassVar[tuple[Place, ...]] = ("world", "gradient")
    settings: AugmentSettings
    _made: Augmentation | None = None

    def check(self, crossing: Crossing) -> None:
        """There must be images, and a learner with rollouts or a replay buffer."""
        space = crossing.mapping.target.observation_space
        if not images(space) or is_masked(space):
            raise ConfigError(
                f"augment shifts pictures, planes and grids of the shape (height, width, channels), and "
                f"{crossing.target.task} shows {in_words(space)}: leave augment out"
            )
        if crossing.target.algorithm == "ars":
            raise ConfigError("augment needs rollouts or a replay buffer to learn from, and ars has neither; take ppo")

    def wrap(self, venv: VecEnv) -> VecEnv:
        """Of learners on their own rollouts, the world."""
        if not on_policy(self.context.algorithm):
            return venv
        return AugmentedVecEnv(venv, self._augmentation(venv.observation_space, WORLD))

    def _augmentation(self, space: Any, stream: int) -> Augmentation:
        self._made = Augmentation(space, self.settings.made(), derived_seed(self.context.seed, stream))
        return self._made

    def state(self) -> dict[str, Any]:
        """The generator of the draws."""
        return {} if self._made is None else {"generator": self._made.generator}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on drawing."""
        if self._made is not None:
            self._made.generator = state["generator"]

    def initialise(self, learner: "BaseAlgorithm") -> None:
        """Of learners from a replay buffer, its minibatches."""
        self.said = [f"each observation learnt from is changed by {' and '.join(self.settings.changes)}"]
        buffer = getattr(learner, "replay_buffer", None)
        if buffer is None:
            return
        augmentation = self._augmentation(buffer.observation_space, REPLAY)
        buffer.sample = augmented(buffer.sample, augmentation)  # seen by who else would read the arrays themselves


def augmented(sample: Callable[..., Any], augmentation: Augmentation) -> Callable[..., Any]:
    """A replay buffer's `sample` with both observations of every transition augmented, each by itself."""

    def sampled(*arguments: Any, **named: Any) -> Any:
        data = sample(*arguments, **named)
        return data._replace(
            observations=augmentation(data.observations), next_observations=augmentation(data.next_observations)
        )

    return sampled


class AugmentedVecEnv(VecEnvWrapper):
    """Environments whose observations are augmented, each step's and each episode's last by draws of their own.

    Args:
        venv: B environments.
        augmentation: for their observations.
    """

    def __init__(self, venv: VecEnv, augmentation: Augmentation) -> None:
        super().__init__(venv)
        self.augmentation = augmentation

    def reset(self) -> "VecEnvObs":
        """Begin."""
        found: VecEnvObs = self.augmentation(self.venv.reset())
        return found

    def step_wait(self) -> "VecEnvStepReturn":
        """One step; an episode's last observation is augmented too, for values are bootstrapped from it."""
        observations, rewards, dones, infos = self.venv.step_wait()
        seen = self.augmentation(observations)
        told = [i for i in np.flatnonzero(dones).tolist() if "terminal_observation" in infos[i]]
        infos = list(infos)
        if told:
            last = self.augmentation(stacked([infos[i]["terminal_observation"] for i in told]))
            for place, i in enumerate(told):
                infos[i] = {**infos[i], "terminal_observation": taken(last, place)}
        return seen, rewards, dones, infos

    def step_arrays(self, actions: np.ndarray) -> Stepped:
        """The same step as arrays."""
        step = stepped(self.venv, actions)
        seen = self.augmentation(step.observations)
        last = self.augmentation(step.final_observations) if len(step.ended) else step.final_observations
        infos = _Infos(step.infos, step.ended, last) if len(step.ended) else step.infos
        return step._replace(observations=seen, final_observations=last, infos=infos)


class _Infos(Sequence[dict[str, Any]]):
    """The infos of a step in which episodes ended, with the last observations as the learner sees them."""

    def __init__(self, infos: Sequence[dict[str, Any]], ended: np.ndarray, last: Any) -> None:
        self._infos, self._last = infos, last
        self._place = {index: place for place, index in enumerate(ended.tolist())}

    def __len__(self) -> int:
        return len(self._infos)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        info, i = self._infos[index], range(len(self))[index]
        if i not in self._place or "terminal_observation" not in info:
            return info
        return {**info, "terminal_observation": taken(self._last, self._place[i])}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(len(self)))


__all__ = ["Augment", "AugmentSettings", "AugmentedVecEnv", "augmented"]
