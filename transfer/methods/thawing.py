"""When the parts of a network start to learn."""

from collections.abc import Iterable
from collections.abc import Mapping as Pairs
from math import inf

from agents.parts import HEADS, expanded

Thawing = dict[str, float]
"""Part → the fraction of the budget from which on it learns; ∞ for one that stays frozen. Others learn at once."""


def thawing(freeze: Iterable[str], unfreeze: float | Pairs[str, float] | None, known: Iterable[str]) -> Thawing:
    """When each part of a network starts to learn, from `finetune`'s settings.

    With a number f the n levels thaw one after the other from the heads down, level i at f·i/n (Howard & Ruder 2018,
    gradual unfreezing, with fractions of the budget for their epochs). They are the frozen parts, or, if none are
    named, all below the heads; both heads are one level.

    Raises ConfigError for a part that the network has not.
    """
    known, freeze = list(known), list(freeze)
    frozen = expanded(freeze, known)
    if unfreeze is None:
        return dict.fromkeys(frozen, inf)
    if isinstance(unfreeze, Pairs):
        found = dict.fromkeys(frozen, inf)
        for name in sorted(unfreeze):  # torso before torso.0, which says more
            found.update(dict.fromkeys(expanded([name], known), unfreeze[name]))
        return found
    below = frozen if freeze else [name for name in known if name not in HEADS]
    levels = [[name for name in below if name in HEADS], *([name] for name in reversed(below) if name not in HEADS)]
    levels = [level for level in levels if level]
    return {name: unfreeze * (i + 1) / len(levels) for i, level in enumerate(levels) for name in level}


def shares(rates: Pairs[str, float], decay: float | None, known: Iterable[str]) -> dict[str, float]:
    """Each part's share of the learning rate: `rates`, else decay^(levels below the heads) (Howard & Ruder 2018).

    Raises ConfigError for a part that the network has not.
    """
    known = list(known)
    below = [name for name in reversed(known) if name not in HEADS]
    found = dict.fromkeys(known, 1.0)
    if decay is not None:
        found.update({name: decay ** (i + 1) for i, name in enumerate(below)})
    for name in sorted(rates):
        found.update(dict.fromkeys(expanded([name], known), rates[name]))
    return {name: share for name, share in found.items() if share != 1.0}
