"""The state of training environments, layer by layer: wrappers by their attributes, games by what they offer.

A batch of ours gives its state as arrays (`get_state`). Other games are objects, which are pickled: a file that this
machine wrote for itself, in a folder that goes when the run is done. What cannot be imported again, such as a function
made within a function, is taken from the environments that were made anew in the same way.
"""

import io
import pickle
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from gymnasium import spaces
from gymnasium.utils import EzPickle
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper

from agents.resuming.plain import plain
from envs.batched import BatchedVecEnv
from envs.errors import CheckpointError
from envs.turns.vector import TurnsVecEnv

OF_A_LAYER = ("venv", "class_attributes", "metadata", "render_mode", "reset_infos", "num_envs", "waiting")

"""What is made anew, and what only messages tell."""
DRAWING = ("Surface", "Clock", "Font")
"""What pygame draws with, and no game is decided by."""
COUNTED = ("_returns", "_lengths", "_observations", "idle")


class NoState(Exception):
    """A game whose state cannot be taken out; the message says why."""


def state(venv: VecEnv) -> list[dict[str, Any]]:
    """Of each layer, the outermost first. Raises NoState."""
    return [*wrappers(venv), _base(venv.unwrapped)]


def try_out(venv: VecEnv) -> None:
    """Raises NoState if the state cannot be taken out, or could not be put back."""
    found = state(venv)[-1]
    if "pickled" in found:
        base: Any = venv.unwrapped
        try:
            _unpickled(
                found["pickled"], base.envs if isinstance(base, BatchedVecEnv) else getattr(base, str(_games(base)))
            )
        except Exception as error:  # whatever an object's own way of being unpickled raises
            raise NoState(" ".join(str(error).split()) or type(error).__name__) from error


def wrappers(venv: VecEnv) -> list[dict[str, Any]]:
    """Of the wrappers alone, the outermost first."""
    return [_wrapper(layer) for layer in _layers(venv)]


def restore(venv: VecEnv, unpack: Callable[[Any], list[dict[str, Any]]], *, games: bool) -> None:
    """Put a state back; `unpack(existing)` gives it. Without `games`, of the wrappers alone."""
    layers = _layers(venv)
    found = unpack([{"attributes": dict(vars(layer))} for layer in layers])
    if games:
        _restore_base(venv.unwrapped, found[-1])
    for layer, saved in reversed(list(zip(layers, found, strict=False))):
        vars(layer).update(saved["attributes"])
        for name, inner in saved["beside"].items():
            restore(getattr(layer, name), lambda _, inner=inner: inner, games=games)  # type: ignore[misc]
        after = getattr(type(layer), "restored", None)
        if after is not None:
            after(layer)


def _layers(venv: VecEnv) -> list[VecEnvWrapper]:
    found = []
    while isinstance(venv, VecEnvWrapper):
        found.append(venv)
        venv = venv.venv
    return found


def _wrapper(layer: VecEnvWrapper) -> dict[str, Any]:
    """Its own data, and the environments that it plays beside those it wraps."""
    own = {name: value for name, value in vars(layer).items() if name not in OF_A_LAYER}
    return {
        "attributes": {name: value for name, value in own.items() if _data(value)},
        "beside": {name: state(value) for name, value in own.items() if isinstance(value, VecEnv)},
    }


def _data(value: Any) -> bool:
    return not isinstance(value, spaces.Space | VecEnv) and plain(value)


def _base(venv: VecEnv) -> dict[str, Any]:
    if isinstance(venv, TurnsVecEnv):
        return {"arrays": venv.get_state()}
    if isinstance(venv, BatchedVecEnv):
        try:
            return {"arrays": venv.get_state()}
        except AttributeError:
            return {"pickled": _pickled(venv.envs), "return": venv._returns, "length": venv._lengths}
    name = _games(venv)
    if name is None:
        raise NoState(f"{type(venv).__name__} does not give its state")
    held = {key: value for key, value in vars(venv).items() if key in COUNTED}
    return {"pickled": _pickled(getattr(venv, name)), "held": held}


def _games(venv: VecEnv) -> str | None:
    """Under which name a list of games is held: objects, or copies of a game of several agents."""
    return "envs" if isinstance(venv, DummyVecEnv) else "copies" if hasattr(venv, "copies") else None


def _restore_base(venv: Any, saved: dict[str, Any]) -> None:
    if "arrays" in saved:
        venv.set_state(saved["arrays"])
    elif isinstance(venv, BatchedVecEnv):
        venv.take(_unpickled(saved["pickled"], venv.envs), saved["return"], saved["length"])
    else:
        name = _games(venv)
        if name is None:
            raise CheckpointError(f"{type(venv).__name__} has no games to restore")
        setattr(venv, name, _unpickled(saved["pickled"], getattr(venv, name)))
        vars(venv).update(saved["held"])


class _Pickler(pickle.Pickler):
    """Whole objects, also where EzPickle would make new ones; functions, modules, surfaces by name and order."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.functions: dict[str, list[Any]] = {}

    def persistent_id(self, value: Any) -> Any:
        """What is not written but found again."""
        if isinstance(value, ModuleType):
            return "module", value.__name__
        kind = type(value)
        drawn = kind.__module__.startswith("pygame") and kind.__name__ in DRAWING
        if drawn or (isinstance(value, FunctionType) and "<" in value.__qualname__):
            name = f"{kind.__module__}:{kind.__name__}" if drawn else f"{value.__module__}:{value.__qualname__}"
            known = self.functions.setdefault(name, [])
            if not any(value is other for other in known):
                known.append(value)
            return "function", name, next(i for i, other in enumerate(known) if other is value)
        return None

    def reducer_override(self, value: Any) -> Any:
        """EzPickle remembers how an object was made, and forgets what has become of it."""
        if isinstance(value, EzPickle) and not isinstance(value, type):
            return object.__new__, (type(value),), dict(vars(value)), None, None, _become
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, functions: dict[str, list[Any]]) -> None:
        super().__init__(file)
        self.functions = functions

    def persistent_load(self, pid: Any) -> Any:
        """A module, or the function that stands in the same place of what was made anew."""
        if pid[0] == "module":
            return __import__(pid[1], fromlist=["_"])
        try:
            return self.functions[pid[1]][pid[2]]
        except (KeyError, IndexError) as error:
            raise CheckpointError(f"the environments have no {pid[1]} any more") from error


def _become(value: Any, state: dict[str, Any]) -> None:
    """Take a state as it is, past `__setstate__`."""
    vars(value).update(state)


def _pickled(value: Any) -> bytes:
    """Raises NoState."""
    file = io.BytesIO()
    try:
        _Pickler(file).dump(value)
    except Exception as error:  # whatever an object's own way of being pickled raises
        raise NoState(" ".join(str(error).split()) or type(error).__name__) from error
    return file.getvalue()


def _unpickled(content: bytes, existing: Any) -> Any:
    twin = _Pickler(io.BytesIO())
    twin.dump(existing)
    return _Unpickler(io.BytesIO(content), twin.functions).load()
