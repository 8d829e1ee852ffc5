"""Decides who is told what over which channel: the one reaction between all facts and all channels."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from tradepost.accounts.service import UserService
from tradepost.core.clock import Clock
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.messages import Envelope
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.signals.signals import Signals
from tradepost.notifications.inbox.live import INBOX_TOPIC
from tradepost.notifications.inbox.models import BODY_LENGTH, TITLE_LENGTH
from tradepost.notifications.inbox.repository import InboxRepository
from tradepost.notifications.kinds import BY_FACT, Kind, Note
from tradepost.notifications.mail.messages import MailDue
from tradepost.notifications.preferences.service import PreferenceService

Planned = tuple[Envelope[Any], Kind[Any], Note]


class Planner:
    """Turns groups of facts into inbox rows and e-mails that are due, with a handful of statements for a whole group.

    It runs in the transaction that also settles the facts: what it writes is there once, or not yet.
    """

    def __init__(
        self,
        *,
        people: Callable[[WriteSession], UserService],
        outbox: Outbox,
        signals: Signals,
        clock: Clock,
    ) -> None:
        self._people = people
        self._outbox = outbox
        self._signals = signals
        self._clock = clock

    async def plan(self, db: WriteSession, envelopes: Sequence[Envelope[Any]]) -> None:
        """Tell everybody concerned; who was deleted meanwhile is told nothing."""
        planned = [
            (envelope, kind, kind.note(envelope.message))
            for envelope in envelopes
            for kind in [BY_FACT[type(envelope.message)]]
        ]
        # Kept from being deleted until the commit, or the rows that refer to them would fail, and the group with them.
        people = await self._people(db).hold_public({note.user_id for _, _, note in planned})
        planned = [(envelope, kind, note) for envelope, kind, note in planned if note.user_id in people]
        if not planned:
            return
        wishes = await PreferenceService(db, self._clock).wishes_of(people)
        await self._fill_inboxes(
            db,
            [
                (envelope, kind, note)
                for envelope, kind, note in planned
                if wishes.wants(note.user_id, kind, "inbox")
            ],
        )
        await self._outbox.add(
            db,
            *(
                MailDue(kind.name, note.user_id, params)
                for envelope, kind, note in planned
                if wishes.wants(note.user_id, kind, "email")
                for params in [kind.letter(envelope.message) if kind.letter else note.data]
                if params is not None
            ),
        )

    async def _fill_inboxes(self, db: WriteSession, planned: Sequence[Planned]) -> None:
        if not planned:
            return
        inbox = InboxRepository(db)
        counts = Counter(note.user_id for _, _, note in planned)
        last = await inbox.take_numbers(counts)
        following = {user_id: last[user_id] - count for user_id, count in counts.items()}
        rows = []
        for envelope, kind, note in planned:
            following[note.user_id] += 1
            rows.append(
                {
                    "user_id": note.user_id,
                    "number": following[note.user_id],
                    "kind": kind.name,
                    # PostgreSQL refuses what is longer, and the whole group with it; addresses can be long.
                    "title": note.title[:TITLE_LENGTH],
                    "body": note.body[:BODY_LENGTH],
                    "data": dict(note.data),
                    "created_at": envelope.created_at,
                    "read_at": None,
                }
            )
        await inbox.add(rows)
        signals, text = self._signals, " ".join(map(str, counts))
        db.after_commit(lambda: signals.send(INBOX_TOPIC, text))
