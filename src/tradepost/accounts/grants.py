"""The port through which a reset revokes what higher domains granted under an account: they supply it.

It runs in the transaction of the reset. A revocation that followed later, by a message, would leave a window in which a
stranger's webhook still receives what the true owner of the address does.
"""

from datetime import datetime
from typing import Protocol

from tradepost.core.database.sessions import WriteSession


class AccountGrants(Protocol):
    """Access that a person granted to programs: webhooks. Runs in the caller's session and commits nothing."""

    async def revoke_all(self, db: WriteSession, *, user_id: int, now: datetime) -> int:
        """Revoke every grant of a person, whose row and ended sessions are locked; return the number of grants."""
        ...
