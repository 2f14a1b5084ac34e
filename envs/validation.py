"""Reading a user's document into a pydantic model, with errors in one line that name the key."""

from collections.abc import Mapping, Sequence
from inspect import isclass
from types import UnionType
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from envs.errors import ConfigError
from envs.registry import did_you_mean

Model = TypeVar("Model", bound=BaseModel)


def validated(model: type[Model], document: Mapping[str, Any], where: str = "") -> Model:
    """The model made from a document. Raises ConfigError: the key, what was found and what was expected."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise ConfigError(f"{where}: {explain(error, model)}" if where else explain(error, model)) from error


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first fault of a validation, in one line."""
    faults = error.errors(include_url=False)
    fault = min(faults, key=lambda fault: fault["type"] != "extra_forbidden")  # a slip of the pen explains what lacks
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        *above, name = fault["loc"]
        unknown = did_you_mean("key", str(name), _model_at(model, above).model_fields)
        return f"{'.'.join(map(str, above))}: {unknown}" if above else str(unknown)
    if fault["type"] == "missing":
        return f"the key {key!r} is missing"
    text = (
        fault["msg"]
        .removeprefix("Value error, ")
        .replace("Input should be", "expected")
        .replace("expected greater than or equal to", "expected at least")
        .replace("an object", "a table")
        .replace("a valid tuple", "a list")
        .replace("a valid list", "a list")
        .replace("a valid array", "a list")
        .replace("a valid dictionary", "a table")
        .strip()
    )
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    found = "" if fault["type"] == "value_error" else f"found {_shortened(fault['input'])}, "
    return f"{key}: {found}{text}{more}" if key else f"{found}{text}{more}"


def _model_at(model: type[BaseModel], path: Sequence[int | str]) -> type[BaseModel]:
    """The model that a path of keys leads to, through optional fields, lists and dictionaries of models."""
    annotation: Any = model
    for part in path:
        fields = isclass(annotation) and issubclass(annotation, BaseModel)
        annotation = annotation.model_fields[str(part)].annotation if fields else _last_argument(annotation)
        while isinstance(annotation, UnionType):
            annotation = _last_argument(annotation)
    return annotation if isclass(annotation) and issubclass(annotation, BaseModel) else model


def _last_argument(annotation: Any) -> Any:
    """``X`` of ``dict[str, X]``, ``tuple[X, ...]``, ``list[X]`` and ``X | None``."""
    return [argument for argument in get_args(annotation) if argument not in (type(None), ...)][-1]


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
