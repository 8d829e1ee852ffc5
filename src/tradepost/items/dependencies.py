"""The dependencies of the routes of items, and the builders behind them."""

from functools import partial
from typing import Annotated

from fastapi import Depends

from tradepost.accounts.dependencies import Requires, build_user_service
from tradepost.accounts.permissions import Permission
from tradepost.categories.dependencies import build_category_service
from tradepost.core.batching.coalescer import Observe
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.principal import Principal
from tradepost.core.resources import Resources
from tradepost.items.indexing import ItemIndexer
from tradepost.items.intake import ItemIntake
from tradepost.items.popular import PopularItems
from tradepost.items.public_total import PublicTotal
from tradepost.items.reader import ItemReader
from tradepost.items.service import ItemService
from tradepost.items.uploads import ItemUploads
from tradepost.items.view_counter import ViewCounter
from tradepost.media.intake import FileIntake
from tradepost.tags.dependencies import build_tag_service
from tradepost.web.db import ResourcesDep, WriteDb, resource


def build_item_service(db: WriteSession, resources: Resources) -> ItemService:
    """Build the service for changing items."""
    return ItemService(
        db,
        users=build_user_service(db, resources),
        tags=build_tag_service(db, resources),
        categories=build_category_service(db, resources),
        popular=resources[PopularItems],
        public_total=resources[PublicTotal],
        outbox=resources[Outbox],
        clock=resources.clock,
    )


def build_item_uploads(resources: Resources, *, observe: Observe) -> ItemUploads:
    """Build the service for items' pictures and documents; ``observe`` is told how many uploads are kept at once."""
    return ItemUploads(
        resources.database,
        resources[FileIntake],
        reader=resources[ItemReader],
        people=partial(build_user_service, resources=resources),
        items=partial(build_item_service, resources=resources),
        observe=observe,
    )


def open_items(resources: Resources) -> None:
    """Put in what items keep for the life of the process; needs the outbox and the intake of files."""
    database, clock, observer = resources.database, resources.clock, resources.batch_observer
    resources.put(PublicTotal, PublicTotal(clock))
    resources.put(ItemIndexer, ItemIndexer(database))
    resources.put(
        PopularItems, PopularItems(database, clock, seconds=resources.settings.CACHE_POPULAR_SECONDS)
    )
    resources.put(ViewCounter, ViewCounter(database, resources.clock))
    resources.put(
        ItemReader,
        ItemReader(
            database,
            views=resources[ViewCounter],
            public_total=resources[PublicTotal],
            observe=observer("item"),
        ),
    )
    services = partial(build_item_service, resources=resources)
    resources.put(ItemIntake, ItemIntake(database, items=services, observe=observer("new items")))
    resources.put(ItemUploads, build_item_uploads(resources, observe=observer("uploads")))


async def item_service(db: WriteDb, resources: ResourcesDep) -> ItemService:
    """Return the service for changing items in the request's transaction."""
    return build_item_service(db, resources)


Items = Annotated[ItemReader, resource(ItemReader)]
ItemWrites = Annotated[ItemService, Depends(item_service, scope="function")]
Intake = Annotated[ItemIntake, resource(ItemIntake)]
Popular = Annotated[PopularItems, resource(PopularItems)]
ItemWriter = Annotated[Principal, Depends(Requires(Permission.WRITE_ITEMS))]
Uploads = Annotated[ItemUploads, resource(ItemUploads)]
