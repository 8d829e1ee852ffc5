"""One-time passwords by time (RFC 6238): what an authenticator shows, six digits, others every 30 seconds.

SHA-1, six digits and 30 seconds are what every authenticator takes; many pass over anything else without a word.
"""

import base64
import hmac
from datetime import datetime
from typing import Final
from urllib.parse import quote

SECONDS: Final = 30
DIGITS: Final = 6
DRIFT: Final = 1
"""Steps by which a phone's clock may be off, either way."""
SECRET_BYTES: Final = 20
"""As long as the hash (RFC 4226, section 4)."""


def code_at(secret: bytes, step: int) -> str:
    """Return the code of a step, the number of 30 seconds since 1970."""
    digest = hmac.digest(secret, step.to_bytes(8, "big"), "sha1")
    start = digest[-1] & 0x0F
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def step_of(secret: bytes, code: str, now: datetime) -> int | None:
    """Return the step whose code this is, the newest of those that count now; None for a wrong code."""
    current = int(now.timestamp()) // SECONDS
    steps = range(current - DRIFT, current + DRIFT + 1)
    given = code.encode()
    found = [step for step in steps if hmac.compare_digest(code_at(secret, step).encode(), given)]
    return max(found, default=None)


def shown(secret: bytes) -> str:
    """Return a secret as people type it into an authenticator."""
    return base64.b32encode(secret).decode().rstrip("=")


def otpauth_uri(secret: bytes, *, issuer: str, account: str) -> str:
    """Return what an authenticator reads from a QR code (the Key URI format)."""
    label = f"{quote(issuer, safe='')}:{quote(account, safe='')}"
    return (
        f"otpauth://totp/{label}?secret={shown(secret)}&issuer={quote(issuer, safe='')}"
        f"&algorithm=SHA1&digits={DIGITS}&period={SECONDS}"
    )
