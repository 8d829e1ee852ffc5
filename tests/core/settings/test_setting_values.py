"""How values of settings are written, and what is refused."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tradepost.core.settings.values import (
    Bytes,
    Hosts,
    Line,
    Origins,
    Rate,
    RateText,
    RedisUrl,
    Region,
    Seconds,
    SecretWebUrl,
    UrlPath,
    WebUrl,
)


def read(kind: Any, value: object) -> Any:
    return TypeAdapter(kind).validate_python(value)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5.0),
        ("2.5", 2.5),
        ("5s", 5.0),
        ("250 ms", 0.25),
        ("1 m", 60.0),
        ("1h", 3600.0),
        (" 1 D ", 86_400.0),
        (3, 3.0),
    ],
)
def test_durations(value: object, seconds: float) -> None:
    assert read(Seconds, value) == seconds


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/60s", Rate(100, 60.0)),
        ("10/1m", Rate(10, 60.0)),
        ("20/1h", Rate(20, 3600.0)),
        ("5/3600", Rate(5, 3600.0)),
        (" 3 / 0.5 s ", Rate(3, 0.5)),
    ],
)
def test_rates(text: str, rate: Rate) -> None:
    assert read(RateText, text) == rate
    assert Rate.parse(str(rate)) == rate


def test_a_rate_made_in_code_obeys_the_same_bounds() -> None:
    with pytest.raises(ValueError, match="above zero"):
        Rate(0, 60.0)
    assert read(RateText, Rate(3, 1.0)) == Rate(3, 1.0)


@pytest.mark.parametrize(
    ("text", "size"), [("1000", 1000), ("2 MiB", 2_097_152), ("2mib", 2_097_152), ("5 kB", 5000)]
)
def test_sizes_in_bytes(text: str, size: int) -> None:
    assert read(Bytes, text) == size


@pytest.mark.parametrize(
    "text",
    [
        "https://a.example.com, http://localhost:3000",
        '["https://a.example.com/", " http://localhost:3000/ "]',
        " HTTPS://A.Example.com:443/,,http://LOCALHOST:3000 ,",
    ],
)
def test_origins_become_what_browsers_send(text: str) -> None:
    assert read(Origins, text) == ["https://a.example.com", "http://localhost:3000"]


@pytest.mark.parametrize(
    "text", ["http://[::1]:8080", "capacitor://localhost", "https://a.example.com:80", "*"]
)
def test_other_origins(text: str) -> None:
    assert read(Origins, text) == [text]


@pytest.mark.parametrize("text", ["api.example.com, *.Example.com", '["api.example.com", "*.example.com"]'])
def test_hosts(text: str) -> None:
    assert read(Hosts, text) == ["api.example.com", "*.example.com"]


def test_other_hosts() -> None:
    assert read(Hosts, "*, localhost, 127.0.0.1, [::1]") == ["*", "localhost", "127.0.0.1", "[::1]"]


@pytest.mark.parametrize(
    "text", ["redis://cache", "rediss://:secret@cache.example.com:6380/1", "unix:///run/redis.sock"]
)
def test_redis_urls(text: str) -> None:
    assert read(RedisUrl, text).get_secret_value() == text
    assert text not in repr(read(RedisUrl, text))


def test_regions_are_taken_in_either_case() -> None:
    assert read(Region, " de ") == "DE"


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (Line, ["", "  ", "two\nlines", "\x00", "x" * 256]),
        (
            Seconds,
            ["0", "-1", "-1 s", "five", "5 weeks", "nan", "inf", "1e3", "5 5", "2 d", "٣", float("nan")],
        ),
        (RateText, ["", "/", "10", "10/", "/60s", "0/60s", "-1/60s", "10/0s", "10/-5s", "1.5/60s", "10/60x"]),
        (RateText, ["ten/60s", "10/1m/1m", "1/32d", "9" * 5000 + "/1s", "1/" + "9" * 5000]),
        (Bytes, ["0", "-1", "many", "5 XB", "9 EiB"]),
        (Origins, ["example.com", "https://", "https://*.example.com", "https://example.com/path", "null"]),
        (Origins, ["https://u@example.com", "https://example.com:port", "https://exa mple.com"]),
        (Origins, ['["https://a.example.com"', "[1]", '{"a": 1}', "https://a.example.com?"]),
        (Hosts, ["https://example.com", "example.com:8000", "a.*.com", "[]", ",", "a b", "example.com/"]),
        (RedisUrl, ["cache", "http://cache", "redis://", "redis://:pass@cache:port", "unix://"]),
        (SecretWebUrl, ["ftp://key@h/1", "https://", "https://[key"]),
        (WebUrl, ["minio:9000", "http:///files"]),
        (UrlPath, ["", "api", "/", "/api/", "/api?x", "/api//v1", "/api\n"]),
        (Region, ["XX", "", "Germany"]),
    ],
)
def test_what_is_refused(kind: Any, values: list[object]) -> None:
    for value in values:
        with pytest.raises(ValidationError):
            read(kind, value)
