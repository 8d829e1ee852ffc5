"""What each operation is asked about in the rights matrix: made anew for each request, by its owner, over HTTP.

``PATHS`` makes what a path names. ``CASES`` makes something else for an operation, or for the case that the matrix writes
behind a colon. ``BODIES`` says how a body has to differ from the document's example.
"""

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

import httpx
import pyotp
from sqlalchemy import delete, insert

from tests.conftest import PASSWORD, NewPerson, Person, World
from tests.items.market import CATEGORIES, ITEMS
from tests.notifications.inbox.test_inbox import inbox_of, tell
from tests.uploading import FILES, pdf, png
from tradepost.accounts.models import SecondFactor
from tradepost.core.messaging.outbox import MessageState, StoredMessage

API: Final = "/api/v1"
EVENT: Final = {
    "title": "Repair café",
    "description": "Bring what is broken",
    "start_date": "2999-06-05T18:00:00Z",
    "end_date": "2999-06-05T21:00:00Z",
    "max_participants": 20,
}
HOOK: Final = {"url": "https://example.com/hook", "event_types": ["*"]}
PICTURE: Final = ("lamp.png", png())
PAPER: Final = ("lamp.pdf", pdf())

_numbers = itertools.count()


@dataclass
class Scene:
    """What one request is about.

    ``asker`` is the client that will ask, ``path`` holds the values for its path, and ``request`` what differs from the
    document's example. ``someone`` is an account that has nothing to do with it.
    """

    world: World
    new_person: NewPerson
    admin: Person
    someone: Person
    owner: Person
    asker: httpx.AsyncClient
    path: dict[str, Any] = field(default_factory=dict)
    request: dict[str, Any] = field(default_factory=dict)


Maker = Callable[[Scene], Awaitable[None]]


async def made(api: httpx.AsyncClient, path: str, values: Any = None, **parts: Any) -> dict[str, Any]:
    """Make something and return it."""
    answer = await api.post(path if path.startswith("/") else f"{API}/{path}", json=values, **parts)
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json()
    return found


def new_name() -> str:
    """Return a name that nothing has yet."""
    return f"name {next(_numbers)}"


def new_email() -> str:
    """Return an address that nobody has yet."""
    return f"person{next(_numbers)}@scenes.example.com"


def own(place: str, path: str, values: dict[str, Any]) -> Maker:
    """Return what makes something of the owner's by a POST, and puts its id into the path."""

    async def make(scene: Scene) -> None:
        scene.path[place] = (await made(scene.owner.api, path, values))["id"]

    return make


async def item(scene: Scene, status: str = "active") -> None:
    values = {"title": "Desk lamp", "price": 10, "status": status}
    scene.path["item_id"] = (await made(scene.owner.api, ITEMS, values))["id"]


async def draft(scene: Scene) -> None:
    await item(scene, "draft")


async def user(scene: Scene) -> None:
    """The owner's own account, for the owner; somebody else's, whom nobody misses, for others."""
    asks = scene.asker is scene.owner.api
    scene.path["user_id"] = (scene.owner if asks else await scene.new_person("Nobody")).id


async def session(scene: Scene) -> None:
    await scene.new_person("Owner", email=scene.owner.email)
    listed = (await scene.owner.api.get(f"{API}/auth/sessions")).json()["sessions"]
    scene.path["session_id"] = next(login["id"] for login in listed if not login["current"])


async def session_of_a_person(scene: Scene) -> None:
    """A log-in of somebody's, who has another."""
    person = await scene.new_person("Somebody")
    await scene.new_person("Somebody", email=person.email)
    listed = (await person.api.get(f"{API}/auth/sessions")).json()["sessions"]
    other = next(login["id"] for login in listed if not login["current"])
    scene.path |= {"user_id": person.id, "session_id": other}


async def key_of_a_person(scene: Scene) -> None:
    person = await scene.new_person("Somebody")
    key = await made(person.api, "auth/api-keys", {"name": "Robot"})
    scene.path |= {"user_id": person.id, "key_id": key["id"]}


async def somebody(scene: Scene) -> None:
    scene.path["user_id"] = (await scene.new_person("Nobody")).id


async def tag(scene: Scene) -> None:
    scene.path["tag_id"] = (await made(scene.admin.api, "tags/", {"name": new_name()}))["id"]


async def two_tags(scene: Scene) -> None:
    await tag(scene)
    other = await made(scene.admin.api, "tags/", {"name": new_name()})
    scene.request["json"] = {"into_id": other["id"]}


async def category(scene: Scene, *, is_active: bool = True) -> None:
    values = {"name": new_name(), "is_active": is_active}
    scene.path["id_or_slug"] = (await made(scene.admin.api, CATEGORIES, values))["id"]


async def inactive_category(scene: Scene) -> None:
    await category(scene, is_active=False)


gathering = own("event_id", "events/", EVENT)


async def seat(scene: Scene) -> None:
    """A seat of somebody else at the owner's event."""
    await gathering(scene)
    await made(scene.someone.api, f"events/{scene.path['event_id']}/participants")
    scene.path["user_id"] = scene.someone.id


async def own_seat(scene: Scene) -> None:
    await gathering(scene)
    await scene.asker.post(f"{API}/events/{scene.path['event_id']}/participants")


async def notification(scene: Scene) -> None:
    await tell(scene.world, scene.owner, "Lamp")
    scene.path["notification_id"] = (await inbox_of(scene.owner))["notifications"][0]["id"]


webhook = own("webhook_id", "webhooks/", HOOK)


async def webhook_delivery(scene: Scene) -> None:
    await webhook(scene)
    sent = await made(scene.owner.api, f"webhooks/{scene.path['webhook_id']}/test")
    scene.path["delivery_id"] = sent["id"]


async def file(scene: Scene, kind: str = "images", status: str = "active") -> None:
    await item(scene, status)
    upload = f"upload/items/{scene.path['item_id']}/{kind}/"
    answer = await made(scene.owner.api, upload, files=[("files", PICTURE if kind == "images" else PAPER)])
    address = answer["uploaded_files"][0]["url"]
    scene.path["category"], scene.path["filename"] = address.removeprefix(f"{FILES}/").split("/")


async def file_of_a_draft(scene: Scene) -> None:
    await file(scene, status="draft")


async def document_file(scene: Scene) -> None:
    await file(scene, "documents")


async def dead_message(scene: Scene) -> None:
    now = scene.world.clock.now()
    row = {
        "type": "accounts.registered.v1",
        "subscription": "scenes",
        "channel": "email",
        "payload": {},
        "state": MessageState.DEAD,
        "attempts": 1,
        "created_at": now,
        "due_at": now,
        "settled_at": now,
        "expires_at": now + timedelta(days=1),
    }
    async with scene.world.database.transaction() as db:
        found = await db.scalar(insert(StoredMessage).values(**row).returning(StoredMessage.id))
    scene.path["message_id"] = found


async def without_second_factor(scene: Scene) -> None:
    """An asker who has none; of credentials that hold no more, nobody's."""
    me = await scene.asker.get(f"{API}/users/me")
    async with scene.world.database.transaction() as db:
        await db.execute(delete(SecondFactor).where(SecondFactor.user_id == me.json().get("id", 0)))


async def pending_second_factor(scene: Scene) -> None:
    await without_second_factor(scene)
    secret = (await made(scene.asker, "auth/totp"))["secret"]
    scene.request["json"] = {"code": pyotp.TOTP(secret).at(scene.world.clock.now())}


async def second_factor(scene: Scene) -> None:
    await pending_second_factor(scene)
    codes = await made(scene.asker, "auth/totp/confirm", scene.request["json"])
    scene.request["json"] = {"password": PASSWORD, "code": codes["recovery_codes"][0]}


async def lost_second_factor(scene: Scene) -> None:
    """That of somebody who has lost the phone."""
    loser = await scene.new_person("Loser")
    secret = (await made(loser.api, "auth/totp"))["secret"]
    code = pyotp.TOTP(secret).at(scene.world.clock.now())
    await made(loser.api, "auth/totp/confirm", {"code": code})
    scene.path["user_id"] = loser.id


PATHS: Final[dict[tuple[str, ...], Maker]] = {
    ("item_id",): item,
    ("user_id",): user,
    ("session_id",): session,
    ("user_id", "session_id"): session_of_a_person,
    ("user_id", "key_id"): key_of_a_person,
    ("tag_id",): tag,
    ("id_or_slug",): category,
    ("event_id",): gathering,
    ("event_id", "user_id"): seat,
    ("notification_id",): notification,
    ("webhook_id",): webhook,
    ("webhook_id", "delivery_id"): webhook_delivery,
    ("key_id",): own("key_id", "auth/api-keys", {"name": "Robot"}),
    ("category", "filename"): file,
    ("message_id",): dead_message,
}
CASES: Final[dict[str, Maker]] = {
    "merge_tag": two_tags,
    "leave_event": own_seat,
    "set_up_totp": without_second_factor,
    "confirm_totp": pending_second_factor,
    "remove_totp": second_factor,
    "revoke_sessions_of": somebody,
    "lift_totp": lost_second_factor,
    "read_item:of-a-draft": draft,
    "replace_item:of-a-draft": draft,
    "patch_item:of-a-draft": draft,
    "delete_item:of-a-draft": draft,
    "upload_item_images:of-a-draft": draft,
    "upload_item_documents:of-a-draft": draft,
    "read_file:of-a-draft": file_of_a_draft,
    "read_file:a-document": document_file,
    "delete_file:a-document": document_file,
    "read_category:inactive": inactive_category,
}

BODIES: Final[dict[str, Callable[[Scene], dict[str, Any]]]] = {
    "register": lambda _: {"json": {"email": new_email()}},
    "create_user": lambda _: {"json": {"email": new_email()}},
    # What is so already, is no word on an address.
    "update_user": lambda _: {"json": {"email_verified": False}},
    "login": lambda scene: {"data": {"username": scene.owner.email, "password": PASSWORD}},
    "change_my_password": lambda _: {"json": {"current_password": PASSWORD, "new_password": f"{PASSWORD}2"}},
    "delete_me": lambda _: {"json": {"password": PASSWORD}},
    "change_email": lambda _: {"json": {"new_email": new_email(), "password": PASSWORD}},
    # With a body that would count, and not the token that is shown.
    **dict.fromkeys(("refresh_token", "resend_verification"), lambda _: {"json": None}),
    "refresh_token:in-the-body": lambda scene: {"json": {"refresh_token": scene.owner.refresh_token}},
    "create_category": lambda _: {"json": {"name": new_name()}},
    "create_webhook:of-all": lambda _: {"json": {"scope": "all"}},
    "upload_avatar": lambda _: {"files": {"file": PICTURE}},
    "process_image": lambda _: {"files": {"file": PICTURE}},
    **dict.fromkeys(("create_tag", "update_tag", "patch_tag"), lambda _: {"json": {"name": new_name()}}),
    **dict.fromkeys(
        ("upload_item_images", "upload_item_images:of-a-draft"), lambda _: {"files": [("files", PICTURE)]}
    ),
    **dict.fromkeys(
        ("upload_item_documents", "upload_item_documents:of-a-draft"), lambda _: {"files": [("files", PAPER)]}
    ),
}


async def set_up(scene: Scene, name: str, path: str) -> None:
    """Make what the operation of this name and path is about."""
    places = tuple(part[1:].partition("}")[0] for part in path.split("/") if part.startswith("{"))
    maker = CASES.get(name) or PATHS.get(places)
    assert maker or not places, f"{name} is about {places}: say in PATHS how to make that"
    if maker:
        await maker(scene)
    if name in BODIES:
        scene.request |= BODIES[name](scene)
