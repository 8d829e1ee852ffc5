"""The subscriptions of webhooks: the fan-out of every public fact, the delivery channel, and the pruning of the log."""

from typing import Final

from tradepost.core.messaging.messages import Subscriptions
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.resources import Resources
from tradepost.webhooks.catalogue import CATALOGUE
from tradepost.webhooks.delivery import CHANNEL
from tradepost.webhooks.dependencies import build_webhook_deliverer
from tradepost.webhooks.fan_out import WebhookFanOut
from tradepost.webhooks.messages import WebhookDue

CLEAR_UP_EVERY: Final = 3600.0


def subscribe(subscriptions: Subscriptions, resources: Resources) -> None:
    """Subscribe the fan-out to every fact of the catalogue, the channel to due deliveries, and the pruning job."""
    fan_out = WebhookFanOut(resources[Outbox], resources.clock)
    for public in CATALOGUE:
        subscriptions.react(f"webhooks.{public.name}", public.message, fan_out.react)
    deliverer = build_webhook_deliverer(resources)
    subscriptions.deliver("webhooks.send", WebhookDue, CHANNEL, deliverer.deliver)
    subscriptions.every("webhooks.clear_up", CLEAR_UP_EVERY, deliverer.clear_up)
