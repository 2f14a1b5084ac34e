"""Functions of arrays compiled by numba, once: the machine code is kept on disk and found again by the next process."""

import hashlib
import logging
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, overload

from envs.errors import ConfigError

log = logging.getLogger(__name__)

_Function = TypeVar("_Function", bound=Callable[..., Any])
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
FLOORS = ("envs", "agents")
"""Whose sources compiled code depends on."""
KEPT = 4
"""States of the sources whose machine code is kept."""
PATIENCE, PAUSE = 120.0, 0.01
"""Seconds after which a process compiles for itself what another has not compiled, and between looks for it."""
ENVIRONMENT = "_ZN08NumbaEnv"
"""What numba's names of a function's own globals begin with: a place for them must be there, called or not."""
_told: set[str] = set()


@overload
def compiled(function: _Function) -> _Function: ...


@overload
def compiled(*, fast: bool = False, inner: bool = False) -> Callable[[_Function], _Function]: ...


def compiled(function: Any = None, *, fast: bool = False, inner: bool = False) -> Any:
    """The function, compiled when first called and kept for the processes that follow.

    Args:
        function: numba's subset of Python.
        fast: whether sums of floats may be taken in another order, so that they fill vector registers; NaN and
            infinities keep their meaning.
        inner: whether only compiled functions call it, which saves a tenth of the time that compiling takes. A call
            from Python would end the process.

    Integer division by nought and indices out of range are not looked for. Where no folder for the machine code can be
    written it is compiled anew in each process, which a warning says once. Raises ConfigError if numba cannot be used.
    """
    if function is None:
        return partial(compiled, fast=fast, inner=inner)
    numba = _numba()
    options = _OPTIONS | ({"fastmath": {"contract", "reassoc", "nsz", "arcp"}} if fast else {})
    options |= {"no_cpython_wrapper": True} if inner else {}
    dispatcher = numba.njit(pipeline_class=_self_contained(), **options)(function)
    before = numba.config.CACHE_DIR
    try:
        numba.config.CACHE_DIR = str(_folder(before))
        dispatcher._cache = _shared()(function)
    except (RuntimeError, OSError) as error:
        _warn(error)
    finally:
        numba.config.CACHE_DIR = before
    return dispatcher


@cache
def _self_contained() -> Any:
    """How numba compiles, and machine code that calls nothing but what lies within it.

    A function's module has copies of the functions that it calls, optimised with it. Numba lets the linker put what the
    process has loaded before in their place: the originals, if the process had to compile them, or the copies in
    another function's module. Those were optimised otherwise and round otherwise where sums may be reordered, so that
    numbers depended on what had been compiled when, and called first.

    What only compiled functions call is optimised in their modules alone: no machine code is made of its own module.
    """
    llvm: Any = import_module("llvmlite.binding")
    codegen: Any = import_module("numba.core.codegen")
    compiler: Any = import_module("numba.core.compiler")
    linkage = llvm.Linkage

    class Library(codegen.JITCodeLibrary):
        inner = False
        _final_module: Any

        def _optimize_final_module(self) -> None:
            if not self.inner:
                super()._optimize_final_module()
            module = self._final_module
            mine = [f.name for f in module.functions if not f.is_declaration and f.linkage == linkage.external]
            shared = module.clone()
            for name in mine:
                shared.get_function(name).linkage = linkage.linkonce_odr
            self._shared_module = llvm.parse_bitcode(shared.as_bitcode())  # as it will be when read from the disk
            if self.inner:
                kept = [g.name for g in module.global_variables if g.name.startswith(ENVIRONMENT)]
                stub = str(self._codegen._create_empty_module(self.name))
                stub += "".join(f'\n@"{name}" = common global i64 0' for name in kept)
                self._final_module = llvm.parse_assembly(stub)
                return
            for function in module.functions:
                if not function.is_declaration and function.linkage == linkage.linkonce_odr:
                    function.linkage = linkage.private

    class SelfContained(compiler.Compiler):
        def compile_extra(self, func: Any) -> Any:
            self.state.library = Library(self.state.targetctx.codegen(), func.__qualname__)
            self.state.library.inner = self.state.flags.no_cpython_wrapper
            self.state.library.enable_object_caching()
            return super().compile_extra(func)

    return SelfContained


@cache
def _shared() -> Any:
    """How numba keeps machine code, of processes that want the same one compiling it while the others wait."""
    caching: Any = import_module("numba.core.caching")
    filelock: Any = import_module("filelock")

    class Shared(caching.FunctionCache):
        def __init__(self, function: Any) -> None:
            super().__init__(function)
            name = f"{self._impl.filename_base}.lock"
            self._lock = filelock.FileLock(Path(self.cache_path) / name, timeout=PATIENCE, poll_interval=PAUSE)

        def load_overload(self, signature: Any, context: Any) -> Any:
            found = super().load_overload(signature, context)
            if found is None and not self._lock.is_locked:
                with suppress(OSError, NotImplementedError):  # TimeoutError, too: it is compiled twice then
                    self._impl.locator.ensure_cache_path()
                    self._lock.acquire()
                    found = super().load_overload(signature, context)
            if found is not None:
                self._lock.release()
            return found

        def save_overload(self, signature: Any, result: Any) -> None:
            try:
                super().save_overload(signature, result)
            finally:
                self._lock.release()

    return Shared


def folder() -> Path:
    """Where machine code is kept. Raises ConfigError if numba cannot be used, OSError if no folder can be written."""
    return _folder(_numba().config.CACHE_DIR)


@cache
def _folder(chosen: str) -> Path:
    """Where machine code is kept: a folder of its own for each state of our sources.

    Numba looks whether a function's own file has changed, but not whether those have that it calls.

    Args:
        chosen: NUMBA_CACHE_DIR, or empty.

    Raises OSError if no folder can be written.
    """
    floor = Path(__file__).parent
    texts = (path.read_bytes() for room in FLOORS for path in sorted((floor.parent / room).rglob("*.py")))
    name = hashlib.sha256(b"".join(text for text in texts if b"import compiled" in text)).hexdigest()[:16]
    places = [Path(chosen)] if chosen else [floor / "__pycache__", Path.home() / ".cache"]
    errors = []
    for place in places:
        folder = place / "headstart-compiled" / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            errors.append(error)
            continue
        _forget_old(folder.parent)
        return folder
    raise errors[-1]


def _forget_old(folder: Path) -> None:
    """Remove all but the newest few states."""
    with suppress(OSError):
        states = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for state in states[KEPT:]:
            shutil.rmtree(state, ignore_errors=True)


def _numba() -> Any:
    try:
        import numba
    except Exception as error:
        said = " ".join(str(error).split())
        raise ConfigError(
            f"fast code is compiled by numba, which cannot be imported ({type(error).__name__}: {said}): "
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
