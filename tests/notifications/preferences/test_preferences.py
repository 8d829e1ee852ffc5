"""Preferences: what was chosen counts from the next fact on, and what must be told is told."""

import asyncio
from typing import Any

import pytest

from tests.conftest import Person, World
from tests.items.market import faults
from tests.notifications.inbox.test_inbox import INBOX, inbox_of, tell, titles
from tradepost.accounts.messages import PasswordChanged
from tradepost.core.messaging.dispatcher import Dispatcher
from tradepost.core.messaging.outbox import Outbox
from tradepost.notifications.kinds import KINDS

PREFERENCES = f"{INBOX}preferences"


async def choose(person: Person, **kinds: dict[str, Any]) -> dict[str, Any]:
    body = {"preferences": [{"kind": kind, **channels} for kind, channels in kinds.items()]}
    answer = await person.api.put(PREFERENCES, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json() == (await person.api.get(PREFERENCES)).json()
    return {row["kind"]: row for row in answer.json()["preferences"]}


async def test_every_kind_is_shown(alice: Person) -> None:
    shown = (await alice.api.get(PREFERENCES)).json()["preferences"]
    assert [row["kind"] for row in shown] == [kind.name for kind in KINDS]
    by_kind = {row["kind"]: row for row in shown}
    assert by_kind["item_created"] == {
        "kind": "item_created",
        "description": "An item of yours was put up for sale",
        "email": True,
        "inbox": True,
        "fixed": [],
    }
    assert by_kind["password_changed"]["fixed"] == ["email", "inbox"]


async def test_a_choice_counts_from_the_next_fact_on(world: World, alice: Person, bob: Person) -> None:
    assert not (await choose(alice, item_created={"inbox": False}))["item_created"]["inbox"]
    await tell(world, alice, "A")
    await tell(world, bob, "B")
    assert titles(await inbox_of(alice)) == []
    assert titles(await inbox_of(bob)) == ["B"]
    # What is not sent stays, null is the default again.
    chosen = (await choose(alice, item_created={"email": False}))["item_created"]
    assert (chosen["email"], chosen["inbox"]) == (False, False)
    chosen = (await choose(alice, item_created={"inbox": None}))["item_created"]
    assert (chosen["email"], chosen["inbox"]) == (False, True)
    await tell(world, alice, "C")
    assert titles(await inbox_of(alice)) == ["C"]


async def test_nobody_can_switch_off_what_they_must_learn(world: World, alice: Person) -> None:
    body = {
        "preferences": [
            {"kind": "item_created", "email": False},
            {"kind": "password_changed", "email": False},
        ]
    }
    answer = await alice.api.put(PREFERENCES, json=body)
    assert answer.status_code == 422
    assert faults(answer) == [(["body", "preferences", 1, "email"], "fixed_channel")]
    assert (await choose(alice))["item_created"]["email"]
    # Saying what holds anyway is no fault: a client may send back what it was shown.
    assert (await choose(alice, password_changed={"email": True, "inbox": True}))["password_changed"]["email"]
    async with world.database.transaction() as db:
        await world.resources[Outbox].add(db, PasswordChanged(alice.id))
    await world.resources[Dispatcher].drain()
    assert [row["kind"] for row in (await inbox_of(alice))["notifications"]] == ["password_changed"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"preferences": [{"kind": "unknown"}]}, ["body", "preferences", 0, "kind"]),
        ({"preferences": [{"kind": "welcome"}, {"kind": "welcome"}]}, ["body", "preferences", 1, "kind"]),
        ({"preferences": [{"kind": "item_created", "email": 1}]}, ["body", "preferences", 0, "email"]),
        ({"preferences": [{"kind": "item_created", "stream": True}]}, ["body", "preferences", 0, "stream"]),
        ({"preferences": [{"kind": "x" * 33}]}, ["body", "preferences", 0, "kind"]),
        ({"preferences": {}}, ["body", "preferences"]),
        ({}, ["body", "preferences"]),
    ],
)
async def test_what_is_wrong_is_named(alice: Person, body: dict[str, Any], where: list[Any]) -> None:
    answer = await alice.api.put(PREFERENCES, json=body)
    assert answer.status_code == 422
    assert [place for place, _ in faults(answer)] == [where]


async def test_choices_at_once_do_not_undo_each_other(alice: Person) -> None:
    await asyncio.gather(
        *(
            call
            for _ in range(5)
            for call in (
                choose_quietly(alice, {"kind": "item_created", "email": False}),
                choose_quietly(alice, {"kind": "item_created", "inbox": False}),
            )
        )
    )
    chosen = (await choose(alice))["item_created"]
    assert (chosen["email"], chosen["inbox"]) == (False, False)


async def choose_quietly(person: Person, change: dict[str, Any]) -> None:
    answer = await person.api.put(PREFERENCES, json={"preferences": [change]})
    assert answer.status_code == 200, answer.text
