"""The statements of a search for items: what it asks of items besides their texts, its pages, and how they are kept."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, cast

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    String,
    Table,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)

from tradepost.core.database.elements import AmongSelected, GatheredIds
from tradepost.core.database.keyset import Nulls, Order
from tradepost.core.search.index import Contains, TextIndex
from tradepost.core.search.statements import End, Join, Rows, SearchStatements
from tradepost.core.search.steps import Choice
from tradepost.core.wire.pagination import Window
from tradepost.items.filters import ItemFilter, bears
from tradepost.items.models import Item, ItemText
from tradepost.items.plans import ROW_BY_ROW
from tradepost.items.repository.facets import spread_statement
from tradepost.items.repository.statements import SORTS
from tradepost.items.schemas import ItemStatus
from tradepost.items.texts import (
    PRICE_CLASSES,
    of_owner,
    of_price,
    of_status,
    price_class,
)

BEST_FIRST: Final = "-rank"
"""The order of a search unless another is asked for."""
SAMPLE: Final = 1_000
"""Texts among which a beginning is counted that very many words have."""
MOST_FACTS: Final = 64
"""Categories that the index is asked for one by one; of more, items are."""
TEXTS: Final = cast("Table", ItemText.__table__)
_NEW_LINE: Final = literal_column("'\n'", String())
KEPT: Final = 256
"""Statements that are kept, one for each shape of a question, its filter and its page."""
ITEM_TEXTS: Final = TextIndex(
    TEXTS,
    TEXTS.c.item_id,
    ((TEXTS.c.title, 4), (TEXTS.c.tags, 2), (TEXTS.c.description, 1)),
    TEXTS.c.facts,
    (TEXTS.c.tag_names,),
)
_AFTER: Final = ("after_tier", "after_score", "after_id")
"""The parameters for the place that a page by rank follows."""
BEGUN: Final = Choice((), "", place="begun")
"""What ``SAMPLED`` looks for, with another beginning."""


def _sampled() -> Select[int]:
    """Return the statement for the number of the newest texts that have a word which begins like a parameter."""
    newest = select(*TEXTS.c).order_by(TEXTS.c.item_id.desc()).limit(SAMPLE).subquery()
    fields = tuple((newest.c[text.name], weight) for text, weight in ITEM_TEXTS.fields)
    met = replace(ITEM_TEXTS, fields=fields).meets(BEGUN)
    return select(func.count()).select_from(newest).where(met)


SAMPLED: Final = _sampled()


@dataclass(frozen=True, slots=True)
class PageShape:
    """What the statement for a page of results depends on besides the search."""

    sort: str
    limit: int
    skip: int
    nulls: Nulls | None
    """The page follows a place, of whose values these are null."""
    after: End | None
    """Where it follows, if results are ranked."""
    needed: int | None
    """How many are ranked class by class; None where all are placed by their texts."""
    in_one_tier: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """A statement that is made once for each shape of a search; the first one's words stand in it, for others to replace."""

    shape: Hashable
    make: Callable[..., Any]
    arguments: tuple[Hashable, ...]
    asked: SearchStatements = field(compare=False)


@lru_cache(maxsize=KEPT)
def made(kept: Kept) -> Select[*tuple[Any, ...]]:
    """Return the statement, from a cache."""
    return kept.make(kept.asked, *kept.arguments)  # type: ignore[no-any-return]


@lru_cache
def order_of(sort: str) -> Order:
    """Return an order of results by columns."""
    return Order(sort, SORTS, ties=Item.id)


def place_values(window: Window, after: End | None) -> Mapping[str, Any]:
    """Return the values of the place that a page follows."""
    if after is not None:
        return dict(zip(_AFTER, (after.tier, -after.score, -after.row_id), strict=True))
    return {} if window.after is None else order_of(window.sort).parameters(window.after)


def results_page(asked: SearchStatements, shape: PageShape) -> Select[*tuple[Any, ...]]:
    """Return the statement for a page of results and one more."""
    if shape.needed is None:
        ranked = asked.placed()
    else:
        ranked = asked.ranked(shape.needed, shape.after, in_one_tier=shape.in_one_tier)
    if shape.sort == BEST_FIRST:
        # All one way, as a comparison of rows wants it: the highest score and the highest id first.
        key = (ranked.c.tier, -ranked.c.score, -ranked.c.id)
        page = select(ranked.c.id, ranked.c.tier, ranked.c.score).order_by(*key)
        if shape.nulls is not None:
            page = page.where(
                tuple_(*key) > tuple_(*(bindparam(name, type_=BigInteger()) for name in _AFTER))
            )
    else:
        order = order_of(shape.sort)
        found = AmongSelected(Item.id, select(ranked.c.id))
        page = select(Item.id, *order.columns()).where(found).order_by(*order.by())
        if shape.nulls is not None:
            page = page.where(order.after(shape.nulls))
    page = page.limit(shape.limit + 1)
    return page.offset(shape.skip) if shape.skip else page


def newest_of(asked: SearchStatements, few: int) -> Select[*tuple[Any, ...]]:
    """Return the statement for the newest results, up to one more than ``few``: their ids if they are few, number, ends."""
    found = asked.matching(few + 1).subquery("found")
    ids = case((func.count() <= literal_column(str(few), Integer()), GatheredIds(found.c.id)))
    return select(ids, func.count(), func.min(found.c.id), func.max(found.c.id)).select_from(found)


def facets_of(asked: SearchStatements, best: str, names: Sequence[str]) -> Select[*tuple[Any, ...]]:
    """Return the statement for how results are spread over facets: those that are told, unranked, or the best."""
    rows = {"told": asked.told, "unranked": asked.unranked, "best": asked.best}
    return spread_statement(rows[best](), names)


def in_price_range(asked: SearchStatements, price: ItemFilter) -> Select[*tuple[Any, ...]]:
    """Return the statement for the results among the items in a price range."""
    return asked.among(select(Item.id).where(*price.price_range()))


@lru_cache
def priced_counted(price: ItemFilter, most: int) -> Select[int]:
    """Return the statement for the number of items in a price range, up to so many."""
    priced = select(Item.id).where(*price.price_range()).limit(most)
    return select(func.count()).select_from(priced.subquery())


@lru_cache(maxsize=KEPT)
def joining(rest: ItemFilter) -> Join | None:
    """Return how the items are joined that a filter of this shape wants."""
    conditions = rest.conditions(plan=ROW_BY_ROW)

    def join(rows: Rows, key: ColumnElement[int]) -> Rows:
        return rows.join(Item, Item.id == key).where(*conditions)

    return join if conditions else None


@lru_cache(maxsize=KEPT)
def is_tagged(number: int) -> ColumnElement[bool]:
    """Match texts of items with a tag: by the names beside them, or by the item's links where these have changed since."""
    names = _NEW_LINE + TEXTS.c.tag_names + _NEW_LINE
    tag = _NEW_LINE + bindparam(f"tag_{number}", type_=String()) + _NEW_LINE
    return or_(
        Contains(names, tag) > literal_column("0", Integer()),
        and_(TEXTS.c.tag_names.is_(None), bears(TEXTS.c.item_id, f"tag_{number}")),
    )


def facts_of(wanted: ItemFilter) -> list[Sequence[str]]:
    """Return groups of words of each of which an item must have one, so that a filter lets it through."""
    groups: list[Sequence[str]] = []
    if not wanted.sees_all:
        groups.append([of_status(ItemStatus.ACTIVE)])
        if wanted.visitor_id is not None:
            groups[0] = [*groups[0], of_owner(wanted.visitor_id)]
    if wanted.status is not None:
        groups.append([of_status(wanted.status)])
    groups += [[of_owner(owner)] for owner in (wanted.owner_id, wanted.seller_id) if owner is not None]
    if wanted.is_priced:
        lowest = 0 if wanted.min_price is None else price_class(wanted.min_price)
        highest = len(PRICE_CLASSES) if wanted.max_price is None else price_class(wanted.max_price)
        # No price is of the last class, which stands for a range that has none.
        groups.append(
            [of_price(number) for number in range(lowest, highest + 1)] or [of_price(len(PRICE_CLASSES) + 1)]
        )
    return groups
