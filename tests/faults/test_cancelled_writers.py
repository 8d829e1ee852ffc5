"""A writer who is cancelled in the middle of a statement leaves no lock behind."""

import asyncio

from sqlalchemy import insert

from tests.conftest import World
from tradepost.tags.models import Tag


async def test_who_is_cancelled_while_writing_holds_up_nobody(world: World) -> None:
    database = world.database

    async def write(number: int) -> None:
        now = world.resources.clock.now()
        async with database.transaction() as db:
            for each in range(3):
                values = {"name": f"tag {number} {each}", "created_at": now, "updated_at": now}
                await db.scalar(insert(Tag).values(values).returning(Tag.id))

    # Kept, as a log or a debugger would: their tracebacks know every cursor.
    ends: list[BaseException | None] = []
    for number in range(60):
        writer = asyncio.create_task(write(number))
        for _ in range(number):
            await asyncio.sleep(0)
        await asyncio.sleep(number % 6 * 0.0003)
        writer.cancel()
        ends += await asyncio.gather(writer, return_exceptions=True)
        # The lock would be waited for 20 s.
        await asyncio.wait_for(write(1000 + number), 10)
    assert any(isinstance(end, asyncio.CancelledError) for end in ends)
