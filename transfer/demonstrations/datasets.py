"""Episodes in and out of Minari data sets, which lie below MINARI_DATASETS_PATH (by default ~/.minari/datasets).

Nothing is ever downloaded: `minari download ID` does that.
"""

import hashlib
import shutil
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from envs.catalogue import find_game
from envs.errors import ConfigError, MissingExtra
from envs.interface import Interface
from envs.registration import register_games
from envs.task import Task
from transfer.demonstrations.episodes import Episode

TASK = "headstart_task"
"""The entry of a data set's metadata that holds the task, as JSON."""


def save(
    dataset: str,
    episodes: Sequence[Episode],
    interface: Interface,
    *,
    task: Task,
    algorithm: str = "",
    description: str = "",
) -> Path:
    """Write episodes as a new data set, observations byte for byte. Returns its folder.

    Args:
        dataset: its id, `namespace/name-v0`.
        episodes: at least one.
        interface: the spaces that they were played in.
        task: what was played. Where Gymnasium makes it with the same spaces, the data set names it, so that Minari's
            `recover_environment` finds it.
        algorithm: who played.
        description: in words.

    Raises ConfigError for an id that Minari refuses or that is taken, and for no episodes; MissingExtra without Minari.
    """
    minari = _minari()
    if not episodes:
        raise ConfigError(f"the data set {dataset!r} would hold no episodes: expected at least one")
    folder = _folder(dataset)
    if folder.exists():
        raise ConfigError(f"there is a data set {dataset!r} already, in {folder}: give another name or version")
    buffers = [_buffer(minari, number, episode) for number, episode in enumerate(episodes)]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about authors, of whom we know nothing
            made = minari.create_dataset_from_buffers(
                dataset,
                buffers,
                env=_spec(task, interface),
                observation_space=interface.observation_space,
                action_space=interface.action_space,
                algorithm_name=algorithm,
                description=description,
                jpeg_encoding=False,  # which would change the pixels
            )
        made.storage.update_metadata({TASK: task.model_dump_json()})
    except ValueError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise ConfigError(f"Minari does not write the data set {dataset!r}: {' '.join(str(error).split())}") from error
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def load(dataset: str) -> list[Episode]:
    """The episodes of a data set that is on this machine.

    Raises ConfigError if there is none of this id, or if it holds no episodes; MissingExtra without Minari.
    """
    minari = _minari()
    _found(dataset)
    try:
        opened = minari.load_dataset(dataset, download=False)
        episodes = list(_episodes(opened))
    except (ValueError, OSError, KeyError) as error:
        raise ConfigError(f"the data set {dataset!r} cannot be read: {' '.join(str(error).split())}") from error
    if not episodes:
        raise ConfigError(f"the data set {dataset!r} holds no episodes: expected at least one")
    return episodes


def digest(dataset: str) -> str:
    """SHA-256 of all its files. Raises ConfigError if there is no data set of this id on this machine."""
    folder, found = _found(dataset), hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        found.update(str(file.relative_to(folder)).encode())
        found.update(hashlib.sha256(file.read_bytes()).digest())
    return found.hexdigest()


def _minari() -> Any:
    try:
        import h5py  # noqa: F401  what Minari stores episodes with
        import minari
    except ImportError as error:
        raise MissingExtra(
            f"data sets of demonstrations need the package {error.name!r}: install it with pip install "
            "'headstart[data]'"
        ) from error
    return minari


def _folder(dataset: str) -> Path:
    from minari.storage import get_dataset_path

    return Path(get_dataset_path(dataset))


def _found(dataset: str) -> Path:
    _minari()
    folder = _folder(dataset)
    if not dataset or not (folder / "data").is_dir():
        raise ConfigError(
            f"there is no data set {dataset!r} in {_folder('')}: expected an id that `minari list local` shows; "
            "MINARI_DATASETS_PATH names another place"
        )
    return folder


def _buffer(minari: Any, number: int, episode: Episode) -> Any:
    terminations, truncations = np.zeros(len(episode), dtype=bool), np.zeros(len(episode), dtype=bool)
    terminations[-1], truncations[-1] = episode.terminated, not episode.terminated
    return minari.data_collector.EpisodeBuffer(
        id=number,
        seed=episode.seed,
        observations=episode.observations,
        actions=episode.actions,
        rewards=episode.rewards,
        terminations=terminations,
        truncations=truncations,
    )


def _episodes(opened: Any) -> Iterator[Episode]:
    """Episodes that neither terminated nor were truncated count as cut off; empty ones are left out."""
    indices = opened.episode_indices
    for described, episode in zip(
        opened.storage.get_episode_metadata(indices), opened.iterate_episodes(indices), strict=True
    ):
        if len(episode.rewards):
            terminated = bool(episode.terminations[-1])
            rewards = np.asarray(episode.rewards)
            yield Episode(episode.observations, np.asarray(episode.actions), rewards, terminated, described.get("seed"))


def _spec(task: Task, interface: Interface) -> Any:
    """Gymnasium's spec of an unchanged game whose spaces are those of the interface; else None."""
    register_games()
    if not task.change.nothing or task.game not in gym.registry:
        return None
    game = find_game(task.game)
    try:
        env = gym.make(game.id, **{**game.arguments, **task.arguments})
    except (TypeError, gym.error.Error):
        return None
    same = env.observation_space == interface.observation_space and env.action_space == interface.action_space
    spec = env.spec
    env.close()
    return spec if same else None
