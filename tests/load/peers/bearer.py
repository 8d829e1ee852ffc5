"""What a peer must know of Tradepost's access tokens: HS256 over `sub`, `sid`, `typ` and the registered claims."""

from __future__ import annotations

from dataclasses import dataclass

import jwt

REQUIRED = ["iss", "aud", "sub", "exp", "iat", "jti"]
_JWT = jwt.PyJWT()


class BadTokenError(Exception):
    """The request has no token that is good now."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """Who a token speaks for."""

    user_id: int
    session_id: int


def read_bearer(authorization: str, secret: str) -> Bearer:
    """Check the header's token, or raise `BadTokenError`."""
    try:
        claims = _JWT.decode(
            authorization.removeprefix("Bearer "),
            secret,
            algorithms=["HS256"],
            audience="tradepost-api",
            issuer="tradepost",
            options={"require": REQUIRED},
        )
        if claims["typ"] != "access":
            raise BadTokenError
        return Bearer(int(claims["sub"]), int(claims["sid"]))
    except (jwt.PyJWTError, KeyError, ValueError) as error:
        raise BadTokenError from error
