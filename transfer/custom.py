"""A mapping that a user's function replaces whole: `mapping.function = "module:function"`.

The function is called with both interfaces and returns an object with the two methods of `Function`. It may say what
names cannot, such as what continuous force a discrete push stands for. Methods that read the teacher's outputs take it:
kickstart, distillation, shaping, advice, guiding. Methods that copy weights do not.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from agents.outputs import Observations, Outputs
from envs.errors import MappingError
from envs.interface import Interface
from envs.registry import load_callable
from transfer.mapping import Mapping
from transfer.mapping_report import Report, Side
from transfer.matching import Indices
from transfer.pairing import Pairing

if TYPE_CHECKING:
    from stable_baselines3.common.policies import BasePolicy

    from agents.policy import Policy


class Function(Protocol):
    """What a user's function returns."""

    def observations(self, observations: Observations) -> Observations:
        """The target's observations (B, …), as tensors, as the source's (B, …)."""
        ...

    def outputs(self, outputs: Outputs) -> Outputs:
        """The source's heads on B observations as heads over the target's actions."""
        ...


@dataclass(frozen=True)
class Replaced(Mapping):
    """A mapping by a user's function; make one with `Mapping.between(source, target, function="module:function")`."""

    function: Any = None
    """What the user's function returned, a `Function`."""
    name: str = ""
    """`module:function`."""

    @property
    def identity(self) -> bool:
        """A function is not taken for the identity."""
        return False

    @property
    def carries_weights(self) -> bool:
        """Weights are not carried through a function."""
        return False

    @cached_property
    def features(self) -> Indices | None:
        """Nothing that names could say."""
        return ()

    def observations(self, target: Observations, fill: Tensor | None = None) -> Observations:
        """What the function makes of the target's observations."""
        seen: Observations = self.function.observations(target)
        return seen

    def outputs(self, teacher: Outputs, *, squashed: bool = False) -> Outputs:
        """What the function makes of the source's heads. Raises MappingError if it makes no `Outputs`."""
        made = self.function.outputs(teacher)
        if not isinstance(made, Outputs):
            raise MappingError(
                f"the mapping {self.name!r} returned {type(made).__name__} for outputs: expected Outputs"
            )
        return made

    def rows(self, source: Tensor, *, shift: bool, bias: bool = True) -> Tensor:
        """Raises MappingError: a function has no rows."""
        raise self._unfolded()

    def architecture(self, teacher: "Policy") -> dict[str, Any]:
        """Raises MappingError: no student of this teacher's architecture starts as teacher∘mapping."""
        raise self._unfolded()

    def fold(self, teacher: "Policy", student: "BasePolicy", *, heads: bool = True, value_scale: float = 1.0) -> Report:
        """Raises MappingError: weights are not carried through a function."""
        raise self._unfolded()

    def report(self) -> Report:
        """That it is the function's doing."""
        seen = Side.nothing(self.source.features, self.target.features)
        acted = Side.nothing(self.source.actions, self.target.actions)
        return Report(seen, acted, {}, (f"observations and actions are mapped by {self.name}",))

    def _unfolded(self) -> MappingError:
        return MappingError(
            f"weights are not carried through the function {self.name!r}: take a method that reads the teacher's "
            "outputs, such as kickstart, or give pairs of features and actions instead"
        )


def replaced(source: Interface, target: Interface, told: Pairing) -> Replaced:
    """The mapping of `told.function`. Raises ConfigError or MappingError."""
    name = str(told.function)
    others = sorted(told.model_fields_set - {"function", "margin", "spread", "resize"})
    others = [field for field in others if getattr(told, field)]
    if others:
        raise MappingError(f"mapping.function replaces the mapping whole: leave out {', '.join(others)}")
    made = load_callable(name, kind="mapping")(source, target)
    for method in ("observations", "outputs"):
        if not callable(getattr(made, method, None)):
            raise MappingError(
                f"the mapping {name!r} returned {type(made).__name__}: expected an object with the methods "
                "observations and outputs"
            )
    return Replaced(source, target, function=made, name=name)
