"""Many clients at once see one item as if there were no batches: each answer is true at a moment of its own request.

``SOAK_ROUNDS=50`` plays as many rounds, with more clients; a test run plays a short one.
"""

import asyncio
import itertools
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from tests.conftest import ENGINES, Person, World
from tests.flows.histories import (
    Operation,
    State,
    changed,
    created,
    deleted,
    is_linearizable,
    was_read,
    went_back,
)
from tests.flows.live import environment, join, serving
from tests.servers import PostgresServer
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import ReadSession

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "1"))
PAIRS, STEPS = (4, 40) if ROUNDS == 1 else (8, 100)
"""One of each pair sells and one looks on; both take so many steps."""
soaking = pytest.mark.skipif(ROUNDS == 1, reason="takes long to start: only with SOAK_ROUNDS")
DELAYS = (0.0, 0.0, 0.002, 0.015)
"""Seconds."""
ITEMS_AT_ONCE = 2
"""So few that clients meet all the time."""


def is_stranger(client: httpx.AsyncClient) -> bool:
    return "Authorization" not in client.headers


def state_of(item: Mapping[str, Any]) -> State:
    return State(item["version"], item["title"], item["description"], item["status"])


@dataclass
class Listing:
    """One look at all items."""

    asked: int
    answered: int
    items: dict[int, State]
    by_stranger: bool


@dataclass
class Round:
    """Clients that do this and that with a few items, and write down what they were told."""

    chance: Random
    moments: "itertools.count[int]" = field(default_factory=itertools.count)
    histories: dict[int, list[Operation]] = field(default_factory=lambda: defaultdict(list))
    listings: list[Listing] = field(default_factory=list)
    live: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)

    def any_item(self) -> int:
        """Return the id of an item; now and then of one that is gone, and must stay so."""
        known = self.gone if self.gone and self.chance.random() < 0.1 else self.live
        return self.chance.choice(known) if known else 0

    async def watch(self, client: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
        """Look at this and that, as one or as the other."""
        for _ in range(STEPS):
            looking, item_id = self.chance.choice([client, other]), self.any_item()
            if item_id and self.chance.random() < 0.7:
                await self.read(looking, item_id)
            else:
                await self.look(looking)

    async def sell(self, name: str, owner: httpx.AsyncClient, stranger: httpx.AsyncClient) -> None:
        """Make, change and delete items, and look at what came of it."""
        for step in range(STEPS):
            if len(self.live) < ITEMS_AT_ONCE:
                item_id = await self.create(owner, f"{name}.{step}")
            elif self.chance.random() < 0.9:
                item_id = await self.change(owner, self.any_item(), f"{name}.{step}")
            else:
                item_id = await self.delete(owner, self.any_item())
            dice = self.chance.random()
            if dice < 0.5:
                await self.read(self.chance.choice([owner, stranger, stranger]), item_id)
            elif dice < 0.6:
                await self.look(stranger)

    async def ask(
        self, client: httpx.AsyncClient, method: str, path: str, **options: Any
    ) -> tuple[int, int, httpx.Response]:
        asked = next(self.moments)
        answer = await client.request(method, f"/items/{path}", **options)
        assert answer.status_code in {200, 201, 404}, answer.text
        return asked, next(self.moments), answer

    async def create(self, client: httpx.AsyncClient, word: str) -> int:
        asked, answered, answer = await self.ask(client, "POST", "", json={"title": word, "price": 1})
        assert answer.status_code == 201
        item_id: int = answer.json()["id"]
        self.histories[item_id].append(created(asked, answered, state_of(answer.json())))
        self.live.append(item_id)
        return item_id

    async def change(self, client: httpx.AsyncClient, item_id: int, word: str) -> int:
        name = self.chance.choice(["title", "description", "status"])
        value = self.chance.choice(["active", "active", "draft"]) if name == "status" else word
        method = self.chance.choice(["PUT", "PATCH"])
        asked, answered, answer = await self.ask(client, method, str(item_id), json={name: value})
        told = state_of(answer.json()) if answer.is_success else None
        self.histories[item_id].append(changed(asked, answered, name, value, told))
        return item_id

    async def delete(self, client: httpx.AsyncClient, item_id: int) -> int:
        if item_id in self.live:
            self.live.remove(item_id)
        asked, answered, answer = await self.ask(client, "DELETE", str(item_id))
        self.histories[item_id].append(deleted(asked, answered, was_there=answer.is_success))
        self.gone.append(item_id)
        return item_id

    async def read(self, client: httpx.AsyncClient, item_id: int) -> None:
        asked, answered, answer = await self.ask(client, "GET", str(item_id))
        told = state_of(answer.json()) if answer.is_success else None
        self.histories[item_id].append(
            was_read(asked, answered, "read", told, by_stranger=is_stranger(client))
        )

    async def look(self, client: httpx.AsyncClient) -> None:
        path = "" if is_stranger(client) else self.chance.choice(["", "user/me"])
        asked, answered, answer = await self.ask(client, "GET", path, params={"total": "false"})
        found = answer.json()
        items = found if isinstance(found, list) else found["items"]
        told = {item["id"]: state_of(item) for item in items}
        self.listings.append(Listing(asked, answered, told, is_stranger(client)))

    def complete(self) -> dict[int, list[Operation]]:
        """Return the history of each item, with what every list said or did not say about it."""
        for item_id, history in self.histories.items():
            begin = min(operation.asked for operation in history)
            history += [
                was_read(
                    listing.asked,
                    listing.answered,
                    "list",
                    listing.items.get(item_id),
                    by_stranger=listing.by_stranger,
                )
                for listing in self.listings
                if listing.answered > begin
            ]
        assert {item_id for listing in self.listings for item_id in listing.items} <= self.histories.keys()
        return self.histories


def explain(history: list[Operation]) -> str:
    return "\n".join(map(str, sorted(history, key=lambda operation: operation.asked)))


def check(histories: Mapping[int, list[Operation]]) -> None:
    """Check what was seen of each item."""
    for history in histories.values():
        older = [f"{one}\n{other}" for one, other in went_back(history)]
        assert not older, "told of something older:\n" + "\n\n".join(older)
        assert is_linearizable(history), "no order explains:\n" + explain(history)


async def played(seed: int, owners: list[httpx.AsyncClient], strangers: list[httpx.AsyncClient]) -> Round:
    """Let all of them loose at once, and check what they saw."""
    game = Round(Random(seed))
    async with asyncio.TaskGroup() as group:
        for number, (owner, stranger) in enumerate(zip(owners, strangers, strict=True)):
            group.create_task(game.sell(str(number), owner, stranger))
            group.create_task(game.watch(stranger, owner))
    check(game.complete())
    for item_id in game.live:
        await owners[0].delete(f"/items/{item_id}")
    return game


def slow_down(database: Database, chance: Random, patch: pytest.MonkeyPatch) -> None:
    """Have reads take a while, also between the statement and the answer: meanwhile their answer gets old."""
    opened = database.read

    @asynccontextmanager
    async def read() -> AsyncIterator[ReadSession]:
        await asyncio.sleep(chance.choice(DELAYS))
        async with opened() as db:
            yield db
        await asyncio.sleep(chance.choice(DELAYS))

    patch.setattr(database, "read", read)


@pytest.mark.parametrize("seed", range(ROUNDS))
async def test_in_one_process(
    world: World, alice: Person, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow_down(world.database, Random(seed), monkeypatch)
    base = "http://testserver/api/v1"
    owners, strangers = (
        [httpx.AsyncClient(transport=world.transport, base_url=base, headers=headers) for _ in range(PAIRS)]
        for headers in (alice.headers, {})
    )
    game = await played(seed, owners, strangers)
    assert len(game.histories) > ITEMS_AT_ONCE


@soaking
@pytest.mark.parametrize("engine", ENGINES)
async def test_over_two_processes(engine: str, tmp_path: Path, postgres: PostgresServer) -> None:
    url = None if engine == "sqlite" else await postgres.create_database("linearizable")
    with serving(environment(tmp_path, url), "--workers", "2") as server:
        await server.ready()
        async with AsyncExitStack() as stack:
            person = await join(await stack.enter_async_context(server.client()), "owner@example.com")
            owners = [await stack.enter_async_context(server.client(person.token)) for _ in range(PAIRS)]
            strangers = [await stack.enter_async_context(server.client()) for _ in range(PAIRS)]
            for seed in range(ROUNDS):
                await played(seed, owners, strangers)
