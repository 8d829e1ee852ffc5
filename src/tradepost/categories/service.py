"""The rules of the category tree: its depth, its slugs, and where a subtree may hang.

Every change begins by locking the whole tree: its rules concern more rows than the change, so two changes that are each
right alone could together make a circle.
"""

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, Final

from slugify import slugify
from sqlalchemy import Select

from tradepost.categories.errors import (
    CategoryCycle,
    CategoryInUse,
    CategoryNotFound,
    CategoryTooDeep,
    unfit_target,
    unknown_parent,
)
from tradepost.categories.models import Category
from tradepost.categories.nodes import CategoryNode, category_shown, topmost
from tradepost.categories.repository import CategoryRepository, shown_ids, subtree_ids, subtree_values
from tradepost.categories.schemas import CategoryCreate, CategoryUpdate
from tradepost.categories.sorted import SortedItems
from tradepost.core.audit.trail import SYSTEM, Asker, AuditTrail, Target
from tradepost.core.clock import Clock
from tradepost.core.database.faults import violations
from tradepost.core.database.sessions import WriteSession
from tradepost.core.wire.representations import ANY_VERSION, Expected, Representation

MAX_LEVELS: Final = 10
"""A root is the first level."""
MAX_STEM_LENGTH: Final = 100
"""Of a slug without the number that makes it unique."""


def slug_of(name: str) -> str:
    """Return what ``name`` looks like in an address: ASCII letters, digits and hyphens, never empty or all digits."""
    slug = slugify(
        name,
        max_length=MAX_STEM_LENGTH,
        # A name is plain text: "&amp;" in it was meant so.
        entities=False,
        decimal=False,
        hexadecimal=False,
        # Named, or another one that happens to be installed would make other slugs.
        backend="text-unidecode",
    )
    if slug.isdigit():
        # All digits is an id.
        slug = f"c-{slug}"[:MAX_STEM_LENGTH]
    return slug or "category"


def free_slug(stem: str, taken: set[str]) -> str:
    """Return ``stem``, or the first of ``stem-2``, ``stem-3``… that is not taken."""
    slug, number = stem, 1
    while slug in taken:
        number += 1
        slug = f"{stem}-{number}"
    return slug


class CategoryService:
    """Changes the tree, in the caller's transaction."""

    def __init__(self, db: WriteSession, items: SortedItems, audit: AuditTrail, clock: Clock) -> None:
        self._db = db
        self._categories = CategoryRepository(db)
        self._items = items
        self._audit = audit
        self._clock = clock

    async def create(self, new: CategoryCreate, *, by: Asker = SYSTEM) -> Representation:
        """Make a category."""
        await self._categories.lock_tree()
        if new.parent_id is not None:
            path = await self._categories.find_path(new.parent_id)
            if not path:
                raise unknown_parent()
            if len(path) >= MAX_LEVELS:
                raise CategoryTooDeep
        now = self._clock.now()
        slug = await self._slug(new.name)
        await self._categories.give_slug(slug)
        added = await self._categories.add(
            Category(**new.model_dump(), slug=slug, created_at=now, updated_at=now)
        )
        await self._note("category.created", added.id, by, name=added.name)
        return category_shown(
            CategoryNode(
                added.id,
                added.name,
                slug,
                added.description,
                added.is_active,
                added.parent_id,
                now,
                now,
                added.version,
            )
        )

    async def update(
        self, key: str, changes: CategoryUpdate, expected: Expected = ANY_VERSION, *, by: Asker = SYSTEM
    ) -> Representation:
        """Change the fields that were sent, of an expected version.

        A new name makes a new slug, and the one before leads to it; a new parent moves the whole subtree.
        """
        await self._categories.lock_tree()
        category = await self._categories.find(key)
        if category is None:
            raise CategoryNotFound
        await expected.check(category.version, partial(self._shown, str(category.id)))
        sent = changes.model_dump(exclude_unset=True)
        changed = {name: value for name, value in sent.items() if getattr(category, name) != value}
        if changed.get("parent_id") is not None:
            await self._check_parent(category, changed["parent_id"])
        if (
            "name" in changed
            and (slug := await self._slug(changed["name"], own=category.slug)) != category.slug
        ):
            changed["slug"] = slug
            await self._categories.give_slug(slug)
            await self._categories.keep_slug(category.slug, category.id)
        if changed:
            for name, value in changed.items():
                setattr(category, name, value)
            category.updated_at = self._clock.now()
            await self._categories.save()
            fields = sorted(changed.keys() - {"slug"})
            await self._note("category.updated", category.id, by, name=category.name, fields=fields)
        return await self._shown(str(category.id))

    async def delete(
        self,
        key: str,
        expected: Expected = ANY_VERSION,
        *,
        move_to: int | None = None,
        by: Asker = SYSTEM,
    ) -> None:
        """Delete a category of an expected version; its children and items go to the category ``move_to``, without which it must have none.

        The row is locked before the items move: an item that is being put into the category is either there by then, and
        moves too, or waits, and finds the category gone.
        """
        await self._categories.lock_tree()
        category = await self._categories.lock_for_update(key)
        if category is None:
            raise CategoryNotFound
        await expected.check(category.version, partial(self._shown, str(category.id)))
        if move_to is not None:
            await self._empty(category, move_to)
        with violations(foreign_key=CategoryInUse):
            await self._categories.delete(category)
        await self._note("category.deleted", category.id, by, name=category.name, move_to=move_to)

    async def _note(self, action: str, category_id: int, by: Asker, **details: Any) -> None:
        on = Target("category", category_id, None)
        await self._audit.add(self._db, action, by=by, on=on, details=details)

    async def lock_key_share(self, category_ids: Collection[int]) -> set[int]:
        """Keep categories from being deleted until the transaction ends; return which of the ids there are.

        For a write of items: their foreign key would do the same, and not say which of the values is the wrong one.
        """
        return set(await self._categories.lock_key_share(category_ids)) if category_ids else set()

    @staticmethod
    def subtree(key: str) -> Select[int]:
        """Return the statement for the ids of a category (``key`` is its id or slug) and all its descendants.

        For ``IN``; it is not run here, and selects nothing when there is no such category.
        """
        return subtree_ids(key)

    @staticmethod
    def subtree_values(key: str) -> Mapping[str, int | str]:
        """Return the value of the parameter in ``subtree``, whose statement serves every key with one of the same type."""
        return subtree_values(key)

    @staticmethod
    def shown() -> Select[int]:
        """Return the statement for the ids of the categories that everybody sees, for ``IN`` likewise."""
        return shown_ids()

    async def _shown(self, key: str) -> Representation:
        top = topmost(await self._categories.find_subtree(key, active_only=False))
        if top is None:
            raise CategoryNotFound
        return category_shown(top)

    async def _slug(self, name: str, *, own: str | None = None) -> str:
        """Return a slug that no other category has; ``own`` is the one that the category gives up."""
        stem = slug_of(name)
        return free_slug(stem, await self._categories.find_slugs(stem) - {own})

    async def _check_parent(self, category: Category, parent_id: int) -> None:
        path = await self._categories.find_path(parent_id)
        if not path:
            raise unknown_parent()
        if category.id in path:
            raise CategoryCycle
        if len(path) + await self._categories.count_levels(category.id) > MAX_LEVELS:
            raise CategoryTooDeep

    async def _empty(self, category: Category, target_id: int) -> None:
        """Move children and items of a category to another one."""
        path = await self._categories.find_path(target_id)
        if not path or category.id in path:
            raise unfit_target()
        # The category itself, one level of them, does not come along.
        if len(path) + await self._categories.count_levels(category.id) - 1 > MAX_LEVELS:
            raise CategoryTooDeep
        now = self._clock.now()
        await self._categories.move_children(source_id=category.id, target_id=target_id, now=now)
        await self._items.move(self._categories.db, source_id=category.id, target_id=target_id, now=now)
