"""Seals: what was sealed opens again, under the keys that count, for what it is about, and unchanged."""

from hypothesis import given
from hypothesis import strategies as st

from tradepost.core.clock import SystemClock
from tradepost.core.sealing import Seals
from tradepost.core.secret_keys import SecretKeys

CLOCK = SystemClock()


def seals(*keys: str, purpose: bytes = b"test") -> Seals:
    return Seals(SecretKeys(*keys).derived(purpose), CLOCK)


@given(st.binary(max_size=64), st.text(max_size=20))
def test_it_opens_again(secret: bytes, about: str) -> None:
    sealed = seals("one").seal(secret, about=about)
    assert seals("one").open(sealed, about=about) == secret
    assert seals("two", "one").open(sealed, about=about) == secret
    assert seals("two").open(sealed, about=about) is None
    assert seals("one", purpose=b"other").open(sealed, about=about) is None
    assert seals("one").open(sealed, about=f"{about}.") is None


def test_the_same_secret_never_looks_the_same() -> None:
    assert seals("one").seal(b"x", about="1") != seals("one").seal(b"x", about="1")


def test_what_was_changed_or_never_was_one() -> None:
    sealed = seals("one").seal(b"secret", about="1")
    for other in (sealed[:-4], sealed[:20] + "AAAA" + sealed[24:], "", "AAAA", "not base64!", sealed + "é"):
        assert seals("one").open(other, about="1") is None
