"""``/auth/email/change``: another e-mail address for one's account, and the one from before back."""

from tradepost.accounts.dependencies import EmailChanges, LoggedIn
from tradepost.accounts.errors import EmailTaken, IncorrectPassword, InvalidToken
from tradepost.accounts.schemas import EmailChange, EmailVerification
from tradepost.core.errors import KeyNotAllowed, TooManyRequests, Unauthenticated
from tradepost.core.wire.schemas import Confirmation
from tradepost.web.origin import RequestOrigin
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.rate_limits import Limited
from tradepost.web.routing.router import Router

router = Router(prefix="/auth/email/change", tags=["auth"])


@router.post(
    "",
    status_code=202,
    responses=problem_responses(Unauthenticated, KeyNotAllowed, IncorrectPassword, TooManyRequests),
)
async def change_email(
    body: EmailChange, principal: LoggedIn, changes: EmailChanges, limited: Limited
) -> Confirmation:
    """Have a link sent to a new address, which becomes one's own when the link is used; nobody learns whose it is."""
    await limited("password", f"email|{principal.user_id}")
    await limited("password", f"email|to|{body.new_email}", name="password-address")
    await changes.ask(body.new_email, body.password, principal)
    return Confirmation(message="An e-mail with a link is on its way to the new address")


@router.post("/confirm", responses=problem_responses(InvalidToken, EmailTaken))
async def confirm_email_change(
    body: EmailVerification, changes: EmailChanges, origin: RequestOrigin
) -> Confirmation:
    """Take the new address with the token of the link; sessions stay."""
    await changes.confirm(body.token, origin)
    return Confirmation(message="E-mail address changed successfully")


@router.post("/undo", responses=problem_responses(InvalidToken, EmailTaken))
async def undo_email_change(
    body: EmailVerification, changes: EmailChanges, origin: RequestOrigin
) -> Confirmation:
    """Take the address from before back with the token that was sent there; every session ends."""
    await changes.undo(body.token, origin)
    return Confirmation(message="E-mail address restored successfully")
