"""What all arms' results need of a study's data, worked out once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from envs.errors import ConfigError
from envs.registry import did_you_mean
from transfer import metrics, statistics
from transfer.report.compare import Levels, Scale
from transfer.study.data import ArmData, StudyData

METRICS = ("jumpstart", "asymptotic", "total_reward", "transfer_ratio", "time_to_threshold")
BASELINE = "scratch"
SHARES = (0.75, 0.5, 0.9)
"""Where a study names no thresholds: these shares of the way from the random to the reference score, the first
one foremost."""


@dataclass(frozen=True)
class Measured:
    """A study's data, and what follows from all arms together."""

    data: StudyData
    given: statistics.Test | None = None
    """The test, where it is held over more than these arms."""
    values: int = 1
    """At how many values of a dial the arms are compared, over all of which the test is held."""

    @cached_property
    def scores(self) -> dict[str, metrics.Array]:
        """Per arm the rows that are numbers throughout (n_seeds, n_evaluations)."""
        return {name: arm.scores[self.finite(arm)] for name, arm in self.data.arms.items()}

    def finite(self, arm: ArmData) -> NDArray[np.bool_]:
        """Which rows of an arm are numbers throughout (n_seeds,)."""
        return np.asarray(np.isfinite(arm.scores).all(axis=1), dtype=np.bool_)

    @cached_property
    def primary(self) -> str:
        """The declared metric. Raises UnknownName."""
        name = str(self.data.study.get("primary") or "total_reward")
        if name not in METRICS:
            raise did_you_mean("metric", name, METRICS)
        return name

    @property
    def budget(self) -> float:
        """Target steps of one run."""
        return float(self.data.steps[-1])

    @cached_property
    def scale(self) -> Scale:
        """Between which scores one plays."""
        means = [scores.mean(axis=0) for scores in self.scores.values() if len(scores)]
        spread = float(np.ptp(np.concatenate(means))) if means else 0.0
        return Scale(self.data.random, self.data.reference, spread)

    @cached_property
    def thresholds(self) -> tuple[float, ...]:
        """The study's, or the report's choice; the first one is foremost."""
        if self.data.thresholds:
            return tuple(float(threshold) for threshold in self.data.thresholds)
        low, high = self.data.random, self.data.reference
        if low is None or high is None:
            scratch = self.scores[BASELINE]
            if not len(scratch):
                return ()
            low, high = float(metrics.initial(scratch).mean()), float(metrics.final(scratch).mean())
        return tuple(low + share * (high - low) for share in SHARES) if high > low else ()

    @property
    def threshold_source(self) -> str:
        """Where the thresholds come from, in words."""
        if self.data.thresholds:
            return "named by the study" if self.data.study.get("thresholds") else "the catalogue's"
        shares = ", ".join(f"{100 * share:.0f} %" for share in SHARES)
        if self.data.random is not None and self.data.reference is not None:
            return f"{shares} of the way from the random to the reference score"
        return f"{shares} of the way from scratch's first to its final performance, seen only afterwards"

    @property
    def before(self) -> float:
        """What the target is taken to return while the source is learnt: random play, else an untrained agent."""
        if self.data.random is not None:
            return self.data.random
        scratch = self.scores[BASELINE]
        return float(metrics.initial(scratch).mean()) if len(scratch) else 0.0

    def levels(self, name: str) -> Levels:
        """The per-seed numbers of an arm."""
        return Levels.of(self.scores[name], self.data.steps)

    @cached_property
    def plateaus(self) -> dict[str, metrics.Plateau]:
        """Which arms have levelled off."""
        scale = self.scale.width
        return {name: metrics.plateau(scores, scale) for name, scores in self.scores.items() if len(scores)}

    @cached_property
    def samples(self) -> dict[str, metrics.Array]:
        """Per arm the primary metric's one number per seed, larger is better."""
        return {name: self._sample(scores) for name, scores in self.scores.items()}

    def _sample(self, scores: metrics.Array) -> metrics.Array:
        if self.primary == "jumpstart":
            return metrics.initial(scores)
        if self.primary == "asymptotic":
            return metrics.final(scores)
        if self.primary == "time_to_threshold":
            if not self.thresholds:
                raise ConfigError("primary metric time_to_threshold: the study names no thresholds")
            return -metrics.time_to_threshold(scores, self.data.steps, self.thresholds[0]).steps
        return metrics.area(scores, self.data.steps)

    @cached_property
    def test(self) -> statistics.Test | None:
        """The permutation test over all arms that have two seeds; None if there are none."""
        if self.given is not None or not self.tested:
            return self.given
        return statistics.permutation_test(
            self.samples[BASELINE], self.tested, statistics.generator_for(self.data.name)
        )

    @cached_property
    def tested(self) -> dict[str, metrics.Array]:
        """The samples of the arms that have two seeds, controls excepted; none if scratch has not."""
        if len(self.samples[BASELINE]) < 2:
            return {}
        compared = [name for name, arm in self.data.arms.items() if name != BASELINE and not arm.control]
        return {name: self.samples[name] for name in compared if len(self.samples[name]) > 1}
