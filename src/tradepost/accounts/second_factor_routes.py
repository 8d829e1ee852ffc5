"""``/auth/totp``: one's own second factor. Whoever has to have one is let in here without."""

from tradepost.accounts.dependencies import Enrolling, SecondFactors
from tradepost.accounts.errors import (
    IncorrectCode,
    IncorrectPassword,
    SecondFactorActive,
    SecondFactorNotFound,
)
from tradepost.accounts.second_factor_schemas import RecoveryCodes, TotpConfirmation, TotpRemoval, TotpSetup
from tradepost.core.errors import KeyNotAllowed, TooManyRequests, Unauthenticated
from tradepost.core.wire.schemas import Confirmation
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.rate_limits import Limited
from tradepost.web.routing.router import Router

router = Router(prefix="/auth/totp", tags=["auth"])


@router.post("", responses=problem_responses(Unauthenticated, KeyNotAllowed, SecondFactorActive))
async def set_up_totp(principal: Enrolling, factors: SecondFactors) -> TotpSetup:
    """Get a secret for an authenticator; it counts once a code of it confirms it."""
    setup = await factors.begin(principal)
    return TotpSetup(secret=setup.secret, otpauth_uri=setup.otpauth_uri)


@router.post(
    "/confirm",
    responses=problem_responses(
        Unauthenticated,
        KeyNotAllowed,
        IncorrectCode,
        SecondFactorNotFound,
        SecondFactorActive,
        TooManyRequests,
    ),
)
async def confirm_totp(body: TotpConfirmation, principal: Enrolling, factors: SecondFactors) -> RecoveryCodes:
    """Put the second factor in force by a code; the recovery codes are shown here alone. Sessions and API keys stay."""
    return RecoveryCodes(recovery_codes=await factors.confirm(body.code, principal))


@router.delete(
    "",
    responses=problem_responses(
        Unauthenticated,
        KeyNotAllowed,
        IncorrectPassword,
        IncorrectCode,
        SecondFactorNotFound,
        TooManyRequests,
    ),
)
async def remove_totp(
    body: TotpRemoval, principal: Enrolling, factors: SecondFactors, limited: Limited
) -> Confirmation:
    """Take the second factor away, by password and a code of it, or a recovery code."""
    await limited("password", f"totp|{principal.user_id}")
    await factors.disable(body.password, body.code, principal)
    return Confirmation(message="Second factor removed successfully")
