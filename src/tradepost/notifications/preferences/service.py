"""Choosing what to be told."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tradepost.core.clock import Clock
from tradepost.core.database.faults import violations
from tradepost.core.database.sessions import ReadSession, WriteSession
from tradepost.core.errors import Unauthenticated, Unprocessable
from tradepost.core.principal import Principal
from tradepost.notifications.kinds import BY_NAME, KINDS, Choice, Kind
from tradepost.notifications.preferences.repository import PreferenceRepository, PreferenceRow
from tradepost.notifications.preferences.schemas import PreferenceRead, PreferencesChange, PreferencesRead

CHANNELS = ("email", "inbox")


class Wishes:
    """What some people want to be told, over which channel."""

    def __init__(self, rows: Sequence[PreferenceRow]) -> None:
        self._chosen: Mapping[tuple[int, str], PreferenceRow] = {(row.user_id, row.kind): row for row in rows}

    def wants(self, user_id: int, kind: Kind[Any], channel: str) -> bool:
        """Tell whether the channel carries the kind to this person."""
        row = self._chosen.get((user_id, kind.name))
        choice: Choice = getattr(kind, channel)
        return choice.carries(None if row is None else getattr(row, channel))


class PreferenceService:
    """Works in the session of whoever built it."""

    def __init__(self, db: ReadSession | WriteSession, clock: Clock) -> None:
        self._preferences = PreferenceRepository(db)
        self._clock = clock

    async def wishes_of(self, user_ids: Collection[int]) -> Wishes:
        """Return what these people want."""
        return Wishes(await self._preferences.find(user_ids))

    async def get(self, principal: Principal) -> PreferencesRead:
        """Return what the person is told of each kind."""
        wishes = await self.wishes_of([principal.user_id])
        return PreferencesRead(preferences=[_preference(kind, principal.user_id, wishes) for kind in KINDS])

    async def change(self, changes: PreferencesChange, principal: Principal) -> PreferencesRead:
        """Set the channels that were sent, of the kinds that were sent, all or none."""
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
            # The person may be deleted at this very moment: the token is worth nothing any more.
            with violations(foreign_key=Unauthenticated):
                await self._preferences.set(rows, sent)
        return await self.get(principal)


def _preference(kind: Kind[Any], user_id: int, wishes: Wishes) -> PreferenceRead:
    return PreferenceRead(
        kind=kind.name,
        description=kind.description,
        email=wishes.wants(user_id, kind, "email"),
        inbox=wishes.wants(user_id, kind, "inbox"),
        fixed=[channel for channel in CHANNELS if getattr(kind, channel).fixed],
    )


def _check(changes: PreferencesChange) -> None:
    """Refuse a kind that nobody knows or that comes twice, and a choice where there is none."""
    seen: set[str] = set()
    for at, change in enumerate(changes.preferences):
        here = ("body", "preferences", at)
        if change.kind not in BY_NAME:
            raise Unprocessable((*here, "kind"), "There is no such kind of notification", kind="unknown_kind")
        if change.kind in seen:
            raise Unprocessable((*here, "kind"), "A kind may be named once", kind="duplicate")
        seen.add(change.kind)
        for channel in CHANNELS:
            choice: Choice = getattr(BY_NAME[change.kind], channel)
            chosen = getattr(change, channel)
            if choice.fixed and chosen is not None and chosen is not choice.carries(None):
                raise Unprocessable((*here, channel), "This cannot be chosen", kind="fixed_channel")
