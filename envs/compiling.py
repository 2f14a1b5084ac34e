"""Functions of arrays compiled by numba, once: the machine code is kept on disk and found again by the next process."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from envs.errors import ConfigError

log = logging.getLogger(__name__)

_Function = TypeVar("_Function", bound=Callable[..., Any])
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
_told: set[str] = set()


def compiled(function: _Function) -> _Function:
    """The function, compiled when first called and kept for the processes that follow.

    Integer division by nought and indices out of range are not looked for. Where no folder for the machine code can be
    written it is compiled anew in each process, which a warning says once. Raises ConfigError if numba cannot be used.
    """
    numba = _numba()
    try:
        found: _Function = numba.njit(cache=True, **_OPTIONS)(function)
    except (RuntimeError, OSError) as error:
        _warn(error)
        found = numba.njit(**_OPTIONS)(function)
    return found


def _numba() -> Any:
    try:
        import numba
    except Exception as error:
        said = " ".join(str(error).split())
        raise ConfigError(
            f"the grid worlds are compiled by numba, which cannot be imported ({type(error).__name__}: {said}): "
            "install a version that fits this Python and NumPy with pip install 'headstart'"
        ) from error
    return numba


def _warn(error: Exception) -> None:
    if not _told:
        _told.add("cache")
        said = " ".join(str(error).split())
        log.warning(
            "compiled code cannot be kept (%s), so every process compiles it again, some seconds each: "
            "set NUMBA_CACHE_DIR to a folder that can be written",
            said,
        )
