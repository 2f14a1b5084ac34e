"""What `headstart study` and `headstart transfer` refuse before anything is trained: one line, exit code 2."""

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from envs.errors import ConfigError
from tests.transfer.teachers import run_config
from transfer.carry import train_run
from transfer.cli.app import run
from transfer.cli.transfer import parse_mapping

MODULE = """
from envs.errors import ConfigError
from transfer.method import Method


class Refuses(Method):
    def check(self, crossing):
        raise ConfigError(f"refuses: found {crossing.source.algorithm}, expected a wiser teacher")


class Alone(Method):
    def alongside(self, others):
        if others:
            raise ConfigError(f"alone beside {others[0].name}: they contradict each other; take one of them")
"""
STUDY = """
name = "refused"
seeds = 1
[source]
game = "headstart/CartPole-v1"
steps = 64
[target]
game = "headstart/CartPoleLong-v1"
steps = 64
[arms.scratch]
[arms.good]
by = ["finetune"]
[arms.bad]
by = {by}
"""
TINY = ["--steps", "64", "--every", "64", "--episodes", "1", "--set", "n_envs=2", "--set", "n_steps=16"]
TINY += ["--set", "batch_size=16", "--set", "n_epochs=1"]

REFUSED = [
    ('["refuses"]', ["--by", "refuses"], "refuses: found ppo, expected a wiser teacher"),
    ('["finetune", "alone"]', ["--by", "finetune+alone"], "alone beside finetune: they contradict each other"),
    ('["alone", "finetune"]', ["--by", "alone+finetune"], "alone beside finetune: they contradict each other"),
    ('[{ method = "finetune", layrs = "all" }]', ["--option", "finetune.layrs=all"], "did you mean 'layers'"),
    ('[{ method = "finetune", layers = ["nosuch"] }]', ["--option", 'finetune.layers=["nosuch"]'], "nosuch"),
    ('["finetun"]', ["--by", "finetun"], "did you mean 'finetune'"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder of runs with one finished source, and its key."""
    root = tmp_path_factory.mktemp("runs")
    return root, train_run(run_config(), root).key


@pytest.fixture
def methods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two methods of another distribution: one that refuses its teacher, one that works with no other."""
    site = tmp_path / "site"
    info = site / "stubborn_demo-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "stubborn.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stubborn-demo\nVersion: 1.0\n")
    entries = "[headstart.methods]\nrefuses = stubborn:Refuses\nalone = stubborn:Alone\n"
    (info / "entry_points.txt").write_text(entries)
    monkeypatch.syspath_prepend(str(site))
    importlib.invalidate_caches()
    yield
    sys.modules.pop("stubborn", None)


@pytest.mark.usefixtures("methods")
@pytest.mark.parametrize(("by", "typed", "words"), REFUSED)
def test_a_study_names_the_arm_that_cannot_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], by: str, typed: list[str], words: str
) -> None:
    file, root = tmp_path / "refused.toml", tmp_path / "none"
    file.write_text(STUDY.format(by=by))
    assert run(["study", str(file), "--runs", str(root), "--results", str(tmp_path / "results")]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: arms.bad: ")
    assert words in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not root.exists()
    assert not (tmp_path / "results").exists()


@pytest.mark.usefixtures("methods")
@pytest.mark.parametrize(("by", "typed", "words"), REFUSED)
def test_a_transfer_that_cannot_work_trains_nothing(
    home: tuple[Path, str], capsys: pytest.CaptureFixture[str], by: str, typed: list[str], words: str
) -> None:
    root, key = home
    before = sorted(root.iterdir())
    assert run(["transfer", key, "headstart/CartPole-v1", *typed, *TINY, "--runs", str(root)]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert sorted(root.iterdir()) == before


def test_a_mapping_on_the_command_line_is_the_table_of_a_study_file() -> None:
    typed = ["features.angle=position", "actions.left=right", "fill.wind=0.5", "margin=2", "planes.object.lava=wall"]
    assert parse_mapping(typed, ["speed=velocity"], ["right=left"]) == {
        "features": {"angle": "position", "speed": "velocity"},
        "actions": {"left": "right", "right": "left"},
        "fill": {"wind": 0.5},
        "margin": 2,
        "planes": {"object.lava": "wall"},
    }
    assert parse_mapping(["features=none"]) == {"features": "none"}
    assert parse_mapping(None) == {}


@pytest.mark.parametrize("typed", [["features=none", "features.a=b"], ["features.a=b", "features=none"]])
def test_a_table_and_a_word_contradict_each_other(typed: list[str]) -> None:
    with pytest.raises(ConfigError, match="--map: found features both whole and by names"):
        parse_mapping(typed)


def test_a_transfer_takes_a_mapping(home: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    root, key = home
    command = ["transfer", key, "headstart/CartPole-v1", "--change", "time_limit=15", *TINY, "--runs", str(root)]
    crossed = ["--map", "actions.left=right", "--action", "right=left", "--map", "margin=3"]
    assert run([*command, *crossed, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["mapping"]["actions"]["carried"] == [["left", "right"], ["right", "left"]]
    config = json.loads((Path(document["runs"][0]["path"]) / "config.json").read_text())
    assert config["transfer"]["mapping"]["margin"] == 3.0


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["margin=-1"], "mapping.margin: found -1, expected greater than 0"),
        (["margn=1"], "did you mean 'margin'"),
        (["actions.up=left"], "'up'"),
        (["margin"], "expected name=value"),
    ],
)
def test_a_wrong_mapping_is_one_line(
    home: tuple[Path, str], capsys: pytest.CaptureFixture[str], typed: list[str], words: str
) -> None:
    root, key = home
    options = [part for pair in typed for part in ("--map", pair)]
    assert run(["transfer", key, "headstart/CartPole-v1", *options, *TINY, "--runs", str(root)]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
