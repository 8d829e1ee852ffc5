"""How routes get at the service for categories."""

from typing import Annotated

from fastapi import Depends

from tradepost.accounts.dependencies import Requires
from tradepost.accounts.permissions import Permission
from tradepost.categories.repository import CategoryRepository
from tradepost.categories.service import CategoryService, CategoryUsage
from tradepost.core.database import ReadSession, WriteSession
from tradepost.core.principal import Principal
from tradepost.core.resources import Resources
from tradepost.web.session import ReadDep, ResourcesDep, WriteDep


def build_category_service(session: ReadSession | WriteSession, parts: Resources) -> CategoryService:
    """Build the service for categories."""
    return CategoryService(CategoryRepository(session), parts[CategoryUsage], parts.clock)


async def category_reads(session: ReadDep, parts: ResourcesDep) -> CategoryService:
    """Return the service for categories on a read session."""
    return build_category_service(session, parts)


async def category_writes(session: WriteDep, parts: ResourcesDep) -> CategoryService:
    """Return the service for categories in the request's transaction."""
    return build_category_service(session, parts)


CategoryReads = Annotated[CategoryService, Depends(category_reads, scope="function")]
CategoryWrites = Annotated[CategoryService, Depends(category_writes, scope="function")]
Admin = Annotated[Principal, Depends(Requires(Permission.ADMIN_ACCESS))]
