"""Uploads to a real server: refusals that can be read, memory that does not grow, disks that are full or gone.

``SOAK_ROUNDS=50`` sends 100 files of 10 MiB at once to a directory and 20 to S3; a test run sends fewer.
"""

import asyncio
import os
import resource
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio

from tests.conftest import Template
from tests.flows.live import LiveServer, environment, serving
from tests.servers import S3Server
from tests.uploading import pdf, png

ROUNDS: Final = int(os.environ.get("SOAK_ROUNDS", "1"))
MEBIBYTE: Final = 2**20
PERSON: Final = {"email": "ada@example.com", "password": "Engine1843", "first_name": "Ada", "last_name": "L"}
BOUNDARY: Final = "some-boundary"


async def token_of(server: LiveServer) -> str:
    """Register a person and log in."""
    async with server.client() as client:
        await client.post("/auth/register", json=PERSON)
        form = {"username": PERSON["email"], "password": PERSON["password"]}
        answer = await client.post("/auth/login", data=form)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])


async def new_item(client: httpx.AsyncClient) -> int:
    answer = await client.post("/items/", json={"title": "Lamp", "price": 10})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def files_below(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "uploads").rglob("*") if path.is_file())


@pytest_asyncio.fixture(scope="module")
async def refusing(
    template: Template, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[tuple[LiveServer, Path]]:
    """A server that is sent nothing it would keep, and where it would."""
    directory = tmp_path_factory.mktemp("refusing")
    with serving(environment(directory, await template.copy())) as running:
        await running.ready()
        yield running, directory


@pytest.fixture
async def server(template: Template, tmp_path: Path) -> AsyncIterator[LiveServer]:
    """A server as an operator runs it; its data is in ``tmp_path``."""
    with serving(environment(tmp_path, await template.copy())) as running:
        await running.ready()
        yield running


# --- refusals that can be read ----------------------------------------------------------------------------------------


def curl(*arguments: str) -> tuple[int, str]:
    """Run curl; return its status and what the server answered."""
    ended = subprocess.run(
        ["curl", "-sS", "--max-time", "30", "-w", "\n%{http_code}", *arguments],
        capture_output=True,
        check=False,
        timeout=60,
    )
    return ended.returncode, ended.stdout.decode() + ended.stderr.decode()


CURL: Final = {
    "announced": [],
    "chunked": ["-H", "Transfer-Encoding: chunked"],
    "without waiting": ["-H", "Expect:"],
}


@pytest.mark.parametrize("mebibytes", [11, 40])
@pytest.mark.parametrize("how", CURL)
async def test_a_413_reaches_curl(
    refusing: tuple[LiveServer, Path], tmp_path: Path, mebibytes: int, how: str
) -> None:
    server, directory = refusing
    token = await token_of(server)
    (tmp_path / "large.png").write_bytes(png().ljust(mebibytes * MEBIBYTE, b"\x00"))
    status, output = await asyncio.to_thread(
        curl,
        *("-H", f"Authorization: Bearer {token}", *CURL[how]),
        *("-F", f"file=@{tmp_path}/large.png", f"{server.url}/api/v1/upload/avatar/"),
    )
    assert (status, output.splitlines()[-1]) == (0, "413"), output
    assert '"error_code":"HTTP_413"' in output
    assert files_below(directory) == []


@pytest.mark.parametrize("says", ["length", "chunked"])
@pytest.mark.parametrize(("who", "mebibytes"), [("ada", 12), ("ada", 60), ("nobody", 12), ("nobody", 5)])
async def test_a_refusal_reaches_a_client_that_sends_all_before_it_reads(
    refusing: tuple[LiveServer, Path], says: str, who: str, mebibytes: int
) -> None:
    server, directory = refusing
    token = await token_of(server) if who == "ada" else None
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'.encode() + png()
    )
    body = head.ljust(mebibytes * MEBIBYTE, b"\x00")

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 65_536):
            yield body[at : at + 65_536]

    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    async with server.client(token) as client:
        content = body if says == "length" else pieces()
        answer = await client.post("/upload/avatar/", content=content, headers=headers)
        unread = token is not None or (says == "length" and mebibytes > 10)
        assert answer.status_code == (413 if unread else 401), answer.text
        assert answer.headers["connection"] == "close"
        assert (await client.get("/items/?limit=1")).status_code == 200
    assert files_below(directory) == []


async def test_a_length_that_nobody_wants_is_refused_unread(refusing: tuple[LiveServer, Path]) -> None:
    server, _ = refusing
    token = await token_of(server)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        f"POST /api/v1/upload/avatar/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 99999999999\r\n\r\n".encode()
    )
    async with asyncio.timeout(20):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()
    writer.close()


# --- memory -----------------------------------------------------------------------------------------------------------


def peak(pid: int) -> int:
    """Return the most memory that a process has had, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def forget_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


async def upload_slowly(server: LiveServer, token: str, item: int, size: int, gate: asyncio.Barrier) -> int:
    """Send a document over a connection of its own, half of it before everybody has sent half; return the status."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'.encode()
    content = pdf(size)
    tail = f"\r\n--{BOUNDARY}--\r\n".encode()
    length = len(head) + len(content) + len(tail)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(
            f"POST /api/v1/upload/items/{item}/documents/ HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {token}\r\nContent-Length: {length}\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n".encode()
        )
        body = head + content + tail
        for at in range(0, length, 65_536):
            if at <= length // 2 < at + 65_536:
                await gate.wait()
            writer.write(body[at : at + 65_536])
            await writer.drain()
        answer = await reader.readline()
        return int(answer.split()[1])
    finally:
        writer.close()


async def growth(server: LiveServer, count: int, size: int) -> int:
    """Upload so many files at once and return by how many MiB the server's memory grew at its most."""
    token = await token_of(server)
    async with server.client(token) as client:
        item = await new_item(client)
        # What is loaded at the first upload is not what a file takes.
        warm = await asyncio.gather(
            *(upload_slowly(server, token, item, MEBIBYTE, asyncio.Barrier(1)) for _ in range(4))
        )
        assert set(warm) == {200}
        forget_peak(server.pid)
        before = peak(server.pid)
        gate = asyncio.Barrier(count)
        statuses = await asyncio.gather(
            *(upload_slowly(server, token, item, size, gate) for _ in range(count))
        )
        assert set(statuses) == {200}
        return peak(server.pid) - before


LARGE: Final = 10 * MEBIBYTE - 4096


async def test_many_large_files_at_once_take_less_than_a_mebibyte_each(
    template: Template, tmp_path: Path
) -> None:
    count = 100 if ROUNDS > 1 else 24
    settings = environment(tmp_path, await template.copy(), UPLOAD_QUOTA_BYTES=2**34)
    with serving(settings) as server:
        await server.ready()
        assert await growth(server, count, LARGE) < count
    assert len(files_below(tmp_path)) == count + 4


async def test_large_files_on_their_way_to_s3_take_a_few_parts_each(
    template: Template, tmp_path: Path, s3: S3Server
) -> None:
    count = 20 if ROUNDS > 1 else 6
    bucket = s3.create_bucket(f"memory-{template.engine}")
    settings = environment(tmp_path, await template.copy(), UPLOAD_QUOTA_BYTES=2**34, **bucket)
    with serving(settings) as server:
        await server.ready()
        assert await growth(server, count, LARGE) < 20 + count * 12
    assert len(s3.names(f"memory-{template.engine}")) == count + 4


# --- disks ------------------------------------------------------------------------------------------------------------


@contextmanager
def small_files_only(pid: int, limit: int) -> Iterator[None]:
    """Have the system refuse a process every file of more bytes: to the process, the disk is full."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


async def send_document(client: httpx.AsyncClient, item: int, size: int) -> httpx.Response:
    files: Any = [("files", ("a.pdf", pdf(size)))]
    return await client.post(f"/upload/items/{item}/documents/", files=files)


async def test_a_full_disk_refuses_files_and_nothing_else(server: LiveServer, tmp_path: Path) -> None:
    async with server.client(await token_of(server)) as client:
        item = await new_item(client)
        with small_files_only(server.pid, 6 * MEBIBYTE):
            answer = await send_document(client, item, 8 * MEBIBYTE)
            assert (answer.status_code, answer.json()["error_code"]) == (507, "HTTP_507")
            assert files_below(tmp_path) == []
            assert (await client.get("/upload/usage")).json()["files"] == 0
            assert (await send_document(client, item, 1000)).status_code == 200
            assert (await client.patch(f"/items/{item}", json={"price": 11})).status_code == 200
        assert (await send_document(client, item, 8 * MEBIBYTE)).status_code == 200
        assert (await client.get("/upload/usage")).json()["files"] == 2


async def test_a_disk_that_is_gone_takes_only_files_along(server: LiveServer, tmp_path: Path) -> None:
    async with server.client(await token_of(server)) as client:
        item = await new_item(client)
        kept = (await send_document(client, item, 1000)).json()["uploaded_files"][0]
        uploads, away = tmp_path / "uploads", tmp_path / "away"
        await asyncio.to_thread(uploads.rename, away)
        for answer in (
            await send_document(client, item, 1000),
            await client.get(f"{server.url}{kept['url']}"),
        ):
            assert answer.status_code == 503, answer.text
            assert answer.headers["retry-after"]
        assert (await client.get(f"/items/{item}")).status_code == 200
        report = (await client.get(f"{server.url}/readyz")).json()
        assert report["status"] == "ready"
        assert report["checks"]["storage"]["status"] == "failed"
        # Deleting works, and the bytes are removed once they can be.
        assert (await client.delete(f"{server.url}{kept['url']}")).status_code == 200
        await asyncio.to_thread(away.rename, uploads)
        assert (await send_document(client, item, 1000)).status_code == 200
