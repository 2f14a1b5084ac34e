"""A run that was killed and started again ends as one that never was, bit for bit; whatever befalls its checkpoints."""

import errno
import io
import json
import random
import time
from collections import deque
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.utils import EzPickle
from stable_baselines3.common.buffers import ReplayBuffer

from agents.algorithms import resolve
from agents.config import Evaluation, RunConfig
from agents.resuming import plain
from agents.resuming.boundaries import VARIABLE, Boundaries, seconds_between
from agents.resuming.replay import ReplayFiles, check
from agents.runs import Run
from agents.training import train
from envs.errors import ConfigError, GameError
from envs.task import Change, Task
from tests.agents.killed import interrupted, killed, outcome

ROLLOUTS = {"n_envs": 4, "n_steps": 16, "batch_size": 32, "n_epochs": 2, "net_arch": [8]}
STEPS = {"n_envs": 3, "n_steps": 5, "net_arch": [8]}
ROUNDS = {"n_envs": 2, "learning_starts": 40, "buffer_size": 150, "net_arch": [8], "train_freq": 4, "batch_size": 16}
SMALL: dict[str, dict[str, Any]] = {
    "ppo": ROLLOUTS,
    "sb3-ppo": ROLLOUTS,
    "a2c": STEPS,
    "trpo": {**STEPS, "batch_size": 15},
}
CARTPOLE, PENDULUM = Task(game="headstart/CartPole-v1"), Task(game="Pendulum-v1", change=Change(time_limit=30))
GRID = Task(game="headstart/DoorKey-5x5-v0")
BOX = spaces.Box(-1, 1, (3,), np.float32)


def config(algorithm: str = "ppo", task: Task = CARTPOLE, steps: int = 400, **settings: Any) -> RunConfig:
    return RunConfig(
        task=task,
        algorithm=algorithm,
        hyperparameters=resolve(task, algorithm, {**SMALL.get(algorithm, ROUNDS), **settings}),
        steps=steps,
        seed=3,
        evaluation=Evaluation(every=100, episodes=3),
    )


SAMPLE = {
    "ppo": config(),
    "dqn": config("dqn"),
    "ppo on a grid": config(task=GRID, normalise_rewards=True),
    "a2c": config("a2c", normalise_observations=True),
    "sac": config("sac", PENDULUM, 200),
}
MORE = {
    "sb3-ppo, sticky": config("sb3-ppo", Task(game="headstart/CartPole-v1", change=Change(sticky=0.2))),
    "dqn on a grid": config("dqn", GRID),
    "dqn, one array": config("dqn", optimize_memory_usage=True, normalise_observations=True),
    "dqn on MinAtar": config("dqn", Task(game="MinAtar/Breakout-v1")),
    "ppo on MinAtar, sticky": config(task=Task(game="MinAtar/Seaquest-v1", change=Change(sticky=0.2))),
    "ppo on objects": config(task=Task(game="Acrobot-v1")),
    "dqn on objects": config("dqn", Task(game="MountainCar-v0", change=Change(actions=(0, 2), time_limit=50))),
    "td3, with noise": config("td3", PENDULUM, 200, noise_type="ornstein-uhlenbeck", noise_std=0.1),
    "sac, normalised": config("sac", PENDULUM, 200, normalise_observations=True, normalise_rewards=True),
    "a2c, with sde": config("a2c", PENDULUM, use_sde=True),
    "trpo": config("trpo"),
    "tqc": config("tqc", PENDULUM, 150),
}


@pytest.mark.parametrize("case", SAMPLE)
def test_checkpoints_change_nothing(case: str, tmp_path: Path) -> None:
    never = train(SAMPLE[case], tmp_path / "never", checkpoint_seconds=1e9)
    always = train(SAMPLE[case], tmp_path / "always", checkpoint_seconds=0)
    assert outcome(always) == outcome(never)
    assert always.provenance["resume"] == "exact"
    assert always.provenance["resumed"] == []
    assert not (always.path / "resume").exists()


@pytest.mark.parametrize("case", SAMPLE)
def test_a_run_that_dies_at_boundaries_ends_as_one_that_does_not(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _dies_at(SAMPLE[case], (2, 3), tmp_path, monkeypatch)


def _dies_at(wanted: RunConfig, boundaries: tuple[int, ...], root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train(wanted, root / "whole")
    deaths = sum(interrupted(train, wanted, root / "dying", at, monkeypatch) for at in boundaries)
    run = train(wanted, root / "dying")
    assert deaths == len(boundaries) == len(run.provenance["resumed"])
    assert run.provenance["resume"] == "exact"
    assert outcome(run) == outcome(whole)


def test_a_run_that_gets_sigkill_ends_as_one_that_does_not(tmp_path: Path) -> None:
    for case in ("ppo", "dqn"):
        _killed(SAMPLE[case], tmp_path / case, seed=1, kills=2)


def _killed(wanted: RunConfig, root: Path, seed: int, kills: int) -> None:
    """SIGKILL to each of several runs, twice at moments of one; all end alike."""
    begun = time.monotonic()
    whole = train(wanted, root / "whole", checkpoint_seconds=0)
    took, draw, deaths = time.monotonic() - begun, np.random.default_rng(seed), 0
    for place in map(str, range(10 * kills)):
        deaths += sum(killed(train, wanted, root / place, draw.uniform(0.0, 0.8 * took)) for _ in range(2))
        assert outcome(train(wanted, root / place, checkpoint_seconds=0)) == outcome(whole)
        if deaths >= kills:
            return
    pytest.fail(f"of {kills} deaths only {deaths} came before the run was done")


@pytest.mark.slow
@pytest.mark.parametrize("case", {**SAMPLE, **MORE})
def test_whatever_the_boundary(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _dies_at({**SAMPLE, **MORE}[case], (1, 2, 1, 3), tmp_path, monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("case", {**SAMPLE, **MORE})
def test_whatever_the_moment(case: str, tmp_path: Path) -> None:
    _killed({**SAMPLE, **MORE}[case], tmp_path, seed=len(case), kills=KILLS)


KILLS = 5
"""By SIGKILL in `test_whatever_the_moment`, of each case."""


def _dead(root: Path, monkeypatch: pytest.MonkeyPatch, at: int = 4, wanted: RunConfig = SAMPLE["dqn"]) -> Path:
    """The folder of a run that died at a boundary, and its checkpoints."""
    assert interrupted(train, wanted, root, at, monkeypatch)
    return root / wanted.key()


def test_a_damaged_checkpoint_is_left_out_for_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _dead(tmp_path, monkeypatch)
    older, newer = sorted((folder / "resume").glob("checkpoint-*.npz"))
    newer.write_bytes(newer.read_bytes()[: newer.stat().st_size // 2])
    run = train(SAMPLE["dqn"], tmp_path)
    assert len(run.provenance["resumed"]) == 1
    assert f"{newer} is damaged" in (folder / "log.txt").read_text()
    assert outcome(run) == outcome(train(SAMPLE["dqn"], tmp_path / "whole"))
    assert older.name == "checkpoint-3.npz"


@pytest.mark.parametrize("damage", ["checkpoints", "replay", "evaluations", "format"])
def test_without_a_whole_checkpoint_the_run_starts_afresh(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _dead(tmp_path, monkeypatch, at=14)
    if damage == "checkpoints":
        for path in (folder / "resume").glob("checkpoint-*.npz"):
            content = bytearray(path.read_bytes())
            content[len(content) // 3] ^= 1  # one bit
            path.write_bytes(content)
    elif damage == "replay":
        for path in (folder / "resume").glob("replay-*.bin"):
            path.write_bytes(path.read_bytes()[:-8] + b"\xff" * 8)
            path.write_bytes(path.read_bytes()[8:])
    elif damage == "evaluations":
        (folder / "evaluations.csv").write_text("step\n")
    else:
        for path in (folder / "resume").glob("checkpoint-*.npz"):
            plain.save(path, {"format": 0})
    run = train(SAMPLE["dqn"], tmp_path)
    assert run.provenance["resumed"] == []
    assert "left out" in (folder / "log.txt").read_text()
    assert outcome(run) == outcome(train(SAMPLE["dqn"], tmp_path / "whole"))


def test_a_disk_that_is_full_for_checkpoints_ends_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(plain, "save", full)
    run = train(SAMPLE["ppo"], tmp_path, checkpoint_seconds=0)
    assert (run.path / "log.txt").read_text().count("no checkpoint could be written") == 1
    monkeypatch.undo()
    assert outcome(run) == outcome(train(SAMPLE["ppo"], tmp_path / "whole"))


def test_a_disk_that_is_full_for_a_while_costs_only_its_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = plain.save, [0]

    def sometimes(*arguments: Any) -> int:
        calls[0] += 1
        if calls[0] % 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(*arguments)

    monkeypatch.setattr(plain, "save", sometimes)
    assert interrupted(train, SAMPLE["dqn"], tmp_path, 30, monkeypatch)
    monkeypatch.undo()
    run = train(SAMPLE["dqn"], tmp_path)
    assert len(run.provenance["resumed"]) == 1
    assert outcome(run) == outcome(train(SAMPLE["dqn"], tmp_path / "whole"))


def test_a_clock_that_jumps_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1e9]

    def jumping() -> float:
        now[0] -= 1e6
        return now[0]

    monkeypatch.setattr(time, "time", jumping)
    _dead(tmp_path, monkeypatch, at=3, wanted=SAMPLE["ppo"])
    run = train(SAMPLE["ppo"], tmp_path)
    monkeypatch.undo()
    assert outcome(run) == outcome(train(SAMPLE["ppo"], tmp_path / "whole"))


def test_two_checkpoints_are_kept_and_none_of_a_run_that_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = _dead(tmp_path, monkeypatch, at=40)
    found = sorted(path.name for path in (folder / "resume").iterdir())
    assert [name for name in found if name.startswith("checkpoint")] == ["checkpoint-39.npz", "checkpoint-40.npz"]
    assert 1 <= sum(name.startswith("replay") for name in found) <= 3
    train(SAMPLE["dqn"], tmp_path)
    assert not (folder / "resume").exists()
    (folder / "resume").mkdir()  # as if it was killed between DONE and that
    train(SAMPLE["dqn"], tmp_path)
    assert not (folder / "resume").exists()


def test_a_short_run_has_no_checkpoints_and_starts_afresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Boundaries, "write", lambda self: pytest.fail("a checkpoint was written"))
    monkeypatch.delenv(VARIABLE, raising=False)
    train(SAMPLE["ppo"], tmp_path)


@pytest.mark.parametrize("given", ["soon", "-1", "nan"])
def test_a_wait_that_is_no_number_of_seconds_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, given)
    with pytest.raises(ConfigError, match=f"{VARIABLE} is '{given}': expected seconds, 0 or more"):
        seconds_between()


class Sealed(gym.Env[np.ndarray, Any]):
    """A game that holds something no file can: a generator function under way."""

    observation_space, action_space = spaces.Box(-1, 1, (2,), np.float32), spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = (number for number in range(10_000))
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        over = next(self.steps) >= 9
        if self.np_random.random() < self.fault:
            raise RuntimeError("broken")
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), float(action), over, False, {}

    fault = 0.0


@pytest.fixture
def sealed() -> Any:
    gym.register("tests/Sealed-v0", Sealed)
    yield config(task=Task(game="tests/Sealed-v0"))
    del gym.registry["tests/Sealed-v0"]


def test_a_game_whose_state_cannot_be_saved_resumes_approximately_and_says_so(
    sealed: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert interrupted(train, sealed, tmp_path, 3, monkeypatch)
    run = train(sealed, tmp_path)
    assert run.provenance["resume"] == "approximate"
    assert run.provenance["resumed"] == [128]
    assert "the state of the environments cannot be saved" in (run.path / "log.txt").read_text()
    assert list(run.evaluations().steps) == list(sealed.evaluation.grid(sealed.steps))
    whole = train(sealed, tmp_path / "whole", checkpoint_seconds=0)
    assert json.loads((whole.path / "provenance.json").read_text())["resume"] == "approximate"
    assert outcome(whole) == outcome(train(sealed, tmp_path / "plain"))


def test_a_run_that_failed_starts_afresh(sealed: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert interrupted(train, sealed, tmp_path, 3, monkeypatch)
    monkeypatch.setattr(Sealed, "fault", 0.2)
    with pytest.raises(GameError):
        train(sealed, tmp_path)
    run = Run(tmp_path / sealed.key())
    assert run.state == "failed"
    assert not (run.path / "resume").exists()
    monkeypatch.setattr(Sealed, "fault", 0.0)
    assert train(sealed, tmp_path).provenance["resumed"] == []


class Forgetful(gym.Env[np.ndarray, Any], EzPickle):
    """A game that pickles as it was made, holds a function made in a function, and deals from shared cards."""

    observation_space, action_space = spaces.Box(0, 1, (2,), np.float32), spaces.Discrete(2)

    def __init__(self) -> None:
        EzPickle.__init__(self)
        self.cards = [1.0, 0.5, 0.25]
        self.dealt = {"from": self.cards}
        scale = 0.5
        self.seen = lambda first, second: np.array([scale * first, scale * second], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.cards[:] = self.np_random.random(3).tolist()
        return self.seen(self.cards[0], 0.0), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.cards.append(self.cards.pop(0) * 0.9)
        over = bool(self.np_random.random() < 0.1)
        return self.seen(self.dealt["from"][0], self.np_random.random()), float(action), over, False, {}


def test_a_game_that_pickles_forgetfully_resumes_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gym.register("tests/Forgetful-v0", Forgetful)
    try:
        _dies_at(config(task=Task(game="tests/Forgetful-v0")), (2, 3), tmp_path, monkeypatch)
    finally:
        del gym.registry["tests/Forgetful-v0"]


@pytest.mark.parametrize("whole", [False, True])
def test_replay_files_hold_what_the_buffer_holds(whole: bool, tmp_path: Path) -> None:
    """Written at irregular times, over many times round the buffer, some of them skipped."""
    held, read = (ReplayBuffer(20, BOX, spaces.Discrete(3), n_envs=2, optimize_memory_usage=False) for _ in range(2))
    files, draw, taken = ReplayFiles(tmp_path, "own", held), np.random.default_rng(0), 0
    for _ in range(30):
        for _ in range(int(draw.integers(1, 25 if whole else 9))):
            seen = draw.normal(size=(2, 2, 3)).astype(np.float32)
            held.add(seen[0], seen[1], draw.integers(0, 3, (2, 1)), draw.normal(size=2), draw.random(2) < 0.1, [{}, {}])
            taken += 2
        noted = files.write(taken)
        files.forget(noted["rows"] - held.buffer_size)
        assert len(list(tmp_path.glob("*.bin"))) <= 3
        check(tmp_path, "own", noted)
        ReplayFiles(tmp_path, "own", read).read(noted, taken)
        for name in ("observations", "next_observations", "actions", "rewards", "dones", "timeouts"):
            assert np.array_equal(getattr(held, name)[: held.size()], getattr(read, name)[: held.size()]), name
        assert (held.pos, held.full) == (read.pos, read.full)


def test_a_document_comes_back_as_it_was(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    document = {
        "plain": [None, True, 1.5, "ü", 2**100, float("inf")],
        (1, "tuple"): {"array": np.arange(6, dtype=np.uint8).reshape(2, 3), "number": np.float32(0.1)},
        "deque": deque([{"r": 1.0}, {"r": 2.0}], maxlen=2),
        "tensor": torch.randn(3, 2),
        "generators": [generator, torch.Generator().manual_seed(4), np.random.RandomState(5), random.Random(6)],
        "bytes": b"\x00\xff",
    }
    plain.save(tmp_path / "file.npz", document)
    wanted = [generator.random(), torch.rand(1, generator=document["generators"][1])]  # type: ignore[index]
    there: dict[Any, Any] = {"generators": [np.random.default_rng(9), torch.Generator()]}
    found = plain.Saved(tmp_path / "file.npz").onto(there)
    assert found["plain"] == document["plain"]
    assert found["deque"] == document["deque"]
    assert found["deque"].maxlen == 2
    assert found["bytes"] == b"\x00\xff"
    assert torch.equal(found["tensor"], document["tensor"])  # type: ignore[arg-type]
    assert np.array_equal(found[(1, "tuple")]["array"], np.arange(6).reshape(2, 3))
    assert type(found[(1, "tuple")]["number"]) is np.float32
    assert found["generators"][0] is there["generators"][0]
    assert [found["generators"][0].random(), torch.rand(1, generator=found["generators"][1])] == wanted
    with pytest.raises(plain.Unknown, match=r"_io\.BytesIO cannot be saved as plain data"):
        plain.save(tmp_path / "other.npz", {"file": io.BytesIO()})
