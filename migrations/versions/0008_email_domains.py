"""Domains of e-mail addresses as A-labels: the one form in which they are compared from now on."""

import logging
from collections.abc import Sequence

import idna
import sqlalchemy as sa
from alembic import op

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

USERS = sa.table("users", sa.column("id", sa.BigInteger()), sa.column("email", sa.String()))
TOKENS = sa.table("account_tokens", sa.column("user_id", sa.BigInteger()), sa.column("email", sa.String()))


def upgrade() -> None:
    beyond_ascii = (
        "octet_length(email) > char_length(email)"
        if op.get_bind().dialect.name == "postgresql"
        else "length(CAST(email AS BLOB)) > length(email)"
    )
    for user_id, email in _users(sa.text(beyond_ascii)):
        local, _, domain = email.rpartition("@")
        try:
            ascii_domain = (
                idna.encode(domain, uts46=True, std3_rules=True, transitional=False).decode().lower()
            )
        except (idna.IDNAError, UnicodeError):
            continue
        _rename(user_id, email, f"{local}@{ascii_domain}")


def downgrade() -> None:
    for user_id, email in _users(USERS.c.email.contains("@xn--") | USERS.c.email.contains(".xn--")):
        local, _, domain = email.rpartition("@")
        _rename(user_id, email, f"{local}@{idna.decode(domain)}")


def _users(which: sa.ColumnElement[bool] | sa.TextClause) -> Sequence[sa.Row[tuple[int, str]]]:
    found = sa.select(USERS.c.id, USERS.c.email).where(which).order_by(USERS.c.id)
    return op.get_bind().execute(found).all()


def _rename(user_id: int, old: str, new: str) -> None:
    """Write an address in its other form, unless an account has that one already: two accounts are not one."""
    if old == new:
        return
    bind = op.get_bind()
    taken = sa.select(USERS.c.id).where(USERS.c.email == new).exists()
    changed = bind.execute(sa.update(USERS).where(USERS.c.id == user_id, ~taken).values(email=new))
    if changed.rowcount:
        bind.execute(
            sa.update(TOKENS).where(TOKENS.c.user_id == user_id, TOKENS.c.email == old).values(email=new)
        )
    else:
        logging.getLogger("alembic.runtime.migration").warning(
            "user %d keeps the old form of an address that another account has in its new one", user_id
        )
