"""The table of preferences."""

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from tradepost.core.database.models import Base, BigId


class Preference(Base):
    """A person's choice about one kind of notification; None for a channel means the kind's default."""

    __tablename__ = "notification_preferences"

    user_id: Mapped[int] = mapped_column(
        BigId, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    email: Mapped[bool | None]
    inbox: Mapped[bool | None]
    updated_at: Mapped[datetime]
