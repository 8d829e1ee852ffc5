"""How routes get at the service for tags."""

from typing import Annotated

from fastapi import Depends

from tradepost.accounts.dependencies import Requires
from tradepost.accounts.permissions import STAFF
from tradepost.core.database import ReadSession, WriteSession
from tradepost.core.principal import Principal
from tradepost.core.resources import Resources
from tradepost.tags.repository import TagRepository
from tradepost.tags.service import TagService, TagUsage
from tradepost.web.session import ReadDep, ResourcesDep, WriteDep


def build_tag_service(session: ReadSession | WriteSession, parts: Resources) -> TagService:
    """Build the service for tags."""
    return TagService(TagRepository(session), parts[TagUsage], parts.clock)


async def tag_reads(session: ReadDep, parts: ResourcesDep) -> TagService:
    """Return the service for tags on a read session."""
    return build_tag_service(session, parts)


async def tag_writes(session: WriteDep, parts: ResourcesDep) -> TagService:
    """Return the service for tags in the request's transaction."""
    return build_tag_service(session, parts)


TagReads = Annotated[TagService, Depends(tag_reads, scope="function")]
TagWrites = Annotated[TagService, Depends(tag_writes, scope="function")]
Staff = Annotated[Principal, Depends(Requires(STAFF))]
