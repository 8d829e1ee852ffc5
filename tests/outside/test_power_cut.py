"""A power cut: whatever was answered is there afterwards, and no row tells of bytes that are not.

A real server's system calls are recorded, and replayed up to many places with everything left out that was not synced by then
(``tests/outside/power_cut.py``). ``SOAK_ROUNDS=50`` cuts at a thousand places; a test run at thirty.
"""

import asyncio
import hashlib
import itertools
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio

from tests.flows.live import API, ROOT, connecting, environment, join, reserved_port, tradepost
from tests.outside.power_cut import COMMAND, STRACE, Disk, calls_of, cuts
from tests.uploading import pdf

pytestmark = pytest.mark.skipif(STRACE is None, reason="needs strace (Debian: apt-get install strace)")

PLACES: Final = 20 * int(os.environ.get("SOAK_ROUNDS", "0")) or 30
CLIENTS: Final = 6
STEPS: Final = 12
ANSWERED: Final = re.compile(rb"(?i)x-request-id: (cut-[0-9-]+)\r\n")


@dataclass
class Recorded:
    """A run: what was on the disk before, the trace, and what each answered request did."""

    root: Path
    before: Path
    trace: Path
    created: dict[str, int] = field(default_factory=dict)
    """Request to item."""
    uploaded: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Request to item and name of its file."""
    priced: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Request to item and price, in cents; an item's prices only grow."""
    deleted: dict[str, int] = field(default_factory=dict)


async def client_of(run: Recorded, api: httpx.AsyncClient, number: int) -> None:
    """Create, upload, change and delete, one after the other, and note what was answered."""
    chance, names = random.Random(number), (f"cut-{number}-{step}" for step in itertools.count())

    async def ask(method: str, path: str, **options: Any) -> tuple[str, Any]:
        name = next(names)
        answer = await api.request(method, path, headers={"X-Request-ID": name}, **options)
        assert answer.is_success, answer.text
        return name, answer.json() if answer.content else None

    for step in range(STEPS):
        words = "word " * chance.randrange(200)
        name, item = await ask("POST", "/items/", json={"title": "Lamp", "price": 1, "description": words})
        made = run.created[name] = item["id"]
        document = ("manual.pdf", pdf(chance.randrange(100, 40_000)))
        name, files = await ask("POST", f"/upload/items/{made}/documents/", files={"files": document})
        run.uploaded[name] = made, files["uploaded_files"][0]["filename"]
        for price in (2, 3):
            name, _ = await ask("PATCH", f"/items/{made}", json={"price": price})
            run.priced[name] = made, 100 * price
        if step % 4 == 3:
            name, _ = await ask("DELETE", f"/items/{made}")
            run.deleted[name] = made


@contextmanager
def traced(env: Mapping[str, str], port: int, trace: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server whose calls are written down; it is killed at the end of the block."""
    command = [str(STRACE), *COMMAND, "-o", str(trace)]
    command += [sys.executable, "-c", "from tradepost.cli import main; main()", "serve", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=env, cwd=ROOT, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield process
    except BaseException as error:
        error.add_note(log.read_text())
        raise
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest_asyncio.fixture(scope="module")
async def run(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Recorded]:
    """A server on SQLite with local files, from its start to its end."""
    directory = tmp_path_factory.mktemp("power")
    run = Recorded(directory / "data", directory / "before", directory / "trace")
    env = environment(run.root, f"sqlite:///{run.root}/tradepost.db")
    done = await tradepost("migrate", env=env)
    assert done.status == 0, done.output
    shutil.copytree(run.root, run.before)
    with reserved_port() as port, traced(env, port, run.trace, directory / "log") as process:
        async with connecting(base_url=f"http://127.0.0.1:{port}{API}", timeout=60) as api:
            await until_live(api, process)
            account = await join(api, "ada@example.com")
            api.headers["Authorization"] = f"Bearer {account.token}"
            await asyncio.gather(*(client_of(run, api, number) for number in range(CLIENTS)))
        # Its end writes, too: SQLite puts its log into the database.
        os.killpg(process.pid, signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 60) == 0
    yield run
    shutil.rmtree(directory)


async def until_live(api: httpx.AsyncClient, process: subprocess.Popen[bytes]) -> None:
    async with asyncio.timeout(90):
        while process.poll() is None:
            with suppress(httpx.TransportError):
                if (await api.get("/livez")).status_code != 0:
                    return
            await asyncio.sleep(0.1)
    raise RuntimeError("the server has ended")


def missing(run: Recorded, data: Path, answered: set[str]) -> list[str]:
    """Open what a power cut left, and return everything that is wrong with it."""
    wrong: list[str] = []
    with closing(sqlite3.connect(data / "tradepost.db")) as db:
        try:
            wrong += [f"broken: {line}" for (line,) in db.execute("PRAGMA integrity_check") if line != "ok"]
            wrong += [f"refers to nothing: {row}" for row in db.execute("PRAGMA foreign_key_check")]
        except sqlite3.DatabaseError as error:
            wrong.append(f"broken: {error}")
        if wrong:
            return wrong
        prices = dict(db.execute("SELECT id, price FROM items"))
        files = {name: (item, sha256) for name, item, sha256 in db.execute(FILES)}
    gone = set(run.deleted.values())
    for name in answered:
        if name in run.created and run.created[name] not in prices.keys() | gone:
            wrong.append(f"{name}: no item")
        if name in run.priced and run.priced[name][0] not in gone:
            item, price = run.priced[name]
            wrong += [f"{name}: {prices.get(item)}, not {price}"] if prices.get(item, 0) < price else []
        if name in run.uploaded and run.uploaded[name][0] not in gone:
            item, file = run.uploaded[name]
            wrong += [f"{name}: no file"] if files.get(file, (0, ""))[0] != item else []
        if name in run.deleted and run.deleted[name] in prices:
            wrong.append(f"{name}: it is back")
    for name, (_, sha256) in files.items():
        path = data / "uploads" / name[:2] / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
            wrong.append(f"{name} has no bytes, or others")
    return wrong


FILES: Final = "SELECT name, subject_id, sha256 FROM files WHERE state = 'stored'"


def after_cuts(run: Recorded, number: int, tmp_path: Path, *, forgets: str = "") -> tuple[list[str], int]:
    """Cut the power at so many places; return what was wrong, and how many answers there were at most."""
    chance, calls, wrong, most = random.Random(number), calls_of(run.trace), [], 0
    disk = Disk(run.before, called=run.root, forgets=forgets)
    for at, answered, in_part in cuts(calls, disk, number, chance, ANSWERED):
        left = tmp_path / str(at)
        disk.after_a_cut(left, (lambda: chance.random() < 0.5) if in_part else lambda: False)
        wrong += [f"after call {at}: {what}" for what in missing(run, left, answered)]
        shutil.rmtree(left)
        most = max(most, len(answered))
    return wrong, most


def test_whatever_was_answered_survives_a_power_cut(run: Recorded, tmp_path: Path) -> None:
    wrong, answers = after_cuts(run, PLACES, tmp_path)
    assert not wrong, wrong[:20]
    assert answers > CLIENTS * STEPS * 2


@pytest.mark.parametrize("forgets", ["-wal", ".part", "uploads"])
def test_a_disk_that_syncs_nothing_is_found_out(run: Recorded, tmp_path: Path, forgets: str) -> None:
    """What would be lost without a sync: the log of the database, the bytes of a file, or the names of directories."""
    wrong, _ = after_cuts(run, 15, tmp_path, forgets=forgets)
    assert wrong
