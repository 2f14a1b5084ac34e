"""Arms of a study that learn from more than the source: named, refused, and trained."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from agents import files
from agents.runs import Run
from envs.errors import CheckpointError, ConfigError, HeadstartError
from tests.transfer.teachers import SHORT, run_config
from transfer.carry import carry_of, train_run
from transfer.study.check import check
from transfer.study.execute import execute
from transfer.study.places import place_of
from transfer.study.plan import plan
from transfer.study.spec import Study, parse_study

STUDY = """
name = "several"
seeds = 2
[source]
game = "headstart/CartPole-v1"
steps = 64
set = { n_envs = 2, n_steps = 32, batch_size = 32, net_arch = [8] }
[source.evaluation]
every = 64
episodes = 2
[target]
game = "headstart/CartPole-v1"
change = { time_limit = 15 }
steps = 128
set = { n_envs = 2, n_steps = 32, batch_size = 32, net_arch = [8] }
[evaluation]
every = 64
episodes = 2
[arms.scratch]
[arms.one]
by = [{ method = "distill", transitions = 64, epochs = 1, n_envs = 4 }]
[arms.several]
by = [{ method = "distill", transitions = 64, epochs = 1, n_envs = 4 }]
further = [FURTHER]
"""


def study(*further: str, method: str = "distill") -> Study:
    document: dict[str, Any] = tomllib.loads(STUDY.replace("[FURTHER]", str(list(further))))
    if method != "distill":
        document["arms"]["several"]["by"] = [method]
    return parse_study(document, "several.toml")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run]:
    """Where runs live, and one that is there."""
    root = tmp_path_factory.mktemp("runs")
    return root, train_run(run_config(SHORT, algorithm="dqn", seed=7), root)


def test_an_arm_names_further_teachers_and_the_others_keep_their_keys(trained: tuple[Path, Run]) -> None:
    root, run = trained
    planned, without = plan(study(run.key[:8]), root), plan(study(), root)
    for each in planned.of("several"):
        carry = carry_of(each.config)
        assert [teacher.source for teacher in carry.further] == [run.key]
        assert carry.source == each.after
    assert [each.key for each in planned.of("one")] == [each.key for each in without.of("one")]
    assert [each.key for each in without.of("several")] == [each.key for each in without.of("one")]
    assert [each.key for each in planned.of("several")] != [each.key for each in planned.of("one")]
    assert any("arms.several has 1 further teacher" in line and "128 steps" in line for line in planned.warnings)
    assert not any("further" in line for line in without.warnings)
    assert check(planned) > 0


def test_a_study_trains_from_several(trained: tuple[Path, Run], tmp_path: Path) -> None:
    root, run = trained
    (tmp_path / "several.toml").write_text(STUDY.replace("[FURTHER]", str([run.key])))
    planned = plan(study(run.key), root)
    execute(planned, tmp_path / "several.toml", results=tmp_path, place=place_of(None, root, 1))
    assert not plan(study(run.key), root).unfinished
    assert run.done


def test_what_cannot_teach_beside_the_source_is_refused_in_one_line(trained: tuple[Path, Run], tmp_path: Path) -> None:
    root, run = trained
    folder = root / "0123456789abcdef"
    folder.mkdir(exist_ok=True)
    files.write_text(folder / "config.json", run.config.model_copy(update={"seed": 99}).model_dump_json())
    cases: list[tuple[Any, type[HeadstartError], str]] = [
        (lambda: plan(study(folder.name), root), CheckpointError, "arms.several: further: .* expected a finished run"),
        (lambda: plan(study(run.key, run.key), root), ConfigError, "arms.several: further: a teacher is named twice"),
        (lambda: plan(study("nothing"), root), HeadstartError, "arms.several: .*nothing"),
        (lambda: check(plan(study(run.key, method="finetune"), root)), ConfigError, "arms.several: 2 teachers for"),
    ]
    for act, kind, words in cases:
        with pytest.raises(kind, match=words) as error:
            act()
        assert "\n" not in str(error.value)
    with pytest.raises(ConfigError, match="scratch has further teachers"):
        parse_study(tomllib.loads(BASE_SCRATCH), "several.toml")


BASE_SCRATCH = STUDY.replace("further = [FURTHER]", "").replace("[arms.scratch]", '[arms.scratch]\nfurther = ["a"]')
