"""Identities: the user behind each session and API key, read anew for each request, in batches that many requests share."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from typing_extensions import override

from tradepost.accounts.permissions import PERMISSIONS, Permission
from tradepost.accounts.reader import profile_shown
from tradepost.accounts.repository.api_keys import ApiKeyRepository, KeyIdentityRow
from tradepost.accounts.repository.sessions import IdentityRow, SessionRepository
from tradepost.core.batching.coalescer import Observe
from tradepost.core.batching.read_coalescer import ReadCoalescer
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import ReadSession
from tradepost.core.deadlines import Stage
from tradepost.core.principal import ApiKeyTerms, Credential, CredentialKind, Origin, Principal, nowhere
from tradepost.core.wire.representations import Representation


@dataclass(frozen=True, slots=True)
class Identity:
    """A session and its user as the database has them now."""

    row: IdentityRow | KeyIdentityRow

    @property
    def session_end(self) -> datetime:
        """When the session ends at the latest."""
        return self.row.session_end  # type: ignore[no-any-return]

    def principal(self, origin: Callable[[], Origin] = nowhere) -> Principal:
        """Return the principal that domains are handed, with the permissions of the moment."""
        return Principal(self.row.id, PERMISSIONS[self.row.role], self.row.session_id, None, origin)

    def profile(self) -> Representation:
        """Return the user as the user sees it: the JSON of ``UserRead``."""
        return profile_shown(self.row)


class KeyIdentity(Identity):
    """An API key and its user as the database has them now."""

    __slots__ = ()

    @override
    def principal(self, origin: Callable[[], Origin] = nowhere) -> Principal:
        """Return the principal, with those of the key's permissions that the person still has."""
        row = self.row
        owned = PERMISSIONS[row.role]
        terms = ApiKeyTerms(
            row.key_id,
            row.key_prefix,
            row.key_rate_limit,
            # Who was demoted keeps no key that lifts limits.
            lifts_limits=row.key_load_test and Permission.ADMIN_ACCESS in owned,
        )
        return Principal(row.id, owned.intersection(row.key_permissions), None, terms, origin)


def ended(key: Identity, *, now: datetime) -> str | None:
    """Return why a key does not hold any more, or None."""
    if not key.row.is_active:
        return "inactive"
    end: datetime | None = key.row.key_end
    return "expired" if end is not None and end <= now else None


_Asked = int | str
"""A session's id, or an API key's prefix."""


class Identities:
    """A coalescer of identities. Nothing is cached, so what was revoked is refused from the next request on."""

    def __init__(self, database: Database, *, observe: Observe | None = None) -> None:
        self._database = database
        self._reads: Final[ReadCoalescer[_Asked, Identity]] = ReadCoalescer(
            database, self._load, observe=observe, stage=Stage.NOTHING
        )

    async def find(self, *, session_id: int, user_id: int, now: datetime) -> Identity | None:
        """Return the living session of this active user."""
        found = await self._reads.find(session_id)
        if found is None or found.row.id != user_id or not found.row.is_active or found.session_end <= now:
            return None
        return found

    async def find_key(self, prefix: str, *, now: datetime) -> Identity | None:
        """Return the key with this prefix if it has not run out and its user is active; its secret is yet to be compared."""
        found = await self.find_any_key(prefix)
        return None if found is None or ended(found, now=now) else found

    async def find_any_key(self, prefix: str) -> Identity | None:
        """Return the key with this prefix, whether it still holds or not."""
        return await self._reads.find(prefix)

    async def find_living(self, credentials: Collection[Credential], *, now: datetime) -> set[Credential]:
        """Return which of these still hold, for answers that go on for longer than a request."""
        by_kind = {
            kind: [credential.id for credential in credentials if credential.kind is kind]
            for kind in CredentialKind
        }
        living: set[Credential] = set()
        async with self._database.read() as db:
            for kind, repository in (
                (CredentialKind.SESSION, SessionRepository(db)),
                (CredentialKind.KEY, ApiKeyRepository(db)),
            ):
                if by_kind[kind]:
                    found = await repository.find_living(by_kind[kind], now=now)
                    living.update(Credential(kind, each) for each in found)
        return living

    async def _load(self, db: ReadSession, asked: Sequence[_Asked]) -> Mapping[_Asked, Identity]:
        found: dict[_Asked, Identity] = {}
        sessions = [each for each in asked if isinstance(each, int)]
        if sessions:
            rows = await SessionRepository(db).find_identities(sessions)
            found.update((row.session_id, Identity(row)) for row in rows)
        if len(sessions) < len(asked):
            prefixes = [each for each in asked if isinstance(each, str)]
            rows = await ApiKeyRepository(db).find_identities(prefixes)
            found.update((row.key_prefix, KeyIdentity(row)) for row in rows)
        return found
