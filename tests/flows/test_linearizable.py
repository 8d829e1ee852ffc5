"""Many clients at once see one item as if there were no batches: each answer is true at a moment of its own request.

Some change what they expect to be of one version, some send a request again under its key: what was refused must have been
refusable, and what was sent twice is done once, and answered alike.

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

from tests.conftest import Person, Template, World
from tests.flows.histories import (
    Operation,
    State,
    changed,
    created,
    deleted,
    is_linearizable,
    refused,
    was_read,
    went_back,
)
from tests.flows.live import environment, join, serving
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import ReadSession

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "1"))
PAIRS, STEPS = (4, 40) if ROUNDS == 1 else (8, 100)
"""One of each pair sells and one looks on; both take so many steps."""
DELAYS = (0.0, 0.0, 0.002, 0.015)
"""Seconds."""
ITEMS_AT_ONCE = 2
"""So few that clients meet all the time."""


def is_stranger(client: httpx.AsyncClient) -> bool:
    return "Authorization" not in client.headers


def version_in(tag: str) -> int:
    return int(tag.strip('"').partition("-")[0])


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
    tags: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The entity tags that each item was seen with; the last may be older than the one before."""
    live: list[int] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    to_repeat: list[tuple[str, httpx.Response]] = field(default_factory=list)
    """Titles of items that were made under a key of the same name, and how that was answered."""

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
            elif dice < 0.7:
                await self.repeat(owner)

    async def ask(
        self, client: httpx.AsyncClient, method: str, path: str, **options: Any
    ) -> tuple[int, int, httpx.Response]:
        asked = next(self.moments)
        answer = await client.request(method, f"/items/{path}", **options)
        assert answer.status_code in {200, 201, 404, 409, 412}, answer.text
        return asked, next(self.moments), answer

    async def create(self, client: httpx.AsyncClient, word: str) -> int:
        """Make an item: with a key some send the request several times at once, until each was answered."""
        times = self.chance.choice([1, 1, 2, 3])
        headers = {"Idempotency-Key": word} if times > 1 else {}
        sent = [self.create_once(client, word, headers) for _ in range(times)]
        answers = await asyncio.gather(*sent)
        first, last = min(asked for asked, _, _ in answers), min(answered for _, answered, _ in answers)
        made = answers[0][2]
        assert {(answer.content, answer.headers["etag"]) for _, _, answer in answers} == {
            (made.content, made.headers["etag"])
        }
        replayed = [answer for _, _, answer in answers if "idempotency-replayed" in answer.headers]
        assert len(replayed) == times - 1
        item_id: int = made.json()["id"]
        assert item_id not in self.histories
        self.histories[item_id].append(created(first, last, state_of(made.json())))
        self.tags[item_id].append(made.headers["etag"])
        self.live.append(item_id)
        if headers and self.chance.random() < 0.5:
            self.to_repeat.append((word, made))
        return item_id

    async def create_once(
        self, client: httpx.AsyncClient, word: str, headers: Mapping[str, str]
    ) -> tuple[int, int, httpx.Response]:
        """Send a request until it is answered: while the same one is under way, it is refused."""
        begun = None
        while True:
            body = {"title": word, "price": 1}
            asked, answered, answer = await self.ask(client, "POST", "", json=body, headers=headers)
            begun = asked if begun is None else begun
            if answer.status_code == 201:
                return begun, answered, answer
            assert headers, answer.text
            assert answer.json()["error_code"] == "IDEMPOTENCY_IN_FLIGHT"
            await asyncio.sleep(0.01)

    async def repeat(self, client: httpx.AsyncClient) -> None:
        """Send a request once more that was answered long ago: it is answered alike, whatever became of the item."""
        if self.to_repeat:
            word, made = self.to_repeat.pop(0)
            _, _, answer = await self.create_once(client, word, {"Idempotency-Key": word})
            assert (answer.content, answer.headers["etag"]) == (made.content, made.headers["etag"])
            assert answer.headers["idempotency-replayed"] == "true"

    def condition(self, item_id: int) -> tuple[dict[str, str], int | None]:
        """Expect nothing of an item, or one of the last states that it was seen in."""
        tags = self.tags[item_id]
        if not tags or self.chance.random() < 0.4:
            return {}, None
        tag = self.chance.choice(tags[-3:])
        return {"If-Match": tag}, version_in(tag)

    async def change(self, client: httpx.AsyncClient, item_id: int, word: str) -> int:
        name = self.chance.choice(["title", "description", "status"])
        value = self.chance.choice(["active", "active", "draft"]) if name == "status" else word
        method = self.chance.choice(["PUT", "PATCH"])
        headers, expected = self.condition(item_id)
        asked, answered, answer = await self.ask(
            client, method, str(item_id), json={name: value}, headers=headers
        )
        self.note(item_id, answer)
        if answer.status_code == 412:
            assert expected is not None
            current = version_in(answer.headers["etag"])
            told = refused(asked, answered, expected=expected, current=current)
        else:
            shown = state_of(answer.json()) if answer.is_success else None
            told = changed(
                asked, answered, name, value, shown, expected=expected if answer.is_success else None
            )
        self.histories[item_id].append(told)
        return item_id

    async def delete(self, client: httpx.AsyncClient, item_id: int) -> int:
        headers, expected = self.condition(item_id)
        if not headers and item_id in self.live:
            self.live.remove(item_id)
        asked, answered, answer = await self.ask(client, "DELETE", str(item_id), headers=headers)
        if answer.status_code == 412:
            assert expected is not None
            current = version_in(answer.headers["etag"])
            self.histories[item_id].append(refused(asked, answered, expected=expected, current=current))
            return item_id
        if item_id in self.live:
            self.live.remove(item_id)
        was_there = answer.is_success
        self.histories[item_id].append(
            deleted(asked, answered, was_there=was_there, expected=expected if was_there else None)
        )
        self.gone.append(item_id)
        return item_id

    def note(self, item_id: int, answer: httpx.Response) -> None:
        """Note the entity tag that an item was seen with."""
        if "etag" in answer.headers:
            self.tags[item_id].append(answer.headers["etag"])

    async def read(self, client: httpx.AsyncClient, item_id: int) -> None:
        asked, answered, answer = await self.ask(client, "GET", str(item_id))
        told = state_of(answer.json()) if answer.is_success else None
        self.note(item_id, answer)
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


async def test_over_two_processes(template: Template, tmp_path: Path) -> None:
    url = await template.copy()
    with serving(environment(tmp_path, url), "--workers", "2") as server:
        await server.ready()
        async with AsyncExitStack() as stack:
            person = await join(await stack.enter_async_context(server.client()), "owner@example.com")
            owners = [await stack.enter_async_context(server.client(person.token)) for _ in range(PAIRS)]
            strangers = [await stack.enter_async_context(server.client()) for _ in range(PAIRS)]
            for seed in range(ROUNDS):
                game = await played(seed, owners, strangers)
                happened = [one.words for history in game.histories.values() for one in history]
                assert any(words.startswith("refused") for words in happened)
                assert any(words.startswith("set") and "if it is" in words for words in happened)
