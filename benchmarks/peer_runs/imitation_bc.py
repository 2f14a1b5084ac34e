"""Behavioural cloning of the package `imitation`, as its documentation uses it: CPU seconds of one epoch, the median.

PYTHON benchmarks/peer_runs/imitation_bc.py --samples 20480 --batch 256 --repeats 5
"""

import argparse
import json
import statistics
import time

import numpy as np
import torch
from gymnasium import spaces
from imitation.algorithms import bc
from imitation.data.types import Transitions
from imitation.util import logger
from stable_baselines3.common.policies import ActorCriticPolicy

parser = argparse.ArgumentParser()
for name in ("samples", "batch", "repeats"):
    parser.add_argument(f"--{name}", type=int, required=True)
options = parser.parse_args()
torch.set_num_threads(1)
rng, n = np.random.default_rng(0), options.samples
observations, actions = spaces.Box(-10, 10, (4,), np.float32), spaces.Discrete(2)
seen = rng.normal(size=(n, 4)).astype(np.float32)
data = Transitions(
    obs=seen,
    acts=rng.integers(0, 2, n),
    infos=np.array([{}] * n),
    next_obs=seen,
    dones=np.zeros(n, dtype=bool),
)
policy = ActorCriticPolicy(observations, actions, lambda _: 1e-3, net_arch=[64, 64])
trainer = bc.BC(
    observation_space=observations,
    action_space=actions,
    demonstrations=data,
    policy=policy,
    batch_size=options.batch,
    rng=rng,
    device="cpu",
    custom_logger=logger.configure(format_strs=[]),
)
times = []
for _ in range(options.repeats + 1):
    start = time.process_time()
    trainer.train(n_epochs=1, progress_bar=False, log_interval=10**9)
    times.append(time.process_time() - start)
print(json.dumps({"seconds": statistics.median(times[1:])}))
