"""Events by the fast path and by the ordinary one: the same answers, to the byte."""

import pytest

from tests.conftest import NewPerson, Person, World
from tests.events.gatherings import EVENTS, join, path_of, plan
from tests.web.routing.both_paths import BothPaths, OnePath, bearer, credentials_of

ODD_IDS = ("0", "00", "-1", "{id}.0", "0{id}", "{id}%20", "{id}.icsx", "x.ics", ".ics", "{id}..ics", "9" * 19)
QUERIES = (
    "",
    "limit=1",
    "limit=0",
    "sort=-created_at&total=false",
    "sort=title",
    "from=2020-01-01T00:00:00Z&to=2999-01-01T00:00:00%2B01:00",
    "from=2020-01-01T00:00:00",
    "from=2999-01-01T00:00:00Z&to=2020-01-01T00:00:00Z",
    "to=x",
    "joined=true",
    "joined=maybe",
    "status=cancelled",
    "status=",
    "organiser_id=1",
    "organiser_id=0",
    "since=2020-01-01T00:00:00Z",
)


@pytest.fixture
def both(world: World) -> BothPaths:
    return BothPaths(OnePath(world.resources, fast=True), OnePath(world.resources, fast=False))


async def test_events_are_read_alike(
    *, world: World, both: BothPaths, alice: Person, bob: Person, admin: Person, new_person: NewPerson
) -> None:
    event = await plan(world, alice, max_participants=1)
    await join(event, bob)
    credentials = {"none": [], "alice": bearer(alice.token), "bob": bearer(bob.token)}
    for headers in (credentials | await credentials_of(world, alice, new_person, admin)).values():
        for address in (path_of(event), f"{path_of(event)}.ics", path_of({"id": 10**9}), EVENTS):
            assert (await both.agree("GET", address, headers)).fast
        await both.agree("GET", f"{EVENTS}?joined=true", headers)
    for query in QUERIES:
        for headers in credentials.values():
            await both.agree("GET", f"{EVENTS}?{query}", headers)
    for odd in ODD_IDS:
        for ending in ("", ".ics", "/", ".ics/"):
            await both.agree("GET", EVENTS + odd.format(id=event["id"]) + ending)


async def test_joining_is_answered_alike(
    *, world: World, both: BothPaths, alice: Person, bob: Person, admin: Person, new_person: NewPerson
) -> None:
    event, cancelled = await plan(world, alice), await plan(world, alice)
    await alice.api.post(path_of(cancelled, "cancel"))
    await join(event, bob)
    for headers in (await credentials_of(world, alice, new_person, admin)).values():
        for one in (cancelled, {"id": 10**9}):
            assert (await both.agree("POST", path_of(one, "participants"), headers)).fast
    again = await both.agree("POST", path_of(event, "participants"), bearer(bob.token))
    assert (again.status, again.fast) == (200, True)
    first = await both.fast.ask("POST", path_of(event, "participants"), bearer(alice.token))
    assert (first.status, first.fast) == (201, True)
    for odd in ("0", "x", "1.0"):
        await both.agree("POST", f"{EVENTS}{odd}/participants", bearer(bob.token))
