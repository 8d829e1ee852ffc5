"""Says who may watch, and lets them."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends

from tradepost.accounts.dependencies import Visitor
from tradepost.accounts.permissions import Permission
from tradepost.core.errors import InsufficientPermissions, Unauthenticated
from tradepost.live.feed import LiveFeed, Watcher
from tradepost.web.db import ResourcesDep


async def watcher(visitor: Visitor, resources: ResourcesDep) -> AsyncIterator[Watcher]:
    """Watch until the answer has ended: admins, and in ``local`` anybody."""
    if not resources.settings.is_local:
        if visitor is None:
            raise Unauthenticated
        if Permission.ADMIN_ACCESS not in visitor.permissions:
            raise InsufficientPermissions
    with resources[LiveFeed].watching() as found:
        yield found


Watching = Annotated[Watcher, Depends(watcher)]
