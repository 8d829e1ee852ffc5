"""Reading and changing preferences."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tradepost.core.clock import Clock
from tradepost.core.database.faults import violations
from tradepost.core.database.sessions import ReadSession, WriteSession
from tradepost.core.errors import Unauthenticated, Unprocessable
from tradepost.core.principal import Principal
from tradepost.notifications.kinds import KINDS, KINDS_BY_NAME, ChannelPolicy, NotificationKind
from tradepost.notifications.preferences.errors import UnsubscribeLinkVoid
from tradepost.notifications.preferences.repository import PreferenceRepository, PreferenceRow
from tradepost.notifications.preferences.schemas import PreferenceRead, PreferencesChange, PreferencesRead

CHANNELS = ("email", "inbox")


class Preferences:
    """The choices of some people, with the default of each kind where none was made."""

    def __init__(self, rows: Sequence[PreferenceRow]) -> None:
        self._chosen: Mapping[tuple[int, str], PreferenceRow] = {(row.user_id, row.kind): row for row in rows}

    def allow(self, user_id: int, kind: NotificationKind[Any], channel: str) -> bool:
        """Tell whether the channel carries the kind to a person."""
        row = self._chosen.get((user_id, kind.name))
        choice: ChannelPolicy = getattr(kind, channel)
        return choice.carries(None if row is None else getattr(row, channel))


class PreferenceService:
    """Works in the caller's session."""

    def __init__(self, db: ReadSession | WriteSession, clock: Clock) -> None:
        self._preferences = PreferenceRepository(db)
        self._clock = clock

    async def preferences_of(self, user_ids: Collection[int]) -> Preferences:
        """Return the preferences of these people."""
        return Preferences(await self._preferences.find(user_ids))

    async def get(self, principal: Principal) -> PreferencesRead:
        """Return the person's preferences for each kind."""
        preferences = await self.preferences_of([principal.user_id])
        return PreferencesRead(
            preferences=[_preference(kind, principal.user_id, preferences) for kind in KINDS]
        )

    async def change(self, changes: PreferencesChange, principal: Principal) -> PreferencesRead:
        """Set the sent channels of the sent kinds, all or none."""
        _check(changes)
        now = self._clock.now()
        rows = [
            {**change.model_dump(), "user_id": principal.user_id, "updated_at": now}
            for change in sorted(changes.preferences, key=lambda change: change.kind)
        ]
        sent = {
            channel: [change.kind for change in changes.preferences if channel in change.model_fields_set]
            for channel in CHANNELS
        }
        if rows:
            # The person may be deleted at this very moment: the token is invalid then.
            with violations(foreign_key=Unauthenticated):
                await self._preferences.set(rows, sent)
        return await self.get(principal)

    async def switch_off_email(self, user_id: int, kind: NotificationKind[Any]) -> None:
        """Switch off the e-mails of a kind for a person; ``UnsubscribeLinkVoid`` when the person is gone."""
        row = {"user_id": user_id, "kind": kind.name, "email": False, "inbox": None}
        with violations(foreign_key=UnsubscribeLinkVoid):
            await self._preferences.set([{**row, "updated_at": self._clock.now()}], {"email": [kind.name]})


def _preference(kind: NotificationKind[Any], user_id: int, preferences: Preferences) -> PreferenceRead:
    return PreferenceRead(
        kind=kind.name,
        description=kind.description,
        email=preferences.allow(user_id, kind, "email"),
        inbox=preferences.allow(user_id, kind, "inbox"),
        fixed=[channel for channel in CHANNELS if getattr(kind, channel).fixed],
    )


def _check(changes: PreferencesChange) -> None:
    """Refuse an unknown kind, a kind that comes twice, and a change of a fixed channel."""
    seen: set[str] = set()
    for at, change in enumerate(changes.preferences):
        here = ("body", "preferences", at)
        if change.kind not in KINDS_BY_NAME:
            raise Unprocessable((*here, "kind"), "There is no such kind of notification", kind="unknown_kind")
        if change.kind in seen:
            raise Unprocessable((*here, "kind"), "A kind may be named once", kind="duplicate")
        seen.add(change.kind)
        for channel in CHANNELS:
            choice: ChannelPolicy = getattr(KINDS_BY_NAME[change.kind], channel)
            chosen = getattr(change, channel)
            if choice.fixed and chosen is not None and chosen is not choice.carries(None):
                raise Unprocessable((*here, channel), "This cannot be chosen", kind="fixed_channel")
