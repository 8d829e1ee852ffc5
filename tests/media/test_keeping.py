"""What a crash leaves is found, what is removed goes for good, and nobody keeps more than they may."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta

import pytest
import pytest_asyncio
from sqlalchemy import update

from tests.conftest import Person, World, world_on
from tests.items.market import sell
from tests.uploading import (
    USAGE,
    code,
    kept,
    nothing_left,
    pdf,
    png,
    rows,
    send,
    show,
    storage_of,
    usage,
)
from tradepost.core.errors import Unavailable
from tradepost.core.messaging.dispatcher import Dispatcher
from tradepost.core.storage.store import StorageUnavailable
from tradepost.media.cleanup import FORGOTTEN, STALE, FileCleanup
from tradepost.media.file_types import DOCUMENTS, PICTURES
from tradepost.media.intake import FileIntake
from tradepost.media.models import StoredFile
from tradepost.media.places import FilePlaces, raw_key
from tradepost.media.schemas import Category, FileState

QUOTA_BYTES = 20_000
QUOTA_FILES = 8


@pytest_asyncio.fixture(scope="module")
async def module_world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """An application in which a person keeps little."""
    directory = tmp_path_factory.mktemp("data")
    async with world_on(
        database_url, directory, UPLOAD_QUOTA_BYTES=QUOTA_BYTES, UPLOAD_QUOTA_FILES=QUOTA_FILES
    ) as world:
        yield world


async def age(world: World, by: timedelta) -> None:
    """Have every file have come into its state so much earlier."""
    async with world.database.transaction() as db:
        await db.execute(update(StoredFile).values(changed_at=world.resources.clock.now() - by))


class CrashError(BaseException):
    """The process is gone: nothing that comes after happens."""


class Part:
    """A file whose client, or whose server, goes in the middle."""

    name = "file"
    file_name = "x.png"

    def __init__(self, *blocks: bytes) -> None:
        self._blocks = blocks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for block in self._blocks:
            yield block


# --- crashes ----------------------------------------------------------------------------------------------------------


async def crashed(world: World, owner: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave behind what a process does that is killed between the last byte and the second transaction."""
    intake = world.resources[FileIntake]

    async def nothing(_files: object) -> None:
        """Not get to it."""

    monkeypatch.setattr(world.resources[FilePlaces], "remove", nothing)
    with suppress(CrashError):
        async with intake.open(Category.AVATARS, owner_id=owner.id) as incoming:
            await incoming.take_picture(Part(png()), PICTURES)
            raise CrashError


async def test_what_a_crash_leaves_is_swept(
    world: World, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    await crashed(world, alice, monkeypatch)
    ((name, state),) = await rows(world)
    assert state == "pending"
    assert kept(world) == [name]
    assert (await alice.api.get(f"/api/v1/upload/files/avatars/{name}")).status_code == 404
    assert await usage(world, alice.id) == (1, 0)
    cleanup = world.resources[FileCleanup]
    await cleanup.sweep()
    assert await rows(world) == [(name, "pending")], "it may still be under way"
    await age(world, STALE + timedelta(minutes=1))
    await cleanup.sweep()
    assert await nothing_left(world)
    assert await usage(world, alice.id) == (0, 0)


async def test_the_sweep_takes_an_upload_that_is_still_under_way_as_a_whole(
    world: World, alice: Person
) -> None:
    """One that lasts longer than any should: it fails, and nothing of it is kept."""
    intake = world.resources[FileIntake]
    async with intake.open(Category.AVATARS, owner_id=alice.id) as incoming:
        await incoming.take_picture(Part(png()), PICTURES)
        await age(world, STALE + timedelta(minutes=1))
        await world.resources[FileCleanup].sweep()
        with pytest.raises(Unavailable):
            async with world.database.transaction() as db:
                await incoming.keep(db)
    assert await nothing_left(world)
    assert await usage(world, alice.id) == (0, 0)


@pytest.mark.parametrize("is_picture", [False, True])
async def test_bytes_that_come_after_the_sweep_has_removed_them_go_too(
    world: World, alice: Person, *, is_picture: bool
) -> None:
    class Slow(Part):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for block in super().__aiter__():
                yield block
            await age(world, STALE + timedelta(minutes=1))
            await world.resources[FileCleanup].sweep()
            await world.resources[Dispatcher].drain()
            assert await rows(world) == []

    intake = world.resources[FileIntake]
    category = Category.ITEMS if is_picture else Category.DOCUMENTS
    async with intake.open(category, owner_id=alice.id) as incoming:
        if is_picture:
            await incoming.take_picture(Slow(png()), PICTURES)
        else:
            await incoming.take(Slow(pdf()), DOCUMENTS)
        with pytest.raises(Unavailable):
            async with world.database.transaction() as db:
                await incoming.keep(db)
    assert await nothing_left(world)
    assert await usage(world, alice.id) == (0, 0)


async def test_a_commit_whose_answer_is_lost_keeps_the_file(world: World, alice: Person) -> None:
    intake = world.resources[FileIntake]
    names = []
    with suppress(CrashError):
        async with intake.open(Category.AVATARS, owner_id=alice.id) as incoming:
            await incoming.take_picture(Part(png()), PICTURES)
            async with world.database.transaction() as db:
                names = [file.filename for file in await incoming.keep(db)]
                db.sync_session.committed_callbacks.clear()
            raise CrashError
    assert await rows(world) == [(name, "stored") for name in names]
    assert kept(world) == names != []


async def test_swept_in_groups(world: World, alice: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tradepost.media.cleanup._GROUP", 2)
    now = world.resources.clock.now()
    async with world.database.transaction() as db:
        for number in range(5):
            db.add(
                StoredFile(
                    name=f"left-by-nobody-number-{number}.png",
                    category=Category.ITEMS,
                    original_name="",
                    content_type="image/png",
                    size=0,
                    state=FileState.PENDING,
                    owner_id=alice.id,
                    created_at=now,
                    changed_at=now - 2 * STALE,
                )
            )
    await world.resources[FileCleanup].sweep()
    assert await nothing_left(world)


# --- removal ----------------------------------------------------------------------------------------------------------


async def test_bytes_that_cannot_be_removed_are_tried_again(
    world: World, alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = await show(alice)

    async def fail(_key: str) -> None:
        raise StorageUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(storage_of(world), "delete", fail)
        assert (await alice.api.delete(shown["url"])).status_code == 200
        await world.resources[Dispatcher].drain()
        assert await rows(world) == [(shown["filename"], "doomed")]
    assert kept(world) == [shown["filename"]]
    assert (await alice.api.get(shown["url"])).status_code == 404
    # The message is given up after days, but the file is not forgotten.
    cleanup = world.resources[FileCleanup]
    await age(world, FORGOTTEN + timedelta(hours=1))
    await cleanup.sweep()
    await cleanup.sweep()
    assert await nothing_left(world)


async def test_two_who_delete_at_once(world: World, alice: Person, moderator: Person) -> None:
    for _ in range(3):
        shown = await show(alice)
        answers = await asyncio.gather(
            *(caller.api.delete(shown["url"]) for caller in [alice, moderator] * 3)
        )
        assert sorted(answer.status_code for answer in answers) == [200, *[404] * 5]
    assert await nothing_left(world)
    assert await usage(world, alice.id) == (0, 0)


async def test_avatars_that_are_replaced_at_once_leave_one(world: World, alice: Person) -> None:
    answers = await asyncio.gather(
        *(alice.api.post("/api/v1/upload/avatar/", files={"file": ("a", png(shade=n))}) for n in range(6))
    )
    assert {answer.status_code for answer in answers} == {200}
    await world.resources[Dispatcher].drain()
    url = (await alice.api.get("/api/v1/users/me")).json()["avatar_url"]
    name = url.rpartition("/")[2]
    assert kept(world) == [name]
    assert await rows(world) == [(name, "stored")]
    # Whichever was last: pictures of another shade take up other numbers of bytes.
    assert await usage(world, alice.id) == (1, len((await alice.api.get(url)).content))


async def test_who_is_deleted_while_uploading_leaves_nothing(
    world: World, alice: Person, admin: Person
) -> None:
    item = await sell(alice)
    answers = await asyncio.gather(
        *(send(alice, item, png(shade=shade)) for shade in range(4)),
        alice.api.post("/api/v1/upload/avatar/", files={"file": ("a", png())}),
        admin.api.delete(f"/api/v1/users/{alice.id}"),
    )
    assert {answer.status_code for answer in answers} <= {200, 401, 404}, [a.text for a in answers]
    assert await nothing_left(world)


# --- quotas -----------------------------------------------------------------------------------------------------------


async def test_files_are_counted(world: World, alice: Person) -> None:
    item = await sell(alice)
    for _ in range(QUOTA_FILES):
        assert (await send(alice, item, png())).status_code == 200
    refused = await send(alice, item, png())
    assert code(refused) == (403, "QUOTA_EXCEEDED")
    assert len(kept(world)) == QUOTA_FILES
    images = (await alice.api.get(f"/api/v1/items/{item['id']}")).json()["images"]
    await alice.api.delete(images[0])
    assert (await send(alice, item, png())).status_code == 200, "what is deleted makes room at once"


async def test_bytes_are_counted(world: World, alice: Person, bob: Person) -> None:
    item = await sell(alice)
    assert (await send(alice, item, pdf().ljust(QUOTA_BYTES - 10), to="documents")).status_code == 200
    assert code(await send(alice, item, pdf(), to="documents")) == (403, "QUOTA_EXCEEDED")
    assert code(await send(alice, item, b"a", b"b" * 10, to="documents")) == (403, "QUOTA_EXCEEDED")
    assert (await send(alice, item, b"a" * 10, to="documents")).status_code == 200
    assert code(await send(alice, item, b"a", to="documents")) == (403, "QUOTA_EXCEEDED")
    await world.resources[Dispatcher].drain()
    assert len(await rows(world)) == len(kept(world)) == 2
    assert await usage(world, alice.id) == (2, QUOTA_BYTES)
    assert (await show(bob))["size"] > 0, "what others keep is no matter"


@pytest.mark.parametrize("count", [20])
async def test_many_uploads_at_once_do_not_exceed_the_quota(world: World, alice: Person, count: int) -> None:
    item = await sell(alice)
    large = pdf().ljust(QUOTA_BYTES // 4 - 1)
    answers = await asyncio.gather(*(send(alice, item, large, to="documents") for _ in range(count)))
    taken = [answer for answer in answers if answer.status_code == 200]
    assert 1 <= len(taken) <= 4
    assert {code(answer) for answer in answers if answer not in taken} == {(403, "QUOTA_EXCEEDED")}
    assert len(await rows(world)) == len(kept(world)) == len(taken)
    assert await usage(world, alice.id) == (len(taken), len(taken) * len(large))


async def test_usage_can_be_seen(alice: Person, bob: Person, moderator: Person) -> None:
    shown = await show(alice)
    expected = {
        "user_id": alice.id,
        "files": 1,
        "bytes": shown["size"],
        "quota_files": QUOTA_FILES,
        "quota_bytes": QUOTA_BYTES,
    }
    assert (await alice.api.get(USAGE)).json() == expected
    assert (await moderator.api.get(f"{USAGE}/{alice.id}")).json() == expected
    assert (await moderator.api.get(USAGE)).json()["files"] == 0
    assert code(await bob.api.get(f"{USAGE}/{alice.id}")) == (403, "HTTP_403")
    assert code(await moderator.api.get(f"{USAGE}/999999")) == (404, "USER_NOT_FOUND")


# --- bytes without a row ----------------------------------------------------------------------------------------------


async def looked_for_bytes(world: World) -> list[str]:
    """Look for bytes without a row, and return the keys that are left."""
    await world.resources[FileCleanup].sweep_bytes()
    return kept(world)


async def test_bytes_that_a_power_cut_brought_back_are_deleted(world: World, alice: Person) -> None:
    avatar = await show(alice)
    lost = (
        "aa-came-back-after-a-cut.png",
        "zz-came-back-after-a-cut.png",
        "-z-came-back-after-a-cut.png.raw",
    )
    for key in lost:
        await storage_of(world).put(key, Part(png()).__aiter__())
    everything = sorted([avatar["filename"], *lost])
    assert await looked_for_bytes(world) == everything, "they are too new: their row may be on its way"
    world.clock.move(STALE + timedelta(minutes=1))
    try:
        assert await looked_for_bytes(world) == [avatar["filename"]]
    finally:
        world.clock.move(-STALE - timedelta(minutes=1))


async def test_originals_and_variants_of_files_with_a_row_are_theirs(world: World, alice: Person) -> None:
    avatar = await show(alice, png(200, 100))
    answer = await alice.api.get(f"{avatar['url']}?w=64")
    assert answer.status_code == 200
    await storage_of(world).put(raw_key(avatar["filename"]), Part(png()).__aiter__())
    before = kept(world)
    assert len(before) == 3
    world.clock.move(STALE + timedelta(minutes=1))
    try:
        assert await looked_for_bytes(world) == before
    finally:
        world.clock.move(-STALE - timedelta(minutes=1))


async def test_the_storage_of_another_database_is_left_alone(world: World) -> None:
    keys = [f"{number:02}-a-file-of-somebody-else.png" for number in range(30)]
    for key in keys:
        await storage_of(world).put(key, Part(png()).__aiter__())
    world.clock.move(STALE + timedelta(minutes=1))
    try:
        assert await looked_for_bytes(world) == keys
    finally:
        world.clock.move(-STALE - timedelta(minutes=1))
