"""A network's layers by name, for whoever carries, freezes or teaches them apart.

    encoder · torso.0 · torso.1 · … · action_head, value_head        from the observation to the outputs

`torso.N` is the N-th hidden layer of every half that a network has, actor and critic; `torso` stands for all of them.
DQN has no value head: its last layer is the action head. Of SAC, TD3 and DDPG the critics' last layers are the value
head. A standard deviation that no layer computes belongs to no part: it learns as ever.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import AfterValidator
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.dqn.policies import DQNPolicy
from stable_baselines3.sac.policies import SACPolicy
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from envs.errors import ConfigError

HEADS = ("action_head", "value_head")
_NAME = re.compile(r"encoder|torso(\.\d+)?|action_head|value_head")


def checked(name: Any) -> str:
    """The name, if it can be one of a part. Raises ValueError."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"found {name!r}, expected encoder, torso, torso.0, torso.1, …, action_head or value_head")
    return name


Part = Annotated[str, AfterValidator(checked)]
"""A part's name in a config."""


def parts(policy: BasePolicy) -> dict[str, list[nn.Parameter]]:
    """The parameters of each part, from the observation to the heads; parts without any are left out.

    Target networks, which follow others, are not among them. Raises ConfigError for an unknown kind of policy.
    """
    stacks = _stacks(policy)
    found: dict[str, list[nn.Parameter]] = {"encoder": _of(_encoders(policy))}
    for depth in range(max(len(hidden) for _, hidden, _ in stacks)):
        found[f"torso.{depth}"] = _of(hidden[depth] for _, hidden, _ in stacks if depth < len(hidden))
    for head in HEADS:
        found[head] = _of(layer for name, _, last in stacks if name == head for layer in last)
    return {name: parameters for name, parameters in found.items() if parameters}


def expanded(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Names with `torso` spelt out, in the order of the known ones; an `encoder` without parameters is left out.

    Raises ConfigError for a part that a network has not.
    """
    known, wanted = list(known), set(names)
    torso = [name for name in known if name.startswith("torso.")]
    if "torso" in wanted:
        wanted = (wanted - {"torso"}) | set(torso)
    for name in sorted(wanted - set(known) - {"encoder"}):
        raise ConfigError(f"the network has no {name}: it has {', '.join(known)}")
    return [name for name in known if name in wanted]


def of_part(policy: BasePolicy, part: str) -> list[nn.Parameter]:
    """The parameters of one part, of all of the torso's if it is `torso`."""
    found = parts(policy)
    return [parameter for name in expanded([part], found) for parameter in found[name]]


def halves(policy: BasePolicy) -> dict[str, list[nn.Parameter]]:
    """By the name of their heads the parameters that reach them, the encoder's included."""
    encoder = _of(_encoders(policy))
    return {name: encoder + _of([*hidden, *last]) for name, hidden, last in _stacks(policy)}


def follow(policy: BasePolicy) -> None:
    """Let target networks be what they follow, after the others were changed by hand."""
    for name in ("q_net", "actor", "critic"):
        target = getattr(policy, f"{name}_target", None)
        if isinstance(target, nn.Module):
            target.load_state_dict(getattr(policy, name).state_dict())


def fixed_beginning(sequence: nn.Sequential) -> int:
    """How many of a sequence's first modules do not learn, 0 if none of them has parameters."""
    learning = (i for i, module in enumerate(sequence) if any(p.requires_grad for p in module.parameters()))
    lowest = next(learning, len(sequence))
    return lowest if next(sequence[:lowest].parameters(), None) is not None else 0


def _stacks(policy: Any) -> list[tuple[str, list[nn.Module], list[nn.Module]]]:
    """Of each half its head's name, its hidden layers and its last ones."""
    match policy:
        case ActorCriticPolicy():
            nets = policy.mlp_extractor
            return [
                ("action_head", _layers(nets.policy_net), [policy.action_net]),
                ("value_head", _layers(nets.value_net), [policy.value_net]),
            ]
        case DQNPolicy():
            layers = _layers(policy.q_net.q_net)
            return [("action_head", layers[:-1], layers[-1:])]
        case SACPolicy():
            actor = policy.actor
            heads = [actor.mu, actor.log_std] if isinstance(actor.log_std, nn.Module) else [actor.mu]
            return [("action_head", _layers(actor.latent_pi), heads), *_critics(policy)]
        case TD3Policy():
            layers = _layers(policy.actor.mu)
            return [("action_head", layers[:-1], layers[-1:]), *_critics(policy)]
    raise ConfigError(f"policies of the class {type(policy).__name__} have no parts that transfer can read")


def _critics(policy: Any) -> list[tuple[str, list[nn.Module], list[nn.Module]]]:
    critics = (_layers(net) for net in policy.critic.q_networks)
    return [("value_head", layers[:-1], layers[-1:]) for layers in critics]


def _layers(sequence: nn.Module) -> list[nn.Module]:
    """What has parameters in a sequence."""
    return [module for module in sequence.children() if next(module.parameters(), None) is not None]


def _encoders(policy: BasePolicy) -> list[nn.Module]:
    return [
        module
        for name, module in policy.named_modules()
        if isinstance(module, BaseFeaturesExtractor) and "_target" not in name.partition(".")[0]
    ]


def _of(modules: Iterable[nn.Module]) -> list[nn.Parameter]:
    """Their parameters, each once."""
    return list({id(p): p for module in modules for p in module.parameters()}.values())
