"""The sessions of a request. ``transaction`` owns the only commit of the request path."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request

from tradepost.core.database.sessions import ReadSession, WriteSession
from tradepost.core.resources import Resources


def resources_of(request: Request) -> Resources:
    """Return what ``bootstrap`` opened for this process."""
    return request.state.resources  # type: ignore[no-any-return]


async def _resources(request: Request) -> Resources:
    # Asynchronous, or FastAPI would send it to a thread.
    return resources_of(request)


async def _read(request: Request) -> AsyncIterator[ReadSession]:
    async with resources_of(request).database.read() as db:
        yield db


async def _transaction(request: Request) -> AsyncIterator[WriteSession]:
    async with resources_of(request).database.transaction() as db:
        yield db


# Function-scoped: with FastAPI's default scope the client would get its 201 before the commit, and keep it when the
# commit fails.
ReadDb = Annotated[ReadSession, Depends(_read, scope="function")]
WriteDb = Annotated[WriteSession, Depends(_transaction, scope="function")]
ResourcesDep = Annotated[Resources, Depends(_resources)]
