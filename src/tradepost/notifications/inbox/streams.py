"""Live streams of inboxes as server-sent events.

The table is the truth. A stream knows the number of the last notification it sent and reads on from there. Signals only
wake it, and polling the counters of all inboxes with an open stream makes up for lost signals. Between two reads a stream
holds a few numbers and no connection, and it reads on only when the client has taken what was read before.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog

from tradepost.core.batching.coalescer import Coalescer, Observe
from tradepost.core.database.engines import Database
from tradepost.core.errors import Unavailable
from tradepost.core.observability.tallies import STREAM_ENDS, STREAM_RESYNCS
from tradepost.core.principal import Credential, Principal
from tradepost.core.signals.signals import Signals
from tradepost.core.wire.numbers import plain_number
from tradepost.core.wire.row_json import row_encoder
from tradepost.notifications.inbox.errors import TooManyStreams
from tradepost.notifications.inbox.repository import HeadRow, InboxRepository
from tradepost.notifications.inbox.schemas import NotificationRead

INBOX_TOPIC: Final = "inboxes"
"""The topic of signals that carry the ids of people with new notifications."""
STREAMS_PER_PERSON: Final = 10
"""Streams that one person may have open in one process."""
STREAMS_PER_PROCESS: Final = 2_000
BATCH: Final = 20
"""Numbers that a stream reads at once, which bounds its memory."""
POLL_SECONDS: Final = 0.5
"""Seconds between two checks of the sessions of all open streams: an ended session is noticed within a second."""
HEADS_EVERY: Final = 4
"""Polls after which the counters of the inboxes are read too, for lost signals."""
HEARTBEAT: Final = 15.0
"""Seconds of silence after which a comment is sent, or proxies take the connection for dead."""
RETRY_READ: Final = 1.0
"""Seconds until a read that failed is tried again: the database may be away."""
RECONNECT: Final = (1_000, 3_000)
"""Bounds of the ``retry`` that clients get, in milliseconds: spread, so that not all come back at once after a restart."""

log = structlog.get_logger(__name__)

_notification_json: Final = row_encoder(NotificationRead)


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One server-sent event; ``data`` is JSON. Without data it only sets the id to resume after, unseen by listeners."""

    name: str | None = None
    data: str | None = None
    id: int | None = None
    retry: int | None = None


@dataclass(frozen=True, slots=True)
class Following:
    """The notifications of the next ``BATCH`` numbers, and the counters of the inbox as they were read before."""

    last_number: int
    pruned_through: int
    notifications: Sequence[tuple[int, str]]


class InboxStream:
    """The stream of one client. One task at a time awaits ``next``."""

    def __init__(self, hub: "InboxStreams", principal: Principal, retry: int) -> None:
        self.user_id = principal.user_id
        self.credential = principal.credential
        self.position = 0
        """The number up to which everything was sent."""
        self._hub = hub
        self._first: list[ServerSentEvent] = []
        self._retry = retry
        self._changed = asyncio.Event()
        self._woken = False
        self._ended = False

    def begin(self, head: HeadRow | None, last_event_id: str | None) -> None:
        """Resume after the event that the client saw last; without one, begin now."""
        last, pruned = (head.last_number, head.pruned_through) if head is not None else (0, 0)
        self.position = last
        reason = None
        if last_event_id:
            seen = plain_number(last_event_id)
            if seen is None:
                reason = "unreadable"
            elif seen > last:
                reason = "ahead"
            elif seen < pruned:
                reason = "too_old"
            else:
                self.position = seen
                self._woken = seen < last
        # A client whose connection breaks before the first notification needs an id to resume after, too.
        self._first = [ServerSentEvent(id=self.position, retry=self._retry)]
        if reason is not None:
            self._first.append(self._resync(reason))

    def wake(self) -> None:
        """Have the stream read on."""
        self._woken = True
        self._changed.set()

    def end(self, by: str = "client") -> None:
        """End the stream: nothing more is read."""
        if not self._ended:
            STREAM_ENDS.add(by)
        self._ended = True
        self._changed.set()

    async def next(self) -> Sequence[ServerSentEvent] | None:
        """Wait for the next events; an empty sequence is a heartbeat, None the end of the stream."""
        if self._first and not self._ended:
            first, self._first = self._first, []
            return first
        silent_until = asyncio.get_running_loop().time() + HEARTBEAT
        while not self._ended:
            if not self._woken and not await self._change(silent_until):
                return ()
            if self._woken and not self._ended:
                events = await self._read()
                if events:
                    return events
        return None

    async def _change(self, until: float) -> bool:
        """Wait until the stream is woken or ended, at most until this moment of the loop; tell whether it was."""
        self._changed.clear()
        if self._woken or self._ended:
            return True
        try:
            async with asyncio.timeout_at(until):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    async def _read(self) -> list[ServerSentEvent]:
        self._woken = False
        try:
            found = await self._hub.following(self.user_id, self.position)
        except Exception as error:  # noqa: BLE001 - a stream outlives an outage of the database
            log.warning("a stream could not read on yet", reason=str(error) or type(error).__name__)
            self._woken = True
            await asyncio.sleep(RETRY_READ)
            return []
        if found is None or self._ended:
            return []
        if self.position < found.pruned_through:
            self.position = found.last_number
            return [self._resync("too_old")]
        # The counter was read first: up to it everything is there, with gaps where notifications were deleted.
        self.position = max(
            self.position,
            min(found.last_number, self.position + BATCH),
            *(number for number, _ in found.notifications),
        )
        self._woken = self._woken or self.position < found.last_number
        return [ServerSentEvent("notification", json, number) for number, json in found.notifications]

    def _resync(self, reason: str) -> ServerSentEvent:
        STREAM_RESYNCS.add(reason)
        return ServerSentEvent("resync", f'{{"reason":"{reason}"}}', self.position)


class InboxStreams:
    """The open streams of the process, and the coalesced reads that serve all of them. Lives as long as the process."""

    def __init__(
        self,
        database: Database,
        signals: Signals,
        *,
        living: Callable[[Collection[Credential]], Awaitable[Collection[Credential]]],
        observe: Observe | None = None,
    ) -> None:
        """``living`` returns those of some sessions that have not ended."""
        self._database = database
        self._living = living
        self._streams: dict[int, set[InboxStream]] = {}
        self._open = 0
        self._opened = 0
        self._any_open = asyncio.Event()
        self._closed = False
        self._following: Coalescer[tuple[int, int], Following] = Coalescer(
            self._load_following, max_batch=128, observe=observe
        )
        self._heads: Coalescer[int, HeadRow] = Coalescer(self._load_heads)
        signals.listen(INBOX_TOPIC, self._on_signal)

    @property
    def open(self) -> int:
        """How many streams there are."""
        return self._open

    @asynccontextmanager
    async def stream(self, principal: Principal, last_event_id: str | None) -> AsyncIterator[InboxStream]:
        """Open a stream for the length of the block; ``TooManyStreams`` or ``Unavailable`` when there are too many."""
        own = self._streams.get(principal.user_id, ())
        if self._closed or self._open >= STREAMS_PER_PROCESS:
            raise Unavailable
        if len(own) >= STREAMS_PER_PERSON:
            raise TooManyStreams(retry_after=10)
        low, high = RECONNECT
        self._opened += 1
        stream = InboxStream(self, principal, low + self._opened * 617 % (high - low))
        # Before the counter is read: a notification that is written in between wakes the stream.
        self._add(stream)
        try:
            stream.begin(await self._heads.find(principal.user_id), last_event_id)
            yield stream
        finally:
            # One that has ended already was counted then.
            stream.end()
            self._remove(stream)

    def close(self) -> None:
        """End every stream and refuse new ones: the process is stopping."""
        self._closed = True
        for stream in self._all():
            stream.end("server")

    async def run(self) -> None:
        """Poll for the open streams until cancelled."""
        polls = 0
        while True:
            await self._any_open.wait()
            await asyncio.sleep(POLL_SECONDS)
            polls += 1
            try:
                await self._poll(heads=polls % HEADS_EVERY == 0)
            except Exception as error:  # noqa: BLE001 - the next poll makes up for this one
                log.warning("open streams not polled", reason=str(error) or type(error).__name__)

    async def following(self, user_id: int, after: int) -> Following | None:
        """Return what follows this number; None for a person who never had a notification."""
        return await self._following.find((user_id, after))

    # --- streams ------------------------------------------------------------------------------------------------------

    def _all(self) -> list[InboxStream]:
        return [stream for streams in self._streams.values() for stream in streams]

    def _add(self, stream: InboxStream) -> None:
        self._streams.setdefault(stream.user_id, set()).add(stream)
        self._open += 1
        self._any_open.set()

    def _remove(self, stream: InboxStream) -> None:
        own = self._streams[stream.user_id]
        own.remove(stream)
        if not own:
            del self._streams[stream.user_id]
        self._open -= 1
        if not self._open:
            self._any_open.clear()

    def _on_signal(self, user_ids: str) -> None:
        """Wake the streams of these people; a signal without ids wakes all, because some may have been lost."""
        if not user_ids:
            for stream in self._all():
                stream.wake()
            return
        for user_id in user_ids.split():
            for stream in self._streams.get(int(user_id), ()):
                stream.wake()

    async def _poll(self, *, heads: bool) -> None:
        """End the streams of ended sessions and revoked keys; with ``heads``, wake the streams that are behind their inbox."""
        streams = self._all()
        living = set(await self._living({stream.credential for stream in streams}))
        for stream in streams:
            if stream.credential not in living:
                stream.end("session")
        if heads:
            async with self._database.read() as db:
                rows = await InboxRepository(db).find_heads({stream.user_id for stream in streams})
            for row in rows:
                for stream in self._streams.get(row.user_id, ()):
                    if stream.position < row.last_number:
                        stream.wake()

    # --- reads --------------------------------------------------------------------------------------------------------

    async def _load_heads(self, user_ids: Sequence[int]) -> Mapping[int, HeadRow]:
        async with self._database.read() as db:
            return {row.user_id: row for row in await InboxRepository(db).find_heads(user_ids)}

    async def _load_following(self, asked: Sequence[tuple[int, int]]) -> Mapping[tuple[int, int], Following]:
        async with self._database.read() as db:
            inbox = InboxRepository(db)
            # The counters first: a notification that is committed between the two reads would be taken for deleted.
            heads = {row.user_id: row for row in await inbox.find_heads({user_id for user_id, _ in asked})}
            rows = await inbox.find_following(asked, size=BATCH)
        found: dict[tuple[int, int], list[tuple[int, str]]] = {}
        for row in rows:
            values: dict[str, Any] = row._asdict()
            key = (values.pop("user_id"), values.pop("after"))
            found.setdefault(key, []).append((values["number"], _notification_json(values).decode()))
        return {
            (user_id, after): Following(
                heads[user_id].last_number, heads[user_id].pruned_through, found.get((user_id, after), [])
            )
            for user_id, after in asked
            if user_id in heads
        }
