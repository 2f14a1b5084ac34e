"""What a sweep of 10,000 runs costs to plan, to look through and to report, with made-up run folders.

    .venv/bin/python benchmarks/many_runs.py [--seeds 1000] [--arms 9] [--every 2500] [--episodes 20]

One study is planned: `seeds` sources and as many runs of each arm, on CartPole. A folder is made for each run in a
temporary place, with the files that are read: config.json, provenance.json, evaluations.csv of made-up returns, and
DONE. Then each thing that is done with them happens in a process of its own, one after the other on one core:

* plan: the study file into runs and keys, which of them are unfinished, and the order of as many that all are
* scan: the lines of `headstart runs list`
* status: what `headstart status` shows
* collect: all evaluations as arrays
* report: collect, statistics, figures and pages

Printed: wall and CPU seconds, imports left out, and the process's peak of resident memory, imports included.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

STUDY = """
name = "sweep"
seeds = {seeds}
thresholds = [400.0]
[source]
game = "headstart/CartPole-v1"
steps = 100_000
evaluation = {{ every = {every}, episodes = {episodes} }}
[target]
game = "headstart/CartPoleLong-v1"
steps = 100_000
[evaluation]
every = {every}
episodes = {episodes}
[arms.scratch]
"""

ARM = """
[arms.kickstart-{number}]
by = [{{ method = "kickstart", coefficient = {coefficient} }}]
"""


def make(folder: Path, options: argparse.Namespace) -> None:
    """Write the study file and its finished runs."""
    from transfer.study.plan import plan
    from transfer.study.spec import load_study

    arms = [ARM.format(number=number, coefficient=0.1 * number) for number in range(1, options.arms)]
    (folder / "sweep.toml").write_text(STUDY.format(**vars(options)) + "".join(arms))
    random = np.random.default_rng(0)
    origin = {"versions": {"headstart": "0"}, "host": "made-up", "commit": None, "steps_before_learning": 0}
    times = dict.fromkeys(("training_wall_seconds", "training_cpu_seconds", "evaluation_wall_seconds"), 10.0)
    for planned in plan(load_study(folder / "sweep.toml"), folder / "runs").distinct.values():
        run = folder / "runs" / planned.key
        run.mkdir(parents=True)
        (run / "config.json").write_text(planned.config.model_dump_json(indent=1))
        (run / "provenance.json").write_text(json.dumps(origin | times, indent=1))
        grid = planned.config.evaluation.grid(planned.config.steps)
        (run / "evaluations.csv").write_text(_evaluations(grid, options.episodes, random))
        (run / "DONE").touch()


def _evaluations(grid: list[int], episodes: int, random: np.random.Generator) -> str:
    """As training writes them: returns that rise to a plateau of the run's own."""
    top, slope = random.normal(400, 60), random.uniform(1, 4)
    returns = top * (1 - np.exp(-slope * np.array(grid) / grid[-1]))[:, None] + random.normal(0, 30, (1, episodes))
    rows = [
        f"{step},{episode},{10_000_000 + episode},{float(value)!r},{int(abs(value)) + 1},1,0"
        for step, values in zip(grid, returns, strict=True)
        for episode, value in enumerate(values)
    ]
    return "\n".join(["step,episode,seed,return,length,terminated,truncated", *rows, ""])


def planning(folder: Path) -> str:
    """The plan and the order of what is unfinished; then of as many of which none is there."""
    from transfer.study.order import in_order
    from transfer.study.plan import plan
    from transfer.study.spec import load_study

    planned = plan(load_study(folder / "sweep.toml"), folder / "runs")
    ordered = in_order(replace(planned, root=folder / "nowhere"), 8)
    return f"{len(planned.distinct)} runs, {len(planned.unfinished)} unfinished; {len(ordered)} put in order"


def scanning(folder: Path) -> str:
    """`headstart runs list`."""
    from agents.runs import list_runs
    from transfer.cli.runs import _row

    rows = [_row(run) for run in list_runs(folder / "runs")]
    return f"{len(rows)} folders, {sum(row['bytes'] for row in rows) / 1e6:.0f} MB"


def looking(folder: Path) -> str:
    """`headstart status`."""
    from transfer.study.spec import load_study
    from transfer.study.standing import study_status

    found = study_status(load_study(folder / "sweep.toml"), folder / "runs")
    return f"{sum(run.phase == 'done' for run in found)} of {len(found)} done"


def collecting(folder: Path) -> str:
    """All evaluations as arrays."""
    from transfer.study.spec import load_study
    from transfer.study.store import collect

    data = collect(load_study(folder / "sweep.toml"), folder / "runs")
    return f"{len(data.arms)} arms of {data.arms['scratch'].scores.shape}"


def reporting(folder: Path) -> str:
    """The whole report."""
    from transfer.report import write
    from transfer.study.spec import load_study
    from transfer.study.store import collect

    write(collect(load_study(folder / "sweep.toml"), folder / "runs"), folder / "results")
    return f"report.html {(folder / 'results' / 'report.html').stat().st_size / 1e6:.1f} MB"


WORK: dict[str, Callable[[Path], str]] = {
    "plan": planning,
    "scan": scanning,
    "status": looking,
    "collect": collecting,
    "report": reporting,
}


def measured(name: str, folder: Path) -> str:
    """One line: seconds, memory, and what was found."""
    import transfer.report
    import transfer.study.execute  # noqa: F401

    begin, busy = time.perf_counter(), time.process_time()
    found = WORK[name](folder)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{name:8} {seconds:7.2f} s wall {cpu:7.2f} s CPU {peak:7.0f} MB   {found}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--arms", type=int, default=9, help="scratch among them")
    parser.add_argument("--every", type=int, default=2500)
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--only", nargs="*", choices=WORK, default=list(WORK))
    parser.add_argument("--within", type=Path, help="make, or find, the folders here and leave them")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(measured(options.measure[0], Path(options.measure[1])), flush=True)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.within or Path(temporary)
        if not (folder / "sweep.toml").exists():
            folder.mkdir(parents=True, exist_ok=True)
            make(folder, options)
        for name in options.only:
            subprocess.run([sys.executable, __file__, "--measure", name, str(folder)], check=True)


if __name__ == "__main__":
    main()
