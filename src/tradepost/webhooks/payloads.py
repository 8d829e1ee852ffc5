"""The bodies of the requests that webhooks are sent, for the OpenAPI: what ``catalogue`` writes, as schemas."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

ItemId = Annotated[int, Field(description="The item's id", examples=[1])]
OwnerId = Annotated[int, Field(description="The person who sells it", examples=[2])]
Title = Annotated[str, Field(description="What it is called now", examples=["Desk lamp"])]


class FactPayload(BaseModel):
    """The body of a request: one fact, and when it came about."""

    timestamp: datetime = Field(description="When it came about, in UTC")


class ItemCreatedData(BaseModel):
    """An item that was put up for sale, already shown or not."""

    item_id: ItemId
    owner_id: OwnerId
    title: Title


class ItemCreatedPayload(FactPayload):
    """An item was put up for sale."""

    type: Literal["items.created"] = Field(description="Which fact it is")
    data: ItemCreatedData = Field(description="The values of the fact")


class ItemBatchCreatedData(BaseModel):
    """The values of `items.batch_created`."""

    owner_id: int = Field(description="The person who sells them")
    item_ids: list[int] = Field(description="The items' numbers")


class ItemBatchCreatedPayload(FactPayload):
    """Items were put up for sale in bulk; there is no `items.created` of them."""

    type: Literal["items.batch_created"] = Field(description="Which fact it is")
    data: ItemBatchCreatedData = Field(description="The values of the fact")


class ItemUpdatedData(ItemCreatedData):
    """An item that was changed."""

    version: int = Field(
        description="Counts its changes: a lower one than was seen is old news", examples=[2]
    )


class ItemUpdatedPayload(FactPayload):
    """An item was changed."""

    type: Literal["items.updated"] = Field(description="Which fact it is")
    data: ItemUpdatedData = Field(description="The values of the fact")


class ItemDeletedData(BaseModel):
    """An item that is gone."""

    item_id: ItemId
    owner_id: OwnerId


class ItemDeletedPayload(FactPayload):
    """An item was deleted by a person."""

    type: Literal["items.deleted"] = Field(description="Which fact it is")
    data: ItemDeletedData = Field(description="The values of the fact")


EventId = Annotated[int, Field(description="The event's id", examples=[1])]
OrganiserId = Annotated[
    int | None,
    Field(description="The person who organises it; `null` once the account is gone", examples=[2]),
]
EventTitle = Annotated[str, Field(description="What it is called now", examples=["Repair café"])]
UserId = Annotated[int, Field(description="The person", examples=[3])]


class EventData(BaseModel):
    """An event, and who organises it."""

    event_id: EventId
    organiser_id: OrganiserId


class EventCreatedData(EventData):
    """An event that was planned."""

    title: EventTitle


class EventCreatedPayload(FactPayload):
    """An event was planned."""

    type: Literal["events.created"] = Field(description="Which fact it is")
    data: EventCreatedData = Field(description="The values of the fact")


class EventUpdatedData(EventCreatedData):
    """An event that was changed."""

    version: int = Field(
        description="Counts its changes: a lower one than was seen is old news", examples=[2]
    )


class EventUpdatedPayload(FactPayload):
    """An event was changed."""

    type: Literal["events.updated"] = Field(description="Which fact it is")
    data: EventUpdatedData = Field(description="The values of the fact")


class EventCancelledData(EventCreatedData):
    """An event that does not take place."""


class EventCancelledPayload(FactPayload):
    """An event was cancelled."""

    type: Literal["events.cancelled"] = Field(description="Which fact it is")
    data: EventCancelledData = Field(description="The values of the fact")


class EventDeletedPayload(FactPayload):
    """An event that nobody had joined was deleted."""

    type: Literal["events.deleted"] = Field(description="Which fact it is")
    data: EventData = Field(description="The values of the fact")


class EventJoinedData(EventData):
    """A person who joined an event."""

    user_id: UserId
    status: Literal["joined", "waiting"] = Field(description="Whether the person has a seat or waits for one")


class EventJoinedPayload(FactPayload):
    """A person joined an event."""

    type: Literal["events.joined"] = Field(description="Which fact it is")
    data: EventJoinedData = Field(description="The values of the fact")


class EventLeftData(EventData):
    """A person who has neither a seat at an event nor a place on its waiting list any more."""

    user_id: UserId


class EventLeftPayload(FactPayload):
    """A person left an event, or was taken out of it."""

    type: Literal["events.left"] = Field(description="Which fact it is")
    data: EventLeftData = Field(description="The values of the fact")


class EventRemovedData(EventCreatedData):
    """A person whom the organiser or staff took out of an event that is still to come."""

    start_date: datetime = Field(description="When the event begins, in UTC")
    time_zone: str = Field(description="Where it takes place, an IANA name", examples=["Europe/Berlin"])
    user_id: UserId


class EventRemovedPayload(FactPayload):
    """A person was taken out of an event that is still to come; `events.left` tells of it too."""

    type: Literal["events.removed"] = Field(description="Which fact it is")
    data: EventRemovedData = Field(description="The values of the fact")


class EventMovedUpData(EventCreatedData):
    """People who waited for seats and have them now."""

    start_date: datetime = Field(description="When the event begins, in UTC")
    time_zone: str = Field(description="Where it takes place, an IANA name", examples=["Europe/Berlin"])
    user_ids: list[int] = Field(description="The people, in the order in which they joined", examples=[[3]])


class EventMovedUpPayload(FactPayload):
    """People who waited for seats have them now."""

    type: Literal["events.moved_up"] = Field(description="Which fact it is")
    data: EventMovedUpData = Field(description="The values of the fact")


class WebhookTestData(BaseModel):
    """The webhook that is tried."""

    webhook_id: int = Field(description="The webhook's id", examples=[1])


class WebhookTestPayload(FactPayload):
    """A test that the webhook's owner asked for."""

    type: Literal["webhook.test"] = Field(description="Which fact it is")
    data: WebhookTestData = Field(description="The values of the fact")
