"""Request and response bodies of webhooks, and their limits."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, cast

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from tradepost.core.wire.characters import is_invisible
from tradepost.core.wire.schemas import Changes, Input, Output, PageInfo
from tradepost.webhooks.catalogue import ALL_FACTS, CATALOGUE

MOST_WEBHOOKS: Final = 20
"""Webhooks that one person may have."""
LONGEST_URL: Final = 2000
LONGEST_DESCRIPTION: Final = 500
LONGEST_ERROR: Final = 500


class WebhookScope(StrEnum):
    """Whose facts a webhook receives: its owner's own, or everybody's."""

    OWN = "own"
    ALL = "all"


class DisabledReason(StrEnum):
    """Why a webhook is off: its owner switched it off, its receiver is gone for good, or it failed for days."""

    OWNER = "owner"
    GONE = "gone"
    FAILING = "failing"


class DeliveryState(StrEnum):
    """Where a delivery is: waiting for its next attempt, received, given up, or cancelled before it was sent."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"


FactType = cast(
    "type[StrEnum]",
    StrEnum("FactType", {name: name for name in (*(event.name for event in CATALOGUE), ALL_FACTS)}),
)
FactType.__doc__ = (
    "A fact that a webhook can subscribe to; `*` is every fact, also those that later versions add."
)


def _visible(text: str) -> str:
    if any(map(is_invisible, text)):
        raise PydanticCustomError("url_letters", "A URL has no invisible or control characters")
    return text


def _without_duplicates(names: list[StrEnum]) -> list[StrEnum]:
    return list(dict.fromkeys(names))


Url = Annotated[str, Field(min_length=1, max_length=LONGEST_URL), AfterValidator(_visible)]
Description = Annotated[str, Field(max_length=LONGEST_DESCRIPTION)]
FactTypes = Annotated[
    list[FactType],  # type: ignore[valid-type]
    Field(min_length=1, max_length=50),
    AfterValidator(_without_duplicates),
]


class WebhookCreate(Input):
    """A new webhook. `scope` is whose facts it is told: `own`, or `all`, which needs `admin:access`."""

    url: Url
    event_types: FactTypes
    description: Description | None = None
    scope: WebhookScope = WebhookScope.OWN


class WebhookUpdate(Changes):
    """Changes to a webhook: only sent fields change, `null` clears the description.

    Switching it off ends what is waiting; switching it on forgets why it was off.
    """

    url: Url = Field(default="", validate_default=False)
    event_types: FactTypes = Field(default_factory=list, validate_default=False)
    description: Description | None = None
    scope: WebhookScope = WebhookScope.OWN
    is_active: bool = True


class WebhookRead(Output):
    """A webhook, without its secret."""

    id: int
    url: str
    description: str | None
    event_types: list[str]
    scope: WebhookScope
    is_active: bool
    disabled_at: datetime | None
    disabled_reason: DisabledReason | None = Field(
        description="`owner`: its owner switched it off, or proved the address by a password reset; "
        "`gone`: the receiver answered 410; "
        "`failing`: nothing got through for days"
    )
    failing_since: datetime | None = Field(description="The first failure after the last success")
    previous_secret_until: datetime | None = Field(
        validation_alias="previous_until",
        description="Until when the secret before the last rotation signs as well",
    )
    created_at: datetime
    updated_at: datetime


class WebhookWithSecret(WebhookRead):
    """A webhook, and the secret to check signatures with, which is shown this once."""

    secret: str


class WebhookPage(PageInfo):
    """A part of the list of webhooks."""

    webhooks: list[WebhookRead]


class DeliveryRead(Output):
    """A line of the log: one fact on its way to one webhook."""

    id: int
    webhook_id: int
    message_id: str = Field(description="The header `webhook-id`: the same at every attempt and redelivery")
    event_type: str
    state: DeliveryState
    attempts: int
    last_status: int | None = Field(description="What the receiver answered last; `null` if it did not")
    error: str | None
    duration_ms: int | None = Field(description="How long the last attempt took")
    created_at: datetime
    last_attempt_at: datetime | None
    next_attempt_at: datetime | None
    settled_at: datetime | None


class DeliveryDetail(DeliveryRead):
    """A delivery with what was sent, and the beginning of what came back."""

    body: str
    response_excerpt: str | None


class DeliveryPage(PageInfo):
    """A part of a webhook's log, the newest first."""

    deliveries: list[DeliveryRead]
