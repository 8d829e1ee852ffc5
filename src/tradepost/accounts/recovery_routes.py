"""``/auth/password`` and ``/auth/email``: what is asked for by address, and done by the link that comes by e-mail."""

from typing import Final

from fastapi import Request

from tradepost.accounts.dependencies import SECURITY_SCHEME, Recovery, logged_in
from tradepost.accounts.errors import InvalidToken
from tradepost.accounts.schemas import AddressRequest, EmailVerification, PasswordReset
from tradepost.core.errors import KeyNotAllowed, TooManyRequests, Unauthenticated
from tradepost.core.wire.schemas import Confirmation
from tradepost.web.origin import RequestOrigin
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.rate_limits import Limited, Limits
from tradepost.web.routing.router import Router

router = Router(prefix="/auth", tags=["auth"])

ASKED: Final = "If the address belongs to an account, an e-mail is on its way"


async def _limit_mails(limited: Limits, kind: str, address: str) -> None:
    """Count a requested e-mail, on the address whether it has an account or not, and on the client."""
    await limited("password", f"{kind}|{address}")
    await limited("password", f"{kind}|from|{limited.address}", name="password-client")


@router.post("/password/forgot", status_code=202, responses=problem_responses(TooManyRequests))
async def forgot_password(body: AddressRequest, recovery: Recovery, limited: Limited) -> Confirmation:
    """Have a link for a new password sent by e-mail; the answer is the same for every address."""
    await _limit_mails(limited, "forgot", body.email)
    await recovery.forgot(body.email)
    return Confirmation(message=ASKED)


@router.post("/password/reset", responses=problem_responses(InvalidToken, TooManyRequests))
async def reset_password(
    body: PasswordReset, recovery: Recovery, limited: Limited, origin: RequestOrigin
) -> Confirmation:
    """Set a new password with the token of the link; every session ends."""
    await limited("password", f"reset|{limited.address}")
    await recovery.reset(body.token, body.new_password, origin)
    return Confirmation(message="Password updated successfully")


@router.post("/email/verify", responses=problem_responses(InvalidToken))
async def verify_email(body: EmailVerification, recovery: Recovery, origin: RequestOrigin) -> Confirmation:
    """Prove one's address with the token of the link."""
    await recovery.verify(body.token, origin)
    return Confirmation(message="E-mail address verified successfully")


# The scheme is named here: as a dependency the bearer would be read, and could fail, although a body is sent.
@router.post(
    "/email/resend",
    status_code=202,
    responses=problem_responses(Unauthenticated, KeyNotAllowed, TooManyRequests),
    openapi_extra={"security": [{}, {SECURITY_SCHEME: []}]},
)
async def resend_verification(
    request: Request, recovery: Recovery, limited: Limited, body: AddressRequest | None = None
) -> Confirmation:
    """Have the link to prove an address sent once more: the one in the body, else one's own.

    By address the answer is the same for every one; nothing is sent to one that is proved already.
    """
    if body is not None:
        await _limit_mails(limited, "resend", body.email)
        await recovery.resend(body.email)
        return Confirmation(message=ASKED)
    principal = await logged_in(request.scope)
    await _limit_mails(limited, "resend", str(principal.user_id))
    await recovery.resend_to(principal)
    return Confirmation(message=ASKED)
