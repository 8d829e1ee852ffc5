"""The table of tags."""

from sqlalchemy import CheckConstraint, Index, String
from sqlalchemy.orm import Mapped, mapped_column, validates

from tradepost.core.database.models import NEVER_REUSED, Base, Identified, Timestamped, Versioned
from tradepost.core.database.sort_keys import follow, sort_key_column
from tradepost.tags.schemas import DESCRIPTION_LENGTH, TAG_LENGTH


class Tag(Identified, Timestamped, Versioned, Base):
    """A normalised word. Items refer to it by name, so that the database's own cascade carries a new name to them."""

    __tablename__ = "tags"
    __table_args__ = (
        CheckConstraint("name <> ''", name="name_not_empty"),
        Index("ix_tags_name_key_id", "name_key", "id"),
        NEVER_REUSED,
    )

    name: Mapped[str] = mapped_column(String(TAG_LENGTH), unique=True)
    description: Mapped[str | None] = mapped_column(String(DESCRIPTION_LENGTH))
    name_key: Mapped[str] = sort_key_column("name")

    @validates("name")
    def _follow_name(self, source: str, name: str) -> str:
        return follow(self, source, name)
