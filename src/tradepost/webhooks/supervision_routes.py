"""``/admin/webhooks``: everybody's webhooks and their logs, for admins: look, and send again."""

from functools import partial
from typing import Annotated

from fastapi import Query

from tradepost.accounts.dependencies import MayAdminister
from tradepost.core.errors import InsufficientPermissions, Unauthenticated
from tradepost.core.wire.schemas import Id
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.routing.lists import ListPages, PlainWindow
from tradepost.web.routing.parameters import PathId
from tradepost.web.routing.router import Router
from tradepost.webhooks.dependencies import WebhookReads, WebhookWrites
from tradepost.webhooks.errors import DeliveryNotFound, WebhookNotFound, WebhookOff
from tradepost.webhooks.models import WebhookDelivery
from tradepost.webhooks.routes import State
from tradepost.webhooks.schemas import (
    DeliveryDetail,
    DeliveryPage,
    DeliveryRead,
    WebhookOfSomebody,
    WebhookSelection,
    WebhooksOfAllPage,
)

router = Router(prefix="/admin/webhooks", tags=["webhooks"])

OfUser = Annotated[Id | None, Query(description="Only webhooks of this person")]
Active = Annotated[bool | None, Query(description="Only webhooks that are on, or only those that are off")]

ONLY_ADMINS = problem_responses(Unauthenticated, InsufficientPermissions)
OF_ONE = problem_responses(Unauthenticated, InsufficientPermissions, WebhookNotFound)
OF_A_LINE = problem_responses(Unauthenticated, InsufficientPermissions, WebhookNotFound, DeliveryNotFound)


@router.get("/", responses=ONLY_ADMINS)
async def list_webhooks_of_all(
    *,
    _admin: MayAdminister,
    webhooks: WebhookReads,
    pages: ListPages,
    window: PlainWindow,
    user_id: OfUser = None,
    is_active: Active = None,
) -> WebhooksOfAllPage:
    """List everybody's webhooks, in the order in which they were made."""
    selection = WebhookSelection(user_id, is_active)
    page = await pages.read(f"webhooks of all {selection}", window, partial(webhooks.page, selection))
    rows = [WebhookOfSomebody.model_validate(row) for row in page.rows]
    return WebhooksOfAllPage(webhooks=rows, **page.info)


@router.get("/{webhook_id}", responses=OF_ONE)
async def read_webhook_of_somebody(
    webhook_id: PathId, _admin: MayAdminister, webhooks: WebhookReads
) -> WebhookOfSomebody:
    """Return somebody's webhook, without its secret."""
    owner_id = await webhooks.owner_of(webhook_id)
    return WebhookOfSomebody.model_validate(await webhooks.get(webhook_id, owner_id))


@router.get("/{webhook_id}/deliveries/", responses=OF_ONE)
async def list_deliveries_of_somebody(
    *,
    webhook_id: PathId,
    _admin: MayAdminister,
    webhooks: WebhookReads,
    pages: ListPages,
    window: PlainWindow,
    state: State = None,
) -> DeliveryPage:
    """List what was sent to somebody's webhook in the last 30 days, the newest first."""
    log = partial(webhooks.log, webhook_id, await webhooks.owner_of(webhook_id), state=state)
    page = await pages.read(f"deliveries {webhook_id} {state}", window, log)
    return DeliveryPage(deliveries=[DeliveryRead.model_validate(row) for row in page.rows], **page.info)


@router.get("/{webhook_id}/deliveries/{delivery_id}", response_model=DeliveryDetail, responses=OF_A_LINE)
async def read_delivery_of_somebody(
    webhook_id: PathId, delivery_id: PathId, _admin: MayAdminister, webhooks: WebhookReads
) -> WebhookDelivery:
    """Return a delivery with what was sent and the beginning of what came back."""
    return await webhooks.delivery(delivery_id, webhook_id, await webhooks.owner_of(webhook_id))


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/redeliver",
    status_code=202,
    response_model=DeliveryRead,
    responses=problem_responses(
        Unauthenticated, InsufficientPermissions, WebhookNotFound, DeliveryNotFound, WebhookOff
    ),
)
async def redeliver_for_somebody(
    webhook_id: PathId, delivery_id: PathId, admin: MayAdminister, webhooks: WebhookWrites
) -> WebhookDelivery:
    """Send a message to somebody's webhook again, as a new line of its log."""
    return await webhooks.redeliver_for(delivery_id, webhook_id, by=admin)
