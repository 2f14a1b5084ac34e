"""What happens on another machine: one run is trained there, in the shared folder or in one of its own, and sent home.

Whatever runs there was planned here: a machine with other versions would train another run, and is told so.
"""

import io
import os
import socket
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from agents.config import RunConfig
from agents.runs import Run
from agents.selfplay.references import runs_among
from envs.errors import ConfigError
from transfer.sources import carried_into, is_kept
from transfer.study.scheduling import Message

LEFT_OUT = (".lock", ".pulse.json")
"""What stays where it is."""


def packed(run: Run) -> bytes:
    """A run folder as a tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for path in sorted(run.path.rglob("*")):
            if path.is_file() and path.name not in LEFT_OUT:
                archive.add(path, arcname=path.relative_to(run.path).as_posix(), recursive=False)
    return buffer.getvalue()


def unpack(content: bytes, run: Run) -> None:
    """Fill a run folder from an archive; DONE comes last, so that it never counts as finished before it is."""
    run.path.mkdir(parents=True, exist_ok=True)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
        members = sorted(archive.getmembers(), key=lambda member: member.name == "DONE")
        for member in members:
            archive.extract(member, run.path, filter="data")


def train_shared(document: str, key: str, root: str) -> Message:
    """Train one run in the folder that all machines share. The last message is returned, never raised."""
    return _train(RunConfig.model_validate_json(document), key, Path(root))


def train_alone(document: str, key: str, sources: Sequence[tuple[str, bytes]]) -> tuple[Message, bytes]:
    """Train one run in a folder of this machine's own, from archives of what it needs; returns its archive too."""
    with tempfile.TemporaryDirectory(prefix="headstart-") as folder:
        for source, content in sources:
            unpack(content, Run(Path(folder) / source))
        last = _train(RunConfig.model_validate_json(document), key, Path(folder))
        run = Run(Path(folder) / key)
        return last, packed(run) if run.path.is_dir() else b""


def _train(config: RunConfig, key: str, root: Path) -> Message:
    from transfer.study.worker import trained

    if config.key() != key:
        return Message("failed", line=unlike(config, key))
    return trained(config, root, lambda message: None)


def unlike(config: RunConfig, key: str) -> str:
    """What is wrong with a machine on which the same config has another key."""
    return (
        f"{socket.gethostname()} would train another run ({config.key()} instead of {key}): its versions of Headstart "
        "or of the packages that decide a run are not those of this machine"
    )


def sees(marker: str) -> bool:
    """Whether this machine has a file, and so shares the folder it is in."""
    return os.path.exists(marker)


def needed(config: RunConfig, root: Path) -> list[Run]:
    """The folders that a run needs: of the runs, or the policies without runs, that are carried into it, and of its
    opponents."""
    runs = [Run(root / key) for key in dict.fromkeys((*carried_into(config), *runs_among(config.task)))]
    for run in runs:
        if not run.done and not is_kept(run.key, root):
            raise ConfigError(f"{run.key} is needed and is not there, or is a run that is not finished")
    return runs
