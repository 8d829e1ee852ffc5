"""Signals over a real Redis; without it everything goes on, a little later."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Template, world_on
from tests.core.messaging.post import FAST, Post, Rang, running, until
from tests.core.signals.test_signals import heard_by, kept_in_touch
from tests.servers import RedisServer
from tradepost.core.clock import SystemClock
from tradepost.core.database.engines import Database
from tradepost.core.database.options import DatabaseOptions
from tradepost.core.messaging.messages import Envelope
from tradepost.core.settings.database_url import async_url
from tradepost.core.signals.redis import open_redis, redis_signals


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer.running() as server:
        yield server


async def test_redis_carries_signals_and_its_absence_is_a_gap(server: RedisServer) -> None:
    clients = [open_redis(server.url) for _ in range(2)]
    one, other = (redis_signals(client, SystemClock()) for client in clients)
    here, there = heard_by(one), heard_by(other)
    async with kept_in_touch(one, other):
        await until(lambda: here == [""] and there == [""])
        one.send("doors", "1")
        await until(lambda: there == ["", "1"])
        await asyncio.to_thread(server.stop)
        one.send("doors", "2")
        assert here == ["", "1", "2"], "here, one is told as ever"
        await asyncio.sleep(0.5)
        await asyncio.to_thread(server.start)
        await until(lambda: here.count("") >= 2 and there.count("") >= 2)
        other.send("doors", "3")
        await until(lambda: "3" in here)
    for client in clients:
        await client.aclose()


async def test_messages_are_delivered_with_and_without_redis(server: RedisServer, template: Template) -> None:
    """One process sends, another delivers; the signal comes over Redis, and without it the look once a second finds all."""
    options = DatabaseOptions(async_url(await template.copy()))
    clients = [open_redis(server.url) for _ in range(2)]
    got: list[int] = []

    async def deliver(envelope: Envelope[Rang]) -> None:
        got.append(envelope.message.number)

    posts = []
    for client in clients:
        post = Post(Database(options), signals=redis_signals(client, SystemClock()))
        post.subscriptions.deliver("tests.ring", Rang, FAST, deliver)
        posts.append(post)
    sender, receiver = posts
    async with kept_in_touch(sender.signals, receiver.signals), running(receiver.dispatcher()):
        for number in range(3):
            await sender.send(Rang(number))
            await until(lambda number=number: number in got)  # type: ignore[misc]
        await asyncio.to_thread(server.stop)
        for number in range(3, 6):
            await sender.send(Rang(number))
        await until(lambda: sorted(got) == list(range(6)))
        await asyncio.to_thread(server.start)
        await sender.send(Rang(6))
        await until(lambda: sorted(got) == list(range(7)))
    for post, client in zip(posts, clients, strict=True):
        await post.database.close()
        await client.aclose()


async def test_readiness_names_redis_and_does_not_need_it(
    server: RedisServer, template: Template, tmp_path: Path
) -> None:
    url = await template.copy()
    async with world_on(url, tmp_path, REDIS_URL=server.url) as world, world.caller() as client:
        report = await client.get("/readyz")
        assert report.status_code == 200
        redis = report.json()["checks"]["redis"]
        assert (redis["status"], redis["required"]) == ("ok", False)
        assert redis["latency_ms"] > 0
        await asyncio.to_thread(server.stop)
        without = await client.get("/readyz")
        assert (without.status_code, without.json()["status"]) == (200, "ready")
        assert without.json()["checks"]["redis"]["status"] == "failed"
