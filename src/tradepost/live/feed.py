"""The frames of this server, one a second for all who look, and none while nobody does."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import structlog
from prometheus_client.samples import Sample
from pydantic_core import to_json

from tradepost.core.clock import Clock
from tradepost.core.errors import Unavailable
from tradepost.live.frames import NAMES, Look, frame, look

PERIOD: Final = 1.0
"""Seconds from frame to frame."""
KEPT: Final = 300
"""Frames that are kept for whoever comes later: five minutes, if somebody looked all the time."""
MOST_WATCHERS: Final = 50
STAY: Final = 60.0
"""Seconds after which a watcher is sent away to come back: by then it may not be an admin any more."""
RETRY: Final = 500
"""Milliseconds until it does."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """A server-sent event: the ``history``, a list of frames, or one ``frame``."""

    name: str | None = None
    data: str | None = None
    id: int | None = None
    retry: int | None = None


class Watcher:
    """One who looks. Who takes frames too slowly misses some, and none is kept for them."""

    def __init__(self, feed: "LiveFeed") -> None:
        self._feed = feed
        self._until = asyncio.get_running_loop().time() + STAY
        self._seen: int | None = None
        self._ended = False

    def end(self) -> None:
        """Have ``next`` return None."""
        self._ended = True
        self._feed.wake()

    async def next(self) -> Sequence[LiveEvent] | None:
        """Wait for the next frame."""
        if self._seen is None:
            self._seen = self._feed.number
            return [LiveEvent("history", f"[{','.join(self._feed.frames)}]", retry=RETRY)]
        while not self._ended and self._seen == self._feed.number:
            await self._feed.changed()
        if self._ended or asyncio.get_running_loop().time() > self._until:
            return None
        self._seen = self._feed.number
        return [LiveEvent("frame", self._feed.frames[-1])]


class LiveFeed:
    """Looks at the metrics once a second while anybody watches. Lives as long as the process.

    ``collect`` returns samples of all workers by their names, put together away from the event loop.
    """

    def __init__(
        self, collect: Callable[[Container[str]], Awaitable[Iterable[Sample]]], clock: Clock, *, prefix: str
    ) -> None:
        self.frames: deque[str] = deque(maxlen=KEPT)
        """Each as JSON, the newest last."""
        self.number = 0
        """Of the newest frame."""
        self._collect = collect
        self._clock = clock
        self._prefix = prefix
        self._watchers: set[Watcher] = set()
        self._wanted = asyncio.Event()
        self._changed = asyncio.Event()
        self._oldest: deque[float] = deque(maxlen=KEPT)
        self._closed = False

    @contextmanager
    def watching(self) -> Iterator[Watcher]:
        """Watch for the length of the block; ``Unavailable`` when there are too many."""
        if self._closed or len(self._watchers) >= MOST_WATCHERS:
            raise Unavailable
        watcher = Watcher(self)
        self._watchers.add(watcher)
        self._wanted.set()
        try:
            yield watcher
        finally:
            self._watchers.remove(watcher)
            if not self._watchers:
                self._wanted.clear()

    async def changed(self) -> None:
        """Wait for a frame, or until somebody is to look whether to go."""
        await self._changed.wait()

    def wake(self) -> None:
        """Have all watchers look."""
        self._changed.set()
        self._changed = asyncio.Event()

    def close(self) -> None:
        """Send all away and let nobody in: the process is stopping."""
        self._closed = True
        for watcher in self._watchers:
            watcher.end()

    async def run(self) -> None:
        """Make frames while they are wanted, until cancelled."""
        while True:
            await self._wanted.wait()
            try:
                await self._run()
            except Exception as error:  # noqa: BLE001 - a look that failed is missing in the picture, and that is all
                log.warning("no look at the metrics", reason=str(error) or type(error).__name__)
                await asyncio.sleep(PERIOD)

    async def _run(self) -> None:
        before = await self._look()
        while self._wanted.is_set():
            await asyncio.sleep(PERIOD)
            after = await self._look()
            self._add(before, after)
            before = after

    async def _look(self) -> Look:
        return look(await self._collect(NAMES), at=self._clock.now().timestamp(), prefix=self._prefix)

    def _add(self, before: Look, after: Look) -> None:
        while self._oldest and self._oldest[0] < after.at - KEPT * PERIOD:
            self._oldest.popleft()
            self.frames.popleft()
        self.frames.append(to_json(frame(before, after)).decode())
        self._oldest.append(after.at)
        self.number += 1
        self.wake()
