"""``/admin/faults``: faults with names, and the log of what was done to whom. Served with ``FAULTS_ENABLED`` alone."""

from functools import partial
from typing import Annotated

from fastapi import Path

from tradepost.core.errors import InsufficientPermissions, Unauthenticated
from tradepost.core.wire.schemas import Confirmation
from tradepost.injection.dependencies import FaultLogDep, FaultReads, FaultSelection, FaultWrites, MayInject
from tradepost.injection.errors import FaultNotFound, TooManyFaults
from tradepost.injection.grammar import NAME_LENGTH
from tradepost.injection.schemas import FaultList, FaultPut, FaultRead, StruckFaultPage
from tradepost.web.openapi.document import CREDENTIALS_OPTIONAL
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.routing.lists import ListPages, PlainWindow
from tradepost.web.routing.router import Router

router = Router(prefix="/admin/faults", tags=["faults"])

ONLY_SOME = problem_responses(Unauthenticated, InsufficientPermissions)
FaultName = Annotated[str, Path(min_length=1, max_length=NAME_LENGTH, description="The fault's name")]


@router.get("", responses=ONLY_SOME, openapi_extra=CREDENTIALS_OPTIONAL)
async def list_faults(_asker: MayInject, faults: FaultReads) -> FaultList:
    """List the faults that have names, also those whose time is over."""
    return await faults.list()


@router.put(
    "",
    responses=problem_responses(Unauthenticated, InsufficientPermissions, TooManyFaults),
    openapi_extra=CREDENTIALS_OPTIONAL,
)
async def put_fault(new: FaultPut, asker: MayInject, faults: FaultWrites) -> FaultRead:
    """Have a fault in force: here at once, in other processes within a second. One of the same name is replaced."""
    return await faults.put(new, by=asker)


@router.delete("", responses=ONLY_SOME, openapi_extra=CREDENTIALS_OPTIONAL)
async def delete_faults(asker: MayInject, faults: FaultWrites) -> Confirmation:
    """End all faults that have names, and begin the sequences of seeded headers anew."""
    await faults.delete(None, by=asker)
    return Confirmation(message="Faults deleted successfully")


@router.get("/log", responses=ONLY_SOME, openapi_extra=CREDENTIALS_OPTIONAL)
async def list_struck_faults(
    _asker: MayInject, log: FaultLogDep, selection: FaultSelection, pages: ListPages, window: PlainWindow
) -> StruckFaultPage:
    """List what was done to whom, the newest first: the last hundred thousand. Other processes' lines come a moment later."""
    page = await pages.read(f"faults {selection}", window, partial(log.page, selection))
    return StruckFaultPage(faults=list(page.rows), **page.info)


@router.delete(
    "/{name}",
    responses=problem_responses(Unauthenticated, InsufficientPermissions, FaultNotFound),
    openapi_extra=CREDENTIALS_OPTIONAL,
)
async def delete_fault(name: FaultName, asker: MayInject, faults: FaultWrites) -> Confirmation:
    """End a fault that has a name."""
    await faults.delete(name, by=asker)
    return Confirmation(message="Fault deleted successfully")
