import hashlib

import httpx

from tests.conftest import Person, World
from tests.uploading import AVATAR, FILES, code, kept, nothing_left, png, rows, show, usage
from tradepost.core.messaging.dispatcher import Dispatcher


async def test_an_avatar_is_stored_and_served(world: World, alice: Person, client: httpx.AsyncClient) -> None:
    data = png()
    shown = await show(alice, data)
    assert shown == {
        "filename": shown["filename"],
        "content_type": "image/png",
        "size": len(data),
        "url": f"{FILES}/avatars/{shown['filename']}",
    }
    assert (await alice.api.get("/api/v1/users/me")).json()["avatar_url"] == shown["url"]
    answer = await client.get(shown["url"])
    assert answer.status_code == 200
    assert answer.content == data
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["etag"] == f'"{hashlib.sha256(data).hexdigest()}"'
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-disposition"] == 'inline; filename="me.png"'
    assert "sandbox" in answer.headers["content-security-policy"]
    assert await rows(world) == [(shown["filename"], "stored")]
    assert kept(world) == [shown["filename"]]
    assert await usage(world, alice.id) == (1, len(data))


async def test_a_new_avatar_takes_the_place_of_the_old_one(world: World, alice: Person) -> None:
    first = await show(alice, png(shade=1))
    second = await show(alice, png(shade=2))
    assert (await alice.api.get(first["url"])).status_code == 404
    await world.resources[Dispatcher].drain()
    assert kept(world) == [second["filename"]]
    assert await rows(world) == [(second["filename"], "stored")]
    assert await usage(world, alice.id) == (1, second["size"])


async def test_a_deleted_avatar_is_shown_no_more(world: World, alice: Person) -> None:
    shown = await show(alice)
    assert (await alice.api.delete(shown["url"])).json() == {"message": "File deleted successfully"}
    assert code(await alice.api.get(shown["url"])) == (404, "FILE_NOT_FOUND")
    assert code(await alice.api.delete(shown["url"])) == (404, "FILE_NOT_FOUND")
    assert (await alice.api.get("/api/v1/users/me")).json()["avatar_url"] is None
    assert await nothing_left(world)
    assert await usage(world, alice.id) == (0, 0)


async def test_only_the_owner_and_staff_delete(alice: Person, bob: Person, moderator: Person) -> None:
    shown = await show(alice)
    assert code(await bob.api.delete(shown["url"])) == (403, "HTTP_403")
    assert (await moderator.api.delete(shown["url"])).status_code == 200


async def test_strangers_upload_nothing(world: World, client: httpx.AsyncClient) -> None:
    answer = await client.post(AVATAR, files={"file": ("me.png", png())})
    assert answer.status_code == 401
    assert await nothing_left(world)


async def test_a_deleted_person_takes_their_files_along(world: World, alice: Person, admin: Person) -> None:
    shown = await show(alice)
    assert (await admin.api.delete(f"/api/v1/users/{alice.id}")).status_code == 200
    assert await nothing_left(world)
    assert (await admin.api.get(shown["url"])).status_code == 404


async def test_categories_and_names_are_ours(client: httpx.AsyncClient, alice: Person) -> None:
    answer = await client.get(f"{FILES}/secrets/x.png")
    assert answer.status_code == 400
    assert answer.json()["detail"] == "Invalid category"
    shown = await show(alice)
    for path in ("avatars/nothing.png", f"items/{shown['filename']}", "avatars/..%2F..%2Fetc%2Fpasswd"):
        assert (await client.get(f"{FILES}/{path}")).status_code == 404, path
