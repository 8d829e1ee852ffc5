"""What proxies report of a request: ``X-Forwarded-*``, and ``Forwarded`` (RFC 7239) where none of those is sent.

Each proxy adds what it saw at the end of a list, so a list is read from its end: as far as its entries were added by trusted
proxies they are true, and what stands before was written by the client. Nothing here raises: what cannot be read is not
believed, and counts as not sent.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

IpAddress = IPv4Address | IPv6Address
RawHeaders = Iterable[tuple[bytes, bytes]]

_FOR: Final = b"x-forwarded-for"
_PROTO: Final = b"x-forwarded-proto"
_HOST: Final = b"x-forwarded-host"
_PREFIX: Final = b"x-forwarded-prefix"
_FORWARDED: Final = b"forwarded"
_NAMES: Final = frozenset({_FOR, _PROTO, _HOST, _PREFIX, _FORWARDED})

_LONGEST: Final = 255
"""Characters of the longest entry that is looked at; a host name has no more."""
_HIGHEST_PORT: Final = 65_535
_PORT: Final = re.compile(r":(?:(\d{1,5})|_[A-Za-z0-9._-]+)", re.ASCII)
_SCHEMES: Final = frozenset({"http", "https"})
_HOST_FORM: Final = re.compile(
    r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?)\.?(?::\d{1,5})?", re.ASCII
)
# A segment `..` would lead out of the prefix, and `//host` to another host.
_PREFIX_FORM: Final = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+)+/?", re.ASCII)
_ESCAPED: Final = re.compile(r"\\(.)")


@dataclass(frozen=True, slots=True)
class Reported:
    """A request as it came in at the outermost trusted proxy; None for what none of them says.

    ``client`` is an address and a port, 0 for an unknown one; ``prefix`` is the path that was taken off, without a slash at
    its end.
    """

    client: tuple[str, int] | None = None
    scheme: str | None = None
    host: str | None = None
    prefix: str | None = None


@dataclass(frozen=True, slots=True)
class _Hop:
    """What one proxy says."""

    client: str | None = None
    scheme: str | None = None
    host: str | None = None


def reported(headers: RawHeaders, *, trusts: Callable[[IpAddress], bool]) -> Reported:
    """Return what the proxies in front say of a request whose sender is one of them."""
    sent: dict[bytes, list[str]] = {}
    for name, value in headers:
        if name in _NAMES:
            sent.setdefault(name, []).extend(_entries(value))
    if not sent:
        return Reported()
    # A proxy that writes one kind passes the other on as a client sent it: they are never mixed.
    hops = (
        _from_x(sent)
        if sent.keys() & {_FOR, _PROTO, _HOST}
        else [_hop(text) for text in sent.get(_FORWARDED, ())]
    )
    client, depth = _client(hops, trusts)
    # From the outermost trusted proxy inwards: what it does not say, the next may.
    seen = hops[-depth:]
    scheme = next((hop.scheme for hop in seen if hop.scheme), None)
    host = next((hop.host for hop in seen if hop.host), None)
    prefixes = sent.get(_PREFIX, ())
    return Reported(
        client=client,
        scheme=None if scheme is None else _scheme(scheme),
        host=host if host is not None and _fits(_HOST_FORM, host) else None,
        prefix=_prefix(prefixes[-min(depth, len(prefixes))]) if prefixes else None,
    )


def parse_node(text: str) -> tuple[IpAddress, int] | None:
    """Return the address and the port of ``192.0.2.1``, ``192.0.2.1:80``, ``2001:db8::1`` or ``[2001:db8::1]:80``.

    None for anything else: ``unknown``, a hidden name (RFC 7239, section 6.3), the path of a socket. Port 0 stands for none.
    """
    if len(text) > _LONGEST:
        return None
    if text.startswith("["):
        host, closed, port = text[1:].partition("]")
        if not closed:
            return None
    elif text.count(":") == 1:
        host, colon, rest = text.partition(":")
        port = colon + rest
    else:
        host, port = text, ""
    found = _PORT.fullmatch(port) if port else None
    number = int(found[1] or 0) if found else 0
    address = parse_address(host)
    if address is None or (port and not found) or number > _HIGHEST_PORT:
        return None
    return address, number


def parse_address(text: str) -> IpAddress | None:
    """Return an address: without the zone of an IPv6 one, and an IPv4 address that is written as an IPv6 one as itself."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _entries(value: bytes) -> list[str]:
    """Split a list at its commas, quoted ones too.

    No address and no host holds one, and a quote that a client leaves open must not swallow what a proxy adds behind it.
    """
    return [entry for part in value.decode("latin-1").split(",") if (entry := part.strip(" \t"))]


def _from_x(sent: dict[bytes, list[str]]) -> Sequence[_Hop]:
    """Return what ``X-Forwarded-*`` says, one hop for each entry: the last entries of the lists belong together."""
    clients, schemes, hosts = (sent.get(name, []) for name in (_FOR, _PROTO, _HOST))
    number = max(len(clients), 1)
    return [
        _Hop(_at(clients, place), _nearest(schemes, place), _nearest(hosts, place))
        for place in range(number, 0, -1)
    ]


def _at(entries: Sequence[str], place: int) -> str | None:
    """Return the entry at this place from the end."""
    return entries[-place] if place <= len(entries) else None


def _nearest(entries: Sequence[str], place: int) -> str | None:
    """Return the entry at this place from the end, or the first of a shorter list: not every proxy adds one."""
    return entries[-min(place, len(entries))] if entries else None


def _hop(element: str) -> _Hop:
    """Return what an element of ``Forwarded`` says: nothing when it says a thing twice, or cannot be read."""
    said: dict[str, str] = {}
    for pair in element.split(";"):
        name, equals, value = (part.strip(" \t") for part in pair.partition("="))
        name = name.lower()
        if not pair.strip(" \t"):
            continue
        if not equals or name in said:
            return _Hop()
        if value.startswith('"'):
            if len(value) < 2 or not value.endswith('"'):  # noqa: PLR2004 - two quotes
                return _Hop()
            value = _ESCAPED.sub(r"\1", value[1:-1])
        said[name] = value
    return _Hop(said.get("for"), said.get("proto"), said.get("host"))


def _client(hops: Sequence[_Hop], trusts: Callable[[IpAddress], bool]) -> tuple[tuple[str, int] | None, int]:
    """Return the nearest address that is not a trusted proxy's, and how many hops from the end it was reported.

    What cannot be read ends the search: the client is then the last one known, because that one sent the rest.
    """
    client, depth = None, 0
    for hop in reversed(hops):
        node = None if hop.client is None else parse_node(hop.client)
        if node is None:
            break
        client, depth = (str(node[0]), node[1]), depth + 1
        if not trusts(node[0]):
            break
    return client, max(depth, 1)


def _scheme(text: str) -> str | None:
    scheme = text.lower()
    return scheme if scheme in _SCHEMES else None


def _prefix(text: str) -> str | None:
    return text.rstrip("/") if _fits(_PREFIX_FORM, text) else None


def _fits(form: re.Pattern[str], text: str) -> bool:
    return len(text) <= _LONGEST and form.fullmatch(text) is not None
