"""Faults with names, and the log of those that were made."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from tradepost.core.audit.trail import Asker, AuditTrail, Target
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.wire.pagination import Page, Window
from tradepost.injection.errors import FaultNotFound, TooManyFaults
from tradepost.injection.injector import Injector
from tradepost.injection.journal import Journal
from tradepost.injection.models import NamedFault
from tradepost.injection.repository import FaultRepository, Selection
from tradepost.injection.schedule import period_at
from tradepost.injection.schemas import FaultList, FaultPut, FaultRead, StruckFaultRead

MOST_NAMED: Final = 100
"""Faults that may have names: each is looked at for every request."""


class FaultService:
    """Works in the caller's session. What it changes is in force in this process with the commit, and soon in the others."""

    def __init__(
        self,
        faults: FaultRepository,
        audit: AuditTrail,
        clock: Clock,
        *,
        injector: Injector,
        journal: Journal,
    ) -> None:
        self._faults = faults
        self._audit = audit
        self._clock = clock
        self._injector = injector
        self._journal = journal

    async def list(self) -> FaultList:
        """Return all named faults."""
        now = self._clock.now()
        rows = await self._faults.find_all()
        return FaultList(faults=[_shown(row, now) for row in rows], replica=self._journal.replica)

    async def put(self, new: FaultPut, *, by: Asker) -> FaultRead:
        """Have a fault in force, in the place of the one that had its name; ``TooManyFaults`` if there is no room."""
        await self._faults.lock_all()
        if await self._faults.count_others(new.name) >= MOST_NAMED:
            raise TooManyFaults
        now = self._clock.now()
        starts_at = new.starts_at or now
        values = {
            "name": new.name,
            "notation": new.faults,
            "share": new.share,
            "method": new.method,
            "path": new.path,
            "replica": new.replica,
            "starts_at": starts_at,
            "ends_at": starts_at + timedelta(seconds=new.seconds),
            "period": new.period,
            "on_seconds": new.on_seconds,
            "put_at": now,
        }
        row = await self._faults.put(values)
        if isinstance(self._faults.db, WriteSession):
            details = new.model_dump(mode="json", exclude_none=True)
            on = Target("fault", None, None)
            await self._audit.add(self._faults.db, "fault.put", by=by, on=on, details=details)
            self._faults.db.after_commit(lambda: self._injector.apply(row))
        return _shown(row, now)

    async def delete(self, name: str | None, *, by: Asker) -> Sequence[str]:
        """End a named fault, or all; ``FaultNotFound`` when there is none of that name. All: sequences of headers begin anew."""
        names = await self._faults.delete(name)
        if name is not None and not names:
            raise FaultNotFound
        if isinstance(self._faults.db, WriteSession):
            if names:
                on, details = Target("fault", None, None), {"names": list(names)}
                await self._audit.add(self._faults.db, "fault.deleted", by=by, on=on, details=details)
            self._faults.db.after_commit(lambda: self._injector.remove(names))
            if name is None:
                self._faults.db.after_commit(self._injector.draws.restart)
        return names


class FaultLog:
    """Reads the log, after what this process has yet to write. Lives as long as the process."""

    def __init__(self, database: Database, journal: Journal) -> None:
        self._database = database
        self._journal = journal

    async def page(self, selection: Selection, window: Window) -> Page[StruckFaultRead]:
        """List what was done to whom, newest first."""
        await self._journal.flush()
        async with self._database.read() as db:
            page = await FaultRepository(db).page(selection, window)
        return page.mapped(StruckFaultRead.model_validate)


def _shown(row: NamedFault, now: datetime) -> FaultRead:
    return FaultRead(
        name=row.name,
        faults=row.notation,
        share=row.share,
        method=row.method,
        path=row.path,
        replica=row.replica,
        starts_at=row.starts_at,
        ends_at=row.ends_at,
        period=row.period,
        on_seconds=row.on_seconds,
        is_on=period_at(row, now) is not None,
    )
