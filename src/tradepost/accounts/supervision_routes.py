"""``/users/{id}/sessions``, ``/api-keys`` and ``/totp``: somebody else's access, for admins who are logged in themselves."""

from functools import partial

from tradepost.accounts.auth_routes import session_shown
from tradepost.accounts.dependencies import MayWriteUsersInPerson, Supervising
from tradepost.accounts.errors import ApiKeyNotFound, SessionNotFound, UserNotFound
from tradepost.accounts.key_schemas import ApiKeyPage, ApiKeyRead
from tradepost.accounts.second_factor_schemas import SecondFactorState
from tradepost.accounts.session_schemas import SessionPage
from tradepost.accounts.user_routes import UserId
from tradepost.core.errors import InsufficientPermissions, KeyNotAllowed, Unauthenticated
from tradepost.core.wire.schemas import Confirmation
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.routing.lists import ListPages, PlainWindow
from tradepost.web.routing.parameters import PathId
from tradepost.web.routing.router import Router

router = Router(prefix="/users/{user_id}", tags=["users"])

_REFUSALS = (Unauthenticated, KeyNotAllowed, InsufficientPermissions, UserNotFound)


@router.get("/totp", responses=problem_responses(*_REFUSALS))
async def read_totp_of(
    user_id: UserId, _admin: MayWriteUsersInPerson, access: Supervising
) -> SecondFactorState:
    """Tell whether somebody has a second factor, and how many recovery codes are left."""
    return await access.second_factor(user_id)


@router.get("/sessions", responses=problem_responses(*_REFUSALS))
async def list_sessions_of(
    user_id: UserId,
    admin: MayWriteUsersInPerson,
    access: Supervising,
    pages: ListPages,
    window: PlainWindow,
) -> SessionPage:
    """List somebody's log-ins, the newest first."""
    page = await pages.read(f"sessions of {user_id}", window, partial(access.sessions, user_id))
    return SessionPage(sessions=[session_shown(login, admin) for login in page.rows], **page.info)


@router.delete("/sessions", responses=problem_responses(*_REFUSALS))
async def revoke_sessions_of(
    user_id: UserId, admin: MayWriteUsersInPerson, access: Supervising
) -> Confirmation:
    """End every log-in of somebody."""
    await access.end_sessions(user_id, by=admin)
    return Confirmation(message="Logged out of all sessions successfully")


@router.delete("/sessions/{session_id}", responses=problem_responses(*_REFUSALS, SessionNotFound))
async def revoke_session_of(
    user_id: UserId, session_id: PathId, admin: MayWriteUsersInPerson, access: Supervising
) -> Confirmation:
    """End one of somebody's log-ins."""
    await access.end_session(session_id, user_id, by=admin)
    return Confirmation(message="Session revoked successfully")


@router.get("/api-keys", responses=problem_responses(*_REFUSALS))
async def list_api_keys_of(
    user_id: UserId,
    _admin: MayWriteUsersInPerson,
    access: Supervising,
    pages: ListPages,
    window: PlainWindow,
) -> ApiKeyPage:
    """List somebody's API keys, the newest first, without their secrets."""
    page = await pages.read(f"api keys of {user_id}", window, partial(access.keys, user_id))
    return ApiKeyPage(api_keys=[ApiKeyRead.model_validate(key) for key in page.rows], **page.info)


@router.delete("/api-keys/{key_id}", responses=problem_responses(*_REFUSALS, ApiKeyNotFound))
async def delete_api_key_of(
    user_id: UserId, key_id: PathId, admin: MayWriteUsersInPerson, access: Supervising
) -> Confirmation:
    """Revoke one of somebody's API keys: the next request that shows it is refused."""
    await access.delete_key(key_id, user_id, by=admin)
    return Confirmation(message="API key deleted successfully")
