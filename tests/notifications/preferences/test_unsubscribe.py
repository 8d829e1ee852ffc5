"""One click in a mail program switches a kind of e-mail off, and nothing else does (RFC 8058)."""

from pathlib import Path

import httpx
import pytest

from tests.conftest import Person, World
from tests.flows.live import environment, eventually, serving
from tests.notifications.inbox.test_inbox import inbox_of, tell, titles
from tests.notifications.preferences.test_preferences import choose
from tradepost.core.secret_keys import SecretKeys
from tradepost.notifications.preferences.dependencies import build_unsubscribe_links
from tradepost.notifications.preferences.unsubscribe import PATH, UnsubscribeLinks

ONE_CLICK = {"List-Unsubscribe": "One-Click"}
LINKS = UnsubscribeLinks(keys=SecretKeys("x" * 32), public_url="https://market.example.com")


def token_for(world: World, user_id: int, kind: str = "item_created") -> str:
    return build_unsubscribe_links(world.resources.settings).url(user_id, kind).partition("?token=")[2]


async def test_one_click_switches_the_kind_off(
    world: World, client: httpx.AsyncClient, alice: Person, bob: Person
) -> None:
    answer = await client.post(PATH, params={"token": token_for(world, alice.id)}, data=ONE_CLICK)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "no more e-mails of this kind: An item of yours was put up for sale" in answer.text
    shown = await choose(alice)
    assert (shown["item_created"]["email"], shown["item_created"]["inbox"]) == (False, True)
    assert shown["webhook_disabled"]["email"], "other kinds stay"
    assert (await choose(bob))["item_created"]["email"], "other people stay"
    await tell(world, alice, "Lamp")
    assert titles(await inbox_of(alice)) == ["Lamp"]


async def test_a_click_keeps_what_was_chosen_for_the_inbox(
    world: World, client: httpx.AsyncClient, alice: Person
) -> None:
    await choose(alice, item_created={"inbox": False})
    for _ in range(2):
        answer = await client.post(PATH, params={"token": token_for(world, alice.id)}, data=ONE_CLICK)
        assert answer.status_code == 200
    shown = (await choose(alice))["item_created"]
    assert (shown["email"], shown["inbox"]) == (False, False)
    assert (await choose(alice, item_created={"email": True}))["item_created"]["email"]


async def test_programs_may_post_in_any_form(world: World, client: httpx.AsyncClient, alice: Person) -> None:
    token = {"token": token_for(world, alice.id)}
    for form in ({"files": {"List-Unsubscribe": (None, "One-Click")}}, {"content": b""}):
        await choose(alice, item_created={"email": True})
        assert (await client.post(PATH, params=token, **form)).status_code == 200
        assert not (await choose(alice))["item_created"]["email"]


async def test_opening_the_link_changes_nothing(
    world: World, client: httpx.AsyncClient, alice: Person
) -> None:
    answer = await client.get(PATH, params={"token": token_for(world, alice.id)})
    assert answer.status_code == 200
    assert '<form method="post">' in answer.text
    assert "An item of yours was put up for sale" in answer.text
    assert "form-action 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert alice.email not in answer.text
    assert (await client.head(PATH, params={"token": token_for(world, alice.id)})).status_code == 200
    assert (await choose(alice))["item_created"]["email"]


@pytest.mark.parametrize("kind", ["password_changed", "password_reset", "unknown"])
async def test_what_must_be_told_cannot_be_switched_off(
    world: World, client: httpx.AsyncClient, alice: Person, kind: str
) -> None:
    token = {"token": token_for(world, alice.id, kind)}
    assert (await client.get(PATH, params=token)).status_code == 400
    assert (await client.post(PATH, params=token, data=ONE_CLICK)).status_code == 400


@pytest.mark.parametrize("token", ["", "x", "ä", "=" * 10, "A" * 5000, "%00", "AAAA" * 20])
async def test_a_token_of_somebody_elses_making_is_refused(client: httpx.AsyncClient, token: str) -> None:
    for answer in (
        await client.get(PATH, params={"token": token}),
        await client.post(PATH, params={"token": token}, data=ONE_CLICK),
    ):
        assert answer.status_code == 400
        assert "This link is not good" in answer.text


async def test_a_changed_token_is_refused(world: World, client: httpx.AsyncClient, alice: Person) -> None:
    token = token_for(world, alice.id)
    other = token_for(world, alice.id + 1)
    for changed in (token[:-1], token[:-4] + "AAAA", token[:22] + other[22:], "B" + token[1:]):
        if changed != token:
            assert (await client.post(PATH, params={"token": changed})).status_code == 400
    assert (await choose(alice))["item_created"]["email"]


async def test_the_link_of_an_account_that_is_gone(world: World, client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, params={"token": token_for(world, 2**40)}, data=ONE_CLICK)
    assert answer.status_code == 400
    assert answer.json()["error_code"] == "UNSUBSCRIBE_LINK_VOID"


def test_a_link_is_read_as_it_was_made() -> None:
    url = LINKS.url(7, "item_created")
    assert url.startswith("https://market.example.com/notifications/unsubscribe?token=")
    token = url.partition("?token=")[2]
    assert LINKS.read(token) == (7, "item_created")
    assert LINKS.url(7, "item_created") == url, "each attempt to send an e-mail makes the same bytes"
    other = UnsubscribeLinks(keys=SecretKeys("y" * 32), public_url="https://market.example.com")
    assert other.read(token) is None


async def test_no_log_holds_the_token(tmp_path: Path) -> None:
    secret = "unsubscribe-secret-key-of-32-bytes-or-more"
    token = (
        UnsubscribeLinks(keys=SecretKeys(secret), public_url="")
        .url(1, "item_created")
        .partition("?token=")[2]
    )
    with serving(environment(tmp_path, SECRET_KEY=secret, LOG_LEVEL="DEBUG")) as server:
        await server.ready()
        async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
            assert (await client.get(PATH, params={"token": token})).status_code == 200
            assert (await client.post(PATH, params={"token": token}, data=ONE_CLICK)).status_code == 200
            assert (await client.post(PATH, params={"token": token + "A"})).status_code == 400

        async def is_written() -> bool:
            return server.output.count(PATH) >= 3

        await eventually(is_written)
        log = server.output
    assert token not in log
    assert token[:22] not in log
