"""What items announce."""

from dataclasses import dataclass
from typing import ClassVar

from tradepost.core.messaging.messages import Message


@dataclass(frozen=True, slots=True)
class ItemCreated(Message):
    """Somebody put an item up for sale, be it shown already or not."""

    type: ClassVar[str] = "items.created.v1"

    item_id: int
    owner_id: int
    title: str


@dataclass(frozen=True, slots=True)
class ItemUpdated(Message):
    """An item was changed; ``title`` and ``version`` are those it has since."""

    type: ClassVar[str] = "items.updated.v1"

    item_id: int
    owner_id: int
    title: str
    version: int


@dataclass(frozen=True, slots=True)
class ItemDeleted(Message):
    """An item was deleted by a person. The items of a deleted user go with ``accounts``' own fact, not with this one."""

    type: ClassVar[str] = "items.deleted.v1"

    item_id: int
    owner_id: int
