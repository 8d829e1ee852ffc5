"""The database sessions of a request: one to read, or the one transaction that its changes are made in.

The transaction owns the only commit of the request path: returning commits, raising rolls back, so that no route can answer
for a change that was not kept.
"""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Depends, Request, params
from starlette.types import Scope

from tradepost.core.database.sessions import ReadSession, WriteSession
from tradepost.core.idempotency.claim import Claim
from tradepost.core.idempotency.keys import IdempotencyKeys
from tradepost.core.resources import Resources
from tradepost.web.asgi_scope import CLAIM_KEY, FromScope


def resources_of(request: Request) -> Resources:
    """Return what ``bootstrap`` opened for this process."""
    return request.scope["state"]["resources"]  # type: ignore[no-any-return]


async def _resources(request: Request) -> Resources:
    # Asynchronous, or FastAPI would send it to a thread.
    return resources_of(request)


class FromResources(FromScope[Any]):
    """A dependency on the process's one object of the type ``kind``."""

    def __init__(self, kind: type[Any]) -> None:
        def read(scope: Scope) -> Any:
            return scope["state"]["resources"][kind]

        super().__init__(read)
        self.kind = kind


def resource(kind: type[Any]) -> params.Depends:
    """Return a dependency on the process's one object of a type.

    Without a function of its own for each: ``Sessions = Annotated[SessionService, resource(SessionService)]``.
    """
    return params.Depends(FromResources(kind))


async def _read(request: Request) -> AsyncIterator[ReadSession]:
    async with resources_of(request).database.read() as db:
        yield db


async def request_transaction(request: Request) -> AsyncIterator[WriteSession]:
    """Open the transaction of a request; one with an idempotency key claims the key first, or is answered by ``Replayed``."""
    resources = resources_of(request)
    claim: Claim | None = request.scope.get(CLAIM_KEY)
    async with resources.database.transaction() as db:
        if claim is not None:
            await resources[IdempotencyKeys].begin(db, claim)
        yield db


# Function-scoped: with FastAPI's default scope the client would get its 201 before the commit, and keep it when the
# commit fails.
ReadDb = Annotated[ReadSession, Depends(_read, scope="function")]
WriteDb = Annotated[WriteSession, Depends(request_transaction, scope="function")]
ResourcesDep = Annotated[Resources, Depends(_resources)]
