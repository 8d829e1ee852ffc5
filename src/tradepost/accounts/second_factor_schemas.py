"""What comes in and goes out about the second factor, and what asks for a code of it."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import Field, StringConstraints

from tradepost.core.wire.schemas import AllShownOnce, Input, Output, ShownOnce, example

_CODE: Final = "Six digits of the authenticator"
Code = Annotated[str, Field(min_length=1, max_length=64, json_schema_extra={"pattern": r"\S"})]
"""A code of the second factor; spaces and hyphens in it do not count."""
CurrentPassword = Annotated[
    str,
    StringConstraints(strip_whitespace=False, max_length=1024),
    Field(description="The password in force", json_schema_extra={"format": "password"}),
]


class TotpConfirmation(Input):
    """The first code of an authenticator."""

    model_config = example(code="123456")

    code: Code = Field(description=_CODE)


class TotpRemoval(Input):
    """What removes the second factor."""

    model_config = example(password="Tradepost1", code="123456")  # noqa: S106 - an example

    password: CurrentPassword
    code: Code = Field(description=f"{_CODE}, or a recovery code")


class TotpSetup(Output):
    """A secret for an authenticator."""

    secret: ShownOnce = Field(
        description="To be typed in, in base 32", examples=["JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"]
    )
    otpauth_uri: ShownOnce = Field(
        description="The same for a QR code",
        examples=["otpauth://totp/Tradepost:ada%40example.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"],
    )


class SecondFactorState(Output):
    """Whether a person has a second factor in force."""

    enabled: bool = Field(description="Whether logging in takes a code")
    enabled_at: datetime | None = Field(description="Since when; `null` without one")
    recovery_codes_left: int = Field(description="Recovery codes that were not used yet", examples=[10])


class RecoveryCodes(Output):
    """Codes for when the authenticator is lost, each good once."""

    recovery_codes: AllShownOnce = Field(
        description="To be kept apart from the authenticator", examples=[["mfrgg-zdfmz", "tgoji-nbswy"]]
    )


class AccountEnd(Input):
    """What ends one's own account."""

    model_config = example(password="Tradepost1")  # noqa: S106 - an example

    password: CurrentPassword
    code: str = Field(
        default="",
        max_length=64,
        description="A code of the second factor, or a recovery code, for accounts that have one",
    )
