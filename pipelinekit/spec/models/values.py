"""What every spec is written with: names, durations, types, secrets, and the model of them all.

Shorthands (`views: count()`, `key: [country]`, `sink: warehouse`) are spelled out before they are
read, so that every model has one form and every error one place.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
)
from pydantic_core import PydanticCustomError

from pipelinekit.spec.variables import is_open
from pipelinekit.types import Type, parse_type
from pipelinekit.units import parse_duration_ms

NAME = re.compile(r"[a-z][a-z0-9_]{0,47}", re.ASCII)
RESERVED_SUFFIX = re.compile(r"_(?:\d+(?:ms|s|m|h|d|w|mo)|session|v\d+)", re.ASCII)
SECRET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
COLUMN_NAMES = frozenset(
    ("window_start", "window_end", "window_date", "_events", "_late", "_version", "_watermark")
)


def check_name(value: str) -> str:
    """A name of a spec, or an error that says the rule."""
    if not NAME.fullmatch(value):
        raise PydanticCustomError(
            "name",
            '"{value}" is no name: small letters, digits and _, a letter first, 48 at most',
            {"value": value[:60]},
        )
    if "__" in value:
        raise PydanticCustomError("name", '"{value}" holds a double underscore', {"value": value})
    return value


def check_open_name(value: str) -> str:
    """A name, or a variable that no environment filled."""
    return value if is_open(value) else check_name(value)


def check_spec_name(value: str) -> str:
    """A name whose tables can't be taken for another's."""
    check_name(value)
    if found := re.search(RESERVED_SUFFIX.pattern + "$", value):
        raise PydanticCustomError(
            "name",
            '"{value}" ends in "{suffix}", as tables of a grain or version do',
            {"value": value, "suffix": found[0]},
        )
    return value


def _duration(value: Any) -> Any:
    if not isinstance(value, str):
        raise PydanticCustomError(
            "duration",
            "{value} has no unit: a duration is a whole number and one of ms s m h d w",
            {"value": str(value)},
        )
    try:
        return parse_duration_ms(value)
    except ValueError as error:
        raise PydanticCustomError("duration", "{why}", {"why": str(error)}) from None


def _type(value: Any) -> Any:
    if isinstance(value, Type):
        return value
    if not isinstance(value, str):
        raise PydanticCustomError("type", "{value} is not a type", {"value": str(value)})
    try:
        return parse_type(value)
    except ValueError as error:
        raise PydanticCustomError("type", "{why}", {"why": str(error)}) from None


def spelled(key: str) -> BeforeValidator:
    """`text` stands for `{key: text}`."""
    return BeforeValidator(lambda value: {key: value} if isinstance(value, str) else value)


def listed(value: Any) -> Any:
    """A text stands for a list of it."""
    return [value] if isinstance(value, str) else value


# Where nothing stands. Of a built-in such as `list`, pydantic learns the arguments by parsing its
# documentation, which takes longer than the rest of the field.
def no_items() -> list[Any]:
    return []


def no_entries() -> dict[str, Any]:
    return {}


Name = Annotated[StrictStr, AfterValidator(check_name)]
OpenName = Annotated[StrictStr, AfterValidator(check_open_name)]
SpecName = Annotated[StrictStr, AfterValidator(check_spec_name)]
Duration = Annotated[int, BeforeValidator(_duration)]
FieldType = Annotated[Type, BeforeValidator(_type)]
Names = Annotated[list[Name], BeforeValidator(listed), Field(min_length=1)]
Texts = Annotated[list[StrictStr], BeforeValidator(listed), Field(min_length=1)]
Manage = Literal["full", "verify"]
Value = StrictStr | StrictBool | StrictInt | float | None


class Model(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        defer_build=True,
        arbitrary_types_allowed=True,
        populate_by_name=False,
    )


class Secret(Model):
    """A password by name: the environment variable, or the file /run/secrets/NAME."""

    secret: Annotated[StrictStr, Field(pattern=f"^{SECRET_NAME.pattern}$")]
