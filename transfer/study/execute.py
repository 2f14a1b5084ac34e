"""Running a study: what is not trained yet is trained, then the report is written."""

from pathlib import Path

from agents import files
from agents.runs import runs_root
from envs.errors import HeadstartError
from transfer.study.check import check
from transfer.study.places import place_of
from transfer.study.plan import Plan, plan
from transfer.study.scheduling import Event, OnEvent, Place, train_all
from transfer.study.spec import load_study
from transfer.study.store import collect


def run_study(
    path: str | Path,
    *,
    root: str | Path | None = None,
    results: str | Path = "results",
    workers: int | None = None,
    on: str | None = None,
    on_event: OnEvent | None = None,
) -> Path:
    """Run a study file and write its report. Runs that are finished already are not trained again.

    Worker processes import the script that calls this, as `multiprocessing` does: keep the call under
    ``if __name__ == "__main__":``.

    Args:
        path: the study file.
        root: where runs live; by default $HEADSTART_RUNS, else ./runs.
        results: the folder in which the study's own is made.
        workers: runs trained at once; by default one a core.
        on: where runs are trained: ``here``, ``ray://HOST:PORT``, ``slurm``; as `transfer.study.places.place_of`.
        on_event: told whatever happens to a run.

    Returns:
        The study's folder of results, with `report.html` in it.

    Raises:
        HeadstartError: the study makes no sense, and nothing was trained; or some runs failed, and the report is of
            the others.
    """
    where = runs_root(root)
    planned = plan(load_study(path), where)
    check(planned)
    return execute(planned, path, results=results, place=place_of(on, where, workers), on_event=on_event)


def execute(
    planned: Plan,
    path: str | Path,
    *,
    results: str | Path = "results",
    place: Place,
    on_event: OnEvent | None = None,
) -> Path:
    """Train what a checked plan lacks, and write the report; as `run_study`, which see."""
    planned.root.mkdir(parents=True, exist_ok=True)
    planned.given.keep(planned.root)
    folder = Path(results) / planned.study.name
    folder.mkdir(parents=True, exist_ok=True)
    files.write_text(folder / "study.toml", Path(path).read_text(encoding="utf-8"))
    failures = train_all(planned, place, on_event or _silent)
    if not failures:
        return write_report(planned, folder)
    try:
        write_report(planned, folder)
        rest = f"the report is of the others: {folder / 'report.html'}"
    except HeadstartError as error:
        rest = f"there is no report: {error}"
    raise HeadstartError(f"{_which(planned, failures)}; {rest}")


def write_report(planned: Plan, folder: Path) -> Path:
    """The report of what is there."""
    from transfer.report import write

    write(collect(planned.study, planned.root), folder)
    return folder


def _which(planned: Plan, failures: dict[str, str]) -> str:
    """The runs that failed and why, in one line; the first three are named."""
    told = [f"{run} ({failures[run.key]})" for run in planned.runs if run.key in failures]
    more = f" and {len(told) - 3} more" if len(told) > 3 else ""
    return f"{len(told)} of {len(planned.runs)} runs failed: {'; '.join(told[:3])}{more}"


def _silent(event: Event) -> None:
    """Nobody listens."""
