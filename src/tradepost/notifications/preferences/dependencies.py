"""Dependencies that build the service for preferences."""

from typing import Annotated

from fastapi import Depends

from tradepost.notifications.preferences.service import PreferenceService
from tradepost.web.db import ReadDb, ResourcesDep, WriteDb


async def preference_reads(db: ReadDb, resources: ResourcesDep) -> PreferenceService:
    """Return the service for reading preferences."""
    return PreferenceService(db, resources.clock)


async def preference_writes(db: WriteDb, resources: ResourcesDep) -> PreferenceService:
    """Return the service for preferences in the request's transaction."""
    return PreferenceService(db, resources.clock)


PreferenceReads = Annotated[PreferenceService, Depends(preference_reads, scope="function")]
PreferenceWrites = Annotated[PreferenceService, Depends(preference_writes, scope="function")]
