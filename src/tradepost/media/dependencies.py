"""Wiring of media: its services for routes, and what it keeps for the life of the process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated

from fastapi import Depends

from tradepost.accounts.dependencies import build_user_service
from tradepost.accounts.reader import UserReader
from tradepost.core.audit.trail import AuditTrail
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.resources import Resources
from tradepost.core.settings.settings import Settings
from tradepost.core.storage.store import Storage
from tradepost.media.avatars import Avatars
from tradepost.media.cleanup import FileCleanup
from tradepost.media.intake import Calls, FileIntake
from tradepost.media.places import FilePlaces, Quota
from tradepost.media.processing import PictureProcessing
from tradepost.media.reader import FileReader
from tradepost.media.service import FileService
from tradepost.media.studio import PictureStudio
from tradepost.media.subjects import FileSubjects
from tradepost.media.variants import Variants
from tradepost.web.db import ResourcesDep, WriteDb


def files_url(settings: Settings) -> str:
    """Return the address below which files are served."""
    return f"{settings.API_V1_STR}/upload/files"


def build_file_service(db: WriteSession, resources: Resources) -> FileService:
    """Build the service for stored files."""
    return FileService(
        db,
        people=build_user_service(db, resources),
        subjects=resources[FileSubjects],
        outbox=resources[Outbox],
        audit=resources[AuditTrail],
        files_url=files_url(resources.settings),
        clock=resources.clock,
    )


@asynccontextmanager
async def open_media(resources: Resources) -> AsyncIterator[None]:
    """Put in what media keeps for the life of the process, and close it at the end of the block.

    Needs the storage, the outbox, the readers of users and the ``FileSubjects`` port.
    """
    settings, database, clock = resources.settings, resources.database, resources.clock
    storage, studio = resources[Storage], PictureStudio()
    quota = Quota(files=settings.UPLOAD_QUOTA_FILES, bytes=int(settings.UPLOAD_QUOTA_BYTES))
    files = partial(build_file_service, resources=resources)
    observe = resources.batch_observer("new files")
    calls = Calls()
    places = FilePlaces(
        database,
        storage,
        quota=quota,
        files_url=files_url(settings),
        clock=clock,
        observe=observe,
        pause=calls.pause,
    )
    intake = FileIntake(places, storage, calls, users=resources[UserReader], clean=studio.clean)
    variants = Variants(database, storage, studio, outbox=resources[Outbox], clock=clock)
    resources.put(PictureStudio, studio)
    resources.put(FilePlaces, places)
    resources.put(FileIntake, intake)
    resources.put(
        FileReader,
        FileReader(
            database,
            resources[FileSubjects],
            profiles=resources[UserReader],
            quota=quota,
            files_url=files_url(settings),
        ),
    )
    resources.put(FileCleanup, FileCleanup(database, storage, files=files, clock=clock))
    resources.put(Avatars, Avatars(database, intake, files=files))
    resources.put(Variants, variants)
    resources.put(PictureProcessing, PictureProcessing(database, intake, studio))
    try:
        yield
    finally:
        await variants.close()
        # Off the loop: closing waits for the studio's threads, and the loop still has other things to close.
        await asyncio.to_thread(studio.close)


async def file_service(db: WriteDb, resources: ResourcesDep) -> FileService:
    """Return the service for stored files, in the request's transaction."""
    return build_file_service(db, resources)


async def file_reader(resources: ResourcesDep) -> FileReader:
    """Return the service for finding files."""
    return resources[FileReader]


async def avatars(resources: ResourcesDep) -> Avatars:
    """Return the service for people's pictures of themselves."""
    return resources[Avatars]


async def processing(resources: ResourcesDep) -> PictureProcessing:
    """Return the service that makes pictures to measure."""
    return resources[PictureProcessing]


async def variants(resources: ResourcesDep) -> Variants:
    """Return the service for variants of pictures."""
    return resources[Variants]


FileWrites = Annotated[FileService, Depends(file_service, scope="function")]
Files = Annotated[FileReader, Depends(file_reader)]
AvatarUploads = Annotated[Avatars, Depends(avatars)]
Processing = Annotated[PictureProcessing, Depends(processing)]
PictureVariants = Annotated[Variants, Depends(variants)]
