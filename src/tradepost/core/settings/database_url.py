"""The URL of the database: its everyday forms, translated into what SQLAlchemy and the async drivers take."""

import re
from typing import Any
from urllib.parse import quote, urlencode

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

_SESSIONS = ("any", "primary", "read-write", "standby", "read-only", "prefer-standby")
_AUTHORITY = re.compile(
    r"(?P<scheme>postgres[^:/?#]*://)(?P<user>[^/?#]*@)?(?P<hosts>[^/?#@]*,[^/?#@]*)(?P<rest>[/?#].*|)",
    re.IGNORECASE | re.DOTALL,
)
"""The address of several hosts, by commas, as libpq takes it."""
_NAME_AND_PORT = re.compile(r"(?:\[(?P<address>[^\] ]+)\]|(?P<name>[^:\[\] ]+))(?::(?P<port>\d*))?")
DEFAULT_PORT = "5432"
_TLS_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# Sockets and several hosts: SQLAlchemy reads these itself.
_ADDRESSES = {"host", "port"}
# Options of libpq that asyncpg understands, most of them only inside a DSN.
_PASSED = {
    "application_name", "options", "passfile", "sslcert", "sslcrl", "sslkey", "sslmode", "sslnegotiation",
    "sslrootcert", "ssl_max_protocol_version", "ssl_min_protocol_version", "target_session_attrs",
}  # fmt: skip
# What hosts of databases put into their addresses and asyncpg has nothing like; it connects without.
_LEFT_OUT = {
    "channel_binding", "connect_timeout", "gssencmode",
    "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval",
}  # fmt: skip


def async_url(text: str, *, wanted: str = "primary") -> URL:
    """Return the URL for SQLAlchemy's async engine, or raise a ``ValueError`` without a password in it.

    ``wanted`` is which of several hosts connections are made to, unless the address says it itself.
    """
    url = _read(text)
    match url.drivername.lower():
        case "sqlite" | "sqlite+aiosqlite":
            return _sqlite(url)
        case "postgresql" | "postgres" | "postgresql+asyncpg" | "postgres+asyncpg":
            return _postgresql(url, wanted)
        case scheme:
            raise ValueError(f"has the scheme {scheme}; use postgresql:// or sqlite:///")


def options_left_out(text: str) -> list[str]:
    """Return the names of the options that mean nothing to the driver."""
    return sorted(_LEFT_OUT & set(_read(text).query))


def _read(text: str) -> URL:
    try:
        return make_url(_with_hosts_apart(text.strip()))
    except (ArgumentError, ValueError):  # their messages may repeat a part of the password
        raise ValueError(
            "cannot be read; write postgresql://user:password@host:5432/name or sqlite:///./x.db, "
            "with special characters in user name and password percent-encoded"
        ) from None


def _with_hosts_apart(text: str) -> str:
    """Return an address with its hosts as options, which is the only form of several that SQLAlchemy reads."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return text
    addresses = [_name_and_port(host) for host in found["hosts"].split(",")]
    names, ports = (quote(",".join(values), safe=",:") for values in zip(*addresses, strict=True))
    hosts = f"host={names}&port={ports}"
    path, _, query = found["rest"].partition("?")
    return f"{found['scheme']}{found['user'] or ''}{path or '/'}?{hosts}{query and '&'}{query}"


def _name_and_port(host: str) -> tuple[str, str]:
    found = _NAME_AND_PORT.fullmatch(host)
    if found is None:
        message = "a host that cannot be read"
        raise ValueError(message)
    return found["address"] or found["name"], found["port"] or DEFAULT_PORT


def _sqlite(url: URL) -> URL:
    if url.host:
        raise ValueError(
            "needs three slashes before a relative path (sqlite:///./x.db) and four for an absolute one"
        )
    if url.query:
        raise ValueError("takes no options for SQLite")
    if not url.database or url.database.startswith((":", "file:")):
        raise ValueError("is an SQLite database in memory, which other connections cannot see; name a file")
    return url.set(drivername="sqlite+aiosqlite")


def _postgresql(url: URL, wanted: str) -> URL:
    if unknown := sorted(set(url.query) - _ADDRESSES - _PASSED - _LEFT_OUT - {"ssl"}):
        raise ValueError(f"has options that are not known: {', '.join(unknown)}")
    # Of an option that is given more than once the last counts, as with libpq.
    options = {name: values[-1] for name, values in url.normalized_query.items() if name in _PASSED | {"ssl"}}
    if "ssl" in options:  # asyncpg's own name for it
        options["sslmode"] = options.pop("ssl")
    if options.get("sslmode", "prefer") not in _TLS_MODES:
        raise ValueError(f"has an unknown sslmode; it is one of {', '.join(_TLS_MODES)}")
    if options.get("target_session_attrs", "any") not in _SESSIONS:
        raise ValueError(f"has unknown target_session_attrs; it is one of {', '.join(_SESSIONS)}")
    if _has_several_hosts(url):
        # Whoever names a standby beside the primary means the one that takes writes.
        options.setdefault("target_session_attrs", wanted)
    query: dict[str, Any] = {name: value for name, value in url.query.items() if name in _ADDRESSES}
    if options:
        query["dsn"] = f"postgresql://?{urlencode(options)}"
    found = url.set(drivername="postgresql+asyncpg", query=query)
    try:
        found.get_dialect()().create_connect_args(found)
    except (ArgumentError, ValueError):
        raise ValueError(
            "names its hosts in a way that is not understood; use //user@one:5432,two:5432/name"
        ) from None
    return found


def _has_several_hosts(url: URL) -> bool:
    hosts = url.normalized_query.get("host", ())
    return len(hosts) > 1 or any("," in host for host in hosts)
