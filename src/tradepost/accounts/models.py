"""Users, their sessions and API keys, and the tokens of the links that they are sent."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, validates

from tradepost.accounts.key_schemas import KEY_NAME_LENGTH, MOST_KEYS
from tradepost.accounts.permissions import Role
from tradepost.accounts.schemas import EMAIL_LENGTH, NAME_LENGTH, WEBSITE_LENGTH
from tradepost.core.database.models import (
    NEVER_REUSED,
    Base,
    BigId,
    Identified,
    PortableJson,
    Timestamped,
    Versioned,
    choice,
)
from tradepost.core.database.sort_keys import follow, sort_key_column
from tradepost.core.principal import IP_ADDRESS_LENGTH, USER_AGENT_LENGTH


class User(Identified, Timestamped, Versioned, Base):
    """A person with an account. The e-mail address is stored normalised, and is unique so."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("email = lower(email)", name="email_lower"),
        Index("ix_users_created_at_id", "created_at", "id"),
        Index("ix_users_email_key_id", "email_key", "id"),
        Index("ix_users_first_name_key_id", "first_name_key", "id"),
        Index("ix_users_last_name_key_id", "last_name_key", "id"),
        NEVER_REUSED,
    )

    email: Mapped[str] = mapped_column(String(EMAIL_LENGTH), unique=True)
    hashed_password: Mapped[str] = mapped_column(String(255))
    first_name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    last_name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    role: Mapped[Role] = mapped_column(choice(Role, "role"), default=Role.USER)
    is_active: Mapped[bool] = mapped_column(default=True)
    phone: Mapped[str | None] = mapped_column(String(20))
    website: Mapped[str | None] = mapped_column(String(WEBSITE_LENGTH))
    avatar_url: Mapped[str | None] = mapped_column(String(255))
    email_verified_at: Mapped[datetime | None]
    """When the person first showed that they read what is sent to the address, or an admin said so for them."""
    email_key: Mapped[str] = sort_key_column("email")
    first_name_key: Mapped[str] = sort_key_column("first_name")
    last_name_key: Mapped[str] = sort_key_column("last_name")

    @validates("email", "first_name", "last_name")
    def _follow_text(self, source: str, value: str) -> str:
        return follow(self, source, value)

    @property
    def full_name(self) -> str:
        """Both names, as one would write them."""
        return f"{self.first_name} {self.last_name}"

    @property
    def email_verified(self) -> bool:
        """Whether the address is taken for proved."""
        return self.email_verified_at is not None


class LoginSession(Identified, Base):
    """One log-in on one device, until ``expires_at`` at the latest. Ending it deletes the row.

    ``counter`` is the number of the refresh token in force; ``rotated_at`` is when it took over from the one before, by
    the database's clock.
    """

    __tablename__ = "sessions"
    __table_args__ = (NEVER_REUSED,)

    user_id: Mapped[int] = mapped_column(BigId, ForeignKey("users.id", ondelete="CASCADE"), index=True)
    counter: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    rotated_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    user_agent: Mapped[str | None] = mapped_column(String(USER_AGENT_LENGTH))
    ip_address: Mapped[str | None] = mapped_column(String(IP_ADDRESS_LENGTH))


class ApiKey(Identified, Base):
    """A credential for a program of the person's. Revoking it deletes the row.

    It is found by ``prefix``; of its secret only a hash is kept. ``slot`` numbers a person's keys from 1 to the limit: its
    uniqueness keeps the limit, however many are made at once.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        CheckConstraint(f"slot BETWEEN 1 AND {MOST_KEYS}", name="slot_range"),
        UniqueConstraint("user_id", "slot"),
        NEVER_REUSED,
    )

    user_id: Mapped[int] = mapped_column(BigId, ForeignKey("users.id", ondelete="CASCADE"))
    slot: Mapped[int] = mapped_column(SmallInteger)
    name: Mapped[str] = mapped_column(String(KEY_NAME_LENGTH))
    prefix: Mapped[str] = mapped_column(String(16), unique=True)
    secret_hash: Mapped[str] = mapped_column(String(64))
    permissions: Mapped[list[str]] = mapped_column(PortableJson)
    """What the key may do at the most; it never may what the person may not."""
    rate_limit: Mapped[str | None] = mapped_column(String(32))
    load_test: Mapped[bool]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None] = mapped_column(index=True)
    last_used_at: Mapped[datetime | None]
    """When it was last used, give or take a minute."""


class SecondFactor(Base):
    """A person's second factor, which counts once it is confirmed. Removing it deletes the row.

    ``secret`` is sealed (``core/sealing.py``). ``last_step`` is the step of the newest code that was used: no code is good
    twice. ``failures`` are the moments of the last wrong codes, in milliseconds since 1970.
    """

    __tablename__ = "second_factors"

    user_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    secret: Mapped[str] = mapped_column(String(255))
    last_step: Mapped[int] = mapped_column(BigId)
    failures: Mapped[list[int]] = mapped_column(PortableJson)
    created_at: Mapped[datetime]
    confirmed_at: Mapped[datetime | None]


class RecoveryCode(Base):
    """The hash of a recovery code that was not used yet. All of a person have one salt, so that one hash finds any of them."""

    __tablename__ = "recovery_codes"

    user_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("second_factors.user_id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    code_hash: Mapped[str] = mapped_column(String(255), primary_key=True)


class TokenPurpose(StrEnum):
    """What the link of a token is for."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - a purpose, not a password
    CHANGE_EMAIL = "change_email"
    """Its address is the one that is to be the account's."""
    UNDO_EMAIL = "undo_email"
    """Its address is the one that was the account's; it belongs to nobody else while the token is good."""


class AccountToken(Identified, Base):
    """A one-time token, which ``accounts.links`` derives from ``nonce``; it is good while ``used_at`` is empty.

    ``email`` is the address that it was made for: a token proves no other.
    """

    __tablename__ = "account_tokens"
    __table_args__ = (NEVER_REUSED,)

    user_id: Mapped[int] = mapped_column(BigId, ForeignKey("users.id", ondelete="CASCADE"), index=True)
    purpose: Mapped[TokenPurpose] = mapped_column(choice(TokenPurpose, "purpose"))
    nonce: Mapped[str] = mapped_column(String(64))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    email: Mapped[str] = mapped_column(String(EMAIL_LENGTH))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    used_at: Mapped[datetime | None]
