"""The statements about the normalised texts of items, and about those that are stale."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, cast

from sqlalchemy import Select, Table, bindparam, select, update

from tradepost.core.database.elements import AmongIds, upsert
from tradepost.core.database.locks import lock_no_key_update
from tradepost.core.database.many_rows import Insertion
from tradepost.core.database.repository import Repository
from tradepost.core.database.sessions import WriteSession
from tradepost.core.search.vocabulary import Vocabulary
from tradepost.core.wire.folding import RULE, sort_key
from tradepost.items.models import Item, ItemTag, ItemText, TextRule
from tradepost.items.texts import Facts, TextRow, text_row

_ITEMS = cast("Table", Item.__table__)
_TEXTS = cast("Table", ItemText.__table__)
_NEW = upsert(_TEXTS)
_PUT = _NEW.on_conflict_do_update(
    index_elements=["item_id"],
    # Not the facts: from the first row on, triggers keep them.
    set_={name: _NEW.excluded[name] for name in ("title", "tags", "description", "tag_names")},
)
_MARK = (
    update(_ITEMS)
    .where(_ITEMS.c.id == bindparam("of_item"))
    .values(title_key=bindparam("key"), indexed_version=_ITEMS.c.version)
)
_TOLD = select(
    Item.id, Item.title, Item.description, Item.status, Item.owner_id, Item.category_id, Item.price
)
_STALE = _TOLD.where(Item.indexed_version.is_distinct_from(Item.version))
_RULE_OF = "items"


class ItemTextRepository(Repository):
    """The rows of ``item_texts``, and the columns of items that say of which version they are."""

    def __init__(self, db: WriteSession, vocabulary: Vocabulary) -> None:
        super().__init__(db)
        self._session = db
        self._vocabulary = vocabulary

    def additions(self, rows: Sequence[TextRow]) -> list[Insertion]:
        """Return what is to be inserted for the texts of items that are new."""
        return [Insertion(_TEXTS, rows), self._vocabulary.addition(self._session, _texts_of(rows))]

    async def put(self, rows: Sequence[TextRow]) -> None:
        """Insert or replace the texts of items."""
        await (await self.db.connection()).execute(_PUT, rows)
        await self._vocabulary.learn(self._session, _texts_of(rows))

    async def refresh_stale(self, limit: int) -> int:
        """Make anew the texts of items that changed without them, the lowest ids first; return of how many.

        Items that somebody else is writing are passed over: their writer makes the texts, or they are stale once more.
        """
        return len(await self._refresh(_STALE, limit))

    async def refresh_after(self, item_id: int, limit: int) -> Sequence[int]:
        """Make anew the texts of the next items after this one, and return their ids."""
        return await self._refresh(_TOLD.where(Item.id > item_id), limit, skip_locked=False)

    async def _refresh(
        self, wanted: Select[*tuple[Any, ...]], limit: int, *, skip_locked: bool = True
    ) -> Sequence[int]:
        chosen = lock_no_key_update(wanted.order_by(Item.id).limit(limit), Item, skip_locked=skip_locked)
        items = (await self.db.execute(chosen)).all()
        if not items:
            return []
        linked = (
            select(ItemTag.item_id, ItemTag.tag)
            .where(AmongIds(ItemTag.item_id))
            .order_by(ItemTag.item_id, ItemTag.position)
        )
        tags: defaultdict[int, list[str]] = defaultdict(list)
        ids = [item.id for item in items]
        for item_id, tag in await self.db.execute(linked, {"ids": ids}):
            tags[item_id].append(tag)
        await self.put(
            [
                text_row(
                    item.id,
                    title=item.title,
                    description=item.description,
                    tags=tags[item.id],
                    facts=Facts(item.status, item.owner_id, item.category_id, item.price),
                )
                for item in items
            ]
        )
        marks = [{"of_item": item.id, "key": sort_key(item.title)} for item in items]
        await (await self.db.connection()).execute(_MARK, marks)
        return ids

    async def rule(self) -> tuple[int, int | None]:
        """Return the rule that the texts were made by, and through which id they are made anew by the newest.

        Where none is noted there were no texts before the newest rule.
        """
        await self.db.execute(
            upsert(TextRule).values(name=_RULE_OF, rule=RULE, through=None).on_conflict_do_nothing()
        )
        noted = select(TextRule.rule, TextRule.through).where(TextRule.name == _RULE_OF)
        rule, through = (await self.db.execute(noted)).one()
        return rule, through

    async def note_rule(self, *, rule: int, through: int | None) -> None:
        """Note by which rule the texts were made, and how far a newer one has come."""
        await self.db.execute(
            update(TextRule).where(TextRule.name == _RULE_OF).values(rule=rule, through=through)
        )


def _texts_of(rows: Sequence[TextRow]) -> Iterator[str]:
    return (text for row in rows for text in (row["title"], row["tags"], row["description"]))
