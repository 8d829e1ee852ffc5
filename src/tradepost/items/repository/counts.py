"""The statements about kept counts: reading and folding them, and holding them against the rows themselves."""

from collections.abc import Callable, Collection, Iterator
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple, cast

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    String,
    Table,
    delete,
    func,
    literal_column,
    select,
    text,
    tuple_,
    type_coerce,
    union_all,
)
from sqlalchemy import (
    cast as sql_cast,
)
from sqlalchemy.dialects import postgresql

from tradepost.core.database.elements import upsert
from tradepost.core.database.locks import has_one_writer, lock_for_update
from tradepost.core.database.repository import Repository
from tradepost.items.models import KEY_LENGTH, Item, ItemCount, ItemCountChange, ItemTag
from tradepost.items.schemas import ItemStatus

_KEPT: Final = cast("Table", ItemCount.__table__)
_CHANGES: Final = cast("Table", ItemCountChange.__table__)
_COLUMNS: Final = ("dimension", "key", "status", "n")
_KEY: Final = (_KEPT.c.dimension, _KEPT.c.key, _KEPT.c.status)
_REPAIRS: Final = "repairs"
"""The dimension of the one row that counts repairs, and is no count of items."""


class Dimension(StrEnum):
    """What items are counted by, each with their status."""

    ALL = "all"
    TAG = "tag"
    CATEGORY = "category"
    OWNER = "owner"


class Difference(NamedTuple):
    """A count that is wrong: what the rows themselves say, and what is kept."""

    dimension: str
    key: str
    status: str
    truth: int
    kept: int


def as_key(ids: ColumnElement[Any]) -> ColumnElement[str]:
    """Return ids as keys of counts, which are text."""
    return sql_cast(ids, String(KEY_LENGTH))


def _text(value: str) -> ColumnElement[str]:
    return literal_column(f"'{value}'", String())


def _total(numbers: ColumnElement[Any]) -> ColumnElement[int]:
    return sql_cast(func.sum(numbers), BigInteger())


def _unfolded(dimension: Dimension, changes: FromClause) -> tuple[ColumnElement[str], ColumnElement[bool]]:
    """Return the key that a difference has in a dimension, and which differences have one."""
    columns = changes.c
    if dimension is Dimension.ALL:
        return _text(""), columns.tag.is_(None)
    if dimension is Dimension.TAG:
        return columns.tag, columns.tag.is_not(None)
    ids = columns.category_id if dimension is Dimension.CATEGORY else columns.owner_id
    return as_key(ids), ids.is_not(None)


Matches = Callable[[ColumnElement[str]], ColumnElement[bool]]


def kept_counts(dimension: Dimension, matches: Matches | None = None) -> Select[str, str, int]:
    """Return the statement for the kept counts of a dimension, by key and status: what is folded, and what is not yet.

    One statement sees both in one snapshot, so a count is exact while it is being folded. ``matches`` makes of a key the
    condition that limits the counts to some.
    """
    key, has_one = _unfolded(dimension, _CHANGES)
    folded = select(_KEPT.c.key, _KEPT.c.status, _KEPT.c.n).where(_KEPT.c.dimension == _text(dimension))
    unfolded = select(key.label("key"), _CHANGES.c.status, _CHANGES.c.n).where(has_one)
    if matches is not None:
        folded, unfolded = folded.where(matches(_KEPT.c.key)), unfolded.where(matches(key))
    counts = union_all(folded, unfolded).subquery()
    number = _total(counts.c.n).label("n")
    return select(counts.c.key, counts.c.status, number).group_by(counts.c.key, counts.c.status)


def active_counts(dimension: Dimension, matches: Matches | None = None) -> Select[str, int]:
    """Return the statement for the number of active items of each key; one that has none may be left out."""
    counts = kept_counts(dimension, matches).subquery()
    return select(counts.c.key, counts.c.n).where(counts.c.status == _text(ItemStatus.ACTIVE))


def _by_dimension(changes: FromClause) -> Iterator[Select[str, str, str, int]]:
    """Yield the statements that turn each difference into one of every dimension that it counts in."""
    for dimension in Dimension:
        key, has_one = _unfolded(dimension, changes)
        named = (_text(dimension).label("dimension"), key.label("key"))
        yield select(*named, changes.c.status, changes.c.n).where(has_one)


def _truth() -> Iterator[Select[str, str, str, int]]:
    """Yield the statements that count the rows themselves, one for each dimension."""
    status = type_coerce(Item.status, String())
    for dimension, key, by in (
        (Dimension.ALL, _text(""), None),
        (Dimension.CATEGORY, as_key(Item.category_id.expression), Item.category_id),
        (Dimension.OWNER, as_key(Item.owner_id.expression), Item.owner_id),
        (Dimension.TAG, ItemTag.tag, ItemTag.tag),
    ):
        named = (_text(dimension).label("dimension"), key.label("key"), status.label("status"))
        rows = select(*named, func.count().label("n")).group_by(Item.status).select_from(Item)
        if dimension is Dimension.TAG:
            rows = rows.join(ItemTag, ItemTag.item_id == Item.id)
        yield rows if by is None else rows.where(by.is_not(None)).group_by(by)


@lru_cache(maxsize=1)
def _differences() -> Select[str, str, str, int, int]:
    """Return the statement for the counts that are wrong: one, so that the truth and what is kept are of one snapshot."""
    kept = select(_KEPT.c.dimension, _KEPT.c.key, _KEPT.c.status, _KEPT.c.n)
    kept = kept.where(_KEPT.c.dimension != _text(_REPAIRS))
    sides = []
    for rows, is_truth in (
        *((rows, True) for rows in _truth()),
        *((rows, False) for rows in (kept, *_by_dimension(_CHANGES))),
    ):
        side = rows.subquery()
        none = literal_column("0", BigInteger())
        named = (side.c.dimension, side.c.key, side.c.status)
        truth, held = (side.c.n, none) if is_truth else (none, side.c.n)
        sides.append(select(*named, truth.label("truth"), held.label("kept")))
    both = union_all(*sides).subquery()
    by = (both.c.dimension, both.c.key, both.c.status)
    numbers = (_total(both.c.truth).label("truth"), _total(both.c.kept).label("kept"))
    return select(*by, *numbers).group_by(*by).having(func.sum(both.c.truth) != func.sum(both.c.kept))


def _adding(adding: postgresql.Insert) -> postgresql.Insert:
    """Return the INSERT of counts as one that adds to those that are there."""
    return adding.on_conflict_do_update(
        index_elements=_COLUMNS[:3], set_={"n": _KEPT.c.n + adding.excluded.n}
    )


def _folding(limit: int) -> postgresql.Insert:
    oldest = select(_CHANGES.c.id).order_by(_CHANGES.c.id).limit(limit)
    locked = lock_for_update(oldest, ItemCountChange, skip_locked=True)
    taken = delete(_CHANGES).where(_CHANGES.c.id.in_(locked)).returning(*_CHANGES.c).cte("taken")
    rows = union_all(*_by_dimension(taken)).subquery()
    by = (rows.c.dimension, rows.c.key, rows.c.status)
    summed = select(*by, _total(rows.c.n)).group_by(*by).having(func.sum(rows.c.n) != 0)
    # In one order: two that fold at once would wait for each other's rows crosswise.
    return _adding(upsert(_KEPT).from_select(_COLUMNS, summed.order_by(*by)))


class ItemCountRepository(Repository):
    """The rows of ``item_counts``, and the differences that are not yet folded into them."""

    async def find_active(self, dimension: Dimension, keys: Collection[str]) -> dict[str, int]:
        """Return how many active items each of these keys has; a key without any may be left out."""
        found = await self.rows(active_counts(dimension, lambda key: key.in_(keys)))
        return {row.key: row.n for row in found}

    async def find_all_active(self, dimension: Dimension) -> dict[str, int]:
        """Return how many active items each key of a dimension has; a key without any may be left out."""
        return {row.key: row.n for row in await self.rows(active_counts(dimension))}

    async def take_time(self) -> None:
        """Let the statements of this transaction take longer than a request's may."""
        if not has_one_writer(self.db):
            await self.db.execute(text("SET LOCAL statement_timeout = 0"))

    async def find_differences(self) -> list[Difference]:
        """Return the counts that are not what the rows themselves say; reads every item and link."""
        wrong = _differences().order_by("dimension", "key", "status")
        return list(map(Difference._make, await self.rows(wrong)))

    async def find_repairs(self) -> int:
        """Return how many repairs there have been; asked before the differences that are to be repaired."""
        return await self.db.scalar(select(_KEPT.c.n).where(_KEPT.c.dimension == _REPAIRS)) or 0

    async def claim_repair(self, seen: int) -> bool:
        """Be the next to repair, unless somebody has been since ``seen`` repairs: what was wrong may be right by now.

        Another one that is at it is waited for.
        """
        claim = upsert(_KEPT).values(dimension=_REPAIRS, key="", status="", n=seen + 1)
        next_one = claim.on_conflict_do_update(
            index_elements=_COLUMNS[:3], set_={"n": seen + 1}, where=_KEPT.c.n == seen
        )
        return await self.db.scalar(next_one.returning(_KEPT.c.n)) is not None

    async def make_rows(self, counts: Collection[Difference]) -> None:
        """See that each of these counts has a row; a new one says nothing yet."""
        rows = [{"dimension": one.dimension, "key": one.key, "status": one.status, "n": 0} for one in counts]
        if rows:
            await (await self.db.connection()).execute(upsert(_KEPT).on_conflict_do_nothing(), rows)

    async def repair(self, wrong: Collection[Difference]) -> None:
        """Add to counts what they were wrong by, and drop the counts of what has no items any more.

        The truth and what was kept are of one snapshot, so this is right beside any writer: what has changed since then is
        in neither, and its own difference comes on top.
        """
        rows = [
            {"dimension": one.dimension, "key": one.key, "status": one.status, "n": one.truth - one.kept}
            for one in wrong
        ]
        if rows:
            await (await self.db.connection()).execute(_adding(upsert(_KEPT)), rows)
        # Nobody is waited for: what somebody has locked has items again, or stays: readers pass over it.
        empty = lock_for_update(select(*_KEY).where(_KEPT.c.n == 0), ItemCount, skip_locked=True)
        await self.db.execute(delete(_KEPT).where(tuple_(*_KEY).in_(empty)))

    async def fold(self, limit: int) -> bool:
        """Add at most ``limit`` differences to the counts; tell whether there may be more. On SQLite there are none.

        One statement deletes and adds, so that no reader sees a difference twice or not at all, and a crash loses none.
        """
        some = select(_CHANGES.c.id).limit(limit).subquery()
        found = await self.db.scalar(select(func.count()).select_from(some)) or 0
        if found:
            await self.db.execute(_folding(limit))
        return found == limit
