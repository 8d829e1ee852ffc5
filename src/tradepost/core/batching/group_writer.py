"""Group commit: writes that arrive during a transaction share the next one, with one commit and few statements.

A commit waits for the disk: one for each write would bound the rate of writes by the disk's latency. Each caller is
answered after the commit that holds its write, as if it had been alone in it.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

from tradepost.core.batching.coalescer import Coalescer, Observe
from tradepost.core.database.faults import is_undone, translate
from tradepost.core.deadlines import DeadlineExceeded, Stage
from tradepost.core.errors import DatabaseUnavailable

J = TypeVar("J")
R = TypeVar("R")

Outcome = Any
"""The result of a job, or the exception that it alone raised."""


class GroupWriter(Generic[J, R]):
    """Writes jobs through ``write``, which does a group of them in one transaction and returns an outcome for each.

    When a group fails as a whole, each of its jobs is written on its own, so that the faulty one fails alone; nothing is
    tried again while the database is away. A job whose caller was cancelled before its group began is not written. Jobs
    are told apart by identity: two equal ones are both written.
    """

    def __init__(
        self,
        write: Callable[[Sequence[J]], Awaitable[Sequence[Outcome]]],
        *,
        max_group: int = 64,
        observe: Observe | None = None,
    ) -> None:
        self._write = write
        self._groups: Coalescer[_Ticket[J], Outcome] = Coalescer(
            self._run, lanes=1, max_batch=max_group, observe=observe, stage=Stage.WRITING
        )

    async def submit(self, job: J) -> R:
        """Write a job; return its result after the commit, or raise its error."""
        outcome = await self._groups.find(_Ticket(job))
        if isinstance(outcome, BaseException):
            raise outcome
        return cast("R", outcome)

    async def _run(self, tickets: Sequence["_Ticket[J]"]) -> Mapping["_Ticket[J]", Outcome]:
        try:
            outcomes = await self._write([ticket.job for ticket in tickets])
        except Exception as error:
            if len(tickets) == 1 or _is_away(error):
                raise
            outcomes = await self._one_by_one([ticket.job for ticket in tickets])
        return dict(zip(tickets, outcomes, strict=True))

    async def _one_by_one(self, jobs: Sequence[J]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for job in jobs:
            try:
                (outcome,) = await self._write([job])
            except Exception as error:  # noqa: BLE001 - it is handed to the one caller it concerns
                if _is_away(error):
                    # Each of the others might wait for a time limit, one after the other.
                    return outcomes + [error] * (len(jobs) - len(outcomes))
                outcome = error
            outcomes.append(outcome)
        return outcomes


def _is_away(error: Exception) -> bool:
    """Tell whether trying again is pointless, or worse: a commit whose connection broke off may have happened."""
    if is_undone(error):
        return False
    if isinstance(error, DeadlineExceeded):
        # All who wanted something of the group have left.
        return True
    return isinstance(error, OSError) or isinstance(translate(error) or error, DatabaseUnavailable)


class _Ticket(Generic[J]):
    """A job's place in the queue, equal to no other."""

    __slots__ = ("job",)

    def __init__(self, job: J) -> None:
        self.job = job
