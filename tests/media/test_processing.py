"""Pictures made to measure, over HTTP."""

from typing import Any

import httpx
import pytest

from tests.conftest import Person, World
from tests.media import gallery
from tests.uploading import code, kept, nothing_left, rows, usage

PROCESS = "/api/v1/upload/process-image/"


async def process(person: Person, data: bytes, **fields: Any) -> httpx.Response:
    return await person.api.post(
        PROCESS, files={"file": ("me.png", data)}, data={name: str(value) for name, value in fields.items()}
    )


async def test_a_picture_is_made_to_measure_and_served(
    world: World, alice: Person, client: httpx.AsyncClient
) -> None:
    data = gallery.file_of(gallery.drawing(640, 480), "PNG", exif=gallery.exif())
    answer = await process(alice, data, resize_width=320, quality=70)
    assert answer.status_code == 200, answer.text
    made = answer.json()
    assert made == {
        "filename": made["filename"],
        "url": f"/api/v1/upload/files/processed/{made['filename']}",
        "original_size": "640x480",
        "new_size": "320x240",
        "quality": 70,
    }
    served = await client.get(made["url"])
    assert served.headers["content-type"] == "image/jpeg"
    seen = gallery.opened(served.content)
    assert (seen.format, seen.size, gallery.corners(seen)) == ("JPEG", (320, 240), "rgbw")
    assert gallery.SECRET not in served.content
    assert kept(world) == [made["filename"]]
    assert await usage(world, alice.id) == (1, len(served.content))
    assert (await alice.api.delete(made["url"])).status_code == 200
    assert await nothing_left(world)


async def test_fields_count_wherever_they_stand(alice: Person) -> None:
    data = gallery.file_of(gallery.drawing(), "GIF")
    before = await alice.api.post(
        PROCESS, files=[("resize_height", (None, "24")), ("file", ("a", data)), ("quality", (None, ""))]
    )
    behind = await alice.api.post(
        PROCESS,
        files=[("file", ("a", data)), ("resize_width", (None, " 032 ")), ("resize_height", (None, ""))],
    )
    for answer in (before, behind):
        assert answer.status_code == 200, answer.text
        assert answer.json() | {"filename": "", "url": ""} == {
            "filename": "", "url": "", "original_size": "64x48", "new_size": "32x24", "quality": 85,
        }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("resize_width", "0"),
        ("resize_width", "4097"),
        ("resize_height", "-1"),
        ("resize_height", "1.5"),
        ("resize_height", "٣"),
        ("quality", "96"),
        ("quality", "0"),
        ("quality", "9" * 4000),
        ("quality", "nan"),
        ("quality", "5\x00"),
        ("rotate", "90"),
        ("file", "no file"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("first", [True, False])
async def test_what_is_asked_wrongly_is_told_and_leaves_nothing(
    world: World,
    alice: Person,
    field: str,
    value: str,
    first: bool,  # noqa: FBT001
) -> None:
    picture = ("file", ("a.gif", gallery.file_of(gallery.drawing(), "GIF")))
    asked = (field, (None, value))
    files: Any = [asked, picture] if first else [picture, asked]
    answer = await alice.api.post(PROCESS, files=files)
    assert code(answer) == (422, "VALIDATION_ERROR"), answer.text
    assert answer.json()["errors"][0]["location"] == ["body", field]
    assert await nothing_left(world)
    assert await usage(world, alice.id) == (0, 0)


async def test_a_ratio_that_leads_too_far_is_refused(world: World, alice: Person) -> None:
    answer = await process(alice, gallery.file_of(gallery.drawing(4, 4000), "PNG"), resize_width=4096)
    assert code(answer) == (422, "VALIDATION_ERROR")
    assert "4096x4096000" in answer.text
    assert await nothing_left(world)


async def test_one_file_and_no_more(world: World, alice: Person) -> None:
    picture = ("file", ("a.gif", gallery.file_of(gallery.drawing(), "GIF")))
    assert code(await alice.api.post(PROCESS, files=[picture, picture])) == (422, "VALIDATION_ERROR")
    assert code(await alice.api.post(PROCESS, files=[("quality", (None, "5"))])) == (422, "VALIDATION_ERROR")
    assert code(await process(alice, b"%PDF-1.7"))[0] == 415
    assert code(await process(alice, gallery.good()["rgb.png"][:90])) == (422, "VALIDATION_ERROR")
    assert await rows(world) == []
    assert await nothing_left(world)


async def test_strangers_have_nothing_made(client: httpx.AsyncClient) -> None:
    assert (await client.post(PROCESS, files={"file": ("a", b"x")})).status_code == 401


@pytest.mark.parametrize("name", gallery.burdened())
async def test_what_is_served_has_nothing_but_the_picture(
    alice: Person, client: httpx.AsyncClient, name: str
) -> None:
    answer = await alice.api.post(
        "/api/v1/upload/avatar/", files={"file": ("me", gallery.burdened()[name] + gallery.SECRET)}
    )
    assert answer.status_code == 200, answer.text
    served = await client.get(answer.json()["url"])
    assert gallery.SECRET not in served.content
    assert len(served.content) == answer.json()["size"]
    assert served.headers["content-type"] == f"image/{name.lower()}"


async def test_a_broken_picture_names_its_field(world: World, alice: Person) -> None:
    answer = await alice.api.post(
        "/api/v1/upload/avatar/", files={"file": ("me", gallery.good()["rgb.png"][:90])}
    )
    assert code(answer) == (422, "VALIDATION_ERROR")
    assert answer.json()["errors"][0]["location"] == ["body", "file"]
    item = (await alice.api.post("/api/v1/items/", json={"title": "Lamp", "price": 5})).json()
    answer = await alice.api.post(
        f"/api/v1/upload/items/{item['id']}/images/", files={"files": ("me", gallery.good()["rgb.png"][:90])}
    )
    assert answer.json()["errors"][0]["location"] == ["body", "files"]
    assert await nothing_left(world)
