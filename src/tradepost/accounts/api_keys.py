"""API keys: credentials for programs, each with a part of its person's permissions.

A key is ``tp_<prefix>_<secret>``. The prefix finds the row and names the key in logs. The secret has 256 random bits, of
which a SHA-256 is kept: nobody can guess it, so a slow hash would only make every request slow.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from tradepost.accounts.errors import ApiKeyLimit, ApiKeyNotFound
from tradepost.accounts.identities import Identities, Identity, ended
from tradepost.accounts.key_schemas import MOST_KEYS, ApiKeyCreate, ApiKeyRead, ApiKeyWithSecret
from tradepost.accounts.key_uses import KeyUses
from tradepost.accounts.links import hashed
from tradepost.accounts.models import ApiKey
from tradepost.accounts.permissions import Permission
from tradepost.accounts.repository.api_keys import ApiKeyRepository
from tradepost.accounts.service import UserService
from tradepost.core.audit.trail import AuditTrail, Target, person
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.database.faults import violations
from tradepost.core.database.sessions import ReadSession, WriteSession
from tradepost.core.errors import InsufficientPermissions, TradepostError, Unauthenticated, Unprocessable
from tradepost.core.principal import Origin, Principal, nowhere
from tradepost.core.wire.pagination import Page, Window
from tradepost.core.wire.representations import ANY_VERSION, Expected, Representation

VERSION: Final = 1
"""Of every key: none ever changes, so there is nothing to count."""
KEPT_EXPIRED: Final = timedelta(days=30)
"""How long a key that has run out is still listed."""

_KEY: Final = re.compile(r"tp_([a-z2-7]{12})_([A-Za-z0-9_-]{43})")
_PREFIX_LENGTH: Final = 12

log = structlog.stdlib.get_logger(__name__)


class KeyRing:
    """Finds the identity behind a key that a request shows. Lives as long as the process."""

    def __init__(
        self, database: Database, *, identities: Identities, uses: KeyUses, audit: AuditTrail, clock: Clock
    ) -> None:
        self._database = database
        self._identities = identities
        self._audit = audit
        self._uses = uses
        self._clock = clock

    async def identify(self, text: str, origin: Callable[[], Origin] = nowhere) -> Identity:
        """Return the identity of a key, as the database has it now; whatever is wrong with it is ``Unauthenticated``.

        What has the form of a key and is refused leaves a line in the audit trail.
        """
        form = _KEY.fullmatch(text)
        if form is None:
            raise Unauthenticated
        prefix, secret = form.groups()
        found = await self._identities.find_any_key(prefix)
        if found is None or not hmac.compare_digest(found.row.key_secret_hash, hashed(secret)):
            reason: str | None = "unknown" if found is None else "secret"
        else:
            reason = ended(found, now=self._clock.now())
        if found is None or reason is not None:
            await self._note_refusal(found, reason or "unknown", origin())
            raise Unauthenticated
        self._uses.note(found.row.key_id, noted=found.row.key_last_used_at)
        return found

    async def _note_refusal(self, found: Identity | None, reason: str, origin: Origin) -> None:
        # Of keys that there are not, one line a minute for an address: prefixes are made up as quickly as they are sent.
        on = Target("api_key", None, None)
        if found is not None:
            on = Target("api_key", found.row.key_id, found.row.id)
        try:
            await self._audit.refused(
                self._database,
                "api_key.refused",
                by=person(None, origin),
                on=on,
                account=f"{reason} {on.id}",
                details={"reason": reason},
            )
        except (TradepostError, SQLAlchemyError, OSError) as error:
            # It is refused all the same: a database that takes no writes has its own alarm.
            log.warning("the refusal of an API key could not be noted", reason=repr(error))


def api_key_shown(key: ApiKey) -> Representation:
    """Return a key with its entity tag: the JSON of ``ApiKeyRead``."""
    return _with_tag(key, lambda: ApiKeyRead.model_validate(key))


def _with_tag(key: ApiKey, read: Callable[[], ApiKeyRead]) -> Representation:
    return Representation(VERSION, f"{key.last_used_at}", lambda: read().model_dump_json().encode())


class ApiKeyReader:
    """Finds a person's keys; nobody else's, not even for admins."""

    def __init__(self, db: ReadSession | WriteSession) -> None:
        self._keys = ApiKeyRepository(db)

    async def get(self, key_id: int, owner: Principal) -> ApiKey:
        """Return one of the person's keys or raise ``ApiKeyNotFound``."""
        key = await self._keys.get(key_id, owner.user_id)
        if key is None:
            raise ApiKeyNotFound
        return key

    async def page(self, owner: Principal, window: Window) -> Page[ApiKey]:
        """List the person's keys."""
        return await self._keys.page_of(owner.user_id, window)


class ApiKeyService:
    """Makes and revokes keys in the caller's transaction."""

    def __init__(self, db: WriteSession, *, people: UserService, audit: AuditTrail, clock: Clock) -> None:
        self._db = db
        self._audit = audit
        self._keys = ApiKeyRepository(db)
        self._people = people
        self._clock = clock

    async def create(self, new: ApiKeyCreate, owner: Principal) -> Representation:
        """Make a key; ``InsufficientPermissions`` for more than the person may, ``ApiKeyLimit`` when no slot is left."""
        permissions = owner.permissions if new.permissions is None else frozenset(new.permissions)
        if not permissions <= owner.permissions or (
            new.load_test and Permission.ADMIN_ACCESS not in owner.permissions
        ):
            raise InsufficientPermissions
        now = self._clock.now()
        if new.expires_at is not None and new.expires_at <= now:
            raise Unprocessable(("body", "expires_at"), "It must be in the future", kind="expires_at")
        # The key outlives the log-in that asks for it: a reset that ends the one must not miss the other.
        await self._people.lock_credential_key_share(owner)
        secret = self._clock.token(32)
        values: dict[str, Any] = {
            "user_id": owner.user_id,
            "name": new.name,
            "secret_hash": hashed(secret),
            "permissions": [permission.value for permission in Permission if permission in permissions],
            "rate_limit": new.rate_limit,
            "load_test": new.load_test,
            "expires_at": new.expires_at,
            "created_at": now,
        }
        key = await self._claim(values, owner)
        details = {"prefix": key.prefix, "permissions": values["permissions"], "load_test": new.load_test}
        await self._audit.add(
            self._db,
            "api_key.created",
            by=owner,
            on=Target("api_key", key.id, owner.user_id),
            details=details,
        )
        shown = ApiKeyRead.model_validate(key).model_dump()
        # The entity tag is that of a read, which shows no secret.
        return _with_tag(key, lambda: ApiKeyWithSecret(**shown, key=f"tp_{key.prefix}_{secret}"))

    async def delete(self, key_id: int, owner: Principal, expected: Expected = ANY_VERSION) -> None:
        """Revoke a key of an expected version: it counts from the next request on."""
        if expected.versions is not None:
            expected.check_shown(api_key_shown(await ApiKeyReader(self._db).get(key_id, owner)))
        if not await self._keys.delete(key_id, owner.user_id):
            raise ApiKeyNotFound
        await self._audit.add(
            self._db, "api_key.deleted", by=owner, on=Target("api_key", key_id, owner.user_id)
        )

    async def _claim(self, values: dict[str, Any], owner: Principal) -> ApiKey:
        # After losing a slot to a concurrent request, look again: the other one has committed by then.
        for _ in range(2 * MOST_KEYS):
            taken = await self._keys.find_slots(owner.user_id)
            free = next((slot for slot in range(1, MOST_KEYS + 1) if slot not in taken), None)
            if free is None:
                break
            # The person may be deleted at this very moment: the token is invalid then.
            with violations(foreign_key=Unauthenticated):
                key = await self._keys.claim_slot(values | {"slot": free, "prefix": self._fresh_prefix()})
            if key is not None:
                return key
        raise ApiKeyLimit

    def _fresh_prefix(self) -> str:
        # Letters and digits alone, 60 bits of chance: no separator of the key's is in it.
        digest = hashlib.sha256(self._clock.token().encode()).digest()
        return base64.b32encode(digest).decode()[:_PREFIX_LENGTH].lower()


async def prune_keys(database: Database, clock: Clock) -> None:
    """Delete the keys that ran out long ago."""
    async with database.transaction() as db:
        await ApiKeyRepository(db).delete_expired(clock.now() - KEPT_EXPIRED)
