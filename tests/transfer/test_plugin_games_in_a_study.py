"""Other people's games as source and target of a study, from the command line: every worker finds them.

One game comes from a distribution with an entry point: what `pip install` leaves behind, in a folder of the test's own.
The other comes from `mygame.py` in the current folder. Both are the documentation's own example.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "writing-a-game.md").read_text(encoding="utf-8")
SMALL = "set = { n_envs = 2, n_steps = 16, batch_size = 16, n_epochs = 1, net_arch = [4] }"
STUDY = f"""
name = "levers"
seeds = 2
[source]
game = "GAME"
steps = 128
evaluation = {{ every = 64, episodes = 2 }}
{SMALL}
[target]
game = "GAME"
arguments = {{ brightness = 3.0 }}
change = {{ time_limit = 5, actions = ["right", "left"] }}
steps = 128
{SMALL}
[evaluation]
every = 64
episodes = 2
[arms.scratch]
[arms.finetune]
by = ["finetune"]
"""


def example() -> str:
    """The documentation's complete game."""
    return next(text for text in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "class Lever(" in text)


@pytest.fixture(params=["lever/Lever-v0", "mygame:Lever-v0"])
def game(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The name of a game that is installed beside Headstart, or that lies in the current folder."""
    name: str = request.param
    if name.startswith("mygame:"):
        (tmp_path / "mygame.py").write_text(example())
    else:
        info = tmp_path / "site" / "levers-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: levers\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[headstart.games]\n{name} = leverworks:Lever\n")
        (tmp_path / "site" / "leverworks.py").write_text(example().partition("gymnasium.register(")[0])
    (tmp_path / "levers.toml").write_text(STUDY.replace("GAME", name))
    return name


def headstart(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The installed command in a folder, with its `site` on PYTHONPATH."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHONPATH", "HEADSTART"))}
    return subprocess.run(
        [str(Path(sys.executable).parent / "headstart"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**environment, "PYTHONPATH": str(folder / "site")},
    )


def test_it_is_source_and_target(game: str, tmp_path: Path) -> None:
    planned = headstart("study", "levers.toml", "--dry-run", "--json", folder=tmp_path)
    assert (planned.returncode, planned.stderr) == (0, "")
    assert len(json.loads(planned.stdout)["runs"]) == 6

    studied = headstart("study", "levers.toml", "--workers", "2", "--json", folder=tmp_path)
    assert studied.returncode == 0, studied.stderr
    arms = json.loads(studied.stdout)["arms"]
    assert set(arms) == {"scratch", "finetune"}
    assert [run["failed"] for run in arms.values()] == [[], []]
    # a random player of five steps gets 2.5, and no player more than 5
    assert all(0 <= seed["final"] <= 5 for arm in arms.values() for seed in arm["per_seed"])

    said = headstart("status", "levers", "--json", folder=tmp_path)
    assert [run["phase"] for run in json.loads(said.stdout)["runs"]] == ["done"] * 6
    listed = json.loads(headstart("runs", "list", "--json", folder=tmp_path).stdout)["runs"]
    changed = f'{game}(brightness=3.0, time_limit=5, actions=["right", "left"])'
    assert sorted(run["task"] for run in listed) == sorted([game] * 2 + [changed] * 4)


def test_after_the_game_is_changed_nothing_counts_as_trained(game: str, tmp_path: Path) -> None:
    def keys() -> list[str]:
        planned = headstart("study", "levers.toml", "--dry-run", "--json", folder=tmp_path)
        return [run["key"] for run in json.loads(planned.stdout)["runs"]]

    before = keys()
    file = tmp_path / ("mygame.py" if game.startswith("mygame:") else "site/leverworks.py")
    file.write_text(file.read_text().replace("self.time == 10", "self.time == 12"))
    after = keys()
    assert set(before).isdisjoint(after)
    assert keys() == after
