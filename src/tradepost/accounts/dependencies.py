"""How routes get at a person and at the services for people."""

from datetime import timedelta
from functools import partial
from typing import Annotated

from fastapi import Depends, Request
from fastapi.openapi.models import OAuth2 as OAuth2Model
from fastapi.openapi.models import OAuthFlowPassword, OAuthFlows
from fastapi.security.base import SecurityBase
from starlette.types import Scope

from tradepost.accounts.credentials import CredentialService
from tradepost.accounts.identities import Identities, Identity
from tradepost.accounts.links import Links
from tradepost.accounts.passwords import PasswordHasher
from tradepost.accounts.permissions import Permission
from tradepost.accounts.profiles import Profiles
from tradepost.accounts.recovery import RecoveryService
from tradepost.accounts.repository import SessionRepository, UserRepository
from tradepost.accounts.service import UserService
from tradepost.accounts.sessions import Device, SessionService
from tradepost.accounts.tokens import Tokens
from tradepost.core.database.sessions import ReadSession, WriteSession
from tradepost.core.errors import InsufficientPermissions, Unauthenticated
from tradepost.core.messaging.messages import Message
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.principal import Principal
from tradepost.core.resources import Resources
from tradepost.web.db import ReadDep, ResourcesDep, WriteDep
from tradepost.web.lean import header
from tradepost.web.middleware import PERSON_KEY


def bearer_token(credentials: str) -> str:
    """Return the token of an ``Authorization`` header; any scheme but Bearer is ``Unauthenticated``."""
    scheme, _, token = credentials.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated
    return token


class BearerToken(SecurityBase):
    """Reads ``Authorization: Bearer`` (RFC 6750): None without the header, ``Unauthenticated`` for any other scheme."""

    def __init__(self) -> None:
        self.model = OAuth2Model(
            flows=OAuthFlows(password=OAuthFlowPassword(tokenUrl="auth/login", scopes={}))
        )
        self.scheme_name = "bearer"

    async def __call__(self, request: Request) -> str | None:
        credentials = request.headers.get("authorization")
        return None if credentials is None else bearer_token(credentials)


bearer = BearerToken()
Token = Annotated[str | None, Depends(bearer)]


def build_session_service(parts: Resources) -> SessionService:
    """Build the service for logging in and out."""
    return SessionService(
        database=parts.database,
        identities=parts[Identities],
        hasher=parts[PasswordHasher],
        tokens=parts[Tokens],
        clock=parts.clock,
        lifetime=timedelta(days=parts.settings.REFRESH_TOKEN_EXPIRE_DAYS),
    )


def build_credential_service(parts: Resources) -> CredentialService:
    """Build the service for registration and passwords."""
    return CredentialService(
        database=parts.database,
        hasher=parts[PasswordHasher],
        links=parts[Links],
        outbox=parts[Outbox],
        clock=parts.clock,
    )


def build_recovery_service(parts: Resources) -> RecoveryService:
    """Build the service for what is done by links in e-mails."""
    return RecoveryService(
        database=parts.database,
        hasher=parts[PasswordHasher],
        links=parts[Links],
        outbox=parts[Outbox],
        clock=parts.clock,
    )


async def _unannounced(message: Message) -> None:
    raise TypeError(f"{message.type} belongs into the transaction of its change, and this session only reads")


def build_user_service(db: ReadSession | WriteSession, parts: Resources) -> UserService:
    """Build the service for profiles and accounts."""
    return UserService(
        UserRepository(db),
        SessionRepository(db),
        announce=partial(parts[Outbox].add, db) if isinstance(db, WriteSession) else _unannounced,
        clock=parts.clock,
        phone_region=parts.settings.PHONE_DEFAULT_REGION,
    )


async def identify(scope: Scope, token: str) -> Identity:
    """Return whose access token this is, and leave a note for the log line of the request."""
    parts: Resources = scope["state"]["resources"]
    identity = await parts[SessionService].identify(token)
    scope[PERSON_KEY] = identity.principal.user_id
    return identity


async def visitor(request: Request, token: Token) -> Principal | None:
    """Return who asks, or None for a stranger; a credential that fails is ``Unauthenticated``, never a stranger."""
    return None if token is None else (await identify(request.scope, token)).principal


async def visitor_of(scope: Scope) -> Principal | None:
    """Return who asks, as ``visitor`` does, for a lean handler."""
    credentials = header(scope, b"authorization")
    if credentials is None:
        return None
    return (await identify(scope, bearer_token(credentials.decode("latin-1")))).principal


Visitor = Annotated[Principal | None, Depends(visitor)]


async def person(principal: Visitor) -> Principal:
    """Return who asks; a stranger is ``Unauthenticated``."""
    if principal is None:
        raise Unauthenticated
    return principal


Person = Annotated[Principal, Depends(person)]


class Requires:
    """A dependency that lets pass who has ``permission``, and returns them."""

    def __init__(self, permission: Permission) -> None:
        self._permission = permission

    async def __call__(self, principal: Person) -> Principal:
        if self._permission not in principal.permissions:
            raise InsufficientPermissions
        return principal


async def session_service(parts: ResourcesDep) -> SessionService:
    """Return the service for logging in and out."""
    return parts[SessionService]


async def credential_service(parts: ResourcesDep) -> CredentialService:
    """Return the service for registration and passwords."""
    return parts[CredentialService]


async def recovery_service(parts: ResourcesDep) -> RecoveryService:
    """Return the service for what is done by links in e-mails."""
    return parts[RecoveryService]


async def profiles(parts: ResourcesDep) -> Profiles:
    """Return what finds users by id."""
    return parts[Profiles]


async def user_reads(db: ReadDep, parts: ResourcesDep) -> UserService:
    """Return the service for accounts on a read session."""
    return build_user_service(db, parts)


async def user_writes(db: WriteDep, parts: ResourcesDep) -> UserService:
    """Return the service for accounts in the request's transaction."""
    return build_user_service(db, parts)


async def device_of(request: Request) -> Device:
    """Return what a log-in is remembered by."""
    agent = request.headers.get("user-agent")
    address = request.client.host if request.client else None
    return Device(
        user_agent=agent and "".join(filter(str.isprintable, agent)), ip_address=address and address[:45]
    )


Sessions = Annotated[SessionService, Depends(session_service)]
Credentials = Annotated[CredentialService, Depends(credential_service)]
Recovery = Annotated[RecoveryService, Depends(recovery_service)]
People = Annotated[Profiles, Depends(profiles)]
UserReads = Annotated[UserService, Depends(user_reads, scope="function")]
UserWrites = Annotated[UserService, Depends(user_writes, scope="function")]
UserReader = Annotated[Principal, Depends(Requires(Permission.READ_USERS))]
UserWriter = Annotated[Principal, Depends(Requires(Permission.WRITE_USERS))]
UserDeleter = Annotated[Principal, Depends(Requires(Permission.DELETE_USERS))]
