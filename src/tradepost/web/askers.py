"""Who asks: the port by which the layers of ``web`` learn whose request it is, before a route does."""

from typing import Protocol

from starlette.types import Scope

from tradepost.core.database.sessions import WriteSession
from tradepost.core.principal import Principal


class Askers(Protocol):
    """What ``accounts`` supplies: the credentials of a request, looked up once for all who ask."""

    async def find(self, scope: Scope) -> Principal | None:
        """Return whose credentials a request shows; None for nobody, or for credentials that do not hold.

        What was found is remembered in the scope, so that the route does not ask again.
        """
        ...

    async def lock_key_share(self, db: WriteSession, user_id: int) -> bool:
        """Keep a person from being deleted until the transaction ends; tell whether there is such a person."""
        ...
