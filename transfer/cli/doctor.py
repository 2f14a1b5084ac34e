"""`headstart doctor`: is this installation whole?"""

import importlib
import importlib.util
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer

from transfer.cli.console import JsonOption

CORE = (
    "torch",
    "gymnasium",
    "stable-baselines3",
    "pettingzoo",
    "minigrid",
    "numpy",
    "pydantic",
    "tensorboard",
)
OUR_HOME = Path(__file__).resolve().parents[2]


def doctor(json: JsonOption = False) -> None:
    """Check this installation: versions, extras, who owns our package names, and whether a training runs."""
    from envs.registry import EXTRA_OF_MODULE
    from transfer.cli.console import emit_json, say

    faults = shadowed()
    versions = {name: _installed(name) for name in ("headstart", *CORE)}
    faults += [f"the package {name} is missing: pip install headstart" for name, found in versions.items() if not found]
    extras = {extra: importlib.util.find_spec(module) is not None for module, extra in EXTRA_OF_MODULE.items()}
    if json:
        emit_json({"python": sys.version.split()[0], "versions": versions, "extras": extras, "faults": faults})
    else:
        say(f"python {sys.version.split()[0]}")
        for name, found in versions.items():
            say(f"{name} {found or 'missing'}")
        for extra, there in extras.items():
            say(f"extra {extra}: {'installed' if there else f'not installed (pip install headstart[{extra}])'}")
        for fault in faults:
            say(f"fault: {fault}")
        say("all is well" if not faults else f"{len(faults)} faults")
    if faults:
        raise typer.Exit(2)


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
