"""${message.rstrip(".")}."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
<%
lines = (imports or "").splitlines()
imported = [line for line in lines if line.startswith("from ")]
constants = [line for line in lines if not line.startswith("from ")]


def written(commands):
    kept = [line for line in (commands or "pass").splitlines() if not line.strip().startswith("# ###")]
    return "\n".join(kept).strip()
%>\
${"\n".join(imported)}

revision: str = ${repr(up_revision)}
down_revision: str | None = ${repr(down_revision)}
branch_labels: str | Sequence[str] | None = ${repr(branch_labels)}
depends_on: str | Sequence[str] | None = ${repr(depends_on)}

${"\n".join(constants)}


def upgrade() -> None:
    ${written(upgrades)}


def downgrade() -> None:
    ${written(downgrades)}
