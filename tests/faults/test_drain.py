"""Outside ``local``, a server that is told to end first says that it wants no more requests, and still serves them."""

import asyncio
import signal
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.conftest import settings_for
from tests.flows.live import API, connecting, environment, eventually, serving, tradepost
from tradepost import main
from tradepost.core.clock import SystemClock
from tradepost.main import create_app
from tradepost.supervisor import _held
from tradepost.web.readiness import Readiness

STAGING = {
    "ENVIRONMENT": "staging",
    "SECRET_KEY": "a secret of more than thirty-two bytes",
    "FIRST_SUPERUSER_PASSWORD": "Uncommon1",
}
DRAIN_SECONDS = 4.0


@pytest.mark.parametrize("workers", [1, 2])
async def test_it_is_not_ready_first_and_then_gone(tmp_path: Path, workers: int) -> None:
    env = environment(tmp_path, DRAIN_SECONDS=DRAIN_SECONDS, **STAGING)
    assert (await tradepost("migrate", env=env)).status == 0
    loop = asyncio.get_running_loop()
    with serving(env, "--workers", str(workers)) as server:
        await server.ready()
        server.send(signal.SIGTERM)
        told_at = loop.time()
        answer = await server.answers("/readyz", 503)
        assert answer.json()["status"] == "draining"
        # Once more changes nothing.
        server.send(signal.SIGTERM)
        async with server.client() as client:
            assert (await client.get("/items/")).status_code == 200

            async def tells() -> bool:
                metrics = (await client.get(f"{server.url}/metrics")).text
                return 'route="/readyz",status="draining"}' in metrics and "tradepost_draining 1.0" in metrics

            # It is as it should be, no fault in the metrics, nor in the log. Another worker's answer shows in a moment.
            await eventually(tells)
        assert await server.ended() == 0
        assert '"route":"/readyz","status":503' not in server.output
        assert DRAIN_SECONDS <= loop.time() - told_at < DRAIN_SECONDS + 10
        assert "Traceback" not in server.output


async def test_what_a_killed_server_left_behind_goes_with_the_next_start(tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    env = environment(tmp_path) | {"TMPDIR": str(temporary)}
    left: set[Path] = set()
    for _ in range(2):
        with serving(env, "--workers", "2") as server:
            await server.ready()
            found = set(temporary.glob("tradepost-metrics-*"))
            assert len(found) == 1
            assert not found & left
            left = found
            # Who is running keeps its own.
            with serving(env, "--workers", "2") as other:
                await other.ready()
                assert len(set(temporary.glob("tradepost-metrics-*"))) == 2
                assert (await other.answers("/metrics")).status_code == 200
                other.send(signal.SIGTERM)
                assert await other.ended() == 0
            assert set(temporary.glob("tradepost-metrics-*")) == found
        (directory,) = found
        # Its workers were killed, too, and have the lock until the system is done with them.
        await eventually(partial(is_let_go, directory))


async def is_let_go(directory: Path) -> bool:
    try:
        with _held(directory):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_its_connections_end_with_an_answer_that_says_so(tmp_path: Path, version: str) -> None:
    # In `local`, too, where a drain is asked for.
    with serving(environment(tmp_path, DRAIN_SECONDS=10)) as server:
        await server.ready()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        request = f"GET /livez HTTP/{version}\r\nHost: x\r\nConnection: keep-alive\r\n\r\n".encode()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"connection: close" not in head.lower()
        await reader.readuntil(b"}")
        server.send(signal.SIGTERM)
        await server.answers("/readyz", 503)
        writer.write(request)
        answer = await reader.read()  # to the end of the connection
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer.lower()
        writer.close()


async def test_the_socket_is_gone_while_workers_finish_what_they_began(tmp_path: Path) -> None:
    with serving(environment(tmp_path), "--workers", "2") as server:
        await server.ready()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = f"POST {API}/auth/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: 100\r\nExpect: 100-continue\r\n\r\n".encode())
        # A worker has begun with it, and waits for its body.
        assert b" 100 " in await reader.readuntil(b"\r\n\r\n")
        server.send(signal.SIGTERM)

        async def refuses() -> bool:
            try:
                async with connecting(base_url=server.url, timeout=2.0) as client:
                    await client.get("/livez")
            except (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError) as error:
                return isinstance(error, httpx.ConnectError)
            return False

        await eventually(refuses)
        assert server.running
        writer.close()
        assert await server.ended() == 0


async def test_a_start_that_fails_leaves_no_task_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_parts: object) -> None:
        await asyncio.sleep(0)  # the tasks have begun
        message = "the migration is broken"
        raise RuntimeError(message)

    monkeypatch.setattr("tradepost.main.prepare_database", fail)
    app = create_app(settings_for(f"sqlite:///{tmp_path}/x.db", tmp_path))
    before = asyncio.all_tasks()
    with pytest.raises(RuntimeError, match="the migration is broken"):
        async with app.router.lifespan_context(app):
            pytest.fail("it started")
    assert asyncio.all_tasks() == before


async def test_an_interruption_reaches_the_server_at_once_and_has_a_last_clock_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    readiness, clocks, reached = Readiness(SystemClock()), list[float](), list[int]()
    monkeypatch.setattr(main, "_end_in_time", clocks.append)
    # The server's own.
    before = {
        number: signal.signal(number, lambda number, _frame: reached.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        with main._drained(readiness, 5.0):
            signal.raise_signal(signal.SIGINT)
            assert readiness.draining
            # The one above the workers passes it on as SIGTERM, and a person may be impatient.
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0)
            signal.raise_signal(signal.SIGINT)
        assert clocks == [main.END_SECONDS]
        assert reached == [signal.SIGINT] * 2
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
