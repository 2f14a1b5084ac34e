"""The search of `tune.py`: which hyperparameters of PPO are tried, and Optuna's choice of the next ones."""

import importlib
import math
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reaching import Attempt, Target, attempt

from agents.algorithms import ALGORITHMS
from agents.hyperparameters import complete
from envs.errors import MissingExtra

Hyperparameters = dict[str, Any]
"""Complete, as a run keeps them."""
Parameters = dict[str, Any]
"""What Optuna varies: powers of two by their logarithm, the discount by its horizon 1/(1 − γ)."""
Attempts = dict[Target, list[Attempt]]
"""Of one setting: a training for each seed."""

NETS = {"32": [32], "64": [64], "128": [128], "256": [256], "32-32": [32, 32], "64-64": [64, 64], "128-128": [128, 128]}
POWERS = {"n_envs": (3, 9), "n_steps": (3, 8), "batch_size": (5, 13)}
LOGARITHMIC = {
    "learning_rate": (2e-4, 2e-2),
    "horizon": (8.0, 500.0),
    "ent_coef": (1e-4, 0.05),
    "vf_coef": (0.1, 2.0),
    "max_grad_norm": (0.2, 5.0),
}
STEPPED = {"gae_lambda": (0.8, 0.99, 0.01), "clip_range": (0.1, 0.5, 0.05)}
EPOCHS = (1, 16)
CHOICES: dict[str, tuple[Any, ...]] = {
    "decay": ("constant", "linear"),
    "net_arch": tuple(NETS),
    "activation": ("tanh", "relu"),
    "normalise_observations": (False, True),
    "normalise_rewards": (False, True),
}

FIRST: list[Hyperparameters] = [
    {"n_envs": 32, "n_steps": 64, "batch_size": 512, "n_epochs": 4, "learning_rate": 0.003, "ent_coef": 0.01},
    {"n_envs": 128, "n_steps": 32, "batch_size": 512, "n_epochs": 4, "learning_rate": 0.002, "ent_coef": 0.01},
    {
        "n_envs": 64,
        "n_steps": 64,
        "batch_size": 512,
        "n_epochs": 3,
        "learning_rate": 0.002,
        "ent_coef": 0.03,
        "vf_coef": 1.0,
        "gamma": 0.98,
        "gae_lambda": 0.9,
        "activation": "relu",
    },
    {"n_envs": 256, "n_steps": 32, "batch_size": 2048, "n_epochs": 4, "learning_rate": 0.005, "ent_coef": 0.01},
]
"""Good to begin with, from small rollouts to large ones; the rest is SB3's."""

PATIENCE = 2.0
"""Times the best cost so far after which a training on a single game is given up."""


@dataclass(frozen=True)
class Space:
    """What may be tried."""

    rollout: int
    """The longest rollout, in transitions."""
    keep: Mapping[str, Any] = field(default_factory=dict)
    """Hyperparameters that are not searched; `decay`, `constant` or `linear`, is the learning rate's."""

    def distributions(self) -> dict[str, Any]:
        """What Optuna chooses from."""
        kinds = optuna().distributions
        found = {
            **{name: kinds.IntDistribution(*row) for name, row in POWERS.items()},
            "n_epochs": kinds.IntDistribution(*EPOCHS, log=True),
            **{name: kinds.FloatDistribution(*row, log=True) for name, row in LOGARITHMIC.items()},
            **{name: kinds.FloatDistribution(a, b, step=step) for name, (a, b, step) in STEPPED.items()},
            **{name: kinds.CategoricalDistribution(choices) for name, choices in CHOICES.items()},
        }
        return {name: one for name, one in found.items() if self._searched(name)}

    def decoded(self, found: Parameters) -> Hyperparameters:
        """Optuna's parameters as hyperparameters of two significant digits, with what is kept; the rest is SB3's."""
        made: Hyperparameters = {}
        for name, value in found.items():
            if name in POWERS:
                made[name] = 2**value
            elif name == "horizon":
                made["gamma"] = round(1 - short(1 / value), 4)
            elif name == "learning_rate":
                made[name] = f"lin_{short(value)}" if (found | dict(self.keep))["decay"] == "linear" else short(value)
            elif name == "net_arch":
                made[name] = NETS[value]
            elif name != "decay":
                made[name] = short(value) if isinstance(value, float) else value
        return self.fitted(made)

    def encoded(self, hyperparameters: Hyperparameters) -> Parameters | None:
        """Complete hyperparameters as Optuna's parameters; None where they lie outside of what is searched."""
        made: Parameters = dict(hyperparameters)
        rate = str(hyperparameters["learning_rate"])
        made["learning_rate"] = float(rate.removeprefix("lin_"))
        made["decay"] = "linear" if rate.startswith("lin_") else "constant"
        made["horizon"] = 1 / max(1e-9, 1 - hyperparameters["gamma"])
        made["ent_coef"] = max(hyperparameters["ent_coef"], LOGARITHMIC["ent_coef"][0])
        made["activation"] = hyperparameters["activation"] or "tanh"
        nets = [name for name, sizes in NETS.items() if sizes == (hyperparameters["net_arch"] or [64, 64])]
        made["net_arch"] = nets[0] if nets else None
        for name in POWERS:
            made[name] = int(math.log2(hyperparameters[name])) if math.log2(hyperparameters[name]) % 1 == 0 else None
        spaces = self.distributions()
        inside = all(_contains(space, made[name]) for name, space in spaces.items())
        return {name: made[name] for name in spaces} if inside else None

    def fitted(self, hyperparameters: Hyperparameters) -> Hyperparameters:
        """Made complete, with rollouts that are not too long and minibatches that are no longer than they."""
        n_envs = min(hyperparameters["n_envs"], self.rollout // 2 ** POWERS["n_steps"][0])
        n_steps = min(hyperparameters["n_steps"], self.rollout // n_envs)
        batch_size = min(hyperparameters["batch_size"], n_envs * n_steps)
        bounded = hyperparameters | {"n_envs": n_envs, "n_steps": n_steps, "batch_size": batch_size}
        kept = {name: value for name, value in self.keep.items() if name != "decay"}
        return complete("ppo", ALGORITHMS.load("ppo"), bounded | kept)

    def _searched(self, name: str) -> bool:
        kept = {"horizon": "gamma", "decay": "learning_rate"}.get(name, name)
        return not {name, kept} & self.keep.keys()


def cost(attempts: Mapping[Target, Sequence[Attempt]]) -> float:
    """What is searched for: of a game, halfway from the mean of its seeds to the worst; the geometric mean over games.

    CPU seconds; where a seed did not reach the threshold, more than the cap.
    """
    logs = []
    for target, each in attempts.items():
        costs = [one.cost(target) for one in each]
        logs.append(math.log((statistics.fmean(costs) + max(costs)) / 2))
    return math.exp(statistics.fmean(logs))


class Search:
    """Settings tried one after the other on the same games and seeds.

    Args:
        targets: one setting is tried on all of them.
        seeds: of the trainings.
        space: what may be tried.
        start: settings that are tried first.
        known: settings that were tried before, with their costs.
        seed: of Optuna's sampler.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        seeds: Sequence[int],
        space: Space,
        start: Iterable[Hyperparameters] = (),
        known: Iterable[tuple[Hyperparameters, float]] = (),
        seed: int = 0,
    ) -> None:
        self.targets, self.seeds, self.space = targets, seeds, space
        self._best = math.inf
        library = optuna()
        self._spaces = space.distributions()
        self._study = library.create_study(
            sampler=library.samplers.TPESampler(seed=seed, multivariate=True, n_startup_trials=8),
            pruner=library.pruners.MedianPruner(n_startup_trials=5),
        )
        for hyperparameters, value in known:
            self._best = min(self._best, value)
            if (found := space.encoded(hyperparameters)) is not None:
                made = library.trial.create_trial(params=found, distributions=self._spaces, value=value)
                self._study.add_trial(made)
        for hyperparameters in start:
            if (found := space.encoded(space.fitted(hyperparameters))) is not None:
                self._study.enqueue_trial(found, skip_if_exists=True)

    def run(self, trials: int, seconds: float) -> Iterator[tuple[Hyperparameters, Attempts]]:
        """Settings and what came of them; those that fell behind have fewer seeds.

        Args:
            trials: how many, at most.
            seconds: of wall time, after which no further setting is tried.
        """
        began = time.monotonic()
        for _ in range(trials):
            if time.monotonic() - began > seconds:
                return
            trial = self._study.ask(self._spaces)
            hyperparameters = self.space.decoded(trial.params)
            attempts = self._tried(hyperparameters, trial)
            if all(len(each) == len(self.seeds) for each in attempts.values()):
                self._study.tell(trial, cost(attempts))
                self._best = min(self._best, cost(attempts))
            else:
                self._study.tell(trial, state=optuna().trial.TrialState.PRUNED)
            yield hyperparameters, attempts

    def _tried(self, hyperparameters: Hyperparameters, trial: Any) -> Attempts:
        """Seed after seed, as long as it keeps up."""
        attempts: Attempts = {target: [] for target in self.targets}
        alone = len(self.targets) == 1
        for place, seed in enumerate(self.seeds):
            for target in self.targets:
                limit = PATIENCE * self._best if alone else None
                attempts[target].append(attempt(target, hyperparameters, seed, limit))
            trial.report(cost(attempts), place)
            failed = alone and attempts[self.targets[0]][-1].seconds is None
            if failed or (place + 1 < len(self.seeds) and trial.should_prune()):
                break
        return attempts


def optuna() -> Any:
    """Optuna. Raises MissingExtra."""
    try:
        found = importlib.import_module("optuna")
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "a search needs the package 'optuna': install it with pip install 'headstart[tune]'"
        ) from error
    found.logging.set_verbosity(found.logging.WARNING)
    return found


def short(value: float) -> float:
    """Two significant digits."""
    return float(f"{value:.2g}")


def _contains(space: Any, value: Any) -> bool:
    if hasattr(space, "choices"):
        return value in space.choices
    if not isinstance(value, int | float) or not space.low <= value <= space.high:
        return False
    return space.step is None or abs((value - space.low) / space.step % 1 - 0.5) > 0.499
