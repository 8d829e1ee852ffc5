"""The rules of tags: what staff change about them, and the tags that a write of items needs.

An item's link refers to ``tags.name`` with ON UPDATE CASCADE and ON DELETE CASCADE. So the database itself carries a new
name or a deletion to every item, in the statement that changes the tag, and no link can name a tag that is gone.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any

from tradepost.core.audit.trail import SYSTEM, Asker, AuditTrail, Target
from tradepost.core.clock import Clock
from tradepost.core.database.faults import violations
from tradepost.core.database.sessions import WriteSession
from tradepost.core.errors import Unprocessable
from tradepost.core.wire.folding import sort_key
from tradepost.core.wire.representations import ANY_VERSION, Expected, Representation
from tradepost.tags.errors import SelfMerge, TagExists, TagNotFound
from tradepost.tags.models import Tag
from tradepost.tags.reader import tag_shown
from tradepost.tags.repository import TagRepository
from tradepost.tags.schemas import TagCreate, TagMerge, TagUpdate
from tradepost.tags.tagged import TaggedItems


class TagService:
    """Changes tags, in the caller's transaction."""

    def __init__(self, db: WriteSession, items: TaggedItems, audit: AuditTrail, clock: Clock) -> None:
        self._db = db
        self._tags = TagRepository(db)
        self._items = items
        self._audit = audit
        self._clock = clock

    async def create(self, tag: TagCreate, *, by: Asker = SYSTEM) -> Representation:
        """Make a tag that no item bears yet; ``TagExists`` if the name is taken."""
        now = self._clock.now()
        with violations(unique=TagExists):
            added = await self._tags.add(
                Tag(name=tag.name, description=tag.description, created_at=now, updated_at=now)
            )
        await self._note("tag.created", added.id, by, name=added.name)
        return tag_shown(added, 0)

    async def update(
        self, tag_id: int, changes: TagUpdate, expected: Expected = ANY_VERSION, *, by: Asker = SYSTEM
    ) -> Representation:
        """Change the fields that were sent, of an expected version; a new name reaches all items that bear the tag.

        ``TagExists`` if another tag has the name: merging two tags cannot be undone, so it has an endpoint of its own.
        """
        tag = await self._locked(tag_id, expected)
        sent = changes.model_dump(exclude_unset=True)
        changed = {field: value for field, value in sent.items() if getattr(tag, field) != value}
        if changed:
            now = self._clock.now()
            if "name" in changed:
                # Items before their links, to which the database carries the new name: deleting an item locks in that order.
                await self._items.note_change(self._tags.db, tag=tag.name, now=now)
            await self._note("tag.updated", tag_id, by, name=tag.name, fields=sorted(changed))
            for field, value in changed.items():
                setattr(tag, field, value)
            tag.updated_at = now
            with violations(unique=_name_taken):
                await self._tags.save()
        return await self._with_count(tag)

    async def merge(self, tag_id: int, merge: TagMerge, *, by: Asker = SYSTEM) -> Representation:
        """Give the items of one tag to another, delete the first, and return the second.

        Both rows are locked first: a write that is giving one of the tags to an item is either finished by then, and its
        link moves too, or waits, and finds the tag gone.
        """
        if merge.into_id == tag_id:
            raise SelfMerge
        tags = await self._tags.lock_several_for_update({tag_id, merge.into_id})
        if tag_id not in tags:
            raise TagNotFound
        if merge.into_id not in tags:
            raise Unprocessable(("body", "into_id"), "There is no tag of this id", kind="unknown_tag")
        source, target = tags[tag_id], tags[merge.into_id]
        db = self._tags.db
        await self._items.note_change(db, tag=source.name, now=self._clock.now())
        await self._items.move(db, source=source.name, target=target.name)
        await self._tags.delete(source)
        await self._note("tag.merged", tag_id, by, name=source.name, into_id=target.id)
        return await self._with_count(target)

    async def delete(self, tag_id: int, expected: Expected = ANY_VERSION, *, by: Asker = SYSTEM) -> None:
        """Delete a tag of an expected version, and take it off every item."""
        tag = await self._locked(tag_id, expected)
        await self._items.note_change(self._tags.db, tag=tag.name, now=self._clock.now())
        await self._tags.delete(tag)
        await self._note("tag.deleted", tag_id, by, name=tag.name)

    async def ensure(self, names: Iterable[str]) -> set[str]:
        """Make the tags of these normalised names exist, and keep them so until the transaction ends; return the new ones.

        A write of items calls this once, with all names that it needs, before it touches links: every write locks tags
        before links, so none can deadlock with another. A tag that another transaction renames, merges or deletes is
        waited for; if its name is gone then, it is made anew.
        """
        missing = set(names)
        made: set[str] = set()
        while missing:
            missing.difference_update(await self._tags.lock_key_share(missing))
            if not missing:
                break
            now = self._clock.now()
            # Sorted: two writes with new names in common wait for each other in one direction only.
            new = [
                {"name": name, "name_key": sort_key(name), "created_at": now, "updated_at": now}
                for name in sorted(missing)
            ]
            # A name that another transaction inserted meanwhile may go again until its row is locked here.
            added = await self._tags.add_missing(new)
            missing.difference_update(added)
            made.update(added)
        return made

    async def _note(self, action: str, tag_id: int, by: Asker, **details: Any) -> None:
        await self._audit.add(self._db, action, by=by, on=Target("tag", tag_id, None), details=details)

    async def _locked(self, tag_id: int, expected: Expected) -> Tag:
        tag = await self._tags.lock_for_update(tag_id)
        if tag is None:
            raise TagNotFound
        await expected.check(tag.version, partial(self._with_count, tag))
        return tag

    async def _with_count(self, tag: Tag) -> Representation:
        counts = await self._items.counts(self._tags.db, [tag.name])
        return tag_shown(tag, counts.get(tag.name, 0))


def _name_taken() -> TagExists:
    return TagExists("A tag of this name exists already; merge this tag into it instead")
