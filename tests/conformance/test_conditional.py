"""Every operation on a single resource takes conditions: one table for all of them, and what stands in it for each.

A resource that is added gets a line in ``RESOURCES``; what is no resource with a version is named in ``WITHOUT``.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio
from sqlalchemy import Table, select, text

from tests.conformance.test_document import document
from tests.conftest import PASSWORD, Person, World
from tests.events.gatherings import body
from tests.items.market import new_category, sell
from tests.uploading import AVATAR, png
from tradepost.bootstrap import METADATA
from tradepost.items.view_counter import ViewCounter

API: Final = "/api/v1"


@dataclass
class Cast:
    """Who is there, and where."""

    world: World
    alice: Person
    admin: Person


@dataclass(frozen=True)
class Resource:
    """What is posted where to make one, who may change it, and two changes of different fields, if it can be changed."""

    collection: str
    body: dict[str, Any] | Callable[[World], dict[str, Any]] = field(default_factory=dict)
    first: dict[str, Any] = field(default_factory=dict)
    second: dict[str, Any] = field(default_factory=dict)
    owner: str = "admin"
    ending: dict[str, Any] | None = None
    """The body that its end takes."""
    is_there: bool = False
    """Its path is ``collection``, and nothing has to be posted."""
    shows_version: bool = False

    def of(self, there: Cast) -> httpx.AsyncClient:
        """Return a client of the person who may change it."""
        person: Person = getattr(there, self.owner)
        return person.api

    async def post(self, there: Cast) -> httpx.Response:
        """Make one, and return what was answered."""
        body = self.body(there.world) if callable(self.body) else self.body
        answer = await self.of(there).post(f"{API}/{self.collection}", json=body)
        assert answer.status_code == 201, answer.text
        return answer

    async def make(self, there: Cast) -> str:
        """Make one, and return its path."""
        if self.is_there:
            return f"{API}/{self.collection}"
        return f"{API}/{self.collection.rstrip('/')}/{(await self.post(there)).json()['id']}"


PERSON: Final = {
    "email": "new@example.com",
    "password": "Tradepost1",
    "first_name": "New",
    "last_name": "Tester",
}
NAMES: Final = ({"first_name": "Ada"}, {"last_name": "Lovelace"})
HOOK: Final = {"url": "https://example.com/hooks", "event_types": ["items.created"]}
RESOURCES: Final = {
    "items/{item_id}": Resource(
        "items/",
        {"title": "Lamp", "price": 10},
        {"title": "New"},
        {"price": 12},
        owner="alice",
        shows_version=True,
    ),
    "events/{event_id}": Resource(
        "events/", body, {"title": "New title"}, {"max_participants": 9}, owner="alice", shows_version=True
    ),
    "users/{user_id}": Resource("users/", PERSON, *NAMES),
    "users/me": Resource("users/me", {}, *NAMES, owner="alice", ending={"password": PASSWORD}, is_there=True),
    "tags/{tag_id}": Resource("tags/", {"name": "brass"}, {"name": "copper"}, {"description": "Shines"}),
    "categories/{id_or_slug}": Resource(
        "categories/", {"name": "Lamps"}, {"name": "Lights"}, {"description": "They shine"}
    ),
    "auth/api-keys/{key_id}": Resource("auth/api-keys", {"name": "Nightly import"}),
    "webhooks/{webhook_id}": Resource("webhooks/", HOOK, {"event_types": ["*"]}, {"description": "New"}),
}
TAG: Final = RESOURCES["tags/{tag_id}"]
COPPER: Final = replace(TAG, body={"name": "copper"})
WEBHOOK: Final = RESOURCES["webhooks/{webhook_id}"]
WITHOUT: Final = {
    "items/user/me": "a list",
    "audit/me": "a list",
    "users/me/password": "is shown nowhere",
    "auth/totp": "is shown nowhere",
    "users/{user_id}/totp": "is shown nowhere",
    "users/{user_id}/sessions": "a list",
    "users/{user_id}/sessions/{session_id}": "can be ended, and not read alone",
    "users/{user_id}/api-keys/{key_id}": "somebody else's, which a list shows",
    "auth/sessions/{session_id}": "can be ended, and not read alone",
    "events/{event_id}/participants": "one's own seat, which a list shows",
    "events/{event_id}/participants/{user_id}": "somebody's seat, which a list shows",
    "notifications/preferences": "a row for each kind",
    "notifications/{notification_id}": "can be removed, and not read alone",
    "webhooks/{webhook_id}/deliveries/{delivery_id}": "a line of a log",
    "upload/files/{category}/{filename}": "bytes that never change, with conditions of their own",
    "admin/webhooks/{webhook_id}": "somebody else's, whom only its owner changes",
    "admin/webhooks/{webhook_id}/deliveries/{delivery_id}": "a line of a log",
    "upload/usage/{user_id}": "numbers that nobody sets",
    "admin/messages/{message_id}": "a message on its way",
}
"""Paths that end like those of a resource, and why they take no condition."""


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield path, method and operation of whatever reads, changes or deletes one thing."""
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            is_single = path.endswith(("}", "/me"))
            if (method == "get" and is_single) or method in {"put", "patch", "delete"}:
                yield path.removeprefix(f"{API}/"), method, operation


def test_every_single_resource_is_in_the_table() -> None:
    paths = {path for path, _, _ in operations()}
    assert paths == RESOURCES.keys() | WITHOUT.keys(), (
        "a new resource gets a line in RESOURCES (or in WITHOUT)"
    )


def test_every_operation_on_a_resource_documents_its_condition() -> None:
    for path, method, operation in operations():
        if path not in RESOURCES:
            continue
        where = f"{method} {path}: declare `known: IfNoneMatch` or `expected: IfMatch` (web/conditions.py)"
        name, status = ("If-None-Match", "304") if method == "get" else ("If-Match", "412")
        headers = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "header"]
        assert headers == [name, "Request-Timeout"], where
        assert {"400", status} <= operation["responses"].keys(), where
        assert "ETag" in operation["responses"][status]["headers"], where
        if method != "delete":
            assert "ETag" in operation["responses"]["200"]["headers"], where


@pytest_asyncio.fixture
async def there(world: World, alice: Person, admin: Person) -> AsyncIterator[Cast]:
    # No view is written meanwhile, which would change an item's tag.
    async with world.resources[ViewCounter]._flushing:
        yield Cast(world, alice, admin)


@pytest.fixture(params=RESOURCES)
def resource(request: pytest.FixtureRequest) -> Resource:
    found: Resource = RESOURCES[request.param]
    return found


def version_in(answer: httpx.Response) -> int:
    return int(answer.headers["etag"].strip('"').partition("-")[0])


async def test_a_reader_who_has_it_is_sent_nothing(there: Cast, resource: Resource) -> None:
    api, path = resource.of(there), await resource.make(there)
    seen = await api.get(path)
    tag = seen.headers["etag"]
    assert (await api.head(path)).headers["etag"] == tag
    assert ("version" in seen.json()) == resource.shows_version
    if resource.shows_version:
        assert seen.json()["version"] == version_in(seen)
    for known in (tag, f"W/{tag}", f'"0-x", {tag}', f'{tag[:-1]};br"', "*"):
        for method in ("GET", "HEAD"):
            answer = await api.request(method, path, headers={"If-None-Match": known})
            assert (answer.status_code, answer.content) == (304, b""), known
            assert answer.headers["cache-control"] == "private, no-store"
            assert answer.headers["etag"] in {tag, f'{tag[:-1]};br"'}
    other = await api.get(path, headers={"If-None-Match": '"0-x"'})
    assert (other.status_code, other.headers["etag"]) == (200, tag)
    refused = await api.get(path, headers={"If-None-Match": "0-x"})
    assert (refused.status_code, refused.json()["error_code"]) == (400, "HTTP_400")


def methods_of(resource: Resource, *wanted: str) -> list[str]:
    """Return which of these methods the resource has."""
    return [
        method for path, method, _ in operations() if RESOURCES.get(path) is resource and method in wanted
    ]


async def test_a_writer_changes_only_the_version_that_it_saw(there: Cast, resource: Resource) -> None:
    api, path = resource.of(there), await resource.make(there)
    writing, methods = methods_of(resource, "put", "patch"), methods_of(resource, "put", "patch", "delete")
    seen = await api.get(path)
    for method, changes in zip(writing * 2, (resource.first, resource.second), strict=False):
        old = seen
        seen = await api.request(method, path, json=changes, headers={"If-Match": old.headers["etag"]})
        assert (seen.status_code, version_in(seen)) == (200, version_in(old) + 1), seen.text
        assert (await api.get(path)).headers["etag"] == seen.headers["etag"], "as a read has it"
        assert {name: seen.json()[name] for name in changes} == changes
        assert await refusals(api, path, methods, old.headers["etag"], resource.ending) == {
            (412, seen.headers["etag"])
        }
    tag = seen.headers["etag"]
    for other in (f"W/{tag}", '"of-something-else"', '"99-x"'):
        assert await refusals(api, path, methods, other, resource.ending) == {(412, tag)}
    for malformed in ("1", "1-x", '"1-x', "", '*, "1-x"'):
        assert await refusals(api, path, methods, malformed, resource.ending) == {(400, None)}
    assert (await api.get(path)).headers["etag"] == tag, "nothing of all that was done"
    for method in writing:
        again = await api.request(method, path, json=resource.second, headers={"If-Match": "*"})
        assert (again.status_code, again.headers["etag"]) == (200, tag), "what changes nothing counts not"
    if "delete" in methods:
        lines = [("If-Match", '"99-x"'), ("If-Match", f'{tag[:-1]};gzip"')]
        ended = await api.request("DELETE", path, json=resource.ending, headers=lines)
        again = await api.request("DELETE", path, json=resource.ending, headers={"If-Match": "*"})
        assert (ended.status_code, again.status_code) == (200, 401 if resource.is_there else 404)


async def refusals(
    api: httpx.AsyncClient, path: str, methods: list[str], tag: str, ending: dict[str, Any] | None = None
) -> set[tuple[int, str | None]]:
    """Send a writer of each method that is to be refused; return status and entity tag of the answers."""
    answers = [
        await api.request(method, path, json=ending if method == "delete" else {}, headers={"If-Match": tag})
        for method in methods
    ]
    codes = {400: "HTTP_400", 412: "PRECONDITION_FAILED"}
    for answer in answers:
        assert answer.json()["error_code"] == codes[answer.status_code]
        assert answer.status_code == 412 or answer.json()["detail"].startswith("If-Match ")
    return {(answer.status_code, answer.headers.get("etag")) for answer in answers}


@pytest.mark.parametrize("method", ["put", "patch"])
async def test_changes_of_different_fields_both_survive(there: Cast, resource: Resource, method: str) -> None:
    if method not in methods_of(resource, method):
        return
    api, path = resource.of(there), await resource.make(there)
    for changes in (resource.first, resource.second):
        assert (await api.request(method, path, json=changes)).status_code == 200
    left, sent = (await api.get(path)).json(), resource.first | resource.second
    assert {name: left[name] for name in sent} == sent


async def test_what_is_made_is_answered_with_the_tag_of_a_read(there: Cast, resource: Resource) -> None:
    if resource.is_there:
        return
    made = await resource.post(there)
    documented = document()["paths"][f"{API}/{resource.collection}"]["post"]["responses"]["201"]
    assert "ETag" in documented["headers"]
    assert version_in(made) == 1
    path = f"{API}/{resource.collection.rstrip('/')}/{made.json()['id']}"
    assert (await resource.of(there).get(path)).headers["etag"] == made.headers["etag"]


async def test_every_way_to_change_a_person_counts(there: Cast) -> None:
    path, alice = f"{API}/users/{there.alice.id}", there.alice.api

    async def avatar() -> httpx.Response:
        return await alice.post(AVATAR, files={"file": ("me.png", png())})

    async def no_avatar() -> httpx.Response:
        url = (await there.admin.api.get(path)).json()["avatar_url"]
        return await alice.delete(url)

    async def role() -> httpx.Response:
        return await there.admin.api.put(path, json={"role": "moderator"})

    async def password() -> httpx.Response:
        body = {"current_password": there.alice.password, "new_password": "Tradepost2"}
        return await alice.put(f"{API}/users/me/password", json=body)

    for version, act in enumerate((avatar, no_avatar, role, password), 2):
        answer = await act()
        assert answer.status_code == 200, (act.__name__, answer.text)
        assert version_in(await there.admin.api.get(path)) == version, act.__name__


async def test_what_is_done_to_others_counts_for_what_it_changes(there: Cast) -> None:
    admin = there.admin.api
    brass, copper = await TAG.make(there), await COPPER.make(there)
    old, new = await new_category(there.admin, "Old"), await new_category(there.admin, "New")
    below = await new_category(there.admin, "Below", parent_id=old["id"])
    item = await sell(there.alice, tags=["brass"], category_id=old["id"])
    path = f"{API}/items/{item['id']}"
    child, parent = f"{API}/categories/{below['id']}", f"{API}/categories/{old['id']}"
    tags = [await admin.get(one) for one in (path, child, parent, copper)]
    assert (await admin.patch(child, json={"name": "Deep"})).status_code == 200
    assert (await admin.get(parent)).headers["etag"] != tags[2].headers["etag"], "it shows what is below it"
    assert version_in(await admin.get(parent)) == 1
    gone = await admin.delete(parent, params={"move_to": new["id"]})
    assert gone.status_code == 200
    assert [version_in(await admin.get(one)) for one in (path, child)] == [2, 3]
    assert (await admin.patch(brass, json={"name": "bronze"})).status_code == 200
    assert version_in(await admin.get(path)) == 3
    merged = await admin.post(f"{brass}/merge", json={"into_id": int(copper.rpartition("/")[2])})
    assert (merged.status_code, version_in(merged), version_in(await admin.get(path))) == (200, 1, 4)
    assert merged.headers["etag"] == (await admin.get(copper)).headers["etag"] != tags[3].headers["etag"]


async def test_a_new_secret_counts_and_is_answered_with_the_tag_of_a_read(there: Cast) -> None:
    admin, path = there.admin.api, await WEBHOOK.make(there)
    rotated = await admin.post(f"{path}/rotate-secret")
    assert (rotated.status_code, version_in(rotated)) == (200, 2)
    assert (await admin.get(path)).headers["etag"] == rotated.headers["etag"]


async def test_what_one_sees_of_an_event_is_in_its_tag(there: Cast) -> None:
    path = await RESOURCES["events/{event_id}"].make(there)
    callers = (there.world.caller(), there.alice.api, there.admin.api)
    before = [(await api.get(path)).headers["etag"] for api in callers]
    assert len(set(before)) == 1
    assert (await there.admin.api.post(f"{path}/participants")).status_code == 201
    after = [await api.get(path) for api in callers]
    assert [version_in(one) for one in after] == [1, 1, 1], "joining is no change of the event"
    tags = [one.headers["etag"] for one in after]
    assert (tags[0], len({*before, *tags})) == (tags[1], 3)
    changed = await there.alice.api.patch(path, json={"title": "New"}, headers={"If-Match": before[0]})
    assert changed.status_code == 200


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("users", "first_name", "'Ada'"),
        ("tags", "description", "'Shines'"),
        ("categories", "is_active", "false"),
        ("webhooks", "description", "NULL"),
    ],
)
async def test_a_writer_that_knows_no_versions_counts_too(
    there: Cast, table: str, column: str, value: str
) -> None:
    for made in (TAG, RESOURCES["categories/{id_or_slug}"], WEBHOOK):
        await made.make(there)
    rows: Table = METADATA.tables[table]
    change = text(f"UPDATE {table} SET {column} = {value}")  # noqa: S608 - of the lines above
    async with there.world.database.transaction() as db:
        await db.execute(text("UPDATE webhooks SET description = 'x', version = 1"))
        await db.execute(rows.update().values(version=1))
        for _ in range(2):
            await db.execute(change)
            assert set(await db.scalars(select(rows.c.version))) == {2}, "the second time it changes nothing"
