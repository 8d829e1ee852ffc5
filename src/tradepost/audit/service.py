"""Reading the audit trail, writing it out, and deleting what is older than a year."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from typing import Final

from tradepost.audit.repository import AuditLineRepository
from tradepost.audit.schemas import AuditLineRead, Selection
from tradepost.core.audit.trail import SYSTEM, AuditTrail, Target
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.principal import Principal
from tradepost.core.wire.pagination import Page, Window

KEPT: Final = timedelta(days=366)
"""How long lines are kept: a day more than the database itself insists on, whose clock may be another."""
CHUNK: Final = 1_000
"""Lines that are deleted in one transaction, or read at once for an export."""


class AuditReader:
    """Reads lines, each page on a connection of its own. Lives as long as the process."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def page(self, selection: Selection, window: Window) -> Page[AuditLineRead]:
        """List lines, newest first."""
        async with self._database.read() as db:
            page = await AuditLineRepository(db).page(selection, window)
        return page.mapped(AuditLineRead.model_validate)

    async def page_of(
        self, principal: Principal, selection: Selection, window: Window
    ) -> Page[AuditLineRead]:
        """List the lines about what the person did, and about what others did to the person's account and things.

        From where somebody else did it is not for the person to know. A failed log-in is nobody's, and is shown whole.
        """
        async with self._database.read() as db:
            page = await AuditLineRepository(db).page_of(principal.user_id, selection, window)
        return page.mapped(lambda line: _shown_to(principal, AuditLineRead.model_validate(line)))

    async def export(self, selection: Selection) -> AsyncGenerator[bytes]:
        """Write out the selected lines of now, oldest first: NDJSON, in chunks that are read one after the other.

        No transaction is held open for a slow client: lines never change, so the chunks fit together.
        """
        now = self._clock.now()
        until = now if selection.until is None else min(now, selection.until)
        wanted, after = replace(selection, until=until), None
        while True:
            async with self._database.read() as db:
                lines = await AuditLineRepository(db).find_after(wanted, after=after, limit=CHUNK)
            if not lines:
                return
            after = (lines[-1].at, lines[-1].id)
            shown = [AuditLineRead.model_validate(line).model_dump_json() for line in lines]
            yield "".join(f"{line}\n" for line in shown).encode()


class AuditPruner:
    """Deletes lines that are older than a year, as the database allows, and leaves a line about it."""

    def __init__(self, database: Database, audit: AuditTrail, clock: Clock) -> None:
        self._database = database
        self._audit = audit
        self._clock = clock

    async def run(self) -> None:
        """Delete what is old, in chunks, each in a transaction of its own."""
        before = self._clock.now() - KEPT
        number, deleted = 0, CHUNK
        while deleted == CHUNK:
            async with self._database.transaction() as db:
                deleted = await AuditLineRepository(db).delete_before(before, limit=CHUNK)
            number += deleted
        if number:
            details = {"before": before.isoformat(), "number": number}
            async with self._database.transaction() as db:
                on = Target("audit", None, None)
                await self._audit.add(db, "audit.pruned", by=SYSTEM, on=on, details=details)


def _shown_to(principal: Principal, line: AuditLineRead) -> AuditLineRead:
    if line.actor_id in {None, principal.user_id}:
        return line
    return line.model_copy(update={"ip": None, "user_agent": None, "request_id": None})
