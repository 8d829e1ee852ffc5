"""A worker that is killed at any step of a reminder's way: the next one reminds everybody who joined, and nobody twice."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy import func, select, update

from tests.conftest import Person, World
from tests.events.gatherings import crowd, moment, plan
from tests.faults.reminding import STEPS
from tests.flows.live import ROOT, environment, eventually
from tradepost.core.messaging.jobs import ScheduledJob
from tradepost.core.messaging.outbox import MessageState, StoredMessage
from tradepost.events.models import Reminder
from tradepost.notifications.inbox.models import Notification


@asynccontextmanager
async def working(world: World, directory: Path, *step: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a worker; a job that a killed one was at is due at once, and not only when its lease has ended."""
    async with world.database.transaction() as db:
        await db.execute(update(ScheduledJob).values(due_at=world.clock.now()))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.reminding", *step),
        cwd=ROOT,
        env=environment(directory, world.url),
        stdin=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_kill_9_at_every_step_of_a_reminders_way(world: World, alice: Person, tmp_path: Path) -> None:
    wanted: list[tuple[int, int]] = []
    for step in STEPS:
        event = await plan(
            world,
            alice,
            start_date=moment(world, hours=2),
            end_date=moment(world, hours=3),
            max_participants=30,
        )
        people = await crowd(world, event, 32)
        wanted += [(event["id"], user_id) for user_id in people[:30]]
        due_now = update(Reminder).where(Reminder.event_id == event["id"]).values(due_at=world.clock.now())
        async with world.database.transaction() as db:
            await db.execute(due_now)
        # It may die of what the one before left behind.
        async with working(world, tmp_path, step) as process, asyncio.timeout(60):
            assert await process.wait() == -signal.SIGKILL, step

    async def is_over() -> bool:
        waits = select(func.count()).where(StoredMessage.state != MessageState.DONE)
        async with world.database.read() as db:
            return not await db.scalar(select(Reminder.event_id)) and not await db.scalar(waits)

    async with working(world, tmp_path) as process:
        await eventually(is_over)
        process.terminate()
        assert await process.wait() == 0
    told = select(Notification.data, Notification.user_id).where(Notification.kind == "event_reminder")
    mailed = select(StoredMessage.payload).where(StoredMessage.type == "notifications.mail.v1")
    async with world.database.read() as reading:
        found = [(data["event_id"], user_id) for data, user_id in await reading.execute(told)]
        payloads = list(await reading.scalars(mailed))
    assert sorted(found) == wanted
    of_reminders = [payload["user_id"] for payload in payloads if payload["template"] == "event_reminder"]
    assert sorted(of_reminders) == sorted(user_id for _, user_id in wanted)
