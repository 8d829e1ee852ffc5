import asyncio
import re

import httpx
import pytest

from tests.conftest import Person, World
from tests.items.market import change, path_of, read, sell
from tests.media.documents import compound, word, word_stream
from tests.uploading import (
    FILES,
    code,
    kept,
    nothing_left,
    pdf,
    png,
    rows,
    send,
    usage,
)
from tradepost.core.messaging.dispatcher import Dispatcher


async def test_an_item_shows_the_pictures_of_its_owner(
    world: World, alice: Person, client: httpx.AsyncClient
) -> None:
    item = await sell(alice)
    first = await send(alice, item, png(shade=1), png(shade=2))
    assert first.status_code == 200, first.text
    uploaded = first.json()["uploaded_files"]
    assert [sorted(file) for file in uploaded] == [
        ["content_type", "filename", "original_name", "size", "url"]
    ] * 2
    assert [file["original_name"] for file in uploaded] == ["file0", "file1"]
    assert uploaded[0]["url"] == f"{FILES}/items/{uploaded[0]['filename']}"
    third = (await send(alice, item, png(shade=3))).json()["uploaded_files"][0]
    shown = await read(client, item)
    assert shown["images"] == [*(file["url"] for file in uploaded), third["url"]]
    assert shown["version"] == 3
    assert shown["updated_at"] > item["updated_at"]
    answer = await client.get(third["url"])
    assert (answer.status_code, answer.content) == (200, png(shade=3))
    assert answer.headers["cache-control"].startswith("public, ")
    assert await usage(world, alice.id) == (3, sum(file["size"] for file in [*uploaded, third]))


async def test_documents_are_for_the_owner_and_staff(
    alice: Person, bob: Person, moderator: Person, client: httpx.AsyncClient
) -> None:
    item = await sell(alice)
    files = {"a": pdf(), "b": "Tür 🚪".encode(), "c": compound({"WordDocument": word_stream()}), "d": word()}
    answer = await send(alice, item, *files.values(), to="documents")
    uploaded = answer.json()["uploaded_files"]
    assert [file["content_type"] for file in uploaded] == [
        "application/pdf",
        "text/plain; charset=utf-8",
        "application/msword",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ]
    assert [file["filename"].rpartition(".")[2] for file in uploaded] == ["pdf", "txt", "doc", "docx"]
    assert (await read(alice.api, item))["images"] == []
    for file, content in zip(uploaded, files.values(), strict=True):
        for caller in (alice.api, moderator.api):
            found = await caller.get(file["url"])
            assert (found.status_code, found.content) == (200, content)
            assert found.headers["content-type"] == file["content_type"]
            assert found.headers["cache-control"].startswith("private, ")
            assert found.headers["content-disposition"].startswith("attachment; ")
        for caller in (bob.api, client):
            assert code(await caller.get(file["url"])) == (404, "FILE_NOT_FOUND")
        assert code(await bob.api.delete(file["url"])) == (404, "FILE_NOT_FOUND")


@pytest.mark.parametrize("status", ["draft", "inactive"])
async def test_pictures_of_hidden_items_are_hidden(
    status: str, alice: Person, bob: Person, moderator: Person, client: httpx.AsyncClient
) -> None:
    item = await sell(alice, status=status)
    (file,) = (await send(alice, item, png())).json()["uploaded_files"]
    for caller in (bob.api, client):
        assert code(await caller.get(file["url"])) == (404, "FILE_NOT_FOUND")
        assert (await caller.head(file["url"])).status_code == 404
    for caller in (alice.api, moderator.api):
        answer = await caller.get(file["url"])
        assert answer.status_code == 200
        assert answer.headers["cache-control"].startswith("private, ")
    await change(alice, item, status="active")
    assert (await client.get(file["url"])).status_code == 200


async def test_only_the_owner_and_staff_bring_files(
    world: World, alice: Person, bob: Person, moderator: Person, client: httpx.AsyncClient
) -> None:
    item = await sell(alice)
    assert code(await send(bob, item, png())) == (403, "HTTP_403")
    hidden = await sell(alice, status="draft")
    assert code(await send(bob, hidden, png())) == (404, "ITEM_NOT_FOUND")
    assert code(await send(bob, {"id": 999_999}, png())) == (404, "ITEM_NOT_FOUND")
    answer = await client.post("/api/v1/upload/items/1/images/", files=[("files", ("a", png()))])
    assert answer.status_code == 401
    assert await nothing_left(world)
    assert (await send(moderator, item, png())).status_code == 200
    assert await usage(world, alice.id) == (1, len(png())), "what staff bring is the owner's"
    assert await usage(world, moderator.id) == (0, 0)


async def test_from_one_to_five(world: World, alice: Person) -> None:
    item = await sell(alice)
    for to, content in (("images", png()), ("documents", pdf())):
        for count in (0, 6, 13, 14, 200):
            answer = await send(alice, item, *[content] * count, to=to)
            assert (answer.status_code, answer.json()["detail"]) == (400, "Maximum 5 files allowed"), count
        no_body = await alice.api.post(f"/api/v1/upload/items/{item['id']}/{to}/")
        assert (no_body.status_code, no_body.json()["detail"]) == (400, "Maximum 5 files allowed")
    assert await nothing_left(world)
    assert (await send(alice, item, *[png()] * 5)).status_code == 200
    assert len(kept(world)) == 5


async def test_all_or_nothing(world: World, alice: Person) -> None:
    item = await sell(alice)
    for bad in (b"no picture", b"", b"\x89PNG but no"):
        answer = await send(alice, item, png(), png(), bad)
        assert answer.status_code in {415, 422}, answer.text
        assert await nothing_left(world)
    assert (await read(alice.api, item))["images"] == []
    assert (await read(alice.api, item))["version"] == 1
    assert await usage(world, alice.id) == (0, 0)


async def test_a_deleted_picture_is_off_its_item(world: World, alice: Person, bob: Person) -> None:
    item = await sell(alice)
    one, two = (await send(alice, item, png(shade=1), png(shade=2))).json()["uploaded_files"]
    assert code(await bob.api.delete(one["url"])) == (403, "HTTP_403")
    assert (await alice.api.delete(one["url"])).status_code == 200
    assert (await read(alice.api, item))["images"] == [two["url"]]
    assert (await read(alice.api, item))["version"] == 3
    await world.resources[Dispatcher].drain()
    assert kept(world) == [two["filename"]]


async def test_a_deleted_item_takes_its_files_along(world: World, alice: Person) -> None:
    item, other = await sell(alice), await sell(alice)
    await send(alice, item, png(), png())
    await send(alice, item, pdf(), to="documents")
    (left,) = (await send(alice, other, png())).json()["uploaded_files"]
    assert (await alice.api.delete(path_of(item))).status_code == 200
    await world.resources[Dispatcher].drain()
    assert kept(world) == [left["filename"]]
    assert await rows(world) == [(left["filename"], "stored")]
    assert await usage(world, alice.id) == (1, left["size"])


async def test_two_who_add_pictures_at_once_both_do(world: World, alice: Person) -> None:
    item = await sell(alice)
    answers = await asyncio.gather(*(send(alice, item, png(shade=shade)) for shade in range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    shown = (await read(alice.api, item))["images"]
    assert sorted(shown) == sorted(answer.json()["uploaded_files"][0]["url"] for answer in answers)
    assert (await read(alice.api, item))["version"] == 9


async def test_an_item_that_is_deleted_meanwhile_gets_none(world: World, alice: Person) -> None:
    item = await sell(alice)
    answers = await asyncio.gather(
        *(send(alice, item, png(shade=shade)) for shade in range(4)), alice.api.delete(path_of(item))
    )
    assert {answer.status_code for answer in answers} <= {200, 404}
    assert await nothing_left(world)
    assert await usage(world, alice.id) == (0, 0)


async def test_names_are_ours(alice: Person) -> None:
    item = await sell(alice)
    odd = [
        "../../etc/passwd",
        "x.php",
        "a\x00b",
        "ü" * 400,
        "\ud800".encode("utf-8", "surrogatepass").decode("utf-8", "replace"),
        'a";b',
    ]
    for name in odd:
        answer = await alice.api.post(
            f"/api/v1/upload/items/{item['id']}/images/", files=[("files", (name, png(), "text/html"))]
        )
        assert answer.status_code == 200, (name, answer.text)
        file = answer.json()["uploaded_files"][0]
        assert re.fullmatch(r"[A-Za-z0-9_-]{24}\.png", file["filename"])
        assert file["content_type"] == "image/png"
        assert len(file["original_name"]) <= 255
        assert "\x00" not in file["original_name"]
        served = await alice.api.get(file["url"])
        assert served.status_code == 200
        shown = served.headers["content-disposition"]
        assert "/" not in shown.replace("UTF-8''", "")
        assert shown.endswith((".png", '.png"'))
