"""`headstart watch`: whole outputs, files, and mistakes in one line."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from agents.algorithms import resolve
from agents.config import Evaluation, RunConfig
from agents.runs import Run
from agents.training import train
from agents.zips import write_zip
from envs.task import Task
from transfer.cli.app import run
from transfer.cli.watch import nearest, open_show, title_of

TASK = Task(game="headstart/CartPole-v1")
SMALL = {"n_envs": 2, "n_steps": 16, "batch_size": 16, "n_epochs": 1, "net_arch": [8]}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run, Run]:
    """A folder of runs, and two finished ones, of seeds 0 and 1."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("runs")
    evaluation = Evaluation(every=64, episodes=1, snapshots=(0.0, 0.5))
    runs = [
        train(
            RunConfig(
                task=TASK,
                hyperparameters=resolve(TASK, "ppo", SMALL),
                steps=128,
                seed=seed,
                evaluation=evaluation,
            ),
            root,
        )
        for seed in (0, 1)
    ]
    return root, *runs


def watched(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    assert run(["watch", *arguments]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out.splitlines()


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(["watch", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def test_lines_where_there_is_no_terminal(home: Any, capsys: pytest.CaptureFixture[str]) -> None:
    root, first, _ = home
    arguments = (first.key[:6], "--runs", str(root), "--terminal", "--max-steps", "2", "--seed", "3")
    lines = watched(capsys, *arguments)
    action = r"value \S+, action (left|right), left \d+% right \d+%"
    expected = [
        rf"episode 1 step 0, {action}",
        rf"episode 1 step 1, reward \+1 return 1, {action}",
        rf"episode 1 step 2, reward \+1 return 2, {action}",
    ]
    assert len(lines) == 3
    assert all(re.fullmatch(pattern, text) for pattern, text in zip(expected, lines, strict=True))
    assert watched(capsys, *arguments) == lines
    assert watched(capsys, *arguments[:-1], "4") != lines


def test_several_runs_are_told_apart(home: Any, capsys: pytest.CaptureFixture[str]) -> None:
    root, first, second = home
    lines = watched(
        capsys, first.key, second.key, "--runs", str(root), "--terminal", "--max-steps", "1", "--step", "60"
    )
    assert [text.partition("):")[0] for text in lines] == 2 * [
        f"ppo · from scratch (CartPole-v1 · {one.key[:8]} · 64 steps" for one in (first, second)
    ]


@pytest.mark.parametrize("name", ["film.gif", "film.mp4"])
def test_a_recording_says_what_it_wrote(
    home: Any, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    root, first, second = home
    file = tmp_path / name
    lines = watched(capsys, first.key, second.key, "--runs", str(root), "--record", str(file), "--max-steps", "3")
    assert lines == [f"wrote {file}"]
    if file.suffix == ".gif":
        with Image.open(file) as image:
            assert image.size[0] == 12 + 2 * 412
            assert image.n_frames == 4  # type: ignore[attr-defined]
    else:
        assert file.stat().st_size > 1000


def test_a_change_is_watched(home: Any, capsys: pytest.CaptureFixture[str]) -> None:
    root, first, _ = home
    changed = ("--runs", str(root), "--terminal", "--change", "time_limit=3", "--episodes", "2")
    lines = watched(capsys, first.key, *changed)
    assert [text for text in lines if text.endswith("truncated")] == [
        f"episode {episode} step 3, reward +1 return 3, truncated" for episode in (1, 2)
    ]
    assert len(lines) == 8


def test_policy_folders_and_zips_are_watched(home: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, first, _ = home
    zipped = tmp_path / "agent.zip"
    write_zip(first.policy(), zipped)
    few = ("--terminal", "--max-steps", "2", "--greedy")
    expected = watched(capsys, str(first.path), *few)
    assert watched(capsys, str(first.path / "policy"), *few) == expected
    assert watched(capsys, str(zipped), "--game", TASK.game, *few) == expected


def test_a_window_goes_on_until_it_is_closed(home: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    root, first, _ = home
    shows = []
    monkeypatch.setattr("agents.watch.window.watch_in_window", lambda show, fps: shows.append((show, fps)))
    assert run(["watch", first.key, "--runs", str(root), "--fps", "5"]) == 0
    assert (shows[0][0].episodes, shows[0][0].max_steps, shows[0][1]) == (None, None, 5)


@pytest.mark.parametrize(("greedy", "mode"), [(None, "sampled"), (True, "greedy"), (False, "sampled")])
def test_the_mode_is_the_evaluations_unless_said(home: Any, greedy: bool | None, mode: str) -> None:
    root, first, _ = home
    with open_show([first.key], str(root), game=None, step=0, settings={}, greedy=greedy, seed=5) as show:
        assert (show.players[0].mode, show.players[0].seed) == (mode, 5)
        assert show.captions[0].subtitle == f"CartPole-v1 · {first.key[:8]} · 0 steps"
        assert show.captions[0].features == ("position", "velocity", "angle", "angular_velocity")


def test_a_step_picks_the_nearest_policy(home: Any) -> None:
    root, first, _ = home
    assert [nearest(first, step) for step in (0, 31, 33, 90, 100, 10**6)] == [0, 0, 64, 64, 128, 128]
    weights = []
    for step in (0, 10**6, None):
        with open_show([first.key], str(root), game=None, step=step, settings={}, greedy=None, seed=0) as show:
            weights.append(show.players[0].policy.network.action_net.weight.detach().numpy().copy())
    assert not np.array_equal(weights[0], weights[1])
    np.testing.assert_array_equal(weights[1], weights[2])


@pytest.mark.parametrize(
    ("transfer", "title"),
    [
        (None, "dqn · from scratch"),
        ({"by": [{"method": "finetune", "layers": "all"}, {"method": "shape"}]}, "dqn · finetune + shape"),
        ({"by": ["kickstart"]}, "dqn · kickstart"),
    ],
)
def test_a_title_says_what_was_carried(transfer: dict[str, Any] | None, title: str) -> None:
    config = SimpleNamespace(algorithm="dqn", transfer=transfer)
    assert title_of(SimpleNamespace(config=config)) == title  # type: ignore[arg-type]


def test_mistakes_are_one_line(home: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, first, _ = home
    runs = ("--runs", str(root))
    assert "found 'film.avi', expected a file that ends in .mp4 or .gif" in refused(
        capsys, "nobody", "--record", "film.avi"
    )
    assert "found --terminal and --record, expected one of them" in refused(
        capsys, first.key, *runs, "--terminal", "--record", "a.gif"
    )
    assert "unknown run 'nobody'" in refused(capsys, "nobody", *runs, "--terminal")
    assert "Acrobot-v1 has observations Box(6,), but the policy was trained with Box(4,)" in refused(
        capsys, first.key, *runs, "--terminal", "--game", "Acrobot-v1"
    )
    assert "found 'time_limit', expected name=value" in refused(
        capsys, first.key, *runs, "--terminal", "--change", "time_limit"
    )
    zipped = tmp_path / "agent.zip"
    write_zip(first.policy(), zipped)
    assert "--game" in refused(capsys, str(zipped), "--terminal")
    assert "there is no such file" in refused(capsys, str(tmp_path / "gone.zip"), "--terminal")


def test_a_game_is_played_at_random_where_no_run_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = watched(capsys, "--game", "headstart/CartPole-v1", "--terminal", "--max-steps", "2")
    assert lines[0].startswith("episode 1 step 0, action ")
    assert lines[0].endswith("left 50% right 50%")
    assert len(lines) == 3
    assert watched(capsys, "--game", "headstart/CartPole-v1", "--terminal", "--max-steps", "2") == lines
    other = watched(capsys, "--game", "headstart/CartPole-v1", "--terminal", "--max-steps", "30", "--seed", "5")
    assert {line.partition("action ")[2].partition(",")[0] for line in other} >= {"left", "right"}
    film = tmp_path / "game.gif"
    watched(capsys, "--game", "Pendulum-v1", "--record", str(film), "--max-steps", "2")
    with Image.open(film) as opened:
        assert opened.n_frames == 3  # type: ignore[attr-defined]
    assert "found neither a run nor --game" in refused(capsys, "--terminal")


def test_without_a_display_one_line_says_what_to_do(
    home: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root, first, _ = home
    pygame = pytest.importorskip("pygame")
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    monkeypatch.setattr(pygame.display, "get_driver", lambda: "offscreen")
    monkeypatch.setattr(pygame.display, "init", lambda: None)
    assert "use --terminal, or --record FILE.mp4" in refused(capsys, first.key, "--runs", str(root))
