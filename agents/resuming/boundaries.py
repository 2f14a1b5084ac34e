"""What happens at a training's boundaries: now and then a checkpoint, and at the first one going on from it."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from agents.generators import derived_seed
from agents.resuming import environments, generators, learners
from agents.resuming.plain import Saved, Unknown, plain
from agents.resuming.replay import ReplayFiles
from agents.resuming.store import Store
from envs.errors import ConfigError

if TYPE_CHECKING:
    from agents.hooks import Hooks
    from agents.journal import Journal

VARIABLE = "HEADSTART_CHECKPOINT_SECONDS"
SECONDS = 30.0
"""Between two checkpoints, at least."""
SHARE = 0.02
"""Of the time that checkpoints may take."""
RESUMED = 0x5245
"""Sets the seeds of environments that begin anew apart from others."""
IDLE = (
    *("locals", "globals", "model", "parent", "logger", "verbose"),
    *("config", "hooks", "policy", "evaluator", "journal", "on_progress", "on_evaluation", "_told"),
)
"""Of a callback: what it is handed, and when it last told of progress."""


def seconds_between(given: float | None = None) -> float:
    """How long to wait between checkpoints: as given, else $HEADSTART_CHECKPOINT_SECONDS, else 30. 0: never wait.

    Raises ConfigError for what is no such number.
    """
    text = os.environ.get(VARIABLE) if given is None else None
    try:
        seconds = SECONDS if given is None and not text else float(text if given is None else given)  # type: ignore[arg-type]
    except ValueError:
        seconds = float("nan")
    if not seconds >= 0:
        raise ConfigError(f"{VARIABLE} is {text if text else given!r}: expected seconds, 0 or more")
    return seconds


class Boundaries:
    """Saves a training before its learner collects, and restores it there.

    Args:
        store: of the run's checkpoints.
        learner: as it is when learning is about to begin.
        callbacks: of the learner; the first knows the course of the run.
        hooks: with a state of their own.
        journal: of the run.
        extra: more to save, by name, and told again by `resumed`.
        seed: the run's.
        seconds: between two checkpoints, at least; 0: one at every boundary.
    """

    def __init__(
        self,
        store: Store,
        learner: Any,
        callbacks: Sequence[BaseCallback],
        hooks: "Hooks",
        journal: "Journal",
        extra: Callable[[], dict[str, Any]],
        seed: int,
        seconds: float,
    ) -> None:
        self.store, self.learner, self.callbacks, self.hooks = store, learner, callbacks, hooks
        self.journal, self.extra, self.seed, self.seconds = journal, extra, seed, seconds
        self.exact = True
        """Whether the environments' state can be saved."""
        self.iterations = 0
        self.cost = 0.0
        """Seconds that checkpoints took."""
        self.written = 0
        self._saved: Saved | None = None
        self._last, self._latest = time.monotonic(), 0.0
        self._replays: dict[str, ReplayFiles] = {}
        self._needed: dict[str, int] = {}
        self._told_full = False

    def attach(self, saved: Saved | None) -> None:
        """From now on, pass the boundaries of the learner; the first one goes on from what was saved, if anything."""
        why = learners.why_not(self.learner)
        if why is not None:
            self.journal.say(f"no checkpoints: {why}; a run that is killed starts afresh")
            return
        self._saved = saved
        self._replays = {name: ReplayFiles(self.store.folder, name, held) for name, held in self._buffers().items()}
        collect = self.learner.collect_rollouts

        def passing(*arguments: Any, **named: Any) -> Any:
            self._pass()
            self.iterations += 1
            return collect(*arguments, **named)

        self.learner.collect_rollouts = passing

    def _pass(self) -> None:
        if self._saved is not None:
            self._restore(self._saved)
            self._saved = None
            self._last = time.monotonic()
        elif self.iterations == 0:
            self._look()
        if time.monotonic() - self._last >= max(self.seconds, self._latest / SHARE if self.seconds else 0.0):
            self.write()

    def _look(self) -> None:
        """Whether what the environments are in can be saved."""
        try:
            environments.try_out(self.learner.env)
        except environments.NoState as error:
            self._not_exact(str(error))

    def _not_exact(self, why: str) -> None:
        if self.exact:
            self.journal.say(f"the state of the environments cannot be saved ({why}): resumed, they begin anew")
        self.exact = False

    def write(self) -> None:
        """A checkpoint of now. A full disk ends none of the training."""
        begun = time.monotonic()
        try:
            self.store.folder.mkdir(exist_ok=True)
            document = self._document()
            self.store.write(document)
            self.written += 1
            for name, replay in self._replays.items():
                replay.forget(self._needed.get(name, 0))
                self._needed[name] = replay.rows - replay.buffer.buffer_size
        except (OSError, Unknown, environments.NoState) as error:
            if not self._told_full:
                with suppress(OSError):
                    self.journal.say(f"no checkpoint could be written: {error}")
            self._told_full = True
        self._last = time.monotonic()
        self._latest = self._last - begun
        self.cost += self._latest

    def _document(self) -> dict[str, Any]:
        learner = self.learner
        return {
            "learner": learners.state(learner),
            "environments": self._environments(),
            "hooks": self.hooks.state(),
            "callbacks": [_callback(one) for one in self.callbacks],
            "generators": generators.state(),
            "replays": {name: replay.write(int(learner.num_timesteps)) for name, replay in self._replays.items()},
            "iterations": self.iterations,
            "files": self.journal.sizes(),
            "step": int(learner.num_timesteps),
            "extra": self.extra(),
        }

    def _environments(self) -> dict[str, Any]:
        if self.exact:
            try:
                return {"exact": True, "layers": environments.state(self.learner.env)}
            except environments.NoState as error:
                self._not_exact(str(error))
        return {"exact": False, "layers": environments.wrappers(self.learner.env)}

    def _restore(self, saved: Saved) -> None:
        """All that a checkpoint holds, in place of what a fresh start has made."""
        learner, found = self.learner, saved.onto()
        learners.restore(learner, lambda existing: saved.onto({"learner": existing})["learner"])
        for name, replay in self._replays.items():
            replay.read(found["replays"][name], int(learner.num_timesteps))
            self._needed[name] = replay.rows - replay.buffer.buffer_size
        self.hooks.load_state(saved.onto({"hooks": self.hooks.state()})["hooks"])
        self.exact = found["environments"]["exact"]
        environments.restore(
            learner.env,
            lambda existing: saved.onto({"environments": {"layers": existing}})["environments"]["layers"],
            games=self.exact,
        )
        if not self.exact:
            self._begin_anew()
        for callback, attributes in zip(self.callbacks, found["callbacks"], strict=True):
            vars(callback).update(attributes)
        self.iterations = found["iterations"]
        generators.restore(found["generators"])

    def _begin_anew(self) -> None:
        """New episodes, from seeds that nothing else has used."""
        learner = self.learner
        learner.env.seed(derived_seed(self.seed, RESUMED, int(learner.num_timesteps), below=2**30))
        learner._last_obs = learner.env.reset()
        learner._last_episode_starts = np.ones(learner.env.num_envs, dtype=bool)
        if learner._vec_normalize_env is not None:
            learner._last_original_obs = learner._vec_normalize_env.get_original_obs()

    def _buffers(self) -> dict[str, Any]:
        own = getattr(self.learner, "replay_buffer", None)
        return {**({} if own is None else {"own": own}), **self.hooks.buffers()}


def _callback(callback: BaseCallback) -> dict[str, Any]:
    """What a callback counts and keeps."""
    return {name: value for name, value in vars(callback).items() if name not in IDLE and plain(value)}
