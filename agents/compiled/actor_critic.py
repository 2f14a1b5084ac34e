"""An actor-critic of Stable-Baselines3 as arrays for compiled code: weights and Adam's moments in, and back again."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import CategoricalDistribution
from stable_baselines3.common.policies import ActorCriticPolicy, MultiInputActorCriticPolicy
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import FlattenExtractor, MlpExtractor
from torch import Tensor, nn

from agents.compiled import stacks, steps
from agents.encoders import FlatEncoder, Planes, PlanesEncoder, SymbolsEncoder
from agents.masking import MaskedActorCritic
from agents.optimising import unfuse
from envs.masks import MASK, SEEN, inner

KINDS: dict[type[nn.Module], int] = {nn.Tanh: stacks.TANH, nn.ReLU: stacks.RELU}


class Layer(NamedTuple):
    """One linear layer and the activation after it."""

    linear: nn.Linear
    kind: int


def layers_of(*modules: nn.Module) -> list[Layer] | None:
    """The layers of a stack, in order; None if there is something else in it."""
    found: list[Layer] = []
    flat = [part for module in modules for part in (module if isinstance(module, nn.Sequential) else [module])]
    for part in flat:
        if type(part) is nn.Linear and part.bias is not None:
            found.append(Layer(part, stacks.LINEAR))
        elif type(part) in KINDS and found and found[-1].kind == stacks.LINEAR:
            found[-1] = Layer(found[-1].linear, KINDS[type(part)])
        elif type(part) is not nn.Identity:
            return None
    return found


@dataclass
class Inputs:
    """How observations enter: as numbers, normalised or not, or as lists of the planes that are on."""

    width: int
    """Numbers or symbols of one observation."""
    positions: np.ndarray
    """(4, n_positions) int32, as `stacks` says; empty if observations are numbers."""
    encoder: Any
    parts: tuple[str, ...] = ()
    """Of a Dict of symbols: the parts whose symbols stand side by side, in this order."""
    masked: bool = False
    """Whether observations say which actions are legal."""

    @classmethod
    def of(cls, policy: Any) -> Self | None:
        """Of a policy's encoder; None if it is one that learns, or unknown here."""
        found = cls._of_seen(policy.features_extractor, inner(policy.observation_space))
        if found is not None:
            found.masked = isinstance(policy, MaskedActorCritic)
        return found

    @classmethod
    def _of_seen(cls, encoder: Any, space: spaces.Space[Any]) -> Self | None:
        if type(encoder) is PlanesEncoder and encoder.normaliser is None:
            return cls._of_symbols(encoder, {"": (space, encoder.planes)}, ())
        if type(encoder) is SymbolsEncoder:
            each = {key: (space[key], dict(encoder.grids.items()).get(key)) for key in encoder.sizes}  # type: ignore[index]
            return cls._of_symbols(encoder, each, tuple(each))
        numbers = isinstance(space, spaces.Box) and np.dtype(space.dtype).kind in "fiub" and not is_image_space(space)
        if numbers and (type(encoder) is FlattenExtractor or type(encoder) is FlatEncoder):
            return cls(int(np.prod(space.shape or ())), np.zeros((4, 0), np.int32), encoder)
        return None

    @classmethod
    def _of_symbols(cls, encoder: Any, each: dict[str, tuple[Any, Any]], parts: tuple[str, ...]) -> Self | None:
        """Of spaces and their planes, side by side; None if some of their symbols are no bytes."""
        found = [_positions(space, planes) for space, planes in each.values()]
        tables, sizes = [table for table, _ in found], [size for _, size in found]
        if any(table is None for table in tables):
            return None
        for table, start in zip(tables, np.cumsum([0, *sizes]), strict=False):
            table[stacks.OFFSET] += start
        positions = np.concatenate(tables, axis=1)
        return cls(positions.shape[1], positions, encoder, parts)

    @property
    def symbolic(self) -> bool:
        """Whether observations are symbols."""
        return bool(self.positions.shape[1])

    @property
    def leaves_out(self) -> bool:
        """Whether some symbols are left out of the lists, as `stacks` says."""
        return bool((self.positions[stacks.STEP] * (self.positions[stacks.COMMON] >= 0)).any())

    def number(self, observations: Any) -> int:
        """How many observations (n, …) there are."""
        if self.masked:
            return len(observations[MASK])
        return len(observations[self.parts[0]] if self.parts else observations)

    def rows(self, observations: Any) -> tuple[np.ndarray, np.ndarray]:
        """Observations (n, …) as (numbers, symbols), one of them empty."""
        observations = observations[SEEN] if self.masked else observations
        if self.parts:
            parts = [np.reshape(observations[key], (len(observations[key]), -1)) for key in self.parts]
            return NO_NUMBERS, np.concatenate(parts, axis=1, dtype=np.uint8, casting="unsafe")
        if self.symbolic:
            return NO_NUMBERS, np.ascontiguousarray(observations.reshape(-1, self.width)).view(np.uint8)
        return np.ascontiguousarray(observations.reshape(-1, self.width), dtype=np.float32), NO_SYMBOLS

    def masks(self, observations: Any) -> np.ndarray:
        """The masks (n, n_actions) uint8 among observations (n, …); empty where they have none."""
        return np.ascontiguousarray(observations[MASK], np.uint8) if self.masked else NO_SYMBOLS

    def statistics(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Mean, factor and bound of the normaliser; empty without one."""
        normaliser = getattr(self.encoder, "normaliser", None)
        if normaliser is None:
            return NOTHING, NOTHING, 0.0
        factor = torch.rsqrt(normaliser.var + normaliser.epsilon)
        return normaliser.mean.numpy(), factor.numpy(), float(normaliser.clip)


def _positions(space: spaces.Space[Any], planes: Planes | None) -> tuple[Any, int]:
    """The table of positions (4, n) int32 of one part of an observation, its first plane being 0; and its planes.

    The table is None if its symbols are no bytes.
    """
    if isinstance(space, spaces.Discrete):
        count = int(space.n)
        return (np.array([[0], [1], [0], [count - 1]], np.int32) if count <= MOST_COUNTED else None), count
    if planes is None or np.dtype(space.dtype).kind not in "ub" or np.dtype(space.dtype).itemsize > 1:
        return None, 0
    symbolic = planes._symbolic.numpy().astype(np.int64)
    offsets = planes._offsets.numpy()
    highest = space.high.reshape(-1).astype(np.int64)  # type: ignore[attr-defined]
    return np.stack([offsets, symbolic, 0 * offsets, highest]).astype(np.int32), planes.size


MOST_COUNTED = 255
"""Values of a Discrete part that is taken for a symbol."""
NO_NUMBERS = np.zeros((0, 0), np.float32)
NO_SYMBOLS = np.zeros((0, 0), np.uint8)
NOTHING = np.zeros(0, np.float32)
NOTHING_KEPT = np.zeros((0, 0), np.float32)
MOST_KEPT = 2**25
"""Numbers that are kept of a rollout's layers that do not learn, at most."""


class Stacks:
    """The parameters of some stacks in one array, with room to compute in.

    Args:
        stacked: the layers of each stack; all start from the same inputs.
        inputs: how observations enter.
        others: parameters outside the stacks that the optimiser steps too.
    """

    def __init__(self, stacked: list[list[Layer]], inputs: Inputs) -> None:
        self.inputs = inputs
        self.linears = [layer.linear for stack in stacked for layer in stack]
        table: list[tuple[int, ...]] = []
        tensors: list[tuple[int, ...]] = []
        rows: list[tuple[int, ...]] = []
        at = base = outputs = 0
        for stack in stacked:
            rows.append((len(table), len(table) + len(stack), base, len(table), 0))
            base += stack[0].linear.out_features
            for linear, kind in stack:
                n_in, n = linear.in_features, linear.out_features
                table.append((at, n_in, n, at + n_in * n, outputs, kind, 1))
                tensors += [(at, at + n_in * n, 1), (at + n_in * n, at + n_in * n + n, 1)]
                at += n_in * n + n
                outputs += n
        self.layers, self.stacks = np.array(table, np.int64), np.array(rows, np.int64)
        self.tensors = np.array(tensors, np.int64)
        self.params, self.grad, self.first, self.second = (np.zeros(at, np.float32) for _ in range(4))
        self.rates, self.taken = np.zeros(len(tensors)), np.zeros(len(tensors), np.float32)
        symbolic = inputs.symbolic
        self.relative = np.zeros_like(self.params) if inputs.leaves_out else self.params
        self.bases = np.zeros(base, np.float32)
        self._widest = max(
            max(layer.linear.in_features if i else 1, layer.linear.out_features)
            for stack in stacked
            for i, layer in enumerate(stack)
        )
        largest = max(
            (n_in * n for i, (_, n_in, n, *_) in enumerate(table) if not (symbolic and i in self.stacks[:, 0])),
            default=1,
        )
        self.product = np.zeros(largest, np.float32)
        self._outputs, self._kept = outputs, 0
        self.make_room(stacks.CHUNK)

    def make_room(self, capacity: int) -> None:
        """Let `capacity` rows be held at once."""
        self.capacity = capacity
        width = self.inputs.width
        symbolic = self.inputs.symbolic
        self.work = np.zeros(self._outputs * capacity, np.float32)
        self.x = np.zeros((capacity, 0 if symbolic else width), np.float32)
        self.active = np.zeros((capacity, width + 1 if symbolic else 0), np.int32)
        self.counts = np.zeros(capacity, np.int64)
        self.delta, self.spare = (np.zeros(stacks.CHUNK * self._widest, np.float32) for _ in range(2))

    def is_all_of(self, network: nn.Module) -> bool:
        """Whether the stacks have all parameters of a network, each once, in single precision."""
        inside = {id(p) for linear in self.linears for p in linear.parameters()}
        everything = {id(p) for p in network.parameters()}
        single = all(p.dtype == torch.float32 for p in network.parameters())
        return inside == everything and len(inside) == 2 * len(self.linears) and single

    @property
    def net(self) -> tuple[np.ndarray, ...]:
        """What compiled code calls `net`."""
        return self.params, self.layers, self.stacks, self.relative, self.bases, self.work

    @property
    def moments(self) -> tuple[np.ndarray, ...]:
        """What compiled code calls `moments`."""
        return (
            self.grad,
            self.first,
            self.second,
            self.tensors,
            self.rates,
            self.taken,
            self.delta,
            self.spare,
            self.product,
        )

    def feed(self, observations: Any) -> tuple[Any, ...]:
        """What compiled code calls `inputs`, for observations (n, …)."""
        numbers, symbols = self.inputs.rows(observations)
        mean, factor, most = self.inputs.statistics()
        masks = self.inputs.masks(observations)
        return numbers, symbols, self.inputs.positions, mean, factor, most, self.x, self.active, self.counts, masks

    def outputs(self, stack: int, n: int) -> np.ndarray:
        """A stack's last outputs for the first n rows held, (n, n_out)."""
        found: np.ndarray = stacks.output(self.layers, self.stacks[stack], self.work, self.capacity, 0, n)
        return found

    def load(self) -> None:
        """Take the weights of the network."""
        for linear, (weights, biases) in zip(self.linears, self._params, strict=True):
            weights[:] = linear.weight.detach().numpy().T
            biases[:] = linear.bias.detach().numpy()
        if self.inputs.symbolic:
            stacks.take_relative(
                self.params, self.layers, self.stacks, self.inputs.positions, self.relative, self.bases
            )

    @torch.no_grad()
    def store(self) -> None:
        """Give the weights back to the network."""
        for linear, (weights, biases) in zip(self.linears, self._params, strict=True):
            linear.weight.copy_(torch.from_numpy(weights.T))
            linear.bias.copy_(torch.from_numpy(biases))

    def add_gradients(self) -> None:
        """Add the gradients that the network's own parameters hold."""
        for linear, gradients in zip(self.linears, self._parts(self.grad), strict=True):
            for own, parameter in zip(gradients, (linear.weight, linear.bias), strict=True):
                if parameter.grad is not None:
                    own += parameter.grad.numpy().T

    def share_optimiser(self, optimiser: torch.optim.Optimizer) -> None:
        """Take Adam's learning rates, and let its moments and steps be these arrays from now on."""
        unfuse(optimiser)
        groups = {id(p): group for group in optimiser.param_groups for p in group["params"]}
        parameters = [p for linear in self.linears for p in (linear.weight, linear.bias)]
        for t, (parameter, views) in enumerate(zip(parameters, self._states, strict=True)):
            group = groups.get(id(parameter))
            self.tensors[t, steps.LEARNS] = group is not None and parameter.requires_grad
            self.rates[t] = 0.0 if group is None else group["lr"]
            if not self.tensors[t, steps.LEARNS]:
                continue
            state = optimiser.state[parameter]
            for name, view in views.items():
                if state.get(name) is not view:
                    state[name] = view.copy_(torch.as_tensor(state.get(name, 0.0)))
        self._find_what_learns()

    def _find_what_learns(self) -> None:
        """Note in the tables which layers learn, and how far down the gradient has to go."""
        learns: np.ndarray = np.any(self.tensors[:, steps.LEARNS].reshape(-1, 2), axis=1)
        self.layers[:, stacks.LEARNS] = learns
        at = 0
        for stack in self.stacks:
            first, last = stack[stacks.FIRST], stack[stacks.LAST]
            lowest = next((index for index in range(first, last) if learns[index]), last)
            stack[stacks.LOWEST], stack[stacks.KEPT] = lowest, at
            at += self.layers[lowest - 1, stacks.N_OUT] if lowest > first else 0
        self._kept = int(at)

    def keep(self, feed: tuple[Any, ...], n: int) -> np.ndarray:
        """What the layers below those that learn make of n observations: (n, …), or empty where that is not worth it.

        It holds until a layer starts to learn.
        """
        if self._kept == 0 or n * self._kept > MOST_KEPT:
            return NOTHING_KEPT
        kept = np.empty((n, self._kept), np.float32)
        stacks.keep(self.net, feed, np.arange(n), kept)
        return kept

    @cached_property
    def _states(self) -> list[dict[str, Tensor]]:
        """Adam's state of each tensor, in the memory of these arrays."""
        taken = torch.from_numpy(self.taken)
        moments = [
            (torch.from_numpy(first.T), torch.from_numpy(second.T))
            for layer in zip(self._parts(self.first), self._parts(self.second), strict=True)
            for first, second in zip(*layer, strict=True)
        ]
        return [
            {"step": step, "exp_avg": first, "exp_avg_sq": second}
            for step, (first, second) in zip(taken, moments, strict=True)
        ]

    @cached_property
    def _params(self) -> list[tuple[np.ndarray, np.ndarray]]:
        return self._parts(self.params)

    def _parts(self, flat: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """W (n_in, n_out) and b (n_out,) of each layer in an array like the parameters."""
        places = ((int(v) for v in row[:4]) for row in self.layers)
        return [(flat[at : at + n_in * n].reshape(n_in, n), flat[bias : bias + n]) for at, n_in, n, bias in places]


def plain_adam(optimiser: torch.optim.Optimizer) -> bool:
    """Whether an optimiser is Adam without its variants, the same for all parameters but for the rate."""
    groups = optimiser.param_groups
    same = (
        all(g["betas"] == groups[0]["betas"] and g["eps"] == groups[0]["eps"] for g in groups)
        if type(optimiser) is torch.optim.Adam
        else False
    )
    return same and not any(g["weight_decay"] or g["amsgrad"] or g["maximize"] or g["differentiable"] for g in groups)


def actor_critic(policy: Any) -> Stacks | None:
    """The two stacks of a policy, actor first; None if compiled code cannot do what it does."""
    known = (
        type(policy) in (ActorCriticPolicy, MultiInputActorCriticPolicy, MaskedActorCritic)
        and type(policy.mlp_extractor) is MlpExtractor
        and type(policy.action_dist) is CategoricalDistribution
        and policy.share_features_extractor
        and policy.device.type == "cpu"
        and policy.optimizer is not None
    )
    if not known:
        return None
    inputs = Inputs.of(policy)
    actor = layers_of(policy.mlp_extractor.policy_net, policy.action_net)
    critic = layers_of(policy.mlp_extractor.value_net, policy.value_net)
    if inputs is None or not actor or not critic:
        return None
    stacked = Stacks([actor, critic], inputs)
    return stacked if stacked.is_all_of(policy) else None
