"""The table of the audit trail. Triggers of the database keep its lines from being changed, and from being deleted for a year."""

from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from tradepost.core.database.models import NEVER_REUSED, Base, BigId, Identified, PortableJson, choice
from tradepost.core.principal import IP_ADDRESS_LENGTH, REQUEST_ID_LENGTH, USER_AGENT_LENGTH

ACTION_LENGTH: Final = 64
TARGET_TYPE_LENGTH: Final = 32
_FOLDED: Final = text("fold IS NOT NULL")


class ActorKind(StrEnum):
    """By what somebody acted: a person by a log-in, a program by an API key, or the service by itself."""

    PERSON = "person"
    KEY = "key"
    SYSTEM = "system"


class AuditLine(Identified, Base):
    """Who did what to whom, when, and from where. No foreign key: a line outlives everybody whom it names.

    ``subject_id`` is the person whose account or thing the line is about. ``fold`` is unique: of failures that are repeated
    within a minute only the first has a line.
    """

    __tablename__ = "audit_lines"
    __table_args__ = (
        Index("ix_audit_lines_at_id", "at", "id"),
        Index("ix_audit_lines_actor_id_at_id", "actor_id", "at", "id"),
        Index("ix_audit_lines_subject_id_at_id", "subject_id", "at", "id"),
        Index("ix_audit_lines_target", "target_type", "target_id", "at", "id"),
        Index("ix_audit_lines_action_at_id", "action", "at", "id"),
        Index("uq_audit_lines_fold", "fold", unique=True, postgresql_where=_FOLDED, sqlite_where=_FOLDED),
        NEVER_REUSED,
    )

    at: Mapped[datetime]
    actor_id: Mapped[int | None] = mapped_column(BigId)
    actor_kind: Mapped[ActorKind] = mapped_column(choice(ActorKind, "actor_kind"))
    action: Mapped[str] = mapped_column(String(ACTION_LENGTH))
    target_type: Mapped[str | None] = mapped_column(String(TARGET_TYPE_LENGTH))
    target_id: Mapped[int | None] = mapped_column(BigId)
    subject_id: Mapped[int | None] = mapped_column(BigId)
    ip: Mapped[str | None] = mapped_column(String(IP_ADDRESS_LENGTH))
    user_agent: Mapped[str | None] = mapped_column(String(USER_AGENT_LENGTH))
    request_id: Mapped[str | None] = mapped_column(String(REQUEST_ID_LENGTH))
    details: Mapped[dict[str, Any]] = mapped_column(PortableJson)
    fold: Mapped[str | None] = mapped_column(String(64))
