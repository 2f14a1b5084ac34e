"""What an algorithm's hyperparameters are, and whether given ones make sense.

They are read off the constructors of the algorithm and of its policy, so that a plug-in's are known too.
"""

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.utils import LinearSchedule

from agents.networks import ACTIVATIONS, POLICY_ARGUMENTS
from envs.errors import ConfigError
from envs.registry import did_you_mean

NOT_HYPERPARAMETERS = {
    *("self", "policy", "env", "policy_kwargs", "tensorboard_log", "verbose", "seed", "device", "action_noise"),
    *("rollout_buffer_class", "rollout_buffer_kwargs", "replay_buffer_class", "replay_buffer_kwargs"),
    *("stats_window_size", "monitor_wrapper", "_init_setup_model"),
}

LOWEST: dict[str, float] = {
    **dict.fromkeys(("n_envs", "n_steps", "batch_size", "n_epochs", "buffer_size", "policy_delay"), 1),
    **dict.fromkeys(("n_critics", "n_quantiles", "n_delta", "n_eval_episodes", "target_update_interval"), 1),
    **dict.fromkeys(("learning_starts", "learning_rate", "ent_coef", "vf_coef", "clip_range", "noise_std"), 0),
    **dict.fromkeys(("gamma", "gae_lambda", "tau", "exploration_fraction", "max_grad_norm", "target_kl"), 0),
    **dict.fromkeys(("exploration_initial_eps", "exploration_final_eps"), 0),
}
UP_TO_ONE = ("gamma", "gae_lambda", "tau", "exploration_fraction", "exploration_initial_eps", "exploration_final_eps")
NOISES = ("normal", "ornstein-uhlenbeck")

Check = Callable[[Any], Any]
"""From a given value to the value as it is kept; raises ValueError with the words for what was expected."""


def parameters(algorithm: type[BaseAlgorithm]) -> dict[str, tuple[Any, Check]]:
    """Name → (default, check) of all hyperparameters of an algorithm, the architecture's and ours included."""
    constructor = inspect.signature(algorithm.__init__).parameters
    policy = inspect.signature(algorithm.policy_aliases["MlpPolicy"].__init__).parameters
    found: dict[str, tuple[Any, Check]] = {"n_envs": (1, _whole)}
    for name, parameter in constructor.items():
        if name not in NOT_HYPERPARAMETERS:
            found[name] = (_plain(parameter.default), _check_of(parameter.annotation))
    if "action_noise" in constructor:
        found |= {"noise_type": (None, _noise), "noise_std": (0.1, _number)}
    for name in POLICY_ARGUMENTS:
        if name in policy:
            found[name] = (_plain(policy[name].default), _check_of(policy[name].annotation))
    return found | {
        "net_arch": (None, _net_arch(_parts(algorithm, policy))),
        "activation": (None, _activation),
        "encoder": ("auto", _encoder),
        "normalise_observations": (False, _boolean),
        "normalise_rewards": (False, _boolean),
    }


def complete(name: str, algorithm: type[BaseAlgorithm], given: Mapping[str, Any]) -> dict[str, Any]:
    """All hyperparameters of an algorithm: the given ones, checked, over the constructor's defaults. Plain JSON.

    Raises ConfigError for an unknown key, a wrong type, or a value out of range.
    """
    known = parameters(algorithm)
    for key in given:
        if key not in known:
            raise ConfigError(str(did_you_mean(f"hyperparameter of {name}", key, known)))
    checked = {key: _checked(key, given[key], check) for key, (_, check) in known.items() if key in given}
    values = {key: checked.get(key, default) for key, (default, _) in known.items()}
    _check_batches(values)
    return values


def schedule(value: Any) -> float | Callable[[float], float]:
    """A number, or `"lin_0.001"`: from 0.001 down to 0 as the budget is used up (rl-zoo3's notation).

    A function of the remaining progress, from 1 to 0. Raises ConfigError.
    """
    if not isinstance(value, str):
        return float(value)
    return LinearSchedule(start=_linear_start(value), end=0.0, end_fraction=1.0)


def _linear_start(value: str) -> float:
    kind, _, number = value.partition("_")
    try:
        if kind != "lin":
            raise ValueError
        return float(number)
    except ValueError:
        raise ConfigError(f"found {value!r}, expected a number or a schedule such as 'lin_0.001'") from None


def _checked(key: str, value: Any, check: Check) -> Any:
    try:
        kept = check(value)
        numbers = [kept] if isinstance(kept, int | float) and not isinstance(kept, bool) else []
        if key in LOWEST and any(not number >= LOWEST[key] for number in numbers):
            raise ValueError(f"{LOWEST[key]} or more")
        if key in UP_TO_ONE and any(number > 1 for number in numbers):
            raise ValueError("a number from 0 to 1")
    except ValueError as expected:
        raise ConfigError(f"{key}: found {value!r}, expected {expected}") from None
    return kept


def _check_batches(values: dict[str, Any]) -> None:
    """Minibatches of a rollout must be equal, or SB3's last one is a stump."""
    if not {"n_steps", "batch_size", "gae_lambda"} <= values.keys():
        return
    n_envs, n_steps, batch_size = values["n_envs"], values["n_steps"], values["batch_size"]
    size = n_envs * n_steps
    if values.get("normalize_advantage") and batch_size < 2:
        raise ConfigError(f"batch_size: found {batch_size}, expected 2 or more, as advantages are normalised")
    if size % batch_size:
        fitting = [d for d in range(2, size + 1) if size % d == 0]
        near = sorted(sorted(fitting, key=lambda d: abs(d - batch_size))[:3])
        raise ConfigError(
            f"batch_size: found {batch_size}, expected a divisor of n_envs × n_steps = {n_envs} × {n_steps} = {size}, "
            f"such as {' or '.join(map(str, near)) or 'more steps'}"
        )


def _check_of(annotation: Any) -> Check:
    """The check that a parameter's annotation asks for, such as `int`, `float | Schedule` or `str | float`."""
    members = set()
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    for member in typing.get_args(annotation) if union else (annotation,):
        members.add(typing.get_origin(member) or member)
    if type(None) in members:
        return _optional(_check_of_members(members - {type(None)}))
    return _check_of_members(members)


def _check_of_members(members: set[Any]) -> Check:
    if Callable in members or any(getattr(member, "__name__", "") == "Callable" for member in members):
        return _schedule
    if tuple in members:
        return _frequency
    if str in members and float in members:
        return _automatic
    for kind, check in ((float, _number), (int, _whole), (bool, _boolean), (str, _text)):
        if kind in members:
            return check
    return _plain


def _optional(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise ValueError("a whole number")
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise ValueError("a number")
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a text")
    return value


def _encoder(value: Any) -> str | dict[str, Any]:
    """A name, or the description of a mapped encoder, which transfer writes."""
    return dict(value) if isinstance(value, Mapping) else _text(value)


def _schedule(value: Any) -> float | str:
    if isinstance(value, str):
        try:
            _linear_start(value)
        except ConfigError:
            raise ValueError("a number or a schedule such as 'lin_0.001'") from None
        return value
    return _number(value)


def _automatic(value: Any) -> float | str:
    """SAC's `auto` or `auto_0.1`, or a number."""
    if isinstance(value, str):
        head, _, start = value.partition("_")
        if head != "auto" or (start and not start.replace(".", "", 1).isdigit()):
            raise ValueError("a number, 'auto' or such as 'auto_0.1'")
        return value
    return _number(value)


def _frequency(value: Any) -> int | list[Any]:
    """SB3's `train_freq`: steps, or [n, "step" | "episode"]."""
    if isinstance(value, list | tuple):
        if len(value) != 2 or value[1] not in ("step", "episode"):
            raise ValueError('a whole number or such as [1, "episode"]')
        return [_whole(value[0]), value[1]]
    return _whole(value)


def _parts(algorithm: type[BaseAlgorithm], policy: Mapping[str, Any]) -> tuple[str, ...]:
    """The networks of an algorithm's policy that may differ in their hidden sizes."""
    if issubclass(algorithm, OnPolicyAlgorithm):
        return ("pi", "vf")
    return ("pi", "qf") if "n_critics" in policy else ()


def _net_arch(parts: tuple[str, ...]) -> Check:
    """Hidden sizes: a list, or one for each part of the network."""
    each = f" or {{{', '.join(f'{part} = [64]' for part in parts)}}}" if parts else ""
    expected = f"hidden sizes such as [64, 64]{each}"

    def check(value: Any) -> Any:
        if isinstance(value, Mapping) and parts and set(value) == set(parts):
            return {part: _sizes(value[part], expected) for part in parts}
        return None if value is None else _sizes(value, expected)

    return check


def _sizes(value: Any, expected: str) -> list[int]:
    if not isinstance(value, list | tuple) or any(type(size) is not int or size < 1 for size in value):
        raise ValueError(expected)
    return list(value)


def _activation(value: Any) -> str | None:
    if value is not None and value not in ACTIVATIONS:
        raise ValueError(f"one of {', '.join(ACTIVATIONS)}")
    return typing.cast("str | None", value)


def _noise(value: Any) -> str | None:
    if value is not None and value not in NOISES:
        raise ValueError(f"one of {', '.join(NOISES)}, or none")
    return typing.cast("str | None", value)
