"""The base of what comes in and what goes out, and field types that several domains share."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, Strict
from pydantic_core import PydanticCustomError

MAX_ID = 2**63 - 1


class Input(BaseModel):
    """A body that a client sends: unknown fields are refused, strings are trimmed."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


def _without_defaults(schema: dict[str, Any]) -> None:
    for field in schema["properties"].values():
        field.pop("default", None)


class Changes(Input):
    """A body that changes something: only sent fields change.

    What is not sent stays as it is, so the defaults of the fields stand for nothing that a client should read: one that
    filled them in would make a plain user of everybody it renames.
    """

    model_config = ConfigDict(json_schema_extra=_without_defaults)


class Output(BaseModel):
    """A body that the server sends; reads attributes, so a row or an ORM object fills it."""

    model_config = ConfigDict(from_attributes=True)


class Confirmation(Output):
    """One sentence about what was done."""

    message: str


class PageInfo(Output):
    """Where in a list an answer stands; ``null`` is what was not asked for.

    ``size`` is the limit that was in force, ``page`` counts from 1, ``pages`` is how many pages of that size there are.
    """

    total: int | None
    page: int | None
    size: int
    pages: int | None


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise PydanticCustomError("number_type", "Input should be a valid number")
    return value


Id = Annotated[int, Field(ge=1, le=MAX_ID)]
"""The id of a row, 1 to 2^63 - 1, where it is read from text: in a query."""
BodyId = Annotated[Id, Strict()]
"""The id of a row in a body: an integer and nothing that could be read as one. ``true`` would be the first row."""

Number = Annotated[
    Decimal,
    BeforeValidator(_number, json_schema_input_type=float),
    PlainSerializer(float, return_type=float, when_used="json"),
]
"""An exact decimal that is a JSON number on the wire, never a string."""

__all__ = ["MAX_ID", "BodyId", "Changes", "Confirmation", "Id", "Input", "Number", "Output", "PageInfo"]
