"""Tags."""

from sqlalchemy import CheckConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from tradepost.core.database.models import NEVER_REUSED, Base, Identified, Timestamped

TAG_LENGTH = 50


class Tag(Identified, Timestamped, Base):
    """A normalised word. Items refer to it by name, so that a new name reaches them by the database's own cascade."""

    __tablename__ = "tags"
    __table_args__ = (CheckConstraint("name <> ''", name="name_not_empty"), NEVER_REUSED)

    name: Mapped[str] = mapped_column(String(TAG_LENGTH), unique=True)
    description: Mapped[str | None] = mapped_column(String(500))
