"""Uploads that come together share transactions, and yet each is taken or refused as if it had been alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio
from sqlalchemy import delete, update

from tests.conftest import Person, World, world_on
from tests.items.market import read, sell
from tests.uploading import kept, nothing_left, pdf, png, rows, send, usage
from tradepost.accounts.models import User
from tradepost.accounts.permissions import PERMISSIONS, Role
from tradepost.core.errors import Unauthenticated, Unavailable
from tradepost.core.messaging.dispatcher import Dispatcher
from tradepost.core.principal import Principal
from tradepost.items.errors import ItemNotFound
from tradepost.items.models import Item
from tradepost.items.uploads import ItemUploads, _StoredUpload
from tradepost.media.cleanup import STALE, FileCleanup
from tradepost.media.errors import QuotaExceeded
from tradepost.media.file_types import DOCUMENTS
from tradepost.media.intake import FileIntake, IncomingFiles
from tradepost.media.models import StoredFile
from tradepost.media.places import FilePlaces
from tradepost.media.processing import PictureProcessing
from tradepost.media.repository import FileRepository, UsageRepository
from tradepost.media.schemas import Category, UploadedFiles
from tradepost.media.usage import freed

QUOTA_BYTES = 1_000
QUOTA_FILES = 3


@pytest_asyncio.fixture(scope="module")
async def module_world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """An application in which a person keeps little."""
    directory = tmp_path_factory.mktemp("data")
    async with world_on(
        database_url, directory, UPLOAD_QUOTA_BYTES=QUOTA_BYTES, UPLOAD_QUOTA_FILES=QUOTA_FILES
    ) as world:
        yield world


class Part:
    """A document; ``then`` happens when its last byte has come."""

    name = "files"
    file_name = "x.pdf"

    def __init__(self, content: bytes, then: Callable[[], Awaitable[Any]] | None = None) -> None:
        self._content = content
        self._then = then

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content
        if self._then is not None:
            await self._then()


async def go(world: World, person: Person) -> None:
    """Have a person be deleted."""
    async with world.database.transaction() as db:
        await db.execute(delete(User).where(User.id == person.id))


async def each(*parts: Part) -> AsyncIterator[Part]:
    for part in parts:
        yield part


def principal(person: Person) -> Principal:
    return Principal(person.id, PERMISSIONS[Role.USER], 1)


async def reserve(world: World, stack: AsyncExitStack, person: Person) -> IncomingFiles:
    intake, places = world.resources[FileIntake], world.resources[FilePlaces]
    incoming = await stack.enter_async_context(intake.open(Category.DOCUMENTS, owner_id=person.id))
    await places.reserve(incoming.set, "x.pdf", DOCUMENTS.recognise(pdf()))
    return incoming


async def test_files_that_come_together_get_their_rows_in_one_transaction(
    world: World, alice: Person, bob: Person, statements: Callable[[], Any]
) -> None:
    world.resources[FileIntake]
    async with AsyncExitStack() as stack:
        with statements() as seen:
            begun = await asyncio.gather(
                *(reserve(world, stack, person) for person in (alice, bob, alice, bob))
            )
        # What the application does by itself meanwhile is no part of it.
        assert len([statement for statement in seen if "file" in statement]) == 2, seen
        names = [file.name for incoming in begun for file in incoming.files]
        assert sorted(names) == sorted(name for name, _ in await rows(world))
        assert await usage(world, alice.id) == await usage(world, bob.id) == (2, 0)
    assert await nothing_left(world)


async def test_who_has_no_room_is_refused_alone(world: World, alice: Person, bob: Person) -> None:
    world.resources[FileIntake]
    async with AsyncExitStack() as stack:
        asked = [alice] * (QUOTA_FILES + 2) + [bob]
        found = await asyncio.gather(
            *(reserve(world, stack, person) for person in asked), return_exceptions=True
        )
        assert [type(outcome) for outcome in found] == [
            *[IncomingFiles] * QUOTA_FILES,
            *[QuotaExceeded] * 2,
            IncomingFiles,
        ]
        assert await usage(world, alice.id) == (QUOTA_FILES, 0)
        # Once there is none, whoever comes with others is told so without holding them up.
        found = await asyncio.gather(
            *(reserve(world, stack, person) for person in (alice, bob)), return_exceptions=True
        )
        assert [type(outcome) for outcome in found] == [QuotaExceeded, IncomingFiles]
    assert await nothing_left(world)
    assert await usage(world, alice.id) == (0, 0)


async def test_who_is_gone_is_refused_alone(world: World, alice: Person, bob: Person) -> None:
    world.resources[FileIntake]
    await go(world, alice)
    async with AsyncExitStack() as stack:
        found = await asyncio.gather(
            *(reserve(world, stack, person) for person in (alice, bob)), return_exceptions=True
        )
        assert [type(outcome) for outcome in found] == [Unauthenticated, IncomingFiles]


async def sweep(world: World, owner: Person) -> None:
    """Have the uploads of a person last longer than any should, and be swept."""
    async with world.database.transaction() as db:
        long_ago = world.resources.clock.now() - 2 * STALE
        await db.execute(
            update(StoredFile).where(StoredFile.owner_id == owner.id).values(changed_at=long_ago)
        )
    await world.resources[FileCleanup].sweep()


async def test_an_item_goes_with_its_owner_whoever_brings_the_files(
    world: World, alice: Person, moderator: Person
) -> None:
    item = await sell(alice)

    class Bringing(Part):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            await go(world, alice)
            yield pdf()

    staff = Principal(moderator.id, PERMISSIONS[Role.MODERATOR], 1)
    with pytest.raises(ItemNotFound):
        await world.resources[ItemUploads].add_documents(item["id"], staff, each(Bringing(b"")))


async def test_who_goes_while_a_picture_is_made_is_not_known_any_more(world: World, alice: Person) -> None:
    class Sent(Part):
        name = "file"

        async def text(self) -> str:
            return ""

    async def sent() -> AsyncIterator[Sent]:
        yield Sent(png(), lambda: go(world, alice))

    with pytest.raises(Unauthenticated):
        await world.resources[PictureProcessing].process(principal(alice), sent())
    assert await nothing_left(world)


async def end_together(
    world: World, wanted: list[tuple[Person, dict[str, Any], bytes]], before: Callable[[], Awaitable[Any]]
) -> list[Any]:
    """Have uploads end in the same moment, which comes right after ``before``; return what becomes of each."""
    come, end = asyncio.Barrier(len(wanted) + 1), asyncio.Barrier(len(wanted) + 1)
    uploads = world.resources[ItemUploads]

    async def wait() -> None:
        await come.wait()
        await end.wait()

    async def upload(person: Person, item: dict[str, Any], content: bytes) -> Any:
        document = Part(content, wait)
        return await uploads.add_documents(item["id"], principal(person), each(document))

    async def happen() -> None:
        await come.wait()
        await before()
        await end.wait()

    *found, _ = await asyncio.gather(*(upload(*one) for one in wanted), happen(), return_exceptions=True)
    return found


async def test_one_whose_item_goes_fails_alone(world: World, alice: Person, bob: Person) -> None:
    going, staying = await sell(alice), await sell(bob)

    async def remove() -> None:
        async with world.database.transaction() as db:
            await db.execute(delete(Item).where(Item.id == going["id"]))

    gone, stays = await end_together(world, [(alice, going, pdf()), (bob, staying, pdf())], remove)
    assert isinstance(gone, ItemNotFound)
    assert kept(world) == [file.filename for file in stays.uploaded_files]
    assert await usage(world, alice.id) == (0, 0)
    assert await usage(world, bob.id) == (1, len(pdf()))


async def test_one_that_was_swept_fails_alone(world: World, alice: Person, bob: Person) -> None:
    uploads, intake = world.resources[ItemUploads], world.resources[FileIntake]
    async with AsyncExitStack() as stack:
        ended = []
        for person in (alice, bob, bob):
            item = await sell(person)
            incoming = await stack.enter_async_context(
                intake.open(Category.DOCUMENTS, owner_id=person.id, subject_id=item["id"])
            )
            await incoming.take(Part(pdf()), DOCUMENTS)
            ended.append(_StoredUpload(incoming, item["id"], principal(person)))
        await sweep(world, alice)
        # In one and the same step, so that they are one group.
        swept, *stay = await asyncio.gather(
            *(uploads._kept(upload) for upload in ended), return_exceptions=True
        )
    assert isinstance(swept, Unavailable)
    assert [type(outcome) for outcome in stay] == [UploadedFiles] * 2
    await world.resources[Dispatcher].drain()
    assert len(kept(world)) == 2
    assert await usage(world, alice.id) == (0, 0)
    assert await usage(world, bob.id) == (2, 2 * len(pdf()))


async def test_together_they_may_be_too_much(world: World, alice: Person, bob: Person) -> None:
    item, other = await sell(alice), await sell(bob)

    async def nothing() -> None:
        """Let them end."""

    large = pdf().ljust(QUOTA_BYTES * 2 // 3)
    found = await end_together(
        world, [(alice, item, large), (bob, other, large), (alice, item, large)], nothing
    )
    assert sorted(type(outcome).__name__ for outcome in found) == [
        "QuotaExceeded",
        "UploadedFiles",
        "UploadedFiles",
    ]
    assert await usage(world, alice.id) == await usage(world, bob.id) == (1, len(large))
    assert len(kept(world)) == 2


@pytest.mark.parametrize("steps", range(0, 12, 2))
async def test_one_that_is_cancelled_touches_no_other(
    world: World, alice: Person, bob: Person, steps: int
) -> None:
    item, other = await sell(alice), await sell(bob)
    going = asyncio.create_task(send(alice, item, pdf(), to="documents"))
    staying = [asyncio.create_task(send(bob, other, pdf(), to="documents")) for _ in range(QUOTA_FILES)]
    for _ in range(steps):
        await asyncio.sleep(0.002)
    going.cancel()
    answers = await asyncio.gather(*staying)
    await asyncio.gather(going, return_exceptions=True)
    assert [answer.status_code for answer in answers] == [200] * QUOTA_FILES
    assert await usage(world, bob.id) == (QUOTA_FILES, QUOTA_FILES * len(pdf()))
    assert await usage(world, alice.id) in {(0, 0), (1, len(pdf()))}
    assert {state for _, state in await rows(world)} == {"stored"}
    assert (await read(bob.api, other))["version"] == 1, "documents are no part of what an item shows"


async def test_who_dooms_files_and_who_keeps_them_lock_in_one_order(world: World, alice: Person) -> None:
    item = await sell(alice)
    intake, doomed = world.resources[FileIntake], asyncio.Event()

    async def doom() -> None:
        async with world.database.transaction() as db:
            rows = await FileRepository(db).doom_subjects([item["id"]], now=world.clock.now())
            doomed.set()
            # The other comes as far as it can.
            await asyncio.sleep(0.2)
            await UsageRepository(db).release(freed(rows))

    async def keep(incoming: IncomingFiles) -> None:
        await doomed.wait()
        async with world.database.transaction() as db:
            await incoming.keep(db)

    async with intake.open(Category.DOCUMENTS, owner_id=alice.id, subject_id=item["id"]) as incoming:
        await incoming.take(Part(pdf()), DOCUMENTS)
        found = await asyncio.gather(doom(), keep(incoming), return_exceptions=True)
    assert [type(outcome) for outcome in found] == [type(None), Unavailable]
    assert await usage(world, alice.id) == (0, 0)
