"""A process that joins and leaves one event again and again, for ``test_seat_races``.

    python -m tests.events.crowding '{"url": …, "directory": …, "event_id": …, "user_ids": […], "joins": …, "seed": …}'

It prints how many answers of each kind it got, as JSON.
"""

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

from tradepost.accounts.permissions import PERMISSIONS, Role
from tradepost.bootstrap import opened
from tradepost.core.batching import group_writer
from tradepost.core.principal import Principal
from tradepost.core.resources import Resources
from tradepost.core.settings.settings import Settings
from tradepost.events.dependencies import build_event_service
from tradepost.events.errors import ParticipantNotFound
from tradepost.events.intake import JoinIntake, LeaveIntake
from tradepost.events.schemas import EventUpdate

AT_ONCE = 20


async def crowd(resources: Resources, plan: dict[str, Any]) -> Counter[str]:
    """Join so many times, by people in turn, and leave and change the capacity now and then."""
    chance, answers = Random(plan["seed"]), Counter[str]()
    steps = iter(range(plan["joins"]))

    async def one_after_the_other() -> None:
        for _ in steps:
            user_id = chance.choice(plan["user_ids"])
            asker = Principal(user_id, PERMISSIONS[Role.USER], session_id=0)
            joined = await resources[JoinIntake].join(plan["event_id"], asker)
            answers["new" if joined.is_new else "again"] += 1
            answers[json.loads(joined.body)["status"]] += 1
            if chance.random() < plan["leaves"]:
                try:
                    await resources[LeaveIntake].leave(plan["event_id"], asker)
                    answers["left"] += 1
                except ParticipantNotFound:
                    # The same person has left meanwhile, by another request.
                    answers["gone"] += 1
            if chance.random() < plan["resizes"]:
                capacity = chance.randint(*plan["capacities"])
                staff = Principal(user_id, PERMISSIONS[Role.ADMIN], session_id=0)
                async with resources.database.transaction() as db:
                    changes = EventUpdate(max_participants=capacity)
                    await build_event_service(db, resources).update(plan["event_id"], changes, staff)
                answers["resized"] += 1

    await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
    return answers


async def main() -> None:
    """Run the plan of the command line."""
    # All want one row, and a machine may be busy: who waits long for it is no fault.
    vars(group_writer)["HELD_SECONDS"] = 60.0
    plan = json.loads(sys.argv[1])
    settings = Settings.load(
        DATABASE_URL=plan["url"],
        DATA_DIR=Path(plan["directory"]),
        SECRET_KEY="a key of at least thirty-two bytes for tests",
        DB_POOL_TIMEOUT=60.0,
        DB_STATEMENT_TIMEOUT=60.0,
        LOG_LEVEL="ERROR",
    )
    async with opened(settings) as resources:
        sys.stdout.write(json.dumps(await crowd(resources, plan)))


if __name__ == "__main__":
    asyncio.run(main())
