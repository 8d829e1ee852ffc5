"""``/audit``: who did what to whom, when, and from where. Admins see all of it, people what concerns them."""

from functools import partial

from starlette.responses import Response

from tradepost.accounts.dependencies import CurrentPrincipal, MayAdminister
from tradepost.audit.dependencies import AuditReads, AuditSelection
from tradepost.audit.schemas import AuditLineRead, AuditPage
from tradepost.core.errors import InsufficientPermissions, Unauthenticated
from tradepost.web.answers.streamed import StreamedAnswer
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.routing.lists import ListPages, UncountedWindow
from tradepost.web.routing.router import Router

router = Router(prefix="/audit", tags=["audit"])

NDJSON = "application/x-ndjson"
ONLY_ADMINS = problem_responses(Unauthenticated, InsufficientPermissions)


class NdjsonResponse(Response):
    """The class that says in the OpenAPI what comes."""

    media_type = NDJSON


@router.get("", responses=ONLY_ADMINS)
async def list_audit_lines(
    _admin: MayAdminister,
    lines: AuditReads,
    selection: AuditSelection,
    pages: ListPages,
    window: UncountedWindow,
) -> AuditPage:
    """List what was done, the newest first. Lines are never changed, and kept for a year."""
    page = await pages.read(f"audit {selection}", window, partial(lines.page, selection))
    return AuditPage(lines=list(page.rows), **page.info)


@router.get("/me", responses=problem_responses(Unauthenticated))
async def list_my_audit_lines(
    principal: CurrentPrincipal,
    lines: AuditReads,
    selection: AuditSelection,
    pages: ListPages,
    window: UncountedWindow,
) -> AuditPage:
    """List what you did, and what was done to your account and your things: failed log-ins too. The newest first."""
    scope = f"audit of {principal.user_id} {selection}"
    page = await pages.read(scope, window, partial(lines.page_of, principal, selection))
    return AuditPage(lines=list(page.rows), **page.info)


@router.get("/export", response_model=AuditLineRead, response_class=NdjsonResponse, responses=ONLY_ADMINS)
async def export_audit_lines(_admin: MayAdminister, lines: AuditReads, selection: AuditSelection) -> Response:
    """Write out the selected lines as NDJSON, the oldest first."""
    headers = {"Content-Disposition": 'attachment; filename="audit.ndjson"'}
    return StreamedAnswer(lines.export(selection), NDJSON, headers=headers)
