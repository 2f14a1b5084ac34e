"""A study with a dial: what it expands to, what is shared, and what is refused before anything is trained."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from envs.errors import ConfigError, HeadstartError
from transfer.study.check import check
from transfer.study.plan import plan
from transfer.study.spec import SCRATCH, SOURCE, Study, parse_study

STUDY = """
name = "turned"
seeds = 2
[source]
game = "headstart/CartPole-v1"
steps = 1000
[target]
game = "headstart/CartPole-v1"
steps = 3000
[dial]
argument = "length"
values = [0.5, 1.0, 2.0]
[arms.scratch]
[arms.finetune]
by = ["finetune"]
"""


def study(**changes: Any) -> Study:
    """The study with top-level tables replaced; None removes one."""
    document = tomllib.loads(STUDY) | changes
    return parse_study({key: value for key, value in document.items() if value is not None}, "turned.toml")


def test_a_dial_expands_to_all_arms_at_all_values_on_the_same_sources(tmp_path: Path) -> None:
    planned = plan(study(), tmp_path)
    assert [(run.arm, run.at, run.seed) for run in planned.runs] == [
        ("source", None, 0),
        ("source", None, 1),
        *(
            (arm, f"length={value}", seed)
            for value in (0.5, 1.0, 2.0)
            for arm in ("scratch", "finetune")
            for seed in (0, 1)
        ),
    ]
    sources = [run.key for run in planned.of(SOURCE)]
    assert [run.after for run in planned.of("finetune")] == sources * 3
    assert [run.config.task.arguments for run in planned.of(SCRATCH)][::2] == [
        {"length": 0.5},
        {"length": 1.0},
        {"length": 2.0},
    ]
    assert len(planned.distinct) == 2 + 3 * 2 * 2
    assert str(planned.of("finetune")[0]) == "finetune length=0.5 seed 0"
    assert check(planned) > 0


def test_runs_are_those_of_a_study_for_one_value(tmp_path: Path) -> None:
    """A dial adds nothing to a run's key: what was trained for one value is found by the other."""
    target = {"game": "headstart/CartPole-v1", "steps": 3000, "arguments": {"length": 1.0}}
    alone = plan(study(dial=None, target=target, name="alone"), tmp_path)
    turned = plan(study(), tmp_path)
    assert {run.key for run in alone.runs} < {run.key for run in turned.runs}
    assert plan(study(name="elsewhere"), tmp_path).distinct.keys() == turned.distinct.keys()


def test_a_change_can_be_the_dial_and_whole_numbers_stay_whole(tmp_path: Path) -> None:
    sticky = plan(study(dial={"argument": "change.sticky", "values": [0.0, 0.25]}), tmp_path)
    assert [run.config.task.change.sticky for run in sticky.of(SCRATCH)] == [0.0, 0.0, 0.25, 0.25]
    limits = plan(study(dial={"argument": "change.time_limit", "values": [100, 200]}), tmp_path)
    assert [run.config.task.change.time_limit for run in limits.of(SCRATCH)][::2] == [100, 200]
    game = {"game": "headstart/Empty-5x5-v0", "steps": 100}
    sizes = plan(study(source=game, target=game, dial={"argument": "size", "values": [5, 6]}), tmp_path)
    assert [type(run.config.task.arguments["size"]) for run in sizes.of(SCRATCH)] == [int] * 4


def test_a_study_with_a_dial_goes_to_json_and_back() -> None:
    assert parse_study(study().model_dump(mode="json"), "again") == study()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dial": {"argument": "length", "values": [1.0]}}, "dial.values: .*at least 2"),
        ({"dial": {"argument": "length", "values": [1.0, 2.0, 1]}}, "dial.values: .*expected each value once"),
        ({"dial": {"argument": "length", "values": [1.0, "long"]}}, "dial.values"),
        ({"dial": {"argument": "length", "values": [1.0, True]}}, "dial.values"),
        ({"dial": {"argument": "length"}}, "'dial.values' is missing"),
        ({"dial": {"argument": "length", "value": [1, 2]}}, "dial: .*'value'.*values"),
        ({"dial": {"argument": "change.stickty", "values": [0, 0.5]}}, "dial.argument: .*did you mean 'sticky'"),
        ({"dial": {"argument": "physics.length", "values": [0, 0.5]}}, "dial.argument: found 'physics.length'"),
        ({"dial": {"argument": "change.sticky", "values": [0, 1.5]}}, "dial sticky=1.5: sticky: found 1.5"),
        ({"dial": {"argument": "lenght", "values": [1, 2]}}, "dial lenght=1: target: .*lenght"),
        (
            {"target": {"game": "headstart/CartPole-v1", "steps": 9, "arguments": {"length": 1.0}}},
            "dial.argument: the target sets 'length' already",
        ),
        (
            {"arms": {"scratch": {}, "f": {"by": [{"method": "finetune", "layers": ["nosuch"]}]}}},
            r"dial length=0.5: arms.f: .*nosuch",
        ),
    ],
)
def test_a_bad_dial_is_refused_before_anything_is_trained(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(HeadstartError, match=words) as caught:
        check(plan(study(**changes), tmp_path))
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_study_without_a_dial_has_none_to_set() -> None:
    with pytest.raises(ConfigError, match="has no dial to set"):
        study(dial=None).at(1.0)
