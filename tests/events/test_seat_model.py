"""Seats held against a model that a child could keep: a row of people, of whom the first sit down."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from tests.conftest import Person, World
from tests.events.gatherings import crowd, plan
from tests.events.test_seat_races import check
from tradepost.accounts.permissions import PERMISSIONS, Role
from tradepost.core.errors import TradepostError
from tradepost.core.principal import Principal
from tradepost.events.dependencies import build_departure_service, build_event_service, build_seat_service
from tradepost.events.errors import ParticipantNotFound
from tradepost.events.repository.participants import ParticipantRepository, Place
from tradepost.events.schemas import EventUpdate
from tradepost.events.seats import Joined, Joining, Leaving

PEOPLE = 6
STEPS = 25
EXAMPLES = int(os.environ.get("SOAK_EXAMPLES", "8"))


@dataclass
class Model:
    """An event as people would run it with a list on the door."""

    capacity: int
    seated: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)

    def join(self, person: int) -> None:
        if person not in self.seated + self.waiting:
            self.waiting.append(person)
            self.fill()

    def leave(self, person: int) -> bool:
        for row in (self.seated, self.waiting):
            if person in row:
                row.remove(person)
                self.fill()
                return True
        return False

    def resize(self, capacity: int) -> None:
        self.capacity = capacity
        self.fill()

    def fill(self) -> None:
        while self.waiting and len(self.seated) < self.capacity:
            self.seated.append(self.waiting.pop(0))


PERSON = st.integers(0, PEOPLE - 1)


class Seats(RuleBasedStateMachine):
    """Does everything to the event and to the model; a subclass says where."""

    world: ClassVar[World]
    event_id: ClassVar[int]
    people: ClassVar[list[int]]
    run: ClassVar[Callable[..., Any]]

    def __init__(self) -> None:
        super().__init__()
        self.model = Model(1)

    @initialize(capacity=st.integers(1, 4))
    def begin(self, capacity: int) -> None:
        for person in range(PEOPLE):
            self.depart(person)
        self.resize(capacity)

    @rule(group=st.lists(PERSON, min_size=1, max_size=4))
    def join(self, group: list[int]) -> None:
        ids = [self.people[person] for person in group]
        known = set(self.model.seated + self.model.waiting)
        outcomes = self.run(self._join([Joining(self.event_id, user_id) for user_id in ids]))
        for user_id, outcome in zip(ids, outcomes, strict=True):
            assert isinstance(outcome, Joined)
            assert outcome.is_new == (user_id not in known)
            known.add(user_id)
            self.model.join(user_id)

    async def _join(self, group: list[Joining]) -> list[Joined | TradepostError]:
        async with self.world.database.transaction() as db:
            return await build_seat_service(db, self.world.resources).join_many(group)

    @rule(group=st.lists(PERSON, min_size=1, max_size=6))
    def leave(self, group: list[int]) -> None:
        """Leave in one transaction, as a group of requests does; somebody may ask twice."""
        user_ids = [self.people[person] for person in group]
        outcomes = self.run(self._leave([Leaving(self.event_id, user_id) for user_id in user_ids]))
        for user_id, outcome in zip(user_ids, outcomes, strict=True):
            assert (outcome is None) == self.model.leave(user_id)
            assert outcome is None or isinstance(outcome, ParticipantNotFound)

    async def _leave(self, group: list[Leaving]) -> list[TradepostError | None]:
        async with self.world.database.transaction() as db:
            return await build_seat_service(db, self.world.resources).leave_many(group)

    @rule(person=PERSON)
    def depart(self, person: int) -> None:
        self.run(self._depart(self.people[person]))
        self.model.leave(self.people[person])

    async def _depart(self, user_id: int) -> None:
        now = self.world.clock.now()
        async with self.world.database.transaction() as db:
            await build_departure_service(db, self.world.resources).leave_all(user_id, now=now)

    @rule(capacity=st.integers(1, 5))
    def resize(self, capacity: int) -> None:
        self.run(self._resize(capacity))
        self.model.resize(capacity)

    async def _resize(self, capacity: int) -> None:
        staff = Principal(self.people[0], PERMISSIONS[Role.ADMIN], session_id=0)
        async with self.world.database.transaction() as db:
            changes = EventUpdate(max_participants=capacity)
            await build_event_service(db, self.world.resources).update(self.event_id, changes, staff)

    @invariant()
    def agree(self) -> None:
        sitting, waiting = len(self.model.seated), len(self.model.waiting)
        assert self.run(check(self.world, self.event_id)) == (sitting, waiting)
        found = self.run(self._places())
        in_order = sorted(found, key=lambda user_id: found[user_id].number)
        assert [user_id for user_id in in_order if found[user_id].status == "waiting"] == self.model.waiting
        assert {user_id for user_id in in_order if found[user_id].status == "joined"} == set(
            self.model.seated
        )

    async def _places(self) -> dict[int, Place]:
        pairs = [(self.event_id, user_id) for user_id in self.people]
        async with self.world.database.read() as db:
            found = await ParticipantRepository(db).find_places(pairs)
        return {user_id: place for (_, user_id), place in found.items()}


async def test_seats_are_given_as_people_would_give_them(world: World, alice: Person) -> None:
    event = await plan(world, alice, max_participants=1)
    people = await crowd(world, await plan(world, alice, max_participants=PEOPLE), PEOPLE)
    loop = asyncio.get_running_loop()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    class Here(Seats):
        pass

    Here.world, Here.event_id, Here.people, Here.run = world, event["id"], people, staticmethod(run)
    given = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    await asyncio.to_thread(run_state_machine_as_test, Here, settings=given)
