import asyncio
import json
from collections.abc import Container, Iterable

import pytest
from prometheus_client.samples import Sample

from tests.clock import MovableClock
from tradepost.core.errors import Unavailable
from tradepost.core.finishing import alongside
from tradepost.live import feed
from tradepost.live.feed import LiveFeed, Watcher

REQUESTS = "tradepost_http_requests_total"


class Counted:
    """Metrics that grow by ten requests with each look."""

    def __init__(self) -> None:
        self.looks = 0
        self.fails = False

    async def __call__(self, names: Container[str]) -> Iterable[Sample]:
        assert REQUESTS in names
        self.looks += 1
        if self.fails:
            raise OSError("no metrics")
        labels = {"method": "GET", "route": "/api/v1/items/", "status": "200"}
        return [Sample(REQUESTS, labels, 10.0 * self.looks)]


@pytest.fixture(autouse=True)
def _hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "PERIOD", 0.01)


def new_feed(counted: Counted, clock: MovableClock | None = None) -> LiveFeed:
    return LiveFeed(counted, clock or MovableClock(), prefix="/api/v1")


async def frames(watcher: Watcher, number: int) -> list[str]:
    found: list[str] = []
    while len(found) < number:
        events = await watcher.next()
        assert events is not None
        found += [event.data or "" for event in events if event.name == "frame"]
    return found


async def test_all_who_look_get_the_same_frames_of_one_look() -> None:
    counted = Counted()
    live = new_feed(counted)
    async with alongside({"live": live.run()}):
        with live.watching() as one, live.watching() as other:
            first, second = await asyncio.gather(frames(one, 3), frames(other, 3))
            assert first == second
            assert counted.looks <= live.number + 2
            assert json.loads(first[0])["requests"].keys() == {"items, reads"}


async def test_nothing_is_looked_at_while_nobody_watches() -> None:
    counted = Counted()
    live = new_feed(counted)
    async with alongside({"live": live.run()}):
        await asyncio.sleep(0.1)
        assert counted.looks == 0
        with live.watching() as watcher:
            await frames(watcher, 2)
        await asyncio.sleep(0.05)
        seen = counted.looks
        await asyncio.sleep(0.1)
        assert counted.looks == seen


async def test_who_comes_later_gets_what_was_seen_in_the_last_five_minutes() -> None:
    clock = MovableClock()
    live = new_feed(Counted(), clock)
    async with alongside({"live": live.run()}):
        with live.watching() as watcher:
            await frames(watcher, 3)
        with live.watching() as watcher:
            (history,) = await watcher.next() or ()
            assert history.name == "history"
            assert len(json.loads(history.data or "")) >= 3
            clock.move(600)
            await frames(watcher, 2)
        with live.watching() as watcher:
            (history,) = await watcher.next() or ()
            kept = json.loads(history.data or "")
            assert len(kept) >= 2
            assert kept[-1]["at"] - kept[0]["at"] < feed.KEPT


async def test_a_look_that_fails_is_left_out() -> None:
    counted = Counted()
    live = new_feed(counted)
    async with alongside({"live": live.run()}):
        with live.watching() as watcher:
            await frames(watcher, 1)
            counted.fails = True
            await asyncio.sleep(0.05)
            counted.fails = False
            await frames(watcher, 2)


async def test_the_end_of_the_process_sends_all_away() -> None:
    live = new_feed(Counted())
    async with alongside({"live": live.run()}):
        with live.watching() as watcher:
            await watcher.next()
            waiting = asyncio.create_task(watcher.next())
            await asyncio.sleep(0)
            live.close()
            while (await waiting) is not None:
                waiting = asyncio.create_task(watcher.next())
        with pytest.raises(Unavailable), live.watching():
            pass


async def test_a_watcher_comes_back_now_and_then_and_there_are_only_so_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed, "STAY", 0.05)
    monkeypatch.setattr(feed, "MOST_WATCHERS", 1)
    live = new_feed(Counted())
    async with alongside({"live": live.run()}):
        with live.watching() as watcher:
            with pytest.raises(Unavailable), live.watching():
                pass
            while await watcher.next() is not None:
                pass
        with live.watching():
            pass
