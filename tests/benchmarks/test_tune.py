"""The search for presets: what it tries, what it counts, and what it calls reached."""

import importlib
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.algorithms import resolve
from envs.errors import MissingExtra
from envs.task import Task

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
try:
    reaching, searching, tune = (importlib.import_module(name) for name in ("reaching", "searching", "tune"))
finally:
    sys.path.pop(0)

CARTPOLE = Task(game="headstart/CartPole-v1")
TARGET = reaching.Target("headstart/CartPole-v1", 100.0, "greedy", 20_000, 30.0, random=20.0)


def of(seconds: float | None, score: float = 100.0) -> Any:
    return reaching.Attempt(0, seconds, 1000, score)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), rollout=st.sampled_from([256, 4096, 16384]))
def test_whatever_is_tried_makes_sense_and_comes_back_from_a_record(seed: int, rollout: int) -> None:
    space = searching.Space(rollout, {"normalise_rewards": False, "decay": "linear"})
    library = searching.optuna()
    study = library.create_study(sampler=library.samplers.RandomSampler(seed=seed))
    tried = space.decoded(study.ask(space.distributions()).params)
    assert tried["n_envs"] * tried["n_steps"] <= max(rollout, tried["n_envs"])
    assert tried["n_envs"] * tried["n_steps"] % tried["batch_size"] == 0
    assert tried["normalise_rewards"] is False
    assert tried["learning_rate"].startswith("lin_")
    again = space.encoded(tried)
    assert again is not None
    assert space.decoded(again) == tried


def test_what_lies_outside_is_not_told_to_the_sampler() -> None:
    space = searching.Space(8192)
    plain = space.fitted(searching.FIRST[0])
    assert space.encoded(plain) is not None
    for other in ({"n_envs": 48}, {"n_epochs": 40}, {"net_arch": [7]}, {"clip_range": "lin_0.2"}):
        assert space.encoded(plain | other) is None


def test_what_is_not_reached_costs_more_than_the_cap_and_less_the_nearer_it_came() -> None:
    costs = [searching.cost({TARGET: [one]}) for one in (of(1.0), of(29.0), of(None, 99), of(None, 30), of(None, -5))]
    assert costs == sorted(costs)
    assert costs[1] < TARGET.cap < costs[2]
    assert costs[-1] == pytest.approx(2 * TARGET.cap)


def test_the_worst_seed_counts_extra_and_games_count_alike() -> None:
    assert searching.cost({TARGET: [of(1.0), of(3.0)]}) == pytest.approx(2.5)
    other = reaching.Target("b", 1.0, "training", 1, 1000.0)
    assert searching.cost({TARGET: [of(2.0)], other: [of(200.0)]}) == pytest.approx(20.0)


@pytest.mark.parametrize(
    ("scores", "reached"),
    [([0, 100, 100, 100], 1), ([100, 0, 100, 100, 100], 2), ([100, 100, 0, 0], None), ([0, 0, 100], 2)],
)
def test_reached_means_held(scores: list[float], reached: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    look = reaching._Look(TARGET, None, None, 1.0)
    clock = iter(range(1, 100))
    monkeypatch.setattr(look, "_clock", lambda: next(clock))
    for number, score in enumerate(scores):
        look.num_timesteps = number
        monkeypatch.setattr(look, "_score", lambda score=score: score)
        if len(look._passed) < reaching.HELD:
            look.look()
    found = look.attempt(0)
    assert (found.steps if found.seconds else None) == reached


def test_an_easy_threshold_is_reached_and_looking_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    preset = resolve(CARTPOLE, "ppo", {"n_envs": 8, "n_steps": 64})
    found = reaching.attempt(TARGET, preset, seed=3)
    assert found.seconds is not None
    assert 0 < found.seconds < TARGET.cap
    assert found.steps < TARGET.steps
    never = reaching.Target("headstart/CartPole-v1", math.inf, "training", 2_000, 30.0)
    failed = reaching.attempt(never, preset, seed=3)
    assert (failed.seconds, failed.steps) == (None, 2048)


def test_a_search_goes_on_from_its_record_and_proposes_what_was_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    monkeypatch.setenv("HEADSTART_RUNS", str(tmp_path))
    monkeypatch.setattr(tune, "warm", lambda targets, presets: None)
    for module in (tune, searching):
        monkeypatch.setattr(module, "attempt", lambda target, h, seed, limit=None: of(h["n_envs"] + rng.random()))
    for _ in range(2):
        monkeypatch.setattr(sys, "argv", ["tune.py", CARTPOLE.game, "--trials", "6", "--keep", '{"net_arch": [64]}'])
        tune.main()
    printed = capsys.readouterr().out
    assert "12 settings tried" in printed
    assert '[ppo.game."headstart/CartPole-v1"]' in printed
    assert "net_arch = [64]" in printed
    monkeypatch.setattr(sys, "argv", ["tune.py", CARTPOLE.game, "--show"])
    tune.main()
    assert "12 settings tried" in capsys.readouterr().out


@pytest.mark.parametrize(("candidate", "sides"), [("{}", ["preset"]), ('{"n_envs": 8}', ["preset", "candidate"])])
def test_a_candidate_that_changes_nothing_measures_the_preset_alone(
    candidate: str,
    sides: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tried: list[int] = []
    monkeypatch.setenv("HEADSTART_RUNS", str(tmp_path))
    monkeypatch.setattr(tune, "warm", lambda targets, presets: None)
    monkeypatch.setattr(tune, "attempt", lambda target, h, seed, limit=None: tried.append(h["n_envs"]) or of(1.0))
    monkeypatch.setattr(sys, "argv", ["tune.py", CARTPOLE.game, "--candidate", candidate, "--fresh", "2"])
    tune.main()
    printed = capsys.readouterr().out
    assert [line.split()[1] for line in printed.splitlines() if line.startswith(CARTPOLE.game + " ")] == sides
    assert ("[ppo." in printed) == ("candidate" in sides)
    assert tried == [32, 8, 32, 8] if "candidate" in sides else tried == [32, 32]


@pytest.mark.parametrize(
    ("setting", "steps"), [({"n_envs": 1, "n_steps": 8}, 24), ({"n_envs": 512, "n_steps": 64}, 40_000)]
)
def test_warming_plays_three_rollouts_at_most(
    setting: dict[str, int], steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    monkeypatch.setattr(tune, "attempt", lambda target, h, seed: tried.append(target.steps))
    tune.warm([TARGET], [setting])
    assert tried == [steps]


def test_without_optuna_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtra, match=r"pip install 'headstart\[tune\]'"):
        searching.optuna()
