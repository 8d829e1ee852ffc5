"""What webhooks do because of others' messages, and of their own."""

from typing import Final

from tradepost.core.messaging.messages import Subscriptions
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.resources import Resources
from tradepost.webhooks.delivery import CHANNEL
from tradepost.webhooks.dependencies import build_webhook_deliverer
from tradepost.webhooks.facts import EVENTS
from tradepost.webhooks.messages import WebhookDue
from tradepost.webhooks.planner import WebhookPlanner

CLEAR_UP_EVERY: Final = 3600.0


def subscribe(subscriptions: Subscriptions, resources: Resources) -> None:
    """Plan deliveries for every public fact, send them, and keep their log short."""
    planner = WebhookPlanner(resources[Outbox], resources.clock)
    for event in EVENTS:
        subscriptions.react(f"webhooks.{event.name}", event.message, planner.plan)
    deliverer = build_webhook_deliverer(resources)
    subscriptions.deliver("webhooks.send", WebhookDue, CHANNEL, deliverer.deliver)
    subscriptions.every("webhooks.clear_up", CLEAR_UP_EVERY, deliverer.clear_up)
