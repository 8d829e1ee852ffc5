"""Builds the services of accounts that open transactions of their own, and live as long as the process.

Also what a service is given in place of what only a transaction has.
"""

from datetime import timedelta
from typing import Any

from tradepost.accounts.credentials import CredentialService
from tradepost.accounts.email_change import EmailChangeService
from tradepost.accounts.exporting import DataExport, PersonalTables
from tradepost.accounts.farewells import Farewells
from tradepost.accounts.grants import AccountGrants
from tradepost.accounts.identities import Identities
from tradepost.accounts.links import Links
from tradepost.accounts.passwords import PasswordHasher
from tradepost.accounts.reader import UserReader
from tradepost.accounts.recovery import RecoveryService
from tradepost.accounts.second_factor import SecondFactorService
from tradepost.accounts.sessions import SessionService
from tradepost.accounts.supervision import Supervision
from tradepost.accounts.tokens import Tokens
from tradepost.core.audit.trail import AuditTrail
from tradepost.core.messaging.messages import Message
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.resources import Resources
from tradepost.core.sealing import Seals
from tradepost.core.storage.store import Storage


def build_session_service(resources: Resources) -> SessionService:
    """Build the service for logging in and out."""
    return SessionService(
        database=resources.database,
        identities=resources[Identities],
        hasher=resources[PasswordHasher],
        second_factor=resources[SecondFactorService],
        tokens=resources[Tokens],
        audit=resources[AuditTrail],
        clock=resources.clock,
        lifetime=timedelta(days=resources.settings.REFRESH_TOKEN_EXPIRE_DAYS),
    )


def build_second_factor_service(resources: Resources) -> SecondFactorService:
    """Build the service for second factors, whose secrets are sealed under a key of their own."""
    keys = resources.settings.secret_keys.derived(b"tradepost second factors 1")
    return SecondFactorService(
        database=resources.database,
        hasher=resources[PasswordHasher],
        seals=Seals(keys, resources.clock),
        outbox=resources[Outbox],
        audit=resources[AuditTrail],
        clock=resources.clock,
        issuer=resources.settings.PROJECT_NAME,
    )


def build_supervision(resources: Resources) -> Supervision:
    """Build the service for what admins see and end of others' access."""
    return Supervision(
        resources.database,
        people=resources[UserReader],
        audit=resources[AuditTrail],
        clock=resources.clock,
    )


def build_farewells(resources: Resources) -> Farewells:
    """Build what seals the addresses of last e-mails."""
    return Farewells(Seals(resources.settings.secret_keys.derived(b"tradepost farewells 1"), resources.clock))


def build_data_export(resources: Resources) -> DataExport:
    """Build what gives people their data."""
    return DataExport(
        resources.database,
        tables=resources[PersonalTables],
        storage=resources[Storage],
        clock=resources.clock,
        project=resources.settings.PROJECT_NAME,
    )


def build_credential_service(resources: Resources) -> CredentialService:
    """Build the service for registration and passwords."""
    return CredentialService(
        database=resources.database,
        hasher=resources[PasswordHasher],
        links=resources[Links],
        outbox=resources[Outbox],
        audit=resources[AuditTrail],
        clock=resources.clock,
    )


def build_email_change_service(resources: Resources) -> EmailChangeService:
    """Build the service for changes of addresses."""
    return EmailChangeService(
        database=resources.database,
        hasher=resources[PasswordHasher],
        links=resources[Links],
        outbox=resources[Outbox],
        audit=resources[AuditTrail],
        clock=resources.clock,
    )


def build_recovery_service(resources: Resources) -> RecoveryService:
    """Build the service for what is done by links in e-mails."""
    return RecoveryService(
        database=resources.database,
        hasher=resources[PasswordHasher],
        links=resources[Links],
        grants=resources[AccountGrants],
        second_factor=resources[SecondFactorService],
        outbox=resources[Outbox],
        audit=resources[AuditTrail],
        clock=resources.clock,
    )


async def unannounced(*messages: Message) -> None:
    """Refuse to announce anything: for services on a session that only reads."""
    raise TypeError(
        f"{messages[0].type} belongs into the transaction of its change, and this session only reads"
    )


async def unrecorded(action: str, **_about: Any) -> None:
    """Refuse to record anything, likewise."""
    raise TypeError(f"{action} belongs into the transaction of its change, and this session only reads")


async def stays(**_whom: Any) -> None:
    """Refuse to have anybody leave, likewise."""
    raise TypeError("nobody leaves in a session that only reads")
