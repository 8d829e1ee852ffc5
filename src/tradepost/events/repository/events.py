"""The statements about events themselves."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final, cast

from sqlalchemy import (
    BigInteger,
    Select,
    String,
    Table,
    bindparam,
    delete,
    insert,
    literal_column,
    select,
    type_coerce,
    update,
)

from tradepost.accounts.models import User
from tradepost.core.database.elements import AmongIds
from tradepost.core.database.keyset import Order, Sorts
from tradepost.core.database.locks import lock_for_update
from tradepost.core.database.repository import ByKeys, Repository
from tradepost.core.errors import PreconditionFailed
from tradepost.core.wire.pagination import Page, Window
from tradepost.events.filters import EventFilter, conditions
from tradepost.events.models import Event
from tradepost.events.schemas import EventRow, EventStatus

SORTS: Final[Sorts] = {"start_date": Event.start_date, "created_at": Event.created_at}

_EVENTS = cast("Table", Event.__table__)
_READ: Final[Mapping[str, Any]] = {
    **_EVENTS.columns,
    # As text: turning it into a member of the enumeration costs as much a row as writing the row as JSON.
    "status": type_coerce(Event.status, String),
    "organiser_first_name": User.first_name.expression,
    "organiser_last_name": User.last_name.expression,
    "organiser_avatar_url": User.avatar_url.expression,
}
_WITH_ORGANISER: Final[Select[*tuple[Any, ...]]] = (
    select(*(_READ[name].label(name) for name in EventRow._fields))
    .select_from(Event)
    .outerjoin(User, User.id == Event.organiser_id)
)
_ROWS_OF: Final = ByKeys(_WITH_ORGANISER, Event.id)
_LOCKED: Final = lock_for_update(select(Event).where(AmongIds(Event.id)).order_by(Event.id), Event)


@lru_cache(maxsize=512)
def _page_like(
    shape: frozenset[str], q: str | None, sort: str, limit: int, *, skips: bool, follows: bool
) -> tuple[Select[*tuple[Any, ...]], Select[int], Order]:
    """Return the statement for a page, and the one for all events that it is a page of, for filters of one shape.

    The page has one row more than is shown, which tells whether the list goes on.
    """
    matching = select(Event.id).where(*conditions(shape, q))
    order = Order(sort, SORTS, ties=Event.id)
    ids = matching.where(order.after()) if follows else matching
    ids = ids.order_by(*order.by()).limit(literal_column(str(limit + 1), BigInteger()))
    if skips:
        ids = ids.offset(bindparam("skip", type_=BigInteger()))
    page = ids.subquery("page")
    return _WITH_ORGANISER.join(page, page.c.id == Event.id).order_by(*order.by()), matching, order


class EventRepository(Repository):
    """The rows of ``events``."""

    async def find_rows(self, event_ids: Sequence[int]) -> Sequence[EventRow]:
        """Return the events of these ids with their organisers' public views, in no order."""
        return list(map(EventRow._make, await self.rows(*_ROWS_OF.asked(event_ids))))

    async def get_row(self, event_id: int) -> EventRow | None:
        """Return the event of this id likewise, or None."""
        rows = await self.find_rows([event_id])
        return rows[0] if rows else None

    async def lock_several_for_update(self, event_ids: Collection[int]) -> dict[int, Event]:
        """Return the events of these ids, with the rows locked until the transaction ends."""
        locked = await self.db.scalars(
            _LOCKED.execution_options(populate_existing=True), {"ids": sorted(event_ids)}
        )
        return {event.id: event for event in locked}

    async def lock_for_update(self, event_id: int) -> Event | None:
        """Return the event of this id likewise, or None."""
        return (await self.lock_several_for_update([event_id])).get(event_id)

    async def page(self, wanted: EventFilter, window: Window, *, now: datetime) -> Page[EventRow]:
        """Return a part of the wanted events with their organisers."""
        values = wanted.parameters(now=now)
        values["earliest"] = await self._earliest_start(values["since"])
        rows, matching, order = _page_like(
            wanted.shape,
            wanted.q,
            window.sort,
            window.limit,
            skips=window.skip > 0,
            follows=window.after is not None,
        )
        given = {**values, "skip": window.skip} if window.skip else values
        if window.after is not None:
            given = values | order.parameters(window.after)
        found = list(map(EventRow._make, await self.rows(rows, given)))
        shown = found[: window.limit]
        end = order.place_in(shown[-1]) if len(found) > len(shown) else None
        return Page(shown, await self.count(matching, window.total, values), window, end)

    async def _earliest_start(self, since: datetime) -> datetime:
        """Return the earliest start that an event may have which is not over at ``since``."""
        longest = select(Event.duration).where(Event.end_date > since).order_by(Event.duration.desc())
        seconds = await self.db.scalar(longest.limit(1))
        try:
            return since - timedelta(seconds=seconds or 0)
        except OverflowError:
            return datetime.min.replace(tzinfo=since.tzinfo)

    async def add(self, values: Mapping[str, Any]) -> int:
        """Insert an event and return its id."""
        return int(
            (await self.db.execute(insert(_EVENTS).values(**values).returning(_EVENTS.c.id))).scalar_one()
        )

    async def change(self, event_id: int, values: Mapping[str, Any], *, version: int | None = None) -> None:
        """Set columns of a locked event.

        ``PreconditionFailed`` should its version be another one than is given: the lock keeps that from happening.
        """
        changed = update(Event).where(Event.id == event_id)
        if version is not None:
            changed = changed.where(Event.version == version)
        changed = changed.values(**values).execution_options(synchronize_session=False)
        if await self.db.scalar(changed.returning(Event.id)) is None:
            raise PreconditionFailed

    async def claim(self, event_id: int, *, seats: int, places: int) -> int | None:
        """Claim seats and places on the waiting list of a locked event; return the number before the first new one.

        The guard is in the statement: None when the seats are not free, or one would be while somebody waits.
        """
        taken, waiting = Event.participants_count + seats, Event.waiting_count + places
        claimed = (
            update(Event)
            .where(Event.id == event_id, Event.status == EventStatus.PLANNED)
            .values(
                participants_count=taken,
                waiting_count=waiting,
                last_number=Event.last_number + seats + places,
            )
            .returning(Event.last_number)
            .execution_options(synchronize_session=False)
        )
        if seats:
            claimed = claimed.where(taken <= Event.max_participants, Event.waiting_count == 0)
        if places:
            claimed = claimed.where(taken >= Event.max_participants)
        last = await self.db.scalar(claimed)
        return None if last is None else last - seats - places

    async def delete(self, event_id: int, *, version: int) -> bool:
        """Delete a locked event of this version that nobody joined; tell whether it was one."""
        gone = (
            delete(Event)
            .where(Event.id == event_id, Event.version == version)
            .where(Event.participants_count == 0, Event.waiting_count == 0)
            .returning(Event.id)
            .execution_options(synchronize_session=False)
        )
        return await self.db.scalar(gone) is not None
