"""Dependencies on the principal of a request, on permissions, and on the services for accounts.

A person shows a log-in (a bearer token) or an API key, never both. ``CurrentPrincipal`` and ``Visitor`` take either;
``LoggedIn`` is for what an API key must not do: make keys, change passwords and addresses, end an account, and touch
sessions and the second factor. The OpenAPI says by the same dependencies which credentials an operation takes.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Annotated, Final, TypeVar

from fastapi import Depends
from fastapi.openapi.models import APIKey as ApiKeyModel
from fastapi.openapi.models import APIKeyIn, OAuthFlowPassword, OAuthFlows
from fastapi.openapi.models import OAuth2 as OAuth2Model
from fastapi.security.base import SecurityBase
from starlette.types import Scope
from typing_extensions import override

from tradepost.accounts.api_keys import ApiKeyReader, ApiKeyService, KeyRing
from tradepost.accounts.building import (
    build_credential_service,
    build_data_export,
    build_email_change_service,
    build_farewells,
    build_recovery_service,
    build_second_factor_service,
    build_session_service,
    build_supervision,
    stays,
    unannounced,
    unrecorded,
)
from tradepost.accounts.credentials import CredentialService
from tradepost.accounts.departures import Departures
from tradepost.accounts.email_change import EmailChangeService
from tradepost.accounts.errors import SecondFactorNeeded
from tradepost.accounts.exporting import DataExport
from tradepost.accounts.farewells import Farewells
from tradepost.accounts.identities import Identities, Identity, KeyIdentity
from tradepost.accounts.key_uses import KeyUses
from tradepost.accounts.leaving import LeavingService
from tradepost.accounts.links import Links
from tradepost.accounts.passwords import PasswordHasher
from tradepost.accounts.permissions import PERMISSIONS, STAFF, Permission
from tradepost.accounts.reader import UserReader
from tradepost.accounts.recovery import RecoveryService
from tradepost.accounts.repository.api_keys import ApiKeyRepository
from tradepost.accounts.repository.sessions import SessionRepository
from tradepost.accounts.repository.tokens import AccountTokenRepository
from tradepost.accounts.repository.users import UserRepository
from tradepost.accounts.second_factor import SecondFactorReader, SecondFactorService
from tradepost.accounts.service import UserService
from tradepost.accounts.sessions import SessionService
from tradepost.accounts.supervision import Supervision
from tradepost.accounts.tokens import Tokens
from tradepost.core.audit.trail import AuditTrail
from tradepost.core.database.sessions import ReadSession, WriteSession
from tradepost.core.errors import InsufficientPermissions, KeyNotAllowed, TradepostError, Unauthenticated
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.observability.server_timing import timing
from tradepost.core.principal import Principal
from tradepost.core.resources import Resources
from tradepost.web.asgi_scope import API_KEY_KEY, IDENTITY_KEY, REQUEST_HEADERS_KEY, USER_ID_KEY, FoundByScope
from tradepost.web.db import ReadDb, ResourcesDep, WriteDb, resource
from tradepost.web.openapi.document import ALTERNATIVES
from tradepost.web.origin import origin_of
from tradepost.web.rate_limits import API_KEY_HEADER

T = TypeVar("T")

SECURITY_SCHEME: Final = "bearer"
"""The name in the OpenAPI of the scheme of log-ins."""
API_KEY_SCHEME: Final = "apiKey"
"""The name in the OpenAPI of the scheme of API keys."""

_CREDENTIALS: Final = frozenset({b"authorization", API_KEY_HEADER})
_READING: Final = frozenset({"GET", "HEAD", "OPTIONS", "QUERY"})
_CHANGING: Final = frozenset(Permission) - {Permission.READ_ITEMS, Permission.READ_USERS}


def _bearer_token(value: str) -> str:
    """Return the token of ``Authorization: Bearer`` (RFC 6750).

    Any other scheme is ``Unauthenticated``: credentials that cannot be checked must not pass as none.
    """
    scheme, _, token = value.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated
    return token


async def _identity_of_key(scope: Scope, key: str, resources: Resources) -> Identity:
    """Return what an API key stands for, and note it for the request's log line.

    A key without a permission that changes something sends only what reads: routes for a person's own things ask for no
    permission, and would take it.
    """
    found = await resources[KeyRing].identify(key, partial(origin_of, scope))
    principal = found.principal()
    scope[USER_ID_KEY] = principal.user_id
    scope[API_KEY_KEY] = principal.key
    if scope["method"] not in _READING and principal.permissions.isdisjoint(_CHANGING):
        raise InsufficientPermissions
    return found


async def _shown_identity(scope: Scope) -> Identity | None:
    """Return what the credentials of a request stand for, None for a stranger; what does not hold is ``Unauthenticated``.

    Of two credentials nobody could tell which one is meant. The outcome is kept in the scope, a refusal too:
    layers and dependencies ask one after the other, and a request counts once.
    """
    if IDENTITY_KEY in scope:
        known: Identity | TradepostError | None = scope[IDENTITY_KEY]
        if isinstance(known, TradepostError):
            raise known
        return known
    asked = timing.get()
    try:
        if asked is None:
            found = await _read_identity(scope)
        else:
            with asked.spent_on("auth"):
                found = await _read_identity(scope)
    except TradepostError as refusal:
        scope[IDENTITY_KEY] = refusal
        raise
    scope[IDENTITY_KEY] = found
    return found


async def _read_identity(scope: Scope) -> Identity | None:
    shown = [header for header in scope["headers"] if header[0] in _CREDENTIALS]
    if not shown:
        return None
    if len(shown) > 1:
        raise Unauthenticated
    name, value = shown[0][0], shown[0][1].decode("latin-1")
    resources: Resources = scope["state"]["resources"]
    if name == API_KEY_HEADER:
        return await _identity_of_key(scope, value, resources)
    found = await resources[SessionService].identify(_bearer_token(value))
    scope[USER_ID_KEY] = found.row.id
    return found


async def admit(scope: Scope, found: Identity) -> None:
    """Raise ``SecondFactorNeeded`` for staff without a second factor where ``REQUIRE_STAFF_TOTP`` wants one."""
    resources: Resources = scope["state"]["resources"]
    is_asked = resources.settings.REQUIRE_STAFF_TOTP and STAFF in PERMISSIONS[found.row.role]
    if is_asked and not await resources[SecondFactorReader].has(found.row.id):
        raise SecondFactorNeeded


async def identity_of(scope: Scope) -> Identity:
    """Return what the credentials of a request stand for; without any it is ``Unauthenticated``."""
    found = await _shown_identity(scope)
    if found is None:
        raise Unauthenticated
    await admit(scope, found)
    return found


async def visitor_of(scope: Scope) -> Principal | None:
    """Return the principal of a request, or None for a stranger; a credential that does not hold is ``Unauthenticated``."""
    sent = scope[REQUEST_HEADERS_KEY]
    if _CREDENTIALS.isdisjoint(sent) and timing.get() is None:
        # Most are strangers.
        return None
    found = await _shown_identity(scope)
    if found is None:
        return None
    await admit(scope, found)
    return found.principal(partial(origin_of, scope))


class AskersByCredentials:
    """Supplies ``web`` with whose request it is."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def find(self, scope: Scope) -> Principal | None:
        try:
            found = await _shown_identity(scope)
        except TradepostError as refusal:
            # The scope has it, and its frames have the scope.
            refusal.__traceback__ = None
            return None
        return None if found is None else found.principal(partial(origin_of, scope))

    async def lock_key_share(self, db: WriteSession, user_id: int) -> bool:
        return user_id in await build_user_service(db, self._resources).lock_key_share({user_id})


async def logged_in(scope: Scope) -> Principal:
    """Return the principal of a request that shows a log-in; an API key is ``KeyNotAllowed``."""
    principal = await enrolling(scope)
    await identity_of(scope)
    return principal


async def enrolling(scope: Scope) -> Principal:
    """Return the principal of a log-in, although a second factor is asked for that is yet to be set up."""
    found = await _shown_identity(scope)
    if found is None:
        raise Unauthenticated
    if isinstance(found, KeyIdentity):
        raise KeyNotAllowed
    return found.principal(partial(origin_of, scope))


_LOG_IN: Final = OAuth2Model(
    description="Log in with the e-mail address as user name; client id and secret stay empty.",
    flows=OAuthFlows(password=OAuthFlowPassword(tokenUrl="auth/login", scopes={})),
)


class ByLogin(FoundByScope[T], SecurityBase):
    """A dependency on what a request's bearer token stands for; by it the OpenAPI says that a route takes nothing else."""

    model = _LOG_IN
    scheme_name = SECURITY_SCHEME


class ByCredential(FoundByScope[T], SecurityBase):
    """A dependency on what a request's credential stands for; by it the OpenAPI says that a route takes either of them."""

    model = ApiKeyModel.model_validate(
        {
            "in": APIKeyIn.header,
            "name": "X-API-Key",
            "description": "For programs: `POST /auth/api-keys` makes one. Not together with a log-in.",
            ALTERNATIVES: {
                SECURITY_SCHEME: _LOG_IN.model_dump(mode="json", by_alias=True, exclude_none=True)
            },
        }
    )
    scheme_name = API_KEY_SCHEME


CurrentIdentity = Annotated[Identity, Depends(ByCredential(identity_of))]
Visitor = Annotated[Principal | None, Depends(ByCredential(visitor_of))]
LoggedIn = Annotated[Principal, Depends(ByLogin(logged_in))]
"""The principal of a log-in: for what an API key must not do."""
Enrolling = Annotated[Principal, Depends(ByLogin(enrolling))]
"""The principal of a log-in, for the routes of the second factor alone."""


@asynccontextmanager
async def open_accounts(resources: Resources) -> AsyncIterator[None]:
    """Put in what accounts keep for the life of the process, and close it at the end of the block; needs the outbox."""
    settings, database, clock = resources.settings, resources.database, resources.clock
    keys = settings.secret_keys
    lifetime = timedelta(minutes=settings.ACCESS_TOKEN_EXPIRE_MINUTES)
    # In a thread: it hashes once.
    hasher = await asyncio.to_thread(PasswordHasher)
    resources.put(PasswordHasher, hasher)
    resources.put(Tokens, Tokens(keys=keys, algorithm=settings.ALGORITHM, lifetime=lifetime, clock=clock))
    resources.put(Links, Links(keys=keys, public_url=settings.PUBLIC_URL, clock=clock))
    resources.put(Identities, Identities(database, observe=resources.batch_observer("identity")))
    uses = KeyUses(database, clock)
    resources.put(KeyUses, uses)
    resources.put(
        KeyRing,
        KeyRing(
            database,
            identities=resources[Identities],
            uses=uses,
            audit=resources[AuditTrail],
            clock=clock,
        ),
    )
    resources.put(UserReader, UserReader(database, observe=resources.batch_observer("user")))
    resources.put(Supervision, build_supervision(resources))
    resources.put(Farewells, build_farewells(resources))
    resources.put(SecondFactorReader, SecondFactorReader(database))
    resources.put(SecondFactorService, build_second_factor_service(resources))
    resources.put(LeavingService, build_leaving_service(resources))
    resources.put(DataExport, build_data_export(resources))
    resources.put(SessionService, build_session_service(resources))
    resources.put(CredentialService, build_credential_service(resources))
    resources.put(RecoveryService, build_recovery_service(resources))
    resources.put(EmailChangeService, build_email_change_service(resources))
    try:
        yield
    finally:
        hasher.close()


def build_user_service(db: ReadSession | WriteSession, resources: Resources) -> UserService:
    """Build the service for profiles and accounts."""
    return UserService(
        UserRepository(db),
        SessionRepository(db),
        ApiKeyRepository(db),
        AccountTokenRepository(db),
        record=partial(resources[AuditTrail].add, db) if isinstance(db, WriteSession) else unrecorded,
        announce=partial(resources[Outbox].add, db) if isinstance(db, WriteSession) else unannounced,
        farewells=resources[Farewells],
        depart=partial(resources[Departures].leave_all, db) if isinstance(db, WriteSession) else stays,
        clock=resources.clock,
        phone_region=resources.settings.PHONE_DEFAULT_REGION,
    )


def build_leaving_service(resources: Resources) -> LeavingService:
    """Build the service that ends one's own account."""
    return LeavingService(
        database=resources.database,
        people=partial(build_user_service, resources=resources),
        hasher=resources[PasswordHasher],
        second_factor=resources[SecondFactorService],
        audit=resources[AuditTrail],
    )


async def person(principal: Visitor) -> Principal:
    """Return the principal of a request; without credentials it is ``Unauthenticated``."""
    if principal is None:
        raise Unauthenticated
    return principal


CurrentPrincipal = Annotated[Principal, Depends(person)]


class Requires:
    """A dependency on a principal with ``permission``; any other is ``InsufficientPermissions``."""

    def __init__(self, permission: Permission) -> None:
        self._permission = permission

    async def __call__(self, principal: CurrentPrincipal) -> Principal:
        if self._permission not in principal.permissions:
            raise InsufficientPermissions
        return principal


class RequiresInPerson(Requires):
    """A dependency on a log-in of somebody with ``permission``: for what an API key must not do, whatever it may."""

    @override
    async def __call__(self, principal: LoggedIn) -> Principal:
        return await super().__call__(principal)


async def user_reads(db: ReadDb, resources: ResourcesDep) -> UserService:
    """Return the service for accounts on a read session."""
    return build_user_service(db, resources)


async def user_writes(db: WriteDb, resources: ResourcesDep) -> UserService:
    """Return the service for accounts in the request's transaction."""
    return build_user_service(db, resources)


async def key_reads(db: ReadDb) -> ApiKeyReader:
    """Return the service for reading API keys."""
    return ApiKeyReader(db)


async def key_writes(db: WriteDb, resources: ResourcesDep) -> ApiKeyService:
    """Return the service for API keys in the request's transaction."""
    return ApiKeyService(
        db,
        people=build_user_service(db, resources),
        audit=resources[AuditTrail],
        clock=resources.clock,
    )


Sessions = Annotated[SessionService, resource(SessionService)]
Credentials = Annotated[CredentialService, resource(CredentialService)]
Recovery = Annotated[RecoveryService, resource(RecoveryService)]
EmailChanges = Annotated[EmailChangeService, resource(EmailChangeService)]
Leaving = Annotated[LeavingService, resource(LeavingService)]
DataExports = Annotated[DataExport, resource(DataExport)]
SecondFactors = Annotated[SecondFactorService, resource(SecondFactorService)]
Supervising = Annotated[Supervision, resource(Supervision)]
UserReaderDep = Annotated[UserReader, resource(UserReader)]
UserReads = Annotated[UserService, Depends(user_reads, scope="function")]
UserWrites = Annotated[UserService, Depends(user_writes, scope="function")]
ApiKeyReads = Annotated[ApiKeyReader, Depends(key_reads, scope="function")]
ApiKeyWrites = Annotated[ApiKeyService, Depends(key_writes, scope="function")]
MayReadUsers = Annotated[Principal, Depends(Requires(Permission.READ_USERS))]
MayWriteUsers = Annotated[Principal, Depends(Requires(Permission.WRITE_USERS))]
MayWriteUsersInPerson = Annotated[Principal, Depends(RequiresInPerson(Permission.WRITE_USERS))]
MayDeleteUsers = Annotated[Principal, Depends(Requires(Permission.DELETE_USERS))]
MayAdminister = Annotated[Principal, Depends(Requires(Permission.ADMIN_ACCESS))]
