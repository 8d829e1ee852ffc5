"""The read path of events: coalesced reads. Requests that come while a read is under way share the next one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from tradepost.core.batching.coalescer import Observe
from tradepost.core.batching.read_coalescer import ReadCoalescer
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import ReadSession
from tradepost.core.principal import Principal
from tradepost.core.wire.cursors import Cursors
from tradepost.core.wire.pagination import Page, Window
from tradepost.core.wire.representations import Representation
from tradepost.core.wire.row_json import RenderedPage, page_json
from tradepost.events.errors import EventNotFound
from tradepost.events.filters import EventFilter
from tradepost.events.repository.events import EventRepository
from tradepost.events.repository.participants import ParticipantRepository
from tradepost.events.schemas import EventRow, event_json, event_shown

LIST_LANES: Final = 2
"""Different lists that are read at once; more would only wait for each other in the database."""
NOBODY: Final = 0
"""Stands for a stranger in the key of a read: no person has this id."""


@dataclass(frozen=True, slots=True)
class _Question:
    """The key of a coalesced list: requests with equal questions share one answer, those of all strangers too."""

    wanted: EventFilter
    window: Window
    visitor_id: int

    @property
    def scope(self) -> str:
        """What its cursors are bound to."""
        return f"events {self.wanted}"


class EventReader:
    """Finds events and returns them as JSON. Lives as long as the process; every read starts after its question."""

    def __init__(
        self, database: Database, clock: Clock, cursors: Cursors, *, observe: Observe | None = None
    ) -> None:
        self._clock = clock
        self._cursors = cursors
        self._rows = ReadCoalescer(database, self._load_rows)
        self._points = ReadCoalescer(database, self._load_points, observe=observe)
        self._lists = ReadCoalescer(database, self._load_list, lanes=LIST_LANES, max_batch=1)

    async def get(self, event_id: int, visitor: Principal | None) -> Representation:
        """Return an event as ``visitor`` sees it; the JSON of ``EventRead``."""
        found = await self._points.find((event_id, NOBODY if visitor is None else visitor.user_id))
        if found is None:
            raise EventNotFound
        return found

    async def row(self, event_id: int) -> EventRow:
        """Return the columns of an event."""
        found = await self._rows.find(event_id)
        if found is None:
            raise EventNotFound
        return found

    async def page(
        self, wanted: EventFilter, window: Window, visitor: Principal | None, *, joined: bool
    ) -> RenderedPage:
        """List the wanted events, the JSON of ``EventPage``; ``joined`` wants the visitor's own alone."""
        visitor_id = NOBODY if visitor is None else visitor.user_id
        if joined:
            wanted = replace(wanted, joined_by=visitor_id)
        asked = _Question(wanted, window, visitor_id)
        if window.cursor is not None:
            asked = replace(asked, window=self._cursors.opened(window, asked.scope))
        return await self._lists.get(asked)

    async def _load_rows(self, db: ReadSession, event_ids: Sequence[int]) -> Mapping[int, EventRow]:
        return {row.id: row for row in await EventRepository(db).find_rows(event_ids)}

    async def _load_points(
        self, db: ReadSession, keys: Sequence[tuple[int, int]]
    ) -> Mapping[tuple[int, int], Representation]:
        rows = await self._load_rows(db, list({event_id for event_id, _ in keys}))
        known = [key for key in keys if key[1] != NOBODY]
        places = await ParticipantRepository(db).find_places(known)
        return {
            key: event_shown(rows[key[0]], places[key].status if key in places else None)
            for key in keys
            if key[0] in rows
        }

    async def _load_list(
        self, db: ReadSession, questions: Sequence[_Question]
    ) -> Mapping[_Question, RenderedPage]:
        return {asked: await self._read_list(db, asked) for asked in questions}

    async def _read_list(self, db: ReadSession, asked: _Question) -> RenderedPage:
        page = await EventRepository(db).page(asked.wanted, asked.window, now=self._clock.now())
        mine: Mapping[int, str] = {}
        if asked.visitor_id != NOBODY and page.rows:
            ids = [row.id for row in page.rows]
            mine = await ParticipantRepository(db).find_statuses(ids, user_id=asked.visitor_id)
        rows = [event_json(row, mine.get(row.id)) for row in page.rows]
        shown = self._cursors.sealed(Page(rows, page.total, asked.window, page.end), asked.scope)
        return RenderedPage(shown, page_json("events", shown))
