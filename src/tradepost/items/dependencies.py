"""How routes get at the services for items."""

from functools import partial
from typing import Annotated

from fastapi import Depends
from starlette.types import Scope

from tradepost.accounts.dependencies import Requires, build_user_service, visitor_of
from tradepost.accounts.permissions import Permission
from tradepost.categories.dependencies import build_category_service
from tradepost.core.batching.coalescer import Observe
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import Unauthenticated
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.principal import Principal
from tradepost.core.resources import Resources
from tradepost.items.intake import ItemIntake
from tradepost.items.popular import PopularItems
from tradepost.items.public_total import PublicTotal
from tradepost.items.reader import ItemReader
from tradepost.items.service import ItemService
from tradepost.items.uploads import ItemUploads
from tradepost.media.intake import FileIntake
from tradepost.tags.dependencies import build_tag_service
from tradepost.web.db import ResourcesDep, WriteDep

requires_write = Requires(Permission.WRITE_ITEMS)


def build_item_service(db: WriteSession, parts: Resources) -> ItemService:
    """Build the service for changing items."""
    return ItemService(
        db,
        tags=build_tag_service(db, parts),
        categories=build_category_service(db, parts),
        popular=parts[PopularItems],
        public_total=parts[PublicTotal],
        outbox=parts[Outbox],
        clock=parts.clock,
    )


def build_item_uploads(parts: Resources, *, observe: Observe) -> ItemUploads:
    """Build the service for items' pictures and documents; ``observe`` is told how many uploads are kept at once."""
    return ItemUploads(
        parts.database,
        parts[FileIntake],
        reader=parts[ItemReader],
        people=partial(build_user_service, parts=parts),
        items=partial(build_item_service, parts=parts),
        observe=observe,
    )


async def item_reader(parts: ResourcesDep) -> ItemReader:
    """Return the service for finding items."""
    return parts[ItemReader]


def reader_of(scope: Scope) -> ItemReader:
    """Return the service for finding items, for a lean handler."""
    return scope["state"]["resources"][ItemReader]  # type: ignore[no-any-return]


def intake_of(scope: Scope) -> ItemIntake:
    """Return the service for putting items up for sale, for a lean handler."""
    return scope["state"]["resources"][ItemIntake]  # type: ignore[no-any-return]


async def writer_of(scope: Scope) -> Principal:
    """Return who asks if they may write items, as ``ItemWriter`` does, for a lean handler."""
    principal = await visitor_of(scope)
    if principal is None:
        raise Unauthenticated
    return await requires_write(principal)


async def item_service(db: WriteDep, parts: ResourcesDep) -> ItemService:
    """Return the service for changing items in the request's transaction."""
    return build_item_service(db, parts)


async def item_intake(parts: ResourcesDep) -> ItemIntake:
    """Return the service for putting items up for sale."""
    return parts[ItemIntake]


async def popular_items(parts: ResourcesDep) -> PopularItems:
    """Return the most viewed items."""
    return parts[PopularItems]


async def item_uploads(parts: ResourcesDep) -> ItemUploads:
    """Return the service for items' pictures and documents."""
    return parts[ItemUploads]


Items = Annotated[ItemReader, Depends(item_reader)]
ItemWrites = Annotated[ItemService, Depends(item_service, scope="function")]
Intake = Annotated[ItemIntake, Depends(item_intake)]
Popular = Annotated[PopularItems, Depends(popular_items)]
ItemWriter = Annotated[Principal, Depends(requires_write)]
Uploads = Annotated[ItemUploads, Depends(item_uploads)]
