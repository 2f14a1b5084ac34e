"""Where what is carried comes from: runs by any name, and policies that came without their run."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from agents.policy import load_policy
from agents.runs import Run, find_policy, list_runs
from agents.zips import write_zip
from envs.errors import CheckpointError, ConfigError, HeadstartError
from envs.task import Task
from tests.transfer.teachers import CARTPOLE, SHORT, run_config
from transfer.carry import train_run
from transfer.cli.app import run
from transfer.method import Origin
from transfer.sources import find_source

Home = tuple[Path, Run]
ACROBOT = Task(game="Acrobot-v1")
TRAIN = ["--steps", "64", "--every", "64", "--episodes", "2", "--change", "time_limit=15"]
SMALL = ["--set", "n_envs=2", "--set", "n_steps=16", "--set", "batch_size=16", "--set", "n_epochs=1"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A folder of runs with one finished run."""
    root = tmp_path_factory.mktemp("runs")
    return root, train_run(run_config(), root)


@pytest.fixture(scope="module")
def alone(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's policy, twice and far from it: as a folder and as a zip."""
    folder = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(home[1].path / "policy", folder / "mine")
    write_zip(home[1].policy(), folder / "mine.zip")
    return folder


def weights(policy: Any) -> dict[str, torch.Tensor]:
    return dict(policy.network.state_dict())


def same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], value) for name, value in theirs.items())


def test_a_policy_folder_of_a_run_is_that_run(home: Home) -> None:
    root, source = home
    last, early = find_source(source.path / "policy", root), find_source(source.path / "snapshots" / "0", root)
    assert (last.key, last.step, last.steps) == (source.key, None, source.config.steps)
    assert (early.key, early.step, early.steps) == (source.key, 0, 0)
    assert early.config == source.config
    assert same(weights(early.policy), weights(source.policy(0)))
    assert str(early) == f"run {source.key} at step 0"


def test_a_snapshot_of_an_unfinished_run_is_a_policy_of_its_own(home: Home, tmp_path: Path) -> None:
    shutil.copytree(home[1].path, tmp_path / home[1].key)
    (tmp_path / home[1].key / "DONE").unlink()
    found = find_source(tmp_path / home[1].key / "snapshots" / "0", tmp_path)
    assert found.key == f"policy-{found.policy.digest()}"
    assert found.steps is None


def test_the_key_of_a_policy_is_of_its_weights_and_not_of_its_place(home: Home, alone: Path, tmp_path: Path) -> None:
    root, _ = home
    shutil.copytree(alone / "mine", tmp_path / "again")
    first, again = find_source(alone / "mine", root), find_source(tmp_path / "again", root)
    assert first.key == again.key
    assert isinstance(first.config, Origin)
    assert (first.config.task, first.config.algorithm) == (SHORT, "ppo")
    policy = load_policy(alone / "mine")
    next(policy.network.parameters()).data.add_(1.0)
    policy.save(tmp_path / "again")
    assert find_source(tmp_path / "again", root).key != first.key
    shutil.copy(alone / "mine.zip", tmp_path / "renamed.zip")
    zips = [find_source(zipped, root, task=SHORT).key for zipped in (alone / "mine.zip", tmp_path / "renamed.zip")]
    assert len({*zips, first.key}) == 2
    assert find_source(alone / "mine.zip", root, task=CARTPOLE).key not in zips


@pytest.mark.parametrize("method", ["finetune", "kickstart", "shape", "progressive"])
@pytest.mark.parametrize("name", ["mine", "mine.zip"])
def test_a_policy_is_carried_from_wherever_it_came(
    alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str, name: str
) -> None:
    played = ["--game", CARTPOLE.game, "--source-change", "time_limit=15"] if name == "mine.zip" else []
    given = shutil.copytree(alone, tmp_path / "given") / name
    command = [*TRAIN, *SMALL, "--by", method, "--runs", str(tmp_path / "runs"), "--json"]
    assert run(["transfer", str(given), CARTPOLE.game, *played, *command]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["source"].startswith("policy-")
    assert told["source_steps"] is None
    student = Run(Path(told["runs"][0]["path"]))
    assert student.config.transfer is not None
    assert student.config.transfer["source"] == told["source"]
    kept = weights(load_policy(tmp_path / "runs" / told["source"]))
    assert same(kept, weights(load_policy(alone / name, task=SHORT)))
    if method == "finetune":
        assert same(weights(student.policy(0)), kept)
    shutil.rmtree(given.parent)
    assert run(["transfer", told["source"], CARTPOLE.game, *command, "--seeds", "1,2"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["source"] == told["source"]
    assert len(list_runs(tmp_path / "runs")) == 3


def test_policies_without_their_runs_teach_a_student(
    home: Home, alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(home[1].path, tmp_path / home[1].key)
    early = str(tmp_path / home[1].key / "snapshots" / "0")
    teachers = [home[1].key, early, str(alone / "mine"), str(alone / "mine.zip")]
    student = ["--into", "net_arch=[2]", "--game", CARTPOLE.game, "--change", "time_limit=15", "--steps", "64"]
    assert run(["distill", *teachers, *student, "--episodes", "2", "--runs", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [teacher["key"] for teacher in document["teachers"][:2]] == [home[1].key] * 2
    assert [teacher["steps"] for teacher in document["teachers"][2:]] == [None, None]
    taught = Run(Path(document["student"]["path"])).config.transfer
    assert taught is not None
    assert [each["source"] for each in taught["further"]] == [teacher["key"] for teacher in document["teachers"][1:]]
    assert run(["distill", teachers[2], *student, "--episodes", "2", "--runs", str(tmp_path)]) == 0
    assert ": ppo, 107 parameters, mean return unknown\n" in capsys.readouterr().out


def test_what_a_policy_cost_is_said_to_be_unknown(
    alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["transfer", str(alone / "mine"), CARTPOLE.game, *TRAIN, *SMALL, "--runs", str(tmp_path)]
    assert run(command) == 0
    line = capsys.readouterr().out.splitlines()[0]
    key = find_source(alone / "mine", tmp_path).key
    assert line.startswith(f"from headstart/CartPole-v1(time_limit=15) ({key}, steps and cost unknown) to ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ZIP"], "name its game with --game"),
        (["ZIP", "--game", "Acrobot-v1"], "(ppo, as Acrobot-v1) does not fit"),
        (["ZIP", "--game", CARTPOLE.game, "--step", "0"], "a step can be asked of a run only"),
        (["FOLDER", "--step", "0"], "a step can be asked of a run only"),
        (["FOLDER", "--game", "Acrobot-v1"], "says itself that it played headstart/CartPole-v1(time_limit=15)"),
        (["FOLDER", "--algo", "dqn"], "finetune carries weights between algorithms with one kind of network"),
        (["policy-0123456789abcdef"], "unknown run 'policy-0123456789abcdef'"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(
    home: Home, alone: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    root, _ = home
    before = sorted(root.iterdir())
    places = {"ZIP": str(alone / "mine.zip"), "FOLDER": str(alone / "mine")}
    first, *rest = (places.get(argument, argument) for argument in arguments)
    assert run(["transfer", first, CARTPOLE.game, *rest, "--runs", str(root)]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert sorted(root.iterdir()) == before


def test_an_optimiser_is_carried_only_if_it_is_there(
    alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [CARTPOLE.game, *TRAIN, *SMALL, "--option", "finetune.optimiser=true", "--runs", str(tmp_path)]
    assert run(["transfer", str(alone / "mine"), *command]) == 0
    capsys.readouterr()
    assert run(["transfer", str(alone / "mine.zip"), *command, "--game", CARTPOLE.game]) == 2
    assert "no optimiser.safetensors beside it" in capsys.readouterr().err


def test_a_policy_that_does_not_know_its_game_is_told(home: Home, tmp_path: Path) -> None:
    policy = home[1].policy()
    policy.task = None
    policy.save(tmp_path / "nameless")
    with pytest.raises(ConfigError, match="not known; name it with --game"):
        find_source(tmp_path / "nameless", tmp_path)
    with pytest.raises(ConfigError, match="does not play Acrobot-v1"):
        find_source(tmp_path / "nameless", tmp_path, task=ACROBOT)
    found = find_source(tmp_path / "nameless", tmp_path, task=SHORT)
    found.keep(tmp_path)
    assert find_source(found.key, tmp_path).config.task == SHORT
    assert find_policy(found.key, tmp_path).digest() == found.policy.digest(), "to be evaluated and watched, too"


def test_a_kept_policy_that_was_changed_is_refused(home: Home, alone: Path, tmp_path: Path) -> None:
    found = find_source(alone / "mine", tmp_path)
    found.keep(tmp_path)
    changed = home[1].policy(0)
    changed.save(tmp_path / found.key)
    with pytest.raises(CheckpointError, match=r"is not what it was when it was kept: .* keeps it anew"):
        find_source(found.key, tmp_path)
    found.keep(tmp_path)
    assert find_source(found.key, tmp_path).key == found.key
    (tmp_path / found.key / "policy.safetensors").write_text("torn")
    found.keep(tmp_path)
    assert find_source(found.key, tmp_path).key == found.key


def test_a_run_that_is_not_there_is_refused_as_ever(home: Home, tmp_path: Path) -> None:
    root, source = home
    with pytest.raises(HeadstartError, match="holds no runs"):
        find_source(source.key, tmp_path)
    with pytest.raises(CheckpointError, match=r"is not under .* where runs live: give --runs"):
        find_source(source.path, tmp_path)
    assert find_source(source.key[:6], root).key == source.key


def test_kept_policies_are_listed_apart_and_removed(
    home: Home, alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str) -> dict[str, Any]:
        capsys.readouterr()
        assert run([*arguments, "--runs", str(tmp_path), "--json"]) == 0
        document: dict[str, Any] = json.loads(capsys.readouterr().out)
        return document

    def refused(*arguments: str) -> str:
        capsys.readouterr()
        assert run([*arguments, "--runs", str(tmp_path)]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        return line

    command = ["transfer", str(alone / "mine"), CARTPOLE.game, *TRAIN, *SMALL, "--seeds", "2"]
    told = said(*command)
    other = find_source(alone / "mine.zip", tmp_path, task=SHORT)
    other.keep(tmp_path)
    listed = said("runs", "list")
    assert {row["key"] for row in listed["runs"]} == {Path(each["path"]).name for each in told["runs"]}
    assert {row["key"]: row["runs"] for row in listed["policies"]} == {told["source"]: 2, other.key: 0}
    assert all(row["bytes"] > 0 and row["algorithm"] == "ppo" for row in listed["policies"])
    assert {row["task"] for row in listed["policies"]} == {str(SHORT)}
    assert run(["runs", "list", "--runs", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].startswith("2 runs, ")
    assert lines[5].startswith("kept policy ")
    assert lines[-1].startswith("2 kept policies, ")

    assert "policy 'policy-' is ambiguous: 2 keys begin so" in refused("runs", "rm", "policy-")
    assert "unknown run 'policy-none'" in refused("runs", "rm", "policy-none")
    first, second = (Run(Path(each["path"])) for each in told["runs"])
    (first.path / "DONE").unlink()
    line = refused("runs", "rm", second.key, told["source"])
    assert f"{told['source']} is needed by run {first.key}, which is unfinished" in line
    assert second.path.is_dir(), "nothing is removed where something cannot be"
    assert [gone["key"] for gone in said("runs", "rm", str(tmp_path / other.key))["removed"]] == [other.key]
    assert not (tmp_path / other.key).exists()
    (tmp_path / told["source"] / "policy.safetensors").write_text("torn")
    listed = said("runs", "list")
    assert listed["policies"] == []
    assert [told["source"] in line for line in listed["damaged"]] == [True]
    assert run(["runs", "rm", told["source"][:12], first.key, "--runs", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("1 run and 1 kept policy, ")
    assert [row["key"] for row in said("runs", "list")["runs"]] == [second.key], "a finished run does not need it"
