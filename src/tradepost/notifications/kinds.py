"""The table of contents of what people are told: for each fact whom it concerns, in which words, over which channels.

To add a kind: the domain's message, an entry in ``KINDS``, and a pair of templates if it is told by e-mail.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

from tradepost.accounts.messages import PasswordChanged, UserRegistered
from tradepost.core.messaging.messages import Message
from tradepost.items.messages import ItemCreated
from tradepost.webhooks.messages import WebhookDisabled

M = TypeVar("M", bound=Message)


class Choice(StrEnum):
    """Whether a channel carries a kind, and whether the person has a say in it."""

    ALWAYS = "always"
    """What the person must learn, such as that their password was changed."""
    ON = "on"
    """Unless switched off."""
    OFF = "off"
    """Once switched on."""
    NEVER = "never"

    @property
    def fixed(self) -> bool:
        """Whether nobody can choose."""
        return self in {Choice.ALWAYS, Choice.NEVER}

    def carries(self, chosen: bool | None) -> bool:  # noqa: FBT001 - what the person chose, None for nothing
        """Tell whether the channel carries the kind for somebody who chose so."""
        if self.fixed or chosen is None:
            return self in {Choice.ALWAYS, Choice.ON}
        return chosen


@dataclass(frozen=True, slots=True)
class Note:
    """What one person is told: a line, a sentence, and values for programs."""

    user_id: int
    title: str
    body: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kind(Generic[M]):
    """A kind of notification. ``name`` is on the wire, in rows, and the name of its templates: it never changes."""

    name: str
    description: str
    """What people choose by."""
    fact: type[M]
    note: Callable[[M], Note]
    email: Choice = Choice.ON
    inbox: Choice = Choice.ON
    """The live stream shows what comes into the inbox."""
    letter: Callable[[M], Mapping[str, int | str] | None] | None = None
    """What the e-mail's templates are filled in with, where that is not the note's ``data``; None for no e-mail."""


def _welcome(fact: UserRegistered) -> Note:
    return Note(fact.user_id, "Welcome", "Good to have you here. Put something up for sale!")


def _welcome_letter(fact: UserRegistered) -> Mapping[str, int | str] | None:
    # An account that is switched off from its start is for somebody who is to learn of it later.
    return None if fact.token_id is None else {"token_id": fact.token_id}


def _password_changed(fact: PasswordChanged) -> Note:
    return Note(
        fact.user_id,
        "Password Changed",
        "Your password was changed and you were logged out everywhere. If that was not you, reset it now.",
    )


def _item_created(fact: ItemCreated) -> Note:
    return Note(
        fact.owner_id,
        "Item Created",
        f'Your item "{fact.title}" was created.',
        {"item_id": fact.item_id, "item_title": fact.title},
    )


def _webhook_disabled(fact: WebhookDisabled) -> Note:
    return Note(
        fact.user_id,
        "Webhook Disabled",
        f"Nothing is sent to your webhook {fact.webhook_id} any more. {fact.reason}",
        {"webhook_id": fact.webhook_id, "url": fact.url, "reason": fact.reason},
    )


KINDS: Final[tuple[Kind[Any], ...]] = (
    Kind(
        "welcome",
        "A greeting to a new account",
        UserRegistered,
        _welcome,
        Choice.ALWAYS,
        Choice.ALWAYS,
        _welcome_letter,
    ),
    Kind(
        "password_changed",
        "Your password was changed",
        PasswordChanged,
        _password_changed,
        Choice.ALWAYS,
        Choice.ALWAYS,
    ),
    Kind(
        "webhook_disabled",
        "A webhook of yours was switched off",
        WebhookDisabled,
        _webhook_disabled,
        inbox=Choice.ALWAYS,
    ),
    Kind("item_created", "An item of yours was put up for sale", ItemCreated, _item_created),
)

BY_NAME: Final[Mapping[str, Kind[Any]]] = {kind.name: kind for kind in KINDS}
BY_FACT: Final[Mapping[type[Message], Kind[Any]]] = {kind.fact: kind for kind in KINDS}
