"""The layer that believes proxies: who asked, by which scheme, for which host, and below which prefix.

Behind a proxy every request comes from the proxy's address: without this layer all people share its limits, and links lead to
the inside. Anybody may send the headers of a proxy, so only those of the configured addresses count.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from tradepost.web.middleware.forwarded import IpAddress, Reported, parse_address, reported
from tradepost.web.rate_limits import address_of

_PEERS_KEPT: Final = 4_096
_MAPPED_BITS: Final = 96
"""Bits in front of an IPv4 address that is written as an IPv6 one."""


class TrustedProxies:
    """Has the ASGI scope of a request that a trusted proxy sent say what the proxy reports; any other's stays as it is.

    A request through a unix socket has no address, and nothing that it reports is believed.
    """

    def __init__(self, app: ASGIApp, networks: Iterable[str]) -> None:
        self.app = app
        self._networks = [_network(text) for text in networks]
        self._is_proxy = lru_cache(maxsize=_PEERS_KEPT)(self._judge)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            client = scope.get("client")
            if client and self._is_proxy(str(client[0])):
                apply(scope, reported(scope["headers"], trusts=self._trusts))
        await self.app(scope, receive, send)

    def address(self, scope: Scope) -> str:
        """Return the key of who asked, as this layer will tell it, without a change to the scope."""
        client = scope.get("client")
        if client and self._is_proxy(str(client[0])):
            found = reported(scope["headers"], trusts=self._trusts).client
            client = client if found is None else found
        return address_of({"client": client})

    def _judge(self, peer: str) -> bool:
        address = parse_address(peer)
        return address is not None and self._trusts(address)

    def _trusts(self, address: IpAddress) -> bool:
        return any(address in network for network in self._networks)


def apply(scope: Scope, found: Reported) -> None:
    """Write what was reported into the scope, in place: the server keeps an eye on it too."""
    if found.client is not None:
        scope["client"] = found.client
    if found.scheme is not None:
        scope["scheme"] = found.scheme
    if found.host is not None:
        host = found.host.encode("ascii")
        scope["headers"] = [(b"host", host), *(header for header in scope["headers"] if header[0] != b"host")]
    if found.prefix:
        # In ASGI the path is the whole one, and `root_path` its beginning.
        scope["root_path"] = found.prefix + scope.get("root_path", "")
        scope["path"] = found.prefix + scope["path"]
        if scope.get("raw_path"):
            scope["raw_path"] = found.prefix.encode("ascii") + scope["raw_path"]


def _network(text: str) -> IPv4Network | IPv6Network:
    network = ip_network(text)
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is not None and network.prefixlen >= _MAPPED_BITS:
        return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))
    return network
