"""`headstart doctor`: is this installation whole?"""

import importlib
import importlib.util
import re
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from tempfile import TemporaryDirectory

import typer

from transfer.cli.console import JsonOption

OUR_HOME = Path(__file__).resolve().parents[2]


def doctor(json: JsonOption = False) -> None:
    """Check this installation: versions, extras, who owns our package names, and whether a training runs."""
    from envs.registry import EXTRA_OF_MODULE
    from transfer.cli.console import counted, emit_json, say

    faults = shadowed()
    versions = {name: _installed(name) for name in ("headstart", *needed())}
    faults += [f"the package {name} is missing: pip install headstart" for name, found in versions.items() if not found]
    extras = {extra: importlib.util.find_spec(module) is not None for module, extra in EXTRA_OF_MODULE.items()}
    faults += [] if faults else trial()
    if json:
        emit_json({"python": sys.version.split()[0], "versions": versions, "extras": extras, "faults": faults})
    else:
        say(f"python {sys.version.split()[0]}")
        for name, found in versions.items():
            say(f"{name} {found or 'missing'}")
        for extra, there in extras.items():
            say(f"extra {extra}: " + ("installed" if there else f"not installed (pip install 'headstart[{extra}]')"))
        for fault in faults:
            say(f"fault: {fault}")
        say("a training runs: all is well" if not faults else counted(len(faults), "fault"))
    if faults:
        raise typer.Exit(2)


TRIED = ("headstart/CartPole-v1", "headstart/DoorKey-5x5-v0")
"""Games that are trained for a moment: numbers, and symbols of a grid."""


def needed() -> list[str]:
    """The distributions that Headstart says it needs, without those of its extras."""
    try:
        said = requires("headstart") or []
    except PackageNotFoundError:
        return []
    return [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in said if "extra ==" not in line]


def trial() -> list[str]:
    """Train for a moment in a folder that is thrown away; the faults, if it fails.

    What is compiled for these games is kept, so that no later training waits for it.
    """
    from agents.algorithms import resolve
    from agents.config import Evaluation, RunConfig
    from envs.task import Task
    from transfer.carry import train_run

    faults = []
    for game in TRIED:
        task = Task(game=game)
        few = resolve(task, "ppo", {"n_envs": 2, "n_steps": 16, "batch_size": 32, "n_epochs": 1})
        config = RunConfig(task=task, hyperparameters=few, steps=64, evaluation=Evaluation(every=64, episodes=1))
        try:
            with TemporaryDirectory() as folder:
                train_run(config, Path(folder))
        except Exception as error:
            faults.append(f"{game}: a training of {config.steps} steps fails: {type(error).__name__}: {error}")
    return faults


def shadowed() -> list[str]:
    """Faults of names: another distribution or folder that owns `envs`, `agents` or `transfer`."""
    faults = []
    for name in ("envs", "agents", "transfer"):
        spec = importlib.util.find_spec(name)
        origin = Path(spec.origin).resolve().parent if spec and spec.origin else None
        if origin != OUR_HOME / name:
            faults.append(f"the package {name!r} is taken from {origin}, not from {OUR_HOME}: rename or uninstall it")
    return faults


def _installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
