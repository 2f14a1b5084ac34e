"""`headstart distill`: whole outputs, a run folder like any other, and mistakes in one line."""

import json

import pytest

from agents.runs import Run
from tests.transfer.teachers import run_config
from transfer.carry import train_run
from transfer.cli.app import run
from transfer.cli.distill import spec_of

QUICK = ["--steps", "320", "--episodes", "2", "--option", "epochs=2"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder of runs with two finished teachers: (root, keys)."""
    root = tmp_path_factory.mktemp("runs")
    return root, [train_run(run_config(seed=seed, algorithm=algo), root).key for seed, algo in ((0, "ppo"), (1, "dqn"))]


def distill(home, *arguments, runs=1):
    root, keys = home
    return run(["distill", *keys[:runs], *arguments, "--runs", str(root)])


def test_a_smaller_student_is_a_run_like_any_other(home, capsys, tmp_path):
    root, (key, _) = home
    student = ["--into", "net_arch=[2] activation=relu", "--out", str(tmp_path / "small")]
    assert distill(home, *student, *QUICK) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "  features carried as they are: position, velocity, angle, angular_velocity"
    # the teacher: two halves of 4·8 + 8, and heads of 8·2 + 2 and 8·1 + 1; the student likewise with 2 for 8
    assert lines[2].startswith(f"teacher {key}: ppo, 107 parameters, mean return ")
    assert lines[3].endswith(", 27.1% of the parameters")
    made = Run(root / lines[3].split()[1].rstrip(":"))
    assert lines[4] == f"  {made.path}, policy in {tmp_path / 'small'}"
    assert made.done
    assert made.evaluations().steps.tolist() == [0, 320]
    assert made.provenance["steps_taken"] == 320
    assert run(["evaluate", str(tmp_path / "small"), "--episodes", "2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert run(["evaluate", made.key, "--episodes", "2", "--runs", str(root)]) == 0


def test_two_teachers_of_two_kinds_into_a_third_by_dagger_as_json(home, capsys):
    arguments = ["--into", "algorithm=a2c", "--into", "net_arch=[4]", "--dagger", "2", "--option", "weights=[2, 1]"]
    assert distill(home, *arguments, *QUICK, "--json", runs=2) == 0
    document = json.loads(capsys.readouterr().out)
    assert [teacher["algorithm"] for teacher in document["teachers"]] == ["ppo", "dqn"]
    assert document["student"]["algorithm"] == "a2c"
    found = Run(home[0] / document["student"]["key"])
    assert found.evaluations().steps.tolist() == [0, 160, 320]
    assert found.config.transfer["by"][0]["rounds"] == 2
    assert found.config.transfer["further"][0]["source"] == home[1][1]


def test_a_spec_is_a_file_or_pairs(tmp_path):
    file = tmp_path / "student.toml"
    file.write_text('algorithm = "dqn"\nnet_arch = [16, 8]\n')
    assert spec_of([str(file), "net_arch=[4, 2]  activation=relu"]) == {
        "algorithm": "dqn",
        "net_arch": [4, 2],
        "activation": "relu",
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--into", "net_arc=[2]"], "did you mean 'net_arch'"),
        (["--into", "algorithm=sac"], "sac acts in Box spaces"),
        (["--into", "none.toml"], "none.toml cannot be read"),
        (["--into", "net_arch=[2]", "--steps", "0"], "the distillation set would be empty"),
        (["--into", "net_arch=[2]", "--option", "temperature=-1"], "temperature"),
        (["--into", "net_arch=[2]", "--dagger", "9", "--steps", "5"], "fewer than 9 rounds"),
        (["--into", "net_arch=[2]", "--game", "MountainCar-v0", "--option", "loss=x"], "loss"),
    ],
)
def test_mistakes_are_one_line(home, capsys, arguments, words):
    assert distill(home, *arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_teachers_of_different_games_need_a_game(home, capsys):
    root, keys = home
    other = train_run(run_config(run_config().task.model_copy(update={"arguments": {"gravity": 5.0}})), root).key
    assert run(["distill", keys[0], other, "--into", "net_arch=[2]", "--runs", str(root)]) == 2
    assert "the teachers play different games" in capsys.readouterr().err
