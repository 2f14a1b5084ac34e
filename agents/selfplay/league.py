"""The league: the learner's own past as its opponents.

Every `every` steps a snapshot of the weights joins. For an episode the opponent is

- with probability `latest` the learner as it is now: its weights of the last start of a rollout;
- else a snapshot, by the rule: `uniform`, each equally likely (Bansal et al. 2018, section 4, with all of the past), or
  `pfsp`, prioritised fictitious self-play (Vinyals et al. 2019): snapshot i with a probability in proportion to
  (1 − xᵢ)², where xᵢ is the learner's win rate against it.

xᵢ = (pointsᵢ + ½ · PRIOR) / (gamesᵢ + PRIOR), a win one point, a draw half a point; before each game both counts shrink
by DECAY, since the learner of long ago is not the learner. At PRIOR = 2, one nobody has met has xᵢ = ½.

When there are more than `capacity` snapshots, one goes that is neither the oldest nor the newest: the one whose
neighbours are the fewest steps apart, of several the oldest. What stays is spread evenly over the training so far.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from agents.policy import Policy
from agents.selfplay.opponents import NetworkOpponent, copied, weights_of
from envs.errors import ConfigError
from envs.turns.games import Array
from envs.validation import validated

PRIOR = 2.0
"""Virtual games, half won, with which every win rate begins."""
DECAY = 0.98
"""Of a snapshot's counts at each game against it: about the last fifty games count."""


class LeagueRules(BaseModel):
    """What the word `league` says, such as `league:pfsp,latest=0.8,every=5000,capacity=40`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Literal["uniform", "pfsp"] = "uniform"
    """How a snapshot is drawn."""
    latest: float = Field(default=0.5, ge=0, le=1)
    """Probability of the learner as it is now, instead of a snapshot."""
    every: int | None = Field(default=None, ge=1)
    """Steps between snapshots; by default a fortieth of the budget. One is taken at the next start of a rollout."""
    capacity: int = Field(default=20, ge=2)
    """Snapshots that are kept."""


def parse_league(spec: str) -> LeagueRules:
    """`league`, `league:pfsp`, `league:latest=0.8,capacity=40`. Raises ConfigError."""
    name, _, rest = spec.partition(":")
    settings: dict[str, str] = {}
    for part in [part.strip() for part in rest.split(",")] if rest else []:
        word, equals, value = part.partition("=")
        settings[word.strip() if equals else "rule"] = value.strip() if equals else word
    if name != "league" or (":" in spec and not rest) or re.search(r",\s*(,|$)", spec):
        raise ConfigError(f"opponent {spec!r}: expected league, league:pfsp, or league:pfsp,latest=0.8,every=5000")
    return validated(LeagueRules, settings, f"opponent {spec!r}")


@dataclass
class Snapshot:
    """The learner at some step."""

    step: int
    weights: dict[str, Tensor] = field(repr=False)
    kept: bool = True
    """Whether it may be drawn; one that was thinned out plays its episodes to their ends."""
    points: float = 0.0
    """Of the learner against it, shrunk by `DECAY` a game."""
    games: float = 0.0
    """Shrunk likewise."""

    @property
    def win_rate(self) -> float:
        """The learner's against it, draws as halves."""
        return (self.points + PRIOR / 2) / (self.games + PRIOR)

    def book(self, outcome: float) -> None:
        """A game ended with this return for the learner."""
        self.points = DECAY * self.points + (1.0 if outcome > 0 else 0.0 if outcome < 0 else 0.5)
        self.games = DECAY * self.games + 1


class League:
    """The learner's past: snapshots in numbered slots. A slot is given away again once nobody plays its snapshot.

    Args:
        rules: how it works.
        learner: the policy that learns, whose network is read and never changed.
        every: steps between snapshots.
    """

    def __init__(self, rules: LeagueRules, learner: Policy, every: int) -> None:
        self.rules, self.learner, self.every = rules, learner, every
        self.slots: list[Snapshot] = []
        self.players: list[NetworkOpponent] = []
        """One for each slot."""
        self._due = 0

    def refresh(self, step: int, playing: Collection[int]) -> None:
        """Take a snapshot if one is due; `playing`: the slots that somebody still plays against."""
        if step < self._due:
            return
        self._due = (step // self.every + 1) * self.every
        self._put(Snapshot(step, weights_of(self.learner)), playing)
        gone = thinned([(slot, self.slots[slot].step) for slot in self.kept], self.rules.capacity)
        if gone is not None:
            self.slots[gone].kept = False

    @property
    def kept(self) -> list[int]:
        """The slots that may be drawn, the oldest snapshot first."""
        slots = [slot for slot, snapshot in enumerate(self.slots) if snapshot.kept]
        return sorted(slots, key=lambda slot: self.slots[slot].step)

    def draw(self, generator: np.random.Generator) -> int | None:
        """A slot, or None for the learner as it is now."""
        if not self.slots or generator.random() < self.rules.latest:
            return None
        slots = self.kept
        return slots[int(generator.choice(len(slots), p=self.chances()))]

    def chances(self) -> Array:
        """Of each kept snapshot, the oldest first, to be the one that is drawn; they sum to 1."""
        kept = [self.slots[slot] for slot in self.kept]
        if self.rules.rule == "uniform":
            return np.full(len(kept), 1 / len(kept))
        return prioritised(np.array([snapshot.win_rate for snapshot in kept]))

    def state(self) -> dict[str, Any]:
        """Every snapshot with its counts, as plain data and tensors."""
        return {"slots": [dict(vars(snapshot)) for snapshot in self.slots], "due": self._due}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self._due = state["due"]
        self.slots, self.players = [], []
        for saved in state["slots"]:
            self._put(Snapshot(**saved), range(len(self.slots)))

    def _put(self, snapshot: Snapshot, playing: Collection[int]) -> None:
        free = [slot for slot, held in enumerate(self.slots) if not held.kept and slot not in playing]
        if not free:
            self.slots.append(snapshot)
            self.players.append(NetworkOpponent("league", copied(self.learner)))
        slot = free[0] if free else len(self.slots) - 1
        self.slots[slot], player = snapshot, self.players[slot]
        player.name = f"league at step {snapshot.step}"
        player.take(snapshot.weights)


def prioritised(win_rates: Array) -> Array:
    """Prioritised fictitious self-play with f(x) = (1 − x)² (Vinyals et al. 2019): chances (n,) for win rates (n,).

    Equal chances where every game is won.
    """
    weights = (1 - win_rates) ** 2
    total = weights.sum()
    return np.asarray(weights / total if total > 0 else np.full(len(weights), 1 / len(weights)))


def thinned(held: Sequence[tuple[int, int]], capacity: int) -> int | None:
    """Which of (name, step), in the order of their steps, has to go; None if there is room for all.

    Neither the oldest nor the newest: the one whose neighbours are the fewest steps apart, of several the oldest.
    """
    if len(held) <= capacity:
        return None
    gaps = [(held[place + 1][1] - held[place - 1][1], place) for place in range(1, len(held) - 1)]
    return held[min(gaps)[1]][0]
