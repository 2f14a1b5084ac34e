"""`--on WHERE`: the place that trains a study's runs, by name."""

from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from envs.errors import ConfigError
from envs.registry import did_you_mean
from transfer.study.pool import Pool, cores
from transfer.study.scheduling import Place

PLACES = ("here", "ray", "slurm", "local")
"""This machine's own pool, a Ray cluster, a Slurm cluster, and `submitit`'s stand-in for one on this machine."""


def place_of(on: str | None, root: str | Path, workers: int | None = None) -> Place:
    """A place, ready for runs.

    Args:
        on: ``here``, ``ray``, ``ray://HOST:PORT``, ``slurm``, ``local``, each with ``?setting=value&…`` behind it.
        root: where runs live.
        workers: runs at once; by default one a core, here or of the Ray cluster, and 64 on Slurm.

    Raises:
        UnknownName: there is no such place.
        ConfigError: an address that nobody answers, or a setting that makes no sense.
        MissingExtra: the package that the place needs is not installed.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"workers: found {workers}, expected at least 1")
    name, address, settings = _parts(on or "here")
    if name not in PLACES:
        raise did_you_mean("place", name, PLACES)
    if address and name != "ray":
        raise ConfigError(f"--on: found {on!r}, expected {name} without an address")
    if name == "here":
        _refuse(settings, name, ())
        return Pool(Path(root), workers or cores())
    if name == "ray":
        from transfer.study.cluster.ray import RAY_SETTINGS, ray_place

        _refuse(settings, name, RAY_SETTINGS)
        return ray_place(Path(root), address, settings, workers)
    from transfer.study.cluster.slurm import SLURM_SETTINGS, slurm_place

    _refuse(settings, name, SLURM_SETTINGS)
    return slurm_place(Path(root), name, settings, workers)


def _parts(on: str) -> tuple[str, str, dict[str, str]]:
    """Name, address and settings. Raises ConfigError."""
    where, _, query = on.partition("?")
    try:
        settings = dict(parse_qsl(query, strict_parsing=True, keep_blank_values=True)) if query else {}
        split = urlsplit(where)
        port = split.port
    except ValueError as error:
        raise ConfigError(f"--on: found {on!r}, expected such as ray://HOST:PORT or slurm?partition=NAME") from error
    if "://" not in where:
        return where, "", settings
    if not split.hostname or port is None or split.path:
        raise ConfigError(f"--on: found {on!r}, expected an address such as ray://HOST:10001")
    return split.scheme, f"{split.hostname}:{port}", settings


def _refuse(settings: dict[str, str], name: str, known: tuple[str, ...]) -> None:
    for setting in settings:
        if setting not in known:
            raise did_you_mean(f"setting of {name}", setting, known)
