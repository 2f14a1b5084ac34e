"""Progressive networks: the teacher is a frozen column, and the student learns beside it and reads its layers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from agents.build import build_network
from agents.networks import architecture
from agents.policy import Policy
from agents.progressive import Column, earlier_columns
from envs.errors import ConfigError
from envs.interface import Interface
from transfer.mapping_report import Report
from transfer.method import Crossing, Method, MethodSettings, Place, family
from transfer.methods.finetune import Finetune
from transfer.naming import space_seen

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

    from transfer.mapping import Mapping

STUDENTS = ("ppo", "sb3-ppo", "a2c", "dqn", "sb3-dqn")
COLUMN = ("net_arch", "activation", "encoder", "normalise_observations", "progressive")
"""What decides a column: of an architecture, all that does not belong to the heads."""


class ProgressiveSettings(MethodSettings):
    """How the laterals start."""

    scale: float = Field(default=1.0, ge=0.0, le=100.0)
    """What the learnt factor α of each lateral starts at. The paper starts it at a small random number; at 1 the
    teacher's features enter on the scale of the student's own, which have the same activation."""
    start: Literal["random", "zero"] = "random"
    """Whether U, the weights with which laterals enter a layer, starts as the other layers' weights do, or at zero:
    then the student starts as a plain network, and U learns from the first step."""


class Progressive(Method):
    """Start: h_i = f(W_i h_{i-1} + b_i + U_i σ(V_i α_{i-1} h'_{i-1})), h' the teacher's (Rusu et al. 2016, equation 2).

    The student keeps its own architecture and starts untaught, and explores as untaught learners do: what is carried is
    what the teacher's layers see, none of what it does. The first column is teacher∘mapping, folded into a network for
    the target's observations (behind a frozen input layer where the map does not fold), and constant. A teacher that is
    progressive itself brings all its columns.
    """

    Settings: ClassVar[type[MethodSettings]] = ProgressiveSettings
    places: ClassVar[tuple[Place, ...]] = ("start",)
    settings: ProgressiveSettings

    def alongside(self, others: Sequence[Method]) -> None:
        """Two methods cannot both say what the student's network starts as."""
        if any(isinstance(other, Finetune) for other in others):
            raise ConfigError(
                "progressive and finetune both say what the student starts as: take one of the two, or add kickstart, "
                "shape or guide to either"
            )

    def check(self, crossing: Crossing) -> None:
        """Both must be networks of layers, and the mapping must fold into the first column."""
        source, target = crossing.source, crossing.target
        if target.algorithm not in STUDENTS:
            raise ConfigError(f"progressive builds networks for {', '.join(STUDENTS)}, not for {target.algorithm}")
        if family(source.algorithm) not in ("actor-critic", "action values"):
            raise ConfigError(
                f"progressive needs a source of ppo, a2c or dqn, whose layers it reads, found {source.algorithm}"
            )
        for config in (source, target):
            if not config.hyperparameters.get("share_features_extractor", True):
                raise ConfigError(
                    "progressive needs an actor and a critic that share their encoder: set share_features_extractor to "
                    f"true in the run of {config.algorithm} on {config.task}"
                )
        if source.transfer is None:  # else its architecture is known only once it is trained
            kind = architecture(source.hyperparameters)
            known = crossing.mapping.source
            network = build_network(source.algorithm, kind, known)
            first_column(Policy(network, known, source.algorithm, kind, {}), crossing.mapping)

    def build(self, hyperparameters: dict[str, Any]) -> dict[str, Any]:
        """The student's own architecture, and the teacher's as the column before it."""
        teacher = self.context.teacher
        found = self.context.mapping.architecture(teacher)
        kind = {key: found[key] for key in COLUMN if key in found}
        column = {"algorithm": teacher.algorithm, "architecture": kind}
        return {**hyperparameters, "progressive": {"column": column, **self.settings.model_dump(mode="json")}}

    def initialise(self, learner: "BaseAlgorithm") -> None:
        """Copy teacher∘mapping into the first column."""
        column, report = first_column(self.context.teacher, self.context.mapping)
        for held in earlier_columns(learner.policy):
            held.load_state_dict(column.state_dict())
        self.said = report.lines()
        layers = sum(len(sizes) for layout in column.layouts for sizes in layout.stacks.values())
        self.said.append(f"the teacher's {layers} hidden layers are frozen, and the student's read them")


def first_column(teacher: Policy, mapping: "Mapping") -> tuple[Column, Report]:
    """teacher∘mapping as a column for the target's observations, and what is carried.

    Raises MappingError if the mapping does not fold into such a network, ConfigError if it has no layer to read.
    """
    source, target = mapping.source, mapping.target
    seen = Interface(space_seen(target), source.action_space, target.features, source.actions)
    network = build_network(teacher.algorithm, mapping.architecture(teacher), seen)
    report = mapping.fold(teacher, network, heads=False)
    return Column(network), report


__all__ = ["Progressive", "ProgressiveSettings", "first_column"]
