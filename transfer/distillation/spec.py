"""What a student is to be: algorithm, network, view of the game; and a run that is distillation and nothing else."""

from collections.abc import Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field
from stable_baselines3.common.policies import BasePolicy

from agents.algorithms import resolve
from agents.config import Evaluation, RunConfig
from envs.errors import ConfigError
from envs.task import Change, Task
from transfer.carry import Carry, Further, carrying
from transfer.distillation.views import viewed
from transfer.method import Origin

NOTHING = ("", "none")
"""What stands for no change of the observation."""


class StudentSpec(BaseModel):
    """A student, as `headstart distill --into` is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    algorithm: str | None = None
    """By default the first teacher's."""
    change: dict[str, Any] = Field(default_factory=dict)
    """Changes of the task, and its arguments as `arguments.NAME`."""
    hyperparameters: dict[str, Any] = Field(default_factory=dict)
    """Of the algorithm, the network's (`net_arch`, `activation`, `encoder`, …) above all."""

    @classmethod
    def of(cls, settings: dict[str, Any]) -> Self:
        """From flat settings. Raises ConfigError; unknown names are found when the task and the network are known."""
        settings = dict(settings)
        algorithm = settings.pop("algorithm", None)
        if algorithm is not None and not isinstance(algorithm, str):
            raise ConfigError(f'--into: algorithm is {algorithm!r}, expected a name, such as algorithm = "ppo"')
        for name in ("arguments", "change"):  # tables of a file
            table = settings.pop(name, {})
            if not isinstance(table, dict):
                raise ConfigError(f"--into: {name} is {table!r}, expected a table of names and values")
            settings |= {(f"arguments.{key}" if name == "arguments" else key): value for key, value in table.items()}
        change = {
            key: value for key, value in settings.items() if key in Change.model_fields or key.startswith("arguments.")
        }
        rest = {key: value for key, value in settings.items() if key not in change}
        return cls(algorithm=algorithm, change=change, hyperparameters=rest)

    def task(self, task: Task) -> Task:
        """The teachers' task as the student observes it. Raises ConfigError."""
        change = dict(self.change)
        if change.get("observation") in NOTHING:
            task = viewed(task, None)
            del change["observation"]
        return task.changed(change) if change else task


def common_task(tasks: Sequence[Task]) -> Task:
    """What all teachers play, views apart. Raises ConfigError if they play different games."""
    bare = {viewed(task, None).model_dump_json() for task in tasks}
    if len(bare) > 1:
        raise ConfigError(
            f"the teachers play different games ({', '.join(sorted({str(task) for task in tasks}))}): say with --game "
            "what the student is to play"
        )
    return tasks[0]


def distillation_run(
    teachers: Sequence[tuple[str, RunConfig | Origin, int | None]],
    spec: StudentSpec,
    *,
    task: Task | None,
    steps: int,
    seed: int,
    rounds: int | None = None,
    options: dict[str, Any] | None = None,
    pairs: dict[str, dict[str, str]] | None = None,
    evaluation: Evaluation | None = None,
    threads: int = 1,
    device: str = "cpu",
) -> RunConfig:
    """A run whose budget is the transitions of its distillation.

    Args:
        teachers: the key of each, what decided its run or is known without, and which policy of it (None: the last).
        spec: the student.
        task: what it plays, views apart; by default what the teachers play.
        steps: transitions.
        seed: the student's.
        rounds: of DAgger; None distils offline.
        options: further settings of the method.
        pairs: of features and actions, for every teacher's mapping.
        evaluation: its protocol; by default before and after, of DAgger after each round.
        threads: of torch.
        device: of torch.

    Raises a HeadstartError for a name or a value that makes no sense.
    """
    first = teachers[0][1]
    target = spec.task(common_task([config.task for _, config, _ in teachers]) if task is None else task)
    algorithm = spec.algorithm or first.algorithm
    method: dict[str, Any] = {"method": "distill", "then_learn": False}
    if rounds is not None:
        method |= {"method": "dagger", "rounds": rounds}
    if any(config.task.change.observation != target.change.observation for _, config, _ in teachers):
        method["view"] = "source"
    sources = [{"source": key, "source_step": step, "mapping": pairs or {}} for key, _, step in teachers]
    carry = Carry(
        **sources[0], by=({**method, **(options or {})},), further=tuple(Further(**source) for source in sources[1:])
    )
    config = RunConfig(
        task=target,
        algorithm=algorithm,
        hyperparameters=resolve(target, algorithm, spec.hyperparameters),
        steps=steps,
        seed=seed,
        evaluation=evaluation or Evaluation(every=max(1, steps // (rounds or 1))),
        threads=threads,
        device=device,
    )
    return carrying(config.with_sources(), carry)


def parameters(network: BasePolicy) -> int:
    """How many numbers a policy learns: actor and critics, target networks left out."""
    return sum(tensor.numel() for name, tensor in network.named_parameters() if "target" not in name)
