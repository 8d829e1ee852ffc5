"""Seats under concurrency: never one too many, none free while somebody waits, the order kept, from several processes.

``SOAK_ROUNDS=1`` and more lets 400 people join 2,000 times for 100 seats; a test run a tenth of it.
"""

import asyncio
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

import httpx
from sqlalchemy import case, func, select

from tests.conftest import NewPerson, Person, World
from tests.events.gatherings import crowd, join, path_of, plan, read, standings
from tradepost.events.models import Event, Participant
from tradepost.events.schemas import ParticipantStatus

ROUNDS: Final = int(os.environ.get("SOAK_ROUNDS", "0"))
PEOPLE, JOINS, SEATS = (400, 2_000, 100) if ROUNDS else (40, 200, 10)

_SITS = Participant.status == ParticipantStatus.JOINED
_WAITS = Participant.status == ParticipantStatus.WAITING
STATE = (
    select(
        Event.participants_count,
        Event.waiting_count,
        Event.max_participants,
        Event.seats,
        func.count(case((_SITS, 1))).label("sitting"),
        func.count(case((_WAITS, 1))).label("waiting"),
        func.max(case((_SITS, Participant.number))).label("last_seated"),
        func.min(case((_WAITS, Participant.number))).label("first_waiting"),
    )
    .outerjoin(Participant, Participant.event_id == Event.id)
    .group_by(Event.id)
)
"""All that the rules are about, seen in one moment."""


async def check(world: World, event_id: int) -> tuple[int, int]:
    """Check the rules as they stand in one moment; return how many sit and how many wait."""
    async with world.database.read() as db:
        state = (await db.execute(STATE.where(Event.id == event_id))).one()
    assert (state.participants_count, state.waiting_count) == (state.sitting, state.waiting)
    assert state.sitting <= state.seats, "a seat was given twice"
    assert state.waiting == 0 or state.sitting >= state.max_participants, "a seat is free, and somebody waits"
    assert not state.waiting or state.last_seated < state.first_waiting, "somebody was passed over"
    return state.sitting, state.waiting


async def processes(world: World, event: dict[str, Any], user_ids: list[int], tmp_path: Path) -> Counter[str]:
    """Let two processes join and leave an event, looking all the time; return what was answered."""
    running = []
    for number in range(2):
        instructions = {
            "url": world.database.options.url.render_as_string(hide_password=False),
            "directory": str(tmp_path),
            "event_id": event["id"],
            "user_ids": user_ids,
            "joins": JOINS // 2,
            "leaves": 0.4,
            "resizes": 0.03,
            "capacities": [SEATS // 2, SEATS * 3 // 2],
            "seed": number,
        }
        command = (sys.executable, "-m", "tests.events.crowding", json.dumps(instructions))
        running.append(
            await asyncio.create_subprocess_exec(
                *command,
                cwd=Path(__file__).parents[2],
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
        )
    ended = asyncio.gather(*(process.communicate() for process in running))
    while not ended.done():
        await check(world, event["id"])
        await asyncio.sleep(0.1)
    answers: Counter[str] = Counter()
    for output, errors in await ended:
        assert output, errors.decode()[-2000:]
        assert not errors, errors.decode()[-2000:]
        answers += Counter(json.loads(output))
    return answers


async def test_two_processes_never_sell_a_seat_twice(world: World, alice: Person, tmp_path: Path) -> None:
    event = await plan(world, alice, max_participants=SEATS)
    other = await plan(world, alice, max_participants=SEATS)
    user_ids = await crowd(world, other, PEOPLE)
    for _ in range(max(1, ROUNDS)):
        answers = await processes(world, event, user_ids, tmp_path)
        sitting, waiting = await check(world, event["id"])
        assert answers["new"] + answers["again"] == JOINS // 2 * 2
        assert min(answers["joined"], answers["waiting"], answers["left"], answers["resized"]) > 0
        found = await read(alice.api, event)
        assert (found["participants_count"], found["waiting_count"]) == (sitting, waiting)
    await check(world, other["id"])


async def test_one_person_who_joins_many_times_at_once_is_in_once(
    world: World, alice: Person, bob: Person
) -> None:
    for seats in (1, 5):
        event = await plan(world, alice, max_participants=seats)
        answers = await asyncio.gather(*(bob.api.post(path_of(event, "participants")) for _ in range(8)))
        assert Counter(answer.status_code for answer in answers) == {201: 1, 200: 7}
        assert {answer.json()["status"] for answer in answers} == {"joined"}
        assert await check(world, event["id"]) == (1, 0)


async def test_the_last_seat_goes_to_one(world: World, alice: Person, new_person: NewPerson) -> None:
    event = await plan(world, alice, max_participants=1)
    people = [await new_person(f"P{number}") for number in range(6)]
    found = await asyncio.gather(*(join(event, person) for person in people))
    assert sorted((one["status"], one["position"]) for one in found) == sorted(
        [("joined", None), *(("waiting", place) for place in range(1, 6))], key=str
    )
    assert await check(world, event["id"]) == (1, 5)


async def test_people_leave_join_and_are_deleted_at_once(
    world: World, alice: Person, admin: Person, new_person: NewPerson
) -> None:
    events = [await plan(world, alice, max_participants=3) for _ in range(3)]
    people = [await new_person(f"P{number}") for number in range(8)]
    for event in events:
        for person in people[:5]:
            await join(event, person)
    requests = [
        *(person.api.delete(path_of(event, "participants")) for person in people[:2] for event in events),
        *(person.api.post(path_of(event, "participants")) for person in people[4:7] for event in events),
        *(admin.api.delete(f"/api/v1/users/{person.id}") for person in people[2:6]),
        *(alice.api.patch(path_of(event), json={"max_participants": 2}) for event in events),
    ]
    answers = await asyncio.gather(*requests)
    assert max(answer.status_code for answer in answers) < 500
    gone = {person.id for person in people[2:6]}
    for event in events:
        await check(world, event["id"])
        left = await standings(alice, event)
        assert not gone & {user_id for user_id, _, _ in left}
        assert people[6].id in {user_id for user_id, _, _ in left}


async def test_cancelling_deleting_and_joining_at_once(
    world: World, client: httpx.AsyncClient, alice: Person, new_person: NewPerson
) -> None:
    people = [await new_person(f"P{number}") for number in range(3)]
    for turn in range(4):
        event = await plan(world, alice, max_participants=2)
        ending = alice.api.delete(path_of(event)) if turn % 2 else alice.api.post(path_of(event, "cancel"))
        requests = [person.api.post(path_of(event, "participants")) for person in people]
        requests.insert(turn, ending)
        answers = await asyncio.gather(*requests)
        assert {answer.status_code for answer in answers} <= {200, 201, 404, 409}
        if (await client.get(path_of(event))).status_code == 200:
            await check(world, event["id"])
        else:
            assert turn % 2
            joined = [answer for answer in answers if answer.status_code == 201]
            assert joined == []
