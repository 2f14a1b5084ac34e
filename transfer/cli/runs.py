"""`headstart runs`: what has been trained, how large it is, and how to be rid of it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from transfer.cli.console import JsonOption, RunsOption

if TYPE_CHECKING:
    from agents.runs import Run
    from transfer.kept import Kept

app = typer.Typer(help="List, show and remove run folders.", no_args_is_help=True)


@app.command("list")
def list_(runs: RunsOption = None, json: JsonOption = False) -> None:
    """All runs with their state and size, and the policies that are kept as what was trained from them came without."""
    from agents.runs import list_runs, runs_root
    from envs.errors import CheckpointError
    from transfer.cli.console import counted, emit_json, say, size, table
    from transfer.kept import dependants, list_kept

    root = runs_root(runs)
    rows, damaged = [], []
    for run in list_runs(root):
        try:
            rows.append(_row(run))
        except CheckpointError as error:
            damaged.append(str(error))
    policies, of_key = [], dependants(root) if list_kept(root) else {}
    for one in list_kept(root):
        try:
            policies.append(_policy_row(one, of_key.get(one.key, [])))
        except CheckpointError as error:
            damaged.append(str(error))
    if json:
        emit_json({"root": str(root), "runs": rows, "policies": policies, "damaged": damaged})
        return
    if not rows and not policies and not damaged:
        say(f"no runs in {root}")
        return
    _table_of_runs(rows)
    say(f"{counted(len(rows), 'run')}, {size(sum(r['bytes'] for r in rows))}, in {root}")
    if policies:
        say("")
        table(
            ("kept policy", "game", "algorithm", "runs from it", "size"),
            [(p["key"], p["task"], p["algorithm"], str(p["runs"]), size(p["bytes"])) for p in policies],
            right=("runs from it", "size"),
        )
        kept = counted(len(policies), "kept policy", "kept policies")
        say(f"{kept}, {size(sum(p['bytes'] for p in policies))}")
    for line in damaged:
        say(f"damaged: {line}")


def _table_of_runs(rows: list[dict[str, Any]]) -> None:
    from transfer.cli.console import size, table

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
    run: Annotated[list[str], typer.Argument(help="Run folders, keys or their beginnings; of kept policies likewise.")],
    runs: RunsOption = None,
    json: JsonOption = False,
) -> None:
    """Remove runs, and policies that are kept without theirs, unless a run that is not finished starts from them."""
    from agents.runs import find_run, runs_root
    from transfer.kept import check_unneeded, find_kept

    root = runs_root(runs)
    policies = {name: one for name in run if (one := find_kept(name, root)) is not None}
    doomed = [find_run(name, root) for name in run if name not in policies]
    check_unneeded(policies.values(), root, without=doomed)
    _remove(doomed, list(policies.values()), json=json)


@app.command()
def prune(
    runs: RunsOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    json: JsonOption = False,
) -> None:
    """Remove runs that failed or were never finished, unless they are being trained now."""
    from agents.runs import prunable, runs_root

    _remove(prunable(runs_root(runs)), dry_run=dry_run, json=json)


def _remove(doomed: "list[Run]", policies: "Sequence[Kept]" = (), *, dry_run: bool = False, json: bool = False) -> None:
    """Remove runs, then kept policies, and say so: a line each and the sum, or one document."""
    from agents.runs import Run, remove
    from transfer.cli.console import counted, emit_json, say, size
    from transfer.kept import remove_kept

    gone: list[dict[str, Any]] = []
    both: list[Run | Kept] = [*doomed, *policies]
    for one in both:
        gone.append({"key": one.key, "path": str(one.path), "bytes": one.size_bytes})
        if not dry_run:
            if isinstance(one, Run):
                remove(one)
            else:
                remove_kept(one)
        if not json:
            say(f"{'would remove' if dry_run else 'removed'} {one.path} ({size(gone[-1]['bytes'])})")
    if json:
        emit_json({"dry_run": dry_run, "removed": gone})
        return
    kinds = [counted(len(doomed), "run")] if doomed or not policies else []
    kinds += [counted(len(policies), "kept policy", "kept policies")] if policies else []
    say(f"{' and '.join(kinds)}, {size(sum(one['bytes'] for one in gone))}")


def _policy_row(one: "Kept", runs: "list[Run]") -> dict[str, Any]:
    policy = one.policy
    return {
        "key": one.key,
        "task": str(policy.task),
        "algorithm": policy.algorithm,
        "runs": len(runs),
        "bytes": one.size_bytes,
    }


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
