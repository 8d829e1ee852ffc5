"""Errors of webhooks."""

from tradepost.core.errors import Conflict, NotFound, RuleBroken
from tradepost.webhooks.schemas import MOST_WEBHOOKS


class WebhookNotFound(NotFound):
    """The person has no webhook of this id."""

    code = "WEBHOOK_NOT_FOUND"
    detail = "Webhook not found"


class DeliveryNotFound(NotFound):
    """The webhook's log holds no delivery of this id."""

    code = "DELIVERY_NOT_FOUND"
    detail = "Delivery not found"


class WebhookLimit(RuleBroken):
    """The person has the greatest number of webhooks that one may have."""

    code = "WEBHOOK_LIMIT"
    detail = f"Nobody may have more than {MOST_WEBHOOKS} webhooks"


class WebhookOff(Conflict):
    """The webhook is switched off: nothing is sent to it."""

    code = "WEBHOOK_OFF"
    detail = "The webhook is switched off"
