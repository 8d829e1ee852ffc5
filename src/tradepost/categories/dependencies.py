"""How routes get at the service for categories."""

from typing import Annotated

from fastapi import Depends

from tradepost.accounts.dependencies import Requires
from tradepost.accounts.permissions import Permission
from tradepost.categories.reader import CategoryReader
from tradepost.categories.repository import CategoryRepository
from tradepost.categories.service import CategoryService, CategoryUsage
from tradepost.core.database.sessions import WriteSession
from tradepost.core.principal import Principal
from tradepost.core.resources import Resources
from tradepost.web.db import ResourcesDep, WriteDep


def build_category_service(db: WriteSession, parts: Resources) -> CategoryService:
    """Build the service for categories."""
    return CategoryService(CategoryRepository(db), parts[CategoryUsage], parts.clock)


async def category_reader(parts: ResourcesDep) -> CategoryReader:
    """Return the service for reading categories."""
    return parts[CategoryReader]


async def category_writes(db: WriteDep, parts: ResourcesDep) -> CategoryService:
    """Return the service for categories in the request's transaction."""
    return build_category_service(db, parts)


CategoryReads = Annotated[CategoryReader, Depends(category_reader)]
CategoryWrites = Annotated[CategoryService, Depends(category_writes, scope="function")]
Admin = Annotated[Principal, Depends(Requires(Permission.ADMIN_ACCESS))]
