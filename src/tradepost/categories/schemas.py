"""Request and response bodies of categories."""

import unicodedata
from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, Field, StrictBool
from pydantic_core import PydanticCustomError, PydanticKnownError

from tradepost.core.wire.characters import has_controls, is_blank
from tradepost.core.wire.schemas import BodyId, Changes, Input, Output, PageInfo

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
    Field(json_schema_extra={"minLength": 1, "maxLength": NAME_LENGTH}),
]
"""The name of a category, 1 to 100 characters, as it was written but for the space around it."""
Description = Annotated[str, Field(max_length=DESCRIPTION_LENGTH)]


class CategoryCreate(Input):
    """A new category; without ``parent_id`` it is a root of the tree."""

    name: CategoryName
    description: Description | None = None
    is_active: StrictBool = True
    parent_id: BodyId | None = None


class CategoryUpdate(Changes):
    """Changes to a category: only sent fields change; ``null`` clears the description, and makes it a root."""

    name: CategoryName = Field(default="", validate_default=False)
    description: Description | None = None
    is_active: StrictBool = True
    parent_id: BodyId | None = None


class CategoryRead(Output):
    """A category; ``children`` is null where they were not asked for: in flat lists."""

    id: int
    name: str
    slug: str
    description: str | None
    is_active: bool
    parent_id: int | None
    children: "list[CategoryRead] | None" = None
    created_at: datetime
    updated_at: datetime


class CategoryPage(PageInfo):
    """A part of the flat list, or the whole tree: its roots in ``categories``, all others nested in them.

    The tree is one page: ``total`` and ``size`` are the number of categories shown, at every level.
    """

    categories: list[CategoryRead]
