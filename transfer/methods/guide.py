"""Guided resets, or Jump-Start RL: the teacher plays the first steps of each episode, ever fewer of them."""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import gymnasium as gym
import numpy as np
import torch
from pydantic import Field
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from agents.generators import derived_seed
from envs.batched import BatchedVecEnv, stepped
from envs.catalogue import find_game
from envs.errors import ConfigError
from envs.task import Task
from envs.vector import make_vec
from transfer.choosing import chosen
from transfer.guided import Act, GuidedBatch, GuidedObjects, GuidedVecEnv
from transfer.method import Context, Crossing, Method, MethodSettings, Place, check_readable

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

_OURS = 4
"""Sets this method's generators apart from all others that derive from a run's seed."""


class GuideSettings(MethodSettings):
    """For how long the teacher plays, and how."""

    schedule: Literal["curriculum", "random", "linear"] = "curriculum"
    """`curriculum`: from H to 0 in stages, each left once the returns are as good as before. `random`: uniform in
    [0, H] for each episode. `linear`: from H to 0 as the budget is used."""
    horizon: int | None = Field(default=None, ge=1)
    """H, the most steps of an episode that the teacher plays; by default the mean length of its better episodes on the
    target: of those `episodes` whose return is at least their mean. They are played at the expense of the budget."""
    fraction: float | None = Field(default=None, gt=0.0, le=1.0)
    """H as a fraction of the game's time limit, instead of `horizon`."""
    episodes: int = Field(default=10, ge=1)
    """How many episodes of the teacher measure H, where it is not stated."""
    until: float = Field(default=0.5, gt=0.0, le=1.0)
    """The fraction of the budget at which the teacher is gone at the latest, in every schedule."""
    stages: int = Field(default=10, ge=2)
    """Of the curriculum: how many horizons, equally spaced, H the first and 0 the last."""
    tolerance: float = Field(default=0.05, ge=0.0)
    """Of the curriculum: how far below the best mean return so far, as a fraction of it, the next stage may begin."""
    window: int = Field(default=20, ge=1)
    """Of the curriculum: over how many episodes of a stage returns are averaged."""
    mode: Literal["sampled", "greedy"] = "sampled"
    """How the teacher acts; one with action values knows no chance and is always greedy."""


class Guide(Method):
    """World: π(a|s) = π_teacher∘mapping in the first h steps of an episode, then π_student (Uchendu et al. 2023).

    Jump-Start RL with their curriculum (algorithm 1, JSRL) or their random switching (JSRL-Random). The student learns
    from its own steps alone. The teacher's count towards the episode's time limit and on the budget; their reward is
    not credited, and the returns reported of training are those of the student's part. The curriculum compares whole
    episodes, the teacher's part included, for only these are alike at all horizons. Where the teacher ends an episode,
    the next begins with half as many of its steps as it took. Evaluation is never guided.

    The environments are guided below all that other methods wrap around them, in whatever order the methods come:
    to shaping, the state in which the student takes over is the episode's first.
    """

    Settings: ClassVar[type[MethodSettings]] = GuideSettings
    places: ClassVar[tuple[Place, ...]] = ("world",)
    settings: GuideSettings

    def __init__(self, settings: GuideSettings | None = None) -> None:
        super().__init__(settings)
        self.horizons: Horizon | None = None
        self._world: GuidedVecEnv | None = None
        self._record: Callable[[str, Any], None] | None = None
        self._generators: list[torch.Generator] = []
        self._learner: Any = None

    def check(self, crossing: Crossing) -> None:
        """The teacher must know how to act in the target, and the horizon must be said in one way."""
        mapping, task = crossing.mapping, crossing.target.task
        if find_game(task.game).multiagent:
            raise ConfigError(f"guide begins episodes of one agent, and {task.game!r} has several: take kickstart")
        if find_game(task.game).turns:
            raise ConfigError(
                f"guide begins episodes of one agent, and {task.game!r} is played in turns: take kickstart"
            )
        if not getattr(mapping, "carries_actions", True):
            raise ConfigError(
                f"guide needs the source's actions, and none is mapped to {task}: name pairs, or leave it"
            )
        if not mapping.identity:
            check_readable(crossing.source, mapping, self.name)
        if self.settings.fraction is not None:
            if self.settings.horizon is not None:
                raise ConfigError("guide: found both horizon and fraction, expected one of them: leave one out")
            _time_limit(task)

    def bind(self, context: Context) -> None:
        """Take the run, and what its seed decides."""
        super().bind(context)
        self.horizons = Horizon(self.settings, derived_seed(context.seed, _OURS, 0))
        if self.settings.fraction is not None:
            self.horizons.most = max(1, round(self.settings.fraction * _time_limit(context.task)))
        most = self.horizons.most
        told = "the mean length of its better episodes, to be measured" if most is None else f"{most} steps"
        self.said = [f"the teacher begins episodes, {self.settings.schedule}, with at most {told}"]

    def wrap(self, venv: VecEnv) -> VecEnv:
        """The same environments, guided; below the wrappers that are there."""
        if not isinstance(venv, VecEnvWrapper):
            return self._guided(venv)
        innermost = venv
        while isinstance(innermost.venv, VecEnvWrapper):
            innermost = innermost.venv
        innermost.venv = self._guided(innermost.venv)
        return venv

    def initialise(self, learner: "BaseAlgorithm") -> None:
        """Know whose logger is told of the horizon."""
        self._learner = learner

    def prepare(self, learner: "BaseAlgorithm", spend: Callable[[int], None]) -> None:
        """Measure H, where it is not stated."""
        self._record = learner.logger.record
        if self._horizon.most is None:
            lengths, returns = self._episodes()
            better = returns >= returns.mean()  # one that got lost, and ran into the time limit, shows no way
            self._horizon.most = max(1, round(float(lengths[better].mean())))
            spend(int(lengths.sum()))
        self._tell()

    def schedule(self, progress: float) -> None:
        """Remember where training is."""
        self._horizon.progress = progress
        self._tell()

    def state(self) -> dict[str, Any]:
        """The horizon, and what the teacher's actions are drawn from; its side batch is saved as environments are."""
        return {"horizon": self._horizon.state(), "generators": self._generators}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._record = self._learner.logger.record
        self._horizon.load_state(state["horizon"])
        for generator, saved in zip(self._generators, state["generators"], strict=True):
            generator.set_state(saved.get_state())

    @property
    def taken(self) -> int:
        """The teacher's steps in the student's episodes."""
        return 0 if self._world is None else self._world.taken

    @property
    def _horizon(self) -> "Horizon":
        if self.horizons is None:
            raise RuntimeError("the method guide is not bound to a run yet")
        return self.horizons

    def _guided(self, venv: VecEnv) -> GuidedVecEnv:
        """Around the environments themselves."""
        act = self._acting(1)
        if isinstance(venv, BatchedVecEnv):
            if _has_state(venv):
                seed = derived_seed(self.context.seed, _OURS, 2, below=2**30)
                beside = make_vec(self.context.task, n_envs=venv.num_envs, seed=seed)
                assert isinstance(beside, BatchedVecEnv)  # made as `venv` was
                self._world = GuidedBatch(venv, act, self._horizon, beside)
                return self._world
            venv.close()
            venv = make_vec(self.context.task, n_envs=venv.num_envs, backend="dummy")
        self._world = GuidedObjects(venv, act, self._horizon)
        return self._world

    def _acting(self, number: int) -> Act:
        """teacher∘mapping as a player, with a generator of its own."""
        context, mode = self.context, self.settings.mode
        generator = torch.Generator().manual_seed(derived_seed(context.seed, _OURS, number))
        if number == 1:  # the others are done before learning begins
            self._generators = [generator]
        if context.mapping.identity:
            return context.teacher.player(mode=mode, generator=generator)
        outputs, space = context.outputs, context.mapping.target.action_space
        squashed = context.teacher.network.squash_output
        draw = generator if mode == "sampled" else None

        def act(observations: Any, /) -> np.ndarray:
            return chosen(outputs(observations), space, squashed=squashed, generator=draw)

        return act

    def _episodes(self) -> tuple[np.ndarray, np.ndarray]:
        """Lengths and returns of the teacher's episodes on the target: (episodes,); cut off once the budget is used."""
        context, count = self.context, self.settings.episodes
        venv = make_vec(context.task, n_envs=count, seed=derived_seed(context.seed, _OURS, 3, below=2**30))
        try:
            act, observations = self._acting(4), venv.reset()
            lengths, returns, playing = np.zeros(count, np.int64), np.zeros(count), np.ones(count, np.bool_)
            while playing.any() and lengths.sum() < context.steps:
                step = stepped(venv, act(observations))
                lengths[playing] += 1
                returns[playing] += step.rewards[playing]
                playing[step.ended] = False
                observations = step.observations
            return lengths, returns
        finally:
            venv.close()

    def _tell(self) -> None:
        """The horizon of now, for progress.csv."""
        if self._record is not None:
            self._record("guide/horizon", self._horizon.bound)


class Horizon:
    """How many steps of an episode the guide takes, as training goes on.

    Args:
        settings: the schedule.
        seed: decides what `random` draws.
    """

    def __init__(self, settings: GuideSettings, seed: int) -> None:
        self.settings = settings
        self.most = settings.horizon
        """H; None as long as it is not known, and nobody is guided."""
        self.progress = 0.0
        """The fraction of the budget used."""
        self.stage = 0
        """Of the curriculum: how many horizons lie behind."""
        self._best = -np.inf
        self._returns: deque[float] = deque(maxlen=settings.window)
        self._generator = np.random.default_rng(seed)

    @property
    def bound(self) -> int:
        """The most that is drawn now: h of the curriculum and of the line, H of the random schedule."""
        settings = self.settings
        if self.most is None or self.progress >= settings.until:
            return 0
        if settings.schedule == "linear":
            return round(self.most * (1.0 - self.progress / settings.until))
        if settings.schedule == "curriculum":
            return round(self.most * (1.0 - self.stage / (settings.stages - 1)))
        return self.most

    def state(self) -> dict[str, Any]:
        """All but the settings."""
        return {name: value for name, value in vars(self).items() if name != "settings"}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        vars(self).update(state)

    def draw(self, count: int) -> np.ndarray:
        """The guide's steps in `count` new episodes: (count,) int64."""
        if self.settings.schedule == "random" and self.bound:
            return self._generator.integers(0, self.bound, count, endpoint=True)
        return np.full(count, self.bound, dtype=np.int64)

    def finished(self, stage: int, earned: float) -> None:
        """Leave the stage once the mean return of its last `window` episodes is at most `tolerance` below the best.

        The best is that of the stages before and of this one; the first stage is left with its first full window.
        """
        last = self.stage == self.settings.stages - 1
        if self.settings.schedule != "curriculum" or last or stage != self.stage:
            return
        self._returns.append(earned)
        if len(self._returns) < self.settings.window:
            return
        mean = float(np.mean(self._returns))
        enough = self._best - self.settings.tolerance * abs(self._best) if np.isfinite(self._best) else -np.inf
        self._best = max(self._best, mean)
        if mean >= enough:
            self.stage += 1
            self._returns.clear()


def _has_state(venv: BatchedVecEnv) -> bool:
    """Whether a batch's state can be taken out and put back."""
    try:
        venv.get_state()
    except AttributeError:
        return False
    return True


def _time_limit(task: Task) -> int:
    """Of a task's episodes. Raises ConfigError where none is known."""
    given = task.change.time_limit or task.arguments.get("max_episode_steps") or task.arguments.get("max_steps")
    if given is None and task.game in gym.registry:
        given = gym.spec(task.game).max_episode_steps
    if given is None:
        raise ConfigError(f"guide: found a fraction of the time limit, and {task} says none: give horizon, in steps")
    return int(given)
