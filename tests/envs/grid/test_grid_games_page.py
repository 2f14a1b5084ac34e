"""What docs/grid-games.md prints is true: it names every game, argument and dial, and its examples run."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from PIL import Image

from envs.catalogue import list_games
from envs.grid.dials import Dials, setting
from envs.grid.families import find_family
from envs.registration import register_games
from transfer.cli.console import parse_settings
from transfer.study.check import check
from transfer.study.plan import plan
from transfer.study.spec import parse_study

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "grid-games.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, flags=re.DOTALL)
PLAYING, DRAWING = (text for language, text in BLOCKS if language == "python")
COMMANDS = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]
(STUDY,) = (text for language, text in BLOCKS if language == "toml")
GAMES = {game.id: dict(game.arguments) for game in list_games() if game.family == "grid"}


def rows(heading: str) -> list[tuple[str, ...]]:
    """Of the table under a heading, without its head."""
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table[2:]]


def test_every_game_is_named_with_its_arguments() -> None:
    said = {}
    for ids, arguments in rows("Ids and keyword arguments"):
        names = re.sub(r"\(.*?\)", "", arguments)
        said |= {f"headstart/{name}": set(re.findall(r"`(\w+)`", names)) for name in re.findall(r"`(\S+?)`", ids)}
    assert said == {name: set(find_family(own["family"]).arguments) for name, own in GAMES.items()}


def test_every_dial_is_named_with_an_example_that_works() -> None:
    said = {row[0].strip("`"): row[2].strip("`") for row in rows("Dials")}
    assert said.keys() == Dials.model_fields.keys()
    for dial, example in said.items():
        changes = [word for word in shlex.split(example) if word != "--change"]
        given = {name.removeprefix("arguments."): value for name, value in parse_settings(changes).items()}
        turned = setting("door_key", given).dials
        assert getattr(turned, dial) != Dials.model_fields[dial].default


def test_the_games_of_the_page_differ_in_mission_as_it_says() -> None:
    (listed,) = re.findall(r"games whose mission changes \((.*?)\)", " ".join(TEXT.split()))
    changing = [
        name
        for name, own in GAMES.items()
        if setting(own["family"], {key: value for key, value in own.items() if key != "family"}).as_dict
    ]
    assert {re.split(r"S?\d|-", name.removeprefix("headstart/"))[0] for name in changing} == set(listed.split(", "))


def test_playing_from_python_works(capsys: pytest.CaptureFixture[str]) -> None:
    variables: dict[str, Any] = {}
    exec(PLAYING, variables)  # noqa: S102  # our own page
    assert capsys.readouterr().out.startswith(("get", "go", "fetch", "you"))
    assert variables["worlds"].num_envs == 1024
    for name, array in variables["before"].items():
        assert (variables["worlds"].get_state()[name] == array).all()


def test_the_study_is_one(tmp_path: Path) -> None:
    planned = plan(parse_study(tomllib.loads(STUDY), "the page"), tmp_path)
    assert check(planned) > 0
    turned = [run.config.task.arguments["slip"] for run in planned.of("scratch")]
    assert turned == [slip for slip in (0.0, 0.1, 0.2, 0.4) for _ in range(5)]
    assert {run.after for run in planned.of("finetune")} == {run.key for run in planned.of("source")}


def test_the_text_is_what_a_game_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "__stdout__", None)
    register_games()
    (printed,) = (text.strip() for language, text in BLOCKS if not language)
    env = gymnasium.make("headstart/DoorKey-5x5-v0", render_mode="ansi")
    found = set()
    for seed in range(2000):
        env.reset(seed=seed)
        found.add(env.render())
    assert printed in found


def test_the_proofs_are_where_it_says() -> None:
    for name in set(re.findall(r"`(test_\w+\.py)`", TEXT)):
        assert (ROOT / "tests" / "envs" / "grid" / name).is_file(), name


@pytest.mark.slow
def test_the_picture_is_drawn_by_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(DRAWING, {})  # noqa: S102
    with Image.open("grid-games.png") as drawn, Image.open(ROOT / "docs" / "images" / "grid-games.png") as kept:
        assert drawn.tobytes() == kept.tobytes()


@pytest.mark.slow
def test_every_command_runs(tmp_path: Path) -> None:
    assert COMMANDS
    for command in COMMANDS:
        program, *arguments = shlex.split(command, comments=True)
        done = subprocess.run(
            [str(Path(sys.executable).parent / program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "HEADSTART_RUNS": str(tmp_path / "runs")},
        )
        assert done.returncode == 0, done.stderr
