"""A report's document as plain data, as JSON text, and by its fingerprint; and what its source is called."""

import hashlib
import json
import math
from collections.abc import Collection, Mapping
from json.encoder import encode_basestring_ascii
from typing import Any

import numpy as np

NESTED = (dict, list)


def plain(found: Any) -> Any:
    """Lists, dictionaries, numbers, strings and null; a number that is not finite is null."""
    if isinstance(found, Mapping):
        return {str(key): plain(value) for key, value in found.items()}
    if isinstance(found, np.ndarray):
        as_it_is = found.dtype.kind in "biu" or (found.dtype.kind == "f" and np.isfinite(found).all())
        return found.tolist() if as_it_is else plain(found.tolist())
    if isinstance(found, list | tuple | set):
        return [plain(value) for value in found]
    if isinstance(found, np.generic):
        return plain(found.item())
    if isinstance(found, float):
        return found if math.isfinite(found) else None
    if found is None or isinstance(found, bool | int | str):
        return found
    return str(found)


def as_json(document: dict[str, Any]) -> str:
    """Plain data as JSON: indented, but what holds no further list or object is one line.

    A curve is then a line, not one for each of its points, and json's encoder in C writes it: several times as fast
    as its indentation, which a sweep's document of ten million characters would notice.
    """
    pieces: list[str] = []
    _write(document, "\n", pieces)
    return "".join([*pieces, "\n"])


def _write(part: Any, line: str, pieces: list[str]) -> None:
    """Add the text of a part to the pieces; `line` begins a new line as deep as the part is."""
    if not isinstance(part, NESTED) or _flat(part.values() if isinstance(part, dict) else part):
        pieces.append(_in_line(part))
        return
    inner = f"{line} "
    named = isinstance(part, dict)
    between, last = (f"{{{inner}", "}") if named else (f"[{inner}", "]")
    for name in part:
        pieces.append(f"{between}{encode_basestring_ascii(name)}: " if named else between)
        _write(part[name] if named else name, inner, pieces)
        between = f",{inner}"
    pieces.append(f"{line}{last}")


def _in_line(part: Any) -> str:
    """What json writes of it, without asking it for single numbers and names, of which a sweep has many."""
    if type(part) is float:
        return repr(part)
    return encode_basestring_ascii(part) if type(part) is str else json.dumps(part)


def _flat(values: Collection[Any]) -> bool:
    return {*map(type, values)}.isdisjoint(NESTED)


def origin(source: Mapping[str, Any]) -> str:
    """What the source of a study file is called: the run or the policy that it is, or its game; empty if it is none."""
    for kind in ("run", "policy"):
        if source.get(kind):
            return f"{kind} {source[kind]}"
    return str(source.get("game") or "")


def fingerprint(document: dict[str, Any]) -> str:
    """Twelve digits of SHA-256 over what was measured: equal for equal numbers, whatever the templates look like."""
    kept = {name: document[name] for name in ("study", "primary", "arms", "dial", "file") if name in document}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:12]
