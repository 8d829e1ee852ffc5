"""Request and response bodies of items. Prices are exact decimals inside, JSON numbers on the wire."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Annotated, Any, Final, NamedTuple

from pydantic import (
    AfterValidator,
    Field,
    Strict,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError, to_json
from sqlalchemy import Row

from tradepost.accounts.schemas import PublicUser
from tradepost.core.database.models import Money
from tradepost.core.wire.characters import is_blank
from tradepost.core.wire.schemas import Changes, Id, Input, Number, Output, PageInfo
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


Title = Annotated[str, Field(min_length=1, max_length=TITLE_LENGTH), AfterValidator(_seen)]
"""1 to 200 characters, of which something is seen."""
Description = Annotated[str, Field(max_length=DESCRIPTION_LENGTH)]
# The schemas are spelt out: pydantic knows how to describe bounds of numbers, but not of what becomes a Decimal.
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


class ItemStatus(StrEnum):
    """Whether the public sees an item: only active ones are shown to strangers."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    DRAFT = "draft"


class ItemCreate(Input):
    """A new item."""

    title: Title
    description: Description | None = None
    price: Price
    discount_price: Price | None = None
    tax: Tax | None = None
    status: ItemStatus = ItemStatus.ACTIVE
    tags: TagList = Field(default_factory=list)
    category_id: CategoryId | None = None

    @field_validator("discount_price")
    @classmethod
    def _discount_is_one(cls, discount_price: Decimal | None, others: ValidationInfo) -> Decimal | None:
        price = others.data.get("price")
        if price is not None and discount_price is not None and discount_price >= price:
            raise discount_fault()
        return discount_price


class ItemUpdate(Changes):
    """Changes to an item: only sent fields change; ``null`` clears description, discount price, tax and category."""

    title: Title = Field(default="", validate_default=False)
    description: Description | None = None
    price: Price = Field(default=Decimal(0), validate_default=False)
    discount_price: Price | None = None
    tax: Tax | None = None
    status: ItemStatus = ItemStatus.ACTIVE
    tags: TagList = Field(default_factory=list)
    category_id: CategoryId | None = None


class ItemRead(Output):
    """An item, the same for every visitor that may see it."""

    id: int
    title: str
    description: str | None
    price: Number
    discount_price: Number | None
    tax: Number | None
    total_price: Number
    status: ItemStatus
    tags: list[str]
    category_id: int | None
    images: list[str]
    views: int
    owner_id: int
    owner: PublicUser
    version: int
    created_at: datetime
    updated_at: datetime


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


OwnerRow = Row[int, str, str, Any]
"""What everybody may see of an owner: id, first_name, last_name, avatar_url."""


def new_item_json(item_id: int, values: Mapping[str, Any], tags: Sequence[str], owner: OwnerRow) -> bytes:
    """Return the JSON of ``ItemRead`` for an item that was just inserted with these ``values``."""
    return item_json(
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

    items: list[ItemRead]
