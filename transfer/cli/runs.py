"""`headstart runs`: what has been trained, how large it is, and how to be rid of it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer.cli.console import JsonOption, RunsOption

if TYPE_CHECKING:
    from agents.runs import Run

app = typer.Typer(help="List, show and remove run folders.", no_args_is_help=True)


@app.command("list")
def list_(runs: RunsOption = None, json: JsonOption = False) -> None:
    """All runs with their state and size."""
    from agents.runs import list_runs, runs_root
    from envs.errors import CheckpointError
    from transfer.cli.console import counted, emit_json, say, size, table

    root = runs_root(runs)
    rows, damaged = [], []
    for run in list_runs(root):
        try:
            rows.append(_row(run))
        except CheckpointError as error:
            damaged.append(str(error))
    if json:
        emit_json({"root": str(root), "runs": rows, "damaged": damaged})
        return
    if not rows and not damaged:
        say(f"no runs in {root}")
        return
    table(
        ("key", "state", "game", "algorithm", "by", "seed", "steps", "size"),
        [
            (
                r["key"],
                r["state"],
                r["task"],
                r["algorithm"],
                r["by"],
                str(r["seed"]),
                f"{r['steps']:,}",
                size(r["bytes"]),
            )
            for r in rows
        ],
        right=("seed", "steps", "size"),
    )
    say(f"{counted(len(rows), 'run')}, {size(sum(r['bytes'] for r in rows))}, in {root}")
    for line in damaged:
        say(f"damaged: {line}")


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="A run folder, a key or its beginning.")],
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """One run: its config, its evaluations and where everything is."""
    from agents.runs import find_run, runs_root
    from transfer.cli.console import emit_json, say, size, table

    found = find_run(run, runs_root(runs))
    evaluations = found.evaluations()
    means = [float(value) for value in evaluations.returns.mean(axis=1)] if len(evaluations.steps) else []
    document = {
        **_row(found),
        "path": str(found.path),
        "failure": found.failure,
        "config": found.config.model_dump(mode="json"),
        "evaluations": {"steps": [int(step) for step in evaluations.steps], "mean_returns": means},
        "snapshots": sorted(found.snapshots()),
    }
    if json:
        emit_json(document)
        return
    say(f"{found.path}  ({document['state']}, {size(document['bytes'])})")
    say(f"{document['task']}  {document['algorithm']}  seed {document['seed']}  {document['steps']:,} steps")
    if found.failure is not None:
        say(f"failed: {found.failure}")
    if means:
        table(
            ("step", "mean return"),
            [(f"{step:,}", f"{mean:.2f}") for step, mean in zip(evaluations.steps, means, strict=True)],
            right=("step", "mean return"),
        )
    say(f"policies kept at steps {', '.join(f'{step:,}' for step in document['snapshots']) or 'none but the last'}")


@app.command()
def rm(
    run: Annotated[list[str], typer.Argument(help="Run folders, keys or their beginnings.")],
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """Remove runs."""
    from agents.runs import find_run, runs_root

    root = runs_root(runs)
    _remove([find_run(name, root) for name in run], json=json)


@app.command()
def prune(
    runs: RunsOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    json: JsonOption = False,
) -> None:
    """Remove runs that failed or were never finished, unless they are being trained now."""
    from agents.runs import prunable, runs_root

    _remove(prunable(runs_root(runs)), dry_run=dry_run, json=json)


def _remove(doomed: "list[Run]", *, dry_run: bool = False, json: bool = False) -> None:
    """Remove runs and say so: a line each and the sum, or one document."""
    from agents.runs import remove
    from transfer.cli.console import counted, emit_json, say, size

    gone: list[dict[str, Any]] = []
    for run in doomed:
        gone.append({"key": run.key, "path": str(run.path), "bytes": run.size_bytes})
        if not dry_run:
            remove(run)
        if not json:
            say(f"{'would remove' if dry_run else 'removed'} {run.path} ({size(gone[-1]['bytes'])})")
    if json:
        emit_json({"dry_run": dry_run, "removed": gone})
    else:
        say(f"{counted(len(gone), 'run')}, {size(sum(run['bytes'] for run in gone))}")


def _row(run: Any) -> dict[str, Any]:
    config = run.config
    by = "+".join(method["method"] for method in (config.transfer or {}).get("by", []))
    return {
        "key": run.path.name,
        "state": run.state,
        "task": str(config.task),
        "algorithm": config.algorithm,
        "by": by or "scratch",
        "seed": config.seed,
        "steps": config.steps,
        "bytes": run.size_bytes,
    }
