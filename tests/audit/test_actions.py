"""What else leaves a line: administration of tags, categories, files, messages and accounts, and what ends with a reset."""

import httpx
from sqlalchemy import update

from tests.accounts.test_api_keys import new_key
from tests.accounts.test_recovery import AUTH, NEW, asked
from tests.audit.test_audit import USERS, lines, told
from tests.conftest import PASSWORD, Person, World
from tests.items.market import CATEGORIES, new_category, sell
from tradepost.core.messaging.outbox import MessageState, StoredMessage

TAGS = "/api/v1/tags/"
MESSAGES = "/api/v1/admin/messages/"


async def test_accounts_that_admins_make_and_switch_on_again(admin: Person) -> None:
    form = {"email": "carol@example.com", "password": PASSWORD, "first_name": "C", "last_name": "D"}
    carol = (await admin.api.post(USERS, json=form)).json()["id"]
    for active in (False, True):
        assert (await admin.api.put(f"{USERS}{carol}", json={"is_active": active})).status_code == 200
    # The first administrator was made by nobody.
    assert [line for line in told(await lines(admin)) if line[0] is not None] == [
        (admin.id, "user.created", "user", carol),
        (admin.id, "user.deactivated", "user", carol),
        (admin.id, "user.activated", "user", carol),
    ]


async def test_categories_and_merged_tags(admin: Person, moderator: Person) -> None:
    category = (await new_category(admin, "Lights"))["id"]
    assert (await admin.api.put(f"{CATEGORIES}{category}", json={"name": "Lamps"})).status_code == 200
    assert (await admin.api.delete(f"{CATEGORIES}{category}")).status_code == 200
    brass, copper = [
        (await moderator.api.post(TAGS, json={"name": name})).json()["id"] for name in ("brass", "copper")
    ]
    merged = await moderator.api.post(f"{TAGS}{brass}/merge", json={"into_id": copper})
    assert merged.status_code == 200
    assert told(await lines(admin)) == [
        (admin.id, "category.created", "category", category),
        (admin.id, "category.updated", "category", category),
        (admin.id, "category.deleted", "category", category),
        (moderator.id, "tag.created", "tag", brass),
        (moderator.id, "tag.created", "tag", copper),
        (moderator.id, "tag.merged", "tag", brass),
    ]


async def test_files_that_staff_delete(alice: Person, moderator: Person, admin: Person) -> None:
    item = await sell(alice)
    files = [("files", (f"{name}.txt", b"brass", "text/plain")) for name in ("own", "other")]
    answer = await alice.api.post(f"/api/v1/upload/items/{item['id']}/documents/", files=files)
    own, other = [file["url"] for file in answer.json()["uploaded_files"]]
    assert (await alice.api.delete(own)).status_code == 200
    assert (await moderator.api.delete(other)).status_code == 200
    (line,) = await lines(admin)
    assert (line["actor_id"], line["action"]) == (moderator.id, "file.deleted")


async def test_messages_that_are_sent_again_or_purged(alice: Person, admin: Person, world: World) -> None:
    for title in ("Lamp", "Vase"):
        await sell(alice, title)
    async with world.database.transaction() as db:
        await db.execute(update(StoredMessage).values(state=MessageState.DEAD))
    again, gone, *_ = [
        each["id"] for each in (await admin.api.get(MESSAGES, params={"state": "dead"})).json()["messages"]
    ]
    assert (await admin.api.post(f"{MESSAGES}{again}/retry")).status_code == 200
    assert (await admin.api.delete(f"{MESSAGES}{gone}")).status_code == 200
    assert told(await lines(admin)) == [
        (admin.id, "messages.retried", "message", again),
        (admin.id, "messages.purged", "message", gone),
    ]


async def test_logging_out_everywhere_and_proving_an_address(
    client: httpx.AsyncClient, world: World, alice: Person, admin: Person
) -> None:
    await new_key(alice)
    *_, token = await asked(world, client, alice.email, "email/resend")
    assert (await client.post(f"{AUTH}/email/verify", json={"token": token})).status_code == 200
    assert (await alice.api.post(f"{AUTH}/logout-all")).status_code == 200
    assert [action for _, action, *_ in told(await lines(admin))] == [
        "api_key.created",
        "email.verified",
        "auth.logout_all",
    ]


async def test_what_ends_when_an_address_is_first_proved_by_a_reset(
    client: httpx.AsyncClient, world: World, alice: Person, admin: Person
) -> None:
    await new_key(alice)
    *_, token = await asked(world, client, alice.email)
    reset = {"token": token, "new_password": NEW}
    assert (await client.post(f"{AUTH}/password/reset", json=reset)).status_code == 200
    assert [action for _, action, *_ in told(await lines(admin))] == [
        "api_key.created",
        "password.reset",
        "grants.revoked",
    ]
