"""The filter of a list of items, and the conditions that spell it for either engine."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeVar

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    String,
    bindparam,
    literal_column,
    or_,
    select,
    true,
)
from sqlalchemy.orm import InstrumentedAttribute, aliased

from tradepost.categories.service import CategoryService
from tradepost.core.database.elements import AmongSelected, SoughtInRange, Unindexed, UnindexedOnSqlite
from tradepost.items.models import Item, ItemTag
from tradepost.items.plans import BY_ENGINE, PRICE, Plan
from tradepost.items.schemas import ItemStatus

T = TypeVar("T")

_NONE: Final = literal_column("0", BigInteger())

ACTIVE: Final = literal_column(f"'{ItemStatus.ACTIVE}'", Item.status.type)
IS_ACTIVE: Final = Item.status == ACTIVE
"""What everybody sees."""

IS_ACTIVE_UNINDEXED: Final = UnindexedOnSqlite(Item.status) == literal_column(
    f"'{ItemStatus.ACTIVE}'", String()
)
"""The same for orders that the index by status does not serve."""

IS_MUCH_VIEWED: Final = Item.views_class > literal_column("0")
"""The items in the index of those with many views, spelt as the index has it."""


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
    def identity(self) -> str:
        """What tells it from other filters, however it was written and whoever asks."""
        prices = [price if price is None else f"{price:.2f}" for price in (self.min_price, self.max_price)]
        tags = sorted(set(self.tags))
        return repr((self.status, self.category, tags, self.owner_id, *prices, self.q, self.seller_id))

    @property
    def shape(self) -> "ItemFilter":
        """The same for all filters whose conditions are the same but for the values."""
        return ItemFilter(
            status=self.status and (ItemStatus.DRAFT if self.only_own else ItemStatus.ACTIVE),
            category=self.category and _like(self.category),
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
        if self.category is not None:
            values |= CategoryService.subtree_values(self.category)
        return values | {f"tag_{number}": tag for number, tag in enumerate(self.tags)}

    @property
    def is_priced(self) -> bool:
        """Whether it has a price range."""
        return self.min_price is not None or self.max_price is not None

    @property
    def is_public_list(self) -> bool:
        """Whether this is what every stranger's unfiltered list asks for, and everybody's of the staff."""
        return self == ItemFilter(visitor_id=self.visitor_id, sees_all=self.sees_all)

    @property
    def hides_active(self) -> bool:
        """Whether it asks for what everybody does not see."""
        return self.status is not None and self.status is not ItemStatus.ACTIVE

    @property
    def only_own(self) -> bool:
        """Whether it asks for what of all visitors only the owner sees."""
        return self.hides_active and not self.sees_all

    def conditions(
        self,
        by_words: ColumnElement[bool] | None = None,
        *,
        plan: Plan = BY_ENGINE,
    ) -> list[ColumnElement[bool]]:
        """Return what a row must fulfil, so that the rows are found as planned; the values come with the execution.

        ``by_words`` is the condition for what ``q`` finds, which the filter itself does not know.
        """

        def seen(part: str, column: InstrumentedAttribute[T]) -> Any:
            return column if plan.shows(part) else Unindexed(column)

        wanted = self._visible(plan)
        if self.status is not None:
            wanted.append(seen("status", Item.status) == bindparam("status", type_=Item.status.type))
        if self.category is not None:
            below = CategoryService.subtree(self.category)
            wanted.append(AmongSelected(seen("category", Item.category_id), below))
        if self.owner_id is not None:
            wanted.append(seen("owner_id", Item.owner_id) == bindparam("owner_id"))
        if self.seller_id is not None:
            wanted.append(seen("seller_id", Item.owner_id) == bindparam("seller_id"))
        wanted += self.price_range(seen(PRICE, Item.price))
        if not plan.joins_tags or plan.steps is not None:
            wanted += self._tagged(plan)
        if by_words is not None:
            wanted.append(by_words)
        return wanted

    def price_range(self, price: Any = Item.price) -> list[ColumnElement[bool]]:
        """Return what the two bounds say of a price."""
        low, high = (bindparam(name, type_=Item.price.type) for name in ("min_price", "max_price"))
        within = [price >= low] if self.min_price is not None else []
        return [*within, price <= high] if self.max_price is not None else within

    def joined(self, found: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
        """Return the rows found, by their ``id``, that are among all links of each tag.

        What stands behind OFFSET neither engine turns into looks at single links or items.
        """
        gathered = found.offset(_NONE).subquery("gathered")
        rows = select(*gathered.c)
        for number in range(len(self.tags)):
            links = select(ItemTag.item_id).where(ItemTag.tag == bindparam(f"tag_{number}"))
            of_tag = links.offset(_NONE).subquery(f"of_tag_{number}")
            rows = rows.join(of_tag, of_tag.c.item_id == gathered.c.id)
        return rows

    def _visible(self, plan: Plan) -> list[ColumnElement[bool]]:
        if self.sees_all:
            return []
        # While rows are gathered by another part, SQLite might take the status for the better one.
        gathers = plan.gathers and not plan.shows("status")
        is_active = IS_ACTIVE_UNINDEXED if gathers else IS_ACTIVE
        if self.visitor_id is None:
            return [is_active]
        if self.only_own:
            owner = Item.owner_id if plan.shows("visitor_id") else Unindexed(Item.owner_id)
            return [owner == bindparam("visitor_id")]
        return [or_(is_active, Unindexed(Item.owner_id) == bindparam("visitor_id"))]

    def _tagged(self, plan: Plan) -> list[ColumnElement[bool]]:
        parts = [f"tag_{number}" for number in range(len(self.tags))]
        if plan.by_engine:
            return [
                Item.id.in_(select(ItemTag.item_id).where(ItemTag.tag == bindparam(part))) for part in parts
            ]
        if plan.driver not in parts:
            parts.sort(key=lambda part: part != plan.sieve)
            return [_sieved(part) if part == plan.sieve else bears(Item.id, part) for part in parts]
        # Links of one tag that have a link of each other one beside them, before an item is read: most have none.
        first = aliased(ItemTag)
        ids = select(first.item_id).where(first.tag == bindparam(plan.driver))
        for part in parts:
            if part != plan.driver:
                other = aliased(ItemTag)
                beside = SoughtInRange(other.item_id, first.item_id)
                ids = ids.join(other, beside).where(other.tag == bindparam(part))
        return [AmongSelected(Item.id, ids)]


def _like(category: str) -> str:
    """Return a category's key of the same kind: an id, or a slug."""
    return "".join(
        "1" if isinstance(value, int) else "a" for value in CategoryService.subtree_values(category).values()
    )


def _sieved(part: str) -> ColumnElement[bool]:
    """Match items with a tag among all links of the tag, which both engines read once, into a hash table or a tree.

    As a comparison with ``true`` neither turns it into a join, which could begin with the links.
    """
    return Item.id.in_(select(ItemTag.item_id).where(ItemTag.tag == bindparam(part))).is_(true())


def bears(item_id: Any, part: str) -> ColumnElement[bool]:
    """Match items with a tag by a look at the one link, which no engine turns into a join with all links of the tag."""
    link = aliased(ItemTag)
    found = select(link.item_id).where(link.tag == bindparam(part), SoughtInRange(link.item_id, item_id))
    return found.correlate_except(link).scalar_subquery().is_not(None)
