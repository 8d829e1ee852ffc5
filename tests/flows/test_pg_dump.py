"""The recipe for PostgreSQL's own tools: a dump is put back in another database, and served."""

import asyncio
import os
from pathlib import Path

import pytest

from tests import servers
from tests.flows.live import environment, join, log_in, serving, tradepost
from tests.servers import PostgresServer


@pytest.fixture
def programs() -> Path:
    """Where PostgreSQL's programs are, those of the server that the tests run."""
    if "TEST_DATABASE_URL" in os.environ:
        pytest.skip("the server is another's, whose version these programs may not know")
    return servers._programs()


async def run(program: Path, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        str(program), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


async def test_a_dump_is_put_back_over_another_database(
    tmp_path: Path, programs: Path, postgres: PostgresServer
) -> None:
    first, second = [await postgres.create_database(f"dumped_{name}") for name in ("from", "to")]
    for url, email in ((first, "grace@example.com"), (second, "nobody@example.com")):
        with serving(environment(tmp_path, url)) as server:
            await server.ready()
            async with server.client() as client:
                await join(client, email)
    dump = tmp_path / "tradepost.dump"
    await run(programs / "pg_dump", "--format=custom", f"--file={dump}", first)
    await run(
        programs / "pg_restore", "--clean", "--if-exists", "--no-owner", f"--dbname={second}", str(dump)
    )
    counted = await tradepost("counts", env=environment(tmp_path, second))
    assert counted.status == 0, counted.output
    with serving(environment(tmp_path, second)) as server:
        await server.ready()
        async with server.client() as client:
            assert await log_in(client, "grace@example.com")
            refused = await client.post(
                "/auth/login", data={"username": "nobody@example.com", "password": "Tradepost1"}
            )
            assert refused.status_code == 401
            # Ids go on after those of the dump.
            assert (await join(client, "new@example.com")).id > 2
