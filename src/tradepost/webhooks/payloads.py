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


class WebhookTestData(BaseModel):
    """The webhook that is tried."""

    webhook_id: int = Field(description="The webhook's id", examples=[1])


class WebhookTestPayload(FactPayload):
    """A test that the webhook's owner asked for."""

    type: Literal["webhook.test"] = Field(description="Which fact it is")
    data: WebhookTestData = Field(description="The values of the fact")
