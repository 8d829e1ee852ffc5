"""The rules of changing and deleting items: those of many requests at once, each as if it were alone."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tradepost.accounts.permissions import Permission
from tradepost.categories.service import CategoryService
from tradepost.core.audit.trail import AuditTrail, Target
from tradepost.core.clock import Clock
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import PreconditionFailed, TradepostError, Unprocessable
from tradepost.core.messaging.messages import Traced
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.observability.trace_context import traceparent
from tradepost.core.principal import Principal
from tradepost.core.search.vocabulary import Vocabulary
from tradepost.core.wire.representations import ANY_VERSION, Expected, Representation
from tradepost.items.errors import ItemNotFound, unknown_category
from tradepost.items.messages import ItemDeleted, ItemUpdated
from tradepost.items.models import Item
from tradepost.items.popular import PopularItems
from tradepost.items.repository.items import ItemRepository
from tradepost.items.repository.tag_links import ItemTagRepository
from tradepost.items.repository.texts import ItemTextRepository
from tradepost.items.schemas import ItemUpdate, discount_fault, item_shown
from tradepost.items.service import check_right, still_indexed
from tradepost.items.texts import Facts, TextRow, indexed, text_row
from tradepost.tags.service import TagService


@dataclass(frozen=True, slots=True)
class Deletion:
    """An item that somebody wants to delete, of an expected version."""

    item_id: int
    principal: Principal
    expected: Expected = ANY_VERSION
    traceparent: str | None = field(default_factory=traceparent.get)


@dataclass(frozen=True, slots=True)
class Change(Deletion):
    """Changes that somebody wants to make to an item, of an expected version."""

    changes: ItemUpdate = field(kw_only=True)

    @property
    def retags(self) -> bool:
        """Whether it says which tags the item is to have."""
        return "tags" in self.changes.model_fields_set


@dataclass(frozen=True, slots=True)
class _Changed:
    """What a change has done to its item: the columns, and whether the tags are others."""

    change: Change
    item: Item
    columns: dict[str, Any]
    retagged: bool


class ItemChangeService:
    """Changes and deletes items, in the caller's transaction.

    The statements are as many for one change as for a hundred of different items.
    """

    def __init__(
        self,
        db: WriteSession,
        *,
        tags: TagService,
        categories: CategoryService,
        popular: PopularItems,
        vocabulary: Vocabulary,
        outbox: Outbox,
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        self._db = db
        self._items = ItemRepository(db)
        self._links = ItemTagRepository(db)
        self._texts = ItemTextRepository(db, vocabulary)
        self._tags = tags
        self._categories = categories
        self._popular = popular
        self._outbox = outbox
        self._audit = audit
        self._clock = clock

    async def update_many(self, wanted: Sequence[Change]) -> list[Representation | TradepostError]:
        """Make changes in their order, and return for each the item, or the error that refuses it alone.

        Only the owner and admins may; the fields that were sent change.
        """
        # Every transaction locks categories and tags before items, or two could deadlock. An unknown category is
        # reported only after the item was found and may be changed.
        sorted_into = {one.changes.category_id for one in wanted} - {None}
        held = await self._categories.lock_key_share({key for key in sorted_into if key is not None})
        made = await self._tags.ensure({tag for one in wanted if one.retags for tag in one.changes.tags})
        items = await self._locked(wanted)
        outcomes: dict[int, Representation | TradepostError] = {}
        for wave in _waves(wanted):
            outcomes |= await self._update({at: wanted[at] for at in wave}, items, held)
        for at, one in enumerate(wanted):
            outcome = outcomes[at]
            if isinstance(outcome, TradepostError) and one.retags and made.intersection(one.changes.tags):
                # Raised, it takes the tags back that were made for it; the others are made once more, each alone.
                raise outcome
        return [outcomes[at] for at in range(len(wanted))]

    async def delete_many(self, wanted: Sequence[Deletion]) -> list[TradepostError | None]:
        """Delete items; return for each None, or the error that refuses it alone.

        Owners may, and principals that may delete everybody's.
        """
        items = await self._locked(wanted)
        outcomes: list[TradepostError | None] = []
        gone: dict[int, tuple[Item, Deletion]] = {}
        for one in wanted:
            try:
                item = await self._checked(items, one, overriding=Permission.DELETE_ITEMS)
            except TradepostError as refusal:
                outcomes.append(refusal)
            else:
                outcomes.append(None)
                gone[item.id] = item, one
                del items[item.id]
        if gone:
            await self._items.delete_many([item for item, _ in gone.values()])
            messages = [
                Traced(ItemDeleted(item.id, item.owner_id), one.traceparent) for item, one in gone.values()
            ]
            await self._outbox.add(self._db, *messages)
            for item, one in gone.values():
                await self._note(item, "item.deleted", one.principal, {})
            self._db.after_commit(self._popular.forget_shown)
        return outcomes

    async def _update(
        self, wave: Mapping[int, Change], items: Mapping[int, Item], held: Collection[int]
    ) -> dict[int, Representation | TradepostError]:
        """Make changes of different items, which are locked."""
        outcomes: dict[int, Representation | TradepostError] = {}
        changed: dict[int, _Changed] = {}
        tags = await self._tags_of(wave.values(), items)
        for at, change in wave.items():
            try:
                item = await self._checked(items, change, overriding=Permission.ADMIN_ACCESS)
                changed[at] = _changed(change, item, held, tags)
            except TradepostError as refusal:
                outcomes[at] = refusal
        await self._write([one for one in changed.values() if one.columns or one.retagged], tags)
        rows = await self._items.find_rows([one.item.id for one in changed.values()]) if changed else []
        shown = {row.id: row for row in rows}
        for at, one in changed.items():
            row = shown[one.item.id]
            if row.version != one.item.version:
                # The lock keeps that from happening, and nothing relies on it: the statement named the version.
                raise PreconditionFailed
            outcomes[at] = item_shown(row)
        return outcomes

    async def _locked(self, wanted: Sequence[Deletion]) -> dict[int, Item]:
        locked = await self._items.lock_several_for_update({one.item_id for one in wanted})
        return {item.id: item for item in locked}

    async def _checked(self, items: Mapping[int, Item], wanted: Deletion, *, overriding: Permission) -> Item:
        """Return a locked item; ``overriding`` is the permission that stands in for ownership."""
        item = items.get(wanted.item_id)
        check_right(item, wanted.principal, overriding=overriding)
        if item is None:
            raise ItemNotFound

        async def current() -> Representation:
            row = await self._items.get_row(wanted.item_id)
            if row is None:
                raise ItemNotFound
            return item_shown(row)

        await wanted.expected.check(item.version, current)
        return item

    async def _tags_of(self, wanted: Iterable[Change], items: Mapping[int, Item]) -> Mapping[int, list[str]]:
        """Return the tags of those items whose change has to do with them."""
        asked = {
            one.item_id
            for one in wanted
            if one.item_id in items and {"tags", "title", "description"} & one.changes.model_fields_set
        }
        return await self._links.find_several_names(asked) if asked else {}

    async def _write(self, changed: Sequence[_Changed], tags: Mapping[int, list[str]]) -> None:
        if not changed:
            return
        now = self._clock.now()
        retagged = {one.item.id: one.change.changes.tags for one in changed if one.retagged}
        if retagged:
            await self._links.remove(retagged)
            await self._links.add(retagged)
        texts: list[TextRow] = []
        written: dict[int, tuple[Item, dict[str, Any]]] = {}
        fields: dict[int, list[str]] = {}
        for one in changed:
            item, columns = one.item, one.columns
            names = {*columns, *(["tags"] if one.retagged else [])}
            fields[item.id] = sorted(names & ItemUpdate.model_fields.keys())
            version = item.version + 1
            columns |= {"version": version, "updated_at": now}
            if names & {"tags", "title", "description"}:
                title = columns.get("title", item.title)
                columns |= indexed(title, version)
                texts.append(_text_row(item, columns, retagged.get(item.id, tags.get(item.id, []))))
            else:
                columns |= still_indexed(item, version)
            written[item.id] = item, columns
        await self._items.change_many(written.values())
        if texts:
            await self._texts.put(texts)
        await self._outbox.add(
            self._db,
            *(
                Traced(
                    ItemUpdated(one.item.id, one.item.owner_id, one.item.title, one.item.version),
                    one.change.traceparent,
                )
                for one in changed
            ),
        )
        for one in changed:
            await self._note(one.item, "item.updated", one.change.principal, {"fields": fields[one.item.id]})
        self._db.after_commit(self._popular.forget_shown)

    async def _note(self, item: Item, action: str, principal: Principal, details: Mapping[str, Any]) -> None:
        """Record what staff do to somebody else's item."""
        if principal.user_id != item.owner_id:
            on = Target("item", item.id, item.owner_id)
            await self._audit.add(self._db, action, by=principal, on=on, details=details)


def _waves(wanted: Sequence[Change]) -> Iterator[list[int]]:
    """Yield which changes are written together: one of each item, the further ones of an item after it."""
    by_item: defaultdict[int, list[int]] = defaultdict(list)
    for at, one in enumerate(wanted):
        by_item[one.item_id].append(at)
    turn = 0
    while wave := [changes[turn] for changes in by_item.values() if turn < len(changes)]:
        yield wave
        turn += 1


def _changed(
    change: Change, item: Item, held: Collection[int], tags: Mapping[int, Sequence[str]]
) -> _Changed:
    """Return what a change does to an item, or raise what is wrong with it."""
    sent = change.changes.model_dump(exclude_unset=True, exclude={"tags"})
    if sent.get("category_id") is not None and sent["category_id"] not in held:
        raise unknown_category()
    columns = {name: value for name, value in sent.items() if getattr(item, name) != value}
    price = columns.get("price", item.price)
    discount = columns.get("discount_price", item.discount_price)
    if discount is not None and discount >= price:
        fault = discount_fault()
        raise Unprocessable(("body", "discount_price"), fault.message(), kind=fault.type)
    retagged = change.retags and list(tags.get(item.id, ())) != change.changes.tags
    return _Changed(change, item, columns, retagged)


def _text_row(item: Item, columns: Mapping[str, Any], tags: Sequence[str]) -> TextRow:
    def of(name: str) -> Any:
        return columns.get(name, getattr(item, name))

    facts = Facts(of("status"), item.owner_id, of("category_id"), of("price"))
    return text_row(item.id, title=of("title"), description=of("description"), tags=tags, facts=facts)
