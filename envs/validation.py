"""Reading a user's document into a pydantic model, with errors in one line that name the key."""

from collections.abc import Mapping
from typing import Any, TypeVar

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
    fault = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1:
        return str(did_you_mean("key", key, model.model_fields))
    if fault["type"] == "missing":
        return f"the key {key!r} is missing"
    text = fault["msg"].removeprefix("Value error, ").replace("Input should be", "expected").strip()
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    found = "" if fault["type"] == "value_error" else f"found {fault['input']!r}, "
    return f"{key or 'the document'}: {found}{text}{more}"
