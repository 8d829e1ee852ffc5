"""Request and response bodies of categories."""

import unicodedata
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import AfterValidator, ConfigDict, Field, StrictBool
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError, PydanticKnownError

from tradepost.core.wire.characters import PLAIN_PATTERN, has_controls, is_blank
from tradepost.core.wire.schemas import BodyId, Changes, Input, Output, PageInfo, example

NAME_LENGTH: Final = 100
SLUG_LENGTH: Final = 120
"""With the number that makes it unique."""
DESCRIPTION_LENGTH: Final = 500


def _category_name(value: str) -> str:
    name = unicodedata.normalize("NFC", value).strip()
    if has_controls(name):
        raise PydanticCustomError("name_letters", "A name has no control characters")
    if is_blank(name):
        raise PydanticKnownError("string_too_short", {"min_length": 1})
    if len(name) > NAME_LENGTH:
        raise PydanticKnownError("string_too_long", {"max_length": NAME_LENGTH})
    return name


CategoryName = Annotated[
    str,
    AfterValidator(_category_name),
    Field(json_schema_extra={"minLength": 1, "maxLength": NAME_LENGTH, "pattern": PLAIN_PATTERN}),
]
"""The name of a category, 1 to 100 characters, as it was written but for the space around it."""
Description = Annotated[str, Field(max_length=DESCRIPTION_LENGTH)]


NAME: Final = "What items of this category are"
DESCRIPTION: Final = "What belongs into it"
IS_ACTIVE: Final = "Whether everybody sees it; what is below an inactive one is hidden too"
PARENT_ID: Final = "The category that it belongs to; `null` for a root of the tree"


class CategoryCreate(Input):
    """A new category; without ``parent_id`` it is a root of the tree."""

    model_config = example(
        name="Garden", description="Everything for outside", is_active=True, parent_id=None
    )

    name: CategoryName = Field(description=NAME)
    description: Description | None = Field(default=None, description=DESCRIPTION)
    is_active: StrictBool = Field(default=True, description=IS_ACTIVE)
    parent_id: BodyId | None = Field(default=None, description=PARENT_ID)


class CategoryUpdate(Changes):
    """Changes to a category: only sent fields change; ``null`` clears the description, and makes it a root."""

    model_config = example(name="Home", description="Everything for inside", is_active=True)

    name: CategoryName = Field(default="", validate_default=False, description=NAME)
    description: Description | None = Field(default=None, description=DESCRIPTION)
    is_active: StrictBool = Field(default=True, description=IS_ACTIVE)
    parent_id: BodyId | None = Field(default=None, description=PARENT_ID)


def _on_request(schema: dict[str, Any]) -> None:
    """Document that the number of items is not in every answer."""
    schema["required"] = [name for name in schema.get("required", ()) if name != "items_count"]


class CategoryRead(Output):
    """A category; ``children`` is null where they were not asked for: in flat lists."""

    model_config = ConfigDict(json_schema_extra=_on_request)

    id: int = Field(description="The category's number, never given to another", examples=[1])
    name: str = Field(description=NAME, examples=["Garden"])
    slug: str = Field(description="The name as a part of an address, unique", examples=["garden"])
    description: str | None = Field(description=DESCRIPTION, examples=["Everything for outside"])
    is_active: bool = Field(description=IS_ACTIVE)
    parent_id: int | None = Field(description=PARENT_ID, examples=[None])
    children: "list[CategoryRead] | None" = Field(
        default=None, description="Those right below it; `null` in flat lists", examples=[[]]
    )
    items_count: int | SkipJsonSchema[None] = Field(
        default=None,
        exclude_if=lambda number: number is None,
        description="How many active items it and those below it have; with `counts=true` alone",
        examples=[3],
    )
    created_at: datetime = Field(description="When the category was made")
    updated_at: datetime = Field(description="When it was last changed")


class CategoryPage(PageInfo):
    """A part of the flat list, or the whole tree: its roots in ``categories``, all others nested in them.

    The tree is one page: ``total`` and ``size`` are the number of categories shown, at every level.
    """

    categories: list[CategoryRead] = Field(
        description="The categories of this part, or the roots of the tree"
    )
