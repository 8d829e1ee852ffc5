"""What comes in and goes out about log-ins: forms, tokens and sessions."""

from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from tradepost.core.wire.schemas import Input, Output, PageInfo, example

_REFRESH: Final = "42.7.cXBQ0lTnyA3vKr8zHjWm5uFe1sDgOi6Lb9NkRtVxYw4"


def _no_default(schema: dict[str, Any]) -> None:
    """Leave a default out of the document: some generators of clients want every field that has one."""
    del schema["default"]


_UNUSED: Final = "Taken because programs for OAuth 2 send it; it means nothing here"


class LoginForm(BaseModel):
    """OAuth 2's password form (RFC 6749, section 4.3.2); the user name is the e-mail address."""

    model_config = ConfigDict(extra="forbid")

    username: str = Field(max_length=320, description="The e-mail address", examples=["ada@example.com"])
    password: str = Field(
        max_length=1024,
        description="The password",
        examples=["Tradepost1"],
        json_schema_extra={"format": "password"},
    )
    grant_type: str = Field(
        default="password", pattern="^(password)?$", description="`password`, or left out: there is no other"
    )
    otp: str = Field(
        default="",
        max_length=64,
        description="The code of the second factor, for accounts that have one; a recovery code does as well",
        json_schema_extra=_no_default,
    )
    scope: str = Field(default="", max_length=200, description=_UNUSED)
    client_id: str = Field(default="", max_length=200, description=_UNUSED)
    client_secret: str = Field(default="", max_length=200, description=_UNUSED)


class RefreshRequest(Input):
    """The refresh token to be exchanged."""

    model_config = example(refresh_token=_REFRESH)

    refresh_token: str = Field(max_length=512, description="The newest one: each is good for one exchange")


REFRESH_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "title": "RefreshForm",
    "description": "OAuth 2's form of a refresh (RFC 6749, section 6)",
    "additionalProperties": False,
    "required": ["grant_type", "refresh_token"],
    "properties": {
        "grant_type": {
            "type": "string",
            "enum": ["refresh_token"],
            "examples": ["refresh_token"],
            "description": "`refresh_token`: there is no other",
        },
        "refresh_token": {
            "type": "string",
            "maxLength": 512,
            "description": "The newest one: each is good for one exchange",
            "examples": [_REFRESH],
        },
        "scope": {"type": "string", "description": _UNUSED},
        "client_id": {"type": "string", "description": _UNUSED},
        "client_secret": {"type": "string", "description": _UNUSED},
    },
}


class AccessToken(Output):
    """An access token of a session, and for how long it is good."""

    access_token: str = Field(description="Shown as `Authorization: Bearer …`")
    token_type: Literal["bearer"] = Field(default="bearer", description="How it is shown (RFC 6750)")
    expires_in: int = Field(description="Seconds for which the access token is good")


class TokenPair(AccessToken):
    """The tokens of a session that was opened, or whose refresh token was exchanged."""

    refresh_token: str = Field(description="Exchanged for the next pair at `refresh-token`, once")
    refresh_expires_in: int = Field(description="Seconds until the session ends")


class RenewedTokens(AccessToken):
    """The tokens of a session that goes on: both, or, when no refresh token was sent, the access token alone."""

    refresh_token: str | None = Field(
        default=None, description="The next refresh token; `null` when none was sent: the old one stays"
    )
    refresh_expires_in: int | None = Field(
        default=None, description="Seconds until the session ends; `null` without a refresh token"
    )


class SessionRead(Output):
    """A log-in of a person; ``current`` marks the one that asks."""

    id: int = Field(description="The session's number", examples=[1])
    created_at: datetime = Field(description="When it was opened")
    last_used_at: datetime = Field(description="When its refresh token was last exchanged")
    expires_at: datetime = Field(description="When it ends whatever happens")
    user_agent: str | None = Field(description="What the client called itself at log-in")
    ip_address: str | None = Field(description="Where the log-in came from")
    current: bool = Field(description="Whether it is the one that asks")


class SessionPage(PageInfo):
    """A part of the list of one's sessions."""

    sessions: list[SessionRead] = Field(description="The log-ins of this part, the newest first")
