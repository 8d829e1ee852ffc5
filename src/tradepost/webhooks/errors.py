"""What can go wrong with webhooks."""

from tradepost.core.errors import Conflict, NotFound, RuleBroken
from tradepost.webhooks.schemas import MOST_WEBHOOKS


class WebhookNotFound(NotFound):
    """This person has no webhook of this id."""

    code = "WEBHOOK_NOT_FOUND"
    detail = "Webhook not found"


class DeliveryNotFound(NotFound):
    """The webhook's log holds no delivery of this id."""

    code = "DELIVERY_NOT_FOUND"
    detail = "Delivery not found"


class WebhookLimit(RuleBroken):
    """This person has as many webhooks as one may have."""

    code = "WEBHOOK_LIMIT"
    detail = f"Nobody may have more than {MOST_WEBHOOKS} webhooks"


class WebhookOff(Conflict):
    """Nothing is sent to a webhook that is switched off."""

    code = "WEBHOOK_OFF"
    detail = "The webhook is switched off"
