"""``/users``: one's own profile, and everybody's for staff."""

from functools import partial
from typing import Annotated

from fastapi import Path, Query
from starlette.responses import Response

from tradepost.accounts.dependencies import (
    Credentials,
    CurrentIdentity,
    CurrentPrincipal,
    DataExports,
    Leaving,
    LoggedIn,
    MayDeleteUsers,
    MayReadUsers,
    MayWriteUsers,
    MayWriteUsersInPerson,
    SecondFactors,
    UserReaderDep,
    UserReads,
    UserWrites,
)
from tradepost.accounts.errors import (
    CodeNeeded,
    DataExportsBusy,
    EmailTaken,
    IncorrectCode,
    IncorrectPassword,
    LastAdmin,
    OwnAddress,
    OwnSecondFactor,
    SecondFactorNotFound,
    SelfDelete,
    UserNotFound,
)
from tradepost.accounts.permissions import Role
from tradepost.accounts.reader import profile_shown
from tradepost.accounts.repository.users import SORTS
from tradepost.accounts.schemas import (
    NAME_LENGTH,
    PasswordChange,
    ProfileUpdate,
    UserCreate,
    UserPage,
    UserRead,
    UserSelection,
    UserUpdate,
)
from tradepost.accounts.second_factor_schemas import AccountEnd
from tradepost.core.errors import InsufficientPermissions, KeyNotAllowed, TooManyRequests, Unauthenticated
from tradepost.core.wire.pagination import Window
from tradepost.core.wire.schemas import Confirmation
from tradepost.web.answers.json_answer import resource_answer
from tradepost.web.answers.streamed import StreamedAnswer
from tradepost.web.conditions import IfMatch, IfNoneMatch
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.rate_limits import Limited
from tradepost.web.routing.fast_path import fast_path
from tradepost.web.routing.lists import ListPages, sorted_window
from tradepost.web.routing.parameters import PathId
from tradepost.web.routing.router import Router

router = Router(prefix="/users", tags=["users"])


class ZipResponse(Response):
    """What the OpenAPI says of an export."""

    media_type = "application/zip"


# Not the first: that is the first admin, whom nobody can delete or demote.
UserId = Annotated[PathId, Path(description="The person's id", examples=[2])]
Called = Annotated[
    str | None,
    Query(
        max_length=NAME_LENGTH,
        description="Only people whose e-mail address, first or last name begins with this, or whose number it is; case and "
        "accents do not count",
    ),
]
OfRole = Annotated[Role | None, Query(description="Only people of this role")]
Active = Annotated[bool | None, Query(description="Only people who may log in, or only those who may not")]
OWN = problem_responses(Unauthenticated)
STAFF_ONLY = problem_responses(Unauthenticated, InsufficientPermissions)


@router.get("/me", response_model=UserRead, responses=OWN)
@fast_path
async def read_me(me: CurrentIdentity, known: IfNoneMatch) -> Response:
    """Return one's own profile."""
    return resource_answer(me.profile(), known)


@router.put("/me", response_model=UserRead, responses=OWN)
async def update_me(
    changes: ProfileUpdate, principal: CurrentPrincipal, users: UserWrites, expected: IfMatch
) -> Response:
    """Change one's own profile: only the fields that are sent."""
    return resource_answer(
        profile_shown(await users.update(principal.user_id, changes, expected, by=principal))
    )


@router.delete(
    "/me",
    responses=problem_responses(
        Unauthenticated,
        KeyNotAllowed,
        IncorrectPassword,
        IncorrectCode,
        CodeNeeded,
        LastAdmin,
        TooManyRequests,
    ),
)
async def delete_me(
    body: AccountEnd, principal: LoggedIn, leaving: Leaving, limited: Limited, expected: IfMatch
) -> Confirmation:
    """End one's own account, with everything that is kept under it. Nothing brings it back."""
    await limited("password", f"leave|{principal.user_id}")
    await leaving.leave(body.password, body.code, principal, expected)
    return Confirmation(message="User deleted successfully")


@router.get(
    "/me/export",
    response_class=ZipResponse,
    responses={
        200: {
            "description": "A ZIP with a README, lists in JSON, and the files",
            "content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}},
        },
        **problem_responses(Unauthenticated, KeyNotAllowed, TooManyRequests, DataExportsBusy),
    },
)
async def export_my_data(principal: LoggedIn, exports: DataExports, limited: Limited) -> Response:
    """Take along everything that is kept about oneself; written while it is read, at most two at once."""
    await limited("password", f"export|{principal.user_id}", name="export")
    headers = {"Content-Disposition": 'attachment; filename="my-data.zip"'}
    return StreamedAnswer(exports.chunks(principal.user_id), "application/zip", headers=headers)


@router.put(
    "/me/password",
    responses=problem_responses(Unauthenticated, KeyNotAllowed, IncorrectPassword, TooManyRequests),
)
async def change_my_password(
    change: PasswordChange, principal: LoggedIn, credentials: Credentials, limited: Limited
) -> Confirmation:
    """Set a new password; every session ends, the asking one too."""
    await limited("password", str(principal.user_id))
    await credentials.change_password(change, principal)
    return Confirmation(message="Password updated successfully")


@router.get("/", responses=STAFF_ONLY)
async def list_users(
    *,
    _reader: MayReadUsers,
    users: UserReads,
    pages: ListPages,
    window: Annotated[Window, sorted_window(*SORTS, default="created_at")],
    q: Called = None,
    role: OfRole = None,
    is_active: Active = None,
) -> UserPage:
    """List people."""
    selection = UserSelection(q or None, role, is_active)
    page = await pages.read(f"users {selection}", window, partial(users.page, selection=selection))
    return UserPage(users=[UserRead.model_validate(user) for user in page.rows], **page.info)


@router.post(
    "/",
    status_code=201,
    response_model=UserRead,
    responses=problem_responses(Unauthenticated, InsufficientPermissions, EmailTaken),
)
async def create_user(account: UserCreate, writer: MayWriteUsers, credentials: Credentials) -> Response:
    """Make an account for somebody."""
    user = await credentials.register(account, role=account.role, is_active=account.is_active, by=writer)
    return resource_answer(profile_shown(user), status=201)


@router.get(
    "/{user_id}",
    response_model=UserRead,
    responses=problem_responses(Unauthenticated, InsufficientPermissions, UserNotFound),
)
async def read_user(
    user_id: UserId, _reader: MayReadUsers, people: UserReaderDep, known: IfNoneMatch
) -> Response:
    """Return somebody's profile."""
    return resource_answer(await people.get(user_id), known)


@router.put(
    "/{user_id}",
    response_model=UserRead,
    responses=problem_responses(
        Unauthenticated, KeyNotAllowed, InsufficientPermissions, UserNotFound, LastAdmin, OwnAddress
    ),
)
async def update_user(
    user_id: UserId, changes: UserUpdate, writer: MayWriteUsers, users: UserWrites, expected: IfMatch
) -> Response:
    """Change somebody's profile, role or active flag: only the fields that are sent."""
    return resource_answer(profile_shown(await users.update(user_id, changes, expected, by=writer)))


@router.post(
    "/{user_id}/password-reset",
    status_code=202,
    responses=problem_responses(Unauthenticated, InsufficientPermissions, UserNotFound),
)
async def send_password_reset(
    user_id: UserId, writer: MayWriteUsers, credentials: Credentials
) -> Confirmation:
    """Have a link for a new password sent to somebody by e-mail."""
    await credentials.send_reset(user_id, writer)
    return Confirmation(message="An e-mail with a link is on its way")


@router.delete(
    "/{user_id}/totp",
    responses=problem_responses(
        Unauthenticated,
        KeyNotAllowed,
        InsufficientPermissions,
        OwnSecondFactor,
        UserNotFound,
        SecondFactorNotFound,
    ),
)
async def lift_totp(user_id: UserId, writer: MayWriteUsersInPerson, factors: SecondFactors) -> Confirmation:
    """Take away a second factor that somebody has lost. The person is told by e-mail; not one's own."""
    await factors.lift(user_id, by=writer)
    return Confirmation(message="Second factor removed successfully")


@router.delete(
    "/{user_id}",
    responses=problem_responses(
        Unauthenticated, InsufficientPermissions, UserNotFound, SelfDelete, LastAdmin
    ),
)
async def delete_user(
    user_id: UserId, principal: MayDeleteUsers, users: UserWrites, expected: IfMatch
) -> Confirmation:
    """Delete an account with its sessions and items."""
    await users.delete(user_id, principal, expected)
    return Confirmation(message="User deleted successfully")
