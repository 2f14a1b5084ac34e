"""One training: from a config to a run folder.

On one machine and one torch build a run is a pure function of its config: the same config gives the same policy and the
same evaluations, bit for bit. Evaluations sit on one grid for all runs of a budget. An evaluation takes place at the
first step boundary at or after its grid point, with the weights of that moment, and is recorded at the grid point; the
last one comes after the last update, since learners round a budget up to whole rollouts.
"""

import gc
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from filelock import Timeout
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList

from agents import files
from agents.algorithms import build_learner, on_policy
from agents.config import RunConfig
from agents.course import Course, OnEvaluation, OnProgress, check_weights
from agents.evaluation import SEED_BASE, Evaluator, default_mode
from agents.generators import derived_seed, preserved
from agents.hooks import Hooks
from agents.journal import Journal
from agents.networks import NormaliserCallback, normaliser
from agents.optimising import learning_state
from agents.policy import Policy
from agents.provenance import provenance
from agents.resuming.boundaries import Boundaries, seconds_between
from agents.resuming.plain import Saved
from agents.resuming.store import Store, cut, forget, kept
from agents.runs import LOOK, Run
from agents.selfplay.attaching import Refreshing, oppose
from agents.selfplay.references import resolved
from envs.errors import ConfigError, HeadstartError, OpponentError
from envs.vector import interface, make_vec


def train(
    config: RunConfig,
    root: str | Path,
    *,
    hooks: Hooks | None = None,
    on_progress: OnProgress | None = None,
    on_evaluation: OnEvaluation | None = None,
    wait: bool = False,
    checkpoint_seconds: float | None = None,
) -> Run:
    """Train, unless it is done already; go on from the last checkpoint of a run that was killed.

    Args:
        config: what decides the run; its hyperparameters are complete.
        root: where runs live; the run's folder there is named by its key.
        hooks: what is carried into it; None learns from scratch.
        on_progress: called with (steps done, budget), at most ten times a second and at the end.
        on_evaluation: called with (grid step, mean return) after each evaluation.
        wait: whether to wait for another process that trains the same run, instead of an error.
        checkpoint_seconds: between two checkpoints, at least; by default $HEADSTART_CHECKPOINT_SECONDS, else 30. 0: at
            every boundary, which is for tests.

    Returns:
        The finished run.

    Raises:
        ConfigError: another process trains this run, torch cannot use the device, or the weights stopped being finite
            numbers.
        ConfigError: the config says that something is carried, and no hooks do so.
        HeadstartError: the game or a setting is at fault. The folder then holds FAILED, with the line.
        KeyboardInterrupt: the folder stays unfinished; the next call goes on from the last checkpoint, if there is one.
    """
    config = config.model_copy(update={"task": resolved(config.task, Path(root))})
    run = Run(Path(root) / config.key())
    seconds = seconds_between(checkpoint_seconds)
    if run.done:
        forget(run.path)
        return run
    if config.transfer is not None and hooks is None:
        raise ConfigError(
            f"run {run.key} says that something is carried into it, and found no hooks: expected those that do so"
        )
    check_device(config.device)
    with _held(run, wait):
        if run.done:  # somebody else finished it meanwhile
            return run
        store = Store(run.path)
        saved = _begun(run, store)
        files.write_text(run.path / "config.json", config.model_dump_json(indent=1))
        with Journal(run.path, go_on=saved is not None) as journal, _failures(run, journal):
            for line in store.damaged:
                journal.say(f"{line}: left out")
            training = _Training(config, hooks or Hooks(), run, journal, store, saved)
            training.train(on_progress, on_evaluation, seconds)
            files.write_text(run.path / "DONE", "")
        forget(run.path)
    return run


class _Training:
    """The steps of one training, in their order."""

    def __init__(
        self, config: RunConfig, hooks: Hooks, run: Run, journal: Journal, store: Store, saved: Saved | None
    ) -> None:
        self.config, self.hooks, self.run, self.journal = config, hooks, run, journal
        self.store, self.saved = store, saved
        self.before: dict[str, Any] = {} if saved is None else saved.onto()
        self.wall, self.cpu = time.perf_counter(), time.process_time()
        self.spent = 0
        self.opponents: Refreshing | None = None
        """Where learning has to do with who plays against the learner."""
        self.origin = self._origin()
        files.write_json(run.path / "provenance.json", self.origin)

    def _origin(self) -> dict[str, Any]:
        """Where and when; of a run that is gone on with, at which steps it was, too."""
        origin = provenance(self.config.task) | {"started": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "resume": "exact"}
        if not self.before:
            return origin | {"resumed": []}
        extra, step = self.before["extra"], self.before["step"]
        self.wall, self.cpu = self.wall - extra["wall"], self.cpu - extra["cpu"]
        self.journal.say(f"goes on from step {step:,}")
        exact = "exact" if self.before["environments"]["exact"] else "approximate"
        return origin | {"started": extra["started"], "resume": exact, "resumed": [*extra["resumed"], step]}

    def train(self, on_progress: OnProgress | None, on_evaluation: OnEvaluation | None, seconds: float) -> None:
        """Learner, evaluations, policy and provenance, from the start to the end."""
        config, evaluation = self.config, self.config.evaluation
        mode = evaluation.mode or default_mode(config.algorithm)
        self.journal.say(f"{config.algorithm} on {config.task}, {config.steps:,} steps, seed {config.seed}")
        with preserved(), _threads(config.threads), _quiet():
            learner, policy = self._learner()
            evaluator = Evaluator(
                config.task, episodes=evaluation.episodes, mode=mode, seed=config.seed, root=self.run.path.parent
            )
            try:
                course = Course(config, self.hooks, policy, evaluator, self.journal, on_progress, on_evaluation)
                self._learn(learner, course, seconds)
                self.spent = course.spent
                policy.learning = learning_state(learner)
                policy.save(self.run.path / "policy")
            finally:
                evaluator.close()
                if learner.env is not None:
                    learner.env.close()
        self._finish(evaluator, learner.num_timesteps)

    def _learner(self) -> tuple[BaseAlgorithm, Policy]:
        """The learner as transfer leaves it before its first step, and its policy."""
        config = self.config
        hyperparameters = self.hooks.build(dict(config.hyperparameters))
        venv = make_vec(config.task, n_envs=hyperparameters["n_envs"])
        known = interface(venv)
        venv = self.hooks.wrap(venv)
        slots = {"n_envs": venv.num_envs}  # of a multi-agent game: copies times agents
        learner = build_learner(config.algorithm, venv, hyperparameters | slots, seed=config.seed, device=config.device)
        if learner.env is not None:
            learner.env.seed(training_seed(config.seed))
        learner.set_logger(self.journal.logger)
        self.hooks.initialise(learner)
        for note in self.hooks.notes():
            self.journal.say(note)
        if self.hooks.uses_auxiliary_loss:
            from agents.auxiliary import attach

            attach(learner, self.hooks.auxiliary_loss)
        origin = self.origin | {"run": self.run.key, "seed": config.seed, "steps": config.steps}
        policy = Policy.of(learner, config.task, known, config.algorithm, hyperparameters, origin)
        self.opponents = oppose(learner, policy, steps=config.steps, root=self.run.path.parent)
        return learner, policy

    def _learn(self, learner: BaseAlgorithm, course: Course, seconds: float) -> None:
        callbacks: list[BaseCallback] = [course]
        if normaliser(learner.policy) is not None:
            callbacks.append(NormaliserCallback())
        if self.opponents is not None:
            callbacks.append(self.opponents)
        boundaries = Boundaries(
            self.store, learner, callbacks, self.hooks, self.journal, self._extra(course), self.config.seed, seconds
        )
        if self.saved is None:
            self._begin(learner, course)
        learner.num_timesteps = self.before.get("step", course.spent)
        if not self.hooks.replaces_learning:
            boundaries.attach(self.saved)
            self._learn_on(learner, callbacks, boundaries)
        if not boundaries.exact:
            self.origin["resume"] = "approximate"
        course.finish()

    def _begin(self, learner: BaseAlgorithm, course: Course) -> None:
        """The evaluation of the start, and what takes place before learning."""
        course.start()
        said = set(self.hooks.notes())
        self.hooks.prepare(learner, course.spend)
        for note in self.hooks.notes():
            if note not in said:
                self.journal.say(note)

    def _extra(self, course: Course) -> Callable[[], dict[str, Any]]:
        """What a checkpoint notes of the times."""
        evaluator = course.evaluator
        evaluator.wall_seconds, evaluator.cpu_seconds = self.before.get("extra", {}).get("evaluation", (0.0, 0.0))

        def extra() -> dict[str, Any]:
            return {
                **{name: self.origin[name] for name in ("started", "resumed")},
                "wall": time.perf_counter() - self.wall,
                "cpu": time.process_time() - self.cpu,
                "evaluation": (evaluator.wall_seconds, evaluator.cpu_seconds),
            }

        return extra

    def _learn_on(self, learner: BaseAlgorithm, callbacks: list[BaseCallback], boundaries: Boundaries) -> None:
        interval = _log_interval(learner, self.config)
        if self.saved is not None and on_policy(self.config.algorithm):
            interval = _count_on(learner, interval, boundaries)
        begun = learner.num_timesteps
        try:
            learner.learn(
                self.config.steps - begun,
                callback=CallbackList(callbacks),
                log_interval=interval,
                reset_num_timesteps=begun == 0,
            )
        except (ValueError, RuntimeError):  # what torch's distributions say of NaN
            check_weights(learner.policy, learner.num_timesteps)
            raise

    def _finish(self, evaluator: Evaluator, steps: int) -> None:
        """Write how long everything took: wall and CPU seconds of this process, evaluation apart."""
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        times = {
            "training_wall_seconds": wall - evaluator.wall_seconds,
            "training_cpu_seconds": cpu - evaluator.cpu_seconds,
            "evaluation_wall_seconds": evaluator.wall_seconds,
            "evaluation_cpu_seconds": evaluator.cpu_seconds,
        }
        rounded = {name: round(seconds, 3) for name, seconds in times.items()}
        counts = {"steps_taken": steps, "steps_before_learning": self.spent, "steps_unseen": self.hooks.taken}
        files.write_json(self.run.path / "provenance.json", self.origin | counts | rounded)
        self.journal.say(f"done: {steps:,} steps in {wall:.1f} s, {evaluator.wall_seconds:.1f} s of it evaluation")


def training_seed(seed: int) -> int:
    """What a run's training environments are seeded with: below SEED_BASE, and far from other runs' seeds."""
    return derived_seed(seed, 1, below=SEED_BASE - 2**16)


def _log_interval(learner: BaseAlgorithm, config: RunConfig) -> int:
    """Rollouts, or episodes of off-policy learners, between rows of progress.csv: about 200 rows at most."""
    if not on_policy(config.algorithm):
        return 10
    rollout = getattr(learner, "n_steps", 1) * learner.n_envs
    return max(1, round(config.steps / rollout / 200))


def _count_on(learner: Any, interval: int, boundaries: Boundaries) -> int:
    """Let a learner that is gone on with count its rollouts from the run's first, which only progress.csv shows."""
    dump = learner.dump_logs

    def dump_logs(iteration: int = 0) -> None:
        if boundaries.iterations % interval == 0:
            dump(boundaries.iterations)

    learner.dump_logs = dump_logs
    return 1


def check_device(device: str) -> None:
    """Raises ConfigError unless torch can compute there: Stable-Baselines3 would take the CPU instead, in silence."""
    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        found = torch.accelerator.current_accelerator(check_available=True)
        raise ConfigError(
            f"device: found {device!r}, which torch cannot use here; expected cpu{f' or {found.type}' if found else ''}"
        ) from error


@contextmanager
def _held(run: Run, wait: bool) -> Iterator[None]:
    """Nobody else trains the run meanwhile."""
    run.path.mkdir(parents=True, exist_ok=True)
    try:
        with run.lock().acquire(timeout=-1 if wait else LOOK, poll_interval=LOOK / 5):
            yield
    except Timeout as error:
        raise ConfigError(
            f"run {run.key} is being trained by another process: wait for it, or stop it; its log is "
            f"{run.path / 'log.txt'}"
        ) from error


def _begun(run: Run, store: Store) -> Saved | None:
    """The checkpoint to go on from, later rows being cut off; without one, remove what an earlier attempt left."""
    saved = store.newest()
    (run.path / "FAILED").unlink(missing_ok=True)
    if saved is None:
        files.empty_folder(run.path, keep={".lock"})
    else:
        cut(run.path, saved.onto()["files"])
    return saved


@contextmanager
def _failures(run: Run, journal: Journal) -> Iterator[None]:
    """Leave FAILED, with one line, behind whatever ends a training, but for Ctrl-C and the machine's own errors.

    Where it was somebody who plays against the learner, the checkpoints stay: learner and game are sound.
    """
    try:
        yield
    except OSError as error:  # a full disk says nothing about the run
        with suppress(OSError):
            journal.say(f"stopped: {error}")
        with files.naming(run.path):
            raise
    except Exception as error:
        text = " ".join(str(error).split())
        line = text if isinstance(error, HeadstartError) else f"{type(error).__name__}: {text}"
        journal.say(f"failed: {line}")
        if not isinstance(error, HeadstartError):
            journal.say("".join(traceback.format_exception(error)))
        files.write_text(run.path / "FAILED", line + "\n")
        if not isinstance(error, OpponentError):
            forget(run.path)
        elif kept(run.path):
            journal.say("its last checkpoint is kept: the same command goes on from there")
        raise
    except KeyboardInterrupt:
        journal.say("interrupted")
        raise


@contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    gc.freeze()  # what is loaded by now stays: no collection in the loop needs to look through it again
    try:
        yield
    finally:
        gc.unfreeze()
        torch.set_num_threads(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """SB3's advice, such as on devices, is for those who call SB3."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"stable_baselines3|sb3_contrib")
        yield
