"""The reader of users: profiles as JSON, in batches that many requests share."""

from collections.abc import Mapping, Sequence
from functools import partial

from tradepost.accounts.addresses import shown_email
from tradepost.accounts.errors import UserNotFound
from tradepost.accounts.models import User
from tradepost.accounts.repository.users import ProfileRow, UserRepository
from tradepost.core.batching.coalescer import Observe
from tradepost.core.batching.read_coalescer import ReadCoalescer
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import ReadSession
from tradepost.core.wire.representations import Representation
from tradepost.core.wire.row_json import to_json


def profile_json(row: ProfileRow | User) -> bytes:
    """Return the JSON of ``UserRead``, written down once more: every client asks whose it is.

    Tests hold the two against each other, to the byte.
    """
    return to_json(
        {
            "id": row.id,
            "first_name": row.first_name,
            "last_name": row.last_name,
            "full_name": f"{row.first_name} {row.last_name}",
            "avatar_url": row.avatar_url,
            "email": shown_email(row.email),
            "email_verified": row.email_verified_at is not None,
            "is_active": row.is_active,
            "role": row.role,
            "phone": row.phone,
            "website": row.website,
            "created_at": row.created_at,
            "updated_at": row.updated_at,
        }
    )


def profile_shown(row: ProfileRow | User) -> Representation:
    """Return a user, read or just written, with its entity tag; all of a profile changes with the version."""
    return Representation(row.version, row.updated_at, partial(profile_json, row))


class UserReader:
    """Finds users by id. Lives as long as the process."""

    def __init__(self, database: Database, *, observe: Observe | None = None) -> None:
        self._reads = ReadCoalescer(database, self._load, observe=observe)

    async def get(self, user_id: int) -> Representation:
        """Return the user of this id, the JSON of ``UserRead``, or raise ``UserNotFound``."""
        found = await self._reads.find(user_id)
        if found is None:
            raise UserNotFound
        return found

    async def _load(self, db: ReadSession, user_ids: Sequence[int]) -> Mapping[int, Representation]:
        rows = await UserRepository(db).find_profiles(user_ids)
        return {row.id: profile_shown(row) for row in rows}
