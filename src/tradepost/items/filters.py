"""The filter of a list of items, and the conditions that spell it for either engine."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    bindparam,
    literal_column,
    or_,
    select,
)

from tradepost.core.database.elements import AmongSelected, Unindexed
from tradepost.items.models import Item, ItemTag
from tradepost.items.schemas import ItemStatus

IS_ACTIVE: Final = Item.status == literal_column(f"'{ItemStatus.ACTIVE}'", Item.status.type)
"""What everybody sees."""

IS_ACTIVE_UNINDEXED: Final = Unindexed(Item.status) == literal_column(f"'{ItemStatus.ACTIVE}'", String())
"""The same for orders that the index by status does not serve."""


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """The filter of a list; a field that is None filters nothing.

    ``category`` is an id or a slug, and its descendants count too; all of ``tags`` must be there.

    ``seller_id`` is the person whose own list it is, ``owner_id`` whom they filter by. ``visitor_id`` sees their own hidden items beside the active ones, ``sees_all`` everybody's.
    """

    status: ItemStatus | None = None
    category: str | None = None
    tags: tuple[str, ...] = ()
    owner_id: int | None = None
    min_price: Decimal | None = None
    max_price: Decimal | None = None
    q: str | None = None
    seller_id: int | None = None
    visitor_id: int | None = None
    sees_all: bool = False

    @property
    def is_public_list(self) -> bool:
        """Whether this is what every stranger's unfiltered list asks for."""
        return self == ItemFilter()

    @property
    def identity(self) -> str:
        """What tells it from other filters, however it was written and whoever asks."""
        prices = [price if price is None else f"{price:.2f}" for price in (self.min_price, self.max_price)]
        tags = sorted(set(self.tags))
        return repr((self.status, self.category, tags, self.owner_id, *prices, self.q, self.seller_id))

    @property
    def shape(self) -> "ItemFilter":
        """The same for all filters whose conditions are the same but for the values."""
        return ItemFilter(
            status=self.status and ItemStatus.ACTIVE,
            category=self.category,
            tags=("",) * len(self.tags),
            owner_id=None if self.owner_id is None else 0,
            min_price=None if self.min_price is None else Decimal(0),
            max_price=None if self.max_price is None else Decimal(0),
            q=self.q,
            seller_id=None if self.seller_id is None else 0,
            visitor_id=None if self.visitor_id is None else 0,
            sees_all=self.sees_all,
        )

    def parameters(self) -> dict[str, Any]:
        """Return the values for the parameters in the conditions."""
        values: dict[str, Any] = {
            name: value
            for name in ("status", "owner_id", "min_price", "max_price", "seller_id", "visitor_id")
            if (value := getattr(self, name)) is not None
        }
        return values | {f"tag_{number}": tag for number, tag in enumerate(self.tags)}

    def conditions(
        self, category_ids: Select[int] | None, found: Select[int] | None = None
    ) -> list[ColumnElement[bool]]:
        """Return what a row must fulfil; the values come with the execution.

        ``found`` are the ids of what ``q`` finds, which the conditions themselves say nothing of.
        """
        wanted: list[ColumnElement[bool]] = []
        if not self.sees_all:
            own = Item.owner_id == bindparam("visitor_id")
            wanted.append(IS_ACTIVE if self.visitor_id is None else or_(IS_ACTIVE, own))
        if self.status is not None:
            wanted.append(Item.status == bindparam("status", type_=Item.status.type))
        if category_ids is not None:
            wanted.append(AmongSelected(Item.category_id, category_ids))
        if self.owner_id is not None:
            wanted.append(Item.owner_id == bindparam("owner_id"))
        if self.seller_id is not None:
            wanted.append(Item.owner_id == bindparam("seller_id"))
        if self.min_price is not None:
            wanted.append(Item.price >= bindparam("min_price", type_=Item.price.type))
        if self.max_price is not None:
            wanted.append(Item.price <= bindparam("max_price", type_=Item.price.type))
        for number in range(len(self.tags)):
            tagged = select(ItemTag.item_id).where(ItemTag.tag == bindparam(f"tag_{number}"))
            wanted.append(Item.id.in_(tagged))
        if found is not None:
            wanted.append(Item.id.in_(found))
        return wanted
