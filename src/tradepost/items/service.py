"""The rules of items: creating them, and their pictures, each change announced by a message."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Row

from tradepost.accounts.permissions import STAFF, Permission
from tradepost.accounts.service import UserService
from tradepost.categories.service import CategoryService
from tradepost.core.clock import Clock
from tradepost.core.database.many_rows import insert_together
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import NotOwner, TradepostError, Unauthenticated
from tradepost.core.messaging.messages import Message, Traced
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.observability.trace_context import traceparent
from tradepost.core.principal import Principal
from tradepost.core.search.vocabulary import Vocabulary
from tradepost.core.wire.representations import Representation
from tradepost.items.errors import ItemNotFound, unknown_category
from tradepost.items.messages import (
    ItemBatchCreated,
    ItemCreated,
    ItemsBulkCreated,
    ItemUpdated,
)
from tradepost.items.models import Item
from tradepost.items.popular import PopularItems
from tradepost.items.reader import is_visible
from tradepost.items.repository.items import ItemRepository
from tradepost.items.repository.texts import ItemTextRepository
from tradepost.items.schemas import (
    ItemCreate,
    ItemStatus,
    OwnerRow,
    new_item_shown,
)
from tradepost.items.texts import Facts, indexed, text_row
from tradepost.tags.service import TagService

MOMENT: Final = timedelta(microseconds=1)
"""The least by which two ``created_at`` differ."""


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item to be created, and the id of its owner."""

    item: ItemCreate
    owner_id: int
    traceparent: str | None = field(default_factory=traceparent.get)


@dataclass(frozen=True, slots=True)
class _Made:
    """A new item: its id, and the columns it was inserted with."""

    item_id: int
    row: dict[str, Any]


class ItemService:
    """Creates items, in the caller's transaction, and returns them as reads do: the JSON of ``ItemRead``."""

    def __init__(
        self,
        db: WriteSession,
        *,
        users: UserService,
        tags: TagService,
        categories: CategoryService,
        popular: PopularItems,
        vocabulary: Vocabulary,
        outbox: Outbox,
        clock: Clock,
    ) -> None:
        self._db = db
        self._items = ItemRepository(db)
        self._texts = ItemTextRepository(db, vocabulary)
        self._users = users
        self._tags = tags
        self._categories = categories
        self._popular = popular
        self._outbox = outbox
        self._clock = clock

    async def create_many(self, new: Sequence[NewItem]) -> list[Representation | TradepostError]:
        """Create items, and return for each, in order, the item or the error that refuses it alone.

        The statements are as many for one item as for a hundred.
        """
        made, owners = await self._create(new)
        created = [
            (one, by) for one, by in zip(made, new, strict=True) if not isinstance(one, TradepostError)
        ]
        told = [
            Traced(ItemCreated(one.item_id, by.owner_id, by.item.title), by.traceparent)
            for one, by in created
        ]
        await self._describe(created, told)
        return [
            one
            if isinstance(one, TradepostError)
            else new_item_shown(one.item_id, one.row, by.item.tags, owners[by.owner_id])
            for one, by in zip(made, new, strict=True)
        ]

    async def create_in_bulk(self, new: Sequence[NewItem]) -> list[int | TradepostError]:
        """Create items of one person likewise, told of by one message; return their ids."""
        made, _ = await self._create(new)
        created = [
            (one, by) for one, by in zip(made, new, strict=True) if not isinstance(one, TradepostError)
        ]
        if created:
            ids = tuple(one.item_id for one, _ in created)
            await self._describe(created, [ItemBatchCreated(new[0].owner_id, ids)])
        return [one if isinstance(one, TradepostError) else one.item_id for one in made]

    async def tell_of_bulk(self, owner_id: int, created: int) -> None:
        """Announce to its owner what a bulk has created, all of it by one message."""
        await self._outbox.add(self._db, ItemsBulkCreated(owner_id, created))

    async def _create(
        self, new: Sequence[NewItem]
    ) -> tuple[list[_Made | TradepostError], Mapping[int, OwnerRow]]:
        # Locks are taken in the order of every transaction: users, categories, tags, items.
        owners = await self._users.lock_key_share({one.owner_id for one in new})
        category_ids = {one.item.category_id for one in new if one.item.category_id is not None}
        categories = await self._categories.lock_key_share(category_ids)
        refusals = [_refusal(one, owners, categories) for one in new]
        accepted = [one for one, refusal in zip(new, refusals, strict=True) if refusal is None]
        await self._tags.ensure({tag for one in accepted for tag in one.item.tags})
        made = iter(await self._insert(accepted))
        return [next(made) if refusal is None else refusal for refusal in refusals], owners

    async def _insert(self, new: Sequence[NewItem]) -> list[_Made]:
        # Each row gets a moment of its own: RETURNING promises no order, and the moment tells the ids apart.
        now = self._clock.now()
        rows: list[dict[str, Any]] = [
            {
                **one.item.model_dump(exclude={"tags"}),
                "owner_id": one.owner_id,
                "images": [],
                "views": 0,
                "version": 1,
                "created_at": now + at * MOMENT,
                "updated_at": now + at * MOMENT,
            }
            for at, one in enumerate(new)
        ]
        tags = {row["created_at"]: one.item.tags for row, one in zip(rows, new, strict=True)}
        ids = await self._items.add_many([row | indexed(row["title"], 1) for row in rows], tags)
        return [_Made(ids[row["created_at"]], row) for row in rows]

    async def _describe(
        self, created: Sequence[tuple[_Made, NewItem]], told: Sequence[Message | Traced]
    ) -> None:
        """Write what search knows of new items, with the messages that tell of them."""
        # After the links: a trigger on those voids the names of tags beside texts that are there.
        texts = [
            text_row(
                one.item_id,
                title=by.item.title,
                description=by.item.description,
                tags=by.item.tags,
                facts=Facts(by.item.status, by.owner_id, by.item.category_id, by.item.price),
            )
            for one, by in created
        ]
        await insert_together(self._db, *self._texts.additions(texts), self._outbox.addition(self._db, told))

    async def lock_for_update(self, wanted: Sequence[tuple[int, Principal]]) -> None:
        """Lock these items, to which these principals add files, until the transaction ends.

        Each principal must be the item's owner, or staff.
        """
        locked = await self._items.lock_rights_for_update({item_id for item_id, _ in wanted})
        items = {item.id: item for item in locked}
        for item_id, principal in wanted:
            check_right(items.get(item_id), principal, overriding=STAFF)

    async def add_images(self, item_id: int, urls: Sequence[str]) -> None:
        """Have an item, which is locked by this transaction, show further pictures."""
        item = await self._items.get(item_id)
        if item is not None:
            await self._set_images(item, [*item.images, *urls])

    async def remove_image(self, item_id: int, url: str) -> None:
        """Have an item, if it is there, not show a picture any more; locks the item."""
        item = await self._items.lock_for_update(item_id)
        if item is not None and url in item.images:
            await self._set_images(item, [image for image in item.images if image != url])

    async def _set_images(self, item: Item, images: list[str]) -> None:
        version = item.version + 1
        changed = {"images": images, "version": version, "updated_at": self._clock.now()}
        await self._items.change(item, changed | still_indexed(item, version))
        await self._outbox.add(self._db, ItemUpdated(item.id, item.owner_id, item.title, version))
        self._db.after_commit(self._popular.forget_shown)


def still_indexed(item: Item, version: int) -> dict[str, int]:
    """Return the column by which a change that no text has a part in leaves search up to date, if it was so."""
    return {"indexed_version": version} if item.indexed_version == item.version else {}


def _refusal(
    new: NewItem, owners: Mapping[int, OwnerRow], category_ids: Collection[int]
) -> TradepostError | None:
    if new.owner_id not in owners:
        # Deleted at this very moment: the token is worth nothing any more.
        return Unauthenticated()
    if new.item.category_id is not None and new.item.category_id not in category_ids:
        return unknown_category()
    return None


def check_right(
    item: Item | Row[int, int, ItemStatus] | None, principal: Principal, *, overriding: Permission
) -> None:
    """Raise what keeps a principal from writing an item; ``overriding`` is the permission that stands in for ownership."""
    if item is None or not is_visible(item.status, item.owner_id, principal):
        raise ItemNotFound
    if not principal.may_act_for(item.owner_id, overriding=overriding):
        raise NotOwner
