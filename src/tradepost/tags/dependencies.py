"""The dependencies of the routes of tags, and the builders behind them."""

from typing import Annotated

from fastapi import Depends

from tradepost.accounts.dependencies import Requires
from tradepost.accounts.permissions import STAFF
from tradepost.core.audit.trail import AuditTrail
from tradepost.core.database.sessions import WriteSession
from tradepost.core.principal import Principal
from tradepost.core.resources import Resources
from tradepost.core.wire.cursors import Cursors
from tradepost.tags.reader import TagReader
from tradepost.tags.service import TagService
from tradepost.tags.tagged import TaggedItems
from tradepost.web.db import ResourcesDep, WriteDb


def build_tag_service(db: WriteSession, resources: Resources) -> TagService:
    """Build the service for tags."""
    return TagService(db, resources[TaggedItems], resources[AuditTrail], resources.clock)


def open_tags(resources: Resources) -> None:
    """Put in what tags keep for the life of the process; needs the port ``TaggedItems``."""
    observe = resources.batch_observer("tag")
    resources.put(
        TagReader, TagReader(resources.database, resources[TaggedItems], resources[Cursors], observe=observe)
    )


async def tag_reader(resources: ResourcesDep) -> TagReader:
    """Return the service for reading tags."""
    return resources[TagReader]


async def tag_writes(db: WriteDb, resources: ResourcesDep) -> TagService:
    """Return the service for tags in the request's transaction."""
    return build_tag_service(db, resources)


TagReads = Annotated[TagReader, Depends(tag_reader)]
TagWrites = Annotated[TagService, Depends(tag_writes, scope="function")]
Staff = Annotated[Principal, Depends(Requires(STAFF))]
