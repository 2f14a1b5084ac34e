"""Stable-Baselines3's own tests of PPO and DQN, with our learners in the place of its own; one line says how they went.

    .venv/bin/python benchmarks/sb3_tests.py [--checkout FOLDER] [--only WORD]

Every test file that names PPO or DQN is run, without the cases that are given other algorithms only. FOLDER holds the
sources of the Stable-Baselines3 that is installed; without it they are downloaded from the package index, for this run.
Tests that fail are listed with what they said, those apart that need a package that is not installed.
"""

import argparse
import contextlib
import importlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import stable_baselines3
from stable_baselines3.common.base_class import BaseAlgorithm

from agents.compiled.learner import CompiledPPO
from agents.compiled.q_learner import CompiledDQN
from agents.dqn import DQN
from agents.ppo import PPO

OURS = {"ppo": PPO, "dqn": DQN}
WHY = re.compile(r".*Skipped(: )?", re.DOTALL)
MISSING = re.compile(r"^E\s+((?:ModuleNotFoundError|ImportError): .*)", re.MULTILINE)


def main() -> int:
    """Run them, and print the line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkout", type=Path, metavar="FOLDER", help="sources of Stable-Baselines3, tests and all")
    parser.add_argument("--only", default="", metavar="WORD", help="only test files with this in their names")
    options = parser.parse_args()
    put_in_place()
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        checkout = options.checkout or download(Path(scratch))
        files = [file for file in test_files(checkout) if options.only in file.name]
        if not files:
            sys.exit(f"{checkout} holds no tests of PPO or DQN: expected the sources of Stable-Baselines3")
        watch = Watch()
        with watch.watching():
            status = pytest.main([*arguments(Path(scratch), files[0].parent), *map(str, files)], plugins=[watch])
    print("\n".join(watch.lines()))
    return 1 if watch.failed or status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) else 0


def put_in_place() -> None:
    """Let `from stable_baselines3 import PPO, DQN` give ours."""
    for room, learner in OURS.items():
        for module in (stable_baselines3, importlib.import_module(f"stable_baselines3.{room}")):
            setattr(module, learner.__name__, learner)


def download(folder: Path) -> Path:
    """The sources of the version that is installed."""
    which = f"stable-baselines3=={stable_baselines3.__version__}"
    flags = ["--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(folder)]
    subprocess.run([sys.executable, "-m", "pip", "download", *flags, which], check=True)
    (packed,) = folder.glob("*.tar.gz")
    with tarfile.open(packed) as file:
        file.extractall(folder, filter="data")
    return folder / packed.name.removesuffix(".tar.gz")


def test_files(checkout: Path) -> list[Path]:
    """Those that name PPO or DQN."""
    found = sorted((checkout / "tests").resolve().glob("test_*.py"))
    return [file for file in found if re.search(r"\b(PPO|DQN)\b", file.read_text(encoding="utf-8"))]


def arguments(scratch: Path, tests: Path) -> list[str]:
    """Pytest's, so that nothing of the checkout but its test files is read, and nothing is written into it."""
    ini = scratch / "pytest.ini"
    ini.write_text("[pytest]\nmarkers = expensive\n")
    sys.dont_write_bytecode = True
    files = ["-c", str(ini), f"--rootdir={tests}", "--import-mode=append", "-p", "no:cacheprovider"]
    return [*files, "-q", "--no-header", "--no-summary", "--continue-on-collection-errors"]


class Watch:
    """Notes how tests went, which of them made one of our learners, and which of these learnt in compiled code."""

    def __init__(self) -> None:
        self.now = ""
        self.passed: set[str] = set()
        self.skipped: dict[str, str] = {}
        self.failed: dict[str, str] = {}
        self.lacking: dict[str, str] = {}
        """What needs a package that is not installed."""
        self.made: set[str] = set()
        self.compiled: set[str] = set()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Note what is called."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(BaseAlgorithm, "__init__", self._noting(BaseAlgorithm.__init__, self.made, PPO, DQN))
            for kind in (CompiledPPO, CompiledDQN):
                patch.setattr(kind, "update", self._noting(kind.update, self.compiled, kind))
            yield

    def _noting(self, function: Any, tests: set[str], *kinds: type) -> Any:
        def noting(learner: Any, *args: Any, **kwargs: Any) -> Any:
            if isinstance(learner, kinds):
                tests.add(self.now)
            return function(learner, *args, **kwargs)

        return noting

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave out the cases of other algorithms."""
        config.hook.pytest_deselected(items=[item for item in items if of_others(item)])
        items[:] = [item for item in items if not of_others(item)]

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Remember which test it is."""
        self.now = item.nodeid

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note one phase of a test."""
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that cannot be read."""
        if report.failed:
            self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        said = report.longreprtext
        if report.skipped:
            self.skipped[report.nodeid] = WHY.sub("", said).rstrip("')\"") or "it does not say why"
        elif report.failed:
            missing = MISSING.search(said)
            where = self.lacking if missing else self.failed
            where[report.nodeid] = missing.group(1) if missing else said.strip().splitlines()[-1]
        elif isinstance(report, pytest.TestReport) and report.when == "call":
            self.passed.add(report.nodeid)

    def lines(self) -> Sequence[str]:
        """What failed, and the summary."""
        apart = self.failed | self.lacking | self.skipped
        passed = self.passed - set(apart)
        mine = passed & self.made
        summary = (
            f"Stable-Baselines3 {stable_baselines3.__version__}'s own tests with our PPO and DQN in their place: "
            f"{len(mine)} that make one passed ({len(mine & self.compiled)} of them learnt in compiled code), "
            f"{len(passed - mine)} others beside them passed; {len(self.failed)} failed, "
            f"{len(self.lacking)} need a package that is not installed, {len(self.skipped)} skipped themselves"
        )
        return [
            *(f"FAILED {test}: {why}" for test, why in self.failed.items()),
            *(f"cannot run here: {test}: {why}" for test, why in self.lacking.items()),
            *(f"skipped by itself: {test}: {why}" for test, why in self.skipped.items()),
            summary,
        ]


def of_others(item: pytest.Item) -> bool:
    """Whether a case is given algorithms, and none of ours is among them."""
    given = getattr(getattr(item, "callspec", None), "params", {}).values()
    flat = [part for value in given for part in (value if isinstance(value, list | tuple) else [value])]
    algorithms = [part for part in flat if isinstance(part, type) and issubclass(part, BaseAlgorithm)]
    return bool(algorithms) and not any(issubclass(algorithm, (PPO, DQN)) for algorithm in algorithms)


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
