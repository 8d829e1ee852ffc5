"""What webhooks announce, and what they tell themselves."""

from dataclasses import dataclass
from typing import ClassVar

from tradepost.core.messaging.messages import Message


@dataclass(frozen=True, slots=True)
class WebhookDue(Message):
    """A delivery was planned and is to be sent."""

    type: ClassVar[str] = "webhooks.due.v1"

    delivery_id: int


@dataclass(frozen=True, slots=True)
class WebhookDisabled(Message):
    """A webhook was switched off, not by its owner; ``reason`` is one sentence for people."""

    type: ClassVar[str] = "webhooks.disabled.v1"

    webhook_id: int
    user_id: int
    url: str
    reason: str
