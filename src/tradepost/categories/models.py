"""The tables of categories, and of the slugs that they had."""

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, validates

from tradepost.categories.schemas import DESCRIPTION_LENGTH, NAME_LENGTH, SLUG_LENGTH
from tradepost.core.database.models import NEVER_REUSED, Base, BigId, Identified, Timestamped, Versioned
from tradepost.core.database.sort_keys import follow, sort_key_column


class Category(Identified, Timestamped, Versioned, Base):
    """A node of the tree. One that still has children or items cannot be deleted: the database refuses."""

    __tablename__ = "categories"
    __table_args__ = (
        CheckConstraint("parent_id <> id", name="not_its_own_parent"),
        Index("ix_categories_name_key_id", "name_key", "id"),
        NEVER_REUSED,
    )

    name: Mapped[str] = mapped_column(String(NAME_LENGTH))
    name_key: Mapped[str] = sort_key_column("name")
    slug: Mapped[str] = mapped_column(String(SLUG_LENGTH), unique=True)
    description: Mapped[str | None] = mapped_column(String(DESCRIPTION_LENGTH))
    is_active: Mapped[bool] = mapped_column(default=True)
    parent_id: Mapped[int | None] = mapped_column(
        BigId, ForeignKey("categories.id", ondelete="RESTRICT"), index=True
    )

    @validates("name")
    def _follow_name(self, source: str, name: str) -> str:
        return follow(self, source, name)


class FormerSlug(Base):
    """A slug that a category had before it got another name; one that a category has now counts first."""

    __tablename__ = "former_slugs"

    slug: Mapped[str] = mapped_column(String(SLUG_LENGTH), primary_key=True)
    category_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("categories.id", ondelete="CASCADE"), index=True
    )
