"""A teacher that knows nothing, of the same scale: its weights shuffled, as a control."""

import zlib

import torch

from agents.generators import derived_seed
from agents.policy import Policy

STREAM = 0x5BAFF1E
"""Keeps the permutations apart from all else that a run draws by its seed."""


def shuffled(policy: Policy, seed: int) -> Policy:
    """The policy with the entries of each weight tensor permuted at random, in place.

    What stays is each tensor's size, and with it its scale, norm and histogram; what goes is what was learnt. The
    normaliser's statistics stay: they say what the game looks like, and not how to play it. A target network is
    permuted as the network that it follows. The permutation of a tensor depends on its name, its size and the seed.
    """
    with torch.no_grad():
        for name, weight in policy.network.named_parameters():
            known = zlib.crc32(name.replace("_target", "").encode())
            generator = torch.Generator().manual_seed(derived_seed(STREAM, seed, known))
            order = torch.randperm(weight.numel(), generator=generator).to(weight.device)
            weight.copy_(weight.flatten()[order].view_as(weight))
    return policy
