"""What comes in and goes out about items. Prices are exact decimals inside, JSON numbers on the wire."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    Field,
    Strict,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError, PydanticKnownError
from sqlalchemy import Row

from tradepost.accounts.schemas import PublicUser
from tradepost.core.row_json import as_dict, row_encoder
from tradepost.core.schemas import Changes, Id, Input, Number, Output, PageInfo
from tradepost.tags.schemas import TagList

ItemRow = Row[*tuple[Any, ...]]
"""The columns of an item with its owner's public view and its tags, as the repository reads them."""

CENT = Decimal("0.01")
HUNDRED = Decimal(100)
HIGHEST_PRICE = Decimal("9999999999.99")


def _within_reach(price: Decimal) -> Decimal:
    # Not ``Field(le=…)``, whose message would be written in Python: "less than or equal to Decimal('9999999999.99')".
    if price > HIGHEST_PRICE:
        raise PydanticKnownError("less_than_equal", {"le": float(HIGHEST_PRICE)})
    return price


def _plain_zero(percent: Decimal) -> Decimal:
    return percent or Decimal(0)  # -0.0 is a number in JSON, and no other one than 0


Title = Annotated[str, Field(min_length=1, max_length=200)]
Description = Annotated[str, Field(max_length=1000)]
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
    """An item as everybody who may see it sees it."""

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


_item_json = row_encoder(ItemRead)


def item_json(row: ItemRow) -> bytes:
    """Return the JSON of ``ItemRead`` for a row with its owner and tags."""
    item = as_dict(row)
    return _encoded(
        item, row.owner_id, item["owner_first_name"], item["owner_last_name"], item["owner_avatar_url"]
    )


def new_item_json(
    item_id: int, values: Mapping[str, Any], tags: Sequence[str], owner: Row[int, str, str, Any]
) -> bytes:
    """Return the JSON of ``ItemRead`` for an item that was just inserted with these ``values``."""
    item = {**values, "id": item_id, "tags": tags}
    return _encoded(item, owner.id, owner.first_name, owner.last_name, owner.avatar_url)


def _encoded(
    item: dict[str, Any], owner_id: int, first_name: str, last_name: str, avatar_url: str | None
) -> bytes:
    item["owner"] = {
        "id": owner_id,
        "first_name": first_name,
        "last_name": last_name,
        "full_name": f"{first_name} {last_name}",
        "avatar_url": avatar_url,
    }
    item["total_price"] = total_price(item["price"], item["discount_price"], item["tax"])
    return _item_json(item)


class ItemPage(PageInfo):
    """A part of a list of items."""

    items: list[ItemRead]
