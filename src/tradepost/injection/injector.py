"""What is done to which request: the header ``X-Fault``, and the named faults as this process knows them."""

import asyncio
import os
import socket
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from functools import partial
from typing import Any, Final

import structlog

from tradepost.accounts.permissions import Permission
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.errors import InsufficientPermissions, Unauthenticated
from tradepost.core.observability.incidents import Incidents
from tradepost.core.principal import Principal
from tradepost.core.signals.signals import Signals
from tradepost.injection.draws import Draws
from tradepost.injection.errors import UnreadableFault
from tradepost.injection.grammar import REPLICA_LENGTH, Fault, NoNotationError, Notation, parsed
from tradepost.injection.journal import Journal
from tradepost.injection.models import NamedFault
from tradepost.injection.repository import FaultRepository
from tradepost.injection.schedule import Rule, is_here
from tradepost.injection.troubles import Troubles
from tradepost.web.asgi_scope import REQUEST_HEADERS_KEY, REQUEST_ID_KEY
from tradepost.web.askers import Askers
from tradepost.web.strikes import Blow, Strike

HEADER: Final = b"x-fault"
TOPIC: Final = "faults"
"""The signal that the table of named faults has changed."""
LOOK: Final = 1.0
"""Seconds between two looks at the table, should signals be lost."""
TICK: Final = 0.05
"""Seconds between two looks at the clock, for what begins by itself."""

Scope = MutableMapping[str, Any]
"""A request as ASGI has it."""

log = structlog.stdlib.get_logger(__name__)


def own_name() -> str:
    """Return the name of this process among all: its machine's, and its own number."""
    return f"{socket.gethostname()[: REPLICA_LENGTH - 12]}:{os.getpid()}"


class Injector:
    """Strikes requests of the API, but not those to ``/admin/faults``: whoever makes faults must be able to end them.

    Outside ``local`` only admins and load tests' keys may send the header. Named faults are read from the table when a signal
    says that it changed, and once a second.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        journal: Journal,
        troubles: Troubles,
        signals: Signals,
        prefix: str,
        is_local: bool,
    ) -> None:
        self.draws = Draws(clock)
        self._database = database
        self._clock = clock
        self._journal = journal
        self._troubles = troubles
        self._signals = signals
        self._prefix = f"{prefix}/"
        self._own = f"{prefix}/admin/faults"
        self._is_local = is_local
        self._rules: list[Rule] = []
        self._changed = asyncio.Event()
        self._reading = asyncio.Lock()
        self._changes = 0
        self._incidents = Incidents(clock, log.warning)

    async def due(self, scope: Scope) -> Sequence[Strike]:
        """Return what is to be done to a request, the header's before the named ones'; troubles are begun."""
        path: str = scope["path"]
        if not path.startswith(self._prefix) or path.startswith(self._own):
            return ()
        text = scope[REQUEST_HEADERS_KEY].get(HEADER)
        if text is None and not self._rules:
            return ()
        strikes: list[Strike] = []
        if text is not None:
            notation = _read(text)
            await self._authorize(scope)
            place, draws = self.draws.next(notation)
            strikes += self._struck(scope, notation.faults, draws, place=place, name=None)
        if self._rules:
            strikes += self._named(scope, path)
        return strikes

    async def _authorize(self, scope: Scope) -> None:
        if not self._is_local:
            check_asker(await scope["state"]["resources"][Askers].find(scope))

    def _named(self, scope: Scope, path: str) -> Iterator[Strike]:
        now = self._clock.now()
        for rule in self._rules:
            row = rule.row
            if (
                not rule.strikes_requests
                or rule.period_at(now) is None
                or not rule.concerns(scope["method"], path)
            ):
                continue
            place, (chosen, *draws) = self._drawn(rule)
            if chosen[0] < row.share:
                yield from self._struck(
                    scope,
                    rule.notation.faults,
                    draws,
                    place=place,
                    name=row.name,
                    troubles=False,
                )

    def _drawn(self, rule: Rule) -> tuple[int, Sequence[tuple[float, float]]]:
        """Draw for a named fault: whether it concerns the request at all comes first."""
        notation = rule.notation
        with_share = Notation(notation.text, (Fault(Blow.DROP, 0.0), *notation.faults), notation.seed)
        return self.draws.next(with_share, of=rule.row.name)

    def _struck(
        self,
        scope: Scope,
        faults: Iterable[Fault],
        draws: Sequence[tuple[float, float]],
        *,
        place: int,
        name: str | None,
        troubles: bool = True,
    ) -> Iterator[Strike]:
        for fault, (whether, how_much) in zip(faults, draws, strict=True):
            if whether >= fault.probability or (fault.is_trouble and not troubles):
                continue
            done = partial(
                self._journal.note,
                fault.kind.value,
                name=name,
                place=place,
                request_id=scope[REQUEST_ID_KEY],
                method=scope["method"],
                path=scope["path"],
            )
            if isinstance(fault.kind, Blow):
                yield Strike(fault.kind, fault.varied(how_much), done)
            else:
                self._troubles.begin(fault, done)

    def apply(self, row: NamedFault) -> None:
        """Have a named fault in force in this process at once, and soon in the others."""
        self._changes += 1
        self.draws.restart(row.name)
        self._rules = [rule for rule in self._rules if rule.row.name != row.name]
        if is_here(row, self._journal.replica):
            self._rules.append(Rule.of(row))
        self._signals.send(TOPIC, "")

    def remove(self, names: Iterable[str]) -> None:
        """End named faults in this process at once, and soon in the others."""
        self._changes += 1
        gone = frozenset(names)
        self._rules = [rule for rule in self._rules if rule.row.name not in gone]
        self._signals.send(TOPIC, "")

    async def run(self) -> None:
        """Keep up with the table, and begin what begins by itself, until cancelled."""
        stop: Callable[[], None] = self._signals.listen(TOPIC, lambda _text: self._changed.set())
        read_at = None
        try:
            while True:
                now = self._clock.monotonic()
                if read_at is None or self._changed.is_set() or now - read_at >= LOOK:
                    self._changed.clear()
                    read_at = now
                    await self._read_quietly()
                self._begin_troubles()
                await asyncio.sleep(TICK)
        finally:
            stop()

    async def read(self) -> None:
        """Read the named faults of the table; of one that did not change, the sequence and the troubles go on.

        One read at a time, and once more when something changed meanwhile: an older read would take back what came after it.
        """
        async with self._reading:
            while True:
                before = self._changes
                async with self._database.read() as db:
                    rows = await FaultRepository(db).find_all()
                    db.expunge_all()
                if before == self._changes:
                    break
            self._know(rows)

    def _know(self, rows: Iterable[NamedFault]) -> None:
        known = {(rule.row.name, rule.row.put_at): rule for rule in self._rules}
        rules = []
        for row in rows:
            if is_here(row, self._journal.replica):
                rule = known.get((row.name, row.put_at))
                if rule is None:
                    self.draws.restart(row.name)
                rules.append(rule or Rule.of(row))
        self._rules = rules

    async def _read_quietly(self) -> None:
        try:
            await self.read()
        except Exception as error:  # noqa: BLE001 - without a database, or before it is migrated: the next look tells
            self._incidents.report("named faults cannot be read", error)

    def _begin_troubles(self) -> None:
        """Begin the troubles of the named faults whose next period has come."""
        for rule in self._rules:
            if not rule.has_troubles:
                continue
            period = rule.period_at(self._clock.now())
            if period is None or period == rule.begun:
                continue
            rule.begun = period
            place, draws = self.draws.next(rule.notation, of=f"{rule.row.name}\0troubles")
            for fault, (whether, _) in zip(rule.notation.faults, draws, strict=True):
                if fault.is_trouble and whether < fault.probability:
                    note = partial(self._journal.note, fault.kind.value, name=rule.row.name, place=place)
                    self._troubles.begin(fault, note)


def check_asker(asker: Principal | None) -> None:
    """Raise unless this is an admin, or a load test's key: who may make faults outside ``local``."""
    if asker is None:
        raise Unauthenticated
    lifts_limits = asker.key is not None and asker.key.lifts_limits
    if not lifts_limits and Permission.ADMIN_ACCESS not in asker.permissions:
        raise InsufficientPermissions


def _read(text: bytes) -> Notation:
    try:
        return parsed(text.decode("latin-1"))
    except NoNotationError as error:
        raise UnreadableFault(f"X-Fault: {error}") from None
