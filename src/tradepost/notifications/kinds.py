"""The table of notification kinds: for each fact its audience, the words, and the channels.

To add a kind: the domain's message, an entry in ``KINDS``, and a pair of templates if it goes out by e-mail.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar

from tradepost.accounts.messages import (
    ApiKeysRevoked,
    EmailChangeAsked,
    EmailChanged,
    EmailChangeUndone,
    GrantsRevoked,
    PasswordChanged,
    RecoveryCodeUsed,
    SecondFactorDisabled,
    SecondFactorEnabled,
    SecondFactorLifted,
    UserRegistered,
)
from tradepost.core.messaging.messages import Message
from tradepost.events.messages import CancellationDue, ChangeDue, ParticipantRemoved, ReminderDue, SeatsGiven
from tradepost.events.zones import local_time
from tradepost.items.messages import ItemCreated, ItemsBulkCreated
from tradepost.webhooks.messages import WebhookDisabled

M = TypeVar("M", bound=Message)


class ChannelPolicy(StrEnum):
    """Whether a channel carries a kind, and whether the person can change that."""

    ALWAYS = "always"
    """For what a person must learn, such as that their password was changed."""
    ON = "on"
    """Unless switched off."""
    OFF = "off"
    """Once switched on."""
    NEVER = "never"

    @property
    def fixed(self) -> bool:
        """Whether the person cannot change it."""
        return self in {ChannelPolicy.ALWAYS, ChannelPolicy.NEVER}

    def carries(self, chosen: bool | None) -> bool:  # noqa: FBT001 - the person's choice, None for none
        """Tell whether the channel carries the kind, given the person's choice."""
        if self.fixed or chosen is None:
            return self in {ChannelPolicy.ALWAYS, ChannelPolicy.ON}
        return chosen


@dataclass(frozen=True, slots=True)
class Note:
    """A notification to one person: a line, a sentence, and values for programs."""

    user_id: int
    title: str
    body: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NotificationKind(Generic[M]):
    """An entry of the table. ``name`` is on the wire, in rows, and the name of its templates: it never changes."""

    name: str
    description: str
    """Shown with the preferences."""
    fact: type[M]
    notes: Callable[[M], Sequence[Note]]
    """The audience of a fact and its words: a note for each person, none where the fact concerns nobody."""
    email: ChannelPolicy = ChannelPolicy.ON
    inbox: ChannelPolicy = ChannelPolicy.ON
    """The live stream shows what comes into the inbox."""
    email_values: Callable[[M], Mapping[str, int | str] | None] | None = None
    """Values for the e-mail's templates where they are not the note's ``data``; it returns None for no e-mail."""


def _welcome(fact: UserRegistered) -> Sequence[Note]:
    return [Note(fact.user_id, "Welcome", "Good to have you here. Put something up for sale!")]


def _welcome_values(fact: UserRegistered) -> Mapping[str, int | str] | None:
    # An account that begins inactive is for a person who is to learn of it later.
    return None if fact.token_id is None else {"token_id": fact.token_id}


def _password_changed(fact: PasswordChanged) -> Sequence[Note]:
    return [
        Note(
            fact.user_id,
            "Password Changed",
            "Your password was changed and you were logged out everywhere. If that was not you, reset it now.",
        )
    ]


def _email_change_asked(fact: EmailChangeAsked) -> Sequence[Note]:
    return [
        Note(
            fact.user_id,
            "New E-mail Address Asked For",
            "Another e-mail address was asked for. If that was not you, set a new password now, and nothing changes.",
        )
    ]


def _email_changed(fact: EmailChanged) -> Sequence[Note]:
    return [
        Note(
            fact.user_id,
            "E-mail Address Changed",
            "Your account has another e-mail address now. The one before can undo it for 7 days, by a link that was sent there.",
        )
    ]


def _email_change_undone(fact: EmailChangeUndone) -> Sequence[Note]:
    return [
        Note(
            fact.user_id,
            "E-mail Address Restored",
            "Your account has its e-mail address from before again, and you were logged out everywhere. Set a new password: "
            "whoever changed the address knew yours.",
        )
    ]


def _second_factor_on(fact: SecondFactorEnabled) -> Sequence[Note]:
    return [
        Note(
            fact.user_id,
            "Second Factor On",
            "Logging in now takes a code of your authenticator. If that was not you, set a new password at once.",
        )
    ]


def _second_factor_off(fact: SecondFactorDisabled) -> Sequence[Note]:
    return [
        Note(
            fact.user_id,
            "Second Factor Removed",
            "Your password alone logs in again. If that was not you, set a new password at once.",
        )
    ]


def _second_factor_lifted(fact: SecondFactorLifted) -> Sequence[Note]:
    return [
        Note(
            fact.user_id,
            "Second Factor Removed by an Administrator",
            "An administrator removed your second factor: your password alone logs in now. If you did not ask for that, set a "
            "new password at once, and set the second factor up again.",
        )
    ]


def _recovery_code_used(fact: RecoveryCodeUsed) -> Sequence[Note]:
    return [
        Note(
            fact.user_id,
            "Recovery Code Used",
            f"A recovery code stood in for your authenticator. Codes that are left: {fact.left}.",
            {"codes_left": fact.left},
        )
    ]


def _api_keys_revoked(fact: ApiKeysRevoked) -> Sequence[Note]:
    keys = "1 API key was" if fact.number == 1 else f"{fact.number} API keys were"
    return [
        Note(
            fact.user_id,
            "API Keys Deleted",
            "Your new password proved for the first time that this account's e-mail address is yours. Somebody else "
            f"may have used the account before, so {keys} deleted. Make new ones for your programs.",
            {"api_keys": fact.number},
        )
    ]


def _grants_revoked(fact: GrantsRevoked) -> Sequence[Note]:
    webhooks = "1 webhook was" if fact.number == 1 else f"{fact.number} webhooks were"
    return [
        Note(
            fact.user_id,
            "Access Revoked",
            "Your new password proved for the first time that this account's e-mail address is yours. Somebody else "
            f"may have used the account before, so {webhooks} switched off. Switch on again only those you know.",
            {"webhooks": fact.number},
        )
    ]


def _item_created(fact: ItemCreated) -> Sequence[Note]:
    return [
        Note(
            fact.owner_id,
            "Item Created",
            f'Your item "{fact.title}" was created.',
            {"item_id": fact.item_id, "item_title": fact.title},
        )
    ]


def _about(
    fact: SeatsGiven | CancellationDue | ChangeDue | ReminderDue | ParticipantRemoved,
    title: str,
    words: str,
    **data: int,
) -> Sequence[Note]:
    """Return the same note for each of the people whom a fact about an event concerns."""
    people = (fact.user_id,) if isinstance(fact, ParticipantRemoved) else fact.user_ids
    starts = local_time(fact.start_date, fact.time_zone)
    values = {"event_id": fact.event_id, "event_title": fact.title, "starts": starts, **data}
    body = words.format(title=f'"{fact.title}"', starts=starts)
    return [Note(user_id, title, body, values) for user_id in people]


def _seats_given(fact: SeatsGiven) -> Sequence[Note]:
    return _about(
        fact, "You Have a Seat", "A seat came free at {title}, and it is yours. It begins at {starts}."
    )


def _event_cancelled(fact: CancellationDue) -> Sequence[Note]:
    return _about(fact, "Event Cancelled", "{title}, which was to begin at {starts}, was cancelled.")


def _event_removed(fact: ParticipantRemoved) -> Sequence[Note]:
    return _about(
        fact,
        "Taken Out of an Event",
        "You do not take part in {title} any more, which begins at {starts}: its organiser, or staff, took you out.",
    )


def _event_changed(fact: ChangeDue) -> Sequence[Note]:
    return _about(fact, "Event Changed", "{title} takes place at another time: it begins at {starts}.")


def _event_reminder(fact: ReminderDue) -> Sequence[Note]:
    when = "an hour" if fact.hours == 1 else f"{fact.hours} hours"
    return _about(fact, "Event Reminder", f"{{title}} begins in {when}, at {{starts}}.", hours=fact.hours)


def _items_bulk_created(fact: ItemsBulkCreated) -> Sequence[Note]:
    items = "1 item of yours was" if fact.number == 1 else f"{fact.number} items of yours were"
    return [Note(fact.owner_id, "Items Created", f"{items} created at once.", {"number": fact.number})]


def _webhook_disabled(fact: WebhookDisabled) -> Sequence[Note]:
    return [
        Note(
            fact.user_id,
            "Webhook Disabled",
            f"Nothing is sent to your webhook {fact.webhook_id} any more. {fact.reason}",
            {"webhook_id": fact.webhook_id, "url": fact.url, "reason": fact.reason},
        )
    ]


KINDS: Final[tuple[NotificationKind[Any], ...]] = (
    NotificationKind(
        "welcome",
        "A greeting to a new account",
        UserRegistered,
        _welcome,
        ChannelPolicy.ALWAYS,
        ChannelPolicy.ALWAYS,
        _welcome_values,
    ),
    NotificationKind(
        "password_changed",
        "Your password was changed",
        PasswordChanged,
        _password_changed,
        ChannelPolicy.ALWAYS,
        ChannelPolicy.ALWAYS,
    ),
    NotificationKind(
        "email_change_asked",
        "Another e-mail address was asked for",
        EmailChangeAsked,
        _email_change_asked,
        ChannelPolicy.ALWAYS,
        ChannelPolicy.ALWAYS,
    ),
    NotificationKind(
        "email_changed",
        "Your e-mail address was changed",
        EmailChanged,
        _email_changed,
        ChannelPolicy.ALWAYS,
        ChannelPolicy.ALWAYS,
        lambda fact: {"token_id": fact.token_id},
    ),
    NotificationKind(
        "email_change_undone",
        "A change of your e-mail address was undone",
        EmailChangeUndone,
        _email_change_undone,
        ChannelPolicy.ALWAYS,
        ChannelPolicy.ALWAYS,
    ),
    NotificationKind(
        "second_factor_on",
        "A second factor was switched on",
        SecondFactorEnabled,
        _second_factor_on,
        ChannelPolicy.ALWAYS,
        ChannelPolicy.ALWAYS,
    ),
    NotificationKind(
        "second_factor_off",
        "Your second factor was removed",
        SecondFactorDisabled,
        _second_factor_off,
        ChannelPolicy.ALWAYS,
        ChannelPolicy.ALWAYS,
    ),
    NotificationKind(
        "second_factor_lifted",
        "An administrator removed your second factor",
        SecondFactorLifted,
        _second_factor_lifted,
        ChannelPolicy.ALWAYS,
        ChannelPolicy.ALWAYS,
    ),
    NotificationKind(
        "recovery_code_used",
        "A recovery code was used in place of your authenticator",
        RecoveryCodeUsed,
        _recovery_code_used,
        ChannelPolicy.ALWAYS,
        ChannelPolicy.ALWAYS,
    ),
    NotificationKind(
        "access_revoked",
        "Webhooks from before your e-mail address was proved were switched off",
        GrantsRevoked,
        _grants_revoked,
        ChannelPolicy.ALWAYS,
        ChannelPolicy.ALWAYS,
    ),
    NotificationKind(
        "api_keys_revoked",
        "API keys from before your e-mail address was proved were deleted",
        ApiKeysRevoked,
        _api_keys_revoked,
        ChannelPolicy.ALWAYS,
        ChannelPolicy.ALWAYS,
    ),
    NotificationKind(
        "webhook_disabled",
        "A webhook of yours was switched off",
        WebhookDisabled,
        _webhook_disabled,
        inbox=ChannelPolicy.ALWAYS,
    ),
    NotificationKind("item_created", "An item of yours was put up for sale", ItemCreated, _item_created),
    NotificationKind(
        "event_seat", "You waited for a seat at an event, and have one", SeatsGiven, _seats_given
    ),
    NotificationKind(
        "event_cancelled", "An event that you joined was cancelled", CancellationDue, _event_cancelled
    ),
    NotificationKind(
        "event_removed",
        "The organiser of an event, or staff, took you out of it",
        ParticipantRemoved,
        _event_removed,
    ),
    NotificationKind(
        "event_changed", "An event that you joined takes place at another time", ChangeDue, _event_changed
    ),
    NotificationKind("event_reminder", "An event that you joined begins soon", ReminderDue, _event_reminder),
    NotificationKind(
        "items_bulk_created",
        "Many items of yours were put up for sale at once",
        ItemsBulkCreated,
        _items_bulk_created,
        email=ChannelPolicy.NEVER,
    ),
)

KINDS_BY_NAME: Final[Mapping[str, NotificationKind[Any]]] = {kind.name: kind for kind in KINDS}
