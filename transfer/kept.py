"""Policies that are kept beside the runs, as what was trained from them came without their own: found and removed."""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agents.policy import Policy, load_policy
from agents.runs import Run, list_runs, size_of
from envs.errors import CheckpointError, ConfigError, UnknownName
from transfer.sources import PREFIX, carried_into, kept


@dataclass(frozen=True)
class Kept:
    """A kept policy's folder."""

    path: Path

    @property
    def key(self) -> str:
        """The folder's name, which is what runs call it."""
        return self.path.name

    @property
    def policy(self) -> Policy:
        """Raises CheckpointError."""
        return load_policy(self.path)

    @property
    def size_bytes(self) -> int:
        """What the folder takes on disk."""
        return size_of(self.path)


def list_kept(root: Path) -> list[Kept]:
    """All of them, by key."""
    return [Kept(folder) for folder in kept(root)]


def find_kept(ref: str | Path, root: Path) -> Kept | None:
    """The one of a folder, a key or a key's beginning; None where nothing is kept by this name.

    Raises UnknownName where several keys begin so.
    """
    path, there = Path(ref), list_kept(root)
    name = path.name if path.parent.resolve() == root.resolve() else str(ref)
    if not name.startswith(PREFIX):
        return None
    matches = [one for one in there if one.key.startswith(name)]
    if len(matches) > 1 and name not in {one.key for one in matches}:
        shown = ", ".join(one.key for one in matches[:6]) + (", …" if len(matches) > 6 else "")
        raise UnknownName(f"policy {name!r} is ambiguous: {len(matches)} keys begin so ({shown}); give more digits")
    return next((one for one in matches if one.key == name), matches[0] if matches else None)


def dependants(root: Path) -> dict[str, list[Run]]:
    """The runs that were carried from each key, or will be; a damaged run is passed over."""
    found: dict[str, list[Run]] = {}
    for run in list_runs(root):
        try:
            keys = carried_into(run.config)
        except CheckpointError:
            continue
        for key in dict.fromkeys(keys):
            found.setdefault(key, []).append(run)
    return found


def check_unneeded(doomed: Iterable[Kept], root: Path, without: Sequence[Run] = ()) -> None:
    """Raises ConfigError if a run that is not finished starts from one of them, for it could not be made again.

    Args:
        doomed: the policies.
        root: where runs live.
        without: runs that are to be removed, too.
    """
    of_key, gone = dependants(root), {run.key for run in without}
    for one in doomed:
        waiting = [run for run in of_key.get(one.key, []) if not run.done and run.key not in gone]
        if waiting:
            more = f", and by {len(waiting) - 1} more" if len(waiting) > 1 else ""
            raise ConfigError(
                f"{one.key} is needed by run {waiting[0].key}, which is {waiting[0].state}{more}: train to its end "
                "what starts from it, or remove that first: headstart runs prune"
            )


def remove_kept(one: Kept) -> None:
    """Delete its folder."""
    shutil.rmtree(one.path)
