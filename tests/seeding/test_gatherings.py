"""The made-up events keep the rules of events, are the same each time, and show what there is to show."""

import hashlib
import json
from collections import Counter
from datetime import timedelta

import pytest

from tradepost.events.schemas import EventCreate, EventStatus
from tradepost.events.zones import zone_names
from tradepost.seeding.gatherings import EventRow, gatherings
from tradepost.seeding.generator import NOW, Marketplace

# Whoever changes a word or a weight changes these rows, and puts the new value here.
DIGEST = "f4805b37930ed0e00c36d61aaaa7cf0fc79151966caa58c4e685c5f7a4108466"


def made(seed: int = 42, *, users: int = 50, events: int = 40, first_event: int = 1) -> list[EventRow]:
    return list(
        gatherings(Marketplace(seed=seed, users=users, items=0), events=events, first_event=first_event)
    )


@pytest.fixture(scope="module")
def many() -> list[EventRow]:
    return made(users=1000, events=400)


def test_the_same_on_every_python_and_every_machine() -> None:
    rows = json.dumps(made(), default=str)
    assert hashlib.sha256(rows.encode()).hexdigest() == DIGEST


def test_another_seed_and_what_is_added_later_are_others() -> None:
    titles = [event.title for event in made()]
    assert [event.title for event in made(43)] != titles
    assert [event.title for event in made(first_event=41)] != titles


@pytest.mark.parametrize(("users", "events"), [(1, 3), (2, 30), (3, 0)])
def test_few(users: int, events: int) -> None:
    found = made(users=users, events=events)
    assert len(found) == events
    assert all(len(event.participants) <= users // 2 for event in found)


def test_the_rules_of_events(many: list[EventRow]) -> None:
    for event in many:
        read = EventCreate(
            title=event.title,
            description=event.description,
            start_date=event.start_date.isoformat(),  # type: ignore[arg-type] # as JSON has it
            end_date=event.end_date.isoformat(),  # type: ignore[arg-type] # as JSON has it
            time_zone=event.time_zone,
            max_participants=event.max_participants,
        )
        assert (read.start_date, read.end_date, read.title) == (
            event.start_date,
            event.end_date,
            event.title,
        )
        assert event.created_at <= event.updated_at <= NOW
        assert event.updated_at < event.start_date
        assert event.time_zone in zone_names()


def test_people_join_once_in_order_and_before_it_begins(many: list[EventRow]) -> None:
    market = Marketplace(seed=42, users=1000, items=0)
    joined_site = [user.created_at for user in market.people()]
    for event in many:
        people = [one.user for one in event.participants]
        assert len(set(people)) == len(people)
        assert event.organiser not in people
        numbers = [one.number for one in event.participants]
        assert numbers == sorted(set(numbers))
        moments = [one.joined_at for one in event.participants]
        assert moments == sorted(moments)
        end = event.start_date if event.status is EventStatus.PLANNED else event.updated_at
        assert all(
            joined_site[one.user] <= event.created_at <= one.joined_at < end for one in event.participants
        )


def test_there_is_something_of_everything(many: list[EventRow]) -> None:
    statuses = Counter(event.status for event in many)
    assert statuses[EventStatus.CANCELLED] in range(20, 60)
    assert sum(event.start_date > NOW for event in many) in range(100, 250)
    assert sum(event.start_date > NOW + timedelta(days=700) for event in many) > 20
    assert sum(len(event.participants) > event.max_participants for event in many) in range(40, 160)
    assert sum(not event.participants for event in many) < 10
