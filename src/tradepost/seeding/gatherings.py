"""The made-up marketplace's events: past ones, some to come, some cancelled, with participants and waiting lists."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from tradepost.events.schemas import EventStatus
from tradepost.seeding import vocabulary
from tradepost.seeding.catalogue import shelves
from tradepost.seeding.dice import Dice, zipf
from tradepost.seeding.generator import FIRST_ITEM, MICROSECOND, NOW, Marketplace, moments

GOODS: Final = tuple(shelf.name for shelf in shelves() if shelf.wares)
PLACES: Final = tuple(
    (town, zone) for zone, towns in vocabulary.EVENT_TOWNS.items() for town in towns.split()
)
CAPACITIES: Final = (6, 8, 10, 12, 15, 20, 25, 30, 40, 60, 100)
CAPACITY_TOTALS: Final = zipf(len(CAPACITIES), flat=4)
SHARES: Final = 1_000_000
"""The parts of the time until an event in which people join; its last fifth is left out."""
LATER: Final = 1500
"""Days from an event's announcement to its start, at most: some are far ahead, so that years later there are some to come."""


class ParticipantRow(NamedTuple):
    """Somebody who joined: ``user`` is a place in the list of these users, ``number`` the order of joining."""

    user: int
    number: int
    joined_at: datetime


class EventRow(NamedTuple):
    """An event; ``organiser`` is a place in the list of these users. As many participants as it has seats have one."""

    title: str
    description: str
    start_date: datetime
    end_date: datetime
    time_zone: str
    max_participants: int
    status: EventStatus
    organiser: int
    created_at: datetime
    updated_at: datetime
    participants: tuple[ParticipantRow, ...]

    @property
    def version(self) -> int:
        """One, and one more for being cancelled."""
        return 2 if self.status is EventStatus.CANCELLED else 1


def gatherings(market: Marketplace, *, events: int, first_event: int = 1) -> Iterator[EventRow]:
    """Make events of a marketplace's people, numbered from ``first_event``, in the order in which they were announced."""
    name = f"{first_event} of {market.seed}"
    dice = Dice(f"events {name}")
    for moment in moments(Dice(f"announced {name}"), events, NOW - FIRST_ITEM):
        yield _gathering(dice, market, FIRST_ITEM + moment * MICROSECOND)


def _gathering(dice: Dice, market: Marketplace, created_at: datetime) -> EventRow:
    title, description = dice.pick(vocabulary.EVENTS)
    town, zone = dice.pick(PLACES)
    words = {"town": town, "place": dice.pick(vocabulary.EVENT_PLACES), "goods": dice.pick(GOODS)}
    title, description = title.format_map(words), description.format_map(words)
    days = 3 + dice.below(LATER if dice.chance(40) else 60)
    begins = created_at.replace(hour=0, minute=0, second=0, microsecond=0)
    start_date = begins + timedelta(days=days, hours=8 + dice.below(12), minutes=15 * dice.below(4))
    lasts = (
        timedelta(days=1 + dice.below(3)) if dice.chance(10) else timedelta(minutes=30 * (2 + dice.below(9)))
    )
    capacity = CAPACITIES[dice.weighted(CAPACITY_TOTALS)]
    known = market.known_at(created_at)
    organiser = dice.below(known)
    told = min(start_date, NOW) - created_at
    status, updated_at = EventStatus.PLANNED, created_at
    if dice.chance(8):
        status, updated_at = EventStatus.CANCELLED, created_at + told * 9 // 10
    interested = min(capacity * (10 + dice.below(130)) // 100, known // 2)
    return EventRow(
        title=title,
        description=description,
        start_date=start_date,
        end_date=start_date + lasts,
        time_zone=zone,
        max_participants=capacity,
        status=status,
        organiser=organiser,
        created_at=created_at,
        updated_at=updated_at,
        participants=tuple(
            # Nobody joins what is cancelled.
            ParticipantRow(place, number, created_at + after * told // SHARES)
            for place, number, after in _joining(dice, known, interested, but_not=organiser)
        ),
    )


def _joining(dice: Dice, known: int, interested: int, *, but_not: int) -> Iterator[tuple[int, int, int]]:
    """Make the places of those who joined, their numbers, some of which are those of others who left, and when."""
    places: dict[int, None] = {}
    while len(places) < interested:
        place = dice.below(known)
        if place != but_not:
            places[place] = None
    joined = sorted(dice.below(SHARES * 8 // 10) for _ in places)
    number = 0
    for place, after in zip(places, joined, strict=True):
        number += 1 + dice.chance(10)
        yield place, number, after
