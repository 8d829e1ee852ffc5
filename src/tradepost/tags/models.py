"""The table of tags."""

from sqlalchemy import CheckConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from tradepost.core.database.models import NEVER_REUSED, Base, Identified, Timestamped
from tradepost.tags.schemas import DESCRIPTION_LENGTH, TAG_LENGTH


class Tag(Identified, Timestamped, Base):
    """A normalised word. Items refer to it by name, so that the database's own cascade carries a new name to them."""

    __tablename__ = "tags"
    __table_args__ = (CheckConstraint("name <> ''", name="name_not_empty"), NEVER_REUSED)

    name: Mapped[str] = mapped_column(String(TAG_LENGTH), unique=True)
    description: Mapped[str | None] = mapped_column(String(DESCRIPTION_LENGTH))
