"""`headstart export RUN --sb3 FILE.zip`: hand a policy to plain Stable-Baselines3."""

from pathlib import Path
from typing import Annotated

import typer

from transfer.cli.console import JsonOption, RunsOption


def export(
    run: Annotated[str, typer.Argument(help="A run folder, a key or its beginning, or a policy folder.")],
    sb3: Annotated[Path, typer.Option("--sb3", help="The zip to write.")],
    step: Annotated[int | None, typer.Option("--step", min=0, help="The kept policy nearest to this step.")] = None,
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """Write a run's policy as a zip that Stable-Baselines3 opens."""
    from agents.runs import find_policy, runs_root
    from agents.zips import write_zip
    from envs.errors import ConfigError
    from transfer.cli.console import emit_json, say

    if sb3.suffix != ".zip":
        raise ConfigError(f"--sb3: found {str(sb3)!r}, expected a file name that ends in .zip")
    write_zip(find_policy(run, runs_root(runs), step=step), sb3)
    if json:
        emit_json({"run": run, "file": str(sb3)})
    else:
        say(f"wrote {sb3}")
