"""Training: a run is a function of its config, evaluations leave no trace, and what goes wrong is written down."""

import json
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from safetensors.torch import load_file
from stable_baselines3.common.vec_env import VecEnvWrapper

from agents.algorithms import resolve
from agents.config import Evaluation, RunConfig
from agents.evaluation import SEED_BASE, evaluate
from agents.hooks import Hooks
from agents.networks import normaliser
from agents.runs import Run, find_policy
from agents.training import train, training_seed
from envs.errors import ConfigError, GameError
from envs.task import Change, Task

CARTPOLE = Task(game="headstart/CartPole-v1")
SMALL: dict[str, dict[str, Any]] = {
    "ppo": {"n_envs": 4, "n_steps": 16, "batch_size": 32, "n_epochs": 2, "net_arch": [8]},
    "a2c": {"n_envs": 3, "n_steps": 5, "net_arch": [8]},
    "dqn": {"n_envs": 1, "learning_starts": 40, "buffer_size": 500, "target_update_interval": 50, "net_arch": [8]},
    "sac": {"n_envs": 1, "learning_starts": 40, "buffer_size": 500, "net_arch": [8]},
}


PENDULUM = Task(game="Pendulum-v1", change=Change(time_limit=10))
learners = pytest.mark.parametrize(
    ("algorithm", "task"), [("ppo", CARTPOLE), ("a2c", CARTPOLE), ("dqn", CARTPOLE), ("sac", PENDULUM)], ids=str
)


def config(algorithm: str = "ppo", task: Task = CARTPOLE, **changes: Any) -> RunConfig:
    settings = {**SMALL[algorithm], **changes.pop("settings", {})}
    defaults = {"steps": 100 if algorithm == "sac" else 200, "evaluation": Evaluation(every=75, episodes=4), "seed": 1}
    return RunConfig(
        task=task, algorithm=algorithm, hyperparameters=resolve(task, algorithm, settings), **(defaults | changes)
    )


def weights(run: Run) -> dict[str, torch.Tensor]:
    return load_file(run.path / "policy" / "policy.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@learners
def test_the_same_config_gives_the_same_run_bit_for_bit(algorithm: str, task: Task, tmp_path: Path) -> None:
    wanted = config(algorithm, task)
    runs = []
    for place in ("one", "two"):
        torch.manual_seed(len(runs))  # whatever was drawn before
        np.random.seed(len(runs))  # noqa: NPY002
        runs.append(train(wanted, tmp_path / place))
    assert same(weights(runs[0]), weights(runs[1]))
    rows = [(run.path / "evaluations.csv").read_bytes() for run in runs]
    assert rows[0] == rows[1]
    other = train(wanted.model_copy(update={"seed": 2}), tmp_path / "one")
    assert not same(weights(runs[0]), weights(other))


@learners
def test_evaluations_leave_no_trace_in_the_weights(algorithm: str, task: Task, tmp_path: Path) -> None:
    often = config(algorithm, task, evaluation=Evaluation(every=17, episodes=5, mode="sampled"))
    never = config(algorithm, task, evaluation=Evaluation(every=10**6, episodes=1, snapshots=()))
    assert same(weights(train(often, tmp_path)), weights(train(never, tmp_path)))


@pytest.mark.parametrize(("algorithm", "every"), [("ppo", 75), ("a2c", 1), ("dqn", 7)])
def test_evaluations_sit_on_the_grid(algorithm: str, every: int, tmp_path: Path) -> None:
    told: list[tuple[int, float]] = []
    wanted = config(algorithm, steps=41, evaluation=Evaluation(every=every, episodes=2))
    run = train(wanted, tmp_path, on_evaluation=lambda step, mean: told.append((step, mean)))
    found = run.evaluations()
    assert found.steps.tolist() == wanted.evaluation.grid(41) == [step for step, _ in told]
    assert found.means.tolist() == [mean for _, mean in told]
    assert (found.seeds == SEED_BASE + np.arange(2)).all()


class Watcher(Hooks):
    """Keeps the learner in sight."""

    def initialise(self, learner: Any) -> None:
        self.learner = learner
        self.seeds = list(learner.env.unwrapped._seeds)
        self.threads = torch.get_num_threads()


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_the_last_evaluation_is_of_the_policy_that_is_kept(algorithm: str, tmp_path: Path) -> None:
    hooks, evaluated = Watcher(), {}

    def look(step: int, mean: float) -> None:
        evaluated[step] = {name: tensor.clone() for name, tensor in hooks.learner.policy.state_dict().items()}

    run = train(config(algorithm), tmp_path, hooks=hooks, on_evaluation=look)
    assert same(evaluated[200], run.policy().network.state_dict())
    assert not same(evaluated[200], evaluated[150])
    again = evaluate(run.policy(), CARTPOLE, episodes=4, mode="greedy")
    if algorithm == "dqn":
        np.testing.assert_array_equal(again.returns, run.evaluations().returns[-1])


def test_threads_and_generators_are_as_before(tmp_path: Path) -> None:
    hooks, threads = Watcher(), torch.get_num_threads()
    torch.manual_seed(123)
    before = torch.get_rng_state()
    train(config(threads=threads + 1), tmp_path, hooks=hooks)
    assert (hooks.threads, torch.get_num_threads()) == (threads + 1, threads)
    assert torch.equal(torch.get_rng_state(), before)


def test_training_environments_have_seeds_of_their_own(tmp_path: Path) -> None:
    hooks = Watcher()
    train(config(), tmp_path, hooks=hooks)
    assert hooks.seeds == [training_seed(1) + number for number in range(4)]


def test_an_evaluation_within_a_rollout_is_of_the_policy_that_collects_it(tmp_path: Path) -> None:
    settings = {"n_envs": 2, "n_steps": 32, "batch_size": 64}
    wanted = config(steps=128, settings=settings, evaluation=Evaluation(every=20, episodes=4, mode="greedy"))
    returns = train(wanted, tmp_path).evaluations().returns  # at 0, 20, 40, 60, 80, 100, 120, 128
    assert (returns[:4] == returns[0]).all()
    assert (returns[4:7] == returns[4]).all()


class Recorder(Hooks):
    """Writes down what is called."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def build(self, hyperparameters: dict[str, Any]) -> dict[str, Any]:
        self.calls.append("build")
        return hyperparameters | {"net_arch": [5]}

    def wrap(self, venv: Any) -> Any:
        self.calls.append("wrap")
        return Doubling(venv)

    def initialise(self, learner: Any) -> None:
        self.calls.append("initialise")
        torch.nn.init.constant_(learner.policy.action_net.bias, 0.25)

    def schedule(self, progress: float) -> None:
        self.calls.append(progress)


class Doubling(VecEnvWrapper):
    """Rewards that are not the game's own."""

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Any:
        observations, rewards, dones, infos = self.venv.step_wait()
        return observations, 2 * rewards + 1000, dones, infos


def test_hooks_are_called_in_their_order_and_decide(tmp_path: Path) -> None:
    hooks = Recorder()
    run = train(config(), tmp_path, hooks=hooks)
    assert hooks.calls == ["build", "wrap", "initialise", 0.0, 64 / 200, 128 / 200, 192 / 200]
    assert run.policy().architecture["net_arch"] == [5]
    start = run.policy(0)
    assert torch.equal(start.network.action_net.bias, torch.full((2,), 0.25))  # type: ignore[attr-defined, arg-type]
    assert (run.evaluations().returns < 1000).all()


def test_an_auxiliary_loss_reaches_the_weights(tmp_path: Path) -> None:
    class Auxiliary(Hooks):
        uses_auxiliary_loss = True
        calls = 0

        def auxiliary_loss(self, batch: Any) -> torch.Tensor:
            Auxiliary.calls += 1
            return 10 * batch.outputs.head.square().mean()

    with_loss, without = (train(config(seed=3), tmp_path / str(hooks), hooks=hooks) for hooks in (Auxiliary(), None))
    assert Auxiliary.calls == 4 * 2 * 2  # rollouts, epochs, minibatches
    assert not same(weights(with_loss), weights(without))


def test_a_normaliser_is_kept_up_to_date(tmp_path: Path) -> None:
    run = train(config(settings={"normalise_observations": True}), tmp_path)
    module = normaliser(run.policy().network)
    assert module is not None
    assert module.count.tolist() == [192.0] * 4  # 4 rollouts of 64, the last one's are not needed any more
    first = normaliser(run.policy(0).network)
    assert first is not None
    assert first.count.tolist() == [0.0] * 4


def test_the_folder_holds_what_it_should(tmp_path: Path) -> None:
    wanted = config()
    run = train(wanted, tmp_path)
    assert run.path == tmp_path / wanted.key()
    assert run.config == wanted
    names = {entry.name.split(".out.")[0] for entry in run.path.iterdir()} - {".lock"}
    assert names == {
        *("config.json", "provenance.json", "log.txt", "evaluations.csv", "progress.csv", "events"),
        *("policy", "snapshots", "DONE"),
    }
    provenance = run.provenance
    assert provenance["versions"]["torch"] == torch.__version__
    assert provenance["steps_taken"] == 256
    for name in ("training_wall", "training_cpu", "evaluation_wall", "evaluation_cpu"):
        assert provenance[f"{name}_seconds"] > 0
    assert "step 200: mean return" in (run.path / "log.txt").read_text()
    assert "rollout/ep_rew_mean" in (run.path / "progress.csv").read_text().splitlines()[0]
    assert json.loads((run.path / "policy" / "policy.json").read_text())["provenance"]["run"] == run.key


def test_policies_on_the_way_are_kept(tmp_path: Path) -> None:
    run = train(config(), tmp_path)
    assert list(run.snapshots()) == [0, 20, 100]
    assert not same(run.policy(0).network.state_dict(), run.policy(100).network.state_dict())
    assert same(run.policy(200).network.state_dict(), run.policy().network.state_dict())
    with pytest.raises(Exception, match="kept no policy at step 50; kept: 0, 20, 100"):
        run.policy(50)
    for step, nearest in ((0, 0), (50, 20), (90, 100), (190, 200)):
        near = find_policy(run.key, tmp_path, step=step)
        assert same(near.network.state_dict(), run.policy(nearest).network.state_dict())
    assert same(find_policy(run.path / "policy", tmp_path).network.state_dict(), run.policy().network.state_dict())
    with pytest.raises(ConfigError, match="holds one policy"):
        find_policy(run.path / "policy", tmp_path, step=3)


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    run = train(config(), tmp_path)
    written = (run.path / "DONE").stat().st_mtime_ns
    assert train(config(), tmp_path, on_evaluation=lambda *_: pytest.fail("trained again")) == run
    assert (run.path / "DONE").stat().st_mtime_ns == written


def test_what_was_left_unfinished_starts_afresh(tmp_path: Path) -> None:
    reference = train(config(), tmp_path / "reference")

    def interrupt(step: int, mean: float) -> None:
        if step == 75:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config(), tmp_path, on_evaluation=interrupt)
    run = Run(tmp_path / config().key())
    assert run.state == "unfinished"
    assert run.evaluations().steps.tolist() == [0, 75]
    assert not run.locked
    (run.path / "FAILED").write_text("of long ago")
    (run.path / "policy").mkdir()
    assert train(config(), tmp_path).state == "done"
    assert (run.path / "evaluations.csv").read_bytes() == (reference.path / "evaluations.csv").read_bytes()
    assert same(weights(run), weights(reference))
    assert not (run.path / "FAILED").exists()


class Faulty(gym.Env[np.ndarray, int]):
    """Breaks its contract in the tenth step of its life, one way or another."""

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, fault: str) -> None:
        self.fault, self.steps = fault, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.inside = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps, self.inside = self.steps + 1, self.inside + 1
        broken = self.steps == 10
        if broken and self.fault == "raises":
            raise ZeroDivisionError("no such\nplace")
        reward = float("nan") if broken and self.fault == "nan" else 1.0
        return np.zeros(2, np.float32), reward, self.inside == 4, False, {}


@pytest.fixture
def faulty() -> Iterator[None]:
    gym.register("HeadstartTests/Faulty-v0", Faulty)
    yield
    del gym.registry["HeadstartTests/Faulty-v0"]


@pytest.mark.usefixtures("faulty")
@pytest.mark.parametrize(
    ("fault", "words"), [("raises", "raised ZeroDivisionError"), ("nan", "returned the reward nan")]
)
def test_a_game_that_breaks_is_written_down(fault: str, words: str, tmp_path: Path) -> None:
    wanted = config(task=Task(game="HeadstartTests/Faulty-v0", arguments={"fault": fault}))
    with pytest.raises(GameError, match=words):
        train(wanted, tmp_path)
    run = Run(tmp_path / wanted.key())
    assert run.state == "failed"
    assert run.failure is not None
    assert words in run.failure
    assert "\n" not in run.failure
    assert "step" in run.failure
    assert run.evaluations().steps.tolist() == [0]
    assert not run.locked


def test_our_own_faults_are_written_down_too(tmp_path: Path) -> None:
    class Broken(Hooks):
        def initialise(self, learner: Any) -> None:
            raise IndexError("no such\nlayer")

    with pytest.raises(IndexError):
        train(config(), tmp_path, hooks=Broken())
    run = Run(tmp_path / config().key())
    assert run.failure == "IndexError: no such layer"
    assert "Traceback" in (run.path / "log.txt").read_text()


def test_a_full_disk_is_no_failure_of_the_run(tmp_path: Path) -> None:
    def full(step: int, mean: float) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        train(config(), tmp_path, on_evaluation=full)
    assert Run(tmp_path / config().key()).state == "unfinished"


@learners
def test_weights_that_diverge_are_said_so(algorithm: str, task: Task, tmp_path: Path) -> None:
    class Poison(Hooks):
        def schedule(self, progress: float) -> None:
            if progress > 0.5:
                with torch.no_grad():
                    for parameter in self.learner.policy.parameters():
                        parameter.fill_(float("nan"))

        def initialise(self, learner: Any) -> None:
            self.learner = learner

    with pytest.raises(ConfigError, match=r"learning diverged: .* no longer finite at step \d+; lower learning_rate"):
        train(config(algorithm, task), tmp_path, hooks=Poison())


def test_one_process_at_a_time(tmp_path: Path) -> None:
    run = Run(tmp_path / config().key())
    run.path.mkdir()
    with (
        run.lock(),
        pytest.raises(ConfigError, match=rf"run {run.key} is being trained by another process: wait for it"),
    ):
        train(config(), tmp_path)
    assert train(config(), tmp_path).done


def test_waiting_for_another_process_gives_its_run(tmp_path: Path) -> None:
    done = train(config(), tmp_path / "elsewhere")
    run = Run(tmp_path / config().key())
    run.path.mkdir()
    held = threading.Event()

    def other() -> None:
        with run.lock():
            held.set()
            time.sleep(0.2)
            for name in ("config.json", "evaluations.csv", "DONE"):
                (run.path / name).write_bytes((done.path / name).read_bytes())

    thread = threading.Thread(target=other)
    thread.start()
    held.wait()
    found = train(config(), tmp_path, wait=True, on_evaluation=lambda *_: pytest.fail("trained again"))
    thread.join()
    assert found.done


def test_progress_is_told_now_and_then(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    train(config("dqn"), tmp_path, on_progress=lambda *progress: told.append(progress))
    assert told[-1] == (200, 200)
    assert len(told) < 100
    assert [step for step, _ in told] == sorted(step for step, _ in told)


def test_training_seeds_are_apart_from_each_other_and_from_evaluation() -> None:
    seeds = [training_seed(seed) for seed in range(1000)]
    assert max(seeds) + 2**16 <= SEED_BASE
    assert np.diff(np.sort(seeds)).min() > 64


def test_nothing_is_printed_or_warned(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(config(), tmp_path)
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "")


def test_several_agents_train(tmp_path: Path) -> None:
    pytest.importorskip("mpe2")
    task = Task(game="mpe2/simple_spread_v3")
    settings = {"n_envs": 1, "n_steps": 32, "batch_size": 32}
    run = train(config(task=task, settings=settings, evaluation=Evaluation(every=100, episodes=2)), tmp_path)
    assert run.evaluations().returns.shape == (3, 2)
    assert run.policy().act(np.zeros((3, 18), np.float32), mode="greedy").shape == (3,)


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_pixels_train_and_evaluate(algorithm: str, tmp_path: Path) -> None:
    gym.register("HeadstartTests/Pixels-v0", Pixels)
    try:
        task = Task(game="HeadstartTests/Pixels-v0")
        settings = {"encoder": "nature", "net_arch": [], "n_envs": 2 if algorithm == "ppo" else 1}
        run = train(config(algorithm, task, steps=64, settings=settings), tmp_path)
        assert run.evaluations().lengths.tolist() == [[3] * 4] * 2
        assert run.policy().network.observation_space.shape == (1, 40, 36)
        assert run.policy().interface.observation_space.shape == (40, 36, 1)
    finally:
        del gym.registry["HeadstartTests/Pixels-v0"]


class Pixels(gym.Env[np.ndarray, int]):
    """Grey pictures, for three steps."""

    observation_space = spaces.Box(0, 255, (40, 36, 1), np.uint8)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = 3
        return np.zeros((40, 36, 1), np.uint8), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.left -= 1
        return np.full((40, 36, 1), self.left, np.uint8), 1.0, self.left == 0, False, {}


def test_a_run_that_carries_something_is_not_trained_from_scratch(tmp_path: Path) -> None:
    config = RunConfig(task=CARTPOLE, steps=64, hyperparameters=SMALL["ppo"], transfer={"source": "a", "by": []})
    with pytest.raises(ConfigError, match="says that something is carried into it, and found no hooks"):
        train(config, tmp_path)
    assert list(tmp_path.iterdir()) == []


GAME = """
import gymnasium
from stable_baselines3.common.torch_layers import FlattenExtractor
from gymnasium.envs.classic_control import CartPoleEnv

class Mine(CartPoleEnv):
    pass

class Flat(FlattenExtractor):
    pass

gymnasium.register("MineByText-v0", "mine_by_text:Mine")
"""


def test_a_users_game_and_encoder_are_part_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine_by_text.py"
    monkeypatch.syspath_prepend(tmp_path)
    theirs = RunConfig(task=Task(game="mine_by_text:MineByText-v0"), steps=64)
    encoder = RunConfig(task=CARTPOLE, steps=64, hyperparameters={"encoder": "mine_by_text:Flat"})
    keys = []
    for text in (GAME, GAME + "# changed\n"):
        file.write_text(text)
        keys.append([config.with_sources().key() for config in (theirs, encoder)])
    gym.registry.pop("MineByText-v0")
    assert len({key for both in keys for key in both}) == 4


def test_the_version_of_the_games_package_is_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"minigrid": "3.1.0", "sb3-contrib": "2.9.0"}
    monkeypatch.setattr("agents.config._version", lambda name: versions.get(name.replace("_", "-"), "1"))
    grid = RunConfig(task=Task(game="MiniGrid-DoorKey-5x5-v0"), steps=64)
    pole = RunConfig(task=CARTPOLE, steps=64)
    other = RunConfig(task=CARTPOLE, steps=64, algorithm="trpo")
    before = [config.key() for config in (grid, pole, other)]
    versions |= {"minigrid": "3.2.0", "sb3-contrib": "2.9.1"}
    after = [config.key() for config in (grid, pole, other)]
    assert [one == two for one, two in zip(before, after, strict=True)] == [False, True, False]


class Spender(Hooks):
    """Takes transitions of the target before learning, in two goes, and one at every step of the learner."""

    def __init__(self, before: int = 80) -> None:
        self.before, self.unseen = before, 0

    @property
    def taken(self) -> int:
        return self.unseen

    def prepare(self, learner: Any, spend: Any) -> None:
        for _ in range(2):
            learner.policy.load_state_dict({k: v + 0.25 for k, v in learner.policy.state_dict().items()})
            spend(self.before // 2)

    def wrap(self, venv: Any) -> Any:
        outer = self

        class Guided(VecEnvWrapper):
            def reset(self) -> Any:
                return self.venv.reset()

            def step_wait(self) -> Any:
                outer.unseen += 1
                return self.venv.step_wait()

        return Guided(venv)


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_transitions_taken_besides_the_learners_own_count_on_its_budget(algorithm: str, tmp_path: Path) -> None:
    run = train(config(algorithm, settings={"n_envs": 1, "batch_size": 16}), tmp_path, hooks=Spender())
    provenance = json.loads((run.path / "provenance.json").read_text())
    assert provenance["steps_before_learning"] == 80
    own = provenance["steps_taken"] - 80 - provenance["steps_unseen"]
    assert own == provenance["steps_unseen"] == pytest.approx(60, abs=16)
    assert list(run.evaluations().steps) == [0, 75, 150, 200]


def test_evaluations_show_what_was_done_before_learning_after_its_steps(tmp_path: Path) -> None:
    seen: dict[int, float] = {}
    hooks = Spender(before=160)

    def look(step: int, mean: float) -> None:
        seen[step] = hooks.unseen

    train(config(), tmp_path, hooks=hooks, on_evaluation=look)
    assert seen[0] == seen[75] == seen[150] == 0
    assert seen[200] > 0


def test_a_budget_spent_before_learning_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"200 steps of the target were taken .* the budget is 200"):
        train(config(), tmp_path, hooks=Spender(before=200))
