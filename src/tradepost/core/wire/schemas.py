"""The base models of request and response bodies, and the field types that several domains share."""

from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    PlainSerializer,
    Strict,
)
from pydantic_core import PydanticCustomError
from typing_extensions import override

MAX_ID = 2**63 - 1


def example(**values: Any) -> ConfigDict:
    """Return the ``model_config`` of a body with its example: sent untouched, it is taken."""
    return ConfigDict(json_schema_extra=lambda schema: schema.update(examples=[values]))


class Input(BaseModel):
    """A body that a client sends: unknown fields are refused, strings are trimmed."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Changes(Input):
    """A body that changes something: only sent fields change.

    What is not sent stays as it is, so the defaults of the fields stand for nothing that a client should read: one that
    filled them in would make a plain user of everybody it renames.
    """

    @classmethod
    @override
    def __get_pydantic_json_schema__(
        cls, core_schema: Any, handler: GetJsonSchemaHandler, /
    ) -> dict[str, Any]:
        schema = handler.resolve_ref_schema(handler(core_schema))
        for field in schema["properties"].values():
            field.pop("default", None)
        return schema


class Output(BaseModel):
    """A body that the server sends; reads attributes, so a row or an ORM object fills it."""

    # A field with a default is in every answer all the same, and documented so.
    model_config = ConfigDict(from_attributes=True, json_schema_serialization_defaults_required=True)


class Confirmation(Output):
    """One sentence about what was done."""

    message: str = Field(description="What was done, for people")


class PageInfo(Output):
    """Where in a list an answer stands; ``null`` is what was not asked for.

    ``size`` is the limit that was in force, ``page`` counts from 1, ``pages`` is how many pages of that size there are.
    """

    total: int | None = Field(description="How many there are in all; `null` when it was not asked for")
    page: int | None = Field(description="The number of this page, from 1; `null` when a cursor was sent")
    size: int = Field(description="The limit that was in force: how many a page holds at the most")
    pages: int | None = Field(
        description="How many pages of this size there are; `null` without a total, and when a cursor was sent"
    )
    next_cursor: str | None = Field(
        description="Sent as `cursor`, it gives what follows, whatever comes and goes meanwhile; `null` at the end"
    )


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

SHOWN_ONCE = "x-shown-once"
ShownOnce = Annotated[str, Field(json_schema_extra={SHOWN_ONCE: True})]
"""A secret that one answer shows and no other: it is not kept, and the answer to a retry comes without it."""
AllShownOnce = Annotated[list[str], Field(json_schema_extra={SHOWN_ONCE: True})]
"""Secrets likewise."""

__all__ = [
    "MAX_ID",
    "SHOWN_ONCE",
    "AllShownOnce",
    "BodyId",
    "Changes",
    "Confirmation",
    "Id",
    "Input",
    "Number",
    "Output",
    "PageInfo",
    "ShownOnce",
    "example",
]
