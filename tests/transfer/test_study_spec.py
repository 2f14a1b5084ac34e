"""Study files: what is understood, and what is said of those that are not."""

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest

from envs.errors import ConfigError
from transfer.study.spec import METRICS, load_study, parse_study

GOOD = """
name = "small"
seeds = 3
[source]
game = "headstart/CartPole-v1"
steps = 100
[target]
game = "headstart/CartPoleLong-v1"
steps = 300
change = { time_limit = 200 }
set = { learning_rate = 1e-3 }
[evaluation]
every = 75
[mapping]
features = { angle = "position" }
[arms.scratch]
[arms.finetune]
by = ["finetune"]
[arms.both]
by = ["finetune", { method = "kickstart", coefficient = 0.5 }]
"""
STUDIES = Path(__file__).parents[2] / "studies"


def good() -> dict[str, Any]:
    return tomllib.loads(GOOD)


def changed(key: str, value: Any) -> dict[str, Any]:
    """The good study with one key changed; None removes it."""
    document = copy.deepcopy(good())
    *above, last = key.split(".")
    table = document
    for part in above:
        table = table.setdefault(part, {})
    if value is None:
        del table[last]
    else:
        table[last] = value
    return document


def test_a_good_file_is_understood() -> None:
    study = parse_study(good(), "small.toml")
    assert study.seeds == (0, 1, 2)
    assert study.primary == "total_reward"
    assert study.target.task.change.time_limit == 200
    assert study.target.set == {"learning_rate": 1e-3}
    assert study.source.task.game == "headstart/CartPole-v1"
    assert not study.source.shared
    assert study.arms["scratch"].methods == ()
    assert study.arms["both"].methods == ("finetune", "kickstart")
    assert study.arms["both"].by[1]["coefficient"] == 0.5
    assert study.evaluation.grid(300) == [0, 75, 150, 225, 300]


def test_seeds_can_be_named() -> None:
    assert parse_study(changed("seeds", [4, 2]), "f").seeds == (4, 2)


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_can_be_the_primary_one(metric: str) -> None:
    document = changed("primary", metric) | {"thresholds": [475]}
    assert parse_study(document, "f").primary == metric


def test_a_study_goes_to_json_and_back() -> None:
    study = parse_study(good(), "f")
    assert type(study).model_validate_json(study.model_dump_json(), strict=True) == study


@pytest.mark.parametrize("file", sorted(STUDIES.glob("*.toml")), ids=lambda file: file.stem)
def test_the_studies_of_the_repository_are_understood(file: Path) -> None:
    assert load_study(file).name == file.stem


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("seeds", "5", "seeds: found '5', expected how many"),
        ("seeds", 0, "seeds: found 0, expected how many"),
        ("seeds", True, "seeds: found True, expected how many"),
        ("seeds", [1, 1], "seeds: found [1, 1], expected each seed once"),
        ("seeds", [], "seeds: found [], expected how many"),
        ("seeds", [-1], "seeds.0: found -1, expected at least 0"),
        ("name", None, "the key 'name' is missing"),
        ("name", "../x", "name: found '../x', expected letters, digits"),
        ("primary", "jumpstrat", "primary: unknown metric 'jumpstrat': did you mean 'jumpstart'?"),
        ("primary", "time_to_threshold", "expected thresholds"),
        ("thresholds", ["high"], "thresholds.0: found 'high', expected a valid number"),
        ("sorce", {}, "unknown key 'sorce': did you mean 'source'?"),
        ("target", None, "the key 'target' is missing"),
        ("target.game", None, "the key 'target.game' is missing"),
        ("target.game", 5, "target.game: found 5, expected a valid string"),
        ("target.steps", 0, "target.steps: found 0, expected at least 1"),
        ("target.steps", "many", "target.steps: found 'many', expected a valid integer"),
        ("target.steps", 1.5, "target.steps: found 1.5, expected a valid integer"),
        ("target.stepz", 5, "target: unknown key 'stepz': did you mean 'steps'"),
        ("target.change", {"time_limt": 3}, "target.change: unknown key 'time_limt': did you mean 'time_limit'?"),
        ("target.change", {"time_limit": 0}, "target.change.time_limit: found 0, expected at least 1"),
        ("target.change", {"sticky": 1.0}, "target.change.sticky: found 1.0, expected less than 1"),
        ("target.set", 3, "target.set: found 3, expected a table"),
        ("source.steps", 0, "source.steps: found 0, expected at least 1"),
        ("source.steps", None, "source: steps missing; expected game and steps"),
        ("source.run", "abc", "source: found run together with game, steps; expected run alone"),
        ("source.seeds", "pared", "source.seeds: found 'pared', expected 'paired', 'shared' or { nested = n }"),
        ("evaluation.evry", 5, "evaluation: unknown key 'evry': did you mean 'every'?"),
        ("evaluation.episodes", 0, "evaluation.episodes: found 0, expected at least 1"),
        ("evaluation.mode", "best", "evaluation.mode: found 'best', expected 'sampled' or 'greedy'"),
        ("mapping.features", ["x"], "mapping.features: found ['x'], expected a table"),
        ("arms.scratch", None, "found finetune, both, expected one arm without methods called 'scratch'"),
        ("arms.scratch.by", ["finetune"], "scratch has methods; expected none"),
        ("arms.empty", {}, "empty has no methods, expected some"),
        ("arms.source", {"by": ["shape"]}, "'source' is what source runs are called"),
        ("arms.finetune.by", "finetune", "arms.finetune.by: found 'finetune', expected a list of methods"),
        ("arms.finetune.by", [3], 'arms.finetune.by: found 3, expected "name" or { method = "name", ... }'),
        ("arms.finetune.bye", [], "arms.finetune: unknown key 'bye': did you mean 'by'?"),
        ("arms.a b", {"by": ["shape"]}, "expected letters, digits"),
    ],
)
def test_a_mistake_is_named_in_one_line(key: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_study(changed(key, value), "small.toml")
    text = str(caught.value)
    assert text.startswith("small.toml: ")
    assert words in text
    assert "\n" not in text


def test_a_file_that_is_not_toml_says_where(tmp_path: Path) -> None:
    file = tmp_path / "broken.toml"
    file.write_text('name = "x"\nseeds = = 3\n')
    with pytest.raises(ConfigError, match=r"broken\.toml: not TOML: .*line 2"):
        load_study(file)


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "binary.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.toml: not TOML"):
        load_study(file)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no study file '.*none\.toml'"):
        load_study(tmp_path / "none.toml")
