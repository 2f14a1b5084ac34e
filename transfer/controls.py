"""The arms of a study as they are trained: each arm from each source checkpoint, and the controls beside them.

A control says what transfer would be mistaken for:

- `scratch+source`, the *source budget*: scratch trained on the target for the source's steps and the target's. Its
  curve is shifted left by the source's steps, so that it stands on the target's grid and its step 0 comes after as many
  steps as the source took. An arm that beats it was worth its source on this one target already.
- `ARM+shuffled`, the *shuffled teacher*: the arm's methods with a teacher whose weights were shuffled
  (`transfer.shuffling`). What it gains over scratch comes of the scale of the weights, the normaliser, the
  architecture or the method's own machinery, and not of what the source learnt.

Controls are compared as every arm is, with intervals; they are not in the family of the verdict's test.
"""

from dataclasses import dataclass
from typing import Literal

from envs.errors import ConfigError
from transfer.study.spec import SCRATCH, Study

Control = Literal["source budget", "shuffled teacher"]


@dataclass(frozen=True)
class Variant:
    """An arm as it is trained and compared."""

    name: str
    """Its own: `finetune`, `finetune@25%`, `finetune+shuffled`, `scratch+source`."""
    arm: str
    """The arm of the study file that it is made of."""
    control: Control | None = None
    """What kind of control it is; None for what the study compares."""
    share: float | None = None
    """At which share of its budget the source is taken; None: at its end."""

    @property
    def beside(self) -> str:
        """The arm beside which a control stands: for a shuffled teacher the one that is not shuffled."""
        return self.name.removesuffix("+shuffled")


def variants(study: Study) -> dict[str, Variant]:
    """All arms of a study by name: those of the file in its order, each checkpoint of each, then the controls.

    Shuffled is the teacher of the last checkpoint. Raises ConfigError where an arm of the file has the name of one that
    is made.
    """
    made = [variant for name in study.arms for variant in _of(study, name)]
    if study.controls.shuffled_teacher:
        latest = max(study.source.checkpoints, default=None)
        made += [
            Variant(f"{variant.name}+shuffled", variant.arm, "shuffled teacher", variant.share)
            for variant in made
            if variant.arm != SCRATCH and variant.share == latest
        ]
    if study.controls.source_budget:
        made.append(Variant(f"{SCRATCH}+source", SCRATCH, "source budget"))
    found: dict[str, Variant] = {}
    for variant in made:
        if variant.name in found:
            raise ConfigError(f"arms.{variant.name}: the study makes an arm of this name itself; expected another name")
        found[variant.name] = variant
    return found


def _of(study: Study, name: str) -> list[Variant]:
    """An arm of the file, from each of the source's checkpoints."""
    shares = study.source.checkpoints
    if name == SCRATCH or not shares:
        return [Variant(name, name)]
    return [Variant(f"{name}@{100 * share:.6g}%", name, share=share) for share in sorted(shares)]
