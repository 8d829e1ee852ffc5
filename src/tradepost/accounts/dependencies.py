"""Dependencies on the principal of a request, on permissions, and on the services for accounts."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, Final, TypeVar

from fastapi import Depends, Request
from fastapi.openapi.models import OAuth2 as OAuth2Model
from fastapi.openapi.models import OAuthFlowPassword, OAuthFlows
from fastapi.security.base import SecurityBase
from starlette.types import Scope

from tradepost.accounts.credentials import CredentialService
from tradepost.accounts.departures import Departures
from tradepost.accounts.grants import AccountGrants
from tradepost.accounts.identities import Identities, Identity
from tradepost.accounts.links import Links
from tradepost.accounts.models import IP_ADDRESS_LENGTH
from tradepost.accounts.passwords import PasswordHasher
from tradepost.accounts.permissions import Permission
from tradepost.accounts.reader import UserReader
from tradepost.accounts.recovery import RecoveryService
from tradepost.accounts.repository.sessions import SessionRepository
from tradepost.accounts.repository.tokens import AccountTokenRepository
from tradepost.accounts.repository.users import UserRepository
from tradepost.accounts.service import UserService
from tradepost.accounts.sessions import Device, SessionService
from tradepost.accounts.tokens import Tokens
from tradepost.core.database.sessions import ReadSession, WriteSession
from tradepost.core.errors import InsufficientPermissions, Unauthenticated
from tradepost.core.messaging.messages import Message
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.principal import Principal
from tradepost.core.resources import Resources
from tradepost.web.asgi_scope import IDENTITY_KEY, USER_ID_KEY, FromScope
from tradepost.web.db import ReadDb, ResourcesDep, WriteDb, resource

T = TypeVar("T")

SECURITY_SCHEME: Final = "bearer"
"""The name of the one security scheme in the OpenAPI."""


def bearer_token(scope: Scope) -> str | None:
    """Return the token of ``Authorization: Bearer`` (RFC 6750): None without the header.

    Any other scheme is ``Unauthenticated``: credentials that cannot be checked must not pass as none.
    """
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            token = token.strip()
            if scheme.lower() != "bearer" or not token:
                raise Unauthenticated
            return token  # type: ignore[no-any-return]
    return None


async def _identify(scope: Scope, token: str) -> Identity:
    """Return the session and user of an access token, and note the user for the request's log line."""
    found: Identity | None = scope.get(IDENTITY_KEY)
    if found is None:
        resources: Resources = scope["state"]["resources"]
        found = await resources[SessionService].identify(token)
        scope[USER_ID_KEY] = found.row.id
    return found


async def identity_of(scope: Scope) -> Identity:
    """Return the session and user whose access token a request shows; without one it is ``Unauthenticated``."""
    token = bearer_token(scope)
    if token is None:
        raise Unauthenticated
    return await _identify(scope, token)


async def visitor_of(scope: Scope) -> Principal | None:
    """Return the principal of a request, or None for a stranger; a token that does not hold is ``Unauthenticated``."""
    token = bearer_token(scope)
    return None if token is None else (await _identify(scope, token)).principal


class AskersByCredentials:
    """Supplies ``web`` with whose request it is."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def find(self, scope: Scope) -> int | None:
        try:
            found = scope[IDENTITY_KEY] = await identity_of(scope)
        except Unauthenticated:
            return None
        return found.row.id  # type: ignore[no-any-return]

    async def lock_key_share(self, db: WriteSession, user_id: int) -> bool:
        return user_id in await build_user_service(db, self._resources).lock_key_share({user_id})


class ByBearer(FromScope[T], SecurityBase):
    """A dependency on what a request's bearer token stands for; by it the OpenAPI says that a route takes one."""

    def __init__(self, read: Callable[[Scope], Awaitable[T]]) -> None:
        super().__init__(read)
        self.model = OAuth2Model(
            description="Log in with the e-mail address as user name; client id and secret stay empty.",
            flows=OAuthFlows(password=OAuthFlowPassword(tokenUrl="auth/login", scopes={})),
        )
        self.scheme_name = SECURITY_SCHEME


CurrentIdentity = Annotated[Identity, Depends(ByBearer(identity_of))]
Visitor = Annotated[Principal | None, Depends(ByBearer(visitor_of))]


def build_session_service(resources: Resources) -> SessionService:
    """Build the service for logging in and out."""
    return SessionService(
        database=resources.database,
        identities=resources[Identities],
        hasher=resources[PasswordHasher],
        tokens=resources[Tokens],
        clock=resources.clock,
        lifetime=timedelta(days=resources.settings.REFRESH_TOKEN_EXPIRE_DAYS),
    )


def build_credential_service(resources: Resources) -> CredentialService:
    """Build the service for registration and passwords."""
    return CredentialService(
        database=resources.database,
        hasher=resources[PasswordHasher],
        links=resources[Links],
        outbox=resources[Outbox],
        clock=resources.clock,
    )


def build_recovery_service(resources: Resources) -> RecoveryService:
    """Build the service for what is done by links in e-mails."""
    return RecoveryService(
        database=resources.database,
        hasher=resources[PasswordHasher],
        links=resources[Links],
        grants=resources[AccountGrants],
        outbox=resources[Outbox],
        clock=resources.clock,
    )


@asynccontextmanager
async def open_accounts(resources: Resources) -> AsyncIterator[None]:
    """Put in what accounts keep for the life of the process, and close it at the end of the block; needs the outbox."""
    settings, database, clock = resources.settings, resources.database, resources.clock
    secret = settings.SECRET_KEY.get_secret_value()
    lifetime = timedelta(minutes=settings.ACCESS_TOKEN_EXPIRE_MINUTES)
    # In a thread: it hashes once.
    hasher = await asyncio.to_thread(PasswordHasher)
    resources.put(PasswordHasher, hasher)
    resources.put(Tokens, Tokens(secret=secret, algorithm=settings.ALGORITHM, lifetime=lifetime, clock=clock))
    resources.put(Links, Links(secret=secret, public_url=settings.PUBLIC_URL, clock=clock))
    resources.put(Identities, Identities(database, observe=resources.batch_observer("identity")))
    resources.put(UserReader, UserReader(database, observe=resources.batch_observer("user")))
    resources.put(SessionService, build_session_service(resources))
    resources.put(CredentialService, build_credential_service(resources))
    resources.put(RecoveryService, build_recovery_service(resources))
    try:
        yield
    finally:
        hasher.close()


async def _unannounced(message: Message) -> None:
    raise TypeError(f"{message.type} belongs into the transaction of its change, and this session only reads")


async def _stays(**_whom: Any) -> None:
    raise TypeError("nobody leaves in a session that only reads")


def build_user_service(db: ReadSession | WriteSession, resources: Resources) -> UserService:
    """Build the service for profiles and accounts."""
    return UserService(
        UserRepository(db),
        SessionRepository(db),
        AccountTokenRepository(db),
        announce=partial(resources[Outbox].add, db) if isinstance(db, WriteSession) else _unannounced,
        depart=partial(resources[Departures].leave_all, db) if isinstance(db, WriteSession) else _stays,
        clock=resources.clock,
        phone_region=resources.settings.PHONE_DEFAULT_REGION,
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


async def user_reads(db: ReadDb, resources: ResourcesDep) -> UserService:
    """Return the service for accounts on a read session."""
    return build_user_service(db, resources)


async def user_writes(db: WriteDb, resources: ResourcesDep) -> UserService:
    """Return the service for accounts in the request's transaction."""
    return build_user_service(db, resources)


async def device_of(request: Request) -> Device:
    """Return the device that a session is listed with: its user agent and address."""
    agent = request.headers.get("user-agent")
    address = request.client.host if request.client else None
    return Device(
        user_agent=agent and "".join(filter(str.isprintable, agent)),
        ip_address=address and address[:IP_ADDRESS_LENGTH],
    )


Sessions = Annotated[SessionService, resource(SessionService)]
Credentials = Annotated[CredentialService, resource(CredentialService)]
Recovery = Annotated[RecoveryService, resource(RecoveryService)]
UserReaderDep = Annotated[UserReader, resource(UserReader)]
UserReads = Annotated[UserService, Depends(user_reads, scope="function")]
UserWrites = Annotated[UserService, Depends(user_writes, scope="function")]
MayReadUsers = Annotated[Principal, Depends(Requires(Permission.READ_USERS))]
MayWriteUsers = Annotated[Principal, Depends(Requires(Permission.WRITE_USERS))]
MayDeleteUsers = Annotated[Principal, Depends(Requires(Permission.DELETE_USERS))]
MayAdminister = Annotated[Principal, Depends(Requires(Permission.ADMIN_ACCESS))]
