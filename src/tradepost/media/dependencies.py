"""How routes get at files."""

import asyncio
from functools import partial
from typing import Annotated

from fastapi import Depends

from tradepost.accounts.dependencies import build_user_service
from tradepost.accounts.reader import UserReader
from tradepost.core.batching.coalescer import Observe
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.resources import Resources
from tradepost.core.settings.settings import Settings
from tradepost.core.storage.store import Storage
from tradepost.media.avatars import Avatars
from tradepost.media.intake import FileIntake, Quota
from tradepost.media.keeper import FileKeeper
from tradepost.media.processing import PictureProcessing
from tradepost.media.reader import FileReader
from tradepost.media.service import FileService
from tradepost.media.studio import PictureStudio
from tradepost.media.usage import FileSubjects
from tradepost.media.variants import Variants
from tradepost.web.db import ResourcesDep, WriteDb


def files_url(settings: Settings) -> str:
    """Return the address below which files are served."""
    return f"{settings.API_V1_STR}/upload/files"


def build_file_service(db: WriteSession, resources: Resources) -> FileService:
    """Build the service for files that are there."""
    return FileService(
        db,
        people=build_user_service(db, resources),
        subjects=resources[FileSubjects],
        outbox=resources[Outbox],
        files_url=files_url(resources.settings),
        clock=resources.clock,
    )


def build_media(resources: Resources, *, observe: Observe) -> None:
    """Put what media keeps for the life of the process among ``parts``; ``observe`` is told how many files are begun at once."""
    settings, database, clock = resources.settings, resources.database, resources.clock
    quota = Quota(files=settings.UPLOAD_QUOTA_FILES, bytes=int(settings.UPLOAD_QUOTA_BYTES))
    files = partial(build_file_service, resources=resources)
    resources.put(PictureStudio, PictureStudio())
    intake = FileIntake(
        database,
        resources[Storage],
        quota=quota,
        clean=resources[PictureStudio].clean,
        files_url=files_url(settings),
        clock=clock,
        observe=observe,
    )
    resources.put(FileIntake, intake)
    resources.put(
        FileReader, FileReader(database, resources[FileSubjects], profiles=resources[UserReader], quota=quota)
    )
    resources.put(FileKeeper, FileKeeper(database, resources[Storage], files=files, clock=clock))
    resources.put(Avatars, Avatars(database, intake, files=files))
    resources.put(
        Variants,
        Variants(
            database, resources[Storage], resources[PictureStudio], outbox=resources[Outbox], clock=clock
        ),
    )
    resources.put(PictureProcessing, PictureProcessing(database, intake, resources[PictureStudio]))


async def close_media(resources: Resources) -> None:
    """End what media does by itself."""
    await resources[Variants].close()
    # Its threads are waited for, and the loop has still other things to do.
    await asyncio.to_thread(resources[PictureStudio].close)


async def file_service(db: WriteDb, resources: ResourcesDep) -> FileService:
    """Return the service for files that are there, in the request's transaction."""
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
