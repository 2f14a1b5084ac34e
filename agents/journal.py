"""What a training writes as it goes on: its log, its evaluations, and SB3's progress.csv and TensorBoard events."""

import threading
import time
from pathlib import Path
from typing import Self

from stable_baselines3.common.logger import CSVOutputFormat, KVWriter, Logger, TensorBoardOutputFormat

from agents.evaluation import EpisodeResults
from agents.evaluations import append_evaluation, write_header


class Journal:
    """The open files of one run folder.

    `logger` is Stable-Baselines3's: what a learner records (mean return of training, losses) goes to progress.csv and
    to TensorBoard; each evaluation's mean return goes to TensorBoard too.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log = (folder / "log.txt").open("a", encoding="utf-8", buffering=1)
        self._events = TensorBoardOutputFormat(str(folder))
        outputs: list[KVWriter] = [CSVOutputFormat(str(folder / "progress.csv")), self._events]
        self.logger = Logger(str(folder), outputs)
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


def _raised_again(ended: threading.ExceptHookArgs) -> None:
    """TensorBoard writes in a thread, and raises an error of the disk at the next write here: once is enough."""
    if not issubclass(ended.exc_type, OSError):
        threading.__excepthook__(ended)
