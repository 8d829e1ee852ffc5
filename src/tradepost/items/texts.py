"""What search and sorting know of an item: its texts in their normal form, made by one function for every writer.

Besides, the facts that filters ask for, as words of the same index. Whoever adds a row of texts writes them with it; from
then on triggers on ``items`` keep them, in the same transaction, whatever it is that changes an item.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypedDict

from tradepost.core.search.spelling import FACT
from tradepost.core.wire.folding import searchable, searchable_list, sort_key
from tradepost.items.schemas import ItemStatus

PRICE_CLASSES: Final = tuple(
    Decimal(price).scaleb(-2)
    for price in (
        *(100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000),
        *(1_000_000, 10_000_000),
    )
)
"""Where all classes of prices but the cheapest begin."""

MANY_VIEWS: Final = 100
"""Views from which on an item has a class of views: most items never do, and no index is written for them."""
CATEGORY: Final = f"{FACT}c"
"""Begins the word for items of a category."""


class TextRow(TypedDict):
    """A row of ``item_texts``."""

    item_id: int
    title: str
    tags: str
    description: str
    facts: str
    tag_names: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What filters ask of an item; ``migrations/versions/0025_item_facts.py`` spells it for the triggers."""

    status: ItemStatus
    owner_id: int
    category_id: int | None
    price: Decimal

    def words(self) -> str:
        """Return the words that stand for them."""
        category = "" if self.category_id is None else f" {of_category(self.category_id)}"
        price = of_price(price_class(self.price))
        return f"{of_status(self.status)} {of_owner(self.owner_id)}{category} {price}"


def of_status(status: ItemStatus) -> str:
    """Return the word for items of a status."""
    return f"{FACT}s{status.value}"


def of_owner(user_id: int) -> str:
    """Return the word for somebody's items."""
    return f"{FACT}o{user_id}"


def of_category(category_id: int) -> str:
    """Return the word for items of a category, but not for those of the ones below it."""
    return f"{CATEGORY}{category_id}"


def of_price(number: int) -> str:
    """Return the word for items of a class of prices."""
    return f"{FACT}p{number}"


def price_class(price: Decimal) -> int:
    """Return the number of a price's class."""
    return bisect_right(PRICE_CLASSES, price)


def views_class(views: int) -> int:
    """Return the class of so many views, which sorts like them; migration 0029 spells it for the triggers that keep it."""
    return 0 if views < MANY_VIEWS else len(str(views)) * 10 + int(str(views)[0])


def indexed(title: str, version: int) -> dict[str, Any]:
    """Return the columns of an item whose texts are written in the same transaction."""
    return {"title_key": sort_key(title), "indexed_version": version}


def text_row(
    item_id: int, *, title: str, description: str | None, tags: Sequence[str], facts: Facts
) -> TextRow:
    """Return the texts of an item as search has them."""
    return {
        "item_id": item_id,
        "title": searchable(title),
        "tags": searchable_list(tags),
        "description": searchable(description),
        "facts": facts.words(),
        "tag_names": "\n".join(tags),
    }
