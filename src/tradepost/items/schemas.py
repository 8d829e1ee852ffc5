"""Request and response bodies of items. Prices are exact decimals inside, JSON numbers on the wire."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from functools import partial
from typing import Annotated, Any, Final, NamedTuple

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError
from sqlalchemy import Row

from tradepost.accounts.schemas import PublicUser
from tradepost.categories.schemas import CategoryRead
from tradepost.core.database.models import Money
from tradepost.core.wire.characters import SEEN_PATTERN, is_blank
from tradepost.core.wire.representations import Representation
from tradepost.core.wire.row_json import to_json
from tradepost.core.wire.schemas import Changes, Id, Input, Number, Output, PageInfo, example
from tradepost.tags.schemas import TagList

CENT: Final = Decimal("0.01")
HUNDRED: Final = Decimal(100)
TITLE_LENGTH: Final = 200
DESCRIPTION_LENGTH: Final = 1000
HIGHEST_PRICE: Final = Money.highest


def _within_reach(price: Decimal) -> Decimal:
    # Not ``Field(le=…)``, whose message would be written in Python: "less than or equal to Decimal('9999999999.99')".
    if price > HIGHEST_PRICE:
        raise PydanticKnownError("less_than_equal", {"le": float(HIGHEST_PRICE)})
    return price


def _plain_zero(percent: Decimal) -> Decimal:
    return percent or Decimal(0)  # -0.0 is a number in JSON, and no other one than 0


def _seen(title: str) -> str:
    if is_blank(title):
        raise PydanticKnownError("string_too_short", {"min_length": 1})
    return title


Title = Annotated[
    str,
    Field(min_length=1, max_length=TITLE_LENGTH, json_schema_extra={"pattern": SEEN_PATTERN}),
    AfterValidator(_seen),
]
"""1 to 200 characters, of which something is seen."""
Description = Annotated[str, Field(max_length=DESCRIPTION_LENGTH)]
# The schemas are spelt out: pydantic knows how to describe bounds of numbers, but not of what becomes a Decimal. They leave
# out the two decimals: by the arithmetic of most validators, 19.99 is no multiple of 0.01.
Price = Annotated[
    Number,
    Field(gt=0, decimal_places=2),
    AfterValidator(_within_reach),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": float(HIGHEST_PRICE)}),
]
"""More than 0, at most 9,999,999,999.99, two decimals."""
Tax = Annotated[
    Number,
    Field(ge=0, le=100, decimal_places=2),
    AfterValidator(_plain_zero),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 100}),
]
"""Percent, 0 to 100, two decimals."""
CategoryId = Annotated[Id, Strict()]
"""An integer and nothing that could be read as one: ``true`` would be the first category."""


def total_price(price: Decimal, discount_price: Decimal | None, tax: Decimal | None) -> Decimal:
    """Return what a buyer pays: the discount price or the price, plus tax, rounded half up to cents."""
    base = price if discount_price is None else discount_price
    return (base * (1 + (tax or 0) / HUNDRED)).quantize(CENT, ROUND_HALF_UP)


def discount_fault() -> PydanticCustomError:
    """Return the error for a discount price that is none."""
    return PydanticCustomError("discount_price", "The discount price must be less than the price")


TITLE: Final = "What it is, in a few words, of which something is seen"
DESCRIPTION: Final = "What there is to know about it"
PRICE: Final = "More than 0, with at most two decimals"
DISCOUNT_PRICE: Final = "What it costs for now: less than the price, with at most two decimals"
TAX: Final = "Percent on top of the price, with at most two decimals"
STATUS: Final = "Who sees it: `active` everybody, `inactive` and `draft` its owner and staff"
TAGS: Final = "Words to find it by: lower case, no two alike, at most 20"
CATEGORY_ID: Final = "The category that it is sorted into"
_EXAMPLE: Final[dict[str, Any]] = {
    "title": "Desk lamp",
    "description": "Brass, with a green shade. Works.",
    "price": 24.5,
    "discount_price": 19.99,
    "tax": 19,
    "status": "active",
    "tags": ["lamp", "brass"],
}


class ItemStatus(StrEnum):
    """Whether the public sees an item: only active ones are shown to strangers."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    DRAFT = "draft"


class ItemCreate(Input):
    """A new item."""

    model_config = example(**_EXAMPLE)

    title: Title = Field(description=TITLE)
    description: Description | None = Field(default=None, description=DESCRIPTION)
    price: Price = Field(description=PRICE)
    discount_price: Price | None = Field(default=None, description=DISCOUNT_PRICE)
    tax: Tax | None = Field(default=None, description=TAX)
    status: ItemStatus = Field(default=ItemStatus.ACTIVE, description=STATUS)
    tags: TagList = Field(default_factory=list, description=TAGS)
    category_id: CategoryId | None = Field(default=None, description=CATEGORY_ID)

    @field_validator("discount_price")
    @classmethod
    def _discount_is_one(cls, discount_price: Decimal | None, others: ValidationInfo) -> Decimal | None:
        price = others.data.get("price")
        if price is not None and discount_price is not None and discount_price >= price:
            raise discount_fault()
        return discount_price


class ItemUpdate(Changes):
    """Changes to an item: only sent fields change; ``null`` clears description, discount price, tax and category."""

    model_config = example(**_EXAMPLE | {"title": "Desk lamp, brass", "price": 22, "discount_price": None})

    title: Title = Field(default="", validate_default=False, description=TITLE)
    description: Description | None = Field(default=None, description=DESCRIPTION)
    price: Price = Field(default=Decimal(0), validate_default=False, description=PRICE)
    discount_price: Price | None = Field(default=None, description=DISCOUNT_PRICE)
    tax: Tax | None = Field(default=None, description=TAX)
    status: ItemStatus = Field(default=ItemStatus.ACTIVE, description=STATUS)
    tags: TagList = Field(default_factory=list, description=TAGS)
    category_id: CategoryId | None = Field(default=None, description=CATEGORY_ID)


class ItemRead(Output):
    """An item, the same for every visitor that may see it."""

    id: int = Field(description="The item's number, never given to another", examples=[1])
    title: str = Field(description=TITLE, examples=["Desk lamp"])
    description: str | None = Field(description=DESCRIPTION, examples=["Brass, with a green shade. Works."])
    price: Number = Field(description="Exact to the cent", examples=[24.5])
    discount_price: Number | None = Field(description="What it costs for now", examples=[19.99])
    tax: Number | None = Field(description="Percent on top of the price", examples=[19])
    total_price: Number = Field(
        description="What a buyer pays: the discount price or the price, plus tax, rounded half up to cents",
        examples=[23.79],
    )
    status: ItemStatus = Field(description=STATUS)
    tags: list[str] = Field(description="Words to find it by", examples=[["lamp", "brass"]])
    category_id: int | None = Field(description=CATEGORY_ID, examples=[1])
    images: list[str] = Field(description="The paths of its pictures, in their order")
    views: int = Field(description="How often it was looked at", examples=[7])
    owner_id: int = Field(description="The person who sells it", examples=[2])
    owner: PublicUser = Field(description="What everybody may know about the person who sells it")
    version: int = Field(description="Counts its changes, from 1", examples=[1])
    created_at: datetime = Field(description="When it was put up for sale")
    updated_at: datetime = Field(description="When it was last changed")


class ItemRow(NamedTuple):
    """An item with its owner's public view and its tags: the columns that the repository reads, in this order."""

    id: int
    title: str
    description: str | None
    price: Decimal
    discount_price: Decimal | None
    tax: Decimal | None
    status: str
    category_id: int | None
    images: Sequence[str]
    views: int
    owner_id: int
    version: int
    created_at: datetime
    updated_at: datetime
    owner_first_name: str
    owner_last_name: str
    owner_avatar_url: str | None
    tags: Sequence[str]


def item_json(row: ItemRow) -> bytes:
    """Return the JSON of ``ItemRead``, written down once more: a list spends most of its time on this.

    Tests hold the two against each other, to the byte.
    """
    return to_json(
        {
            "id": row.id,
            "title": row.title,
            "description": row.description,
            "price": float(row.price),
            "discount_price": None if row.discount_price is None else float(row.discount_price),
            "tax": None if row.tax is None else float(row.tax),
            "total_price": float(total_price(row.price, row.discount_price, row.tax)),
            "status": row.status,
            "tags": row.tags,
            "category_id": row.category_id,
            "images": row.images,
            "views": row.views,
            "owner_id": row.owner_id,
            "owner": {
                "id": row.owner_id,
                "first_name": row.owner_first_name,
                "last_name": row.owner_last_name,
                "full_name": f"{row.owner_first_name} {row.owner_last_name}",
                "avatar_url": row.owner_avatar_url,
            },
            "version": row.version,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        }
    )


BESIDES_VERSION: Final = (
    "updated_at",
    "views",
    "images",
    "tags",
    "owner_first_name",
    "owner_last_name",
    "owner_avatar_url",
)
"""The columns that an item's entity tag is made of besides its version. The others change with the version alone; these may
change without it, or tell an item from what a restored backup had under the same version."""


def item_shown(row: ItemRow) -> Representation:
    """Return a whole item with its entity tag: the JSON of ``ItemRead``."""
    # The columns of BESIDES_VERSION, written down once more: this is the busiest read.
    made_of = (
        row.updated_at,
        row.views,
        row.images,
        row.tags,
        row.owner_first_name,
        row.owner_last_name,
        row.owner_avatar_url,
    )
    return Representation(row.version, made_of, partial(item_json, row))


OwnerRow = Row[int, str, str, Any]
"""What everybody may see of an owner: id, first_name, last_name, avatar_url."""


def new_item_shown(
    item_id: int, values: Mapping[str, Any], tags: Sequence[str], owner: OwnerRow
) -> Representation:
    """Return an item that was just inserted with these ``values``, as a read of it does."""
    return item_shown(
        ItemRow(
            **values,
            id=item_id,
            tags=tags,
            owner_first_name=owner.first_name,
            owner_last_name=owner.last_name,
            owner_avatar_url=owner.avatar_url,
        )
    )


class ItemPage(PageInfo):
    """A part of a list of items."""

    items: list[ItemRead] = Field(description="The items of this part")


def _nothing_required(schema: dict[str, Any]) -> None:
    schema.pop("required", None)


class ItemPart(ItemRead):
    """Those fields of an item that `fields` names, or all of them, and the category if `expand` asks for it."""

    model_config = ConfigDict(json_schema_extra=_nothing_required)

    category: CategoryRead | None = Field(
        description="The category that it is in, as lists of categories show it; `null` without one that one may see"
    )


class Highlights(Output):
    """Texts of an item as HTML, with `<mark>` around what was found."""

    title: str = Field(description="Its title", examples=["Desk <mark>lamp</mark>"])
    description: str | None = Field(description="Its description", examples=[None])


class ItemFound(ItemPart):
    """An item that a search found; `highlights` if they were asked for."""

    highlights: Highlights = Field(description="What was found in its texts")


class FacetValue(Output):
    """A value of a facet."""

    value: int | str = Field(description="A category's id, a tag, or a range of prices", examples=["brass"])
    count: int = Field(description="How many of the results have it", examples=[3])


class Facets(Output):
    """How the results are spread, the most frequent values first; prices in their order."""

    model_config = ConfigDict(json_schema_extra=_nothing_required)

    category: list[FacetValue] = Field(description="By category; the value is its id")
    tag: list[FacetValue] = Field(description="By tag")
    price: list[FacetValue] = Field(description="By price, from one to another: `10-24.99`, `10000-`")


class TotalRelation(StrEnum):
    """Whether a search counted to the end."""

    EXACT = "exact"
    AT_LEAST = "at-least"


class SearchResults(Output):
    """The results of a search with facets."""

    items: list[ItemFound] = Field(description="The items of this part, the best first")
    facets: Facets = Field(description="Counts of the best 10,000 results, by what was asked for")
    total: int | None = Field(description="How many there are, at most 10,000", examples=[3])
    total_relation: TotalRelation | None = Field(description="`at-least` once 10,000 were counted")
    next_cursor: str | None = Field(description="For `cursor`: what follows; `null` at the end")


class PartPage(PageInfo):
    """A part of a list of items, of each of which `fields` or `expand` say what is shown."""

    items: list[ItemPart] = Field(description="The items of this part")
