"""Distillation: how fast it learns from a data set, and how much a small student keeps. One command, two tables.

    .venv/bin/python benchmarks/distilling.py [speed | students] [--repeats 5] [--seeds 3] [--runs FOLDER]

`speed`: samples a second of passes over a data set through the same network, by `headstart distill`'s training, by a
plain loop of PyTorch, and by behavioural cloning of the package `imitation` (`benchmarks/peers.py make imitation`), in
alternation, CPU seconds of one thread, medians. `students`: on two games a teacher of 256 and 256 units and a student
with at most a tenth of its parameters; the student's score as a share of the teacher's, random play being 0.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from peers import PEERS
from torch import nn

from agents.algorithms import resolve
from agents.build import build_network
from agents.config import Evaluation, RunConfig
from agents.evaluation import evaluate
from agents.outputs import Outputs
from agents.policy import Policy
from agents.runs import Run
from envs.catalogue import find_game
from envs.interface import Interface
from envs.task import Task
from transfer.carry import train_run
from transfer.distillation.lessons import DataSet, Lesson
from transfer.distillation.settings import DistillationSettings
from transfer.distillation.spec import StudentSpec, distillation_run, parameters
from transfer.distillation.supervised import Supervised
from transfer.mapping import Mapping
from transfer.method import Teacher

BATCH = 256
SAMPLES = 20_480
SYMBOLS = spaces.Box(0, np.broadcast_to(np.array((10, 5, 2), np.uint8), (7, 7, 3)), dtype=np.uint8)
SHAPES = {
    "4 numbers, 2 actions": Interface(spaces.Box(-10, 10, (4,), np.float32), spaces.Discrete(2)),
    "7x7x3 symbols, 7 actions": Interface(SYMBOLS, spaces.Discrete(7)),
}
STUDENTS = {"headstart/CartPole-v1": (60_000, [32]), "headstart/DoorKey-5x5-v0": (150_000, [16])}
"""Game → the teacher's steps and the student's hidden sizes."""
TRANSITIONS = 20_000
EPISODES = 200
EPOCHS = 5


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("speed", "students"))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, help="where teachers and students are kept; by default nowhere")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.what in (None, "speed"):
        speed(options.repeats)
    if options.what in (None, "students"):
        with tempfile.TemporaryDirectory() as folder:
            students(options.seeds, options.runs or Path(folder))


def speed(repeats: int) -> None:
    """Print samples a second."""
    for name, known in SHAPES.items():
        found = measured(ways(known), repeats)
        plain = found["plain PyTorch"]
        print(f"\n{name}: samples a second, minibatches of {BATCH}, 64 and 64 tanh units")
        for way, seconds in found.items():
            print(f"  {way:24}{EPOCHS * SAMPLES / seconds:12,.0f}   {plain / seconds:.2f} of plain PyTorch")
    print(f"\n  imitation's BC          {imitation(repeats)}")


def measured(ways: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Median CPU seconds of each way, in alternation, after one round that counts for nothing."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for round_ in range(repeats + 1):
        for way, run in ways.items():
            start = time.process_time()
            run()
            if round_:
                times[way].append(time.process_time() - start)
    return {way: statistics.median(found) for way, found in times.items()}


def ways(known: Interface) -> dict[str, Callable[[], None]]:
    """Name → the passes over the data."""
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(SAMPLES, 4)).astype(np.float32)
    if isinstance(known.observation_space, spaces.Box) and known.observation_space.dtype == np.uint8:
        seen = rng.integers(0, 3, (SAMPLES, 7, 7, 3)).astype(np.uint8)
    logits = torch.randn(SAMPLES, known.action_space.n)  # type: ignore[attr-defined]
    return {
        "headstart distill": ours(known, seen, logits),
        "plain PyTorch": plain(known, seen, logits),
    }


def fresh(known: Interface) -> Policy:
    """A PPO's policy with two halves of 64 and 64 tanh units."""
    architecture = {"net_arch": [64, 64], "activation": "tanh"}
    return Policy(build_network("ppo", architecture, known), known, "ppo", architecture, {})


def ours(known: Interface, seen: np.ndarray, logits: torch.Tensor) -> Callable[[], None]:
    """As `headstart distill` learns."""
    settings = DistillationSettings(epochs=EPOCHS, batch_size=BATCH, value=0.0)
    teacher = Teacher(fresh(known), Mapping.between(known, known))
    supervised = Supervised(fresh(known), [teacher], settings, seed=0)
    data = DataSet(seen, (Lesson(Outputs("categorical", logits)),))
    return lambda: _nothing(supervised.fit(data))


def plain(known: Interface, seen: np.ndarray, logits: torch.Tensor) -> Callable[[], None]:
    """A loop over tensors, through the same layers, with the same loss and optimiser."""
    policy: Any = fresh(known).network
    network = nn.Sequential(policy.features_extractor, policy.mlp_extractor.policy_net, policy.action_net)
    observations, targets = torch.as_tensor(seen), torch.log_softmax(logits, dim=-1)
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)

    def run() -> None:
        for _ in range(EPOCHS):
            order = torch.randperm(SAMPLES)
            for start in range(0, SAMPLES, BATCH):
                rows = order[start : start + BATCH]
                given = torch.log_softmax(network(observations[rows].float()), dim=-1)
                loss = nn.functional.kl_div(given, targets[rows], reduction="batchmean", log_target=True)
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()

    return run


def _nothing(_: Any) -> None:
    """Of what a call returned."""


def imitation(repeats: int) -> str:
    """Samples a second of its BC on four numbers, or why it was not measured."""
    peer = PEERS["imitation"]
    why = peer.why_not()
    if why is not None:
        return f"not measured: {why}"
    runner = Path(__file__).parent / "peer_runs" / "imitation_bc.py"
    command = [str(peer.python), str(runner), f"--samples={SAMPLES}", f"--batch={BATCH}", f"--repeats={repeats}"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return f"not measured: {(done.stderr.strip().splitlines() or ['it failed'])[-1]}"
    seconds: float = json.loads(done.stdout.splitlines()[-1])["seconds"]
    return f"{SAMPLES / seconds:12,.0f}   on 4 numbers, 2 actions"


def students(seeds: int, root: Path) -> None:
    """Print what small students keep of their teachers."""
    for game, (steps, sizes) in STUDENTS.items():
        random = find_game(game).random or 0.0
        print(f"\n{game}: {TRANSITIONS:,} transitions, {EPISODES} episodes each, random play {random:.2f}")
        kept = []
        for seed in range(seeds):
            teacher = train_run(config(game, seed, steps, [256, 256]), root)
            for way, rounds in (("distill", None), ("dagger", 5)):
                student = distilled(teacher, sizes, seed, rounds, root)
                scores = [score(run) for run in (teacher, student)]
                counts = [parameters(run.policy().network) for run in (teacher, student)]
                kept.append((way, (scores[1] - random) / (scores[0] - random)))
                print(
                    f"  seed {seed} {way:8} teacher {counts[0]:,} parameters {scores[0]:8.2f}   student {counts[1]:,} "
                    f"({counts[1] / counts[0]:.1%}) {scores[1]:8.2f}   keeps {kept[-1][1]:.1%}"
                )
        for way in ("distill", "dagger"):
            shares = [share for name, share in kept if name == way]
            print(f"  {way}: mean {statistics.mean(shares):.1%}, least {min(shares):.1%}")


def config(game: str, seed: int, steps: int, sizes: list[int]) -> RunConfig:
    """A teacher's training."""
    task = Task(game=game)
    hyperparameters = resolve(task, "ppo", {"net_arch": sizes})
    return RunConfig(
        task=task, hyperparameters=hyperparameters, steps=steps, seed=seed, evaluation=Evaluation(every=steps)
    )


def distilled(teacher: Run, sizes: list[int], seed: int, rounds: int | None, root: Path) -> Run:
    """What `headstart distill` makes of a teacher."""
    spec = StudentSpec.of({"net_arch": sizes})
    told = [(teacher.key, teacher.config, None)]
    return train_run(distillation_run(told, spec, task=None, steps=TRANSITIONS, seed=seed, rounds=rounds), root)


def score(run: Run) -> float:
    """The mean return over held-out episodes, actions sampled as the protocol has it."""
    return evaluate(run.policy(), run.config.task, episodes=EPISODES, seed=run.config.seed).mean


if __name__ == "__main__":
    main()
