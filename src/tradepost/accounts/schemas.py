"""What comes in and goes out about people. Field types hold the rules for one value."""

import re
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
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
from tradepost.accounts.second_factor_schemas import CurrentPassword
from tradepost.core.wire.characters import PLAIN_PATTERN, has_controls, is_blank, is_invisible
from tradepost.core.wire.schemas import Changes, Input, Output, PageInfo, example

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


FIRST_NAME: Final = "The first name; written all in one case, it gets capitals"
LAST_NAME: Final = "The last name; written all in one case, it gets capitals"
ROLE: Final = "What the person may do: `moderator` and `admin` are staff"
IS_ACTIVE: Final = "Whether the person may log in"
EMAIL_VERIFIED: Final = "Whether it is proved that the person reads what is sent to the address"

# What examples show; the account that one makes, the next logs in to.
_PASSWORD: Final = "Tradepost1"  # noqa: S105
_NEW_PASSWORD: Final = "Tradepost2"  # noqa: S105
_LINK: Final = "Zx3mJ7qkT0uWc1yR5bN8dLhV2sPfGa6eX4iMoQtBwYk"

NAME_LENGTH = 50
WEBSITE_LENGTH = 255
EMAIL_LENGTH = 254
"""The longest address that SMTP can carry in a command (RFC 5321, 4.5.3.1.3, with its erratum 1690)."""

Email = Annotated[
    str,
    Field(
        max_length=EMAIL_LENGTH,
        description="An e-mail address. Case does not count, and a domain in any script is one with its ASCII form",
        json_schema_extra={"format": "email"},
    ),
    AfterValidator(_email),
]
"""An address in its normalised form."""
# One pattern for each rule: Go and Rust have no look-ahead, and a client that checks them can say which one is broken.
_PASSWORD_RULES: Final[dict[str, Any]] = {
    "format": "password",
    "allOf": [{"pattern": r"\p{Lu}"}, {"pattern": r"\p{Ll}"}, {"pattern": r"\p{Nd}"}],
}
Password = Annotated[
    str,
    StringConstraints(strip_whitespace=False, min_length=8, max_length=100),
    Field(
        description="A new password: 8 to 100 characters, among them an uppercase letter, a lowercase letter and a digit, "
        "of any script. Spaces count",
        json_schema_extra=_PASSWORD_RULES,
    ),
    AfterValidator(_password),
]
"""A new password, exactly as it was typed."""
Name = Annotated[
    str,
    Field(min_length=1, max_length=NAME_LENGTH, json_schema_extra={"pattern": PLAIN_PATTERN}),
    AfterValidator(_name),
]
"""A first or last name: title-cased unless the person wrote mixed case."""
_LABEL: Final = r"[^\p{C}\p{Z}!-,./:-@\[-\^`{-~]+"
_OCTET: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_HOST: Final = rf"(?:(?:{_LABEL}\.)+\p{{L}}(?:{_LABEL})?\.?|{_OCTET}(?:\.{_OCTET}){{3}})"
_WEBSITE_PATTERN: Final = (
    rf"^(?:[Hh][Tt][Tt][Pp][Ss]?://)?{_HOST}(?::[0-9]{{1,5}})?(?:[/?#][^\p{{C}}\p{{Z}}\\]*)?$"
)
Website = Annotated[
    str,
    Field(min_length=1, max_length=WEBSITE_LENGTH, json_schema_extra={"pattern": _WEBSITE_PATTERN}),
    AfterValidator(_website),
]
"""An http(s) address; ``https://`` is put in front of one without a scheme."""
Phone = Annotated[str, Field(min_length=1, max_length=40, json_schema_extra={"pattern": r"\p{Nd}"})]
"""A phone number as people write it; the service knows the default region and keeps it in E.164."""


class UserRegister(Input):
    """A stranger's application for an account."""

    model_config = example(
        email="ada@example.com", password=_PASSWORD, first_name="Ada", last_name="Lovelace"
    )

    email: Email
    password: Password
    first_name: Name = Field(description=FIRST_NAME)
    last_name: Name = Field(description=LAST_NAME)


class UserCreate(UserRegister):
    """An account made by an admin."""

    model_config = example(
        email="grace@example.com",
        password=_PASSWORD,
        first_name="Grace",
        last_name="Hopper",
        role="moderator",
        is_active=True,
    )

    role: Role = Field(default=Role.USER, description=ROLE)
    is_active: StrictBool = Field(default=True, description=IS_ACTIVE)


class ProfileUpdate(Changes):
    """What a person may change about themselves; only sent fields change, ``null`` clears phone and website."""

    model_config = example(
        first_name="Ada", last_name="King", phone="+1 202 555 0123", website="ada.example.com"
    )

    first_name: Name = Field(default="", validate_default=False, description=FIRST_NAME)
    last_name: Name = Field(default="", validate_default=False, description=LAST_NAME)
    phone: Phone | None = Field(
        default=None,
        description="A phone number as people write it, without an extension; without a country's code it is one of "
        "`PHONE_DEFAULT_REGION`",
    )
    website: Website | None = Field(
        default=None,
        description="An http or https address; `https://` is put in front of one without a scheme",
    )


class UserUpdate(ProfileUpdate):
    """What an admin may change about anybody."""

    model_config = example(
        first_name="Ada",
        last_name="King",
        phone=None,
        website=None,
        is_active=True,
        role="moderator",
        email_verified=True,
    )

    is_active: StrictBool = Field(default=True, description=IS_ACTIVE)
    role: Role = Field(default=Role.USER, description=ROLE)
    email_verified: StrictBool = Field(default=True, description=EMAIL_VERIFIED)


class PasswordChange(Input):
    """The password in force, and the one to replace it."""

    model_config = example(current_password=_PASSWORD, new_password=_NEW_PASSWORD)

    current_password: CurrentPassword
    new_password: Password


class AddressRequest(Input):
    """The address of an account that an e-mail is asked for."""

    model_config = example(email="ada@example.com")

    email: Email


Token = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="What stands behind `token=` in the e-mail's link",
        json_schema_extra={"pattern": r"\S"},
    ),
]
"""What a link in an e-mail carries."""


class EmailVerification(Input):
    """The proof that somebody reads what is sent to their address."""

    model_config = example(token=_LINK)

    token: Token


class EmailChange(Input):
    """Another address, and the password in force."""

    model_config = example(new_email="ada.king@example.com", password=_PASSWORD)

    new_email: Email
    password: CurrentPassword


class PasswordReset(Input):
    """A new password, and the token that allows it."""

    model_config = example(token=_LINK, new_password=_NEW_PASSWORD)

    token: Token
    new_password: Password


class PublicUser(Output):
    """What everybody may know about a person."""

    id: int = Field(description="The person's number, never given to another", examples=[2])
    first_name: str = Field(description=FIRST_NAME, examples=["Ada"])
    last_name: str = Field(description=LAST_NAME, examples=["Lovelace"])
    full_name: str = Field(description="Both names with a space between", examples=["Ada Lovelace"])
    avatar_url: str | None = Field(
        description="The path of the person's picture; `null` without one", examples=[None]
    )


class UserRead(PublicUser):
    """What the person and staff may know."""

    email: Annotated[str, AfterValidator(shown_email)] = Field(
        description="The address to log in with, its domain in the person's own script",
        examples=["ada@example.com"],
    )
    email_verified: bool = Field(description=EMAIL_VERIFIED)
    is_active: bool = Field(description=IS_ACTIVE)
    role: Role = Field(description=ROLE)
    phone: str | None = Field(description="In E.164", examples=["+12025550123"])
    website: str | None = Field(description="An http or https address", examples=["https://ada.example.com"])
    created_at: datetime = Field(description="When the account was made")
    updated_at: datetime = Field(description="When it was last changed")


@dataclass(frozen=True, slots=True)
class UserSelection:
    """The people who match every given field; ``q`` is the beginning of an address or a name, or a number."""

    q: str | None = None
    role: Role | None = None
    is_active: bool | None = None


EVERYBODY: Final = UserSelection()


class UserPage(PageInfo):
    """A part of the list of users."""

    users: list[UserRead] = Field(description="The people of this part")
