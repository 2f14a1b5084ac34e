"""Where a run comes from: versions, commit and machine."""

import platform
import socket
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

from envs.catalogue import find_game
from envs.engines import ENGINE
from envs.task import Task

NAMED = {"envs", "agents", "gymnasium", "stable_baselines3"}
"""Packages that every run's key names already, by version or by revision."""

PACKAGES = ("headstart", "torch", "stable-baselines3", "sb3-contrib", "gymnasium", "numpy")


def provenance(task: Task) -> dict[str, Any]:
    """Versions of what decides a run, Headstart's commit if it runs from a repository, and the machine."""
    names = [*PACKAGES, *packages_of(task)]
    versions = {name: found for name in names if (found := _version(name)) is not None}
    return {
        "versions": versions,
        "commit": commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "processor": platform.processor() or platform.machine(),
    }


def commit() -> str | None:
    """The commit of the repository that Headstart runs from, `+` behind it if files are changed; None without one."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    head = _git(root, "rev-parse", "HEAD")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return None if head is None else head + ("+" if changed else "")


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def packages_of(task: Task, algorithm: str | None = None) -> list[str]:
    """Distributions that bring the task's game, what plays it, and the algorithm, besides those that every run's key
    names."""
    game = find_game(task.game)
    modules = {game.requires, (game.entry or "").partition(":")[0], _module_of_id(task.game), _learner(algorithm)}
    modules |= {engine for engine in game.engines if task.arguments.get(ENGINE) == engine}
    tops = {module.partition(".")[0] for module in modules if module} - NAMED
    known = _distributions() if tops else {}
    return sorted({name for top in tops for name in known.get(top, [])})


def _learner(algorithm: str | None) -> str:
    from agents.algorithms import ALGORITHMS

    return "" if algorithm is None else ALGORITHMS.target(algorithm).partition(":")[0]


@cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


def _module_of_id(name: str) -> str:
    module, separator, _ = name.rpartition(":")
    return module if separator else ""


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
