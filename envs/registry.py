"""Registries: a name stands for ``module:attribute``, loaded when first asked for, never overwritten in silence.

Games, algorithms, encoders and methods all use this one look-up, so that a wrong name gets the same kind of answer
everywhere.
"""

import difflib
import importlib
import traceback
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path, PurePath
from types import ModuleType
from typing import Any

from envs.errors import ConfigError, HeadstartError, MissingExtra, UnknownName

EXTRA_OF_MODULE = {
    "sb3_contrib": "contrib",
    "minatar": "minatar",
    "Box2D": "box2d",
    "mpe2": "particles",
    "pettingzoo.sisl": "sisl",
    "pymunk": "butterfly",
    "minari": "data",
    "ale_py": "atari",
    "cv2": "atari",
    "envpool": "envpool",
    "pyspiel": "boards",
    "open_spiel": "boards",
}


def did_you_mean(kind: str, name: str, known: Iterable[str]) -> UnknownName:
    """The error for an unknown name: says what was found and the nearest names, or all of them if few."""
    names = sorted(known)
    lowered = {candidate.lower(): candidate for candidate in names}
    near = [lowered[match] for match in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.55)]
    if near:
        hint = f"did you mean {' or '.join(repr(match) for match in near)}?"
    elif len(names) <= 12:
        hint = f"known: {', '.join(names) or 'none'}"
    else:
        hint = f"{len(names)} are known, such as {', '.join(names[:6])}"
    return UnknownName(f"unknown {kind} {name!r}: {hint}")


def load_attribute(target: str, *, kind: str = "name") -> Any:
    """Import ``module:attribute``. Raises ConfigError or MissingExtra, in the user's words."""
    module_name, separator, attribute = target.partition(":")
    if not separator or not module_name or not attribute:
        raise ConfigError(f"{kind} {target!r} should be written 'module:attribute', such as 'mygame:reward'")
    found: Any = import_module(module_name, target, kind)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise ConfigError(f"{kind} {target!r}: module {module_name!r} has no attribute {part!r}")
        found = getattr(found, part)
    return found


def load_callable(target: str, *, kind: str) -> Any:
    """Import the function or class ``module:attribute``. Raises ConfigError or MissingExtra."""
    found = load_attribute(target, kind=kind)
    if not callable(found):
        raise ConfigError(f"{kind} {target!r} is {found!r}, expected a function")
    return found


def import_module(module: str, wanted: str, kind: str) -> ModuleType:
    """Import a module of somebody else's, for the sake of the name that was wanted.

    Raises ConfigError or MissingExtra: it is no module's name, it is not there, or what it raised and where.
    """
    if "/" in module or module.endswith(".py"):
        meant = f"{PurePath(module).name.removesuffix('.py')}:{wanted.partition(':')[2]}"
        raise ConfigError(f"{kind} {wanted!r}: found the file {module!r}, expected a module's name: write {meant!r}")
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise _failed_import(wanted, module, error, kind) from error


def _failed_import(wanted: str, module: str, error: BaseException, kind: str) -> HeadstartError:
    """The error for a module that cannot be imported: it is not there, or what it raised and where."""
    if isinstance(error, HeadstartError):
        return error
    if isinstance(error, ModuleNotFoundError):
        return missing_module(wanted, error, kind)
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = "" if isinstance(error, SyntaxError) else f" ({Path(last.filename).name}, line {last.lineno})"
    said = " ".join(str(error).split())
    return ConfigError(f"{kind} {wanted!r}: importing {module!r} raised {type(error).__name__}: {said}{where}")


def missing_module(wanted: str, error: ModuleNotFoundError, kind: str) -> MissingExtra | ConfigError:
    """The error for a module that is not there: names the extra that brings it, or the module."""
    missing = f"{error.name}."
    for module, extra in EXTRA_OF_MODULE.items():
        if missing.startswith(f"{module}."):
            return MissingExtra(
                f"{kind} {wanted!r} needs the package {module!r}: install it with pip install 'headstart[{extra}]'"
            )
    return ConfigError(
        f"{kind} {wanted!r}: there is no module {error.name!r}; is it installed, or in the current folder?"
    )


class Registry:
    """Names of one kind, such as algorithms.

    Args:
        kind: what a name stands for, in the singular; used in errors.
        entries: name → ``module:attribute``.
        group: entry-point group through which other distributions add names.
    """

    def __init__(self, kind: str, entries: Mapping[str, str], group: str | None = None) -> None:
        self.kind = kind
        self.group = group
        self._entries = dict(entries)

    def names(self) -> list[str]:
        """All names, our own and those of installed plug-ins, sorted."""
        return sorted({*self._entries, *self._plugins()})

    def register(self, name: str, target: str) -> None:
        """Add a name. Raises ConfigError if it is taken by something else."""
        if self._entries.setdefault(name, target) != target:
            raise ConfigError(f"{self.kind} {name!r} is registered already, as {self._entries[name]!r}")

    def target(self, name: str) -> str:
        """The ``module:attribute`` behind a name. Raises UnknownName."""
        if name in self._entries:
            return self._entries[name]
        plugins = self._plugins()
        if name in plugins:
            return plugins[name]
        raise did_you_mean(self.kind, name, self.names())

    def load(self, name: str) -> Any:
        """The object behind a name. Raises UnknownName, MissingExtra or ConfigError."""
        return load_attribute(self.target(name), kind=self.kind)

    def _plugins(self) -> dict[str, str]:
        if self.group is None:
            return {}
        return {point.name: point.value for point in entry_points(group=self.group)}
