"""The SQL of preferences."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, case, select

from tradepost.core.database.elements import upsert
from tradepost.core.database.repository import Repository
from tradepost.notifications.preferences.models import Preference

PreferenceRow = Row[int, str, bool | None, bool | None]
"""user_id, kind, email, inbox."""


class PreferenceRepository(Repository):
    """Choices, by person and kind."""

    async def find(self, user_ids: Collection[int]) -> Sequence[PreferenceRow]:
        """Return every choice of these people."""
        chosen = select(Preference.user_id, Preference.kind, Preference.email, Preference.inbox)
        return (await self.db.execute(chosen.where(Preference.user_id.in_(user_ids)))).all()

    async def set(self, choices: Sequence[Mapping[str, Any]], sent: Mapping[str, Collection[str]]) -> None:
        """Upsert choices, each with all columns; ``sent`` names, by channel, the kinds whose column changes.

        One statement in the given order: two that wrote the same rows in different orders would deadlock.
        """
        statement = upsert(Preference).values(choices)
        changed: dict[str, Any] = {
            channel: case(
                (Preference.kind.in_(kinds), statement.excluded[channel]), else_=getattr(Preference, channel)
            )
            for channel, kinds in sent.items()
        }
        changed["updated_at"] = statement.excluded["updated_at"]
        await self.db.execute(
            statement.on_conflict_do_update(index_elements=["user_id", "kind"], set_=changed)
        )
