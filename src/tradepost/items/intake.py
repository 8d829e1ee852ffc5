"""Putting items up for sale: what comes in while a transaction is under way shares the next one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from tradepost.accounts.service import UserService
from tradepost.categories.service import CategoryService
from tradepost.core.batching.coalescer import Observe
from tradepost.core.batching.group_writer import GroupWriter
from tradepost.core.clock import Clock
from tradepost.core.database.engines import Database
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import TradepostError, Unauthenticated
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.principal import Principal
from tradepost.items.errors import unknown_category
from tradepost.items.messages import ItemCreated
from tradepost.items.public_total import PublicTotal
from tradepost.items.repository.items import ItemRepository
from tradepost.items.repository.tag_links import ItemTagRepository
from tradepost.items.schemas import ItemCreate, ItemStatus, new_item_json
from tradepost.tags.service import TagService

MOMENT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class _Offer:
    """A new item and who offers it."""

    new: ItemCreate
    owner_id: int


class ItemIntake:
    """Creates items, many in one transaction. Lives as long as the process.

    An offer that cannot be taken (its owner or its category is gone) is refused alone; the others are not touched.
    """

    def __init__(
        self,
        database: Database,
        *,
        people: Callable[[WriteSession], UserService],
        tags: Callable[[WriteSession], TagService],
        categories: Callable[[WriteSession], CategoryService],
        public_total: PublicTotal,
        outbox: Outbox,
        clock: Clock,
        observe: Observe | None = None,
    ) -> None:
        self._database = database
        self._people = people
        self._tags = tags
        self._categories = categories
        self._public_total = public_total
        self._outbox = outbox
        self._clock = clock
        self._writer: GroupWriter[_Offer, bytes] = GroupWriter(self._take, observe=observe)

    async def create(self, new: ItemCreate, owner: Principal) -> bytes:
        """Put an item up for sale; returns the JSON of ``ItemRead`` once it is committed."""
        return await self._writer.submit(_Offer(new, owner.user_id))

    async def _take(self, offers: Sequence[_Offer]) -> list[bytes | TradepostError]:
        async with self._database.transaction() as db:
            outcomes = await self._insert(db, offers)
            shown = sum(
                isinstance(outcome, bytes) and offer.new.status is ItemStatus.ACTIVE
                for offer, outcome in zip(offers, outcomes, strict=True)
            )
            db.after_commit(lambda: self._public_total.shift(shown))
        return outcomes

    async def _insert(self, db: WriteSession, offers: Sequence[_Offer]) -> list[bytes | TradepostError]:
        # Locks are taken in the order in which everybody takes them: people, categories, tags, items.
        owners = await self._people(db).hold_public({offer.owner_id for offer in offers})
        categories = await self._categories(db).hold(
            {offer.new.category_id for offer in offers if offer.new.category_id is not None}
        )
        refusals: dict[int, TradepostError] = {}
        for at, offer in enumerate(offers):
            if offer.owner_id not in owners:
                # Deleted at this very moment: the token is worth nothing any more.
                refusals[at] = Unauthenticated()
            elif offer.new.category_id is not None and offer.new.category_id not in categories:
                refusals[at] = unknown_category()
        taken = [(at, offer) for at, offer in enumerate(offers) if at not in refusals]
        await self._tags(db).ensure({tag for _, offer in taken for tag in offer.new.tags})
        # Each has a moment of its own: the ids come back in no promised order, and are told apart by it.
        now = self._clock.now()
        rows = [
            {
                **offer.new.model_dump(exclude={"tags"}),
                "owner_id": offer.owner_id,
                "images": [],
                "views": 0,
                "version": 1,
                "created_at": now + at * MOMENT,
                "updated_at": now + at * MOMENT,
            }
            for at, offer in taken
        ]
        ids = await ItemRepository(db).add_many(rows)
        made = [
            (at, ids[row["created_at"]], row, offer) for (at, offer), row in zip(taken, rows, strict=True)
        ]
        await ItemTagRepository(db).add({item_id: offer.new.tags for _, item_id, _, offer in made})
        await self._outbox.add(
            db, *(ItemCreated(item_id, offer.owner_id, offer.new.title) for _, item_id, _, offer in made)
        )
        bodies = {
            at: new_item_json(item_id, row, offer.new.tags, owners[offer.owner_id])
            for at, item_id, row, offer in made
        }
        return [refusals[at] if at in refusals else bodies[at] for at in range(len(offers))]
