"""Tasks, interfaces and registries: the documents and look-ups that everything else is written in."""

import json
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pydantic import ValidationError

from envs import registry
from envs.errors import ConfigError, HeadstartError, MissingExtra, UnknownName
from envs.interface import Interface, space_from_json, space_to_json
from envs.registry import Registry, did_you_mean, load_attribute, missing_module
from envs.task import Change, Task

FLAT = st.one_of(
    st.builds(spaces.Discrete, st.integers(1, 9), start=st.integers(-3, 3)),
    st.builds(spaces.MultiDiscrete, st.lists(st.integers(1, 5), min_size=1, max_size=4)),
    st.builds(spaces.MultiBinary, st.integers(1, 6)),
    hnp.arrays(np.float32, hnp.array_shapes(max_dims=3, max_side=3), elements=st.floats(-9, 9, width=32)).map(
        lambda low: spaces.Box(low, low + 1, dtype=np.float32)
    ),
    st.sampled_from(
        [
            spaces.Box(-np.inf, np.inf, (3,), np.float64),
            spaces.Box(0, 255, (4, 4, 3), np.uint8),
            spaces.Box(0, np.array([10, 5, 2], np.uint8), (3,), np.uint8),
            spaces.Box(np.array([0, -np.inf], np.float32), np.inf, dtype=np.float32),
        ]
    ),
)
SPACES = FLAT | st.dictionaries(st.text("abc", min_size=1), FLAT, min_size=1, max_size=3).map(spaces.Dict)
NAMES = st.none() | st.lists(st.text(max_size=5), max_size=3).map(tuple)


@settings(deadline=None, max_examples=50)
@given(observation=SPACES, action=SPACES, features=NAMES, actions=NAMES)
def test_an_interface_goes_to_json_and_back(observation: Any, action: Any, features: Any, actions: Any) -> None:
    said = Interface(observation, action, features, actions)
    assert Interface.from_json(json.loads(json.dumps(said.to_json()))) == said


@settings(deadline=None, max_examples=50)
@given(space=SPACES)
def test_a_space_keeps_its_dtype_and_bounds(space: Any) -> None:
    back = space_from_json(json.loads(json.dumps(space_to_json(space))))
    assert back == space
    assert back.dtype == space.dtype
    assert back.shape == space.shape


@pytest.mark.parametrize(
    "document",
    [{}, {"observation_space": 3}, {"observation_space": {"space": "Torus"}, "features": None, "actions": None}],
)
def test_a_document_that_describes_no_interface_is_refused(document: Any) -> None:
    with pytest.raises(ConfigError, match="not a description of observation and action spaces"):
        Interface.from_json(document)


def test_a_space_that_cannot_be_learnt_from_is_refused() -> None:
    with pytest.raises(ConfigError, match="a space of the kind Text cannot be learnt from; expected Box"):
        space_to_json(spaces.Text(3))


@settings(deadline=None, max_examples=50)
@given(
    limit=st.none() | st.integers(1, 99),
    sticky=st.floats(0, 0.99),
    actions=st.none() | st.lists(st.integers(0, 9) | st.text(max_size=4), max_size=4).map(tuple),
    arguments=st.dictionaries(st.text("xyz", min_size=1), st.integers() | st.floats(-9, 9) | st.booleans()),
)
def test_a_task_goes_to_json_and_back(limit: Any, sticky: float, actions: Any, arguments: dict[str, Any]) -> None:
    task = Task(game="g", arguments=arguments, change=Change(time_limit=limit, sticky=sticky, actions=actions))
    assert Task.model_validate_json(task.model_dump_json()) == task


def test_a_task_says_what_it_is() -> None:
    assert str(Task(game="CartPole-v1")) == "CartPole-v1"
    task = Task(game="CartPole-v1", arguments={"length": 2.0}, change=Change(sticky=0.5))
    assert str(task) == "CartPole-v1(length=2.0, sticky=0.5)"
    assert Change().nothing
    assert not Change(sticky=0.1).nothing
    assert Change(sticky=0.0, time_limit=None).nothing


@pytest.mark.parametrize("wrong", [{"time_limit": 0}, {"sticky": 1.0}, {"sticky": -0.1}, {"stiky": 0.5}])
def test_a_change_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        Change(**wrong)


def test_did_you_mean_suggests_the_nearest_or_lists_the_few() -> None:
    assert str(did_you_mean("method", "FINETUNE", ["finetune", "kickstart"])) == (
        "unknown method 'FINETUNE': did you mean 'finetune'?"
    )
    assert str(did_you_mean("method", "zzz", ["b", "a"])) == "unknown method 'zzz': known: a, b"
    assert str(did_you_mean("method", "zzz", [])) == "unknown method 'zzz': known: none"
    many = [f"name{i:02d}" for i in range(20)]
    assert str(did_you_mean("method", "zzz", many)).startswith(
        "unknown method 'zzz': 20 are known, such as name00, name01"
    )


@settings(deadline=None, max_examples=50)
@given(name=st.text(max_size=8), known=st.lists(st.text(max_size=8)))
def test_did_you_mean_never_fails(name: str, known: list[str]) -> None:
    assert repr(name) in str(did_you_mean("game", name, known))


def test_attributes_are_loaded_by_path_or_refused_in_words() -> None:
    assert load_attribute("json:JSONDecoder.decode") is json.JSONDecoder.decode
    for target in ("json", "json:", ":loads"):
        with pytest.raises(ConfigError, match="should be written 'module:attribute', such as 'mygame:reward'"):
            load_attribute(target)
    with pytest.raises(ConfigError, match="module 'json' has no attribute 'lods'"):
        load_attribute("json:lods")
    with pytest.raises(ConfigError, match="there is no module 'nowhere'; is it installed, or in the current folder"):
        load_attribute("nowhere:f", kind="reward")


def test_a_missing_package_of_an_extra_names_the_extra() -> None:
    for module, extra in registry.EXTRA_OF_MODULE.items():
        error = missing_module("x", ModuleNotFoundError(name=f"{module}.part"), "game")
        assert isinstance(error, MissingExtra)
        assert f"pip install 'headstart[{extra}]'" in str(error)


def test_a_registry_finds_its_own_and_those_of_plug_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("theirs", "json:dumps", "some.group")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points if group == "some.group" else [])
    found = Registry("thing", {"ours": "json:loads"}, group="some.group")
    assert found.names() == ["ours", "theirs"]
    assert found.load("ours") is json.loads
    assert found.load("theirs") is json.dumps
    with pytest.raises(UnknownName, match="unknown thing 'our': did you mean 'ours'"):
        found.load("our")


def test_a_registered_name_is_never_overwritten_in_silence() -> None:
    found = Registry("thing", {"ours": "json:loads"})
    found.register("ours", "json:loads")
    found.register("more", "json:dumps")
    assert found.load("more") is json.dumps
    with pytest.raises(ConfigError, match="thing 'ours' is registered already, as 'json:loads'"):
        found.register("ours", "json:dumps")


def test_every_mistake_of_a_user_is_a_headstart_error() -> None:
    for kind in (UnknownName, MissingExtra, ConfigError):
        assert issubclass(kind, HeadstartError)


def test_a_task_is_written_as_it_is_typed() -> None:
    task = Task.customised("mygame:Lever-v0", {"fast": True, "actions": ["right", 0], "sticky": 0.1})
    assert str(task) == 'mygame:Lever-v0(fast=true, actions=["right", 0], sticky=0.1)'


def test_a_task_is_changed_over_its_own_arguments_and_changes() -> None:
    task = Task.customised("Acrobot-v1", {"time_limit": 9, "gravity": 1.0, "arguments.sticky": 2})
    changed = task.changed({"sticky": 0.5, "gravity": 2.0})
    assert changed.arguments == {"gravity": 2.0, "sticky": 2}
    assert (changed.change.time_limit, changed.change.sticky) == (9, 0.5)
    with pytest.raises(ConfigError, match=r"change\.actions: found 'left', expected a list$"):
        task.changed({"actions": "left"})
