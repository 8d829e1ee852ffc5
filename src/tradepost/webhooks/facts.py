"""The one table of what webhooks can be told of: a line here is all that another fact needs."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from tradepost.core.messaging.messages import Message, payload_of
from tradepost.items.messages import ItemCreated, ItemDeleted, ItemUpdated


@dataclass(frozen=True, slots=True)
class PublicEvent:
    """A fact under the name that receivers know it by. ``owner`` says whose it is."""

    name: str
    message: type[Message]
    owner: Callable[[Any], int]


EVENTS: Final = (
    PublicEvent("items.created", ItemCreated, lambda fact: int(fact.owner_id)),
    PublicEvent("items.updated", ItemUpdated, lambda fact: int(fact.owner_id)),
    PublicEvent("items.deleted", ItemDeleted, lambda fact: int(fact.owner_id)),
)

EVERYTHING: Final = "*"
"""Subscribes to every event, also to those that a later version adds."""
TEST: Final = "webhook.test"
"""What ``POST /webhooks/{id}/test`` sends; nobody subscribes to it."""


def body_of(name: str, moment: datetime, data: Mapping[str, Any]) -> str:
    """Return the body of a request: its type, when the fact happened, and what is known of it.

    ASCII only, whatever people wrote: the same bytes in every database and at every attempt, which are what is signed.
    """
    at = moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return json.dumps({"type": name, "timestamp": at, "data": data}, separators=(",", ":"))


def body_of_fact(event: PublicEvent, fact: Message, moment: datetime) -> str:
    """Return the body that tells of a fact."""
    return body_of(event.name, moment, payload_of(fact))
