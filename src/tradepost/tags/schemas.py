"""Request and response bodies of tags, and the normal form of a tag's name."""

import unicodedata
from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError, PydanticKnownError

from tradepost.core.wire.characters import PLAIN_PATTERN, has_controls, is_blank
from tradepost.core.wire.schemas import BodyId, Changes, Input, Output, PageInfo, example

TAG_LENGTH: Final = 50
DESCRIPTION_LENGTH: Final = 500
MAX_TAGS: Final = 20
"""How many tags one item may have."""

# Phone keyboards put one behind an emoji; it says how to draw it, not which one it is.
_PRESENTATION: Final = str.maketrans("", "", "\ufe0e\ufe0f")


def normalised_tag(text: str) -> str:
    """Return the form a tag is stored and compared in: trimmed, NFC, lower-case, one space between words."""
    if text.isascii():
        return " ".join(text.lower().split())
    composed = unicodedata.normalize("NFC", text.translate(_PRESENTATION))
    return unicodedata.normalize("NFC", " ".join(composed.lower().split()))


def _tag_name(value: str) -> str:
    name = normalised_tag(value)
    if has_controls(name):
        raise PydanticCustomError("tag_letters", "A tag has no invisible or control characters")
    if is_blank(name):
        raise PydanticKnownError("string_too_short", {"min_length": 1})
    if len(name) > TAG_LENGTH:
        raise PydanticKnownError("string_too_long", {"max_length": TAG_LENGTH})
    return name


def _without_duplicates(names: list[str]) -> list[str]:
    unique = list(dict.fromkeys(names))
    if len(unique) > MAX_TAGS:
        raise PydanticKnownError(
            "too_long", {"field_type": "List", "max_length": MAX_TAGS, "actual_length": len(unique)}
        )
    return unique


TagName = Annotated[
    str, AfterValidator(_tag_name), Field(json_schema_extra={"minLength": 1, "maxLength": TAG_LENGTH})
]
"""The name of a tag in its normalised form, 1 to 50 characters."""
# Not in addresses: what looks at those there (Swagger UI) reads a pattern without the flag for Unicode.
_BodyTagName = Annotated[TagName, Field(json_schema_extra={"pattern": PLAIN_PATTERN})]
TagList = Annotated[
    list[_BodyTagName], AfterValidator(_without_duplicates), Field(json_schema_extra={"maxItems": MAX_TAGS})
]
"""At most 20 tags, normalised, in the order in which they were written; equal ones count once."""
Description = Annotated[str, Field(max_length=DESCRIPTION_LENGTH)]


NAME: Final = "The word; it is kept in lower case with one space between words"
DESCRIPTION: Final = "What the tag stands for"


class TagCreate(Input):
    """A new tag."""

    model_config = example(name="garden", description="Plants, tools and furniture for outside")

    name: _BodyTagName = Field(description=NAME)
    description: Description | None = Field(default=None, description=DESCRIPTION)


class TagUpdate(Changes):
    """Changes to a tag: only sent fields change, ``null`` clears the description."""

    model_config = example(name="brass lamps", description="Lamps of brass, old and new")

    name: _BodyTagName = Field(default="", validate_default=False, description=NAME)
    description: Description | None = Field(default=None, description=DESCRIPTION)


class TagMerge(Input):
    """The tag that takes over the items of another."""

    model_config = example(into_id=2)

    into_id: BodyId = Field(description="The tag that takes over the items")


class TagRead(Output):
    """A tag, and how many items bear it."""

    id: int = Field(description="The tag's number, never given to another", examples=[1])
    name: str = Field(description="The word, in lower case", examples=["lamp"])
    description: str | None = Field(description=DESCRIPTION, examples=[None])
    item_count: int = Field(description="How many active items bear it", examples=[3])
    created_at: datetime = Field(description="When the tag was made")
    updated_at: datetime = Field(description="When it was last changed")


class TagPage(PageInfo):
    """A part of the list of tags."""

    tags: list[TagRead] = Field(description="The tags of this part")
