"""What comes in and goes out about API keys."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, Field, StrictBool
from pydantic_core import PydanticCustomError, PydanticKnownError

from tradepost.accounts.permissions import Permission
from tradepost.core.settings.values import Rate
from tradepost.core.wire.characters import PLAIN_PATTERN, has_controls, is_blank
from tradepost.core.wire.moments import Moment
from tradepost.core.wire.schemas import Input, Output, PageInfo, ShownOnce, example

MOST_KEYS: Final = 25
"""API keys that one person may have, those that have run out included."""
KEY_NAME_LENGTH: Final = 100

_NAME: Final = "What you call it, for yourself"
_PERMISSIONS: Final = (
    "What it may do at the most; it never may what you may not at that moment. Without a permission to write or delete it "
    "only reads"
)
_LOAD_TEST: Final = "Whether no rate limit counts its requests, as long as you are an admin"
_EXPIRES_AT: Final = "From when on it is refused; `null` for never"
_RATE_LIMIT: Final = "The limit of its own: requests in a period, such as `5/60s`; `null` without one"


def _key_name(text: str) -> str:
    if is_blank(text):
        raise PydanticKnownError("string_too_short", {"min_length": 1})
    if has_controls(text):
        raise PydanticCustomError("name_letters", "A name has no invisible or control characters")
    return text


def _rate(text: str) -> str:
    try:
        return str(Rate.parse(text))
    except ValueError as error:
        raise PydanticCustomError(
            "rate", "A rate is written requests/period, such as 100/60s, 10/1m or 20/1h"
        ) from error


KeyName = Annotated[
    str,
    Field(min_length=1, max_length=KEY_NAME_LENGTH, json_schema_extra={"pattern": PLAIN_PATTERN}),
    AfterValidator(_key_name),
]
RateText = Annotated[
    str,
    Field(max_length=32, json_schema_extra={"pattern": r"^[1-9][0-9]{0,8}/[1-9][0-9]{0,3}[smh]$"}),
    AfterValidator(_rate),
]


class ApiKeyCreate(Input):
    """A new API key: without ``permissions``, it has all of the person's."""

    model_config = example(name="Nightly import", permissions=["read:items", "write:items"])

    name: KeyName = Field(description=_NAME)
    permissions: list[Permission] | None = Field(
        default=None,
        max_length=len(Permission),
        description=f"{_PERMISSIONS}. Unless sent, all that you may now",
    )
    load_test: StrictBool = Field(default=False, description=f"{_LOAD_TEST}; only admins may ask for it")
    expires_at: Moment | None = Field(default=None, description=f"{_EXPIRES_AT}. In the future")
    rate_limit: RateText | None = Field(default=None, description=_RATE_LIMIT)


class ApiKeyRead(Output):
    """An API key, without its secret."""

    id: int = Field(description="The key's number", examples=[1])
    name: str = Field(description=_NAME, examples=["Nightly import"])
    prefix: str = Field(
        description="What it begins with, after `tp_`: it names the key in logs", examples=["k3vq7mzw2dha"]
    )
    permissions: list[Permission] = Field(description=_PERMISSIONS)
    load_test: bool = Field(description=_LOAD_TEST)
    rate_limit: str | None = Field(description=_RATE_LIMIT, examples=["5/60s"])
    expires_at: datetime | None = Field(description=_EXPIRES_AT)
    last_used_at: datetime | None = Field(
        description="When it was last used, give or take a minute; `null` for never"
    )
    created_at: datetime = Field(description="When it was made")


class ApiKeyWithSecret(ApiKeyRead):
    """An API key with its secret, as it is shown once."""

    key: ShownOnce = Field(
        description="What is sent as `X-API-Key`. Keep it: it is shown here and nowhere else",
        examples=["tp_k3vq7mzw2dha_Zx3mJ7qkT0uWc1yR5bN8dLhV2sPfGa6eX4iMoQtBwYk"],
    )


class ApiKeyPage(PageInfo):
    """A part of the list of one's API keys."""

    api_keys: list[ApiKeyRead] = Field(description="The keys of this part, the newest first")
