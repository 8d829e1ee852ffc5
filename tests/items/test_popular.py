"""The most viewed items: asked for rarely, and never showing what is not to be seen any more."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.clock import MovableClock, stopped_clock
from tests.conftest import Person, World
from tests.items.market import POPULAR, change, faults, page, path_of, read, sell, set_columns, titles
from tradepost.core.batching.cache import Remembered
from tradepost.items.popular import PopularItems


@pytest.fixture
def clock(world: World) -> Iterator[MovableClock]:
    """The world's clock, stopped: half a minute is the age of the popular items, and none of it passes by itself."""
    with world.clock.stopped():
        yield world.clock


async def viewed(world: World, owner: Person, title: str, views: int, **fields: Any) -> dict[str, Any]:
    """Sell an item that was viewed so often."""
    item = await sell(owner, title, **fields)
    await set_columns(world, item, views=views)
    return item | {"views": views}


class TestList:
    async def test_most_viewed_first_and_newest_of_equals(
        self, client: httpx.AsyncClient, world: World, alice: Person, bob: Person
    ) -> None:
        for owner, title, views in (
            (alice, "b", 5),
            (bob, "a", 7),
            (alice, "c", 5),
            (bob, "d", 0),
            (bob, "e", 2**40),
        ):
            await viewed(world, owner, title, views)
        assert await titles(client, POPULAR) == ["e", "a", "c", "b", "d"]

    async def test_is_an_envelope_without_a_total(self, client: httpx.AsyncClient, alice: Person) -> None:
        assert await page(client, POPULAR) == {
            "items": [],
            "total": None,
            "page": 1,
            "size": 10,
            "pages": None,
            "next_cursor": None,
        }

    async def test_shows_items_as_everywhere_else(self, client: httpx.AsyncClient, alice: Person) -> None:
        item = await sell(alice, "Lamp", 20, discount_price=15, tax=7, tags=["b", "a"], description="x")
        assert (await page(client, POPULAR))["items"] == [item]

    async def test_limit(self, client: httpx.AsyncClient, alice: Person) -> None:
        for number in range(12):
            await sell(alice, str(number))
        newest = [str(number) for number in range(11, -1, -1)]
        assert await titles(client, POPULAR) == newest[:10]
        for limit in (1, 3, 12, 100):
            envelope = await page(client, POPULAR, limit=limit)
            assert [item["title"] for item in envelope["items"]] == newest[:limit]
            assert envelope["size"] == limit
        for bad in ("0", "-1", "101", "x", "1.5", str(2**63)):
            assert faults(await client.get(POPULAR, params={"limit": bad}))[0][0] == ["query", "limit"]

    async def test_hidden_ones_are_not_in_it(self, world: World, alice: Person, admin: Person) -> None:
        for status in ("draft", "inactive", "active"):
            await viewed(world, alice, status, 9, status=status)
        for caller in (alice.api, admin.api):
            assert await titles(caller, POPULAR) == ["active"]


class TestMemory:
    async def test_one_question_in_a_while(
        self,
        world: World,
        client: httpx.AsyncClient,
        alice: Person,
        clock: MovableClock,
        statements: Callable[[], Any],
    ) -> None:
        item = await viewed(world, alice, "Lamp", 1)
        with statements() as sent:
            answers = await asyncio.gather(*(client.get(POPULAR, params={"limit": 1 + n}) for n in range(50)))
        assert {answer.json()["items"][0]["views"] for answer in answers} == {1}
        # The most viewed, all since those are few, and a look at those on the list.
        assert len(sent) == 3
        await set_columns(world, item, views=2)
        await sell(alice, "Newer")
        clock.move(14.9)
        with statements() as sent:
            assert await titles(client, POPULAR) == ["Lamp"]
        assert len(sent) == 1
        clock.move(0.6)
        with statements() as sent:
            envelope = await page(client, POPULAR)
        assert [(item["title"], item["views"]) for item in envelope["items"]] == [("Lamp", 2), ("Newer", 0)]
        assert len(sent) == 3

    async def test_what_is_deleted_or_hidden_is_gone_at_once(
        self, client: httpx.AsyncClient, alice: Person, moderator: Person, clock: MovableClock
    ) -> None:
        items = [await sell(alice, str(number)) for number in range(5)]
        assert await titles(client, POPULAR) == ["4", "3", "2", "1", "0"]
        await alice.api.delete(path_of(items[4]))
        assert await titles(client, POPULAR) == ["3", "2", "1", "0"]
        await moderator.api.delete(path_of(items[0]))
        assert await titles(client, POPULAR) == ["3", "2", "1"]
        await change(alice, items[3], status="draft")
        await change(alice, items[1], status="inactive")
        assert await titles(client, POPULAR) == ["2"]
        await change(alice, items[3], status="active")
        assert await titles(client, POPULAR) == ["3", "2"]

    async def test_what_another_process_changed_shows_within_a_second(
        self, world: World, client: httpx.AsyncClient, alice: Person, clock: MovableClock
    ) -> None:
        first, second = await sell(alice, "first"), await sell(alice, "second")
        assert await titles(client, POPULAR) == ["second", "first"]
        await set_columns(world, second, status="draft")
        await set_columns(world, first, title="renamed")
        clock.move(1)
        assert await titles(client, POPULAR) == ["renamed"]

    async def test_a_failed_change_forgets_nothing(
        self, client: httpx.AsyncClient, alice: Person, bob: Person, clock: MovableClock
    ) -> None:
        item = await sell(alice)
        assert await titles(client, POPULAR) == ["Lamp"]
        assert (await bob.api.delete(path_of(item))).status_code == 403
        answer = await alice.api.patch(path_of(item), json={"status": "draft", "category_id": 999_999})
        assert answer.status_code == 422
        assert await titles(client, POPULAR) == ["Lamp"]
        assert (await read(client, item))["status"] == "active"

    async def test_hiding_while_the_list_is_being_read(
        self, world: World, client: httpx.AsyncClient, alice: Person, clock: MovableClock
    ) -> None:
        """What was read before an item was hidden must not come to be remembered after it."""
        hidden, kept = await sell(alice, "hidden"), await sell(alice, "kept")
        popular = world.resources[PopularItems]
        for _ in range(20):
            await change(alice, hidden, status="active")
            clock.move(30)
            await asyncio.gather(
                client.get(POPULAR), change(alice, hidden, status="draft"), client.get(POPULAR)
            )
            assert [json.loads(item)["id"] for item in await popular.top(10)] == [kept["id"]]


class TestRemembered:
    async def test_what_is_forgotten_during_a_load_is_loaded_again(self) -> None:
        value = Remembered[int](stopped_clock(), 10, name="test")
        reading, done = asyncio.Event(), asyncio.Event()
        loads = 0

        async def load() -> int:
            nonlocal loads
            loads += 1
            reading.set()
            await done.wait()
            return loads

        async def forget() -> None:
            await reading.wait()
            value.forget()
            done.set()

        found, _ = await asyncio.gather(value.get(load), forget())
        assert found == 1
        assert await value.get(load) == 2
        assert await value.get(load) == 2

    async def test_a_change_is_made_to_what_is_remembered(self) -> None:
        value = Remembered[int](stopped_clock(), 10, name="test")

        async def load() -> int:
            return 5

        assert await value.get(load) == 5
        value.adjust(lambda number: number + 1)
        assert await value.get(load) == 6

    async def test_a_load_that_fails_is_its_caller_s_alone(self) -> None:
        clock = stopped_clock()
        value = Remembered[int](clock, 10, name="test")

        async def fail() -> int:
            value.adjust(lambda number: number + 1)
            raise ZeroDivisionError

        async def load() -> int:
            return 7

        with pytest.raises(ZeroDivisionError):
            await value.get(fail)
        # Nothing of it is left, the change neither.
        assert await value.get(load) == 7
        clock.move(9)
        with pytest.raises(ZeroDivisionError):
            await value.get(fail)
        assert await value.get(load) == 7

    async def test_a_caller_who_goes_leaves_the_next_to_load(self) -> None:
        value = Remembered[int](stopped_clock(), 10, name="test")
        reading = asyncio.Event()

        async def load_for_ever() -> int:
            reading.set()
            await asyncio.Event().wait()
            return 1

        async def load() -> int:
            return 2

        first = asyncio.create_task(value.get(load_for_ever))
        await reading.wait()
        second = asyncio.create_task(value.get(load))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == 2

    async def test_from_half_its_age_one_loads_and_the_others_do_not_wait(self) -> None:
        clock = stopped_clock()
        value = Remembered[int](clock, 10, name="test")
        reading, done = asyncio.Event(), asyncio.Event()

        async def one() -> int:
            return 1

        async def slow_two() -> int:
            reading.set()
            await done.wait()
            return 2

        assert await value.get(one) == 1
        clock.move(5)
        loading = asyncio.create_task(value.get(slow_two))
        await reading.wait()
        assert await value.get(one) == 1
        clock.move(5)
        # Too old by now, whoever asks must wait.
        waiting = asyncio.create_task(value.get(one))
        await asyncio.sleep(0)
        assert not waiting.done()
        done.set()
        assert await loading == 2
        # What was read is as old as the question: half its age is over, so that the one who waited asks again.
        assert await waiting == 1

    async def test_of_no_age_is_loaded_for_everybody(self) -> None:
        value = Remembered[int](stopped_clock(), 0, name="test")
        numbers = iter(range(10))

        async def load() -> int:
            return next(numbers)

        assert [await value.get(load) for _ in range(3)] == [0, 1, 2]
