"""What a training writes as it goes on: its log, its evaluations, and SB3's progress.csv and TensorBoard events."""

import os
import threading
import time
from pathlib import Path
from typing import Self

from stable_baselines3.common.logger import CSVOutputFormat, KVWriter, Logger, TensorBoardOutputFormat

from agents import files
from agents.evaluation import EpisodeResults
from agents.evaluations import append_evaluation, write_header


class Journal:
    """The open files of one run folder.

    `logger` is Stable-Baselines3's: what a learner records (mean return of training, losses) goes to progress.csv and
    to TensorBoard; each evaluation's mean return goes to TensorBoard too.

    Args:
        folder: of the run.
        go_on: add to the files that are there, instead of beginning them.
    """

    def __init__(self, folder: Path, *, go_on: bool = False) -> None:
        self.folder = folder
        self._log = (folder / "log.txt").open("a", encoding="utf-8", buffering=1)
        self._events = TensorBoardOutputFormat(str(folder))
        self._progress = _continued(folder / "progress.csv") if go_on else CSVOutputFormat(str(folder / "progress.csv"))
        outputs: list[KVWriter] = [self._progress, self._events]
        self.logger = Logger(str(folder), outputs)
        if not go_on:
            write_header(folder / "evaluations.csv")

    def say(self, text: str) -> None:
        """A line in log.txt, with the time."""
        self._log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {text}\n")

    def evaluation(self, step: int, results: EpisodeResults) -> None:
        """Write one evaluation everywhere."""
        append_evaluation(self.folder / "evaluations.csv", step, results)
        values = {"evaluation/return": results.mean, "evaluation/length": float(results.lengths.mean())}
        self._events.write(values, dict.fromkeys(values, ()), step)
        self.say(f"step {step}: mean return {results.mean:.3f} over {len(results.returns)} held-out episodes")

    def sizes(self) -> dict[str, int]:
        """How long the files are whose rows belong to a moment of the training, by name; they are on the disk then."""
        self._progress.file.flush()
        self._events.writer.flush()
        files.sync(self.folder / "evaluations.csv")
        held = [self.folder / "evaluations.csv", self.folder / "progress.csv"]
        held += sorted(self.folder.glob("events.out.tfevents.*"))
        return {path.name: path.stat().st_size for path in held}

    def close(self) -> None:
        """Close the files."""
        self.logger.close()
        self._log.close()

    def __enter__(self) -> Self:
        self._excepthook, threading.excepthook = threading.excepthook, _raised_again
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.close()
        finally:
            threading.excepthook = self._excepthook


def _continued(path: Path) -> CSVOutputFormat:
    """A progress.csv that goes on where it stands."""
    output = CSVOutputFormat(os.devnull)
    output.file.close()
    output.file = path.open("r+", encoding="utf-8")
    header = output.file.readline().rstrip("\n")
    output.keys = header.split(",") if header else []
    output.file.seek(0, os.SEEK_END)
    return output


def _raised_again(ended: threading.ExceptHookArgs) -> None:
    """TensorBoard writes in a thread, and raises an error of the disk at the next write here: once is enough."""
    if not issubclass(ended.exc_type, OSError):
        threading.__excepthook__(ended)
