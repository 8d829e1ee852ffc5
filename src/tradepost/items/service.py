"""The rules of buying and selling, as far as items go."""

from collections.abc import Sequence
from typing import Any

from tradepost.accounts.permissions import STAFF, Permission
from tradepost.categories.service import CategoryService
from tradepost.core.clock import Clock
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import NotOwner, Unprocessable
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.principal import Principal
from tradepost.items.errors import ItemNotFound, unknown_category
from tradepost.items.messages import ItemDeleted, ItemUpdated
from tradepost.items.models import Item
from tradepost.items.popular import PopularItems
from tradepost.items.public_total import PublicTotal
from tradepost.items.reader import is_visible
from tradepost.items.repository.items import ItemRepository
from tradepost.items.repository.tag_links import ItemTagRepository
from tradepost.items.schemas import ItemStatus, ItemUpdate, discount_fault, item_json
from tradepost.tags.service import TagService


class ItemService:
    """Changes items, in the transaction of whoever built it; what it returns is the JSON of ``ItemRead``."""

    def __init__(
        self,
        db: WriteSession,
        *,
        tags: TagService,
        categories: CategoryService,
        popular: PopularItems,
        public_total: PublicTotal,
        outbox: Outbox,
        clock: Clock,
    ) -> None:
        self._db = db
        self._items = ItemRepository(db)
        self._links = ItemTagRepository(db)
        self._tags = tags
        self._categories = categories
        self._popular = popular
        self._public_total = public_total
        self._outbox = outbox
        self._clock = clock

    async def update(self, item_id: int, changes: ItemUpdate, principal: Principal) -> bytes:
        """Change the fields that were sent; only the owner and admins may."""
        sent = changes.model_dump(exclude_unset=True, exclude={"tags"})
        # Categories and tags are locked before items by everybody, or two writes could wait in a circle; what is wrong
        # with them is said after whether the item is there and may be changed.
        category_id = sent.get("category_id")
        held = set() if category_id is None else await self._categories.hold({category_id})
        retags = "tags" in changes.model_fields_set
        if retags:
            await self._tags.ensure(changes.tags)
        item = await self._locked(item_id, principal, overriding=Permission.ADMIN_ACCESS)
        if category_id is not None and category_id not in held:
            raise unknown_category()
        changed: dict[str, Any] = {
            name: value for name, value in sent.items() if getattr(item, name) != value
        }
        self._check_discount(item, changed)
        retagged = retags and list(await self._links.find_names(item_id)) != changes.tags
        if retagged:
            await self._links.remove(item_id)
            await self._links.add({item_id: changes.tags})
        if changed or retagged:
            before = item.status
            title, version = changed.get("title", item.title), item.version + 1
            changed |= {"version": version, "updated_at": self._clock.now()}
            await self._items.change(item, changed)
            await self._outbox.add(self._db, ItemUpdated(item_id, item.owner_id, title, version))
            self._shift_total(before, changed.get("status", before))
            self._db.after_commit(self._popular.forget_shown)
        return await self._row(item_id)

    async def delete(self, item_id: int, principal: Principal) -> None:
        """Delete an item; its owner may, and who may delete everybody's."""
        item = await self._locked(item_id, principal, overriding=Permission.DELETE_ITEMS)
        await self._items.delete(item_id)
        await self._outbox.add(self._db, ItemDeleted(item_id, item.owner_id))
        self._shift_total(item.status, None)
        self._db.after_commit(self._popular.forget_shown)

    async def hold_for_files(self, wanted: Sequence[tuple[int, Principal]]) -> dict[int, Item]:
        """Return the items that these people want to give files to, locked until the transaction ends.

        Each must be an item's owner, or staff.
        """
        items = {item.id: item for item in await self._items.find_locked({item_id for item_id, _ in wanted})}
        for item_id, principal in wanted:
            _checked(items.get(item_id), principal, overriding=STAFF)
        return items

    async def add_images(self, item: Item, urls: Sequence[str]) -> None:
        """Have a locked item show further pictures."""
        await self._set_images(item, [*item.images, *urls])

    async def remove_image(self, item_id: int, url: str) -> None:
        """Have an item, if it is there, not show a picture any more; locks the item."""
        item = await self._items.get_locked(item_id)
        if item is not None and url in item.images:
            await self._set_images(item, [image for image in item.images if image != url])

    async def _set_images(self, item: Item, images: list[str]) -> None:
        version = item.version + 1
        await self._items.change(
            item, {"images": images, "version": version, "updated_at": self._clock.now()}
        )
        await self._outbox.add(self._db, ItemUpdated(item.id, item.owner_id, item.title, version))
        self._db.after_commit(self._popular.forget_shown)

    async def _locked(self, item_id: int, principal: Principal, *, overriding: Permission) -> Item:
        """Return an item for writing, locked; ``overriding`` is the permission that stands in for ownership."""
        return _checked(await self._items.get_locked(item_id), principal, overriding=overriding)

    async def _row(self, item_id: int) -> bytes:
        row = await self._items.get_row(item_id)
        if row is None:
            raise ItemNotFound
        return item_json(row)

    def _check_discount(self, item: Item, changed: dict[str, Any]) -> None:
        price = changed.get("price", item.price)
        discount = changed.get("discount_price", item.discount_price)
        if discount is not None and discount >= price:
            fault = discount_fault()
            raise Unprocessable(("body", "discount_price"), fault.message(), kind=fault.type)

    def _shift_total(self, before: ItemStatus | None, after: ItemStatus | None) -> None:
        by = (after is ItemStatus.ACTIVE) - (before is ItemStatus.ACTIVE)
        if by:
            self._db.after_commit(lambda: self._public_total.shift(by))


def _checked(item: Item | None, principal: Principal, *, overriding: Permission) -> Item:
    if item is None or not is_visible(item.status, item.owner_id, principal):
        raise ItemNotFound
    if item.owner_id != principal.user_id and overriding not in principal.permissions:
        raise NotOwner
    return item
