"""Who waits for a connection gets one in turn: no client starves, however few connections there are."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import event, text

from tests.conftest import World, settings_for, world_on
from tests.events import gatherings
from tests.flows.live import join
from tests.servers import PostgresServer
from tradepost.bootstrap import opened, prepare_database
from tradepost.core.database.engines import Database
from tradepost.core.database.gate import Gate
from tradepost.core.errors import DatabaseUnavailable

CLIENTS = 30
POOL_SIZE = 2
WARM_UP = 2
"""Answers for each client, on average, that do not count."""
COUNTED = 40
"""Those that do: with 16, the chance of their pauses alone once made a fifth of difference among readers of lists."""
PATIENCE = 120.0
"""Seconds after which a test that hangs is given up; it takes a few."""


class TestGate:
    async def test_lets_in_as_many_as_it_has_places(self) -> None:
        gate = Gate(3, PATIENCE)
        inside = most = 0

        async def visit() -> None:
            nonlocal inside, most
            async with gate.place():
                inside += 1
                most = max(most, inside)
                assert gate.held == inside
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(visit() for _ in range(20)))
        assert most == 3
        assert (gate.held, gate.waiting) == (0, 0)

    async def test_first_come_first_served(self) -> None:
        gate, order = Gate(2, PATIENCE), list[int]()

        async def visit(number: int) -> None:
            async with gate.place():
                order.append(number)
                for _ in range(Random(number).randrange(4)):
                    await asyncio.sleep(0)

        await asyncio.gather(*(visit(number) for number in range(50)))
        assert order == list(range(50))

    async def test_who_comes_back_stands_behind_who_waits(self) -> None:
        gate, order = Gate(1, PATIENCE), list[str]()

        async def visit(name: str, times: int) -> None:
            for _ in range(times):
                async with gate.place():
                    order.append(name)
                    await asyncio.sleep(0)

        await asyncio.gather(*(visit(name, 4) for name in "abc"))
        assert order == list("abc" * 4)

    async def test_even_when_a_place_was_just_given_back(self) -> None:
        """The place is promised to who was woken for it, though they do not run yet."""
        gate, order = Gate(1, PATIENCE), list[str]()
        leave = asyncio.Event()

        async def hold() -> None:
            async with gate.place():
                await leave.wait()
            # Not a step of the loop in between.
            async with gate.place():
                order.append("again")

        async def visit() -> None:
            async with gate.place():
                order.append("waited")

        holding = asyncio.create_task(hold())
        await asyncio.sleep(0)
        visiting = asyncio.create_task(visit())
        await asyncio.sleep(0)
        leave.set()
        await asyncio.gather(holding, visiting)
        assert order == ["waited", "again"]

    async def test_who_waits_too_long_is_told_that_the_database_is_not_available(self) -> None:
        gate = Gate(1, 0.05)
        async with gate.place():
            for _ in range(2):
                with pytest.raises(DatabaseUnavailable) as refused:
                    await in_a_task(gate)
                assert refused.value.headers["Retry-After"] == "1"
                assert (gate.held, gate.waiting) == (1, 0)
        # Nothing was lost by it.
        await in_a_task(gate)
        assert (gate.held, gate.waiting) == (0, 0)

    async def test_a_place_that_is_free_is_had_without_any_patience(self) -> None:
        gate = Gate(1, 0.0)
        for _ in range(3):
            await in_a_task(gate)

    async def test_one_task_holds_one_place(self) -> None:
        gate = Gate(2, PATIENCE)
        async with gate.place():
            with pytest.raises(RuntimeError, match="holds a database connection already"):
                async with gate.place():
                    pass
            # Another task may, and the first place is still held.
            await in_a_task(gate)
            assert gate.held == 1
        async with gate.place():
            assert gate.held == 1

    async def test_an_error_inside_gives_the_place_back(self) -> None:
        gate = Gate(1, PATIENCE)
        for _ in range(3):
            with pytest.raises(LookupError):
                async with gate.place():
                    raise LookupError
        assert gate.held == 0

    async def test_who_leaves_counts_no_longer_and_the_next_one_moves_up(self) -> None:
        gate = Gate(1, PATIENCE)
        entered: list[int] = []

        async def visit(number: int) -> None:
            async with gate.place():
                entered.append(number)
                await asyncio.Event().wait()

        async def settle() -> tuple[int, int]:
            for _ in range(5):
                await asyncio.sleep(0)
            return gate.held, gate.waiting

        visits = [asyncio.create_task(visit(number)) for number in range(5)]
        assert await settle() == (1, 4)
        visits[1].cancel()
        assert await settle() == (1, 3)
        visits[0].cancel()
        assert await settle() == (1, 2)
        assert entered == [0, 2]
        # Who holds the place, and who was woken for it in the same moment.
        visits[2].cancel()
        await asyncio.sleep(0)
        visits[3].cancel()
        assert await settle() == (1, 0)
        assert entered == [0, 2, 4]
        visits[4].cancel()
        assert await settle() == (0, 0)
        assert all(task.cancelled() for task in await asyncio.gather(*map(ended, visits)))

    @pytest.mark.parametrize("seed", range(5))
    async def test_whatever_happens_no_place_is_lost_and_none_is_made(self, seed: int) -> None:
        chance = Random(seed)
        size = chance.randint(1, 4)
        # So short that some give up: whose time is up and whose place comes free meet in one step of the loop.
        gate = Gate(size, 0.002)
        ends: Counter[str] = Counter()

        async def visit() -> None:
            await asyncio.sleep(chance.random() * 0.02)
            try:
                async with gate.place():
                    assert gate.held <= size
                    await asyncio.sleep(chance.choice([0.0, 0.0, 0.001, 0.002]))
                ends["served"] += 1
            except DatabaseUnavailable:
                ends["refused"] += 1

        visits = [asyncio.create_task(visit()) for _ in range(200)]
        for task in chance.sample(visits, 60):
            await asyncio.sleep(chance.random() * 0.001)
            task.cancel()
        outcomes = await asyncio.gather(*visits, return_exceptions=True)
        assert all(isinstance(end, asyncio.CancelledError | None) for end in outcomes)
        assert (gate.held, gate.waiting) == (0, 0)
        assert ends["served"] > 0
        # All places are there, and no more than that.
        leave = asyncio.Event()

        async def hold() -> None:
            async with gate.place():
                await leave.wait()

        holders = [asyncio.create_task(hold()) for _ in range(size)]
        await asyncio.sleep(0)
        assert gate.held == size
        with pytest.raises(DatabaseUnavailable):
            await in_a_task(gate)
        leave.set()
        await asyncio.gather(*holders)


async def in_a_task(gate: Gate) -> None:
    """Hold a place for a moment, in a task of its own."""

    async def visit() -> None:
        async with gate.place():
            await asyncio.sleep(0)

    await asyncio.create_task(visit())


async def ended(task: "asyncio.Task[Any]") -> "asyncio.Task[Any]":
    await asyncio.wait([task])
    return task


@pytest_asyncio.fixture(scope="module")
async def crowded(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """An application that has two connections to PostgreSQL."""
    directory = tmp_path_factory.mktemp("crowded")
    url = await postgres.create_database("crowded")
    async with opened(settings_for(url, directory)) as resources:
        await prepare_database(resources)
    async with world_on(url, directory, DB_POOL_SIZE=POOL_SIZE, DB_POOL_TIMEOUT=PATIENCE) as world:
        yield world


Ask = Callable[[int], Awaitable[None]]
"""Has a client, by its number, ask for something of its own, and get it."""


@dataclass
class Crowd:
    """As many clients as there are, and what they ask for."""

    database: Database
    stranger: httpx.AsyncClient
    owner: httpx.AsyncClient
    events: list[int]
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def connect(self, _number: int) -> None:
        async with self.database.read() as db:
            await db.execute(text("SELECT 1"))

    async def read_sessions(self, _number: int) -> None:
        assert (await self.owner.get("/auth/sessions")).status_code == 200

    async def read_a_list(self, number: int) -> None:
        # Each a list of its own: the same one would be read once for all who ask for it.
        answer = await self.stranger.get("/items/", params={"skip": number, "total": "false"})
        assert answer.status_code == 200

    async def change(self, number: int) -> None:
        new = {"title": f"Fair {next(self.numbers)}"}
        assert (await self.owner.patch(f"/events/{self.events[number]}", json=new)).status_code == 200


@pytest_asyncio.fixture(scope="module")
async def crowd(crowded: World) -> Crowd:
    base = "http://testserver/api/v1"
    stranger, owner = (httpx.AsyncClient(transport=crowded.transport, base_url=base) for _ in range(2))
    person = await join(stranger, "owner@example.com")
    owner.headers["Authorization"] = f"Bearer {person.token}"
    # Changes of items would share transactions.
    made = [await owner.post("/events/", json=gatherings.body(crowded)) for _ in range(CLIENTS)]
    return Crowd(crowded.database, stranger, owner, [answer.json()["id"] for answer in made])


async def answers_of_each(ask: Ask) -> Counter[int]:
    """Have all clients ask, each anew as soon as it is answered, and count the answers of each after the warm-up."""
    total, counted, chance = 0, Counter[int](), Random(1)

    async def client(number: int) -> None:
        nonlocal total
        while total < (WARM_UP + COUNTED) * CLIENTS:
            await ask(number)
            total += 1
            if WARM_UP * CLIENTS < total <= (WARM_UP + COUNTED) * CLIENTS:
                counted[number] += 1
            # Some come back in the very step of the loop in which a connection comes free: they are not to have it.
            for _ in range(chance.randrange(30)):
                await asyncio.sleep(0)

    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return counted


def assert_fair(answers: Counter[int], numbers: Iterable[int]) -> None:
    served = [answers[number] for number in numbers]
    # One more or less where the count begins, and where it ends, is chance.
    assert max(served) - min(served) <= max(2, 0.2 * max(served)), sorted(served)


@pytest.mark.parametrize("kind", ["connect", "read_a_list", "change"])
async def test_every_client_gets_its_share(crowded: World, crowd: Crowd, kind: str) -> None:
    taken = 0

    def take(*_arguments: Any) -> None:
        nonlocal taken
        taken += 1

    pool = crowded.database.engine.sync_engine.pool
    event.listen(pool, "checkout", take)
    try:
        answers = await answers_of_each(getattr(crowd, kind))
    finally:
        event.remove(pool, "checkout", take)
    assert answers.total() == COUNTED * CLIENTS
    assert_fair(answers, range(CLIENTS))
    # Each answer had a connection of its own.
    assert taken >= (WARM_UP + COUNTED) * CLIENTS
    gate = crowded.database.read_gate
    assert (gate.size, gate.held, gate.waiting) == (POOL_SIZE, 0, 0)


async def test_whatever_the_others_ask_for(crowd: Crowd) -> None:
    kinds = [crowd.connect, crowd.read_sessions, crowd.change]
    answers = await answers_of_each(lambda number: kinds[number % 3](number))
    for kind in range(3):
        assert_fair(answers, range(kind, CLIENTS, 3))
