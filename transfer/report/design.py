"""What a study's design could have found, and what its intervals cover in simulations."""

from typing import Any

from transfer.detectable import detectable
from transfer.report.compare import Entry
from transfer.report.measured import BASELINE, Measured
from transfer.report.words import NAMES, number
from transfer.simulated import coverage_note

POWER = 0.8


def found(measured: Measured) -> dict[str, Any] | None:
    """The smallest effect that gets a verdict in `POWER` of such studies; null where there is no test.

    `deviations` is in standard deviations over seeds (null: no effect, however large), `here` in the unit of the
    primary metric, taking scratch's standard deviation (null where its seeds do not differ).
    """
    if not measured.tested:
        return None
    n = min(len(sample) for sample in (measured.samples[BASELINE], *measured.tested.values()))
    effect = detectable(n, len(measured.tested), POWER, values=measured.values)
    spread = float(measured.samples[BASELINE].std(ddof=1))
    here = effect * spread if effect is not None and spread > 0 else None
    return {"power": POWER, "n_seeds": n, "deviations": effect, "here": here}


def coverage(entry: Entry, n_seeds: int) -> str | None:
    """What is known of the coverage of an entry's interval, where it is too little; null otherwise."""
    if entry.get("low") is None or not entry.get("interval"):
        return None
    return coverage_note(entry["interval"], n_seeds)


def coverages(document: dict[str, Any]) -> dict[str, str]:
    """By kind of interval, for those that a document holds: what they cover at its fewest seeds."""
    n = min((arm["n_seeds"] for arm in document["arms"].values() if arm["n_seeds"] > 1), default=0)
    kinds = sorted({kind for arm in document["arms"].values() for kind in _kinds(arm)})
    notes = {kind: coverage_note(kind, n) for kind in kinds} if n else {}
    return {kind: note for kind, note in notes.items() if note}


def _kinds(part: Any) -> set[str]:
    """Every `interval` with an end below a part of a document."""
    if isinstance(part, list):
        return {kind for each in part if isinstance(each, dict) for kind in _kinds(each)}
    if not isinstance(part, dict):
        return set()
    own = (
        {part["interval"].partition(",")[0]}
        if isinstance(part.get("interval"), str) and part.get("low") is not None
        else set()
    )
    return own.union(*(_kinds(each) for each in part.values()))


def pairs(document: dict[str, Any]) -> list[tuple[str, str]]:
    """Terms and sentences for the page's account of how all was measured."""
    said = []
    known = document["measured"]["test"].get("detectable")
    if known and known["deviations"] is not None:
        here = f", here about {number(known['here'])}," if known["here"] is not None else ""
        effect = f"an effect of {number(known['deviations'])} standard deviations over seeds{here}"
        share = f"{100 * known['power']:.0f} %"
        said.append(("Could have found", f"{effect} on {NAMES[document['primary']]}, in {share} of such studies"))
    covered = [f"{kind}: {note}" for kind, note in (document["measured"].get("coverage") or {}).items()]
    if covered:
        said.append(("Coverage", f"of nominal 95 % intervals whose scores are far from normal. {'; '.join(covered)}"))
    return said
