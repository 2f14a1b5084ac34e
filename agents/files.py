"""Files that are either whole or not there: written beside and renamed."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in an OSError that does not, as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def write_text(path: Path, text: str) -> None:
    """Replace a file's text in one step. Raises OSError, such as for a full disk; the old file then stays."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file's content in one step, as `write_text`."""
    with naming(path):
        _replace(path, content)


def _replace(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # mkstemp's files are its owner's only
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, document: Any) -> None:
    """Replace a file by a document, in one step."""
    write_text(path, json.dumps(document, indent=1) + "\n")


@contextmanager
def file_beside(path: Path) -> Iterator[Path]:
    """The name of a file to write, of the same suffix, which takes the place of `path` if no error ends the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    beside = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    with naming(path):
        try:
            beside.touch()  # says at once where nothing may be written
        except OSError as error:
            error.filename = str(path)
            raise
        try:
            yield beside
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


def empty_folder(path: Path, *, keep: Collection[str] = ()) -> None:
    """Delete what a folder holds, but for the names to keep."""
    for entry in path.iterdir():
        if entry.name in keep:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """An empty folder to write into, which takes the place of `path` when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}-"))
    try:
        with naming(path):
            yield beside
        for file in beside.iterdir():
            sync(file)
        beside.chmod(0o755)
        if path.exists():
            old = beside.with_name(beside.name + "-old")
            path.rename(old)
            beside.rename(path)
            shutil.rmtree(old)
        else:
            beside.rename(path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise


def sync(file: Path) -> None:
    """See to it that a file's content is on the disk."""
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
