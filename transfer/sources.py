"""Where what is carried comes from: a finished run, or a policy that came without its run.

Such a policy is kept beside the runs, in `<runs>/policy-<digest>/`: what is trained from it has a key that depends on
its weights, not on where its file lay, and finds it again when the file is gone.
"""

from dataclasses import dataclass, field
from pathlib import Path

from agents.config import RunConfig
from agents.generators import preserved
from agents.policy import Policy, load_policy
from agents.runs import Run, find_finished, is_policy
from envs.errors import CheckpointError, ConfigError
from envs.task import Task
from envs.vector import interface, make_vec
from transfer.method import Origin

PREFIX = "policy-"
"""What the key of a policy begins with that came without its run."""


@dataclass(frozen=True)
class Known:
    """A teacher that is there, by what decided it."""

    key: str
    """What `Carry.source` calls it."""
    config: RunConfig | Origin
    """What decided its run, or what its policy says of itself."""
    step: int | None = None
    """At which the policy was kept; None for the last."""
    run: Run | None = None
    """Its run; None for a policy that came without."""

    @property
    def steps(self) -> int | None:
        """Transitions that the policy was trained for, where they are known."""
        if not isinstance(self.config, RunConfig):
            return None
        return self.config.steps if self.step is None else self.step

    def __str__(self) -> str:
        if self.run is not None:
            return f"run {self.key}" + ("" if self.step is None else f" at step {self.step:,}")
        return f"{self.key}, steps and cost unknown"


@dataclass(frozen=True)
class Source(Known):
    """A teacher that is there, and its policy."""

    policy: Policy = field(kw_only=True)
    """Its last policy, or the one that was asked for."""

    def keep(self, root: Path) -> None:
        """See to it that the key finds the policy under `root`; one that was damaged there is written again."""
        if self.run is None and not _whole(root / self.key):
            self.policy.save(root / self.key)


def find_source(
    ref: str | Path, root: Path, *, step: int | None = None, task: Task | None = None, game: str = "--game"
) -> Source:
    """The source that a name stands for; nothing is written.

    Args:
        ref: a finished run's folder, its key or its beginning; a policy folder, of such a run or any other; a
            Stable-Baselines3 zip; or the key of a policy that is kept.
        root: where runs live.
        step: which of a run's policies; by default the last.
        task: what the policy was trained on, where it does not say so itself, as a zip.
        game: what the user calls that, in what is said of mistakes.

    Raises UnknownName, CheckpointError, or ConfigError for a step or a task that makes no sense there.
    """
    path = Path(ref)
    if is_kept(str(ref), root):
        path = root / path
    if path.suffix == ".zip" and not path.exists():
        raise CheckpointError(f"{path}: there is no such file")
    if not is_policy(path):
        return _of_run(find_finished(ref, root), step, task, game)
    if step is not None:
        raise ConfigError(f"{path} holds one policy: a step can be asked of a run only")
    if (place := _place(path.resolve(), root.resolve())) is not None:
        return _of_run(Run(root / place[0]), place[1], task, game)
    found = _alone(path, task, game)
    if path.name.startswith(PREFIX) and path.name != found.key and path.resolve().parent == root.resolve():
        raise CheckpointError(
            f"{path} is not what it was when it was kept: found {found.key}; carry from its own file "
            f"again, which keeps it anew, or remove it: headstart runs rm {path.name}"
        )
    return found


def _whole(folder: Path) -> bool:
    """Whether a kept policy is what its key says."""
    try:
        return (folder / "policy.json").is_file() and folder.name == f"{PREFIX}{load_policy(folder).digest()}"
    except CheckpointError:
        return False


def is_kept(key: str, root: Path) -> bool:
    """Whether this is the key of a policy that is kept under `root`."""
    return key.startswith(PREFIX) and (root / key / "policy.json").is_file()


def kept(root: Path) -> list[Path]:
    """The folders of all policies that are kept without their runs, by key."""
    return [file.parent for file in sorted(root.glob(f"{PREFIX}*/policy.json"))]


def carried_into(config: RunConfig) -> list[str]:
    """The keys of all that is carried into a run: of its source and of further teachers."""
    if config.transfer is None:
        return []
    return [config.transfer["source"], *(teacher["source"] for teacher in config.transfer.get("further", ()))]


def _of_run(run: Run, step: int | None, task: Task | None, game: str) -> Source:
    if task is not None:
        raise ConfigError(f"run {run.key} says itself that it played {run.config.task}: leave {game} out")
    return Source(run.key, run.config, step, run, policy=run.policy(step))


def _place(folder: Path, root: Path) -> tuple[str, int | None] | None:
    """The key, and the step, of a policy folder in a finished run under `root`: that policy is the run's."""
    last = folder.name == "policy"
    if not last and not (folder.parent.name == "snapshots" and folder.name.isdecimal()):
        return None
    run = Run(folder.parent if last else folder.parent.parent)
    if run.path.parent != root or not run.done or not (run.path / "config.json").is_file():
        return None
    return run.key, None if last else int(folder.name)


def _alone(path: Path, task: Task | None, game: str) -> Source:
    """A policy without its run. Raises CheckpointError, or ConfigError where its game is not known or known better."""
    if task is None and path.is_file():
        raise ConfigError(f"{path}: a zip does not say in readable form what it plays; name its game with {game}")
    policy = load_policy(path, task=task)
    if policy.task is None and task is not None:
        _check_plays(policy, task, path)
        policy.task = task
    if policy.task is None:
        raise ConfigError(f"{path}: the game of this policy is not known; name it with {game}")
    if task is not None and policy.task != task:
        raise ConfigError(f"{path} says itself that it played {policy.task}: leave {game} out")
    said = {**policy.hyperparameters, **policy.architecture}
    origin = Origin(policy.task, policy.algorithm, said, policy.interface)
    return Source(f"{PREFIX}{policy.digest()}", origin, policy=policy)


def _check_plays(policy: Policy, task: Task, path: Path) -> None:
    """Raises ConfigError where a game has other spaces than a policy."""
    with preserved():
        venv = make_vec(task)
        found, learnt = interface(venv), policy.interface
        venv.close()
    for theirs, ours in (
        (found.observation_space, learnt.observation_space),
        (found.action_space, learnt.action_space),
    ):
        if theirs != ours:
            raise ConfigError(f"{path} does not play {task}: it knows {ours}, and the game has {theirs}; name its game")


__all__ = ["PREFIX", "Known", "Source", "carried_into", "find_source", "is_kept", "kept"]
