"""`headstart transfer RUN GAME`: carry a trained policy into another game and train on, one run a seed."""

from typing import Annotated, Any

import typer

from transfer.cli.console import ChangeOption, JsonOption, RunsOption, SetOption
from transfer.cli.mapping import ActionOption, FeatureOption, SourceChangeOption

OptionOption = Annotated[
    list[str] | None,
    typer.Option(
        "--option", help='Tell a method something: kickstart.until=0.2, finetune.freeze=["torso"]. Repeatable.'
    ),
]

MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        help="Anything that [mapping] of a study file takes: features.angle=position, actions.left=right, fill.wind=0, "
        "margin=2, function=module:function. Repeatable.",
    ),
]


def transfer(
    run: Annotated[
        str, typer.Argument(help="The source: a run folder, a key or its beginning, a policy folder, or an SB3 zip.")
    ],
    game: Annotated[str, typer.Argument(help="The target: see `headstart games`.")],
    by: Annotated[
        str, typer.Option("--by", help="finetune, kickstart, distill, ... or a plug-in's; several are joined by +.")
    ] = "finetune",
    steps: Annotated[int, typer.Option("--steps", min=1, help="Budget of each run, in transitions.")] = 100_000,
    algo: Annotated[str | None, typer.Option("--algo", help="The algorithm; else the source's.")] = None,
    seeds: Annotated[str, typer.Option("--seeds", help="How many seeds from 0, or a list: 0,3,7.")] = "1",
    option: OptionOption = None,
    feature: FeatureOption = None,
    action: ActionOption = None,
    pairs: MapOption = None,
    step: Annotated[int | None, typer.Option("--step", min=0, help="The source's policy kept at this step.")] = None,
    played: Annotated[
        str | None,
        typer.Option("--game", "--source-game", help="What the source played, where it does not say so: a zip's game."),
    ] = None,
    source_change: SourceChangeOption = None,
    settings: SetOption = None,
    change: ChangeOption = None,
    every: Annotated[
        int | None, typer.Option("--every", min=1, help="Steps between evaluations; else a fortieth of the budget.")
    ] = None,
    episodes: Annotated[int, typer.Option("--episodes", min=1, help="Episodes of an evaluation.")] = 20,
    device: Annotated[str, typer.Option("--device", help="Torch device.")] = "cpu",
    threads: Annotated[int, typer.Option("--threads", min=1, help="Torch threads.")] = 1,
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """Carry a trained policy into another game and train on. A run that is finished already is not trained again."""
    from agents.algorithms import resolve
    from agents.config import Evaluation, RunConfig
    from agents.runs import runs_root
    from envs.errors import ConfigError
    from envs.task import Task
    from envs.validation import validated
    from transfer.carry import Carry, carrying, check
    from transfer.cli.console import emit_json, parse_settings, say
    from transfer.cli.running import parse_seeds, summary, train_with_progress
    from transfer.sources import find_source

    root = runs_root(runs)
    if source_change and played is None:
        raise ConfigError("--source-change is said of the game that --game names: name it, or leave the change out")
    before = Task.customised(played, parse_settings(source_change)) if played else None
    source = find_source(run, root, step=step, task=before)
    task = Task.customised(game, parse_settings(change))
    algorithm = algo or source.config.algorithm
    document = {
        "source": source.key,
        "source_step": source.step,
        "by": parse_methods(by, parse_settings(option)),
        "mapping": parse_mapping(pairs, feature, action),
    }
    carry = validated(Carry, document)
    configs = [
        carrying(
            RunConfig(
                task=task,
                algorithm=algorithm,
                hyperparameters=resolve(task, algorithm, parse_settings(settings)),
                steps=steps,
                seed=seed,
                evaluation=Evaluation(every=every, episodes=episodes),
                threads=threads,
                device=device,
            ).with_sources(),
            carry,
        )
        for seed in parse_seeds(seeds)
    ]
    report = check(configs[0], source.config).report()
    if not json:
        say(f"from {source.config.task} ({source}) to {task} by {by}")
        for line in report.lines():
            say(f"  {line}")
    source.keep(root)
    finished: list[dict[str, Any]] = []
    for config in configs:
        finished.append(summary(train_with_progress(config, root, silent=json)))
        if not json:
            first, last = finished[-1]["first"], finished[-1]["last"]
            say(f"seed {config.seed}: {first:.2f} before the first step → {last:.2f}   {finished[-1]['path']}")
    if json:
        told = {"source": source.key, "source_steps": source.steps, "methods": list(carry.by)}
        emit_json({**told, "mapping": report.to_json(), "runs": finished})


def parse_methods(by: str, options: dict[str, Any]) -> list[dict[str, Any]]:
    """``"finetune+shape"`` and ``{"shape.scale": 2}`` as entries. Raises ConfigError or UnknownName."""
    from envs.errors import ConfigError
    from envs.registry import did_you_mean

    entries: dict[str, dict[str, Any]] = {}
    for name in (part.strip() for part in by.split("+")):
        if not name or name in entries:
            raise ConfigError(f"--by: found {by!r}, expected different methods joined by +, such as finetune+shape")
        entries[name] = {"method": name}
    for key, value in options.items():
        name, separator, setting = key.partition(".")
        if not separator:
            raise ConfigError(f"--option: found {key!r}, expected METHOD.NAME=VALUE, such as kickstart.until=0.2")
        if name not in entries:
            raise did_you_mean("method of --by", name, entries)
        entries[name][setting] = value
    return list(entries.values())


def parse_mapping(
    settings: list[str] | None, features: list[str] | None = None, actions: list[str] | None = None
) -> dict[str, Any]:
    """``["fill.wind=0", "margin=2"]`` as the table `[mapping]`, with the pairs of --feature and --action in it.

    What follows the first dot is a name, dots and all. Raises ConfigError.
    """
    from envs.errors import ConfigError
    from transfer.cli.console import parse_settings
    from transfer.cli.mapping import parse_pairs

    given = [(*key.partition(".")[::2], value) for key, value in parse_settings(settings).items()]
    given += [("features", name, value) for name, value in parse_pairs(features).items()]
    given += [("actions", name, value) for name, value in parse_pairs(actions).items()]
    document: dict[str, Any] = {}
    for field, name, value in given:
        whole = not name
        if field in document and (whole or not isinstance(document[field], dict)):
            raise ConfigError(f"--map: found {field} both whole and by names; expected one of the two")
        if whole:
            document[field] = value
        else:
            document.setdefault(field, {})[name] = value
    return document
