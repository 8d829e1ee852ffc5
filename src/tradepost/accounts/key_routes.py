"""``/auth/api-keys``: one's own keys for programs."""

from functools import partial

from starlette.responses import Response

from tradepost.accounts.api_keys import api_key_shown
from tradepost.accounts.dependencies import ApiKeyReads, ApiKeyWrites, CurrentPrincipal, LoggedIn
from tradepost.accounts.errors import ApiKeyLimit, ApiKeyNotFound
from tradepost.accounts.key_schemas import ApiKeyCreate, ApiKeyPage, ApiKeyRead, ApiKeyWithSecret
from tradepost.core.errors import InsufficientPermissions, KeyNotAllowed, Unauthenticated
from tradepost.core.wire.schemas import Confirmation
from tradepost.web.answers.json_answer import resource_answer
from tradepost.web.conditions import IfMatch, IfNoneMatch
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.routing.lists import ListPages, PlainWindow
from tradepost.web.routing.parameters import PathId
from tradepost.web.routing.router import Router

router = Router(prefix="/auth/api-keys", tags=["auth"])


@router.get("", responses=problem_responses(Unauthenticated))
async def list_api_keys(
    principal: CurrentPrincipal, keys: ApiKeyReads, pages: ListPages, window: PlainWindow
) -> ApiKeyPage:
    """List your API keys, the newest first; a key that has run out is listed for 30 days."""
    page = await pages.read(f"api keys {principal.user_id}", window, partial(keys.page, principal))
    return ApiKeyPage(api_keys=[ApiKeyRead.model_validate(key) for key in page.rows], **page.info)


@router.post(
    "",
    status_code=201,
    response_model=ApiKeyWithSecret,
    responses=problem_responses(Unauthenticated, KeyNotAllowed, InsufficientPermissions, ApiKeyLimit),
)
async def create_api_key(new: ApiKeyCreate, principal: LoggedIn, keys: ApiKeyWrites) -> Response:
    """Make a key for a program. Keep it: it is shown here alone. Programs send it as `X-API-Key`."""
    return resource_answer(await keys.create(new, principal), status=201)


@router.get(
    "/{key_id}", response_model=ApiKeyRead, responses=problem_responses(Unauthenticated, ApiKeyNotFound)
)
async def read_api_key(
    key_id: PathId, principal: CurrentPrincipal, keys: ApiKeyReads, known: IfNoneMatch
) -> Response:
    """Return one of your API keys, without its secret."""
    return resource_answer(api_key_shown(await keys.get(key_id, principal)), known)


@router.delete(
    "/{key_id}", responses=problem_responses(Unauthenticated, InsufficientPermissions, ApiKeyNotFound)
)
async def delete_api_key(
    key_id: PathId, principal: CurrentPrincipal, keys: ApiKeyWrites, expected: IfMatch
) -> Confirmation:
    """Revoke an API key: the next request that shows it is refused."""
    await keys.delete(key_id, principal, expected)
    return Confirmation(message="API key deleted successfully")
