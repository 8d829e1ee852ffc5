"""``/auth``: registering, logging in, staying in, and out."""

from functools import partial
from typing import Annotated

from fastapi import Form, Request
from starlette.responses import Response

from tradepost.accounts.addresses import account_key
from tradepost.accounts.dependencies import (
    SECURITY_SCHEME,
    Credentials,
    LoggedIn,
    Sessions,
    logged_in,
)
from tradepost.accounts.errors import (
    EmailTaken,
    InactiveUser,
    LoginFailed,
    SecondFactorRefused,
    SecondFactorRequired,
    SessionNotFound,
)
from tradepost.accounts.models import LoginSession
from tradepost.accounts.reader import profile_shown
from tradepost.accounts.schemas import UserRead, UserRegister
from tradepost.accounts.session_schemas import (
    REFRESH_FORM,
    LoginForm,
    RefreshRequest,
    RenewedTokens,
    SessionPage,
    SessionRead,
    TokenPair,
)
from tradepost.core.errors import KeyNotAllowed, TooManyRequests, Unauthenticated
from tradepost.core.principal import Principal
from tradepost.core.wire.schemas import Confirmation
from tradepost.web.answers.json_answer import resource_answer
from tradepost.web.origin import RequestOrigin, origin_of
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.rate_limits import Limited
from tradepost.web.routing.lists import ListPages, PlainWindow
from tradepost.web.routing.parameters import PathId
from tradepost.web.routing.router import Router
from tradepost.web.routing.token_endpoint import token_endpoint

router = Router(prefix="/auth", tags=["auth"])


@router.post(
    "/login",
    responses=problem_responses(
        LoginFailed, SecondFactorRequired, SecondFactorRefused, InactiveUser, TooManyRequests
    ),
)
@token_endpoint
async def login(
    form: Annotated[LoginForm, Form()],
    sessions: Sessions,
    origin: RequestOrigin,
    limited: Limited,
) -> TokenPair:
    """Open a session with e-mail address (`username`), password, and the code of a second factor where there is one."""
    await limited("login", f"{account_key(form.username)}|{limited.address}")
    return await sessions.login(form.username, form.password, origin, otp=form.otp)


@router.post("/register", response_model=UserRead, responses=problem_responses(EmailTaken, TooManyRequests))
async def register(
    applicant: UserRegister, credentials: Credentials, limited: Limited, origin: RequestOrigin
) -> Response:
    """Make an account for oneself."""
    await limited("register", limited.address)
    return resource_answer(profile_shown(await credentials.register(applicant, by=origin)))


# The scheme is named here: as a dependency the bearer would be read, and could fail, although a body is sent.
@router.post(
    "/refresh-token",
    response_model=RenewedTokens,
    responses=problem_responses(Unauthenticated, KeyNotAllowed),
    openapi_extra={
        "security": [{}, {SECURITY_SCHEME: []}],
        "requestBody": {"content": {"application/x-www-form-urlencoded": {"schema": REFRESH_FORM}}},
    },
)
@token_endpoint
async def refresh_token(
    request: Request, sessions: Sessions, body: RefreshRequest | None = None
) -> TokenPair | RenewedTokens:
    """Rotate the refresh token in the body, be it JSON or OAuth 2's form; without a body, renew the bearer's access token."""
    if body is not None:
        return await sessions.refresh(body.refresh_token, origin_of(request.scope))
    principal = await logged_in(request.scope)
    return await sessions.renew(principal)


@router.post("/logout", responses=problem_responses(Unauthenticated, KeyNotAllowed))
async def logout(principal: LoggedIn, sessions: Sessions) -> Confirmation:
    """End the session of the access token."""
    await sessions.logout(principal)
    return Confirmation(message="Logged out successfully")


@router.post("/logout-all", responses=problem_responses(Unauthenticated, KeyNotAllowed))
async def logout_all(principal: LoggedIn, sessions: Sessions) -> Confirmation:
    """End every session of the principal."""
    await sessions.logout_all(principal)
    return Confirmation(message="Logged out of all sessions successfully")


def session_shown(login: LoginSession, asker: Principal) -> SessionRead:
    """Return a log-in as ``asker`` sees it, who may be asking by it."""
    return SessionRead(
        id=login.id,
        created_at=login.created_at,
        last_used_at=login.rotated_at,
        expires_at=login.expires_at,
        user_agent=login.user_agent,
        ip_address=login.ip_address,
        current=login.id == asker.session_id,
    )


@router.get("/sessions", responses=problem_responses(Unauthenticated, KeyNotAllowed))
async def list_sessions(
    principal: LoggedIn, sessions: Sessions, pages: ListPages, window: PlainWindow
) -> SessionPage:
    """List one's own log-ins, newest first."""
    page = await pages.read(f"sessions {principal.user_id}", window, partial(sessions.page, principal))
    return SessionPage(sessions=[session_shown(login, principal) for login in page.rows], **page.info)


@router.delete(
    "/sessions/{session_id}", responses=problem_responses(Unauthenticated, KeyNotAllowed, SessionNotFound)
)
async def revoke_session(session_id: PathId, principal: LoggedIn, sessions: Sessions) -> Confirmation:
    """End one of one's own log-ins."""
    await sessions.revoke(session_id, principal)
    return Confirmation(message="Session revoked successfully")
