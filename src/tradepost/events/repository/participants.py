"""The statements about who takes part in an event and who waits."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Select,
    String,
    column,
    delete,
    func,
    insert,
    literal_column,
    select,
    type_coerce,
    update,
)

from tradepost.accounts.models import User
from tradepost.core.database.elements import AmongIds, AmongSelected, GivenRows
from tradepost.core.database.keyset import Order
from tradepost.core.database.repository import Repository
from tradepost.core.wire.pagination import Page, Window
from tradepost.events.models import Participant
from tradepost.events.schemas import ParticipantRow, ParticipantStatus

_UNTRACKED: Final = {"synchronize_session": False}
_STATUS: Final = type_coerce(Participant.status, String)
# Literals in the statement, not parameters: only then the planner can use the partial index.
_WAITS: Final = Participant.status == literal_column("'waiting'")
_ASKED: Final = GivenRows("event_ids", "user_ids").table_valued(
    column("event_ids", BigInteger), column("user_ids", BigInteger), name="asked"
)
_PLACES: Final = select(
    Participant.event_id, Participant.user_id, _STATUS.label("status"), Participant.number
).join_from(
    _ASKED,
    Participant,
    (Participant.event_id == _ASKED.c.event_ids) & (Participant.user_id == _ASKED.c.user_ids),
)
_SHOWN: Final[Select[*tuple[Any, ...]]] = select(
    Participant.user_id,
    User.first_name,
    User.last_name,
    User.avatar_url,
    _STATUS.label("status"),
    Participant.number,
    Participant.joined_at,
).join(User, User.id == Participant.user_id)
# Numbers are unique among those of an event.
_BY_NUMBER: Final = Order("number", {"number": Participant.number}, ties=Participant.number)


class Place(NamedTuple):
    """What a person has at an event: a seat, or a place on the waiting list."""

    status: str
    number: int


class ParticipantRepository(Repository):
    """The rows of ``event_participants``. Who changes them has the event locked."""

    async def find_places(self, pairs: Collection[tuple[int, int]]) -> dict[tuple[int, int], Place]:
        """Return the places of people at events, by pairs of the event's and the person's id."""
        if not pairs:
            return {}
        event_ids, user_ids = zip(*pairs, strict=True)
        found = await self.rows(_PLACES, {"event_ids": list(event_ids), "user_ids": list(user_ids)})
        return {(row.event_id, row.user_id): Place(row.status, row.number) for row in found}

    async def find_statuses(self, event_ids: Sequence[int], *, user_id: int) -> dict[int, str]:
        """Return the statuses of a person at these events."""
        mine = select(Participant.event_id, _STATUS.label("status")).where(
            Participant.user_id == user_id, AmongIds(Participant.event_id)
        )
        return {row.event_id: row.status for row in await self.rows(mine, {"ids": list(event_ids)})}

    async def position(self, event_id: int, number: int) -> int:
        """Return the place on the waiting list of who waits with this number, from 1."""
        before = select(func.count()).where(
            Participant.event_id == event_id, _WAITS, Participant.number <= number
        )
        return int(await self.db.scalar(before) or 0)

    async def page(self, event_id: int, window: Window) -> Page[ParticipantRow]:
        """Return a part of the participants of an event, in the order of joining."""
        page = await self.paged(_SHOWN.where(Participant.event_id == event_id), window, _BY_NUMBER)
        return page.mapped(lambda row: ParticipantRow._make(row[: len(ParticipantRow._fields)]))

    async def add(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert participants."""
        await self.db.execute(insert(Participant), rows)

    async def remove(self, event_id: int, *, user_id: int) -> ParticipantStatus | None:
        """Delete a person's place at an event; return what it was, None when there was none."""
        return await self.db.scalar(
            delete(Participant)
            .where(Participant.event_id == event_id, Participant.user_id == user_id)
            .returning(Participant.status)
            .execution_options(**_UNTRACKED)
        )

    async def remove_several(
        self, event_id: int, *, user_ids: Collection[int]
    ) -> dict[int, ParticipantStatus]:
        """Delete the places of people at an event; return what they were, by the person's id."""
        gone = await self.db.execute(
            delete(Participant)
            .where(Participant.event_id == event_id, AmongIds(Participant.user_id))
            .returning(Participant.user_id, Participant.status)
            .execution_options(**_UNTRACKED),
            {"ids": sorted(user_ids)},
        )
        return {row.user_id: row.status for row in gone}

    async def move_up(self, event_id: int, number: int, *, now: datetime) -> Sequence[int | None]:
        """Give seats to the first ``number`` who wait; return their ids in their order."""
        first = (
            select(Participant.id)
            .where(Participant.event_id == event_id, _WAITS)
            .order_by(Participant.number)
            .limit(number)
        )
        moved = await self.db.execute(
            update(Participant)
            .where(AmongSelected(Participant.id, first))
            .values(status=ParticipantStatus.JOINED, seated_at=now)
            .returning(Participant.number, Participant.user_id)
            .execution_options(**_UNTRACKED)
        )
        return [user_id for _, user_id in sorted((row.number, row.user_id) for row in moved)]

    async def find_audience(
        self, event_id: int, *, after: int, limit: int, joined_by: datetime, seated: bool
    ) -> Sequence[tuple[int, int]]:
        """Return number and id of the next who joined by then; if ``seated``, only those who had a seat by then."""
        in_by_then = Participant.seated_at if seated else Participant.joined_at
        audience = (
            select(Participant.number, Participant.user_id)
            .where(
                Participant.event_id == event_id,
                Participant.number > after,
                Participant.user_id.is_not(None),
                in_by_then <= joined_by,
            )
            .order_by(Participant.number)
            .limit(limit)
        )
        return [(number, user_id) for number, user_id in await self.rows(audience)]
