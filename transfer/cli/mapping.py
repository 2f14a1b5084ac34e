"""`headstart mapping SOURCE TARGET`: what one game's policy would carry into another."""

from typing import TYPE_CHECKING, Annotated

import typer

from transfer.cli.console import ChangeOption, JsonOption, RunsOption

if TYPE_CHECKING:
    from pathlib import Path

    from envs.task import Task

FeatureOption = Annotated[
    list[str] | None,
    typer.Option("--feature", help="A further pair of features, the target's name=the source's. Repeatable."),
]
ActionOption = Annotated[
    list[str] | None,
    typer.Option("--action", help="A further pair of actions, the target's name=the source's. Repeatable."),
]

MapOption = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        help="Anything that [mapping] of a study file takes: planes.lava=wall, parts.mission=none, fill.wind=0, "
        "actions=none, resize=nearest, function=module:function. Repeatable.",
    ),
]

SourceChangeOption = Annotated[
    list[str] | None,
    typer.Option("--source-change", help="Customise the source, as --change does the target. Repeatable."),
]


def mapping(
    source: Annotated[str, typer.Argument(help="A game, or a run: its folder, its key or the key's beginning.")],
    target: Annotated[str, typer.Argument(help="A game, or a run.")],
    feature: FeatureOption = None,
    action: ActionOption = None,
    pairs: MapOption = None,
    change: ChangeOption = None,
    source_change: SourceChangeOption = None,
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """Show how the observations and actions of two games map: what is carried, what is dropped, what is new."""
    from agents.runs import runs_root
    from envs.validation import validated
    from transfer.carry import interface_of
    from transfer.cli.console import emit_json, parse_settings, say
    from transfer.cli.transfer import parse_mapping
    from transfer.mapping import Mapping
    from transfer.pairing import Pairing

    root = runs_root(runs)
    before, after = task_of(source, root), task_of(target, root)
    if change:
        after = after.changed(parse_settings(change))
    if source_change:
        before = before.changed(parse_settings(source_change))
    told = validated(Pairing, parse_mapping(pairs, feature, action), "mapping")
    found = Mapping.between(interface_of(before), interface_of(after), told)
    report = found.report()
    if json:
        emit_json({"source": str(before), "target": str(after), **report.to_json()})
        return
    say(f"from {before} to {after}")
    for line in report.lines():
        say(f"  {line}")


def task_of(ref: str, root: "Path") -> "Task":
    """The task of a run, or a game by its name. Raises UnknownName."""
    from pathlib import Path

    from agents.runs import find_run, list_runs
    from envs.task import Task

    key = len(ref) >= 4 and any(run.key.startswith(ref) for run in list_runs(root))
    if key or (Path(ref) / "config.json").is_file():
        return find_run(ref, root).config.task
    return Task(game=ref)


def parse_pairs(pairs: list[str] | None) -> dict[str, str]:
    """``["speed=velocity"]`` as a dictionary. Raises ConfigError."""
    from envs.errors import ConfigError

    parsed = {}
    for pair in pairs or ():
        ours, separator, theirs = (part.strip() for part in pair.partition("="))
        if not (ours and separator and theirs):
            raise ConfigError(f"found {pair!r}, expected the target's name=the source's, such as speed=velocity")
        parsed[ours] = theirs
    return parsed
