"""The fan-out of facts: the one reaction between all kinds of notification and all channels."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from tradepost.accounts.service import UserService
from tradepost.core.clock import Clock
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.messages import Envelope, Traced
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.signals.signals import Signals
from tradepost.notifications.inbox.models import BODY_LENGTH, TITLE_LENGTH
from tradepost.notifications.inbox.repository import InboxRepository
from tradepost.notifications.inbox.streams import INBOX_TOPIC
from tradepost.notifications.kinds import KINDS, Note, NotificationKind
from tradepost.notifications.mail.messages import EmailDue
from tradepost.notifications.preferences.service import PreferenceService

Planned = tuple[Envelope[Any], NotificationKind[Any], Note]


class NotificationFanOut:
    """Turns a group of facts into inbox rows and due e-mails, with a handful of statements for the whole group.

    It runs in the transaction that also settles the facts, so each notification is written exactly once.
    """

    def __init__(
        self,
        *,
        people: Callable[[WriteSession], UserService],
        outbox: Outbox,
        signals: Signals,
        clock: Clock,
        kinds: Sequence[NotificationKind[Any]] = KINDS,
    ) -> None:
        self._kinds = {kind.fact: kind for kind in kinds}
        self._people = people
        self._outbox = outbox
        self._signals = signals
        self._clock = clock

    async def react(self, db: WriteSession, envelopes: Sequence[Envelope[Any]]) -> None:
        """Notify the audience of each fact; people who were deleted meanwhile get nothing."""
        planned = [
            (envelope, kind, note)
            for envelope in envelopes
            for kind in [self._kinds[type(envelope.message)]]
            for note in kind.notes(envelope.message)
        ]
        if not planned:
            return
        # Locked against deletion until the commit: a row that refers to a deleted person would fail the whole group.
        people = await self._people(db).lock_key_share({note.user_id for _, _, note in planned})
        planned = [(envelope, kind, note) for envelope, kind, note in planned if note.user_id in people]
        if not planned:
            return
        preferences = await PreferenceService(db, self._clock).preferences_of(people)
        await self._fill_inboxes(
            db,
            [
                (envelope, kind, note)
                for envelope, kind, note in planned
                if preferences.allow(note.user_id, kind, "inbox")
            ],
        )
        await self._outbox.add(
            db,
            *(
                Traced(EmailDue(kind.name, note.user_id, values), envelope.traceparent)
                for envelope, kind, note in planned
                if preferences.allow(note.user_id, kind, "email")
                for values in [kind.email_values(envelope.message) if kind.email_values else note.data]
                if values is not None
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
                    # PostgreSQL refuses longer text, and the whole group with it; URLs can be long.
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
