"""What arms differ in besides their methods: seen in their configs before they are trained, and afterwards in what
their runs say of themselves."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from agents.config import RunConfig

MACHINES = ("python", "commit", "processor")
"""What a finished run says of its machine that may change its numbers, besides versions of packages."""

SHOWN = 3
"""How many values of one thing are named."""


def unlike(config: RunConfig, scratch: RunConfig) -> list[str]:
    """What a run has otherwise than scratch's with the same seed, methods aside: ``gamma 0.9 (scratch: 0.99)``."""
    own, base = _settings(config), _settings(scratch)
    return [
        f"{name} {_said(own.get(name))} (scratch: {_said(base.get(name))})"
        for name in dict.fromkeys((*base, *own))
        if own.get(name) != base.get(name)
    ]


def _settings(config: RunConfig) -> dict[str, Any]:
    """All that decides a run but its seed and what it carries, flat."""
    document = config.model_dump(mode="json", exclude={"seed", "transfer", "hyperparameters", "evaluation"})
    evaluation = {f"evaluation.{name}": value for name, value in config.evaluation.model_dump(mode="json").items()}
    return {**document, **evaluation, **config.hyperparameters}


def _said(value: Any) -> str:
    return "none" if value is None else str(value)


def unlike_runs(arms: Mapping[str, Sequence[dict[str, Any]]]) -> Iterator[str]:
    """What the finished runs of arms, by what their provenance says, were not made with alike; a line each.

    Versions that a run's key holds cannot differ within a study; others can, where an arm was added later or runs are
    of several machines.
    """
    said = {arm: [_made_with(document) for document in documents] for arm, documents in arms.items() if documents}
    names = dict.fromkeys(name for runs in said.values() for made in runs for name in made)
    for name in names:
        of_arm = {arm: Counter(made.get(name, "unknown") for made in runs) for arm, runs in said.items()}
        if len({value for counts in of_arm.values() for value in counts}) > 1:
            told = "; ".join(f"{arm}: {_counted(counts)}" for arm, counts in of_arm.items())
            yield f"the runs were not all made with the same {name}: {told}"


def _made_with(document: Mapping[str, Any]) -> dict[str, str]:
    """The versions of packages, the machine's language and processor, and Headstart's commit."""
    versions = {str(name): str(version) for name, version in (document.get("versions") or {}).items()}
    return {**versions, **{name: str(document[name]) for name in MACHINES if document.get(name)}}


def _counted(counts: Counter[str]) -> str:
    """``2.1 (3 runs), 2.2 (2 runs)``; of one value alone the value."""
    if len(counts) == 1:
        return _short(next(iter(counts)))
    told = [f"{_short(value)} ({n} {'run' if n == 1 else 'runs'})" for value, n in counts.most_common(SHOWN)]
    return ", ".join(told) + (f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else "")


def _short(value: str) -> str:
    """A commit in twelve digits; everything else as it is."""
    digits = value.rstrip("+")
    is_commit = len(digits) == 40 and set(digits) <= set("0123456789abcdef")
    return digits[:12] + value[len(digits) :] if is_commit else value
