"""When a named fault is on, and whom it strikes: what a row of the table means, worked out once."""

from dataclasses import dataclass, field
from datetime import datetime

from tradepost.injection.grammar import Notation, parsed
from tradepost.injection.models import NamedFault


@dataclass(slots=True)
class Rule:
    """A named fault in a process: ``begun`` is the period whose troubles have begun here."""

    row: NamedFault
    notation: Notation
    has_troubles: bool
    strikes_requests: bool
    begun: int | None = field(default=None)

    @classmethod
    def of(cls, row: NamedFault) -> "Rule":
        """Return the meaning of a row."""
        notation = parsed(row.notation)
        troubles = [fault.is_trouble for fault in notation.faults]
        return cls(row, notation, any(troubles), not all(troubles))

    def period_at(self, now: datetime) -> int | None:
        """Return in which of its periods the fault is on at a moment, from 0; None when it is off."""
        return period_at(self.row, now)

    def concerns(self, method: str, path: str) -> bool:
        """Tell whether a request is of those that the fault strikes."""
        row = self.row
        return (row.method is None or row.method == method) and (
            row.path is None or path.startswith(row.path)
        )


def period_at(row: NamedFault, now: datetime) -> int | None:
    """Return in which of its periods a named fault is on at a moment, from 0; None when it is off."""
    if not row.starts_at <= now < row.ends_at:
        return None
    if row.period is None:
        return 0
    number, into = divmod((now - row.starts_at).total_seconds(), row.period)
    on = row.period / 2 if row.on_seconds is None else row.on_seconds
    return int(number) if into < on else None


def is_here(row: NamedFault, replica: str) -> bool:
    """Tell whether a named fault is for this process: ``replica`` is the machine and the process, by a colon."""
    return row.replica is None or row.replica in {replica, replica.rpartition(":")[0]}
