"""Dependencies that build the service for preferences."""

from typing import Annotated

from fastapi import Depends

from tradepost.core.settings.settings import Settings
from tradepost.notifications.preferences.service import PreferenceService
from tradepost.notifications.preferences.unsubscribe import UnsubscribeLinks
from tradepost.web.db import ReadDb, ResourcesDep, WriteDb


def build_unsubscribe_links(settings: Settings) -> UnsubscribeLinks:
    """Build the maker of links that switch off one kind of e-mail."""
    return UnsubscribeLinks(keys=settings.secret_keys, public_url=settings.PUBLIC_URL)


async def preference_reads(db: ReadDb, resources: ResourcesDep) -> PreferenceService:
    """Return the service for reading preferences."""
    return PreferenceService(db, resources.clock)


async def preference_writes(db: WriteDb, resources: ResourcesDep) -> PreferenceService:
    """Return the service for preferences in the request's transaction."""
    return PreferenceService(db, resources.clock)


PreferenceReads = Annotated[PreferenceService, Depends(preference_reads, scope="function")]
PreferenceWrites = Annotated[PreferenceService, Depends(preference_writes, scope="function")]
