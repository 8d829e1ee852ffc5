"""What comes in and goes out about people. Field types hold the rules for one value."""

import re
from datetime import datetime
from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    StrictBool,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import InitErrorDetails, PydanticCustomError, PydanticKnownError

from tradepost.accounts.addresses import normalised_email, shown_email
from tradepost.accounts.names import cased_name
from tradepost.accounts.permissions import Role
from tradepost.core.wire.characters import has_controls, is_blank, is_invisible
from tradepost.core.wire.schemas import Changes, Input, Output, PageInfo

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")
_HALF_SCHEME = re.compile(r"https?:(?!//)", re.IGNORECASE)
_HTTP_URL = TypeAdapter(HttpUrl)


def _email(value: str) -> str:
    try:
        return normalised_email(value)
    except ValueError as error:
        raise PydanticCustomError("email", "value is not a valid email address") from error


def _password(value: str) -> str:
    rules = (
        (any(letter.isupper() for letter in value), "uppercase letter"),
        (any(letter.islower() for letter in value), "lowercase letter"),
        (any(letter.isdigit() for letter in value), "digit"),
    )
    faults = [
        InitErrorDetails(
            type=PydanticCustomError("password_policy", f"Password must contain at least one {what}"),
            input=None,
        )
        for kept, what in rules
        if not kept
    ]
    if faults:
        # Pydantic takes a ValidationError from a validator apart: each missing rule gets its own message.
        raise ValidationError.from_exception_data("password", faults)
    return value


def _name(value: str) -> str:
    if has_controls(value):
        raise PydanticCustomError("name_letters", "A name has no invisible or control characters")
    if is_blank(value):
        raise PydanticKnownError("string_too_short", {"min_length": 1})
    name = cased_name(value)
    if len(name) > NAME_LENGTH:
        raise PydanticCustomError("string_too_long", f"String should have at most {NAME_LENGTH} characters")
    return name


def _website(value: str) -> str:
    scheme = _SCHEME.match(value)
    address = value if scheme else f"https://{value}"
    # What browsers mend or drop without a word, and other programs do not: it would be kept as one address and lead to
    # another.
    mended = any(letter == "\\" or letter.isspace() or is_invisible(letter) for letter in value)
    if mended or value[scheme.end() if scheme else 0 :].startswith("/") or _HALF_SCHEME.match(value):
        raise PydanticCustomError("website", "A website is an http or https address")
    try:
        url = _HTTP_URL.validate_python(address)
    except ValidationError as error:
        raise PydanticCustomError("website", "A website is an http or https address") from error
    if url.username or url.password:
        raise PydanticCustomError("website", "A website's address holds no user name or password")
    if not _is_public_host(url.host or ""):
        raise PydanticCustomError("website", "A website's address names a host, such as example.com")
    if len(address) > WEBSITE_LENGTH:
        raise PydanticCustomError(
            "string_too_long", f"String should have at most {WEBSITE_LENGTH} characters"
        )
    return address


def _is_public_host(host: str) -> bool:
    """Tell whether ``host`` is an IP address or a name with a dot within; ``https://com`` and ``a..b`` are slips."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        labels = host.removesuffix(".").split(".")
        return len(labels) > 1 and all(labels)
    return True


NAME_LENGTH = 50
WEBSITE_LENGTH = 255
EMAIL_LENGTH = 254
"""The longest address that SMTP can carry in a command (RFC 5321, 4.5.3.1.3, with its erratum 1690)."""

Email = Annotated[
    str, Field(max_length=EMAIL_LENGTH, json_schema_extra={"format": "email"}), AfterValidator(_email)
]
"""An address in its normalised form."""
Password = Annotated[
    str, StringConstraints(strip_whitespace=False, min_length=8, max_length=100), AfterValidator(_password)
]
"""A new password, exactly as it was typed."""
Name = Annotated[str, Field(min_length=1, max_length=NAME_LENGTH), AfterValidator(_name)]
"""A first or last name: title-cased unless the person wrote mixed case."""
Website = Annotated[str, Field(min_length=1, max_length=WEBSITE_LENGTH), AfterValidator(_website)]
"""An http(s) address; ``https://`` is put in front of one without a scheme."""
Phone = Annotated[str, Field(min_length=1, max_length=40)]
"""A phone number as people write it; the service knows the default region and keeps it in E.164."""


class LoginForm(BaseModel):
    """OAuth 2's password form (RFC 6749, section 4.3.2); the user name is the e-mail address."""

    model_config = ConfigDict(extra="forbid")

    username: Annotated[str, Field(max_length=320)]
    password: Annotated[str, Field(max_length=1024)]
    grant_type: Annotated[str, Field(pattern="^(password)?$")] | None = None
    scope: Annotated[str, Field(max_length=200)] = ""
    client_id: Annotated[str, Field(max_length=200)] | None = None
    client_secret: Annotated[str, Field(max_length=200)] | None = None


class UserRegister(Input):
    """A stranger's application for an account."""

    email: Email
    password: Password
    first_name: Name
    last_name: Name


class UserCreate(UserRegister):
    """An account made by an admin."""

    role: Role = Role.USER
    is_active: StrictBool = True


class ProfileUpdate(Changes):
    """What a person may change about themselves; only sent fields change, ``null`` clears phone and website."""

    first_name: Name = Field(default="", validate_default=False)
    last_name: Name = Field(default="", validate_default=False)
    phone: Phone | None = None
    website: Website | None = None


class UserUpdate(ProfileUpdate):
    """What an admin may change about anybody."""

    is_active: StrictBool = True
    role: Role = Role.USER


class PasswordChange(Input):
    """The password in force, and the one to replace it."""

    current_password: Annotated[str, StringConstraints(strip_whitespace=False, max_length=1024)]
    new_password: Password


class AddressRequest(Input):
    """The address of an account that an e-mail is asked for."""

    email: Email


Token = Annotated[str, Field(min_length=1, max_length=200)]
"""What a link in an e-mail carries."""


class EmailVerification(Input):
    """The proof that somebody reads what is sent to their address."""

    token: Token


class PasswordReset(Input):
    """A new password, and the token that allows it."""

    token: Token
    new_password: Password


class RefreshRequest(Input):
    """The refresh token to be exchanged."""

    refresh_token: Annotated[str, Field(max_length=512)]


class PublicUser(Output):
    """What everybody may know about a person."""

    id: int
    first_name: str
    last_name: str
    full_name: str
    avatar_url: str | None


class UserRead(PublicUser):
    """What the person and staff may know."""

    email: Annotated[str, AfterValidator(shown_email)]
    is_active: bool
    role: Role
    phone: str | None
    website: str | None
    created_at: datetime
    updated_at: datetime


class UserPage(PageInfo):
    """A part of the list of users."""

    users: list[UserRead]


class TokenPair(Output):
    """The tokens of a session; both lifetimes in seconds from now. Without a rotation there is no refresh token."""

    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the kind of token, not a token
    expires_in: int
    refresh_token: str | None = None
    refresh_expires_in: int | None = None


class SessionRead(Output):
    """A log-in of the person's own; ``current`` marks the one that asks."""

    id: int
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    user_agent: str | None
    ip_address: str | None
    current: bool


class SessionPage(PageInfo):
    """A part of the list of one's sessions."""

    sessions: list[SessionRead]
