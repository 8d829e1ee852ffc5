"""The hand-written limit without the reset of a connection's state between two requests: a stricter yardstick.

asyncpg's pool sends `RESET ALL` and its like whenever a connection comes back, a statement and a round trip more for
each request. Nothing here changes a connection's state, so it can be left out.
"""

from __future__ import annotations

from typing import Any, ClassVar

from tests.load.peers.limit import Limit
from tests.load.peers.serving import serve


async def leave_as_it_is(_connection: Any) -> None:
    """Reset nothing."""


class LimitWithoutReset(Limit):
    """The same answers from connections that are not reset."""

    pool_options: ClassVar[dict[str, Any]] = {"reset": leave_as_it_is}


if __name__ == "__main__":
    serve(LimitWithoutReset)
