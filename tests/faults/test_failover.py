"""A primary that dies and the standby that takes over: nothing acknowledged is lost, and a standby is never a 500."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.faults.stoppable import StoppablePostgres, stoppable_postgres
from tests.faults.test_database_away import every_kind_of_own_call, is_unavailable
from tests.flows.live import API, Account, LiveServer, environment, eventually, join, serving
from tradepost.core.database.hosts import Hosts
from tradepost.core.settings.database_url import async_url

WRITES_AGAIN = 10.0
"""Seconds from the promotion until writes succeed."""


@pytest.fixture
def primary() -> Iterator[StoppablePostgres]:
    with stoppable_postgres() as server:
        server.start()
        yield server


@pytest_asyncio.fixture
async def standby(primary: StoppablePostgres) -> AsyncIterator[StoppablePostgres]:
    """A standby that has all that the primary has acknowledged."""
    await primary.create_database("shop")
    with stoppable_postgres(initialised=False) as server:
        await asyncio.to_thread(primary.copy_to, server)
        await asyncio.to_thread(server.start)
        await primary.ask("ALTER SYSTEM SET synchronous_standby_names = '*'")
        await primary.ask("SELECT pg_reload_conf()")

        async def follows() -> bool:
            return bool(await primary.ask("SELECT sync_state = 'sync' FROM pg_stat_replication"))

        await eventually(follows)
        yield server


def both(first: StoppablePostgres, second: StoppablePostgres) -> str:
    return f"postgresql://postgres@{first.address},{second.address}/shop"


class Writers:
    """People who put up items all the time; they remember what was acknowledged, and how the rest was answered."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._going_on = True
        self.kept: list[int] = []
        self.refused: list[httpx.Response] = []

    async def write(self) -> None:
        while self._going_on:
            answer = await self._client.post("/items/", json={"title": "Steady", "price": 1})
            if answer.status_code == 201:
                self.kept.append(answer.json()["id"])
            else:
                self.refused.append(answer)
                await asyncio.sleep(0.02)

    def stop(self) -> None:
        self._going_on = False

    async def go_on(self) -> bool:
        """Wait for an item that is put up from now on."""
        kept = len(self.kept)

        async def more() -> bool:
            return len(self.kept) > kept

        await eventually(more)
        return True


async def test_a_standby_takes_over_and_nothing_acknowledged_is_lost(
    primary: StoppablePostgres, standby: StoppablePostgres, tmp_path: Path
) -> None:
    # The standby first: it is passed by while it is one.
    with serving(environment(tmp_path, both(standby, primary))) as server:
        await server.ready()
        async with server.client() as stranger:
            person = await join(stranger, "grace@example.com")
        async with server.client(person.token) as client:
            writers = Writers(client)
            async with asyncio.TaskGroup() as group:
                for _ in range(4):
                    group.create_task(writers.write())
                await writers.go_on()
                await asyncio.to_thread(primary.stop)
                away = await server.answers("/readyz", 503)
                assert away.json()["checks"]["database"]["status"] == "failed"
                assert is_unavailable(await client.get("/items/"))
                acknowledged_by_the_first = list(writers.kept)

                assert await standby.ask("SELECT pg_promote()")
                async with asyncio.timeout(WRITES_AGAIN):
                    await writers.go_on()
                await server.ready()
                refused = len(writers.refused)
                await writers.go_on()
                assert len(writers.refused) == refused, "nobody is refused any more"
                writers.stop()
            assert all(is_unavailable(answer) for answer in writers.refused)
            assert len(writers.kept) > len(acknowledged_by_the_first) > 0
        rows = await standby.ask("SELECT array_agg(id) FROM items", database="shop")
        assert set(writers.kept) <= set(rows)
        assert "INTERNAL_ERROR" not in server.output
        server.send(signal.SIGTERM)
        assert await server.ended() == 0


async def test_a_standby_alone_is_not_ready_refuses_writes_and_is_found_to_be_promoted(
    primary: StoppablePostgres, standby: StoppablePostgres, tmp_path: Path
) -> None:
    with serving(environment(tmp_path / "first", primary.url("shop"))) as server:
        await server.ready()
        async with server.client() as stranger:
            person: Account = await join(stranger, "ada@example.com")
            made = await stranger.post(
                "/items/",
                json={"title": "Lamp", "price": 1},
                headers={"Authorization": f"Bearer {person.token}"},
            )
        key = (tmp_path / "first" / "secret_key").read_text()
    item = made.json()["id"]
    env = environment(tmp_path / "second", standby.url("shop"), SECRET_KEY=key, ENVIRONMENT="local")
    with serving(env) as alone:
        await refuses_writes_alone(alone, person, item)
        assert await standby.ask("SELECT pg_promote()")
        async with alone.client(person.token) as client:

            async def written() -> bool:
                answer = await client.patch(f"/items/{item}", json={"price": 2})
                assert answer.status_code == 200 or is_unavailable(answer), answer.text
                return answer.status_code == 200

            async with asyncio.timeout(WRITES_AGAIN):
                await eventually(written)
        await alone.ready()
        assert "INTERNAL_ERROR" not in alone.output


async def refuses_writes_alone(server: LiveServer, person: Account, item: int) -> None:
    report = (await server.answers("/readyz", 503)).json()
    assert report["checks"]["database"]["status"] == "failed"
    assert "promote it" in report["checks"]["database"]["detail"]
    async with server.client(person.token) as client:
        # What only reads is answered.
        assert (await client.get(f"/items/{item}")).json()["title"] == "Lamp"
        assert (await client.get("/users/me")).status_code == 200
        for name, answer in (await every_kind_of_own_call(client)).items():
            assert answer.status_code == 200 or is_unavailable(answer), (name, answer.text)
        created = await client.post("/items/", json={"title": "Lamp", "price": 1})
        assert is_unavailable(created)
        login = await client.post(
            "/auth/login", data={"username": "ada@example.com", "password": "Tradepost1"}
        )
        assert is_unavailable(login)
        assert (await client.get(f"{server.url}/livez")).status_code == 200
        assert (await client.get(f"{server.url}{API}/items/")).status_code == 200


async def test_a_host_that_answers_nothing_is_passed_by(standby: StoppablePostgres) -> None:
    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)
        writer.close()

    dead = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = dead.sockets[0].getsockname()[1]
    url = async_url(
        f"postgresql://postgres@127.0.0.1:{port},{standby.address}/shop?target_session_attrs=prefer-standby"
    )
    _, arguments = url.get_dialect()().create_connect_args(url)
    hosts = Hosts()
    for _ in range(2):
        connection = await hosts.connect(dict(arguments))
        assert await connection.fetchval("SELECT pg_is_in_recovery()")
        await connection.close()
    dead.close()
