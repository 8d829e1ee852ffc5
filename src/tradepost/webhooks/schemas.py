"""Request and response bodies of webhooks, and their limits."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, cast

from pydantic import AfterValidator, Field, StrictBool
from pydantic_core import PydanticCustomError

from tradepost.core.wire.characters import is_invisible
from tradepost.core.wire.schemas import Changes, Input, Output, PageInfo, ShownOnce, example
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


@dataclass(frozen=True, slots=True)
class WebhookSelection:
    """The webhooks that match every given field."""

    user_id: int | None = None
    is_active: bool | None = None


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


Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=LONGEST_URL,
        json_schema_extra={"format": "uri", "pattern": r"^[Hh][Tt][Tt][Pp][Ss]?://[^\s\\#@]+$"},
    ),
    AfterValidator(_visible),
]
Description = Annotated[str, Field(max_length=LONGEST_DESCRIPTION)]
FactTypes = Annotated[
    list[FactType],  # type: ignore[valid-type]
    Field(min_length=1, max_length=50),
    AfterValidator(_without_duplicates),
]


URL: Final = "Where requests are sent: an https address of the public internet (http too in `local`)"
EVENT_TYPES: Final = "The facts that are told; `*` for all, also those of later versions"
DESCRIPTION: Final = "What the webhook is for"
SCOPE: Final = "Whose facts are told: one's own, or everybody's, which needs `admin:access`"
IS_ACTIVE: Final = "Whether it is told anything"


class WebhookCreate(Input):
    """A new webhook. `scope` is whose facts it is told: `own`, or `all`, which needs `admin:access`."""

    model_config = example(
        url="https://example.com/hooks/tradepost",
        event_types=["items.created", "items.updated"],
        description="Keeps the shop window up to date",
        scope="own",
    )

    url: Url = Field(description=URL)
    event_types: FactTypes = Field(description=EVENT_TYPES)
    description: Description | None = Field(default=None, description=DESCRIPTION)
    scope: WebhookScope = Field(default=WebhookScope.OWN, description=SCOPE)


class WebhookUpdate(Changes):
    """Changes to a webhook: only sent fields change, `null` clears the description.

    Switching it off ends what is waiting; switching it on forgets why it was off.
    """

    model_config = example(
        url="https://example.com/hooks/tradepost/items",
        event_types=["*"],
        description="Keeps the shop window up to date",
        scope="own",
        is_active=True,
    )

    url: Url = Field(default="", validate_default=False, description=URL)
    event_types: FactTypes = Field(default_factory=list, validate_default=False, description=EVENT_TYPES)
    description: Description | None = Field(default=None, description=DESCRIPTION)
    scope: WebhookScope = Field(default=WebhookScope.OWN, description=SCOPE)
    is_active: StrictBool = Field(default=True, description=IS_ACTIVE)


class WebhookRead(Output):
    """A webhook, without its secret."""

    id: int = Field(description="The webhook's number", examples=[1])
    url: str = Field(description="Where requests are sent", examples=["https://example.com/hooks/tradepost"])
    description: str | None = Field(description=DESCRIPTION)
    event_types: list[str] = Field(description="The facts that are told", examples=[["items.created"]])
    scope: WebhookScope = Field(description="Whose facts are told")
    is_active: bool = Field(description=IS_ACTIVE)
    disabled_at: datetime | None = Field(description="When it was switched off")
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
    created_at: datetime = Field(description="When the webhook was made")
    updated_at: datetime = Field(description="When it was last changed")


class WebhookOfSomebody(WebhookRead):
    """A webhook, and whose it is, as admins see it."""

    user_id: int = Field(description="Its owner", examples=[2])


class WebhookWithSecret(WebhookRead):
    """A webhook, and the secret to check signatures with, which is shown this once."""

    secret: ShownOnce = Field(
        description="The key of the signatures (Standard Webhooks): `whsec_` and base 64",
        examples=["whsec_Qm9va3MgYW5kIGxhbXBzIGFuZCBiaWN5Y2xlcyE="],
    )


class WebhookPage(PageInfo):
    """A part of the list of webhooks."""

    webhooks: list[WebhookRead] = Field(description="The webhooks of this part")


class WebhooksOfAllPage(PageInfo):
    """A part of everybody's webhooks."""

    webhooks: list[WebhookOfSomebody] = Field(description="The webhooks of this part")


class DeliveryRead(Output):
    """A line of the log: one fact on its way to one webhook."""

    id: int = Field(description="The delivery's number")
    webhook_id: int = Field(description="The webhook that it goes to")
    message_id: str = Field(description="The header `webhook-id`: the same at every attempt and redelivery")
    event_type: str = Field(description="The fact that it tells of", examples=["items.created"])
    state: DeliveryState = Field(description="Where it is")
    attempts: int = Field(description="How many attempts were made")
    last_status: int | None = Field(description="What the receiver answered last; `null` if it did not")
    error: str | None = Field(description="Why the last attempt failed")
    duration_ms: int | None = Field(description="How long the last attempt took, in milliseconds")
    created_at: datetime = Field(description="When the fact was due to be told")
    last_attempt_at: datetime | None = Field(description="When the last attempt was made")
    next_attempt_at: datetime | None = Field(description="When the next one will be")
    settled_at: datetime | None = Field(description="When it was received, given up or cancelled")


class DeliveryDetail(DeliveryRead):
    """A delivery with what was sent, and the beginning of what came back."""

    body: str = Field(description="The JSON that is sent, to the byte as it is signed")
    response_excerpt: str | None = Field(description="The beginning of what the receiver answered last")


class DeliveryPage(PageInfo):
    """A part of a webhook's log, the newest first."""

    deliveries: list[DeliveryRead] = Field(description="The lines of this part")
