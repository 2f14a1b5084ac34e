"""Running a study: what is not trained yet is trained, then the report is written."""

from pathlib import Path

from agents import files
from agents.runs import runs_root
from envs.errors import ConfigError, HeadstartError
from transfer.study.check import check
from transfer.study.plan import Plan, plan
from transfer.study.pool import Event, OnEvent, cores, train_all
from transfer.study.spec import load_study
from transfer.study.store import collect


def run_study(
    path: str | Path,
    *,
    root: str | Path | None = None,
    results: str | Path = "results",
    workers: int | None = None,
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
        on_event: told whatever happens to a run.

    Returns:
        The study's folder of results, with `report.html` in it.

    Raises:
        HeadstartError: the study makes no sense, and nothing was trained; or some runs failed, and the report is of
            the others.
    """
    planned = plan(load_study(path), runs_root(root))
    check(planned)
    return execute(planned, path, results=results, workers=workers, on_event=on_event)


def execute(
    planned: Plan,
    path: str | Path,
    *,
    results: str | Path = "results",
    workers: int | None = None,
    on_event: OnEvent | None = None,
) -> Path:
    """Train what a checked plan lacks, and write the report; as `run_study`, which see."""
    if workers is not None and workers < 1:
        raise ConfigError(f"workers: found {workers}, expected at least 1")
    planned.root.mkdir(parents=True, exist_ok=True)
    folder = Path(results) / planned.study.name
    folder.mkdir(parents=True, exist_ok=True)
    files.write_text(folder / "study.toml", Path(path).read_text(encoding="utf-8"))
    failures = train_all(planned, workers or cores(), on_event or _silent)
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
