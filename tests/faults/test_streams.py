"""Live streams and the processes they hang on: killed, told to end, several of them, and clients that fall silent."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import preloaded
from tests.conftest import Template, settings_for
from tests.faults.stoppable import stoppable_postgres
from tests.faults.test_drain import STAGING
from tests.flows.live import (
    Account,
    LiveServer,
    environment,
    eventually,
    join,
    log_in,
    serving,
    worker_of,
    workers_of,
)
from tests.notifications.listening import PATH, STREAM, Event, heard_from
from tradepost.bootstrap import opened
from tradepost.notifications.inbox.repository import InboxRepository

GAVE_UP = "graceful shutdown exceeded"
"""What the server writes when it had to cut off answers that would not end."""
SOAKING = "SOAK_ROUNDS" in os.environ
STREAMS = 1_000 if SOAKING else 120
ITEMS = 120 if SOAKING else 30


async def put_up(client: httpx.AsyncClient, *titles: str) -> None:
    for title in titles:
        answer = await client.post("/items/", json={"title": title, "price": 1})
        assert answer.status_code == 201, answer.text


async def next_events(events: AsyncIterator[Event], number: int) -> list[Event]:
    async with asyncio.timeout(30):
        return [await anext(events) for _ in range(number)]


def title_of(event: Event) -> str:
    title: str = event.data["data"]["item_title"]
    return title


def memory_of(server: LiveServer) -> int:
    """Return the bytes of the server's process that are in memory."""
    pages = Path(f"/proc/{server.pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


async def settled(client: httpx.AsyncClient, number: int) -> None:
    """Wait until the inbox holds so many items' notifications."""

    async def there() -> bool:
        return bool((await listed(client))["total"] >= number)

    await eventually(there)


async def listed(client: httpx.AsyncClient, **query: Any) -> dict[str, Any]:
    answer = await client.get("/notifications/", params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def test_a_stream_goes_on_after_the_server_was_killed(template: Template, tmp_path: Path) -> None:
    env = environment(tmp_path, await template.copy())
    seen: list[Event] = []
    last = None
    with serving(env) as server:
        await server.ready()
        async with server.client() as client:
            account = await join(client, "ada@example.com")
        async with server.client(account.token) as client, heard_from(client) as events:
            await put_up(client, "A", "B")
            while len(seen) < 2:
                seen += [
                    event for event in await next_events(events, 1) if event.data["kind"] == "item_created"
                ]
            last = seen[-1].id
            # Committed, and perhaps not on the stream yet.
            await put_up(client, "C", "D")
            server.kill()
            seen += [event async for event in events]
            last = seen[-1].id
    with serving(env) as server:
        await server.ready()
        async with server.client(account.token) as client, heard_from(client, last) as events:
            await put_up(client, "E")
            while title_of(seen[-1]) != "E":
                seen += await next_events(events, 1)
            assert [title_of(event) for event in seen] == ["A", "B", "C", "D", "E"]
            numbers = [int(event.id) for event in seen]
            assert numbers == list(range(numbers[0], numbers[0] + 5))


async def test_a_stream_goes_on_at_another_worker(template: Template, tmp_path: Path) -> None:
    env = environment(tmp_path, await template.copy())
    with serving(env, "--workers", "2") as server:
        await server.ready()
        async with server.client() as client:
            account = await join(client, "ada@example.com")
            await log_in(client, account.email)
        async with server.client(account.token) as client:
            await settled(client, 1)
            writing = asyncio.create_task(put_up(client, *(f"T{at}" for at in range(ITEMS))))
            seen: list[Event] = []
            answered_by: set[str] = set()
            async with asyncio.timeout(60), AsyncExitStack() as before:
                last = "0"
                while len(seen) < ITEMS + 1:
                    # A connection of its own each time. The one before is still open: they go to both workers.
                    async with AsyncExitStack() as opened:
                        other = await opened.enter_async_context(server.client(account.token))
                        events = await opened.enter_async_context(heard_from(other, last))
                        answered_by.add(await worker_behind(server, account, last))
                        seen += await next_events(events, 1)
                        last = seen[-1].id
                        await before.aclose()
                        before.push_async_exit(opened.pop_all())
            await writing
        assert [int(event.id) for event in seen] == list(range(1, ITEMS + 2))
        assert [title_of(event) for event in seen[1:]] == [f"T{at}" for at in range(ITEMS)]
        assert len(answered_by) == 2


async def worker_behind(server: LiveServer, account: Account, last: str) -> str:
    """Open another stream, and return which of the server's processes answers."""
    async with (
        server.client(account.token) as client,
        client.stream("GET", PATH, headers={"Last-Event-ID": last}) as response,
    ):
        return worker_of(response)


async def test_what_one_worker_delivers_all_streams_show_and_a_log_out_ends_them(
    template: Template, tmp_path: Path
) -> None:
    env = environment(tmp_path, await template.copy())
    with serving(env, "--workers", "2") as server:
        await server.ready()
        async with server.client() as client:
            account = await join(client, "ada@example.com")
            elsewhere = await log_in(client, account.email)
        async with workers_of(server, 2) as workers:
            listening: list[asyncio.Task[list[Event]]] = []
            answered_by: set[str] = set()
            begun: list[asyncio.Event] = []

            async def listen(ready: asyncio.Event) -> list[Event]:
                async with server.client(account.token) as client, client.stream("GET", PATH) as response:
                    answered_by.add(worker_of(response))
                    ready.set()
                    lines = [line async for line in response.aiter_lines()]
                return [Event("notification", {}, line) for line in lines if line.startswith("event: ")]

            while len(answered_by) < 2:
                begun.append(asyncio.Event())
                listening.append(asyncio.create_task(listen(begun[-1])))
                await begun[-1].wait()
                assert len(listening) < 10, "all streams were answered by one worker"
            async with server.client(elsewhere["access_token"]) as client:
                await put_up(client, "A", "B")
                await settled(client, 3)
                async with heard_from(client, "0") as events:
                    await next_events(events, 3)
            # By one worker, and the other ends its streams too.
            answer = await workers[0].request("POST", "auth/logout", token=account.token)
            assert answer.status_code == 200
            async with asyncio.timeout(20):
                heard = await asyncio.gather(*listening)
            assert {len(events) for events in heard} <= {2, 3}
            async with server.client(elsewhere["access_token"]) as client:
                assert (await listed(client))["total"] == 3


async def fill(url: str, directory: Path, user_id: int, number: int) -> None:
    """Put so many long notifications into somebody's inbox."""
    async with opened(settings_for(url, directory)) as resources, resources.database.transaction() as db:
        inbox = InboxRepository(db)
        last = (await inbox.take_numbers({user_id: number}))[user_id]
        note = {
            "user_id": user_id,
            "kind": "k",
            "title": "T" * 200,
            "body": "B" * 1000,
            "data": {"filler": "D" * 2000},
            "created_at": resources.clock.now(),
            "read_at": None,
        }
        await inbox.add([{**note, "number": at} for at in range(last - number + 1, last + 1)])


async def test_a_client_that_reads_nothing_costs_little_and_holds_nobody_up(
    template: Template, tmp_path: Path
) -> None:
    url = await template.copy()
    with serving(environment(tmp_path, url)) as server:
        await server.ready()
        async with server.client() as client:
            account = await join(client, "ada@example.com")
        await fill(url, tmp_path, account.id, 8_000)
        before = memory_of(server)
        silent = []
        for _ in range(3):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", server.port))
            head = f"GET {STREAM} HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 0\r\nAuthorization: Bearer {account.token}\r\n\r\n"
            await asyncio.get_running_loop().sock_sendall(connection, head.encode())
            silent.append(connection)
        try:
            async with server.client(account.token) as client:
                # Somebody who does read gets everything meanwhile.
                async with heard_from(client, "4000") as events:
                    found = await next_events(events, 4_001)
                assert [int(event.id) for event in found] == list(range(4_001, 8_002))

                async def three_are_open() -> bool:
                    metrics = (await client.get(f"{server.url}/metrics")).text
                    return "\ntradepost_notification_streams 3.0\n" in metrics

                # The server hears of a reader's end a moment after that.
                await eventually(three_are_open)
            # They would be 24 MB each.
            assert memory_of(server) - before < 24 * 2**20
            server.send(signal.SIGTERM)
            assert await server.ended() == 0
            assert GAVE_UP not in server.output
        finally:
            for connection in silent:
                connection.close()


@pytest.mark.parametrize("workers", [1, 2])
async def test_streams_end_when_the_server_is_told_to(tmp_path: Path, workers: int) -> None:
    env = environment(tmp_path)
    with serving(env, "--workers", str(workers)) as server:
        await server.ready()
        async with server.client() as client:
            accounts = [await join(client, f"p{at}@example.com") for at in range(4)]
        started = asyncio.Semaphore(0)

        async def listen(account: Account) -> str:
            async with server.client(account.token) as client, client.stream("GET", PATH) as response:
                heard = ""
                # To its proper end: a connection that is cut off raises.
                async for text in response.aiter_text():
                    if not heard:
                        started.release()
                    heard += text
                return heard

        listening = [asyncio.create_task(listen(account)) for account in accounts for _ in range(5)]
        for _ in listening:
            await started.acquire()
        server.send(signal.SIGTERM)
        ends = await asyncio.gather(*listening)
        assert all(end.startswith("id: ") for end in ends)
        assert await server.ended() == 0
        assert GAVE_UP not in server.output
        assert "Traceback" not in server.output


async def test_many_streams_hold_no_connection_to_the_database(template: Template, tmp_path: Path) -> None:
    env = environment(tmp_path, await template.copy())
    with serving(env) as server:
        await server.ready()
        async with server.client() as client:
            accounts = [await join(client, f"p{at}@example.com") for at in range(STREAMS // 10)]
            before = memory_of(server)
        open_streams: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        try:
            for account in accounts:
                for _ in range(10):
                    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                    open_streams.append((reader, writer))
                    head = (
                        f"GET {STREAM} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {account.token}\r\n\r\n"
                    )
                    writer.write(head.encode())
                    await reader.readuntil(b"id: ")
            async with server.client(accounts[0].token) as client:
                metrics = (await client.get(f"{server.url}/metrics")).text.splitlines()
                assert f"tradepost_notification_streams {STREAMS:.1f}" in metrics
                held = [
                    line for line in metrics if line.startswith("tradepost_database_") and "held " in line
                ]
                assert held
                assert all(line.endswith(" 0.0") for line in held)
                assert (await client.get(PATH)).status_code == 429
            # 30 KiB each.
            assert memory_of(server) - before < STREAMS * 100 * 1024 + 20 * 2**20

            async def put_up_by(account: Account) -> None:
                async with server.client(account.token) as client:
                    await put_up(client, "A")

            for account in accounts:
                await put_up_by(account)
            async with asyncio.timeout(60):
                for reader, _ in open_streams:
                    await reader.readuntil(b'"kind":"item_created"')
        finally:
            for _, writer in open_streams:
                writer.close()


async def test_streams_outlive_a_database_that_goes_and_comes_back(tmp_path: Path) -> None:
    with stoppable_postgres() as postgres:
        await asyncio.to_thread(postgres.start)
        with serving(environment(tmp_path, await postgres.create_database("streams"))) as server:
            await server.ready()
            async with server.client() as client:
                account = await join(client, "ada@example.com")
            async with server.client(account.token) as client, heard_from(client, "0") as events:
                await put_up(client, "A")
                assert [event.id for event in await next_events(events, 2)] == ["1", "2"]
                await asyncio.to_thread(postgres.stop)
                await server.answers("/readyz", 503)
                refused = await client.get(PATH)
                assert refused.status_code == 503, refused.text
                await asyncio.to_thread(postgres.start)
                await server.ready()
                await put_up(client, "B")
                (event,) = await next_events(events, 1)
                assert (event.id, title_of(event)) == ("3", "B")


@contextmanager
def delivering(env: Mapping[str, str]) -> Iterator[preloaded.Process]:
    """Run a worker, which is killed at the end of the block."""
    worker = preloaded.start(["worker"], env=env, output=2)
    try:
        yield worker
    finally:
        worker.kill()


async def test_workers_that_are_killed_lose_and_double_nothing_and_keep_the_order(
    template: Template, tmp_path: Path
) -> None:
    env = environment(tmp_path, await template.copy(), **STAGING)
    with serving(env) as server:
        await server.ready()
        async with server.client() as client:
            accounts = [await join(client, f"p{at}@example.com") for at in range(3)]
        over = asyncio.Event()

        async def sell(account: Account) -> None:
            async with server.client(account.token) as client:
                await put_up(client, *(f"T{at}" for at in range(ITEMS)))

        async def kill_again_and_again() -> None:
            while not over.is_set():
                with delivering(env) as worker, delivering(env):
                    with suppress(TimeoutError):
                        await asyncio.wait_for(over.wait(), 2.5)
                    worker.kill()

        killing = asyncio.create_task(kill_again_and_again())
        try:
            await asyncio.gather(*map(sell, accounts))
        finally:
            over.set()
            await killing
        with delivering(env), delivering(env):
            for account in accounts:
                async with server.client(account.token) as client:
                    await settled(client, ITEMS + 1)
        for account in accounts:
            async with server.client(account.token) as client, heard_from(client, "0") as events:
                heard = await next_events(events, ITEMS + 1)
                page = await listed(client, skip=0, limit=1)
            assert page["total"] == ITEMS + 1
            assert [int(event.id) for event in heard] == list(range(1, ITEMS + 2))
            told = [title_of(event) for event in heard if event.data["kind"] == "item_created"]
            assert told == [f"T{at}" for at in range(ITEMS)]
