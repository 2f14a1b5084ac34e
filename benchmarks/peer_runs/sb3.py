"""PPO of Stable-Baselines3, or of sbx, with rl-zoo3's settings: executed by the Python of `zoo` or `sbx`.

    .peers/zoo/bin/python benchmarks/peer_runs/sb3.py --steps 20000 [--library sbx] [--game MiniGrid-DoorKey-8x8-v0]

The settings are read from rl-zoo3's own file (`--settings` names another entry of it) and are played as its train.py
does: DummyVecEnv, Monitor, the entry's wrapper, VecNormalize. rl-zoo3 itself is not imported, which only speeds it up.
"""

import importlib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from learning import Made, arguments, run
from report import Clock
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

NOT_THE_LEARNERS = ("n_envs", "n_timesteps", "env_wrapper", "normalize", "policy", "frame_stack")


class Symbols(gym.ObservationWrapper[np.ndarray, int, dict[str, Any]]):
    """MiniGrid's view alone, bounded so that nobody takes it for a picture."""

    def __init__(self, env: gym.Env[dict[str, Any], int]) -> None:
        super().__init__(env)
        shape = env.observation_space["image"].shape  # type: ignore[index]
        self.observation_space = spaces.Box(0, np.broadcast_to(np.array([10, 5, 2], np.uint8), shape), dtype=np.uint8)

    def observation(self, observation: dict[str, Any]) -> np.ndarray:
        """(7, 7, 3)."""
        image: np.ndarray = observation["image"]
        return image


class OneHot(BaseFeaturesExtractor):
    """Symbols (B, 7, 7, 3) → a 0/1 plane for each object, colour and state, flattened: (B, 980)."""

    _offsets: torch.Tensor

    def __init__(self, observation_space: spaces.Box) -> None:
        widths = observation_space.high[0, 0].astype(int) + 1  # (3,)
        cells = int(np.prod(observation_space.shape[:2]))
        super().__init__(observation_space, cells * int(widths.sum()))
        firsts = np.concatenate([[0], widths.cumsum()[:-1]])
        offsets = (np.arange(cells)[:, None] * widths.sum() + firsts).ravel()
        self.register_buffer("_offsets", torch.as_tensor(offsets), persistent=False)

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        """One scatter of ones."""
        where = observations.flatten(1).long() + self._offsets
        return torch.zeros(len(where), self.features_dim).scatter_(1, where, 1.0)


def zoo_settings(entry: str) -> dict[str, Any]:
    """rl-zoo3's settings of PPO, without importing rl-zoo3."""
    import yaml  # comes with rl-zoo3

    package = importlib.util.find_spec("rl_zoo3")
    if package is None or not package.submodule_search_locations:
        raise SystemExit("rl_zoo3 is not installed here")
    path = Path(package.submodule_search_locations[0]) / "hyperparams" / "ppo.yml"
    settings: dict[str, Any] = yaml.safe_load(path.read_text())[entry]
    return settings


def scheduled(value: Any) -> Any:
    """rl-zoo3's `lin_0.001` as a schedule; anything else as it is."""
    if isinstance(value, str) and value.startswith("lin_"):
        return LinearSchedule(float(value.removeprefix("lin_")), 0.0, 1.0)
    return value


def wrapper(name: str | None) -> Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]] | None:
    """`symbols` is ours above; else a class by its path, as rl-zoo3 names it."""
    if name in (None, "symbols"):
        return Symbols if name else None
    module, _, attribute = str(name).rpartition(".")
    found: Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]] = getattr(importlib.import_module(module), attribute)
    return found


def register(game: str) -> None:
    """Make Gymnasium know the games of MiniGrid and MinAtar."""
    for prefix, package in (("MiniGrid", "minigrid"), ("MinAtar", "minatar.gym")):
        if game.startswith(prefix):
            module = importlib.import_module(package)
            if prefix == "MinAtar" and not any(name.startswith("MinAtar/") for name in gym.registry):
                module.register_envs()


def main() -> None:
    """Train, and print the line."""
    clock = Clock()
    parser = arguments(__doc__)
    parser.add_argument("--library", choices=("sb3", "sbx"), default="sb3")
    parser.add_argument("--settings", help="the entry of rl-zoo3's file; the game's own by default; 'none' for none")
    parser.add_argument("--wrapper", help="over the entry's: symbols, or a class by its path")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    register(options.game)
    settings = {} if options.settings == "none" else zoo_settings(options.settings or options.game)
    settings |= options.set
    wrap = wrapper(options.wrapper or settings.get("env_wrapper"))

    def make(n_envs: int, seed: int, training: bool) -> VecEnv:
        venv: VecEnv = make_vec_env(options.game, n_envs=n_envs, seed=seed, wrapper_class=wrap)
        if settings.get("normalize"):
            venv = VecNormalize(venv, training=training, norm_reward=training, gamma=settings.get("gamma", 0.99))
        return venv

    library = importlib.import_module({"sb3": "stable_baselines3", "sbx": "sbx"}[options.library])
    given = {name: scheduled(value) for name, value in settings.items() if name not in NOT_THE_LEARNERS}
    if options.wrapper == "symbols":
        given["policy_kwargs"] = {"features_extractor_class": OneHot}

    def learner_of(seed: int) -> Made:
        venv = make(settings.get("n_envs", 1), seed, True)

        def fresh() -> VecEnv:
            games = make(8, 2**30, False)
            if isinstance(games, VecNormalize) and isinstance(venv, VecNormalize):
                games.obs_rms = venv.obs_rms  # the same object: always the statistics of now
            return games

        return library.PPO("MlpPolicy", venv, seed=seed, device="cpu", **given), fresh, []

    run(clock, options, learner_of)


if __name__ == "__main__":
    main()
