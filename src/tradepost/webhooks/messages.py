"""The messages of webhooks: a delivery is due, a webhook was switched off."""

from dataclasses import dataclass
from typing import ClassVar

from tradepost.core.messaging.messages import Message


@dataclass(frozen=True, slots=True)
class WebhookDue(Message):
    """A delivery is to be sent."""

    type: ClassVar[str] = "webhooks.due.v1"

    delivery_id: int


@dataclass(frozen=True, slots=True)
class WebhookDisabled(Message):
    """The system switched a webhook off; ``reason`` is one sentence for its owner."""

    type: ClassVar[str] = "webhooks.disabled.v1"

    webhook_id: int
    user_id: int
    url: str
    reason: str
