"""The audit trail, which triggers keep from being changed, and from being deleted for a year."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0028"
down_revision: str | None = "0027"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True).with_variant(sa.DateTime(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
FOLDED = sa.text("fold IS NOT NULL")

POSTGRESQL = (
    """
CREATE FUNCTION audit_lines_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.at < now() - interval '1 year' THEN
        RETURN OLD;
    END IF;
    RAISE EXCEPTION 'audit_lines: % is refused, lines are only added, and kept for a year', TG_OP;
END $$
""",
    """
CREATE TRIGGER audit_lines_kept BEFORE UPDATE OR DELETE ON audit_lines
FOR EACH ROW EXECUTE FUNCTION audit_lines_kept()
""",
    """
CREATE TRIGGER audit_lines_not_truncated BEFORE TRUNCATE ON audit_lines
FOR EACH STATEMENT EXECUTE FUNCTION audit_lines_kept()
""",
)
SQLITE = (
    """
CREATE TRIGGER audit_lines_unchanged BEFORE UPDATE ON audit_lines
BEGIN
    SELECT RAISE(ABORT, 'audit_lines: UPDATE is refused, lines are only added, and kept for a year');
END
""",
    """
CREATE TRIGGER audit_lines_kept BEFORE DELETE ON audit_lines
WHEN OLD.at >= strftime('%Y-%m-%d %H:%M:%f', 'now', '-1 year')
BEGIN
    SELECT RAISE(ABORT, 'audit_lines: DELETE is refused, lines are only added, and kept for a year');
END
""",
)


def upgrade() -> None:
    op.create_table(
        "audit_lines",
        sa.Column("id", BIG_ID, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("actor_id", BIG_ID),
        sa.Column("actor_kind", sa.String(16), nullable=False),
        sa.Column("action", sa.String(64), nullable=False),
        sa.Column("target_type", sa.String(32)),
        sa.Column("target_id", BIG_ID),
        sa.Column("subject_id", BIG_ID),
        sa.Column("ip", sa.String(45)),
        sa.Column("user_agent", sa.String(200)),
        sa.Column("request_id", sa.String(128)),
        sa.Column("details", JSON, nullable=False),
        sa.Column("fold", sa.String(64)),
        sa.CheckConstraint(
            "actor_kind IN ('person', 'key', 'system')", name=op.f("ck_audit_lines_actor_kind")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_lines")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_lines_at_id", "audit_lines", ["at", "id"])
    op.create_index("ix_audit_lines_actor_id_at_id", "audit_lines", ["actor_id", "at", "id"])
    op.create_index("ix_audit_lines_subject_id_at_id", "audit_lines", ["subject_id", "at", "id"])
    op.create_index("ix_audit_lines_target", "audit_lines", ["target_type", "target_id", "at", "id"])
    op.create_index("ix_audit_lines_action_at_id", "audit_lines", ["action", "at", "id"])
    op.create_index(
        "uq_audit_lines_fold",
        "audit_lines",
        ["fold"],
        unique=True,
        postgresql_where=FOLDED,
        sqlite_where=FOLDED,
    )
    for statement in SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRESQL:
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("audit_lines")
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION audit_lines_kept()")
