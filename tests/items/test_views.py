"""Views: counted without a write on the way, written together, lost never by a clean stop."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Person, Template, World, world_on
from tests.items.market import ITEMS, MINE, POPULAR, change, page, path_of, read, sell
from tradepost.core.clock import SystemClock
from tradepost.core.errors import DatabaseUnavailable
from tradepost.items import view_counter
from tradepost.items.view_counter import CAPACITY, ViewCounter


async def views(caller: httpx.AsyncClient, item: dict[str, Any]) -> int:
    """Return the views that are written, without another one."""
    (found,) = [one for one in (await page(caller))["items"] if one["id"] == item["id"]]
    number: int = found["views"]
    return number


@pytest.fixture
def counter(world: World) -> ViewCounter:
    """What counts the views of the world's requests."""
    return world.resources[ViewCounter]


class TestCounting:
    async def test_reading_sends_no_write(
        self, client: httpx.AsyncClient, alice: Person, statements: Callable[[], Any]
    ) -> None:
        item = await sell(alice)
        with statements() as sent:
            for _ in range(3):
                await read(client, item)
        assert len(sent) == 3
        assert all(statement.startswith("SELECT") for statement in sent)

    async def test_counts_once_written(
        self,
        client: httpx.AsyncClient,
        alice: Person,
        bob: Person,
        counter: ViewCounter,
        statements: Callable[[], Any],
    ) -> None:
        first, second = await sell(alice), await sell(alice)
        for caller in (client, alice.api, bob.api):
            await read(caller, first)
        await read(client, second)
        assert (await views(client, first), await views(client, second)) == (0, 0)
        await counter.flush()
        assert (await views(client, first), await views(client, second)) == (3, 1)
        with statements() as sent:
            await counter.flush()
        assert sent == []
        await asyncio.gather(*(read(client, first) for _ in range(20)))
        await counter.flush()
        assert (await views(client, first), await views(client, second)) == (23, 1)
        assert (await read(client, first))["views"] == 23

    async def test_what_is_no_look_at_an_item_is_no_view(
        self, client: httpx.AsyncClient, alice: Person, bob: Person, counter: ViewCounter
    ) -> None:
        item, hidden = await sell(alice), await sell(alice, status="draft")
        for path in (ITEMS, POPULAR, f"{ITEMS}search/?q=Lamp"):
            await client.get(path)
        await alice.api.get(MINE)
        for caller in (client, bob.api):
            assert (await caller.get(path_of(hidden))).status_code == 404
            assert (await caller.get(path_of(hidden["id"] + 1))).status_code == 404
            assert (await caller.get(f"{ITEMS}x")).status_code == 422
        assert (await client.get(path_of(item), headers={"Authorization": "Bearer x"})).status_code == 401
        await change(alice, item, title="New")
        assert (await bob.api.delete(path_of(item))).status_code == 403
        await counter.flush()
        assert [one["views"] for one in (await page(alice.api))["items"]] == [0, 0]

    async def test_changes_and_views_do_not_undo_each_other(
        self, client: httpx.AsyncClient, alice: Person, counter: ViewCounter
    ) -> None:
        item = await sell(alice)
        for number in range(10):
            await read(client, item)
            await asyncio.gather(counter.flush(), change(alice, item, title=f"Lamp {number}"))
        seen = await read(client, item)
        assert (seen["views"], seen["version"], seen["title"]) == (10, 11, "Lamp 9")

    async def test_those_of_a_deleted_item_are_let_go(
        self, client: httpx.AsyncClient, alice: Person, counter: ViewCounter
    ) -> None:
        gone, kept = await sell(alice, "gone"), await sell(alice, "kept")
        await read(client, gone)
        await read(client, kept)
        await alice.api.delete(path_of(gone))
        await counter.flush()
        assert await views(client, kept) == 1


class TestWriting:
    async def test_many_go_in_batches(
        self, client: httpx.AsyncClient, alice: Person, counter: ViewCounter, statements: Callable[[], Any]
    ) -> None:
        item = await sell(alice)
        for item_id in range(10**6, 10**6 + 2500):
            counter.count(item_id)
        counter.count(item["id"])
        with statements() as sent:
            await counter.flush()
        # Three batches of two or three statements each, not one for each item.
        assert 3 <= len(sent) <= 9
        assert await views(client, item) == 1

    async def test_what_cannot_be_written_waits(self, template: Template, tmp_path: Path) -> None:
        async with world_on(await template.copy(), tmp_path, DB_POOL_SIZE=1, DB_POOL_TIMEOUT=0.05) as small:
            counter = ViewCounter(small.database, SystemClock())
            counter.count(1)

            async def flush_in_vain() -> None:
                with pytest.raises(DatabaseUnavailable):
                    await counter.flush()

            async with small.database.transaction():
                # Another task, as it always is: one task holds one connection.
                await asyncio.create_task(flush_in_vain())
                counter.count(1)
            assert counter._waiting == {1: 2}
            await counter.flush()
            assert counter._waiting == {}

    def test_not_without_end_while_nothing_can_be_written(self, module_world: World) -> None:
        counter = ViewCounter(module_world.database, module_world.clock)
        for item_id in range(1, CAPACITY + 100):
            counter.count(item_id)
        counter.count(1)
        assert len(counter._waiting) == CAPACITY
        assert counter._waiting[1] == 2

    async def test_a_clean_stop_loses_none(self, template: Template, tmp_path: Path) -> None:
        url = await template.copy()
        async with world_on(url, tmp_path) as first, first.caller() as client:
            login = {"username": "admin@example.com", "password": "changethis"}
            token = (await client.post("/api/v1/auth/login", data=login)).json()["access_token"]
            headers = {"Authorization": f"Bearer {token}"}
            answer = await client.post(ITEMS, json={"title": "Lamp", "price": 1}, headers=headers)
            item = answer.json()
            for _ in range(5):
                await read(client, item)
        async with world_on(url, tmp_path) as second, second.caller() as client:
            assert await views(client, item) == 5

    async def test_a_stop_in_the_middle_of_writing_counts_none_twice(
        self, client: httpx.AsyncClient, alice: Person, counter: ViewCounter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(view_counter, "INTERVAL", 0)
        item = await sell(alice)
        for turn in range(40):
            counter.count(item["id"])
            writing = asyncio.create_task(counter.run())
            await asyncio.sleep(turn * 0.0002)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            assert await views(client, item) == turn + 1

    async def test_goes_on_by_itself(
        self, client: httpx.AsyncClient, alice: Person, counter: ViewCounter, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(view_counter, "INTERVAL", 0.01)
        item = await sell(alice)
        writing = asyncio.create_task(counter.run())
        await read(client, item)
        for _ in range(500):
            await asyncio.sleep(0.01)
            if await views(client, item) == 1:
                break
        assert await views(client, item) == 1
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
