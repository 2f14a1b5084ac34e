"""A learner's state at a boundary: networks, optimisers, counters, noise, and what compiled code looks up.

Attributes are taken as they are found, so that a learner of somebody else's is saved too, if all that it holds is
known: plain data, arrays, tensors, generators, modules, optimisers. One that holds more is not, and starts afresh.
"""

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import BaseBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from torch import Tensor, nn

from agents.resuming.plain import IN_PLACE, Unknown, plain
from agents.resuming.replay import KNOWN

OF_THE_CLOCK = ("start_time", "_num_timesteps_at_start")
"""What says how fast a learner is, and decides nothing."""
CONSTANT = (
    *("env", "_vec_normalize_env", "_logger", "policy", "policy_class", "policy_kwargs", "policy_aliases"),
    *("observation_space", "action_space", "device", "verbose", "train_freq", "lr_schedule", "actor", "critic"),
    *("actor_target", "critic_target", "q_net", "q_net_target", "tensorboard_log", "_known", "_known_to"),
    *("rollout_buffer", "replay_buffer", "rollout_buffer_class", "replay_buffer_class", "replay_buffer_kwargs"),
    *("rollout_buffer_kwargs", "auxiliary", "batch_norm_stats", "batch_norm_stats_target", "n_envs", "seed"),
    *("action_bias", "_custom_logger", "_stats_window_size", "learning_rate", "clip_range", "clip_range_vf"),
)
"""What a learner is made with, and networks, which are parts of its policy."""


def why_not(learner: Any) -> str | None:
    """Why a learner cannot be saved at its boundaries; None if it can."""
    kind = type(learner).__name__
    if not isinstance(learner, OnPolicyAlgorithm | OffPolicyAlgorithm):
        return f"{kind} does not learn in rounds of collecting and training"
    buffer = getattr(learner, "replay_buffer", None)
    if buffer is not None and type(buffer) not in KNOWN:
        return f"its replay buffer is a {type(buffer).__name__}"
    try:
        state(learner)
    except Unknown as error:
        return f"{kind}: {error}"
    return None


def state(learner: Any) -> dict[str, Any]:
    """All but the environments and the replay buffer. Raises Unknown."""
    found: dict[str, Any] = {"policy": _weights(learner.policy), "logger": _records(learner)}
    found["optimisers"] = [optimiser.state_dict() for optimiser in _optimisers(learner)]
    found["modules"] = {name: _weights(module) for name, module in _modules(learner).items()}
    found["attributes"] = _attributes(learner)
    found["spaces"] = _drawn(learner.action_space)
    positions = _positions(learner)
    found["commonest"] = None if positions is None else positions.copy()
    return found


@torch.no_grad()
def restore(learner: Any, unpack: Any) -> None:
    """Put a state back. `unpack(existing)` gives the state, generators going on in those that are there."""
    existing = {"attributes": dict(vars(learner)), "spaces": _drawn(learner.action_space)}
    found = unpack(existing)
    learner.policy.load_state_dict(found["policy"])
    for name, module in _modules(learner).items():
        module.load_state_dict(found["modules"][name])
    for name, value in found["attributes"].items():
        mine = getattr(learner, name, None)
        if isinstance(mine, Tensor) and isinstance(value, Tensor) and mine.shape == value.shape:
            mine.copy_(value)
        else:
            setattr(learner, name, value)
    for optimiser, saved in zip(_optimisers(learner), found["optimisers"], strict=True):
        _load(optimiser, saved)
    _restore_drawn(learner.action_space, found["spaces"])
    _restore_records(learner, found["logger"])
    if found["commonest"] is not None:
        learner._compiled()
        positions = _positions(learner)
        if positions is not None:
            positions[...] = found["commonest"]


def _attributes(learner: Any) -> dict[str, Any]:
    found = {}
    for name, value in vars(learner).items():
        if name in OF_THE_CLOCK or name in CONSTANT or (callable(value) and not isinstance(value, IN_PLACE)):
            continue
        if isinstance(value, nn.Module | torch.optim.Optimizer | BaseBuffer | spaces.Space):
            continue
        if not plain(value):
            raise Unknown(f"its {name} is a {type(value).__module__}.{type(value).__qualname__}")
        found[name] = value
    return found


def _weights(module: nn.Module) -> dict[str, Tensor]:
    return dict(module.state_dict())


def _modules(learner: Any) -> dict[str, nn.Module]:
    """Networks besides the policy and its parts."""
    known = {id(part) for part in learner.policy.modules()}
    return {
        name: value for name, value in vars(learner).items() if isinstance(value, nn.Module) and id(value) not in known
    }


def _optimisers(learner: Any) -> list[torch.optim.Optimizer]:
    """Every optimiser that the learner, its policy or a part of it holds, each once."""
    owners = [learner, *learner.policy.modules(), *_modules(learner).values()]
    found = [value for owner in owners for value in vars(owner).values() if isinstance(value, torch.optim.Optimizer)]
    return list({id(one): one for one in found}.values())


def _load(optimiser: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """As `load_state_dict`, with moments laid out as their parameters."""
    optimiser.load_state_dict(saved)
    for parameter, held in optimiser.state.items():
        for name, value in held.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape and value.stride() != parameter.stride():
                held[name] = torch.empty_like(parameter.data).copy_(value)


def _positions(learner: Any) -> Any:
    """Which symbols compiled code takes for the commonest, which decides in what order it adds; None without it."""
    stacked = getattr(getattr(learner, "_known", None), "stacked", None)
    positions = getattr(getattr(stacked, "inputs", None), "positions", None)
    return None if positions is None or not positions.size else positions


def _drawn(space: spaces.Space[Any]) -> list[Any]:
    """The generators of a space and its parts; None for one that has not drawn yet."""
    parts = space.spaces if isinstance(space, spaces.Dict | spaces.Tuple) else ()
    inner = parts.values() if isinstance(parts, dict) else parts
    return [space._np_random, *(found for part in inner for found in _drawn(part))]


def _restore_drawn(space: spaces.Space[Any], found: list[Any]) -> None:
    space._np_random = found.pop(0)
    parts = space.spaces if isinstance(space, spaces.Dict | spaces.Tuple) else ()
    for part in parts.values() if isinstance(parts, dict) else parts:
        _restore_drawn(part, found)


def _records(learner: Any) -> dict[str, Any]:
    """What was recorded since the last row of progress.csv."""
    logger = learner.logger
    return {name: dict(getattr(logger, name)) for name in ("name_to_value", "name_to_count", "name_to_excluded")}


def _restore_records(learner: Any, found: dict[str, Any]) -> None:
    for name, values in found.items():
        held = getattr(learner.logger, name)
        held.clear()
        held.update(values)
