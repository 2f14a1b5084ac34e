"""`headstart mapping` and `headstart transfer`: whole outputs, and mistakes in one line."""

import json

import pytest

from tests.transfer.teachers import run_config
from transfer.carry import train_run
from transfer.cli.app import run
from transfer.cli.transfer import parse_methods

TRAIN = ["--steps", "64", "--every", "32", "--episodes", "2", "--change", "time_limit=15"]
SMALL = ["--set", "n_envs=2", "--set", "n_steps=16", "--set", "batch_size=16", "--set", "n_epochs=1"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder of runs with one finished source: (root, key)."""
    root = tmp_path_factory.mktemp("runs")
    return root, train_run(run_config(), root).key


def test_a_mapping_by_names(capsys):
    assert run(["mapping", "MountainCar-v0", "headstart/CartPole-v1"]) == 0
    assert capsys.readouterr().out == (
        "from MountainCar-v0 to headstart/CartPole-v1\n"
        "  features carried: position, velocity\n"
        "  features new in the target, which start unread: angle, angular_velocity\n"
        "  actions carried: left, right\n"
        "  actions only the source has, dropped: noop\n"
    )


def test_a_mapping_with_pairs_as_json(capsys):
    pairs = ["--feature", "angle=position", "--action", "left=right"]
    assert run(["mapping", "MountainCar-v0", "headstart/CartPole-v1", *pairs, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["features"]["carried"] == [["velocity", "velocity"], ["angle", "position"]]
    assert document["actions"]["carried"] == [["left", "right"], ["right", "right"]]
    assert document["actions"]["dropped"] == ["left", "noop"]


def test_a_mapping_of_planes_symbols_and_sizes(capsys):
    assert run(["mapping", "headstart/Fetch-5x5-N2-v0", "headstart/DoorKey-5x5-v0", "--map", "planes.goal=ball"]) == 0
    assert capsys.readouterr().out == (
        "from headstart/Fetch-5x5-N2-v0 to headstart/DoorKey-5x5-v0\n"
        "  parts carried: object (as image.object), colour (as image.colour), state (as image.state)\n"
        "  parts only the source has, filled: direction = 0, mission = 0\n"
        "  actions carried as they are: left, right, forward, pickup, drop, toggle, done\n"
        "  symbols seen as others: goal as ball\n"
    )
    said = ["mapping", "headstart/DoorKey-5x5-v0", "MiniGrid-DoorKey-5x5-v0", "--map", "actions=none", "--json"]
    assert run(said) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["actions"]["mapped"] is False
    assert document["features"]["identity"] is True


def test_a_mapping_of_other_names_and_of_lies(capsys):
    assert run(["mapping", "headstart/CartPole-v1", "headstart/CartPoleShuffled-v1"]) == 0
    assert capsys.readouterr().out == (
        "from headstart/CartPole-v1 to headstart/CartPoleShuffled-v1\n"
        "  features carried: angle, position, angular_velocity, velocity\n"
        "  features new in the target, which start unread: noise_1, noise_2, noise_3\n"
        "  actions carried: right, left\n"
    )


def test_a_mapping_between_boards_of_one_game(capsys):
    game, settings = "headstart/ConnectFour-v0", ["rows=4", "columns=5"]
    changes = [word for setting in settings for word in ("--source-change", setting)]
    assert run(["mapping", game, game, *changes]) == 0
    assert capsys.readouterr().out == (
        f"from {game}(rows=4, columns=5) to {game}\n"
        "  planes carried: mine, theirs\n"
        "  actions carried: column 2 (as column 1), column 3 (as column 2), column 4 (as column 3), "
        "column 5 (as column 4), column 6 (as column 5)\n"
        "  actions new in the target, which start below the carried ones: column 1, column 7\n"
        "  cells 6×7 in the target, cropped to the source's 4×5\n"
    )


def test_a_mapping_between_numbers_of_agents(capsys):
    game = "mpe2/simple_spread_v3"
    assert run(["mapping", game, game, "--source-change", "N=2", "--change", "N=3"]) == 0
    out = capsys.readouterr().out
    new = "landmark_2_offset_x, landmark_2_offset_y, other_2_offset_x, other_2_offset_y, "
    assert f"start unread: {new}other_2_communication_0, other_2_communication_1\n" in out
    assert "other_1_communication_1\n" in out


def test_a_mapping_from_a_run(home, capsys):
    root, key = home
    assert run(["mapping", key[:6], "headstart/CartPole-v1", "--runs", str(root)]) == 0
    assert "from headstart/CartPole-v1(time_limit=15) to headstart/CartPole-v1\n" in capsys.readouterr().out


def test_a_transfer_says_what_it_carried_and_what_came_of_it(home, capsys):
    root, key = home
    command = ["transfer", key[:6], "headstart/CartPole-v1", "--by", "finetune+kickstart", *TRAIN, *SMALL]
    assert run([*command, "--option", "kickstart.until=0.2", "--seeds", "2", "--runs", str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"from headstart/CartPole-v1(time_limit=15) (run {key}) to headstart/CartPole-v1(")
    assert lines[1] == "  features carried as they are: position, velocity, angle, angular_velocity"
    assert [line.partition(":")[0] for line in lines[3:]] == ["seed 0", "seed 1"]
    assert run([*command, "--option", "kickstart.until=0.2", "--runs", str(root), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["methods"][1]["method"] == "kickstart"
    assert document["methods"][1]["until"] == 0.2
    assert document["runs"][0]["path"] in lines[3]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mapping", "CartPol-v1", "Acrobot-v1"], "unknown game 'CartPol-v1': did you mean"),
        (["mapping", "Acrobot-v1", "headstart/CartPole-v1"], "--feature position=cos_angle_1"),
        (
            ["mapping", "Acrobot-v1", "Acrobot-v1", "--feature", "x"],
            "found 'x', expected the target's name=the source's",
        ),
        (["transfer", "RUN", "headstart/CartPole-v1", "--by", "finetun"], "did you mean 'finetune'"),
        (["transfer", "RUN", "headstart/CartPole-v1", "--by", "shape+shape"], "expected different methods"),
        (["transfer", "RUN", "headstart/CartPole-v1", "--option", "kickstart.until=1"], "unknown method of --by"),
        (["transfer", "RUN", "headstart/CartPole-v1", "--option", "freeze=1"], "expected METHOD.NAME=VALUE"),
        (["transfer", "RUN", "headstart/CartPole-v1", "--algo", "dqn"], "the source was trained with ppo"),
        (["transfer", "RUN", "Acrobot-v1"], "from headstart/CartPole-v1(time_limit=15) to Acrobot-v1: no feature"),
        (["transfer", "nothere", "Acrobot-v1"], "unknown run 'nothere'"),
        (["transfer", "RUN", "headstart/CartPole-v1", "--step", "5"], "kept no policy at step 5"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(home, capsys, arguments, words):
    root, key = home
    before = {folder.name for folder in root.iterdir()}
    filled = [key if argument == "RUN" else argument for argument in arguments]
    assert run([*filled, "--runs", str(root)]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert {folder.name for folder in root.iterdir()} == before


def test_methods_and_their_settings_are_put_together():
    assert parse_methods("finetune+shape", {"shape.scale": 2, "finetune.freeze": ["torso"]}) == [
        {"method": "finetune", "freeze": ["torso"]},
        {"method": "shape", "scale": 2},
    ]
