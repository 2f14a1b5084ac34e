"""Who a learner plays against: fixed opponents, runs, itself, and its past, mixed."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agents.policy import Policy
from agents.selfplay.league import League, parse_league
from agents.selfplay.opponents import NetworkOpponent, check_fits, copied, weights_of
from agents.selfplay.references import is_run, opposing_run
from envs.errors import ConfigError
from envs.interface import Interface
from envs.turns.opponents import FixedPool, Opponent, find_opponent

SNAPSHOTS = 40
"""Into how many parts a league cuts the budget, unless it says after how many steps it takes a snapshot."""


class LearningPool:
    """Opponents, some of which are the learner: as it is now (`self`), and as it was (`league`).

    Every entry is equally likely. Index i < n is entry i; n + j is the snapshot in slot j of the league. An episode
    keeps the index that it began with; behind that of the learner as it is now stand its newest weights.

    Args:
        entries: n opponents; `now` for `self` and for the league.
        learner: whose weights are taken.
        now: the learner as it is now, with a network of its own.
        league: the learner's past, if an entry says so.
        place: which.
    """

    def __init__(
        self,
        entries: Sequence[Opponent],
        learner: Policy,
        now: NetworkOpponent,
        league: League | None = None,
        place: int | None = None,
    ) -> None:
        self.entries, self.learner, self.now = list(entries), learner, now
        self.league, self.place = league, place
        self.refresh(0)

    @property
    def opponents(self) -> Sequence[Opponent]:
        """All who may be drawn, by index."""
        return self.entries if self.league is None else [*self.entries, *self.league.players]

    def draw(self, generator: np.random.Generator) -> int:
        """The index of the next opponent."""
        index = int(generator.integers(len(self.entries))) if len(self.entries) > 1 else 0
        if self.league is None or index != self.place:
            return index
        slot = self.league.draw(generator)
        return index if slot is None else len(self.entries) + slot

    def ended(self, index: int, outcome: float) -> None:
        """An episode against opponent `index` ended, and the learner's return was `outcome`."""
        if self.league is not None and index >= len(self.entries):
            self.league.slots[index - len(self.entries)].book(outcome)

    def refresh(self, step: int, playing: Collection[int] = ()) -> None:
        """At the start of a rollout: the learner's newest weights, and a snapshot if one is due.

        Args:
            step: of the training.
            playing: the indices of those against whom an episode is under way.
        """
        if self.now in self.entries:
            self.now.take(weights_of(self.learner))
        if self.league is not None:
            self.league.refresh(step, {index - len(self.entries) for index in playing})

    def state(self) -> dict[str, Any]:
        """The league's snapshots and win rates; the learner's newest weights are the learner's."""
        return {} if self.league is None else self.league.state()

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        if self.league is not None:
            self.league.restore(state)


def learning_pool(specs: Sequence[str], learner: Policy, *, steps: int, root: Path) -> LearningPool:
    """The pool of a training.

    Args:
        specs: such as `["league:pfsp", "mcts:50", "run:0123456789abcdef"]`.
        learner: the policy that learns, sharing the learner's network.
        steps: the budget.
        root: where runs live.

    Raises:
        ConfigError: two leagues, no opponents, or what makes no sense.
        UnknownName, CheckpointError, MissingExtra: an opponent that cannot be found or made.
    """
    check_any(specs)
    leagues = [place for place, spec in enumerate(specs) if _word(spec) == "league"]
    if len(leagues) > 1:
        raise ConfigError(f"opponent {list(specs)}: found {len(leagues)} leagues, expected at most one")
    now = NetworkOpponent("self", copied(learner))
    game = str(learner.task)
    entries = [
        now if spec == "self" or place in leagues else lasting(spec, learner.interface, root, game)
        for place, spec in enumerate(specs)
    ]
    league, place = None, None
    if leagues:
        place = leagues[0]
        rules = parse_league(specs[place])
        league = League(rules, learner, rules.every or max(1, round(steps / SNAPSHOTS)))
    return LearningPool(entries, learner, now, league, place)


def fixed_pool(specs: Sequence[str], interface: Interface, *, root: Path, game: str) -> FixedPool:
    """The pool of an evaluation: nobody in it changes. Raises as `learning_pool` does."""
    check_any(specs)
    return FixedPool([lasting(spec, interface, root, game) for spec in specs])


def lasting(spec: str, interface: Interface, root: Path, game: str) -> Opponent:
    """An opponent that stays as it is: a run, or a fixed one. Raises ConfigError for the learner itself."""
    if _word(spec) in ("self", "league"):
        raise ConfigError(
            f"opponent {spec!r} changes as the learner does: expected one that stays, such as random, mcts:100 or "
            "run:KEY"
        )
    if not is_run(spec):
        return find_opponent(spec)
    run = opposing_run(spec, root)
    policy = run.policy()
    check_fits(spec, policy.interface, interface, game)
    return NetworkOpponent(f"run:{run.key}", policy)


def check_any(specs: Sequence[str]) -> None:
    """Raises ConfigError unless there is an opponent, and all are words."""
    if not specs or not all(isinstance(spec, str) for spec in specs):
        raise ConfigError(f"opponent: found {list(specs)!r}, expected one or more, such as ['league', 'mcts:100']")


def _word(spec: str) -> str:
    return spec.partition(":")[0]
