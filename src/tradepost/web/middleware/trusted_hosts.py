"""The layer that refuses requests for hosts that are not ours: a forged ``Host`` must not end up in links or caches."""

import re
from collections.abc import Iterable
from typing import Final

from starlette._utils import get_route_path
from starlette.types import ASGIApp, Receive, Scope, Send

from tradepost.web.problems.rendering import refusal

PROBES: Final = frozenset({"/livez", "/readyz", "/health", "/metrics"})
"""Paths that orchestrators call by address, whatever the host."""

_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?)\.?(:\d{0,5})?")
_MOST_HOSTS: Final = 1024


class TrustedHosts:
    """Answers only for the hosts of ``allowed``: names, ``*.example.com`` for all below it, ``*`` for any.

    Ports do not count. More than one ``Host``, none, or one that cannot be read is refused like a stranger's.
    """

    def __init__(self, app: ASGIApp, allowed: Iterable[str]) -> None:
        self.app = app
        names = [name.lower() for name in allowed]
        self._any = "*" in names
        self._names = {name for name in names if not name.startswith("*")}
        self._suffixes = tuple(name[1:] for name in names if name.startswith("*."))
        self._known: dict[bytes, bool] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or get_route_path(scope) in PROBES:
            await self.app(scope, receive, send)
            return
        hosts = [value for name, value in scope["headers"] if name == b"host"]
        if len(hosts) == 1 and self._trusts(hosts[0]):
            await self.app(scope, receive, send)
            return
        response = refusal(scope, 400, "Invalid host header")
        await response(scope, receive, send)

    def _trusts(self, host: bytes) -> bool:
        verdict = self._known.get(host)
        if verdict is None:
            verdict = self._judge(host.decode("latin-1").lower())
            if len(self._known) < _MOST_HOSTS:
                self._known[host] = verdict
        return verdict

    def _judge(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1]
        return self._any or name in self._names or name.endswith(self._suffixes)
