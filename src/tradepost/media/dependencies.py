"""How routes get at files."""

import asyncio
from functools import partial
from typing import Annotated

from fastapi import Depends

from tradepost.accounts.dependencies import build_user_service
from tradepost.accounts.profiles import Profiles
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
from tradepost.web.db import ResourcesDep, WriteDep


def files_url(settings: Settings) -> str:
    """Return the address below which files are served."""
    return f"{settings.API_V1_STR}/upload/files"


def build_file_service(db: WriteSession, parts: Resources) -> FileService:
    """Build the service for files that are there."""
    return FileService(
        db,
        people=build_user_service(db, parts),
        subjects=parts[FileSubjects],
        outbox=parts[Outbox],
        files_url=files_url(parts.settings),
        clock=parts.clock,
    )


def build_media(parts: Resources, *, observe: Observe) -> None:
    """Put what media keeps for the life of the process among ``parts``; ``observe`` is told how many files are begun at once."""
    settings, database, clock = parts.settings, parts.database, parts.clock
    quota = Quota(files=settings.UPLOAD_QUOTA_FILES, bytes=int(settings.UPLOAD_QUOTA_BYTES))
    files = partial(build_file_service, parts=parts)
    parts.put(PictureStudio, PictureStudio())
    intake = FileIntake(
        database,
        parts[Storage],
        quota=quota,
        clean=parts[PictureStudio].clean,
        files_url=files_url(settings),
        clock=clock,
        observe=observe,
    )
    parts.put(FileIntake, intake)
    parts.put(FileReader, FileReader(database, parts[FileSubjects], profiles=parts[Profiles], quota=quota))
    parts.put(FileKeeper, FileKeeper(database, parts[Storage], files=files, clock=clock))
    parts.put(Avatars, Avatars(database, intake, files=files))
    parts.put(
        Variants,
        Variants(database, parts[Storage], parts[PictureStudio], outbox=parts[Outbox], clock=clock),
    )
    parts.put(PictureProcessing, PictureProcessing(database, intake, parts[PictureStudio]))


async def close_media(parts: Resources) -> None:
    """End what media does by itself."""
    await parts[Variants].close()
    # Its threads are waited for, and the loop has still other things to do.
    await asyncio.to_thread(parts[PictureStudio].close)


async def file_service(db: WriteDep, parts: ResourcesDep) -> FileService:
    """Return the service for files that are there, in the request's transaction."""
    return build_file_service(db, parts)


async def file_reader(parts: ResourcesDep) -> FileReader:
    """Return the service for finding files."""
    return parts[FileReader]


async def avatars(parts: ResourcesDep) -> Avatars:
    """Return the service for people's pictures of themselves."""
    return parts[Avatars]


async def processing(parts: ResourcesDep) -> PictureProcessing:
    """Return the service that makes pictures to measure."""
    return parts[PictureProcessing]


async def variants(parts: ResourcesDep) -> Variants:
    """Return the service for variants of pictures."""
    return parts[Variants]


FileWrites = Annotated[FileService, Depends(file_service, scope="function")]
Files = Annotated[FileReader, Depends(file_reader)]
AvatarUploads = Annotated[Avatars, Depends(avatars)]
Processing = Annotated[PictureProcessing, Depends(processing)]
PictureVariants = Annotated[Variants, Depends(variants)]
