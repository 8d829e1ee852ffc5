"""The catalogue of facts that webhooks subscribe to, and the JSON body of a request. A new fact needs one line here."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from tradepost.core.messaging.messages import Message, payload_of
from tradepost.events.messages import (
    EventCancelled,
    EventCreated,
    EventDeleted,
    EventJoined,
    EventLeft,
    EventUpdated,
    ParticipantRemoved,
    SeatsGiven,
)
from tradepost.items.messages import ItemBatchCreated, ItemCreated, ItemDeleted, ItemUpdated


@dataclass(frozen=True, slots=True)
class PublicFact:
    """An entry: a message, its public name on the wire, and how to read the owner's id from it; 0 once the account is gone."""

    name: str
    message: type[Message]
    owner: Callable[[Any], int]


def _organiser(fact: Any) -> int:
    return fact.organiser_id or 0


CATALOGUE: Final = (
    PublicFact("items.created", ItemCreated, lambda fact: int(fact.owner_id)),
    PublicFact("items.batch_created", ItemBatchCreated, lambda fact: int(fact.owner_id)),
    PublicFact("items.updated", ItemUpdated, lambda fact: int(fact.owner_id)),
    PublicFact("items.deleted", ItemDeleted, lambda fact: int(fact.owner_id)),
    PublicFact("events.created", EventCreated, _organiser),
    PublicFact("events.updated", EventUpdated, _organiser),
    PublicFact("events.cancelled", EventCancelled, _organiser),
    PublicFact("events.deleted", EventDeleted, _organiser),
    PublicFact("events.joined", EventJoined, _organiser),
    PublicFact("events.left", EventLeft, _organiser),
    PublicFact("events.removed", ParticipantRemoved, _organiser),
    PublicFact("events.moved_up", SeatsGiven, _organiser),
)

ALL_FACTS: Final = "*"
"""The name that subscribes to every fact, also to those that a later version adds."""
TEST: Final = "webhook.test"
"""The type that ``POST /webhooks/{id}/test`` sends; it cannot be subscribed to."""


def body_of(name: str, moment: datetime, data: Mapping[str, Any]) -> str:
    """Return the body of a request: the type, the moment of the fact, and its values.

    ASCII only, whatever people wrote: the signed bytes are the same in every database and at every attempt.
    """
    at = moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return json.dumps({"type": name, "timestamp": at, "data": data}, separators=(",", ":"))


def body_of_fact(public: PublicFact, fact: Message, moment: datetime) -> str:
    """Return the body of a request about a fact."""
    return body_of(public.name, moment, payload_of(fact))
