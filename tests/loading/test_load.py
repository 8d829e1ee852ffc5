"""``tradepost load`` against real servers: journeys, counts that agree, thresholds, and hosts that it refuses."""

import asyncio
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from tests import preloaded
from tests.flows.live import LiveServer, environment, eventually, log_in, serving, tradepost
from tradepost.loading.journeys import MIXES, picture

ADMIN: Final = ("admin@example.com", "changethis")


@pytest_asyncio.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveServer]:
    """A server with a small marketplace."""
    with serving(environment(tmp_path_factory.mktemp("data"), FAULTS_ENABLED="true"), "--demo") as started:
        await started.ready()
        yield started


@pytest_asyncio.fixture(scope="module")
async def tokens(server: LiveServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the access token of somebody."""
    path = tmp_path_factory.mktemp("tokens") / "tokens.txt"
    async with server.client() as client:
        path.write_text((await log_in(client, *ADMIN))["access_token"] + "\n", encoding="ascii")
    return path


async def loaded(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    """Run a load test and return its status and what it said."""
    finished = await tradepost("load", *arguments, env=environment(tmp_path))
    return finished.status, finished.output


@pytest.mark.parametrize("mix", MIXES)
async def test_every_journey(server: LiveServer, tokens: Path, tmp_path: Path, mix: str) -> None:
    # A person has no more than a few streams at once.
    rate = "6" if mix == "stream" else "40"
    arguments = ["--mix", mix, "--rate", rate, "--duration", "2", "--report", str(tmp_path / "r")]
    if MIXES[mix].personal:
        arguments += ["--tokens", str(tokens)]
    status, said = await loaded(tmp_path, *arguments, "--threshold", "errors=0%", server.url)
    report = (tmp_path / "r" / "report.md").read_text(encoding="utf-8")
    assert status == 0, said + report
    assert "Counts **agree**" in report
    assert "## Errors\n\nNone." in report
    assert {path.name for path in (tmp_path / "r").iterdir()} == {
        "report.md",
        "rate.svg",
        "latency.svg",
        "latencies.hgrm",
    }


async def test_several_processes_and_rates(server: LiveServer, tmp_path: Path) -> None:
    status, said = await loaded(
        tmp_path, "--rate", "20,40", "--duration", "4", "--processes", "2", server.url
    )
    assert status == 0, said
    assert "| 20/s |" in said
    assert "| 40/s |" in said
    assert "120 requests were due" in said
    assert "2 processes" in said
    assert "Counts **agree**" in said


async def test_errors_have_kinds_and_thresholds_a_status(server: LiveServer, tmp_path: Path) -> None:
    async with server.client() as client:
        asked_for = (await client.get("/items/", params={"limit": 1, "skip": 250})).json()["items"][0]["id"]
        # Most items, but not the lists, at which it looks before it begins.
        path = f"/api/v1/items/{str(asked_for)[0]}"
        fault = {"name": "x", "faults": "status=503;p=0.5;seed=1, drop;p=0.3", "path": path}
        assert (await client.put("/admin/faults", json=fault)).status_code == 200
        try:
            arguments = ("--mix", "read", "--rate", "50", "--duration", "2", "--threshold", "errors=1%")
            status, said = await loaded(tmp_path, *arguments, server.url)
            faults = (await client.get("/admin/faults/log", params={"limit": 100})).json()["faults"]
        finally:
            await client.delete("/admin/faults")
    assert status == 3, said
    assert "past errors=1%" in said
    # Each kind as often as the log has it.
    by_kind = Counter(fault["kind"] for fault in faults)
    errors = _errors(said)
    assert errors.pop("503 HTTP_503") == by_kind["status"]
    assert sum(errors.values()) == by_kind["drop"]
    assert set(errors) <= {"connection reset", "connection closed"}


def _errors(said: str) -> dict[str, int]:
    lines = [line[2:] for line in said.splitlines() if line.startswith("- ") and " x item: " in line]
    return {line.partition(" x item: ")[2]: int(line.partition(" x ")[0].replace(",", "")) for line in lines}


async def test_an_interrupt_ends_it_politely(server: LiveServer, tmp_path: Path) -> None:
    for processes in ("1", "2"):
        with (tmp_path / f"log{processes}").open("wb") as log:
            arguments = ["load", "--rate", "20", "--duration", "300", "--processes", processes, server.url]
            process = preloaded.start(arguments, env=environment(tmp_path), cwd=None, output=log.fileno())
            try:
                before = await counted(server)

                async def has_begun(before: int = before) -> bool:
                    return await counted(server) > before + 20

                await eventually(has_begun)
                os.killpg(process.pid, signal.SIGINT)
                assert await process.ended(30) == 0
            finally:
                process.kill()
        said = (tmp_path / f"log{processes}").read_text(encoding="utf-8")
        assert "were answered well, 0 were not" in said
        assert "Traceback" not in said


async def counted(server: LiveServer) -> int:
    """Return how many requests for items a server has answered."""
    text = (await server.answers("/metrics")).text
    lines = [line for line in text.splitlines() if line.startswith("tradepost_http_requests_total")]
    return sum(int(float(line.rpartition(" ")[2])) for line in lines if "/items/" in line)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--rate", "0"), "a rate is a number"),
        (("--threshold", "p99=1"), "write it as p99=200ms"),
        (("--report", "/dev/null/report"), "/dev/null/report cannot be written to"),
        (("--report", "/proc"), "/proc cannot be written to"),
        (("--mix", "write"), "write needs people"),
        (("--mix", "fly"), "Invalid value for '--mix'"),
    ],
)
async def test_what_cannot_be_run_is_said_at_once(
    server: LiveServer, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    status, output = await loaded(tmp_path, *arguments, server.url)
    assert status == 2
    assert said in output


async def test_nobody_there(tmp_path: Path) -> None:
    status, output = await loaded(tmp_path, "http://127.0.0.1:9")
    assert status == 1
    assert "no answer from 127.0.0.1:9" in output


async def test_hosts_that_want_no_load(tmp_path: Path) -> None:
    """Another service, one in production, and that one again with a key that is no load test's, and one that is."""
    said: Any = {"message": "hello"}
    limits = ""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ")[1].decode()
                body = json.dumps(
                    said if path == "/" else {"items": [{"id": 1, "tags": ["a"]}], "events": []}
                )
                counted = limits if path.endswith("/users/me") else ""
                writer.write(
                    f"HTTP/1.1 200 OK\r\n{counted}Content-Length: {len(body)}\r\n\r\n{body}".encode()
                )
        except asyncio.IncompleteReadError:
            writer.close()

    host = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{host.sockets[0].getsockname()[1]}"
    run = ("--rate", "20", "--duration", "1", "--mix", "read", url)
    async with host:
        for odd in (said, ["hello"], "Tradepost", 7, None):
            said = odd
            status, output = await loaded(tmp_path, *run)
            assert (status, "does not say that it is a Tradepost" in output) == (1, True), output
        said = {"service": "Tradepost", "environment": "production", "version": "1"}
        status, output = await loaded(tmp_path, *run)
        assert (status, "show a load test's API key" in output) == (1, True)
        limits = 'RateLimit-Policy: "default";q=100;w=60\r\n'
        status, output = await loaded(tmp_path, "--key", "tp_a_b", *run)
        assert (status, "the key is no load test's" in output) == (1, True)
        limits = ""
        status, output = await loaded(tmp_path, "--key", "tp_a_b", *run)
        assert status == 0, output
        assert "20 were answered well" in output
        assert "said nothing that could be compared" in output or "do not agree" in output


def test_pictures_differ() -> None:
    assert picture(1).startswith(b"\x89PNG")
    assert picture(1) == picture(1) != picture(2)


async def test_a_file_of_something_else_is_no_tokens(tmp_path: Path) -> None:
    other = tmp_path / "other.bin"
    other.write_bytes(b"\xff\xfe")
    run = await tradepost("load", "--tokens", str(other), "http://127.0.0.1:1", env=environment(tmp_path))
    assert run.status == 2
    assert "holds no access tokens" in run.output
