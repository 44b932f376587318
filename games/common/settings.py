"""Typed settings (pydantic models), strict about booleans and numbers."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from games.common.errors import InputError, did_you_mean, one_line

M = TypeVar("M", bound=BaseModel)

MISFIT = "misfit"  # the type of our own error among pydantic's
LARGEST = 2**63 - 1  # what an integer of 64 bits holds, as tensors and files keep them
LONGEST = 120  # characters of a value in a message


class Typed(BaseModel):
    """Base of all settings: frozen, finite, without unknown keys, and strict about true and false.

    Made directly, these raise pydantic's ValidationError; functions called `checked` report the
    same in one line.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _is_strict(cls, data: Any) -> Any:
        for key, field in cls.model_fields.items() if isinstance(data, Mapping) else ():
            if key in data and (wrong := misfit(data[key], field.annotation)):
                raise PydanticCustomError(MISFIT, "{key}: {said}", {"key": key, "said": wrong})
        return data


def complaint(error: Any) -> tuple[list[str], str, Any]:
    """Where one of pydantic's errors is, what is wrong there, and what was given."""
    path = [str(part) for part in error["loc"]]
    if error["type"] != MISFIT:
        return path, error["msg"], error["input"]
    key = error["ctx"]["key"]
    return [*path, key], error["ctx"]["said"], error["input"][key]


def misfit(value: Any, hint: Any) -> str:
    """Why a value that pydantic takes is not what was asked for; "" if it may be.

    Pydantic takes True for 1 and 1 for True, and whole numbers of any length. What is inside of a
    model is the model's own matter.

    Args:
        value: as it was given; may be a list, a tuple or a table.
        hint: the annotation that it must fit.
    """
    kinds = set(_kinds(hint))
    if Any in kinds:
        return ""
    for one in _leaves(value):
        if isinstance(one, bool):
            if bool not in kinds:
                number = "number" if kinds & {int, float} else "value"
                return f"Input should be a {number}, not true or false"
        elif isinstance(one, int | float):
            if kinds <= {bool, type(None)}:
                return "Input should be true or false, not a number"
            if isinstance(one, int) and abs(one) > LARGEST:
                return "Input should be a number of at most 64 bits"
    return ""


def shortened(value: Any) -> str:
    """What was given, as it fits into a message."""
    try:
        text = repr(value)
    except ValueError:  # a number of thousands of digits
        text = f"a number of {value.bit_length()} bits" if isinstance(value, int) else "..."
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 20]} ... {text[-10:]}"


def _kinds(hint: Any) -> Iterator[Any]:
    """The plain types that an annotation is made of; Any for a model, or what is not known here."""
    parts = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Annotated:
        yield from _kinds(parts[0])
    elif typing.get_origin(hint) is typing.Literal:
        yield from map(type, parts)
    elif parts:
        for part in parts:
            if part is not Ellipsis:
                yield from _kinds(part)
    elif hint in (bool, int, float, str, type(None), None):
        yield type(None) if hint is None else hint
    else:
        yield Any


def _leaves(value: Any) -> Iterator[Any]:
    """What stands in lists and tables within one another, or the value itself."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part)
    else:
        yield value


class Table(Typed):
    """A table of a scenario, or a method's parameters."""

    renamed: ClassVar[Mapping[str, str]] = {}
    """Keys of earlier versions, and their present names."""


def checked(model: type[M], data: Mapping[str, Any], source: str) -> M:
    """`data` as a model; InputError in one line that begins with `source` if it does not fit."""
    try:
        return model.model_validate(dict(data))
    except ValidationError as error:
        raise InputError(f"{source}: {_explain(error, model)}") from None


def _explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first of pydantic's errors as one line with the fix."""
    first = error.errors()[0]
    path, message, given = complaint(first)
    where = ".".join(path)
    if first["type"] == "extra_forbidden":
        for part in first["loc"][:-1]:  # walk down to the model that refused the key
            inner = model.model_fields[str(part)].annotation if isinstance(part, str) else None
            for kind in (inner, *get_args(inner)):  # of a table that may be left out: X | None
                if isinstance(kind, type) and issubclass(kind, BaseModel):
                    model = kind
        key = str(first["loc"][-1])
        if key in getattr(model, "renamed", {}):
            return f"the key {where!r} is called {model.renamed[key]!r} now"  # type: ignore[attr-defined]
        known = did_you_mean(key, model.model_fields)
        return f"there is no key {where!r}: {known}"
    message = message.removeprefix("Value error, ")
    if isinstance(first["ctx"].get("error") if "ctx" in first else None, InputError):
        return one_line(message)
    prefix = f"{where}: " if where else ""
    instead = "" if first["type"] == "missing" else f" (given: {shortened(given)})"
    return one_line(f"{prefix}{message[0].lower()}{message[1:]}{instead}")
