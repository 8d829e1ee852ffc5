"""Group commit: writes that arrive during a transaction share the next one, with one commit and few statements.

A commit waits for the disk: one for each write would bound the rate of writes by the disk's latency. Each caller is
answered after the commit that holds its write, as if it had been alone in it. Nobody waits for a lock that another's job
needs: a group waits for locks for a moment only, and what is held up is tried apart.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar, cast

from tradepost.core.batching.coalescer import Coalescer, Observe, name_of
from tradepost.core.database.faults import is_held_up, is_undone, translate
from tradepost.core.database.postgres_connection import lock_patience
from tradepost.core.deadlines import DeadlineExceeded, Stage
from tradepost.core.errors import DatabaseUnavailable

J = TypeVar("J")
R = TypeVar("R")

GROUP_PATIENCE: Final = 250
"""Milliseconds that a group waits for a lock."""
PATIENCE: Final = 25
"""Milliseconds that a job waits for a lock while others wait for it, at its first try alone."""
LONGEST_PATIENCE: Final = 500
"""Milliseconds at a later try: twice as many at each. A lock that many want is given in turn, to those who wait long enough."""
APART: Final = 2
"""Jobs that are tried apart at once; each has a connection only while it is."""
FIRST_PAUSE: Final = 0.02
LONGEST_PAUSE: Final = 0.5
HELD_SECONDS: Final = 10.0
"""Seconds for which a job is tried that is held up; its caller's deadline may come before."""

Outcome = Any
"""The result of a job, or the exception that it alone raised."""


class _HeldUp:
    """The outcome of a job that needs a lock which another transaction has."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class GroupWriter(Generic[J, R]):
    """Writes jobs through ``write``, which does a group of them in one transaction and returns an outcome for each.

    When a group fails as a whole, each of its jobs is written on its own, so that the faulty one fails alone; nothing is
    tried again while the database is away. A job whose caller was cancelled before its group began is not written. Jobs
    are told apart by identity: two equal ones are both written. A job that needs a lock which another transaction has is
    tried again and again, apart from the others.
    """

    def __init__(
        self,
        write: Callable[[Sequence[J]], Awaitable[Sequence[Outcome]]],
        *,
        max_group: int = 64,
        observe: Observe | None = None,
        pause: Callable[[], float] | None = None,
    ) -> None:
        """``pause`` says for how many seconds a group is waited for, by jobs that are about to come; none by default."""
        self._write = write
        self._groups: Coalescer[_Ticket[J], Outcome] = Coalescer(
            self._run,
            lanes=1,
            max_batch=max_group,
            observe=observe,
            stage=Stage.WRITING,
            name=name_of(write),
            pause=pause,
        )
        self._apart: Coalescer[_Ticket[J], Outcome] = Coalescer(
            self._run_alone, lanes=APART, max_batch=1, stage=Stage.WRITING, name=name_of(write)
        )

    async def submit(self, job: J) -> R:
        """Write a job; return its result after the commit, or raise its error."""
        ticket = _Ticket(job)
        outcome = await self._groups.find(ticket)
        if isinstance(outcome, _HeldUp):
            outcome = await self._written_apart(ticket, outcome)
        if isinstance(outcome, BaseException):
            try:
                raise outcome
            finally:
                # The error has this frame, which is not to have the error.
                del outcome
        return cast("R", outcome)

    async def _written_apart(self, ticket: "_Ticket[J]", outcome: Outcome) -> Outcome:
        loop = asyncio.get_running_loop()
        until, pause = loop.time() + HELD_SECONDS, FIRST_PAUSE
        while isinstance(outcome, _HeldUp):
            if loop.time() >= until:
                raise outcome.error
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            outcome = await self._apart.find(ticket)
        return outcome

    async def _run(self, tickets: Sequence["_Ticket[J]"]) -> Mapping["_Ticket[J]", Outcome]:
        lock_patience.set(GROUP_PATIENCE if len(tickets) > 1 else PATIENCE)
        try:
            outcomes = await self._write([ticket.job for ticket in tickets])
        except Exception as error:
            if is_held_up(error) and len(tickets) == 1:
                return {tickets[0]: _HeldUp(error)}
            if len(tickets) == 1 or _is_away(error):
                raise
            outcomes = await self._one_by_one([ticket.job for ticket in tickets])
        return dict(zip(tickets, outcomes, strict=True))

    async def _run_alone(self, tickets: Sequence["_Ticket[J]"]) -> Mapping["_Ticket[J]", Outcome]:
        (ticket,) = tickets
        ticket.patience = min(2 * ticket.patience, LONGEST_PATIENCE)
        return {ticket: (await self._one_by_one([ticket.job], ticket.patience))[0]}

    async def _one_by_one(self, jobs: Sequence[J], patience: int = PATIENCE) -> list[Outcome]:
        outcomes: list[Outcome] = []
        lock_patience.set(patience)
        for job in jobs:
            try:
                (outcome,) = await self._write([job])
            except Exception as error:  # noqa: BLE001 - it is handed to the one caller it concerns
                if is_held_up(error):
                    outcomes.append(_HeldUp(error))
                    continue
                if _is_away(error):
                    # Each of the others might wait for a time limit, one after the other.
                    return outcomes + [error] * (len(jobs) - len(outcomes))
                outcome = error
            outcomes.append(outcome)
        return outcomes


def _is_away(error: Exception) -> bool:
    """Tell whether trying again is pointless, or worse: a commit whose connection broke off may have happened."""
    if is_undone(error) or is_held_up(error):
        return False
    if isinstance(error, DeadlineExceeded):
        # All who wanted something of the group have left.
        return True
    return isinstance(error, OSError) or isinstance(translate(error) or error, DatabaseUnavailable)


class _Ticket(Generic[J]):
    """A job's place in the queue, equal to no other; ``patience`` is in milliseconds."""

    __slots__ = ("job", "patience")

    def __init__(self, job: J) -> None:
        self.job = job
        self.patience = PATIENCE
