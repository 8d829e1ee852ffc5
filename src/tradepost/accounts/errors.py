"""The errors of accounts, each with its code."""

from tradepost.accounts.key_schemas import MOST_KEYS
from tradepost.core.errors import Conflict, Forbidden, NotFound, RuleBroken, Unauthenticated, Unavailable


class UserNotFound(NotFound):
    """No user has this id."""

    code = "USER_NOT_FOUND"
    detail = "User not found"


class SessionNotFound(NotFound):
    """The person has no session of this id."""

    code = "SESSION_NOT_FOUND"
    detail = "Session not found"


class ApiKeyNotFound(NotFound):
    """The person has no API key of this id."""

    code = "API_KEY_NOT_FOUND"
    detail = "API key not found"


class ApiKeyLimit(RuleBroken):
    """The person has the greatest number of API keys that one may have."""

    code = "API_KEY_LIMIT"
    detail = f"Nobody may have more than {MOST_KEYS} API keys: delete one first"


class EmailTaken(RuleBroken):
    """Another account has this e-mail address."""

    code = "EMAIL_TAKEN"
    detail = "The user with this email already exists in the system."


class InactiveUser(RuleBroken):
    """The password is right, and the account is switched off."""

    code = "INACTIVE_USER"
    detail = "Inactive user"


class SelfDelete(RuleBroken):
    """An admin tried to delete the account they are using."""

    code = "SELF_DELETE"
    detail = "Cannot delete your own user account"


class IncorrectPassword(RuleBroken):
    """The current password, asked for before it is changed, is not right."""

    code = "INCORRECT_PASSWORD"
    detail = "Incorrect password"


class IncorrectCode(RuleBroken):
    """A code of the second factor is wrong, was used before, or is too old; which of these stays unsaid."""

    code = "INCORRECT_CODE"
    detail = "Incorrect or used code"


class CodeNeeded(RuleBroken):
    """The account has a second factor: its code has to come along."""

    code = "SECOND_FACTOR_REQUIRED"
    detail = "A code of the second factor is required"


class SecondFactorNotFound(NotFound):
    """The person has no second factor, or none that waits for its first code."""

    code = "SECOND_FACTOR_NOT_FOUND"
    detail = "Second factor not found"


class OwnSecondFactor(RuleBroken):
    """One's own second factor goes by password and code: a stolen log-in alone must not do it."""

    code = "OWN_SECOND_FACTOR"
    detail = "Remove your own second factor at /auth/totp, by password and code"


class OwnAddress(RuleBroken):
    """Of one's own address the link of an e-mail says whether it is proved, and nothing else."""

    code = "OWN_ADDRESS"
    detail = "Prove your own address by the link of an e-mail; only another admin can say it, or take it back"


class SecondFactorActive(Conflict):
    """The person has a second factor: it is removed before another one is set up."""

    code = "SECOND_FACTOR_ACTIVE"
    detail = "A second factor is in force: remove it first"


class SecondFactorNeeded(Forbidden):
    """Staff have to have a second factor here, and this one has none yet."""

    code = "SECOND_FACTOR_NEEDED"
    detail = "Staff need a second factor here: set one up at /auth/totp"


class InvalidToken(RuleBroken):
    """The token of a link was used already, has run out, or never was one; which of these stays unsaid."""

    code = "INVALID_TOKEN"
    detail = "This link has been used, has expired or is not valid"


class DataExportsBusy(Unavailable):
    """As many exports of people's data as may are running."""

    code = "EXPORTS_BUSY"
    detail = "Two exports are running already"

    def __init__(self) -> None:
        super().__init__(retry_after=10)


class LastAdmin(Conflict):
    """Without this account nobody could administer the marketplace."""

    code = "LAST_ADMIN"
    detail = "The last active admin cannot be deleted, demoted or deactivated"


class LoginFailed(Unauthenticated):
    """The e-mail address is unknown or the password wrong; which of the two stays unsaid."""

    detail = "Incorrect email or password"


class SecondFactorRequired(Unauthenticated):
    """The password is right, and the account has a second factor: its code has to come along as ``otp``."""

    code = "SECOND_FACTOR_REQUIRED"
    detail = "A code of the second factor is required"


class SecondFactorRefused(Unauthenticated):
    """The password is right, and the code of the second factor is not, or was used before."""

    code = "INCORRECT_CODE"
    detail = "Incorrect or used code"
