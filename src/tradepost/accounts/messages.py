"""The messages of accounts: facts for other domains, and requests that their own reactions answer."""

from dataclasses import dataclass
from typing import ClassVar

from tradepost.core.messaging.messages import Message


@dataclass(frozen=True, slots=True)
class UserRegistered(Message):
    """An account was made, by the person or by an admin. The token proves the address; None: there is none to send."""

    type: ClassVar[str] = "accounts.user_registered.v1"
    user_id: int
    token_id: int | None = None


@dataclass(frozen=True, slots=True)
class VerificationAsked(Message):
    """Somebody wants another e-mail that proves this normalised address, which may be nobody's."""

    type: ClassVar[str] = "accounts.verification_asked.v1"
    email: str


@dataclass(frozen=True, slots=True)
class VerificationRequested(Message):
    """A person is to prove their address with this token."""

    type: ClassVar[str] = "accounts.verification_requested.v1"
    user_id: int
    token_id: int


@dataclass(frozen=True, slots=True)
class PasswordForgotten(Message):
    """Somebody says to have forgotten the password of this normalised address, which may be nobody's."""

    type: ClassVar[str] = "accounts.password_forgotten.v1"
    email: str


@dataclass(frozen=True, slots=True)
class PasswordResetRequested(Message):
    """A person may set a new password with this token."""

    type: ClassVar[str] = "accounts.password_reset_requested.v1"
    user_id: int
    token_id: int


@dataclass(frozen=True, slots=True)
class PasswordChanged(Message):
    """A person's password is another one now: changed by themselves, or reset."""

    type: ClassVar[str] = "accounts.password_changed.v1"
    user_id: int


@dataclass(frozen=True, slots=True)
class EmailChangeAsked(Message):
    """A person wants another address, which the token is to prove."""

    type: ClassVar[str] = "accounts.email_change_asked.v1"
    user_id: int
    token_id: int


@dataclass(frozen=True, slots=True)
class EmailChanged(Message):
    """An account has another address; the token, which goes to the one before, undoes it."""

    type: ClassVar[str] = "accounts.email_changed.v1"
    user_id: int
    token_id: int


@dataclass(frozen=True, slots=True)
class EmailChangeUndone(Message):
    """An account has the address from before again, and every session has ended."""

    type: ClassVar[str] = "accounts.email_change_undone.v1"
    user_id: int


@dataclass(frozen=True, slots=True)
class SecondFactorEnabled(Message):
    """Logging in to an account takes a code of an authenticator from now on."""

    type: ClassVar[str] = "accounts.second_factor_enabled.v1"
    user_id: int


@dataclass(frozen=True, slots=True)
class SecondFactorDisabled(Message):
    """The password of an account alone logs in again."""

    type: ClassVar[str] = "accounts.second_factor_disabled.v1"
    user_id: int


@dataclass(frozen=True, slots=True)
class SecondFactorLifted(Message):
    """An admin or an operator took a person's second factor away: the password of the account alone logs in again."""

    type: ClassVar[str] = "accounts.second_factor_lifted.v1"
    user_id: int


@dataclass(frozen=True, slots=True)
class RecoveryCodeUsed(Message):
    """A recovery code stood in for the authenticator; so many are left."""

    type: ClassVar[str] = "accounts.recovery_code_used.v1"
    user_id: int
    left: int


@dataclass(frozen=True, slots=True)
class GrantsRevoked(Message):
    """A reset proved the address of an account for the first time, and revoked its grants from before: so many."""

    type: ClassVar[str] = "accounts.grants_revoked.v1"
    user_id: int
    number: int


@dataclass(frozen=True, slots=True)
class ApiKeysRevoked(Message):
    """A reset proved the address of an account for the first time, and deleted its API keys from before: so many."""

    type: ClassVar[str] = "accounts.api_keys_revoked.v1"
    user_id: int
    number: int


@dataclass(frozen=True, slots=True)
class AccountEnded(Message):
    """An account is gone, and its address, which is sealed, is to be told so for the last time."""

    type: ClassVar[str] = "accounts.account_ended.v1"
    user_id: int
    sealed_email: str


@dataclass(frozen=True, slots=True)
class UserDeleted(Message):
    """An account is gone, with all that the database deletes along with it."""

    type: ClassVar[str] = "accounts.user_deleted.v1"
    user_id: int
