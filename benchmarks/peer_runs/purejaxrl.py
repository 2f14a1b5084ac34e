"""purejaxrl's ppo.py on gymnax: executed by the Python of `purejaxrl`.

    .peers/purejaxrl/bin/python benchmarks/peer_runs/purejaxrl.py .peers/purejaxrl/source/ppo.py --steps 1000000

Its file is from before gymnax 1.0. It is adapted as it is loaded: gymnax's own wrappers (which are purejaxrl's, brought
up to date) take the place of its, `terminated` and `truncated` are merged into its `done`, infos keep what is read of
them, and `train` can go on from a state for some updates, so that time and scores can be looked at on the way. Seeds
train together in one vmapped program.
"""

import argparse
import importlib.abc
import importlib.util
import json
import math
import sys
import types
from pathlib import Path
from typing import Any

import checks
import numpy as np
from report import Clock, Span, say, versions

DEFAULTS: dict[str, Any] = {
    "LR": 2.5e-4,
    "NUM_ENVS": 4,
    "NUM_STEPS": 128,
    "TOTAL_TIMESTEPS": 5e5,
    "UPDATE_EPOCHS": 4,
    "NUM_MINIBATCHES": 4,
    "GAMMA": 0.99,
    "GAE_LAMBDA": 0.95,
    "CLIP_EPS": 0.2,
    "ENT_COEF": 0.01,
    "VF_COEF": 0.5,
    "MAX_GRAD_NORM": 0.5,
    "ACTIVATION": "tanh",
    "ENV_NAME": "CartPole-v1",
    "ANNEAL_LR": True,
    "DEBUG": False,
}
"""Those at the end of its file, but for the printing."""

REPLACED = {
    "    def train(rng):\n": "    def train(rng, resumed=None, updates=config['NUM_UPDATES']):\n",
    "        runner_state = (train_state, env_state, obsv, _rng)\n": (
        "        runner_state = (train_state, env_state, obsv, _rng)\n"
        "        runner_state = runner_state if resumed is None else resumed\n"
    ),
    '            _update_step, runner_state, None, config["NUM_UPDATES"]\n': (
        "            _update_step, runner_state, None, updates\n"
    ),
}


class Adapted(importlib.abc.SourceLoader):
    """Loads its file with the replacements made; writes nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get_filename(self, fullname: str) -> str:
        """The file's."""
        return str(self.path)

    def get_data(self, path: Any) -> bytes:
        """The adapted text. Raises SystemExit unless it is the file that is meant."""
        text = self.path.read_text()
        for old, new in REPLACED.items():
            if text.count(old) != 1:
                raise SystemExit(f"{self.path} is not purejaxrl's ppo.py of the pinned commit: no {old.strip()!r}")
            text = text.replace(old, new)
        return text.encode()


def load(path: Path, sticky: float) -> Any:
    """Its module, on gymnax's wrappers."""
    from gymnax.wrappers import purerl

    class FiveFold(purerl.GymnaxWrapper):  # type: ignore[misc]
        """Gymnax's six results as the five of old."""

        def step(self, *given: Any) -> Any:
            obs, state, reward, terminated, truncated, info = self._env.step(*given)
            kept = {key: info[key] for key in ("returned_episode", "returned_episode_returns")}
            return obs, state, reward, terminated | truncated, kept

    def flat(env: Any) -> Any:
        return purerl.FlattenObservationWrapper(purerl.StickyActionWrapper(env, sticky) if sticky else env)

    wrappers: Any = types.ModuleType("wrappers")
    wrappers.FlattenObservationWrapper = flat
    wrappers.LogWrapper = lambda env: FiveFold(purerl.LogWrapper(env))
    sys.modules["wrappers"] = wrappers
    spec = importlib.util.spec_from_loader("purejaxrl_ppo", Adapted(path))
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Training:
    """Some seeds that train together, some updates at a time."""

    def __init__(self, module: Any, config: dict[str, Any], seed: int, seeds: int, updates: int) -> None:
        import jax

        self._jax = jax
        train = module.make_train(config)
        self.steps_per_call = updates * config["NUM_ENVS"] * config["NUM_STEPS"]
        keys = jax.random.split(jax.random.PRNGKey(seed), seeds)
        self._state = jax.jit(jax.vmap(lambda key: train(key, None, 0)["runner_state"]))(keys)
        self._more = jax.jit(jax.vmap(lambda key, state: train(key, state, updates)))
        self._keys = keys
        self.steps = 0
        """Of each seed."""

    def go_on(self) -> dict[str, np.ndarray]:
        """Some updates of all seeds; (seeds, updates, n_steps, n_envs) of whether an episode ended, and its return."""
        out = self._more(self._keys, self._state)
        self._state = out["runner_state"]
        self._jax.block_until_ready(self._state)
        self.steps += self.steps_per_call
        return {name: np.asarray(values) for name, values in out["metrics"].items()}

    def actor(self, index: int) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weights and biases of one seed's policy."""
        layers = self._state[0].params["params"]
        return [
            (np.asarray(layers[f"Dense_{i}"]["kernel"][index]), np.asarray(layers[f"Dense_{i}"]["bias"][index]))
            for i in range(3)
        ]


def greedy(layers: list[tuple[np.ndarray, np.ndarray]], activation: str, seen: np.ndarray) -> np.ndarray:
    """Observations (n, d) → actions (n,)."""
    for weight, bias in layers[:-1]:
        hidden = seen @ weight + bias
        seen = np.tanh(hidden) if activation == "tanh" else np.maximum(hidden, 0)
    actions: np.ndarray = (seen @ layers[-1][0] + layers[-1][1]).argmax(1)
    return actions


def timed(clock: Clock, training: Training, steps: int) -> dict[str, Any]:
    """The first call compiles; those after it are timed."""
    training.go_on()
    span, seeds = Span(clock), len(training._keys)
    span.begin(training.steps * seeds)
    while (training.steps - training.steps_per_call) * seeds < steps:
        training.go_on()
    return dict(span.end(training.steps * seeds))


def until(clock: Clock, training: Training, options: argparse.Namespace, activation: str) -> dict[str, Any]:
    """Go on until every seed has passed the check; each remembers when."""
    seeds = options.seeds
    reached: list[dict[str, float] | None] = [None] * seeds
    recent: list[list[float]] = [[] for _ in range(seeds)]
    scores: list[float | None] = [None] * seeds
    while None in reached and training.steps < options.steps and clock.cold() < options.cap:
        metrics = training.go_on()
        at = clock.cold()
        with clock.pause():
            for index in range(seeds):
                ended = metrics["returned_episode"][index]
                recent[index] = (recent[index] + metrics["returned_episode_returns"][index][ended].tolist())[-100:]
                if reached[index] is None:
                    scores[index] = _score(options.check, training, index, activation, recent[index])
                    if (scores[index] or 0) >= checks.THRESHOLDS[options.check] and at <= options.cap:
                        reached[index] = {"steps": training.steps, "seconds": at}
    every = [one for one in reached if one is not None]
    last = max(every, key=lambda one: one["seconds"]) if len(every) == seeds else None
    return {"reached": last, "each": reached, "score": scores if seeds > 1 else scores[0], "steps": training.steps}


def _score(check: str, training: Training, index: int, activation: str, recent: list[float]) -> float | None:
    if check == "cartpole":
        layers = training.actor(index)
        return checks.greedy_cartpole(lambda seen: greedy(layers, activation, seen))
    return float(np.mean(recent)) if len(recent) == checks.EPISODES else None


def main() -> None:
    """Train, and print the line."""
    clock = Clock()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--set", type=json.loads, default={}, metavar="JSON", help="of its config")
    parser.add_argument("--steps", type=int, required=True, help="those timed, of all seeds; or the budget of each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=1, help="in one vmapped program")
    parser.add_argument("--sticky", type=float, default=0.0, help="probability that an action is repeated")
    parser.add_argument("--check", choices=["cartpole", "breakout"])
    parser.add_argument("--every", type=int, default=8192, help="steps of one call, and so between checks")
    parser.add_argument("--cap", type=float, default=math.inf)
    options = parser.parse_args()
    config = DEFAULTS | options.set
    updates = max(1, options.every // (config["NUM_ENVS"] * config["NUM_STEPS"]))
    training = Training(load(options.file, options.sticky), config, options.seed, options.seeds, updates)
    if options.check:
        result = until(clock, training, options, config["ACTIVATION"])
    else:
        result = timed(clock, training, options.steps)
    packages = versions("jax", "gymnax", "flax", "distrax", "optax", "numpy")
    say(clock, **result, seed=options.seed, seeds=options.seeds, versions=packages)


if __name__ == "__main__":
    main()
