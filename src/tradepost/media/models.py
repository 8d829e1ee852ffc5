"""Tables of files, of their variants, and of what each person's files take up."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from tradepost.core.database.models import NEVER_REUSED, Base, BigId, Identified, choice
from tradepost.core.wire.file_names import NAME_LIMIT
from tradepost.media.schemas import Category, FileState


class StoredFile(Identified, Base):
    """A file whose bytes are in the storage under ``name``.

    The row is there before the first byte and goes after the last: no byte is ever without one. ``owner_id`` is no foreign
    key, because the bytes of a deleted person's files have still to be removed. ``subject_id`` is what the file belongs to,
    such as an item; media does not know what it is.
    """

    __tablename__ = "files"
    __table_args__ = (
        CheckConstraint("state <> 'stored' OR sha256 IS NOT NULL", name="stored_is_whole"),
        Index("ix_files_owner_id", "owner_id"),
        Index(
            "ix_files_subject_id",
            "subject_id",
            postgresql_where=text("subject_id IS NOT NULL"),
            sqlite_where=text("subject_id IS NOT NULL"),
        ),
        Index(
            "ix_files_unsettled",
            "changed_at",
            postgresql_where=text("state <> 'stored'"),
            sqlite_where=text("state <> 'stored'"),
        ),
        NEVER_REUSED,
    )

    name: Mapped[str] = mapped_column(String(64), unique=True)
    category: Mapped[Category] = mapped_column(choice(Category, "category"))
    original_name: Mapped[str] = mapped_column(String(NAME_LIMIT))
    content_type: Mapped[str] = mapped_column(String(100))
    size: Mapped[int] = mapped_column(BigInteger)
    """Bytes that count: 0 until the file is stored."""
    sha256: Mapped[str | None] = mapped_column(String(64))
    state: Mapped[FileState] = mapped_column(choice(FileState, "state"))
    owner_id: Mapped[int] = mapped_column(BigId)
    subject_id: Mapped[int | None] = mapped_column(BigId)
    created_at: Mapped[datetime]
    changed_at: Mapped[datetime]
    """When the file came into its state."""


class FileUsage(Base):
    """Usage: what a person's files take up. Changed only together with the files, so it is always their sum.

    Files on their way in count as files, and their bytes once they are stored.
    """

    __tablename__ = "file_usage"
    __table_args__ = (CheckConstraint("files >= 0 AND bytes >= 0", name="not_negative"),)

    owner_id: Mapped[int] = mapped_column(BigId, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    files: Mapped[int]
    bytes: Mapped[int] = mapped_column(BigInteger)


class FileVariant(Identified, Base):
    """A variant of a picture, whose bytes are in the storage under ``key``; on its way until ``sha256`` is known.

    ``recipe`` says which one it is (``Recipe.name``).
    """

    __tablename__ = "file_variants"
    __table_args__ = (UniqueConstraint("file_id", "recipe"), NEVER_REUSED)

    file_id: Mapped[int] = mapped_column(BigId, ForeignKey("files.id", ondelete="CASCADE"))
    recipe: Mapped[str] = mapped_column(String(32))
    key: Mapped[str] = mapped_column(String(64), unique=True)
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str | None] = mapped_column(String(64))
    begun_at: Mapped[datetime]
