"""Request and response bodies of preferences."""

from pydantic import Field, StrictBool

from tradepost.core.wire.schemas import Input, Output, example
from tradepost.notifications.kinds import KINDS_BY_NAME


class PreferenceChange(Input):
    """A choice about one kind: a channel that is not sent stays as it is, ``null`` goes back to the default."""

    kind: str = Field(
        max_length=32,
        description="The kind, as `GET` names it; each at most once",
        json_schema_extra={"enum": list(KINDS_BY_NAME)},
    )
    email: StrictBool | None = Field(default=None, description="Whether to be told by e-mail")
    inbox: StrictBool | None = Field(default=None, description="Whether to be told in the inbox")


class PreferencesChange(Input):
    """Choices about kinds; the others stay as they are."""

    model_config = example(preferences=[{"kind": "item_created", "email": False, "inbox": True}])

    preferences: list[PreferenceChange] = Field(max_length=100, description="The choices")


class PreferenceRead(Output):
    """What a person is told of one kind, and over which channels; those in ``fixed`` cannot be chosen."""

    kind: str = Field(description="The kind, for programs", examples=["item_created"])
    description: str = Field(
        description="The kind, for people", examples=["An item of yours was put up for sale"]
    )
    email: bool = Field(description="Whether one is told by e-mail")
    inbox: bool = Field(description="Whether one is told in the inbox")
    fixed: list[str] = Field(description="The channels that cannot be chosen", examples=[[]])


class PreferencesRead(Output):
    """Every kind, in a fixed order."""

    preferences: list[PreferenceRead] = Field(description="Every kind")
