"""A watch over the order of locks: a transaction of any test that takes one too late fails.

The order is ``LOCKS`` in ``core/database/locks.py``. Statements carry the locks that they take, so both engines are
watched alike, although SQLite's SELECTs lock nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import ClauseElement, Connection, Engine, Executable, Update, event
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine.interfaces import Compiled
from sqlalchemy.sql.visitors import iterate

from tradepost.core.database.locks import LOCKS, TAKEN, WAITS, Lock

_HELD: Final = "locks_held"
_WRITTEN: Final = {lock.on: lock for lock in LOCKS if lock.written}


class WrongOrder(AssertionError):
    """A transaction waits for a lock while it holds one that comes later in ``LOCKS``."""


def taken_by(statement: ClauseElement) -> Iterator[tuple[Lock, bool]]:
    """Yield the locks that a statement takes, those of its subqueries too, and whether it waits for each."""
    for element in iterate(statement):
        if isinstance(element, Executable):
            options = element.get_execution_options()
            for lock in options.get(TAKEN, ()):
                yield lock, options[WAITS]
        if isinstance(element, postgresql.Insert | Update) and (lock := _WRITTEN.get(str(element.table))):
            yield lock, True


class LockWatch:
    """Watches every transaction of the process between ``start`` and ``stop``, and remembers what was wrong."""

    def __init__(self) -> None:
        self.violations: list[str] = []
        # Statements that are alike are compiled once, and take the same locks.
        self._taken: WeakKeyDictionary[Compiled | Executable, tuple[tuple[Lock, bool], ...]] = (
            WeakKeyDictionary()
        )

    def start(self) -> None:
        """Begin to watch."""
        for name in ("begin", "commit", "rollback"):
            event.listen(Engine, name, self._forget)
        event.listen(Engine, "before_cursor_execute", self._look)

    def stop(self) -> None:
        """Watch no longer."""
        for name in ("begin", "commit", "rollback"):
            event.remove(Engine, name, self._forget)
        event.remove(Engine, "before_cursor_execute", self._look)

    @contextmanager
    def expecting(self) -> Iterator[list[str]]:
        """Take the violations in the block for intended: they are handed over, and fail no test."""
        before, self.violations = self.violations, []
        try:
            yield self.violations
        finally:
            self.violations = before

    def _forget(self, connection: Connection) -> None:
        # One that was lost in the middle has no record any more, and refuses to be asked for it.
        if not connection.invalidated:
            connection.info.pop(_HELD, None)

    def _look(
        self, connection: Connection, _cursor: Any, _text: str, _values: Any, context: Any, _many: object
    ) -> None:
        compiled: Compiled | None = getattr(context, "compiled", None)
        # By the short way of ``core/database/short_way.py`` nothing is compiled.
        statement: Any = (
            getattr(context, "invoked_statement", None) if compiled is None else compiled.statement
        )
        if statement is None:
            return
        key = compiled or statement
        if key not in self._taken:
            self._taken[key] = tuple(taken_by(statement))
        for lock, waits in self._taken[key]:
            self._note(connection, lock, waits=waits)

    def _note(self, connection: Connection, lock: Lock, *, waits: bool) -> None:
        held: list[Lock] = connection.info.setdefault(_HELD, [])
        if connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            self._fail(f"{lock.strength} on {lock.on} ends with its statement: there is no transaction")
        if lock.written and any(one.on == lock.on and LOCKS.index(one) < LOCKS.index(lock) for one in held):
            # A statement writes rows that its transaction has locked more strongly before: there is nothing to wait for.
            return
        latest = max(held, key=LOCKS.index, default=lock)
        reacts = lock.each_reaction and any(one.on == "messages" for one in held)
        if waits and LOCKS.index(lock) < LOCKS.index(latest) and not reacts:
            self._fail(
                f"{lock.strength} on {lock.on} is waited for while {latest.strength} on {latest.on} is held"
            )
        held.append(lock)

    def _fail(self, violation: str) -> None:
        self.violations.append(violation)
        raise WrongOrder(violation)
