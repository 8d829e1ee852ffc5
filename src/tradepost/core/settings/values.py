"""The types of settings: how each value is written, and what is refused.

A message says what is wrong and never repeats the value, which may be secret.
"""

import json
import re
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

import phonenumbers
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ByteSize,
    EmailStr,
    Field,
    Secret,
    SecretStr,
    StringConstraints,
)

DAY = 86_400.0

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": DAY}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?", re.ASCII)
_RATE = re.compile(r"(\d{1,9})\s*/(.+)", re.ASCII)
_LONGEST_PERIOD = 31 * DAY


def _seconds(text: str) -> float:
    found = _DURATION.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError("is not a duration; write seconds, such as 5, 2.5, 250 ms, 5 s, 10 m or 1 h")
    return float(found[1]) * _UNITS[found[2] or "s"]


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``limit`` requests in any ``seconds``; written ``100/60s``, ``10/1m`` or ``20/1h``."""

    limit: int
    seconds: float

    def __post_init__(self) -> None:
        if not (self.limit >= 1 and 0 < self.seconds <= _LONGEST_PERIOD):
            raise ValueError("needs a number of requests and a period above zero, the period at most 31 days")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``limit/period``; raises ``ValueError``."""
        found = _RATE.fullmatch(text.strip())
        if found is None:
            raise ValueError("is not a rate; write requests/period, such as 100/60s, 10/1m or 20/1h")
        return cls(int(found[1]), _seconds(found[2]))

    def __str__(self) -> str:
        return f"{self.limit}/{self.seconds:g}s"


def _read_seconds(value: object) -> object:
    return _seconds(value) if isinstance(value, str) else value


def _read_rate(value: object) -> object:
    return Rate.parse(value) if isinstance(value, str) else value


def _read_list(value: object) -> object:
    """Read ``a, b`` or ``["a", "b"]``."""
    if not isinstance(value, str):
        return value
    if not value.lstrip().startswith("["):
        return [part for part in map(str.strip, value.split(",")) if part]
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError('is not a JSON list, such as ["a", "b"]; commas do without brackets') from None


def _lower(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.strip().upper() if isinstance(value, str) else value


def _shaped(pattern: str, otherwise: str) -> AfterValidator:
    """Accept texts that ``pattern`` describes as a whole; ``otherwise`` says how one should look."""
    shape = re.compile(pattern)

    def check(text: str) -> str:
        if not shape.fullmatch(text):
            raise ValueError(otherwise)
        return text

    return AfterValidator(check)


def _as_browsers_send_it(origin: str) -> str:
    """Drop a final slash, and the port that the scheme implies."""
    origin = origin.removesuffix("/")
    for scheme, implied in (("http://", ":80"), ("https://", ":443")):
        if origin.startswith(scheme):
            return origin.removesuffix(implied)
    return origin


def _url(*schemes: str) -> AfterValidator:
    def check(text: str) -> str:
        try:
            parts = urlsplit(text)
            place = parts.path if parts.scheme == "unix" else parts.hostname
            sound = parts.scheme in schemes and place and parts.port != 0
        except ValueError:  # an unreadable port or address
            sound = False
        if not sound:
            raise ValueError(f"is not a URL that begins with {' or '.join(f'{name}://' for name in schemes)}")
        return text

    return AfterValidator(check)


def _network(text: str) -> str:
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        raise ValueError(
            "has an entry that is neither an address nor a network, such as 10.0.0.0/8"
        ) from None


def _bare(value: object) -> object:
    if isinstance(value, str) and "<" in value:
        # The type would take the address out of it and drop the name without a word.
        raise ValueError(
            "is not an address alone, such as shop@example.com; names have settings of their own"
        )
    return value


def _known_region(text: str) -> str:
    if text not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError("is not a region with phone numbers; write two letters (ISO 3166), such as US")
    return text


_HOST = r"([a-z0-9_.-]*[a-z0-9_]|\[[0-9a-f:.]+\])"
_Lowered = Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True)]

LOWER = BeforeValidator(_lower)
UPPER = BeforeValidator(_upper)
SECONDS = BeforeValidator(_read_seconds)

Line = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$"),
]
HostName = Annotated[
    Line,
    _shaped(
        r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*",
        "is not a host name alone; a port has a setting of its own",
    ),
]
BareEmail = Annotated[EmailStr, BeforeValidator(_bare)]
Directory = Annotated[Path, AfterValidator(Path.expanduser)]
Seconds = Annotated[float, SECONDS, Field(gt=0, le=DAY)]
Bytes = Annotated[ByteSize, Field(ge=1, le=2**50)]
RateText = Annotated[Rate, BeforeValidator(_read_rate)]
Origin = Annotated[
    _Lowered,
    AfterValidator(_as_browsers_send_it),
    _shaped(
        rf"\*|[a-z][a-z0-9+.-]*://{_HOST}(:\d{{1,5}})?",
        "has an entry that is not an origin; write scheme://host or scheme://host:port, without patterns",
    ),
]
Origins = Annotated[list[Origin], BeforeValidator(_read_list)]
Host = Annotated[
    _Lowered,
    _shaped(
        rf"\*|(\*\.)?{_HOST}",
        "has an entry that is not a host name; write names without scheme and port, *.name or *",
    ),
]
Hosts = Annotated[list[Host], Field(min_length=1), BeforeValidator(_read_list)]
Network = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_network)]
Networks = Annotated[list[Network], BeforeValidator(_read_list)]
WebUrl = Annotated[str, _url("http", "https")]
PublicUrl = Annotated[
    str,
    StringConstraints(strip_whitespace=True),
    _url("http", "https"),
    _shaped(
        r"https?://[A-Za-z0-9._:\[\]-]+(/[A-Za-z0-9._~-]+)*/?",
        "is not a plain URL, such as https://market.example.com",
    ),
    AfterValidator(lambda url: url.removesuffix("/")),
]
SecretTexts = Annotated[list[SecretStr], BeforeValidator(_read_list)]
SecretWebUrl = Secret[WebUrl]
RedisUrl = Secret[Annotated[str, _url("redis", "rediss", "unix")]]
UrlPath = Annotated[
    str,
    _shaped(
        r"(/[A-Za-z0-9._~-]+)+", "is not a path; it begins with a slash and ends without one, such as /api/v1"
    ),
]
Region = Annotated[str, AfterValidator(_known_region), UPPER]
