"""Taking one's data along: everything that is kept about a person, and nothing else."""

import asyncio
import hashlib
import io
import json
import zipfile
from contextlib import aclosing
from typing import Any, Final

import httpx
import pytest
from sqlalchemy import Table

from tests.accounts.test_leaving import live_a_life
from tests.conftest import NewPerson, Person, Template, World, world_on
from tests.uploading import png
from tradepost.accounts.exporting import DataExport
from tradepost.bootstrap import METADATA
from tradepost.personal import EXPORTED, NOT_EXPORTED

EXPORT: Final = "/api/v1/users/me/export"
OF_PEOPLE: Final = {"user_id", "owner_id", "organiser_id", "actor_id", "subject_id"}


async def export_of(person: Person) -> tuple[httpx.Response, dict[str, Any], dict[str, bytes]]:
    """Return the answer, the lists, and the files."""
    answer = await person.api.get(EXPORT)
    assert answer.status_code == 200, answer.text
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    contents = {name: archive.read(name) for name in archive.namelist()}
    assert contents.pop("README.txt").decode().startswith("What Tradepost keeps about you")
    lists = {
        name.removesuffix(".json"): json.loads(content)
        for name, content in contents.items()
        if name.endswith(".json") and "/" not in name
    }
    return answer, lists, {name: content for name, content in contents.items() if name.startswith("files/")}


def leads_to_people(table: Table, seen: frozenset[str] = frozenset()) -> bool:
    """Tell whether rows of a table are about people: they name one, or hang on what does."""
    if table.name in seen:
        return False
    if OF_PEOPLE & set(table.columns.keys()) or table.name == "users":
        return True
    return any(
        leads_to_people(key.column.table, seen | {table.name})
        for key in table.foreign_keys
        if key.ondelete == "CASCADE"
    )


def test_every_table_about_people_is_exported_or_left_out_for_a_reason() -> None:
    exported = {table.table.name for table in EXPORTED.all}
    about_people = {name for name, table in METADATA.tables.items() if leads_to_people(table)}
    assert about_people - exported - NOT_EXPORTED.keys() == set(), (
        "say in src/tradepost/personal.py what people are given of it, or why nothing"
    )
    assert exported | NOT_EXPORTED.keys() <= METADATA.tables.keys()
    assert not exported & NOT_EXPORTED.keys()


async def test_it_holds_what_the_api_shows(world: World, new_person: NewPerson, bob: Person) -> None:
    person = await new_person("Zoe")
    await live_a_life(world, person, bob)
    answer, lists, files = await export_of(person)
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["cache-control"] == "no-store"
    assert 'filename="my-data.zip"' in answer.headers["content-disposition"]
    assert lists.keys() == {table.name for table in EXPORTED.all}
    assert all(lists.values()), "the walk leaves a row in each"

    async def shown(path: str, of: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await person.api.get(f"/api/v1/{path}")).json()[of]
        return found

    me = (await person.api.get("/api/v1/users/me")).json()
    (profile,) = lists["profile"]
    for name in ("id", "email", "first_name", "last_name", "role", "website", "avatar_url"):
        assert profile[name] == me[name], name
    for name, rows in (
        ("sessions", await shown("auth/sessions", "sessions")),
        ("api_keys", await shown("auth/api-keys", "api_keys")),
        ("webhooks", await shown("webhooks/", "webhooks")),
        ("items", (await person.api.get("/api/v1/items/user/me")).json()),
        ("audit", await shown("audit/me", "lines")),
    ):
        assert sorted(row["id"] for row in lists[name]) == sorted(row["id"] for row in rows), name
    for row in (await person.api.get("/api/v1/items/user/me")).json():
        (exported,) = [one for one in lists["items"] if one["id"] == row["id"]]
        for name in ("title", "description", "price", "status", "images", "owner_id"):
            assert exported[name] == row[name], name
    inbox = await shown("notifications/", "notifications")
    assert sorted(row["title"] for row in lists["notifications"]) == sorted(row["title"] for row in inbox)
    assert {row["event_id"] for row in lists["seats"]}.isdisjoint(row["id"] for row in lists["events"])
    assert len(files) == 2
    for row in lists["files"]:
        path = f"/api/v1/upload/files/{row['category']}/{row['name']}"
        assert files[f"files/{row['category']}/{row['name']}"] == (await person.api.get(path)).content


async def test_nothing_of_others_and_no_secret(
    world: World, new_person: NewPerson, bob: Person, admin: Person
) -> None:
    person = await new_person("Zoe")
    await live_a_life(world, bob, person)
    assert (await admin.api.put(f"/api/v1/users/{person.id}", json={"first_name": "Anna"})).status_code == 200
    _, lists, files = await export_of(person)
    written = json.dumps(lists)
    assert "Zyxwvut" not in written
    assert bob.email not in written
    assert files == {}
    (line,) = [row for row in lists["audit"] if row["action"] == "user.updated"]
    assert (line["actor_id"], line["ip"], line["user_agent"]) == (admin.id, None, None)
    _, lists, _ = await export_of(bob)
    hidden = ("hash", "argon2", "nonce", "sealed")
    assert not [word for word in hidden if word in json.dumps(lists).lower()]
    assert lists["second_factor"][0].keys() == {"user_id", "created_at", "confirmed_at"}


async def test_an_account_with_nothing(alice: Person) -> None:
    _, lists, files = await export_of(alice)
    assert lists["items"] == []
    assert len(lists["profile"]) == len(lists["sessions"]) == 1
    assert files == {}


async def test_a_file_that_is_gone_is_passed_over(world: World, alice: Person) -> None:
    await alice.api.post("/api/v1/upload/avatar/", files={"file": ("me.png", png())})
    for path in world.resources.settings.UPLOAD_DIR.glob("*/*"):
        path.unlink()
    _, lists, files = await export_of(alice)
    assert (len(lists["files"]), files) == (1, {})


async def test_two_at_once_and_no_more(world: World, alice: Person) -> None:
    exports = world.resources[DataExport]
    begun, over = asyncio.Semaphore(0), asyncio.Event()

    async def slowly() -> None:
        async with aclosing(exports.chunks(alice.id)) as parts:
            await anext(parts)
            begun.release()
            await over.wait()

    running = [asyncio.create_task(slowly()) for _ in range(2)]
    for _ in running:
        await begun.acquire()
    answer = await alice.api.get(EXPORT)
    assert (answer.status_code, answer.json()["error_code"]) == (503, "EXPORTS_BUSY")
    assert answer.headers["retry-after"] == "10"
    over.set()
    await asyncio.gather(*running)
    assert exports.running == 0
    assert (await alice.api.get(EXPORT)).status_code == 200


async def test_many_rows_come_in_parts(world: World, alice: Person) -> None:
    def line(number: int) -> str:
        # What compresses badly, or a part would hold many groups.
        text = "".join(hashlib.sha256(f"{number}.{part}".encode()).hexdigest() for part in range(14))
        return json.dumps({"title": f"Lamp {number}", "description": text, "price": 1}) + "\n"

    lines = "".join(map(line, range(2000)))
    answer = await alice.api.post(
        "/api/v1/items/bulk", content=lines, headers={"content-type": "application/x-ndjson"}
    )
    assert answer.status_code == 200
    exports = world.resources[DataExport]
    sizes = [len(part) async for part in exports.chunks(alice.id)]
    assert len(sizes) > 10, "a part for every two hundred rows"
    assert max(sizes) < 200_000
    _, lists, _ = await export_of(alice)
    assert len(lists["items"]) == 2000


async def test_it_is_limited(template: Template, tmp_path: Any) -> None:
    url = await template.copy()
    values = {"RATE_LIMIT_ENABLED": True, "RATE_LIMIT_PASSWORD": "2/3600s"}
    async with world_on(url, tmp_path, **values) as world, world.caller() as client:
        form = {"username": "admin@example.com", "password": "changethis"}
        token = (await client.post("/api/v1/auth/login", data=form)).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        statuses = [(await client.get(EXPORT, headers=headers)).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


@pytest.mark.parametrize("method", ["HEAD", "POST"])
async def test_other_methods(alice: Person, method: str) -> None:
    answer = await alice.api.request(method, EXPORT)
    assert answer.status_code == (200 if method == "HEAD" else 405)
