"""Interfaces with names, and teachers that know something definite: random weights, biases and statistics."""

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.dqn.policies import DQNPolicy

from agents.algorithms import build_learner, resolve
from agents.build import build_network
from agents.config import Evaluation, RunConfig
from agents.encoders import Normaliser
from agents.policy import Policy
from envs.interface import Interface
from envs.task import Change, Task
from envs.vector import interface, make_vec
from transfer.carry import Carry, carrying
from transfer.mapping import Mapping
from transfer.method import Context

CHOICES = spaces.Discrete(2)


def vector(*names, actions=("left", "right")):
    box = spaces.Box(-np.inf, np.inf, (len(names),), np.float32)
    return Interface(box, spaces.Discrete(len(actions)), names, tuple(actions))


def unnamed(observation, action=CHOICES):
    return Interface(observation, action)


def make_teacher(algorithm, interface, architecture, seed=0):
    """A policy with random weights, biases and statistics."""
    network = build_network(algorithm, architecture, interface)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.7 * torch.randn(parameter.shape, generator=generator))
        for module in network.modules():
            if isinstance(module, Normaliser):
                shape = module.mean.shape
                module.mean.copy_(torch.randn(shape, generator=generator))
                module.var.copy_(0.1 + 3 * torch.rand(shape, generator=generator))
                module.count.fill_(1000.0)
    if isinstance(network, DQNPolicy):
        network.q_net_target.load_state_dict(network.q_net.state_dict())
    return Policy(network, interface, algorithm, architecture, {})


CARTPOLE = Task(game="headstart/CartPole-v1")
SHORT = Task(game="headstart/CartPole-v1", change=Change(time_limit=15))
SMALL = {"n_envs": 2, "net_arch": [8], "activation": "tanh", "normalise_observations": False}
ON_POLICY = {"n_steps": 32, "gae_lambda": 0.95}
OFF_POLICY = {"batch_size": 16, "buffer_size": 1000, "learning_starts": 50, "train_freq": 4, "gradient_steps": 1}
FAST = {
    **{key: {**SMALL, **ON_POLICY, "batch_size": 16, "n_epochs": 2} for key in ("ppo", "sb3-ppo")},
    "a2c": {**SMALL, **ON_POLICY},
    **{key: {**SMALL, **OFF_POLICY, "exploration_fraction": 0.1} for key in ("dqn", "sb3-dqn")},
}
"""Hyperparameters that need no preset, so that the tests do not move with the presets."""


def context(task=CARTPOLE, *, algorithm="ppo", source="ppo", architecture=None, steps=1000, **overrides):
    """A run on a task, with a random teacher of the same game."""
    venv = make_vec(task)
    known = interface(venv)
    venv.close()
    chosen = architecture or {"net_arch": [8], "activation": "tanh", "normalise_observations": False}
    return Context(
        teacher=make_teacher(source, known, chosen),
        mapping=Mapping.between(known, known),
        task=task,
        algorithm=algorithm,
        hyperparameters=resolve(task, algorithm, FAST[algorithm] | overrides),
        steps=steps,
        seed=0,
    )


def learner_of(methods, run):
    """The learner of a run as training builds it, with its methods at work."""
    methods.bind(run)
    hyperparameters = methods.build(dict(run.hyperparameters))
    venv = methods.wrap(make_vec(run.task, n_envs=hyperparameters["n_envs"], seed=3))
    learner = build_learner(run.algorithm, venv, hyperparameters, seed=run.seed)
    methods.initialise(learner)
    return learner


def run_config(task=SHORT, *, algorithm="ppo", steps=128, seed=0, **overrides):
    return RunConfig(
        task=task,
        algorithm=algorithm,
        hyperparameters=resolve(task, algorithm, FAST[algorithm] | overrides),
        steps=steps,
        seed=seed,
        evaluation=Evaluation(every=64, episodes=3, mode="greedy"),
    )


def carried(config, source, by, **more):
    return carrying(config, Carry(source=source.key(), by=by, **more))
