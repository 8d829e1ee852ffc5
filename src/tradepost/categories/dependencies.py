"""The dependencies of the routes of categories, and the builders behind them."""

from typing import Annotated

from fastapi import Depends

from tradepost.categories.reader import CategoryReader
from tradepost.categories.service import CategoryService
from tradepost.categories.sorted import SortedItems
from tradepost.core.audit.trail import AuditTrail
from tradepost.core.database.sessions import WriteSession
from tradepost.core.resources import Resources
from tradepost.core.wire.cursors import Cursors
from tradepost.web.db import ResourcesDep, WriteDb


def build_category_service(db: WriteSession, resources: Resources) -> CategoryService:
    """Build the service for categories."""
    return CategoryService(db, resources[SortedItems], resources[AuditTrail], resources.clock)


def open_categories(resources: Resources) -> None:
    """Put in what categories keep for the life of the process."""
    resources.put(
        CategoryReader, CategoryReader(resources.database, resources[SortedItems], resources[Cursors])
    )


async def category_reader(resources: ResourcesDep) -> CategoryReader:
    """Return the service for reading categories."""
    return resources[CategoryReader]


async def category_writes(db: WriteDb, resources: ResourcesDep) -> CategoryService:
    """Return the service for categories in the request's transaction."""
    return build_category_service(db, resources)


CategoryReads = Annotated[CategoryReader, Depends(category_reader)]
CategoryWrites = Annotated[CategoryService, Depends(category_writes, scope="function")]
