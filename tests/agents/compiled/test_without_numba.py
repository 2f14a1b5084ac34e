"""Where numba cannot be imported, learning goes on through PyTorch and says that it is slower."""

import subprocess
import sys
from pathlib import Path

WITHOUT = """
import sys
sys.modules["numba"] = None
import logging
logging.basicConfig(level="WARNING")
from agents.config import Evaluation, RunConfig
from agents.algorithms import resolve
from agents.training import train
from envs.task import Task
task = Task(game="headstart/CartPole-v1")
few = {"n_envs": 2, "n_steps": 16, "batch_size": 32, "n_epochs": 1}
config = RunConfig(
    task=task, hyperparameters=resolve(task, "ppo", few), steps=64, evaluation=Evaluation(every=64, episodes=2)
)
assert train(config, sys.argv[1]).done
"""


def test_without_numba_learning_is_slower_and_says_so(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("learning goes through PyTorch instead of compiled code, several times slower") == 1
