"""Workers that are killed at every step of a message's way lose none, and repeat at most what was in their hands.

``SOAK_ROUNDS=50`` kills as often on each engine while 10,000 messages are on their way; a test run does each step once.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from sqlalchemy import func, select

from tests.conftest import Template
from tests.core.messaging.post import Rang
from tests.faults.ringing import PLACES, STEPS, Doom, open_post
from tests.flows.live import ROOT, eventually
from tradepost.core.database.engines import Database
from tradepost.core.messaging.outbox import MessageState, Outbox, StoredMessage
from tradepost.tags.models import Tag

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "0"))
BATCH = 200 if ROUNDS else 60


@dataclass
class Tower:
    """A database with messages on their way, and the file in which what was delivered is noted."""

    url: str
    file: Path
    database: Database
    outbox: Outbox
    sent: int = 0
    kills: int = 0
    workers: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def ring(self, number: int) -> None:
        """Send so many messages, some to a transaction."""
        while number > 0:
            async with self.database.transaction() as db:
                some = range(self.sent, self.sent + min(number, 20))
                await self.outbox.add(db, *(Rang(each) for each in some))
            self.sent += len(some)
            number -= len(some)

    async def worker(self, *doom: str) -> asyncio.subprocess.Process:
        """Start a worker that is gone when the test is."""
        worker = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.faults.ringing",
            self.url,
            self.file,
            *doom,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
        )
        self.workers.append(worker)
        return worker

    def delivered(self) -> Counter[int]:
        """Count how often each message was delivered."""
        text = self.file.read_text() if self.file.exists() else ""
        return Counter(int(line) for line in text.split())

    async def waiting(self) -> int:
        """Count the messages that are not done."""
        async with self.database.read() as db:
            return await db.scalar(select(func.count()).where(StoredMessage.state != MessageState.DONE)) or 0

    async def all_done(self) -> bool:
        """Tell whether nothing waits any more."""
        return await self.waiting() == 0

    async def check(self) -> None:
        """Hold what was delivered against what was sent."""
        delivered = self.delivered()
        assert delivered.keys() == set(range(self.sent)), "some were lost"
        repeated = sum(delivered.values()) - self.sent
        assert repeated <= self.kills * PLACES
        async with self.database.read() as db:
            tags = list(await db.scalars(select(Tag.name)))
        # A reaction is in the transaction that settles its message: exactly once, and no unique name was in the way.
        assert Counter(tags) == Counter(f"rang {number}" for number in range(self.sent))


@asynccontextmanager
async def tower_on(url: str, tmp_path: Path) -> AsyncIterator[Tower]:
    file = tmp_path / "rang"
    database, outbox, signals, _ = open_post(url, file, Doom())
    told = asyncio.create_task(signals.run())
    tower = Tower(url, file, database, outbox)
    try:
        yield tower
    finally:
        for worker in tower.workers:
            with suppress(ProcessLookupError):
                worker.kill()
            await worker.wait()
        told.cancel()
        await asyncio.gather(told, return_exceptions=True)
        await database.close()


async def test_kill_9_at_every_step_loses_nothing(template: Template, tmp_path: Path) -> None:
    chance = Random(7)
    async with tower_on(await template.copy(), tmp_path) as tower:
        for number in range(ROUNDS or len(STEPS)):
            await tower.ring(BATCH)
            if number < len(STEPS) or chance.random() < 0.5:
                step = STEPS[number % len(STEPS)]
                times = 1 if step in {"reacting", "reacted"} else chance.randint(1, PLACES)
                worker = await tower.worker(step, str(times))
                if step in {"claiming", "settling"}:
                    # It may be through with fewer transactions than that.
                    waiting = asyncio.create_task(eventually(tower.all_done))
                    ended = asyncio.create_task(worker.wait())
                    await asyncio.wait((waiting, ended), return_when=asyncio.FIRST_COMPLETED)
                    waiting.cancel()
                    ended.cancel()
                    await asyncio.gather(waiting, ended, return_exceptions=True)
                    with suppress(ProcessLookupError):
                        worker.kill()
                async with asyncio.timeout(60):
                    assert await worker.wait() == -signal.SIGKILL
            else:
                worker = await tower.worker()
                await asyncio.sleep(1 + chance.random() * 1.5)
                worker.kill()
                await worker.wait()
            tower.kills += 1
        last = await tower.worker()
        await eventually(tower.all_done)
        last.terminate()
        assert await last.wait() == 0
        await tower.check()


async def test_two_workers_share_the_work_and_hear_of_it_at_once(template: Template, tmp_path: Path) -> None:
    async with tower_on(await template.copy(), tmp_path) as tower:
        workers = [await tower.worker() for _ in range(2)]
        await tower.ring(BATCH)
        await eventually(tower.all_done)
        await tower.ring(5 * BATCH)
        await eventually(tower.all_done)
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
            assert await worker.wait() == 0
        await tower.check()
        assert set(tower.delivered().values()) == {1}
