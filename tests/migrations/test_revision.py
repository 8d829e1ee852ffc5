"""``make revision`` writes a migration that runs on both engines as it is."""

import re
from pathlib import Path

import pytest

from tests.checkout import ROOT, Checkout

PARCELS = '''
"""Parcels."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from tradepost.core.database.models import (
    NEVER_REUSED, Base, BigId, Hundredths, Identified, Money, Percent, PortableJson, Timestamped, choice,
)


class ParcelState(StrEnum):
    PACKED = "packed"
    SENT = "sent"


class Parcel(Identified, Timestamped, Base):
    __tablename__ = "parcels"
    __table_args__ = (
        CheckConstraint("weight > 0", name="weight_positive"),
        Index("ix_parcels_unsent", "item_id", postgresql_where=text("sent_at IS NULL"),
              sqlite_where=text("sent_at IS NULL")),
        NEVER_REUSED,
    )

    item_id: Mapped[int] = mapped_column(BigId, ForeignKey("items.id", ondelete="CASCADE"))
    number: Mapped[str] = mapped_column(String(20), unique=True)
    state: Mapped[ParcelState] = mapped_column(choice(ParcelState, "state"))
    price: Mapped[Decimal] = mapped_column(Money)
    share: Mapped[Decimal | None] = mapped_column(Percent)
    weight: Mapped[Decimal] = mapped_column(Hundredths(8))
    route: Mapped[list[Any]] = mapped_column(PortableJson)
    is_fragile: Mapped[bool]
    sent_at: Mapped[datetime | None]
'''
ROW = '''
    "parcels": {
        "item_id": 1, "number": "1", "state": "packed", "price": Decimal(1), "weight": Decimal(1), "route": [],
        "is_fragile": False, **TIMES,
    },
}
"""By table'''
"""What goes into the table of rows, as a test says when it is missing."""
COLUMNS = """
    condition: Mapped[Condition] = mapped_column(choice(Condition, "condition"), default=Condition.USED)
    stock: Mapped[int] = mapped_column(default=1)
    is_new: Mapped[bool] = mapped_column(default=False)
"""
CONDITION = """
class Condition(StrEnum):
    NEW = "new"
    USED = "used"


class Item("""


DESCRIPTION = r"( +description: Mapped.*\n)"


def replace(file: Path, pattern: str, new: str) -> None:
    """Change what a pattern finds in a file, where it finds it once."""
    changed, times = re.subn(pattern, new, file.read_text(encoding="utf-8"))
    assert times == 1, f"{pattern!r} is found {times} times in {file}"
    file.write_text(changed, encoding="utf-8")


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


async def test_what_is_written_runs_as_it_is(checkout: Checkout) -> None:
    (checkout.package / "parcels").mkdir()
    (checkout.package / "parcels" / "__init__.py").touch()
    (checkout.package / "parcels" / "models.py").write_text(PARCELS, encoding="utf-8")
    known = "\nfrom tradepost.parcels.models import Parcel\n\nMODELS = (\n    Parcel,\n"
    replace(checkout.package / "bootstrap.py", r"\nMODELS = \(\n", known)
    replace(checkout.directory / "tests" / "migrations" / "rows.py", '}\n"""By table', ROW)
    first = await checkout.revise("add parcels")
    assert first.startswith('"""Add parcels."""')
    newest = max(int(path.name[:4]) for path in (ROOT / "migrations" / "versions").glob("0*.py"))
    assert f'revision: str = "{newest + 1:04}"' in first
    assert f'down_revision: str | None = "{newest:04}"' in first
    for text in (
        'BIG_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")',
        'MONEY = sa.Numeric(12, 2).with_variant(sa.BigInteger(), "sqlite")',
        'sa.Column("weight", sa.Numeric(8, 2).with_variant(sa.BigInteger(), "sqlite"), nullable=False)',
        "sa.CheckConstraint(\"state IN ('packed', 'sent')\", name=op.f(\"ck_parcels_state\"))",
        'name=op.f("ck_parcels_weight_positive")',
        "sqlite_autoincrement=True",
        'def downgrade() -> None:\n    op.drop_table("parcels")\n',
    ):
        assert text in first, first
    assert "tradepost" not in first

    models = checkout.package / "items" / "models.py"
    replace(models, r"class Item\(", CONDITION.lstrip("\n"))
    replace(models, r"    version: Mapped\[int\]", COLUMNS + "    version: Mapped[int]")
    replace(models, "\nfrom decimal", "\nfrom enum import StrEnum\nfrom decimal")
    second = await checkout.revise("say what items are like")
    assert "server_default=" in second
    # An enum's value more, and a column less.
    roles = checkout.package / "accounts" / "permissions.py"
    replace(roles, '    ADMIN = "admin"\n', '    ADMIN = "admin"\n    GUEST = "guest"\n')
    text = await checkout.revise("guests")
    assert "role IN ('user', 'moderator', 'admin', 'guest')" in text
    assert 'op.batch_alter_table("users", table_kwargs={"sqlite_autoincrement": True})' in text
    parcels = checkout.package / "parcels" / "models.py"
    replace(parcels, r" +share: .*\n", "")
    text = await checkout.revise("parcels need no share")
    assert 'op.batch_alter_table("parcels", table_kwargs={"sqlite_autoincrement": True})' in text
    assert 'batch_op.drop_column("share")' in text
    assert 'sa.Column("share", sa.BIGINT(), nullable=True)' in text
    await checkout.passes(
        *(
            f"tests/migrations/test_migrations.py::{name}"
            for name in (
                "test_the_history_leads_to_the_models",
                "test_down_and_up_again_with_rows",
                "test_every_step_is_taken_with_rows",
                "test_rebuilding_a_parent_keeps_its_children_and_its_next_id",
            )
        )
    )


async def test_what_cannot_be_written_is_said(checkout: Checkout) -> None:
    assert "MODELS" in await checkout.refused("nothing to do")
    assert "Say in a few words" in await checkout.refused('with "quotes"')
    tags = checkout.package / "tags" / "models.py"
    replace(tags, DESCRIPTION, r"\1    colour: Mapped[str] = mapped_column(String(20))\n")
    refused = await checkout.refused("colours")
    assert "tags.colour may not be null" in refused
    assert "default=" in refused
