"""Studies whose source, or whose further teachers, came without their runs: policy folders and zips."""

import json
import shutil
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from agents.config import RunConfig
from agents.policy import load_policy
from agents.runs import Run, list_runs
from agents.zips import write_zip
from envs.errors import CheckpointError, ConfigError, HeadstartError
from tests.transfer.teachers import run_config
from transfer.carry import carry_of, train_run
from transfer.study.check import check
from transfer.study.cluster.remote import needed, packed, train_alone, unpack
from transfer.study.execute import execute
from transfer.study.plan import Plan, PlannedRun, plan
from transfer.study.scheduling import Message
from transfer.study.spec import Study, parse_study
from transfer.study.worker import trained

STUDY = """
name = "given"
seeds = 2
[source]
policy = "nothing"
[target]
game = "headstart/CartPole-v1"
change = { time_limit = 15 }
steps = 64
set = { n_envs = 2, n_steps = 32, batch_size = 32, net_arch = [8], activation = "tanh", normalise_observations = false }
[evaluation]
every = 64
episodes = 2
[arms.scratch]
[arms.finetune]
by = ["finetune"]
"""
ZIPPED = {"game": "headstart/CartPole-v1", "change": {"time_limit": 15}}
SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "results.schema.json").read_text())


def document(policy: object, **more: Any) -> dict[str, Any]:
    """The study file, its source a policy."""
    return tomllib.loads(STUDY) | {"source": {"policy": str(policy), **more}}


def study(policy: object, **more: Any) -> Study:
    return parse_study(document(policy, **more), "given.toml")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run."""
    return train_run(run_config(), tmp_path_factory.mktemp("runs"))


@pytest.fixture
def alone(source: Run, tmp_path: Path) -> Path:
    """The run's policy, twice and far from it: as a folder and as a zip."""
    folder = tmp_path / "elsewhere"
    shutil.copytree(source.path / "policy", folder / "mine")
    write_zip(source.policy(), folder / "mine.zip")
    return folder


@dataclass
class Here:
    """A place that trains in this process."""

    root: Path
    attempts: int = 1
    workers: int = 1
    said: list[tuple[str, Message]] = field(default_factory=list)

    def fits(self, size: int) -> bool:
        return True

    def start(self, planned: PlannedRun, size: int) -> None:
        self.said.append((planned.key, trained(planned.config, self.root, lambda message: None)))

    def listen(self, seconds: float) -> list[tuple[str, Message]]:
        said, self.said = self.said, []
        return said

    def stop(self) -> None:
        pass


def keys(planned: Plan, arm: str = "finetune") -> list[str]:
    return [run.key for run in planned.of(arm)]


def run_it(planned: Plan, folder: Path) -> dict[str, Any]:
    """Train what a plan lacks in this process, as a study does; results.json."""
    (folder / "given.toml").write_text(STUDY)
    results = execute(planned, folder / "given.toml", results=folder, place=Here(planned.root))
    found: dict[str, Any] = json.loads((results / "results.json").read_text())
    return found


@pytest.mark.parametrize(("name", "said"), [("mine", {}), ("mine.zip", ZIPPED)])
def test_the_keys_hold_the_weights_and_not_their_place(alone: Path, tmp_path: Path, name: str, said: Any) -> None:
    planned = plan(study(alone / name, **said), tmp_path / "runs")
    carried = {carry_of(run.config).source for run in planned.of("finetune")}
    assert len(carried) == 1
    assert carried.pop().startswith("policy-")
    assert planned.of("source") == []
    assert all(run.after is None for run in planned.runs)
    assert any("this checkpoint only" in line for line in planned.warnings)
    assert any("what it cost is not known: nothing is charged" in line for line in planned.warnings)
    assert check(planned) > 0
    assert not (tmp_path / "runs").exists(), "a plan writes nothing"

    shutil.move(alone / name, tmp_path / f"moved-{name}")
    moved = plan(study(tmp_path / f"moved-{name}", **said), tmp_path / "runs")
    assert keys(moved) == keys(planned)
    policy = load_policy(tmp_path / f"moved-{name}", task=moved.source_config.task)
    next(policy.network.parameters()).data.add_(1.0)
    if name == "mine":
        policy.save(alone / name)
    else:
        write_zip(policy, alone / name)
    changed = plan(study(alone / name, **said), tmp_path / "runs")
    assert not set(keys(changed)) & set(keys(planned))
    assert keys(changed, "scratch") == keys(planned, "scratch")


def test_a_study_that_was_killed_goes_on_without_the_file(alone: Path, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    planned = plan(study(alone / "mine.zip", **ZIPPED), root)
    found = run_it(planned, tmp_path)
    jsonschema.validate(found, SCHEMA)
    assert found["source"]["steps"] == found["arms"]["finetune"]["source_steps"] == 0
    assert found["arms"]["finetune"]["charged"]["total_reward"]["note"] == "the source's steps are not known"
    assert found["arms"]["finetune"]["break_even"]["note"] == "the source's steps are not known"
    assert any("without its run; what it cost is not known" in line for line in found["notes"])
    report = (tmp_path / "given" / "report.md").read_text()
    assert f"policy {alone / 'mine.zip'} → headstart/CartPole-v1" in report
    assert "steps not known; one checkpoint for all seeds" in report

    (lost, other) = (planned.run(run) for run in planned.of("finetune"))
    (lost.path / "DONE").unlink()
    finished = (other.path / "DONE").stat().st_mtime_ns
    (alone / "mine.zip").unlink()
    key = carry_of(planned.of("finetune")[0].config).source
    with pytest.raises(CheckpointError, match=rf"source.policy: found no policy at .*mine.zip.*; kept under .*: {key}"):
        plan(study(alone / "mine.zip", **ZIPPED), root)
    again = plan(study(key), root)
    assert keys(again) == keys(planned)
    assert run_it(again, tmp_path)["arms"]["finetune"]["n_seeds"] == 2
    assert lost.done
    assert (other.path / "DONE").stat().st_mtime_ns == finished


def test_what_a_policy_cost_is_charged_as_it_is_stated(alone: Path, tmp_path: Path) -> None:
    stated = document(alone / "mine", steps=32)
    with pytest.raises(ConfigError, match=r"arms.scratch\+source: what the source's policy cost is not known; state"):
        plan(parse_study(document(alone / "mine") | {"controls": {"source_budget": True}}, "given.toml"), tmp_path)
    planned = plan(parse_study(stated | {"controls": {"source_budget": True}}, "given.toml"), tmp_path / "runs")
    assert [run.config.steps for run in planned.of("scratch+source")] == [96, 96]
    assert keys(planned) == keys(plan(study(alone / "mine"), tmp_path / "runs")), "a claim is no part of a key"
    assert any("is as the file states it: 32 steps" in line for line in planned.warnings)
    found = run_it(plan(parse_study(stated, "given.toml"), tmp_path / "runs"), tmp_path)
    assert found["source"]["steps"] == found["arms"]["finetune"]["source_steps"] == 32
    assert found["arms"]["finetune"]["charged"]["total_reward"]["value"] is not None
    assert any("its 32 steps are as the study file states them" in line for line in found["notes"])


def test_another_machine_gets_the_policy_with_the_run(alone: Path, tmp_path: Path) -> None:
    """Without shared storage the kept policies go as archives; the run comes home as it is trained here."""
    (alone / "mine.zip").unlink()
    told = document(alone / "mine")
    root = tmp_path / "runs"
    policy = load_policy(alone / "mine")
    next(policy.network.parameters()).data.add_(0.5)
    policy.save(alone / "other")
    told["arms"]["several"] = {
        "by": [{"method": "distill", "transitions": 32, "epochs": 1, "n_envs": 4}],
        "further": [str(alone / "other")],
    }
    planned = plan(parse_study(told, "given.toml"), root)
    assert check(planned) > 0
    assert any("arms.several has 1 further teacher" in line and "1 of them" in line for line in planned.warnings)
    run = planned.of("several")[0]
    with pytest.raises(ConfigError, match=r"policy-[0-9a-f]{16} is needed and is not there"):
        needed(run.config, root)
    planned.given.keep(root)
    shutil.rmtree(alone)
    archives = [(folder.key, packed(folder)) for folder in needed(run.config, root)]
    assert len(archives) == 2
    message, content = train_alone(run.config.model_dump_json(), run.key, archives)
    assert message.kind == "done", message.line
    unpack(content, planned.run(run))
    config = RunConfig.model_validate_json(run.config.model_dump_json())
    there = (planned.run(run).path / "policy" / "policy.safetensors").read_bytes()
    shutil.rmtree(planned.run(run).path)
    assert (train_run(config, root).path / "policy" / "policy.safetensors").read_bytes() == there
    assert len(list_runs(root)) == 1


def test_what_is_no_policy_is_refused_in_one_line(source: Run, alone: Path, tmp_path: Path) -> None:
    root = source.path.parent
    (alone / "empty").mkdir()
    (alone / "text.zip").write_text("no zip")
    twice = document(alone / "mine")
    twice["arms"]["finetune"]["further"] = [str(alone / "mine"), str(alone / "mine")]
    zipped = document(alone / "mine")
    zipped["arms"]["finetune"]["further"] = [str(alone / "mine.zip")]
    itself = document(alone / "mine")
    itself["arms"]["finetune"]["further"] = [str(alone / "mine")]
    acrobat = document(alone / "mine")
    acrobat["target"] = {"game": "Pendulum-v1", "steps": 64}
    run = {"source": {"run": str(alone / "mine")}}
    cases: list[tuple[dict[str, Any], str]] = [
        (
            document(alone / "nothing"),
            "source.policy: found no policy at .*nothing, expected a policy folder, a Stable",
        ),
        (document(alone / "empty"), "source.policy: found no policy at .*empty, expected"),
        (document(source.key), "source.policy: found no policy at .*, expected"),
        (document(source.path / "policy"), f'source.policy: .* is the policy of run {source.key}: expected run = "'),
        (document(source.path / "snapshots" / "0"), "at step 0, one of its checkpoints: expected run = "),
        (
            document(alone / "mine.zip"),
            "source.policy: .*mine.zip: a zip does not say .*; name its game with source.game",
        ),
        (document(alone / "mine.zip", game="Acrobot-v1"), r"source.policy: .*\(ppo, as Acrobot-v1\) does not fit"),
        (document(alone / "mine.zip", game="CartPole-v2"), "source.policy: .*CartPole-v2"),
        (
            document(alone / "mine", game="Acrobot-v1"),
            "source.policy: .* says itself that it played .*: leave source.game",
        ),
        (document(alone / "text.zip", **ZIPPED), "source.policy: .*text.zip"),
        (acrobat, "arms.finetune: from headstart/CartPole.* to Pendulum-v1: "),
        (document(alone / "mine") | run, 'source.run: .* is a policy without its run; .*instead of it policy = "'),
        (twice, "arms.finetune: further: a teacher is named twice"),
        (zipped, "arms.finetune: further: .*mine.zip: a zip does not say"),
        (itself, "arms.finetune: further: policy-.* is the source of seed 0 already"),
        (document(alone / "mine", seeds="shared"), "source: found policy together with seeds; expected policy alone"),
        (document(alone / "mine", run="abc"), "source: found run together with policy; expected run alone"),
        (document(alone / "mine", change={"time_limit": 3}), "source: .*said of a game; expected game beside them"),
    ]
    before = sorted(root.iterdir())
    for told, words in cases:
        with pytest.raises(HeadstartError, match=words) as error:
            check(plan(parse_study(told, "given.toml"), root))
        assert "\n" not in str(error.value)
    assert sorted(root.iterdir()) == before
