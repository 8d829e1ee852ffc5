"""The tables of faults on purpose: those that have names, and the log of what was done to whom."""

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from tradepost.core.database.models import NEVER_REUSED, Base, Identified
from tradepost.core.principal import REQUEST_ID_LENGTH
from tradepost.injection.grammar import LONGEST, METHOD_LENGTH, NAME_LENGTH, PATH_LENGTH, REPLICA_LENGTH


class NamedFault(Base):
    """Faults with a name, a schedule, and whom they strike.

    With a ``period``, in seconds, the faults are on for the first ``on_seconds`` of each, counted from ``starts_at``.
    """

    __tablename__ = "named_faults"

    name: Mapped[str] = mapped_column(String(NAME_LENGTH), primary_key=True)
    notation: Mapped[str] = mapped_column(String(LONGEST))
    share: Mapped[float]
    method: Mapped[str | None] = mapped_column(String(METHOD_LENGTH))
    path: Mapped[str | None] = mapped_column(String(PATH_LENGTH))
    replica: Mapped[str | None] = mapped_column(String(REPLICA_LENGTH))
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    period: Mapped[float | None]
    on_seconds: Mapped[float | None]
    put_at: Mapped[datetime]


class StruckFault(Identified, Base):
    """A fault that was made: when, in which process, of which kind, by whom, and to which request."""

    __tablename__ = "struck_faults"
    __table_args__ = (NEVER_REUSED,)

    at: Mapped[datetime]
    replica: Mapped[str] = mapped_column(String(REPLICA_LENGTH))
    kind: Mapped[str] = mapped_column(String(20))
    name: Mapped[str | None] = mapped_column(String(NAME_LENGTH))
    place: Mapped[int]
    details: Mapped[str] = mapped_column(String(100))
    request_id: Mapped[str | None] = mapped_column(String(REQUEST_ID_LENGTH))
    method: Mapped[str | None] = mapped_column(String(METHOD_LENGTH))
    path: Mapped[str | None] = mapped_column(String(PATH_LENGTH))
