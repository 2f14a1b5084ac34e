"""`headstart distill RUN… --into SPEC`: a student that learns from trained policies, and from nothing else."""

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer.cli.console import ChangeOption, JsonOption, RunsOption
from transfer.cli.mapping import ActionOption, FeatureOption

if TYPE_CHECKING:
    from agents.policy import Policy
    from transfer.sources import Source

ANOTHER = re.compile(r"\s+(?=[A-Za-z_][\w.]*\s*=)")
"""What stands between two pairs of one text."""


def distill(
    teachers: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Teachers: run folders, keys or beginnings, policy folders, SB3 zips."),
    ],
    into: Annotated[
        list[str],
        typer.Option(
            "--into",
            help="The student: a TOML file, or name=value: algorithm, net_arch=[16], activation, encoder, "
            "observation=module:function (none: the game's own), … Repeatable.",
        ),
    ],
    game: Annotated[
        str | None,
        typer.Option("--game", help="What the student plays, and zips among its teachers; else what its teachers do."),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Transitions to learn from.")] = 20_000,
    dagger: Annotated[
        int | None, typer.Option("--dagger", min=1, help="Rounds of DAgger; else the teachers alone play.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The student's.")] = 0,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="Tell the method something: loss=mse, epochs=30, weights=[2, 1]. Repeatable."),
    ] = None,
    feature: FeatureOption = None,
    action: ActionOption = None,
    change: ChangeOption = None,
    step: Annotated[int | None, typer.Option("--step", min=0, help="The teachers' policies kept at this step.")] = None,
    every: Annotated[
        int | None, typer.Option("--every", min=1, help="Steps between evaluations; else before and after.")
    ] = None,
    episodes: Annotated[int, typer.Option("--episodes", min=1, help="Episodes of an evaluation.")] = 20,
    out: Annotated[str | None, typer.Option("--out", help="A folder to write the student's policy to, too.")] = None,
    device: Annotated[str, typer.Option("--device", help="Torch device.")] = "cpu",
    threads: Annotated[int, typer.Option("--threads", min=1, help="Torch threads.")] = 1,
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """Move trained policies into another network: a smaller one, another algorithm's, one that sees something else."""
    from pathlib import Path

    from agents.config import Evaluation
    from agents.runs import runs_root
    from envs.errors import ConfigError
    from envs.task import Task
    from transfer.carry import check
    from transfer.cli.console import emit_json, parse_settings, say
    from transfer.cli.mapping import parse_pairs
    from transfer.cli.running import summary, train_with_progress
    from transfer.distillation.spec import StudentSpec, common_task, distillation_run
    from transfer.sources import find_source

    if steps < 1:
        raise ConfigError(
            f"--steps: found {steps}: the distillation set would be empty; expected at least 1 transition"
        )
    root = runs_root(runs)
    changes = parse_settings(change)
    task = Task.customised(game, changes) if game else None
    sources = [find_source(ref, root, step=step, task=task if Path(ref).is_file() else None) for ref in teachers]
    if len({(source.key, source.step) for source in sources}) < len(sources):
        raise ConfigError(
            "the same run is given twice: give each teacher once, and --option weights=[2, 1] to weigh them"
        )
    if task is None and changes:
        task = common_task([source.config.task for source in sources]).changed(changes)
    grid = every or max(1, steps // (dagger or 1))
    config = distillation_run(
        [(source.key, source.config, source.step) for source in sources],
        StudentSpec.of(spec_of(into)),
        task=task,
        steps=steps,
        seed=seed,
        rounds=dagger,
        options=parse_settings(option),
        pairs={"features": parse_pairs(feature), "actions": parse_pairs(action)},
        evaluation=Evaluation(every=grid, episodes=episodes),
        threads=threads,
        device=device,
    )
    report = check(config, sources[0].config, [source.config for source in sources[1:]]).report()
    if not json:
        for line in report.lines():
            say(f"  {line}")
    for source in sources:
        source.keep(root)
    run = train_with_progress(config, root, silent=json)
    student, known = run.policy(), [_teacher(source) for source in sources]
    if out is not None:
        student.save(Path(out))
    told = {**summary(run), "parameters": _size(student)}
    if json:
        emit_json({"teachers": known, "student": told, "mapping": report.to_json()})
        return
    for teacher in known:
        say(f"teacher {_told(teacher)}")
    share = told["parameters"] / max(teacher["parameters"] for teacher in known)
    say(f"student {_told(told)}, {share:.1%} of the parameters")
    say(f"  {run.path}" + ("" if out is None else f", policy in {out}"))


def spec_of(into: list[str]) -> dict[str, Any]:
    """Flat settings of files and of pairs, in their order. Raises ConfigError."""
    from pathlib import Path

    from transfer.cli.console import parse_settings

    found: dict[str, Any] = {}
    for text in into:
        if text.endswith(".toml") or Path(text).is_file():
            found |= _file(text)
        else:
            found |= parse_settings(ANOTHER.split(text.strip()))
    return found


def _file(name: str) -> dict[str, Any]:
    import tomllib
    from pathlib import Path

    from envs.errors import ConfigError

    try:
        return tomllib.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"--into: {name} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"--into: {name} is not TOML: {' '.join(str(error).split())}") from error


def _teacher(source: "Source") -> dict[str, Any]:
    """As `summary`; of a teacher without its run what is known."""
    from transfer.cli.running import summary

    known = {"key": source.key, "game": source.config.task.game, "algorithm": source.config.algorithm, "steps": None}
    return {**(known if source.run is None else summary(source.run)), "parameters": _size(source.policy)}


def _told(one: dict[str, Any]) -> str:
    earned = f"{one['last']:.2f}" if "last" in one else "unknown"
    return f"{one['key']}: {one['algorithm']}, {one['parameters']:,} parameters, mean return {earned}"


def _size(policy: "Policy") -> int:
    from transfer.distillation.spec import parameters

    return parameters(policy.network)
