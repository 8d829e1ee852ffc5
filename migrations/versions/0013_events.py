"""Events: gatherings with seats, their participants, and reminders that are still to be sent."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.DateTime(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "events",
        sa.Column("title", sa.String(length=100), nullable=False),
        sa.Column("description", sa.String(length=500), nullable=False),
        sa.Column("start_date", MOMENT, nullable=False),
        sa.Column("end_date", MOMENT, nullable=False),
        sa.Column("duration", sa.BigInteger(), nullable=False),
        sa.Column("time_zone", sa.String(length=64), nullable=False),
        sa.Column("max_participants", sa.Integer(), nullable=False),
        sa.Column("seats", sa.Integer(), nullable=False),
        sa.Column("participants_count", sa.Integer(), nullable=False),
        sa.Column("waiting_count", sa.Integer(), nullable=False),
        sa.Column("last_number", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("organiser_id", BIG_ID, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.CheckConstraint("status IN ('planned', 'cancelled')", name=op.f("ck_events_status")),
        sa.CheckConstraint("end_date > start_date", name=op.f("ck_events_ends_after_start")),
        sa.CheckConstraint("participants_count <= seats", name=op.f("ck_events_seats_not_exceeded")),
        sa.CheckConstraint(
            "participants_count >= 0 AND waiting_count >= 0", name=op.f("ck_events_counts_not_negative")
        ),
        sa.CheckConstraint("seats >= max_participants", name=op.f("ck_events_seats_offered")),
        sa.CheckConstraint(
            "waiting_count = 0 OR participants_count >= max_participants",
            name=op.f("ck_events_nobody_waits_for_a_free_seat"),
        ),
        sa.ForeignKeyConstraint(
            ["organiser_id"], ["users.id"], name=op.f("fk_events_organiser_id_users"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        postgresql_with={"fillfactor": 85},
        sqlite_autoincrement=True,
    )
    op.create_index("ix_events_created_at_id", "events", ["created_at", "id"], unique=False)
    op.create_index("ix_events_duration_end_date", "events", ["duration", "end_date"], unique=False)
    op.create_index(
        "ix_events_organiser_id_start_date_id", "events", ["organiser_id", "start_date", "id"], unique=False
    )
    op.create_index("ix_events_start_date_id", "events", ["start_date", "id"], unique=False)
    op.create_table(
        "event_participants",
        sa.Column("event_id", BIG_ID, nullable=False),
        sa.Column("user_id", BIG_ID, nullable=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("joined_at", MOMENT, nullable=False),
        sa.Column("seated_at", MOMENT, nullable=True),
        sa.Column("id", BIG_ID, nullable=False),
        sa.CheckConstraint(
            "(status = 'joined') = (seated_at IS NOT NULL)",
            name=op.f("ck_event_participants_seated_when_joined"),
        ),
        sa.CheckConstraint("status IN ('joined', 'waiting')", name=op.f("ck_event_participants_status")),
        sa.ForeignKeyConstraint(
            ["event_id"],
            ["events.id"],
            name=op.f("fk_event_participants_event_id_events"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_event_participants_user_id_users"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event_participants")),
        sa.UniqueConstraint("event_id", "number", name=op.f("uq_event_participants_event_id_number")),
        sa.UniqueConstraint("event_id", "user_id", name=op.f("uq_event_participants_event_id_user_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_event_participants_user_id_event_id", "event_participants", ["user_id", "event_id"], unique=False
    )
    op.create_index(
        "ix_event_participants_waiting",
        "event_participants",
        ["event_id", "number"],
        unique=False,
        postgresql_where=sa.text("status = 'waiting'"),
        sqlite_where=sa.text("status = 'waiting'"),
    )
    op.create_table(
        "event_reminders",
        sa.Column("event_id", BIG_ID, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("due_at", MOMENT, nullable=False),
        sa.CheckConstraint("kind IN ('24h', '1h')", name=op.f("ck_event_reminders_kind")),
        sa.ForeignKeyConstraint(
            ["event_id"], ["events.id"], name=op.f("fk_event_reminders_event_id_events"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("event_id", "kind", name=op.f("pk_event_reminders")),
    )
    op.create_index(op.f("ix_event_reminders_due_at"), "event_reminders", ["due_at"], unique=False)


def downgrade() -> None:
    op.drop_table("event_reminders")
    op.drop_table("event_participants")
    op.drop_table("events")
