"""Builds what makes faults on purpose, where ``FAULTS_ENABLED`` says so, and says who may ask for it."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated

from fastapi import Depends, Query

from tradepost.accounts.dependencies import Visitor
from tradepost.core.audit.models import ActorKind
from tradepost.core.audit.trail import Actor, Asker, AuditTrail
from tradepost.core.clock import SkewedClock
from tradepost.core.database.sessions import ReadSession, WriteSession
from tradepost.core.principal import NOWHERE, REQUEST_ID_LENGTH
from tradepost.core.resources import Resources
from tradepost.core.signals.signals import Signals
from tradepost.core.storage.store import Storage
from tradepost.core.wire.schemas import Id
from tradepost.injection.grammar import KINDS, NAME_LENGTH
from tradepost.injection.injector import Injector, check_asker, own_name
from tradepost.injection.journal import Journal
from tradepost.injection.repository import FaultRepository, Selection
from tradepost.injection.service import FaultLog, FaultService
from tradepost.injection.storage import UnreliableStorage
from tradepost.injection.troubles import Troubles
from tradepost.web.db import ReadDb, ResourcesDep, WriteDb, resource
from tradepost.web.strikes import Strikes


def open_injection(resources: Resources) -> AbstractAsyncContextManager[None] | None:
    """Put in what makes faults, and a storage that can fail; without ``FAULTS_ENABLED`` nothing at all."""
    return _opened(resources) if resources.settings.FAULTS_ENABLED else None


@asynccontextmanager
async def _opened(resources: Resources) -> AsyncIterator[None]:
    settings, database, clock = resources.settings, resources.database, resources.clock
    if not isinstance(clock, SkewedClock):
        raise TypeError("faults need a clock that can be set wrong")
    journal = Journal(database, clock.right, replica=own_name())
    troubles = Troubles(database, clock, journal)
    injector = Injector(
        database,
        clock.right,
        journal=journal,
        troubles=troubles,
        signals=resources[Signals],
        prefix=settings.API_V1_STR,
        is_local=settings.is_local,
    )
    resources.put(Journal, journal)
    resources.put(Troubles, troubles)
    resources.put(Injector, injector)
    resources.put(Strikes, injector)
    resources.put(FaultLog, FaultLog(database, journal))
    resources.put(Storage, UnreliableStorage(resources[Storage], troubles.fail_storage))
    try:
        yield
    finally:
        await troubles.close()


def build_fault_service(db: ReadSession | WriteSession, resources: Resources) -> FaultService:
    """Build the service for named faults."""
    return FaultService(
        FaultRepository(db),
        resources[AuditTrail],
        resources.clock,
        injector=resources[Injector],
        journal=resources[Journal],
    )


async def fault_reads(db: ReadDb, resources: ResourcesDep) -> FaultService:
    """Return the service for named faults on a read session."""
    return build_fault_service(db, resources)


async def fault_writes(db: WriteDb, resources: ResourcesDep) -> FaultService:
    """Return the service for named faults in the request's transaction."""
    return build_fault_service(db, resources)


async def may_inject(asker: Visitor, resources: ResourcesDep) -> Asker:
    """Return who makes faults: in ``local`` anybody, elsewhere an admin or a load test's key."""
    if not resources.settings.is_local:
        check_asker(asker)
    return asker or Actor(ActorKind.PERSON, None, NOWHERE)


async def fault_selection(
    *,
    kind: Annotated[str | None, Query(pattern=f"^({'|'.join(KINDS)})$", description="Only this kind")] = None,
    name: Annotated[
        str | None, Query(min_length=1, max_length=NAME_LENGTH, description="Only this named fault's")
    ] = None,
    request_id: Annotated[
        str | None, Query(min_length=1, max_length=REQUEST_ID_LENGTH, description="Only to this request")
    ] = None,
    after_id: Annotated[Id | None, Query(description="Only the lines after this one")] = None,
) -> Selection:
    """Return which lines a query string selects."""
    return Selection(kind, name, request_id, after_id)


FaultReads = Annotated[FaultService, Depends(fault_reads, scope="function")]
FaultWrites = Annotated[FaultService, Depends(fault_writes, scope="function")]
FaultLogDep = Annotated[FaultLog, resource(FaultLog)]
FaultSelection = Annotated[Selection, Depends(fault_selection)]
MayInject = Annotated[Asker, Depends(may_inject)]
