"""State as one file of arrays: a document of JSON with NumPy arrays, tensors and generators in it, without pickle."""

import io
import json
import random
import zipfile
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.running_mean_std import RunningMeanStd

from agents import files
from envs.errors import CheckpointError

KIND = "#"
"""Key that marks what JSON has no word for."""
IN_PLACE = (RunningMeanStd, ActionNoise)
"""Objects that are saved by their attributes and restored into the object that is there."""


class Unknown(TypeError):
    """Something that cannot be written as plain data."""


def save(path: Path, document: Any) -> int:
    """Write a document in one step; the bytes it takes. Raises Unknown, or OSError such as for a full disk."""
    arrays: list[np.ndarray] = []
    text = json.dumps(_packed(document, arrays)).encode()
    buffer = io.BytesIO()
    named: dict[str, Any] = {str(index): array for index, array in enumerate(arrays)}
    np.savez(buffer, document=np.frombuffer(text, np.uint8), **named)
    content = buffer.getvalue()
    files.write_bytes(path, content)
    return len(content)


class Saved:
    """A document read from its file: plain values, and packed ones that `onto` unpacks."""

    def __init__(self, path: Path) -> None:
        """Raises CheckpointError if the file is damaged; every array's checksum is looked at."""
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as held:
                self.arrays = {name: held[name] for name in held.files}
            self.document: Any = json.loads(self.arrays.pop("document").tobytes())
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"{path} is damaged: {error}") from error

    def onto(self, existing: Any = None) -> Any:
        """The document; generators and the like that are in `existing` at the same place go on in place."""
        return unpacked(self.document, self.arrays, existing)


def plain(value: Any) -> bool:
    """Whether a value can be written."""
    try:
        json.dumps(_packed(value, []))
    except (Unknown, ValueError, TypeError):
        return False
    return True


def _packed(value: Any, arrays: list[np.ndarray]) -> Any:
    if value is None or isinstance(value, bool | str) or type(value) in (int, float):
        return value
    if isinstance(value, list):
        return [_packed(one, arrays) for one in value]
    found = _packed_generator(value, arrays)
    if found is None:
        found = _packed_array(value, arrays) or _packed_container(value, arrays)
    if found is None:
        raise Unknown(f"{type(value).__module__}.{type(value).__qualname__} cannot be saved as plain data")
    return found


def _packed_array(value: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(value, torch.Tensor):
        return {KIND: "tensor", "at": _put(value.detach().cpu().numpy(), arrays)}
    if isinstance(value, np.ndarray | np.generic):
        if value.dtype.hasobject:
            raise Unknown("an array of objects cannot be saved as plain data")
        return {KIND: "array" if isinstance(value, np.ndarray) else "number", "at": _put(np.asarray(value), arrays)}
    if isinstance(value, bytes):
        return {KIND: "bytes", "at": _put(np.frombuffer(value, np.uint8), arrays)}
    return None


def _packed_container(value: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(value, tuple):
        return {KIND: "tuple", "of": [_packed(one, arrays) for one in value]}
    if isinstance(value, deque):
        return {KIND: "deque", "of": [_packed(one, arrays) for one in value], "most": value.maxlen}
    if isinstance(value, Mapping):
        return {KIND: "dict", "of": [[_packed(key, arrays), _packed(one, arrays)] for key, one in value.items()]}
    if isinstance(value, IN_PLACE):
        return {KIND: "object", "of": _packed(_own(value), arrays)}
    return None


def _own(value: Any) -> dict[str, Any]:
    """An object's attributes, types excepted."""
    return {name: held for name, held in vars(value).items() if not isinstance(held, type)}


def _packed_generator(value: Any, arrays: list[np.ndarray]) -> Any:
    if isinstance(value, np.random.Generator):
        return {KIND: "generator", "of": _packed(value.bit_generator.state, arrays)}
    if isinstance(value, np.random.RandomState):
        return {KIND: "random state", "of": _packed(value.get_state(legacy=True), arrays)}
    if isinstance(value, torch.Generator):
        return {KIND: "torch generator", "of": _packed(value.get_state(), arrays)}
    if isinstance(value, random.Random):
        return {KIND: "python generator", "of": _packed(value.getstate(), arrays)}
    return None


def _put(array: np.ndarray, arrays: list[np.ndarray]) -> int:
    arrays.append(np.array(array))  # a copy: what is saved is of this moment
    return len(arrays) - 1


def unpacked(packed: Any, arrays: Mapping[str, np.ndarray], existing: Any = None) -> Any:
    """The inverse of packing; `existing` is what stands at this place now. Without it objects stay dicts."""
    if isinstance(packed, list):
        return [unpacked(one, arrays, _at(existing, index)) for index, one in enumerate(packed)]
    if not isinstance(packed, dict):
        return packed
    kind = packed[KIND]
    if "at" in packed:
        return _unpacked_array(kind, arrays[str(packed["at"])])
    if kind == "tuple":
        found = [unpacked(one, arrays, _at(existing, index)) for index, one in enumerate(packed["of"])]
        return type(existing)(*found) if hasattr(existing, "_fields") else tuple(found)
    if kind == "deque":
        return deque((unpacked(one, arrays) for one in packed["of"]), maxlen=packed["most"])
    if kind == "dict":
        keys = [unpacked(key, arrays) for key, _ in packed["of"]]
        return {
            key: unpacked(one, arrays, existing.get(key) if isinstance(existing, Mapping) else None)
            for key, (_, one) in zip(keys, packed["of"], strict=True)
        }
    return _in_place(kind, packed["of"], arrays, existing)


def _unpacked_array(kind: str, array: np.ndarray) -> Any:
    if kind == "tensor":
        return torch.from_numpy(array.copy())
    if kind == "bytes":
        return array.tobytes()
    return array.copy() if kind == "array" else array[()]


def _in_place(kind: str, packed: Any, arrays: Mapping[str, np.ndarray], existing: Any) -> Any:
    """Generators and objects, as they were: those that are there go on from the saved state."""
    if kind == "object":
        if existing is None:
            return unpacked(packed, arrays)
        vars(existing).update(unpacked(packed, arrays, dict(vars(existing))))
        return existing
    state = unpacked(packed, arrays)
    if kind == "generator":
        if not isinstance(existing, np.random.Generator) or _bits(existing) != state["bit_generator"]:
            existing = np.random.Generator(getattr(np.random, state["bit_generator"])(0))
        existing.bit_generator.state = state
    elif kind == "random state":
        existing = existing if isinstance(existing, np.random.RandomState) else np.random.RandomState()
        existing.set_state(state)
    elif kind == "torch generator":
        existing = existing if isinstance(existing, torch.Generator) else torch.Generator()
        existing.set_state(state)
    else:
        existing = existing if isinstance(existing, random.Random) else random.Random()
        existing.setstate(state)
    return existing


def _bits(generator: np.random.Generator) -> str:
    return type(generator.bit_generator).__name__


def _at(existing: Any, index: int) -> Any:
    return existing[index] if isinstance(existing, list | tuple) and index < len(existing) else None
