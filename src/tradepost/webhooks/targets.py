"""The rules for target URLs: a webhook may lead to the public internet and nowhere else.

A webhook makes the server send requests from within its own network. Its target is therefore checked twice: as written
when the webhook is created, and as resolved at every new connection (``network``).
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

import httpx2

Address = IPv4Address | IPv6Address

_NOT_PUBLIC_4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network
            "10.0.0.0/8",
            "100.64.0.0/10",  # carriers' own, where some clouds keep their metadata
            "127.0.0.0/8",
            "168.63.129.16/32",  # a cloud's metadata in the middle of the public space
            "169.254.0.0/16",  # link-local, where most clouds keep their metadata
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
"""IANA's registry of special-purpose addresses, and metadata services of clouds. Python's own lists differ by version."""
_UNICAST_6: Final = IPv6Network("2000::/3")
_NOT_PUBLIC_6: Final = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # among them Teredo, which wraps addresses of version 4
            "2001:db8::/32",
            "2002::/16",  # 6to4, which does so too
            "3fff::/20",
        ),
    )
)
_WRAPPING_6: Final = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))
"""Version 4 in version 6: mapped, and by NAT64. The inner address decides."""

_HOST_NAME: Final = re.compile(
    r"(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
_NUMERIC: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A last label that C libraries read as an address: `2130706433`, `0x7f.1` and `127.1` are 127.0.0.1."""
_LOCAL_NAME: Final = re.compile(r"(?:.+\.)?(?:localhost|localdomain)")
_LOWEST_FREE_PORT: Final = 1024


def is_public(address: Address) -> bool:
    """Tell whether an address, or the version 4 address inside it, belongs to the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    if any(address in network for network in _WRAPPING_6):
        return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    return address in _UNICAST_6 and not any(address in network for network in _NOT_PUBLIC_6)


class UnacceptableTarget(Exception):
    """A target that no webhook may lead to; its text says why in one sentence."""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL in the parts that a request needs. ``host`` is lower-case ASCII without brackets or a dot at its end."""

    scheme: str
    host: str
    port: int
    path: bytes
    """Path and query."""

    @property
    def origin(self) -> str:
        """Host and port: the receiver of the concurrency limit."""
        return f"{self.host}:{self.port}"

    @property
    def host_header(self) -> str:
        """The value of ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class TargetRules:
    """Exceptions that the settings allow: ``plain`` for ``http``, ``private`` for addresses that are not public."""

    plain: bool
    private: bool

    def read(self, url: str) -> Target:
        """Return the target that a URL names, or raise ``UnacceptableTarget``."""
        if "\\" in url:
            # Browsers take it for a slash, libraries do not: the host would be ambiguous.
            raise UnacceptableTarget("A URL holds no backslash")
        try:
            parsed = httpx2.URL(url)
        except httpx2.InvalidURL:
            raise UnacceptableTarget("It is not a URL") from None
        schemes = ("http", "https") if self.plain else ("https",)
        if parsed.scheme not in schemes:
            raise UnacceptableTarget(f"The URL must begin with {' or '.join(f'{one}://' for one in schemes)}")
        if parsed.userinfo:
            raise UnacceptableTarget("The URL may not hold a user name or a password")
        if parsed.fragment:
            raise UnacceptableTarget("The URL may not have a fragment")
        port = _DEFAULT_PORTS[parsed.scheme] if parsed.port is None else parsed.port
        if port not in _DEFAULT_PORTS.values() and not _LOWEST_FREE_PORT <= port < 2**16:
            raise UnacceptableTarget("The port must be 80, 443, or 1024 to 65535")
        return Target(parsed.scheme, self._host(parsed.raw_host.decode("ascii")), port, parsed.raw_path)

    def _host(self, host: str) -> str:
        host = host.lower().removesuffix(".")
        try:
            address = None if "%" in host else ip_address(host)
        except ValueError:
            address = None
        if address is not None:
            self.check(address)
            return str(address)
        if not _HOST_NAME.fullmatch(host) or _NUMERIC.fullmatch(host.rpartition(".")[2]):
            raise UnacceptableTarget("The URL needs a host: a name, or an address in its usual form")
        if not self.private and _LOCAL_NAME.fullmatch(host):
            raise UnacceptableTarget("The host is not public")
        return host

    def check(self, address: Address) -> None:
        """Raise ``UnacceptableTarget`` unless requests may be sent to this address."""
        if not self.private and not is_public(address):
            raise UnacceptableTarget("The host is not public")
