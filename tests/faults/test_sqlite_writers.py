"""Many writers at once on SQLite, which takes one at a time: two processes, each with a queue of its own."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.flows.live import Account, LiveServer, environment, join, log_in, serving, workers_of

PEOPLE = 8
WRITERS = 40
STEPS = 8
POOL_TIMEOUT = 5.0


@dataclass
class Sqlite:
    """A server of two processes, and the file they share."""

    server: LiveServer
    path: Path

    @contextmanager
    def opened(self) -> Iterator[sqlite3.Connection]:
        """Connect to the file, as another process would."""
        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            yield connection
        finally:
            connection.close()

    def assert_untroubled(self) -> None:
        """Check that the server has met neither a lock nor an error so far."""
        assert "database is locked" not in self.server.output
        assert "Traceback" not in self.server.output


@pytest_asyncio.fixture(scope="module")
async def sqlite(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sqlite]:
    directory = tmp_path_factory.mktemp("writers")
    env = environment(directory, DB_POOL_TIMEOUT=POOL_TIMEOUT)
    with serving(env, "--workers", "2") as server:
        await server.ready()
        async with workers_of(server, 2):
            yield Sqlite(server, directory / "tradepost.db")


@dataclass
class Writer:
    """A client that writes one thing after another, and remembers what was acknowledged."""

    client: httpx.AsyncClient
    account: Account
    chance: Random
    items: dict[int, tuple[str, Decimal, int]] = field(default_factory=dict)
    deleted: list[int] = field(default_factory=list)
    refresh_token: str = ""
    rotations: int = 0

    async def work(self) -> None:
        tokens = await log_in(self.client, self.account.email)
        self.refresh_token = tokens["refresh_token"]
        self.client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        for step in range(STEPS):
            await self.chance.choice([self.create, self.create, self.update, self.delete, self.refresh])(step)

    async def create(self, step: int) -> None:
        title, price = f"Thing {step}", Decimal(self.chance.randrange(1, 10**6)) / 100
        tags = self.chance.sample(["red", "green", "blue", "old", "new"], 2)
        new = {"title": title, "price": float(price), "tags": tags}
        made = await self.acknowledged("POST", "/items/", 201, json=new)
        self.items[made["id"]] = (title, price, 1)

    async def update(self, step: int) -> None:
        if not self.items:
            return
        item_id = self.chance.choice(list(self.items))
        title, price, version = self.items[item_id]
        changed = f"{title}, changed in step {step}"
        await self.acknowledged("PATCH", f"/items/{item_id}", 200, json={"title": changed})
        self.items[item_id] = (changed, price, version + 1)

    async def delete(self, _step: int) -> None:
        if not self.items:
            return
        item_id = self.chance.choice(list(self.items))
        await self.acknowledged("DELETE", f"/items/{item_id}", 200)
        del self.items[item_id]
        self.deleted.append(item_id)

    async def refresh(self, _step: int) -> None:
        body = {"refresh_token": self.refresh_token}
        tokens = await self.acknowledged("POST", "/auth/refresh-token", 200, json=body)
        self.refresh_token = tokens["refresh_token"]
        self.client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        self.rotations += 1

    async def acknowledged(self, method: str, path: str, status: int, **options: Any) -> Any:
        response = await self.client.request(method, path, **options)
        assert response.status_code == status, response.text
        return response.json()

    @property
    def session_id(self) -> int:
        return int(self.refresh_token.partition(".")[0])


async def test_forty_writers_never_meet_a_locked_database(sqlite: Sqlite) -> None:
    async with sqlite.server.client() as client:
        people = [await join(client, f"writer{number}@example.com") for number in range(PEOPLE)]
    writers = [
        Writer(sqlite.server.client(), people[number % PEOPLE], Random(number)) for number in range(WRITERS)
    ]
    try:
        await asyncio.gather(*(writer.work() for writer in writers))
    finally:
        for writer in writers:
            await writer.client.aclose()

    with sqlite.opened() as database:
        stored = {
            row[0]: (row[1], Decimal(row[2]) / 100, row[3])
            for row in database.execute("SELECT id, title, price, version FROM items")
        }
        counters = dict(database.execute("SELECT id, counter FROM sessions"))
        tagged = dict(database.execute("SELECT item_id, count(*) FROM item_tags GROUP BY item_id"))
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    expected = {item_id: item for writer in writers for item_id, item in writer.items.items()}
    assert stored == expected
    assert tagged == dict.fromkeys(expected, 2)
    assert sum(len(writer.deleted) for writer in writers) > 0
    for writer in writers:
        assert counters[writer.session_id] == writer.rotations
    sqlite.assert_untroubled()


async def test_a_commit_that_fails_is_no_success(sqlite: Sqlite) -> None:
    with sqlite.opened() as other:
        other.executescript(
            """
            CREATE TABLE doom (id INTEGER REFERENCES doom_parents (id) DEFERRABLE INITIALLY DEFERRED);
            CREATE TABLE doom_parents (id INTEGER PRIMARY KEY);
            CREATE TRIGGER doomed AFTER INSERT ON items WHEN NEW.title = 'Doomed'
            BEGIN INSERT INTO doom VALUES (1); END;
            """
        )
        try:
            async with sqlite.server.client() as client:
                person = await join(client, "unlucky@example.com")
                client.headers["Authorization"] = f"Bearer {person.token}"
                # Each process has its share, and what comes at once may be written together.
                for _ in range(4):
                    titles = ["Doomed", *["Fine"] * 9]
                    doomed, *fine = await asyncio.gather(
                        *(client.post("/items/", json={"title": title, "price": 1}) for title in titles)
                    )
                    assert (doomed.status_code, doomed.json()["error_code"]) == (409, "INTEGRITY_ERROR")
                    assert [answer.status_code for answer in fine] == [201] * 9
                mine = (await client.get("/items/user/me")).json()
                assert [item["title"] for item in mine] == ["Fine"] * 36
        finally:
            other.executescript("DROP TRIGGER doomed; DROP TABLE doom; DROP TABLE doom_parents;")
    sqlite.assert_untroubled()


# The last one here: the server's own writers, such as its dispatcher, may meet this lock too, and say so in the log.
async def test_a_lock_held_by_somebody_else_is_waited_for_and_then_answered_with_503(sqlite: Sqlite) -> None:
    async with sqlite.server.client() as client:
        person = await join(client, "patient@example.com")
        client.headers["Authorization"] = f"Bearer {person.token}"
        with sqlite.opened() as other:
            other.execute("BEGIN IMMEDIATE")
            waiting = asyncio.create_task(client.post("/items/", json={"title": "Patience", "price": 1}))
            # Who only reads does not wait.
            assert (await client.get("/users/me")).status_code == 200
            assert not waiting.done()
            other.execute("ROLLBACK")
            assert (await waiting).status_code == 201

            other.execute("BEGIN IMMEDIATE")
            refused = await client.post("/items/", json={"title": "Too late", "price": 1})
            assert (refused.status_code, refused.json()["error_code"]) == (503, "DATABASE_ERROR")
            assert int(refused.headers["Retry-After"]) >= 1
            other.execute("ROLLBACK")
        assert (await client.post("/items/", json={"title": "Again", "price": 1})).status_code == 201
        mine = (await client.get("/items/user/me?sort=title")).json()
        assert [item["title"] for item in mine] == ["Again", "Patience"]
