"""Access tokens (JWT, after RFC 8725) and refresh tokens (a session id, a counter, and a MAC over both)."""

import base64
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import jwt

from tradepost.core.clock import Clock
from tradepost.core.errors import Unauthenticated
from tradepost.core.secret_keys import SecretKeys
from tradepost.core.wire.numbers import plain_number
from tradepost.core.wire.schemas import MAX_ID

ISSUER: Final = "tradepost"
AUDIENCE: Final = "tradepost-api"
ACCESS: Final = "access"
KEPT_TOKENS: Final = 8_192
"""Tokens whose signature need not be checked again; about 5 MB."""
REQUIRED: Final = ["iss", "aud", "sub", "exp", "iat", "jti", "typ", "sid"]


@dataclass(frozen=True, slots=True)
class Claims:
    """What a valid access token says: whose it is and which session it came from. No rights: those are in the database."""

    user_id: int
    session_id: int


class Tokens:
    """Makes and reads both kinds. ``lifetime`` is an access token's, at most to the end of its session."""

    def __init__(self, *, keys: SecretKeys, algorithm: str, lifetime: timedelta, clock: Clock) -> None:
        self._secrets = keys.all
        self._algorithm = algorithm
        self._lifetime = lifetime
        self._clock = clock
        self._refresh_keys = keys.derived(b"tradepost refresh token v1")
        # Only what passes is kept, so nobody can fill it with nonsense.
        self._checked = lru_cache(maxsize=KEPT_TOKENS)(self._check)
        self._jwt = jwt.PyJWT(
            options={
                "require": REQUIRED,
                "enforce_minimum_key_length": True,
                # The end is compared below, with our own clock.
                "verify_exp": False,
                "verify_iat": False,
            }
        )

    def access(self, *, user_id: int, session_id: int, session_end: datetime) -> tuple[str, int]:
        """Return an access token and the whole seconds that it is good for."""
        now = self._clock.now()
        expires = min(now + self._lifetime, session_end)
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "sid": session_id,
            "typ": ACCESS,
            "iat": int(now.timestamp()),
            "exp": int(expires.timestamp()),
            "jti": self._clock.token(12),
        }
        return self._jwt.encode(claims, self._secrets[0], algorithm=self._algorithm), int(
            (expires - now).total_seconds()
        )

    def read_access(self, token: str, now: datetime) -> Claims:
        """Return what ``token`` says, or raise ``Unauthenticated`` for whatever is wrong with it.

        A signature that was right once is right for ever: it is checked once for each token, the end each time.
        """
        claims, end = self._checked(token)
        if end <= now.timestamp():
            raise Unauthenticated
        return claims

    def _check(self, token: str) -> tuple[Claims, int]:
        try:
            claims = self._decoded(token)
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise Unauthenticated from error
        user_id, session_id, end = plain_number(claims["sub"]), claims["sid"], claims["exp"]
        numbers = [user_id, session_id, end, claims["iat"]]
        # PyJWT lets NaN, Infinity, fractions and `true` pass for numbers; an end of Infinity would never come.
        numbers.extend(value for value in claims.values() if isinstance(value, int | float))
        if claims["typ"] != ACCESS or not all(map(_is_in_range, numbers)) or not user_id or not session_id:
            raise Unauthenticated
        return Claims(user_id=user_id, session_id=session_id), end

    def _decoded(self, token: str) -> dict[str, Any]:
        for number, secret in enumerate(self._secrets, 1):
            try:
                return self._jwt.decode(
                    token, secret, algorithms=[self._algorithm], audience=AUDIENCE, issuer=ISSUER
                )
            except jwt.InvalidSignatureError:
                if number == len(self._secrets):
                    raise
        raise AssertionError("there is always a key")

    def refresh(self, *, session_id: int, counter: int) -> str:
        """Return the refresh token number ``counter`` of a session: the same each time it is asked for."""
        return f"{session_id}.{counter}.{_shown(self._refresh_keys.mac(_about(session_id, counter)))}"

    def read_refresh(self, token: str) -> tuple[int, int]:
        """Return the session id and the counter of ``token``, or raise ``Unauthenticated``."""
        parts = token.split(".")
        if len(parts) != 3 or not parts[2].isascii():  # noqa: PLR2004 - the token's three parts
            raise Unauthenticated
        session_id, counter = plain_number(parts[0]), plain_number(parts[1])
        if not session_id or counter is None:
            raise Unauthenticated
        known = self._refresh_keys.macs(_about(session_id, counter))
        if not any(hmac.compare_digest(parts[2], _shown(mac)) for mac in known):
            raise Unauthenticated
        return session_id, counter


def _about(session_id: int, counter: int) -> bytes:
    return f"{session_id}.{counter}".encode()


def _shown(mac: bytes) -> str:
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def _is_in_range(value: object) -> bool:
    # Not `isinstance`: `true` is an int to it.
    return type(value) is int and 0 <= value <= MAX_ID
