"""The list of files, for staff."""

from typing import Any

from tests.conftest import Person
from tests.items.market import sell
from tests.uploading import pdf, png, send

FILES = "/api/v1/upload/files/"


async def test_staff_see_what_people_uploaded(alice: Person, bob: Person, moderator: Person) -> None:
    hers, his = [await sell(person) for person in (alice, bob)]
    (picture,) = (await send(alice, hers, png())).json()["uploaded_files"]
    (paper,) = (await send(alice, hers, pdf(), to="documents")).json()["uploaded_files"]
    (other,) = (await send(bob, his, png())).json()["uploaded_files"]
    listed = (await moderator.api.get(FILES)).json()
    assert [file["filename"] for file in listed["files"]] == [
        file["filename"] for file in (other, paper, picture)
    ]
    newest = listed["files"][0]
    assert newest | other == newest, "it says what the upload was answered with"
    assert (newest["owner_id"], newest["subject_id"], newest["category"]) == (bob.id, his["id"], "items")
    assert (await moderator.api.get(newest["url"])).status_code == 200
    cases: tuple[tuple[dict[str, Any], list[dict[str, Any]]], ...] = (
        ({"owner_id": alice.id}, [paper, picture]),
        ({"category": "items"}, [other, picture]),
        ({"owner_id": alice.id, "category": "documents"}, [paper]),
        ({"category": "avatars"}, []),
    )
    for query, found in cases:
        files = (await moderator.api.get(FILES, params=query)).json()["files"]
        assert [file["filename"] for file in files] == [file["filename"] for file in found]
    assert (await moderator.api.get(FILES, params={"category": "attic"})).status_code == 422


async def test_it_goes_on_by_cursor_and_forgets_what_was_deleted(alice: Person, moderator: Person) -> None:
    item = await sell(alice)
    sent = (await send(alice, item, png(), png(), png())).json()["uploaded_files"]
    page = (await moderator.api.get(FILES, params={"limit": 2})).json()
    assert page["total"] is None, "so many are counted only when somebody asks"
    await moderator.api.delete(page["files"][0]["url"])
    rest = (await moderator.api.get(FILES, params={"limit": 2, "cursor": page["next_cursor"]})).json()
    assert [file["filename"] for file in rest["files"]] == [sent[0]["filename"]]
    assert (await moderator.api.get(FILES, params={"total": "exact"})).json()["total"] == 2


async def test_nobody_else_sees_it(alice: Person) -> None:
    assert (await alice.api.get(FILES)).status_code == 403
