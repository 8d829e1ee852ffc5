"""Where webhooks may lead: every spelling of an address that is not public is seen through."""

from ipaddress import ip_address

import pytest

from tradepost.webhooks.targets import Target, TargetRules, UnacceptableTarget, is_public

STRICT = TargetRules(plain=False, private=False)
LOCAL = TargetRules(plain=True, private=False)
FREE = TargetRules(plain=True, private=True)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",  # noqa: S104 - an address to refuse
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.100.100.200",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.9",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:10::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    for rules in (STRICT, LOCAL):
        with pytest.raises(UnacceptableTarget, match="not public"):
            rules.read(f"https://{host}/hook")
    assert FREE.read(f"https://{host}/hook").host


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "223.255.255.255",
        "2606:4700:4700::1111",
        "2a00:1450::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ],
)
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "https://localhost/",
        "https://LOCALHOST/",
        "https://localhost./",
        "https://api.localhost/",
        "https://localhost.localdomain/",
        "https://127.0.0.1./",
        "https://127。0。0。1/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://127.0.0.1.0x/",
        "https://１２７.0.0.1/",
        "https://①②⑦.0.0.1/",
        "https://ⓛocalhost/",
        "https://%31%32%37.0.0.1/",
        "https://[::ffff:7f00:1]/",
        "https://[fe80::1%25eth0]/",
        "https://[fe80::1%eth0]/",
        "https://[::1",
        "https://exa mple.com/",
        "https://example..com/",
        "https://-example.com/",
        "https://" + "a" * 64 + ".com/",
        "https://" + "a." * 130 + "com/",
        "https:///hook",
        "https://",
        "https:example.com",
        "//example.com/",
        "example.com/hook",
        "",
        "   ",
    ],
)
def test_hosts_that_are_none_or_not_public(url: str) -> None:
    with pytest.raises(UnacceptableTarget):
        STRICT.read(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://me@example.com/",
        "https://me:secret@example.com/",
        "https://example.com\\@127.0.0.1/",
        "https://example.com\\.evil.example/",
        "https://example.com/#fragment",
        "https://example.com:0/",
        "https://example.com:22/",
        "https://example.com:25/",
        "https://example.com:1023/",
        "https://example.com:65536/",
        "https://example.com:99999999999999999999/",
        "https://example.com:-1/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "javascript:alert(1)",
        "unix:///var/run/docker.sock",
    ],
)
def test_urls_that_ask_for_more_than_a_request(url: str) -> None:
    for rules in (STRICT, LOCAL, FREE):
        with pytest.raises(UnacceptableTarget):
            rules.read(url)


def test_without_encryption_only_on_a_developers_machine() -> None:
    with pytest.raises(UnacceptableTarget, match="must begin with https://"):
        STRICT.read("http://example.com/")
    assert LOCAL.read("http://example.com/").port == 80


def test_what_is_read() -> None:
    assert STRICT.read("https://Bücher.example./hook?a=ü") == Target(
        "https", "xn--bcher-kva.example", 443, b"/hook?a=%C3%BC"
    )
    assert STRICT.read("HTTPS://hooks.example.com:8443").path == b"/"
    target = STRICT.read("https://[2606:4700::0:1]:8443/x")
    assert (target.host, target.host_header) == ("2606:4700::1", "[2606:4700::1]:8443")
    assert STRICT.read("https://a_b.example.com/").host_header == "a_b.example.com"
