"""How routes get at the services for items."""

from typing import Annotated

from fastapi import Depends

from tradepost.accounts.dependencies import Requires
from tradepost.accounts.permissions import Permission
from tradepost.categories.dependencies import build_category_service
from tradepost.core.database import ReadSession, WriteSession
from tradepost.core.principal import Principal
from tradepost.core.resources import Resources
from tradepost.items.popular import PopularItems
from tradepost.items.public_total import PublicTotal
from tradepost.items.service import ItemReader, ItemService
from tradepost.items.view_counter import ViewCounter
from tradepost.tags.dependencies import build_tag_service
from tradepost.web.session import ReadDep, ResourcesDep, WriteDep


def build_item_reader(session: ReadSession, parts: Resources) -> ItemReader:
    """Build the service for finding items."""
    return ItemReader(
        session,
        categories=build_category_service(session, parts),
        views=parts[ViewCounter],
        public_total=parts[PublicTotal],
    )


def build_item_service(session: WriteSession, parts: Resources) -> ItemService:
    """Build the service for changing items."""
    return ItemService(
        session,
        tags=build_tag_service(session, parts),
        categories=build_category_service(session, parts),
        popular=parts[PopularItems],
        public_total=parts[PublicTotal],
        clock=parts.clock,
    )


async def item_reader(session: ReadDep, parts: ResourcesDep) -> ItemReader:
    """Return the service for finding items on a read session."""
    return build_item_reader(session, parts)


async def item_service(session: WriteDep, parts: ResourcesDep) -> ItemService:
    """Return the service for changing items in the request's transaction."""
    return build_item_service(session, parts)


async def popular_items(parts: ResourcesDep) -> PopularItems:
    """Return the most viewed items."""
    return parts[PopularItems]


Items = Annotated[ItemReader, Depends(item_reader, scope="function")]
ItemWrites = Annotated[ItemService, Depends(item_service, scope="function")]
Popular = Annotated[PopularItems, Depends(popular_items)]
ItemWriter = Annotated[Principal, Depends(Requires(Permission.WRITE_ITEMS))]
