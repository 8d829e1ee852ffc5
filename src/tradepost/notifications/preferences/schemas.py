"""Request and response bodies of preferences."""

from typing import Annotated

from pydantic import Field

from tradepost.core.wire.schemas import Input, Output


class PreferenceChange(Input):
    """A choice about one kind: a channel that is not sent stays as it is, ``null`` goes back to the default."""

    kind: Annotated[str, Field(max_length=32)]
    email: Annotated[bool, Field(strict=True)] | None = None
    inbox: Annotated[bool, Field(strict=True)] | None = None


class PreferencesChange(Input):
    """Choices about kinds; the others stay as they are."""

    preferences: Annotated[list[PreferenceChange], Field(max_length=100)]


class PreferenceRead(Output):
    """What a person is told of one kind, and over which channels; those in ``fixed`` cannot be chosen."""

    kind: str
    description: str
    email: bool
    inbox: bool
    fixed: list[str]


class PreferencesRead(Output):
    """Every kind, in a fixed order."""

    preferences: list[PreferenceRead]
