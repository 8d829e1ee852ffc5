"""The messages of items."""

from dataclasses import dataclass
from typing import ClassVar

from tradepost.core.messaging.messages import Message


@dataclass(frozen=True, slots=True)
class ItemCreated(Message):
    """An item was put up for sale, already shown or not."""

    type: ClassVar[str] = "items.created.v1"

    item_id: int
    owner_id: int
    title: str


@dataclass(frozen=True, slots=True)
class ItemUpdated(Message):
    """An item was changed; ``title`` and ``version`` are the new ones."""

    type: ClassVar[str] = "items.updated.v1"

    item_id: int
    owner_id: int
    title: str
    version: int


@dataclass(frozen=True, slots=True)
class ItemDeleted(Message):
    """An item was deleted by a person. For the items of a deleted user there is only ``accounts.UserDeleted``."""

    type: ClassVar[str] = "items.deleted.v1"

    item_id: int
    owner_id: int


@dataclass(frozen=True, slots=True)
class ItemBatchCreated(Message):
    """Items of one person were put up for sale in one transaction of a bulk; there is no ``ItemCreated`` of them."""

    type: ClassVar[str] = "items.batch_created.v1"

    owner_id: int
    item_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ItemsBulkCreated(Message):
    """A bulk has ended, by its end or because its client left: so many items were put up for sale."""

    type: ClassVar[str] = "items.bulk_created.v1"

    owner_id: int
    number: int
