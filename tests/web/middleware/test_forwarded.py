"""Reading what proxies report: from the end, as far as proxies wrote it, and never with an error."""

from ipaddress import ip_network

import pytest

from tradepost.web.middleware.forwarded import IpAddress, Reported, parse_node, reported

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


def trusts(address: IpAddress) -> bool:
    return any(address in network for network in PROXIES)


def read(*headers: tuple[str, str]) -> Reported:
    return reported([(name.encode(), value.encode("latin-1")) for name, value in headers], trusts=trusts)


def x(name: str, value: str) -> tuple[str, str]:
    return f"x-forwarded-{name}", value


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("192.0.2.1", "192.0.2.1", 0),
        ("192.0.2.1:4711", "192.0.2.1", 4711),
        ("192.0.2.1:_hidden", "192.0.2.1", 0),
        ("2001:db8::1", "2001:db8::1", 0),
        ("2001:DB8:0:0::1", "2001:db8::1", 0),
        ("[2001:db8::1]", "2001:db8::1", 0),
        ("[2001:db8::1]:65535", "2001:db8::1", 65535),
        ("fe80::1%eth0", "fe80::1", 0),
        ("::ffff:192.0.2.1", "192.0.2.1", 0),
    ],
)
def test_addresses_with_and_without_ports(text: str, address: str, port: int) -> None:
    found = parse_node(text)
    assert found is not None
    assert (str(found[0]), found[1]) == (address, port)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "unknown",
            "_hidden",
            "unix:",
            "unix:/run/x.sock",
            "localhost",
            "192.0.2",
            "192.0.2.256",
            "1",
            ":80",
        ),
        *(
            "192.0.2.1:",
            "192.0.2.1:x",
            "192.0.2.1:65536",
            "192.0.2.1:-1",
            "[2001:db8::1",
            "[2001:db8::1]80",
            "[]",
        ),
        *(
            "2001:db8::1]",
            "::g",
            "\u0661.2.3.4",
            "192.0.2.1\0",
            " 192.0.2.1",
            "9" * 5000,
            "[" * 5000,
            ":" * 5000,
        ),
    ],
)
def test_what_is_no_address(text: str) -> None:
    assert parse_node(text) is None


@pytest.mark.parametrize(
    ("sent", "client"),
    [
        (["192.0.2.1"], "192.0.2.1"),
        # What stands before the address that a proxy saw was written by the client itself.
        (["203.0.113.9, 192.0.2.1"], "192.0.2.1"),
        (["203.0.113.9", "192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1, 10.0.0.1"], "192.0.2.1"),
        (["203.0.113.9, 192.0.2.1, 10.0.0.1, fd00::1"], "192.0.2.1"),
        (["2001:db8::1, ::ffff:10.0.0.1"], "2001:db8::1"),
        # A proxy within asks for itself.
        (["10.0.0.2, 10.0.0.1"], "10.0.0.2"),
        # What cannot be read ends the search at the last that is known.
        (["192.0.2.1, unknown"], None),
        (["192.0.2.1, unknown, 10.0.0.1"], "10.0.0.1"),
        (["192.0.2.1, , ,"], "192.0.2.1"),
        ([""], None),
        ([",,,"], None),
        (["unix:"], None),
        (["\xff\0"], None),
    ],
)
def test_the_client_is_the_nearest_that_is_no_proxy(sent: list[str], client: str | None) -> None:
    found = read(*(x("for", value) for value in sent)).client
    assert (found and found[0]) == client
    found = read(
        *(("forwarded", ",".join(f'for="{part.strip()}"' for part in value.split(","))) for value in sent)
    ).client
    if not any(not part.strip() for value in sent for part in value.split(",")):
        assert (found and found[0]) == client


def test_the_entries_of_one_proxy_belong_together() -> None:
    lists = (x("proto", "http, https, http"), x("host", "evil, shop.example.com, inside"))
    found = read(x("for", "203.0.113.9, 192.0.2.1, 10.0.0.1"), *lists)
    assert found == Reported(("192.0.2.1", 0), "https", "shop.example.com")
    # With one proxy, only the last entries are its own.
    found = read(x("for", "203.0.113.9, 192.0.2.1"), *lists)
    assert found == Reported(("192.0.2.1", 0), "http", "inside")
    # The inner one handed on what the outer one had written.
    found = read(x("for", "192.0.2.1, 10.0.0.1"), x("proto", "https"), x("host", "a"), x("prefix", "/a"))
    assert found == Reported(("192.0.2.1", 0), "https", "a", "/a")
    assert read(x("proto", "HTTPS"), x("prefix", "/a/b/")) == Reported(scheme="https", prefix="/a/b")


def test_forwarded() -> None:
    value = 'for=203.0.113.9;host=evil, For="[2001:db8::1]:80" ; proto=https;HOST="shop.example.com:8443";by=_x, for=10.0.0.1;proto=http'
    assert read(("forwarded", value)) == Reported(("2001:db8::1", 80), "https", "shop.example.com:8443")
    # Of what the outer proxy does not say, the inner one may know.
    value = "for=192.0.2.1, for=10.0.0.1;proto=https;host=a"
    assert read(("forwarded", value), x("prefix", "/a")) == Reported(("192.0.2.1", 0), "https", "a", "/a")
    assert read(("forwarded", r'for="192.0.2\.1"')).client == ("192.0.2.1", 0)


@pytest.mark.parametrize(
    "value",
    [
        'for="203.0.113.9',
        'for="203.0.113.9;',
        '"',
        "for",
        "=",
        'for=203.0.113.9;x="',
        "for=203.0.113.9;",
        "\xff",
        'x="a,b',
    ],
)
def test_nothing_that_a_client_writes_swallows_what_a_proxy_adds(value: str) -> None:
    assert read(("forwarded", f"{value}, for=192.0.2.1")).client == ("192.0.2.1", 0)


@pytest.mark.parametrize(
    "value",
    [
        "for",
        "for=",
        "for=unknown",
        'for="',
        "for=1.2.3.4;for=1.2.3.5",
        "for=1.2.3.4;x",
        ";;",
        "=;=",
        "for=_a;for",
        "é",
    ],
)
def test_an_element_that_cannot_be_read_says_nothing(value: str) -> None:
    assert read(("forwarded", value)) == Reported()


def test_the_two_kinds_are_never_mixed() -> None:
    """A proxy that writes one passes the other on as the client sent it."""
    forged = ("forwarded", "for=203.0.113.9;proto=https;host=evil")
    assert read(forged, x("for", "192.0.2.1")) == Reported(("192.0.2.1", 0))
    assert read(forged, x("proto", "http")) == Reported(scheme="http")


@pytest.mark.parametrize("scheme", ["ftp", "javascript", "https:", "wss", "", "\u017f", "x" * 5000])
def test_a_scheme_that_is_none(scheme: str) -> None:
    assert read(x("proto", scheme.encode("utf-8").decode("latin-1"))) == Reported()


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("shop.example.com", True),
        ("shop.example.com:8443", True),
        ("[2001:db8::1]:80", True),
        ("a.", True),
        ("", False),
        ("a/b", False),
        ("a b", False),
        ("a@b", False),
        ("a>b", False),
        ("a:", False),
        ("a:123456", False),
        ("é", False),
        ("a" * 256, False),
    ],
)
def test_hosts(host: str, good: bool) -> None:  # noqa: FBT001 - a value of the table
    assert read(x("host", host)).host == (host if good else None)


@pytest.mark.parametrize(
    ("prefix", "path"),
    [
        ("/shop", "/shop"),
        ("/shop/", "/shop"),
        ("/a/b-c/d.e/..f", "/a/b-c/d.e/..f"),
        ("/", None),
        ("shop", None),
        ("//evil.example", None),
        ("/..", None),
        ("/../a", None),
        ("/a/./b", None),
        ("/a//b", None),
        ("/a?b", None),
        ("/a#b", None),
        ("/a%2Fb", None),
        ('/"><b>', None),
        ("/é", None),
        ("/a" * 128, None),
    ],
)
def test_prefixes(prefix: str, path: str | None) -> None:
    assert read(x("prefix", prefix)).prefix == path
