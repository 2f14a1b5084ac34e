"""A mapping that a function replaces whole, and what methods may do with it."""

import numpy as np
import pytest
import torch
from gymnasium import spaces

from agents.outputs import Outputs
from envs.errors import ConfigError, MappingError
from envs.interface import Interface
from tests.transfer.teachers import make_teacher, run_config, unnamed, vector
from transfer.carry import Carry
from transfer.mapping import Mapping

HERE = f"{__name__}:"
PUSH = Interface(spaces.Box(-1, 1, (1,), np.float32), spaces.Box(-2, 2, (1,), np.float32), ("where",), ("push",))


class Pushes:
    """Discrete left and right as a continuous push."""

    def observations(self, observations):
        return torch.cat([observations, 2 * observations], dim=1)

    def outputs(self, outputs):
        chances = outputs.log_probabilities().exp()
        mean = chances @ torch.tensor([[-2.0], [2.0]])
        return Outputs("gaussian", mean, log_std=torch.zeros_like(mean), value=outputs.value)


def pushes(source, target):
    assert source.actions == ("left", "right")
    assert target.actions == ("push",)
    return Pushes()


def nothing(source, target):
    return None


def test_discrete_actions_become_continuous_by_a_function_only():
    source = vector("x", "v")
    teacher = make_teacher("ppo", source, {"net_arch": [4]})
    with pytest.raises(MappingError, match=r"the actions do not map: .*by a mapping\.function only"):
        Mapping.between(source, PUSH, features={"where": "x"})
    mapping = Mapping.between(source, PUSH, function=f"{HERE}pushes")
    seen = torch.randn(5, 1, generator=torch.Generator().manual_seed(0))
    found = mapping.teacher(teacher)(seen)
    chances = teacher.outputs(torch.cat([seen, 2 * seen], dim=1)).log_probabilities().exp()
    torch.testing.assert_close(found.head, 2 * (chances[:, 1:] - chances[:, :1]))
    assert not mapping.identity
    assert mapping.matched == (0,)
    assert mapping.report().lines()[-1] == f"observations and actions are mapped by {HERE}pushes"


def test_weights_are_not_carried_through_a_function():
    mapping = Mapping.between(vector("x", "v"), PUSH, function=f"{HERE}pushes")
    teacher = make_teacher("ppo", vector("x", "v"), {"net_arch": [4]})
    assert not mapping.carries_weights
    with pytest.raises(MappingError, match="weights are not carried through the function"):
        mapping.architecture(teacher)


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        ({"function": f"{HERE}nothing"}, MappingError, "returned NoneType: expected an object with the methods"),
        ({"function": f"{HERE}nowhere"}, ConfigError, "nowhere"),
        ({"function": f"{HERE}pushes", "actions": {"push": "left"}}, MappingError, "whole: leave out actions"),
    ],
)
def test_a_function_that_cannot_serve_is_refused(said, error, words):
    with pytest.raises(error, match=words) as caught:
        Mapping.between(vector("x"), unnamed(PUSH.observation_space), **said)
    assert "\n" not in str(caught.value)


def test_the_functions_source_is_part_of_the_runs_key():
    carry = Carry(source=run_config().key(), by=["kickstart"], mapping={"function": f"{HERE}pushes"})
    assert list(carry.sources) == [f"{HERE}pushes"]
    assert Carry(source=run_config().key(), by=["kickstart"]).sources == {}
