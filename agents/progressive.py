"""Progressive networks: a column that learns beside columns that do not, and reads what each of their layers makes.

Of layer i of column k (Rusu et al. 2016, "Progressive Neural Networks", equation 2, biases spelt out):

    h_i^(k) = f(W_i^(k) h_{i-1}^(k) + b_i^(k) + U_i^(k:<k) σ(V_i^(k:<k) α_{i-1}^(<k) h_{i-1}^(<k)))

The earlier columns are constants: their tensors are buffers, so that no optimiser, no gradient and no averaging of a
target network ever reaches them. What their layers make is part of the features, so that a learner computes it once per
rollout where its own encoder does not learn.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, NatureCNN
from stable_baselines3.dqn.policies import DQNPolicy, QNetwork
from torch import Tensor, nn
from torch.nn import functional

from envs.errors import ConfigError

Start = Literal["random", "zero"]


@dataclass(frozen=True)
class Layout:
    """What one earlier column's layers make, side by side: its encoder's features, then each stack's layers."""

    features: int
    """Numbers that its encoder makes; 0 where that has no weights, for then it is the observation itself."""
    stacks: dict[str, tuple[int, ...]]
    """Hidden sizes by stack: `pi` and `vf` of an actor-critic, `q` of action values."""

    @property
    def width(self) -> int:
        """Of all together."""
        return self.features + sum(map(sum, self.stacks.values()))

    def depth(self, stack: str) -> int:
        """How many hidden layers a stack has."""
        return len(self.stacks[stack])

    def layer(self, stack: str, depth: int) -> slice | None:
        """Where the outputs of layer `depth` stand, 0 being the encoder's; None if there are none."""
        if depth > self.depth(stack) or (depth == 0 and self.features == 0):
            return None
        if depth == 0:
            return slice(0, self.features)
        names = list(self.stacks)
        before = sum(sum(self.stacks[name]) for name in names[: names.index(stack)])
        start = self.features + before + sum(self.stacks[stack][: depth - 1])
        return slice(start, start + self.stacks[stack][depth - 1])


class Column(nn.Module):
    """A whole network without its heads, as constants.

    Args:
        network: an actor-critic whose halves share their encoder, or a network of action values, for the spaces of the
            learner; it may be progressive itself. Its modules are taken, not copied.

    Raises ConfigError for a network of another kind, and for one without any layer before its heads.
    """

    def __init__(self, network: BasePolicy) -> None:
        super().__init__()
        encoder, stacks = _parts(network)
        self.encoder = encoder
        self.stacks = nn.ModuleDict(stacks)
        self.before = list(encoder.layouts) if isinstance(encoder, Columns) else []
        sizes = {name: tuple(layer.out_features for layer in _hidden(stack)) for name, stack in stacks.items()}
        self.layout = Layout(_own(encoder).features_dim if _learns(encoder) else 0, sizes)
        if not self.layout.width:
            raise ConfigError("a column needs a hidden layer that another can read: the source's net_arch is empty")
        _hold(self)

    @property
    def layouts(self) -> list[Layout]:
        """Of all columns so far, the first first."""
        return [*self.before, self.layout]

    @torch.no_grad()
    def forward(self, observations: Any) -> Tensor:
        """Preprocessed observations (B, …) → what all layers of all columns so far make (B, Σ width)."""
        features: Tensor = self.encoder(observations)
        own = features
        parts: list[Tensor] = []
        if isinstance(self.encoder, Columns):
            own = features[:, : self.encoder.own_dim]
            parts.append(features[:, self.encoder.own_dim :])
        if self.layout.features:
            parts.append(own)
        for stack in self.stacks.values():
            parts += stack.hidden(features) if isinstance(stack, Stack) else _outputs(stack, features)
        return torch.cat(parts, dim=1)


class Columns(BaseFeaturesExtractor):
    """The learner's own encoder, and beside its features what the layers of the earlier columns make.

    Args:
        observation_space: as the learner's networks see it.
        encoder, arguments: the learner's own features extractor, and its keyword arguments.
        column: makes the network that the earlier columns are, for a space of observations.
        scale: what each α starts at.
        start: whether U starts as torch's linear layers do, or at zero, which is a network without laterals.
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        encoder: type[BaseFeaturesExtractor],
        arguments: dict[str, Any],
        column: Callable[[spaces.Space[Any]], BasePolicy],
        scale: float,
        start: Start,
    ) -> None:
        own, earlier = encoder(observation_space, **arguments), Column(column(observation_space))
        layouts = earlier.layouts
        super().__init__(observation_space, own.features_dim + sum(layout.width for layout in layouts))
        self.own, self.column = own, earlier
        self.own_dim, self.layouts = own.features_dim, layouts
        self.scale, self.start = scale, start

    def forward(self, observations: Any) -> Tensor:
        """Preprocessed observations (B, …) → (B, own features, then the earlier columns')."""
        return torch.cat([self.own(observations), self.column(observations)], dim=1)


class Matrix(nn.Module):
    """x → Wx without a bias: what U and V are. Starts as torch's linear layers do."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_out, n_in))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        """(B, n_in) → (B, n_out)."""
        return functional.linear(x, self.weight)


class Lateral(nn.Module):
    """σ(V α h): one adapter, from the outputs of some layers of earlier columns (Rusu et al. 2016, section 2).

    Args:
        sources: where these outputs stand among the features; each has an α of its own.
        width: rows of V.
        activation: σ.
        scale: what each α starts at.
    """

    def __init__(self, sources: list[slice], width: int, activation: type[nn.Module], scale: float) -> None:
        super().__init__()
        self.sources = sources
        sizes = [source.stop - source.start for source in sources]
        self.width = min(width, sum(sizes))
        self.alpha = nn.Parameter(torch.full((len(sources),), scale))
        self.down = Matrix(sum(sizes), self.width)
        self.activation = activation()

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, n) → (B, width)."""
        scaled = [self.alpha[j] * features[:, source] for j, source in enumerate(self.sources)]
        out: Tensor = self.activation(self.down(torch.cat(scaled, dim=1)))
        return out


class Stack(nn.Module):
    """The hidden layers of one stack of the column that learns, with their laterals, and the head's adapter.

    The head is the linear layer that comes after: it reads (h_L, σ(V α h_L')), so that its matrix is [W U]. It reads
    the last hidden layer of each earlier column; hidden layer i reads their layers i - 1, where they have one.

    Args:
        name: `pi`, `vf` or `q`. A stack reads the earlier stacks of its name, or all where there is none.
        columns: the learner's encoder, which the earlier columns are beside.
        sizes: its hidden sizes.
        activation: f, and σ of its adapters.
        n_out: of the head, where it is part of the stack.
    """

    def __init__(
        self, name: str, columns: Columns, sizes: list[int], activation: type[nn.Module], n_out: int | None = None
    ) -> None:
        super().__init__()
        self.own_dim = columns.own_dim
        self.activation = activation()
        self.layers = nn.ModuleList()
        self.up, self.laterals = nn.ModuleDict(), nn.ModuleDict()
        n_in = columns.own_dim
        for i, n in enumerate(sizes):
            self.layers.append(nn.Linear(n_in, n))
            sources = _sources(columns, name, i)
            if sources:
                self.laterals[str(i)] = Lateral(sources, n_in, activation, columns.scale)
                self.up[str(i)] = Matrix(self.laterals[str(i)].width, n)  # type: ignore[arg-type]
            n_in = n
        sources = _sources(columns, name, None)
        if sources:
            self.laterals["head"] = Lateral(sources, n_in, activation, columns.scale)
        self.own_out = n_in
        """Numbers of h_L: the first that the head reads."""
        self.latent_dim: int = n_in + (self.laterals["head"].width if sources else 0)  # type: ignore[operator, assignment]
        self.head = None if n_out is None else nn.Linear(self.latent_dim, n_out)

    def hidden(self, features: Tensor) -> list[Tensor]:
        """What each hidden layer makes, (B, n_i)."""
        found, h = [], features[:, : self.own_dim]
        for i, layer in enumerate(self.layers):
            z = layer(h)
            if str(i) in self.up:
                z = z + self.up[str(i)](self.laterals[str(i)](features))
            h = self.activation(z)
            found.append(h)
        return found

    def forward(self, features: Tensor) -> Tensor:
        """Features (B, n) → what the head reads (B, latent_dim), or what it makes (B, n_out) if it is part of this."""
        hidden = self.hidden(features)
        out = hidden[-1] if hidden else features[:, : self.own_dim]
        if "head" in self.laterals:
            out = torch.cat([out, self.laterals["head"](features)], dim=1)
        return out if self.head is None else self.head(out)

    @torch.no_grad()
    def silence(self, head: nn.Linear) -> None:
        """Set U to zero in every layer and in the head: a network without laterals."""
        for up in self.up.values():
            up.weight.zero_()  # type: ignore[operator]
        head.weight[:, self.own_out :].zero_()


class Stacks(nn.Module):
    """An actor-critic's two stacks, in the place and with the words of SB3's MlpExtractor."""

    def __init__(self, columns: Columns, net_arch: Any, activation: type[nn.Module]) -> None:
        super().__init__()
        sizes = net_arch if isinstance(net_arch, dict) else {"pi": net_arch, "vf": net_arch}
        self.policy_net = Stack("pi", columns, sizes.get("pi", []), activation)
        self.value_net = Stack("vf", columns, sizes.get("vf", []), activation)
        self.latent_dim_pi, self.latent_dim_vf = self.policy_net.latent_dim, self.value_net.latent_dim

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, n) → what the two heads read."""
        return self.forward_actor(features), self.forward_critic(features)

    def forward_actor(self, features: Tensor) -> Tensor:
        """The actor's half."""
        out: Tensor = self.policy_net(features)
        return out

    def forward_critic(self, features: Tensor) -> Tensor:
        """The critic's half."""
        out: Tensor = self.value_net(features)
        return out


class ProgressiveActorCritic(ActorCriticPolicy):
    """SB3's actor-critic with `Columns` as its encoder."""

    def _build_mlp_extractor(self) -> None:
        stacks = Stacks(_columns(self.features_extractor), self.net_arch, self.activation_fn)
        self.mlp_extractor = stacks.to(self.device)  # type: ignore[assignment]

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        if _columns(self.features_extractor).start == "zero":
            self.mlp_extractor.policy_net.silence(self.action_net)  # type: ignore[operator]
            self.mlp_extractor.value_net.silence(self.value_net)  # type: ignore[operator]


class ProgressiveDQN(DQNPolicy):
    """SB3's policy of action values with `Columns` as its encoder."""

    def make_q_net(self) -> QNetwork:
        """One of the two networks, each with columns of its own."""
        network = QNetwork(**self._update_features_extractor(self.net_args, features_extractor=None))
        columns = _columns(network.features_extractor)
        n_actions = int(self.action_space.n)  # type: ignore[attr-defined]
        stack = Stack("q", columns, self.net_arch, self.activation_fn, n_actions)
        if columns.start == "zero" and stack.head is not None:
            stack.silence(stack.head)
        network.q_net = stack  # type: ignore[assignment]
        return network.to(self.device)


def policy_class(policy: type[BasePolicy]) -> type[BasePolicy]:
    """The progressive class beside one of SB3's. Raises ConfigError if there is none."""
    for plain, progressive in ((ActorCriticPolicy, ProgressiveActorCritic), (DQNPolicy, ProgressiveDQN)):
        if issubclass(policy, plain):
            return progressive
    raise ConfigError(f"policies of the class {policy.__name__} have no progressive form; take ppo, a2c or dqn")


def progressive_kwargs(
    kwargs: dict[str, Any], column: Callable[[spaces.Space[Any]], BasePolicy], described: dict[str, Any]
) -> dict[str, Any]:
    """SB3's `policy_kwargs` of a network with earlier columns.

    Args:
        kwargs: those of the column that learns, alone.
        column: makes the network that the earlier columns are, for a space of observations.
        described: the entry `progressive` of an architecture: `scale` and `start`.

    Raises ConfigError.
    """
    if not kwargs.get("share_features_extractor", True):
        raise ConfigError(
            "a progressive network's actor and critic share their encoder: set share_features_extractor to true"
        )
    if described["start"] not in ("random", "zero"):
        raise ConfigError(f"laterals start at random or at zero, found {described['start']!r}")
    encoder, arguments = kwargs["features_extractor_class"], kwargs["features_extractor_kwargs"]
    found = {
        **kwargs,
        "features_extractor_class": Columns,
        "features_extractor_kwargs": {
            "encoder": encoder,
            "arguments": arguments,
            "column": column,
            "scale": float(described["scale"]),
            "start": described["start"],
        },
    }
    if encoder is NatureCNN:
        found.setdefault("net_arch", [])  # SB3's own
    return found


def earlier_columns(policy: BasePolicy) -> list[Column]:
    """The column of each of a progressive policy's networks, those of its target network included; else none.

    A column holds the columns before it.
    """
    extractors = [policy.features_extractor] if isinstance(policy, ActorCriticPolicy) else []
    if isinstance(policy, DQNPolicy):
        extractors = [policy.q_net.features_extractor, policy.q_net_target.features_extractor]
    return [extractor.column for extractor in extractors if isinstance(extractor, Columns)]


def _columns(extractor: Any) -> Columns:
    if not isinstance(extractor, Columns):
        raise ConfigError(f"a progressive policy's encoder is Columns, found {type(extractor).__name__}")
    return extractor


def _parts(network: BasePolicy) -> tuple[BaseFeaturesExtractor, dict[str, nn.Module]]:
    """Encoder and stacks, without the heads. Raises ConfigError for a kind of network that has no such parts."""
    if isinstance(network, ActorCriticPolicy) and network.share_features_extractor:
        nets = network.mlp_extractor
        return network.features_extractor, {"pi": nets.policy_net, "vf": nets.value_net}
    if isinstance(network, DQNPolicy):
        encoder, net = network.q_net.features_extractor, network.q_net.q_net
        if isinstance(net, Stack):
            net.head = None
        return encoder, {"q": net if isinstance(net, Stack) else net[:-1]}
    raise ConfigError(
        f"a network of the class {type(network).__name__} cannot be a column: expected one of ppo, a2c or dqn, whose "
        "actor and critic share their encoder"
    )


def _own(encoder: BaseFeaturesExtractor) -> BaseFeaturesExtractor:
    return encoder.own if isinstance(encoder, Columns) else encoder


def _learns(encoder: BaseFeaturesExtractor) -> bool:
    """Whether an encoder has weights, so that its features are a layer's outputs."""
    return next(_own(encoder).parameters(), None) is not None


def _hidden(stack: nn.Module) -> list[nn.Linear]:
    """Its hidden layers, the lateral ones apart."""
    layers = stack.layers if isinstance(stack, Stack) else stack
    return [layer for layer in layers.modules() if isinstance(layer, nn.Linear)]


def _outputs(stack: Any, features: Tensor) -> Iterator[Tensor]:
    """What each hidden layer of a plain stack makes, its activation included."""
    h = features
    for layer in stack:
        h = layer(h)
        if not isinstance(layer, nn.Linear):
            yield h


def _sources(columns: Columns, name: str, depth: int | None) -> list[slice]:
    """Where the outputs that a layer reads stand among the features: of earlier layers `depth`, None: of the last."""
    found, start = [], columns.own_dim
    for layout in columns.layouts:
        stacks = [name] if name in layout.stacks else list(layout.stacks)
        here = [layout.layer(stack, layout.depth(stack) if depth is None else depth) for stack in stacks]
        for place in here:
            moved = None if place is None else slice(start + place.start, start + place.stop)
            if moved is not None and moved not in found:
                found.append(moved)
        start += layout.width
    return found


def _hold(module: nn.Module) -> None:
    """Turn all parameters into buffers."""
    for part in module.modules():
        for name, parameter in list(part._parameters.items()):
            del part._parameters[name]
            part.register_buffer(name, None if parameter is None else parameter.detach())
