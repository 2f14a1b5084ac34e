"""What the server that workers are forked from imports, once for all of them; nobody else imports this.

The first optimiser of a process imports `torch._dynamo`, which takes seconds: it is here too.
"""
# ruff: noqa: F401

import atexit
import os

import gymnasium
import stable_baselines3
import torch._dynamo
import torch.utils.tensorboard

import agents.dqn
import agents.ppo
import agents.training
import envs.cartpole
import envs.vector
import transfer.carry
import transfer.methods.finetune
import transfer.methods.kickstart
import transfer.methods.shape
import transfer.study.execute

if "HEADSTART_FORK_SERVER" in os.environ:
    atexit.register(os._exit, 0)  # it has nothing to clean up, and taking torch apart would take it seconds
