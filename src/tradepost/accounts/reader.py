"""The reader of users: profiles as JSON, in batches that many requests share."""

from collections.abc import Mapping, Sequence
from functools import partial

from tradepost.accounts.addresses import shown_email
from tradepost.accounts.errors import UserNotFound
from tradepost.accounts.models import User
from tradepost.accounts.repository.users import SHOWN, ProfileRow, UserRepository
from tradepost.accounts.schemas import UserRead
from tradepost.core.batching.coalescer import Observe
from tradepost.core.batching.read_coalescer import ReadCoalescer
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import ReadSession
from tradepost.core.wire.representations import Representation
from tradepost.core.wire.row_json import as_dict, row_encoder

_encoded = row_encoder(UserRead)


def profile_json(row: ProfileRow) -> bytes:
    """Return the JSON of ``UserRead`` for a row that has at least its columns."""
    return _encoded(
        {
            **as_dict(row),
            "email": shown_email(row.email),
            "full_name": f"{row.first_name} {row.last_name}",
            "email_verified": row.email_verified_at is not None,
        }
    )


def profile_shown(row: ProfileRow) -> Representation:
    """Return such a row with its entity tag; all of a profile changes with the version."""
    return Representation(row.version, str(row.updated_at), partial(profile_json, row))


def user_shown(user: User) -> Representation:
    """Return a user that was just written, as a read does."""

    def write() -> bytes:
        values = {column.name: getattr(user, column.name) for column in SHOWN}
        shown = {
            "email": shown_email(user.email),
            "full_name": user.full_name,
            "email_verified": user.email_verified,
        }
        return _encoded(values | shown)

    return Representation(user.version, str(user.updated_at), write)


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
