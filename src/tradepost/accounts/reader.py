"""The reader of users: profiles as JSON, in batches that many requests share."""

from collections.abc import Mapping, Sequence

from tradepost.accounts.addresses import shown_email
from tradepost.accounts.errors import UserNotFound
from tradepost.accounts.repository.users import ProfileRow, UserRepository
from tradepost.accounts.schemas import UserRead
from tradepost.core.batching.coalescer import Observe, ReadCoalescer
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import ReadSession
from tradepost.core.wire.row_json import as_dict, row_encoder

_encoded = row_encoder(UserRead)


def profile_json(row: ProfileRow) -> bytes:
    """Return the JSON of ``UserRead`` for a row that has at least its columns."""
    return _encoded(
        {
            **as_dict(row),
            "email": shown_email(row.email),
            "full_name": f"{row.first_name} {row.last_name}",
        }
    )


class UserReader:
    """Finds users by id. Lives as long as the process."""

    def __init__(self, database: Database, *, observe: Observe | None = None) -> None:
        self._reads = ReadCoalescer(database, self._load, observe=observe)

    async def get(self, user_id: int) -> bytes:
        """Return the user of this id, the JSON of ``UserRead``, or raise ``UserNotFound``."""
        found = await self._reads.find(user_id)
        if found is None:
            raise UserNotFound
        return found

    async def _load(self, db: ReadSession, user_ids: Sequence[int]) -> Mapping[int, bytes]:
        rows = await UserRepository(db).find_profiles(user_ids)
        return {row.id: profile_json(row) for row in rows}
