"""The arithmetic of one-time passwords, by the vectors of RFC 6238 (appendix B) and against pyotp."""

import base64
from datetime import UTC, datetime

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tradepost.accounts.totp import code_at, otpauth_uri, shown, step_of

SECRET = b"12345678901234567890"


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
def test_the_vectors_of_the_rfc(seconds: int, code: str) -> None:
    # Those have eight digits, ours the last six of them.
    assert code_at(SECRET, seconds // 30) == code[2:]
    assert step_of(SECRET, code[2:], datetime.fromtimestamp(seconds, UTC)) == seconds // 30


@given(st.binary(min_size=20, max_size=20), st.integers(0, 2**40))
def test_it_is_what_an_authenticator_shows(secret: bytes, step: int) -> None:
    theirs = pyotp.TOTP(base64.b32encode(secret).decode())
    assert code_at(secret, step) == theirs.generate_otp(step)
    assert shown(secret) == theirs.secret


@given(st.text("aé &?=%/#+", min_size=1, max_size=40), st.emails())
def test_an_authenticator_reads_the_address_of_the_code(issuer: str, account: str) -> None:
    read = pyotp.parse_uri(otpauth_uri(SECRET, issuer=issuer, account=account))
    assert (read.secret, read.issuer, read.name) == (shown(SECRET), issuer, account)
