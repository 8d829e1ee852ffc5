"""``/webhooks``: the principal's own webhooks and their delivery logs."""

from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Query
from starlette.responses import Response

from tradepost.accounts.dependencies import CurrentPrincipal
from tradepost.core.errors import InsufficientPermissions, Unauthenticated
from tradepost.core.wire.schemas import Confirmation
from tradepost.web.answers.json_answer import resource_answer
from tradepost.web.conditions import IfMatch, IfNoneMatch
from tradepost.web.openapi.document import operation_id
from tradepost.web.problems.documentation import problem_responses
from tradepost.web.routing.lists import ListPages, PlainWindow
from tradepost.web.routing.parameters import PathId
from tradepost.web.routing.router import Router
from tradepost.webhooks.dependencies import WebhookReads, WebhookWrites
from tradepost.webhooks.errors import (
    DeliveryNotFound,
    WebhookLimit,
    WebhookNotFound,
    WebhookOff,
)
from tradepost.webhooks.models import WebhookDelivery
from tradepost.webhooks.payloads import (
    EventCancelledPayload,
    EventCreatedPayload,
    EventDeletedPayload,
    EventJoinedPayload,
    EventLeftPayload,
    EventMovedUpPayload,
    EventRemovedPayload,
    EventUpdatedPayload,
    ItemBatchCreatedPayload,
    ItemCreatedPayload,
    ItemDeletedPayload,
    ItemUpdatedPayload,
    WebhookTestPayload,
)
from tradepost.webhooks.schemas import (
    DeliveryDetail,
    DeliveryPage,
    DeliveryRead,
    DeliveryState,
    WebhookCreate,
    WebhookPage,
    WebhookRead,
    WebhookSelection,
    WebhookUpdate,
    WebhookWithSecret,
)
from tradepost.webhooks.service import webhook_shown

router = Router(prefix="/webhooks", tags=["webhooks"])
facts = APIRouter(
    tags=["webhooks"],
    default_response_class=Response,
    generate_unique_id_function=operation_id,
    responses={
        410: {"description": "The receiver is gone for good: the webhook is switched off"},
        "default": {"description": "Any other answer, or none in time: the request is sent again later"},
    },
)
"""The requests that receivers get, for the OpenAPI's `webhooks`; nothing here is ever called."""

State = Annotated[DeliveryState | None, Query(description="Only deliveries that are in this state")]


@router.get("/", responses=problem_responses(Unauthenticated))
async def list_webhooks(
    principal: CurrentPrincipal, webhooks: WebhookReads, pages: ListPages, window: PlainWindow
) -> WebhookPage:
    """List your webhooks, in the order in which you made them."""
    page = await pages.read(
        f"webhooks {principal.user_id}", window, partial(webhooks.page, WebhookSelection(principal.user_id))
    )
    return WebhookPage(webhooks=[WebhookRead.model_validate(row) for row in page.rows], **page.info)


@router.post(
    "/",
    status_code=201,
    response_model=WebhookWithSecret,
    responses=problem_responses(Unauthenticated, InsufficientPermissions, WebhookLimit),
)
async def create_webhook(
    webhook: WebhookCreate, principal: CurrentPrincipal, webhooks: WebhookWrites
) -> Response:
    """Have an address told of facts. Keep the secret: it is shown here and by a rotation, and nowhere else."""
    return resource_answer(await webhooks.create(webhook, principal), status=201)


@router.get(
    "/{webhook_id}",
    response_model=WebhookRead,
    responses=problem_responses(Unauthenticated, WebhookNotFound),
)
async def read_webhook(
    webhook_id: PathId, principal: CurrentPrincipal, webhooks: WebhookReads, known: IfNoneMatch
) -> Response:
    """Return one of your webhooks."""
    return resource_answer(webhook_shown(await webhooks.get(webhook_id, principal.user_id)), known)


@router.put(
    "/{webhook_id}",
    response_model=WebhookRead,
    responses=problem_responses(Unauthenticated, InsufficientPermissions, WebhookNotFound),
)
@router.patch(
    "/{webhook_id}",
    response_model=WebhookRead,
    responses=problem_responses(Unauthenticated, InsufficientPermissions, WebhookNotFound),
)
async def update_webhook(
    webhook_id: PathId,
    changes: WebhookUpdate,
    principal: CurrentPrincipal,
    webhooks: WebhookWrites,
    expected: IfMatch,
) -> Response:
    """Change a webhook: only the fields that are sent. `is_active` switches it off and on."""
    changed = await webhooks.update(webhook_id, changes, principal, expected)
    return resource_answer(webhook_shown(changed))


@router.delete("/{webhook_id}", responses=problem_responses(Unauthenticated, WebhookNotFound))
async def delete_webhook(
    webhook_id: PathId, principal: CurrentPrincipal, webhooks: WebhookWrites, expected: IfMatch
) -> Confirmation:
    """Delete a webhook with its log."""
    await webhooks.delete(webhook_id, principal, expected)
    return Confirmation(message="Webhook deleted successfully")


@router.post(
    "/{webhook_id}/rotate-secret",
    response_model=WebhookWithSecret,
    responses=problem_responses(Unauthenticated, WebhookNotFound),
)
async def rotate_webhook_secret(
    webhook_id: PathId, principal: CurrentPrincipal, webhooks: WebhookWrites
) -> Response:
    """Give a webhook a new secret. For 24 hours every request is signed with both, the new one first."""
    return resource_answer(await webhooks.rotate_secret(webhook_id, principal))


@router.post(
    "/{webhook_id}/test",
    status_code=202,
    response_model=DeliveryRead,
    responses=problem_responses(Unauthenticated, WebhookNotFound, WebhookOff),
)
async def test_webhook(
    webhook_id: PathId, principal: CurrentPrincipal, webhooks: WebhookWrites
) -> WebhookDelivery:
    """Send a message of the type `webhook.test`: one attempt, whose outcome is in the log."""
    return await webhooks.test(webhook_id, principal)


@router.get("/{webhook_id}/deliveries/", responses=problem_responses(Unauthenticated, WebhookNotFound))
async def list_deliveries(
    *,
    webhook_id: PathId,
    principal: CurrentPrincipal,
    webhooks: WebhookReads,
    pages: ListPages,
    window: PlainWindow,
    state: State = None,
) -> DeliveryPage:
    """List what was sent to a webhook in the last 30 days, the newest first."""
    log = partial(webhooks.log, webhook_id, principal.user_id, state=state)
    page = await pages.read(f"deliveries {webhook_id} {state}", window, log)
    return DeliveryPage(deliveries=[DeliveryRead.model_validate(row) for row in page.rows], **page.info)


@router.get(
    "/{webhook_id}/deliveries/{delivery_id}",
    response_model=DeliveryDetail,
    responses=problem_responses(Unauthenticated, WebhookNotFound, DeliveryNotFound),
)
async def read_delivery(
    webhook_id: PathId, delivery_id: PathId, principal: CurrentPrincipal, webhooks: WebhookReads
) -> WebhookDelivery:
    """Return a delivery with what was sent and the beginning of what came back."""
    return await webhooks.delivery(delivery_id, webhook_id, principal.user_id)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/redeliver",
    status_code=202,
    response_model=DeliveryRead,
    responses=problem_responses(Unauthenticated, WebhookNotFound, DeliveryNotFound, WebhookOff),
)
async def redeliver(
    webhook_id: PathId, delivery_id: PathId, principal: CurrentPrincipal, webhooks: WebhookWrites
) -> WebhookDelivery:
    """Send a message again, as a new line of the log. It keeps its `webhook-id`: a receiver may know it already."""
    return await webhooks.redeliver(delivery_id, webhook_id, principal.user_id)


async def signed(
    message_id: Annotated[
        str, Header(alias="webhook-id", description="Names the message: the same at every attempt")
    ],
    timestamp: Annotated[
        int, Header(alias="webhook-timestamp", description="When it was sent, in seconds since 1970")
    ],
    signature: Annotated[
        str,
        Header(
            alias="webhook-signature",
            description="`v1,` and a signature of id, timestamp and body (Standard Webhooks); after a rotation two of them",
        ),
    ],
) -> None:
    """Declare the headers of every request to a receiver."""


RECEIVED: Final[dict[str, Any]] = {
    "status_code": 204,
    "response_description": "Received; any other 2xx says so too",
    "dependencies": [Depends(signed)],
}


@facts.post("items.created", **RECEIVED)
async def receive_item_created(_payload: ItemCreatedPayload) -> None:
    """Tell a receiver that an item was put up for sale."""


@facts.post("items.batch_created", **RECEIVED)
async def receive_item_batch_created(_payload: ItemBatchCreatedPayload) -> None:
    """Items were put up for sale in bulk."""


@facts.post("items.updated", **RECEIVED)
async def receive_item_updated(_payload: ItemUpdatedPayload) -> None:
    """Tell a receiver that an item was changed."""


@facts.post("items.deleted", **RECEIVED)
async def receive_item_deleted(_payload: ItemDeletedPayload) -> None:
    """Tell a receiver that an item was deleted by a person."""


@facts.post("events.created", **RECEIVED)
async def receive_event_created(_payload: EventCreatedPayload) -> None:
    """Tell a receiver that an event was planned."""


@facts.post("events.updated", **RECEIVED)
async def receive_event_updated(_payload: EventUpdatedPayload) -> None:
    """Tell a receiver that an event was changed."""


@facts.post("events.cancelled", **RECEIVED)
async def receive_event_cancelled(_payload: EventCancelledPayload) -> None:
    """Tell a receiver that an event was cancelled."""


@facts.post("events.deleted", **RECEIVED)
async def receive_event_deleted(_payload: EventDeletedPayload) -> None:
    """Tell a receiver that an event that nobody had joined was deleted."""


@facts.post("events.joined", **RECEIVED)
async def receive_event_joined(_payload: EventJoinedPayload) -> None:
    """Tell a receiver that a person joined an event."""


@facts.post("events.left", **RECEIVED)
async def receive_event_left(_payload: EventLeftPayload) -> None:
    """Tell a receiver that a person left an event, or was taken out of it."""


@facts.post("events.removed", **RECEIVED)
async def receive_event_removed(_payload: EventRemovedPayload) -> None:
    """Tell a receiver that the organiser or staff took a person out of an event that is still to come."""


@facts.post("events.moved_up", **RECEIVED)
async def receive_event_moved_up(_payload: EventMovedUpPayload) -> None:
    """Tell a receiver that people who waited for seats at an event have them now."""


@facts.post("webhook.test", **RECEIVED)
async def receive_webhook_test(_payload: WebhookTestPayload) -> None:
    """Try a receiver: one attempt, which its owner asked for."""
