"""Which facts an e-mail follows from whatever the person prefers, and the way out for all e-mails."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tradepost.accounts.messages import (
    PasswordChanged,
    PasswordResetRequested,
    UserRegistered,
    VerificationRequested,
)
from tradepost.core.database import WriteSession
from tradepost.core.messages import Channel, Envelope, Message, React, Subscriptions
from tradepost.core.outbox import Outbox
from tradepost.core.resources import Resources
from tradepost.notifications.mail.messages import MailDue
from tradepost.notifications.mail.service import MailService
from tradepost.notifications.mail.smtp import CONNECTIONS

MAIL: Final = Channel("mail", concurrency=CONNECTIONS, timeout=90.0)


def _welcome(fact: UserRegistered) -> MailDue | None:
    # An account that is switched off from its start is for somebody who is to learn of it later.
    if fact.token_id is None:
        return None
    return MailDue("welcome", fact.user_id, {"token_id": fact.token_id})


ACCOUNT_MAILS: Final[Mapping[type[Message], Callable[[Any], MailDue | None]]] = {
    UserRegistered: _welcome,
    VerificationRequested: lambda fact: MailDue("verify_email", fact.user_id, {"token_id": fact.token_id}),
    PasswordResetRequested: lambda fact: MailDue("password_reset", fact.user_id, {"token_id": fact.token_id}),
    PasswordChanged: lambda fact: MailDue("password_changed", fact.user_id),
}
"""What is sent about an account is always sent."""


def subscribe(subscriptions: Subscriptions, parts: Resources) -> None:
    """Send what is due, and have something due because of what happens to accounts."""
    outbox = parts[Outbox]

    def sending(plan: Callable[[Any], MailDue | None]) -> React:
        async def react(session: WriteSession, envelopes: Sequence[Envelope[Any]]) -> None:
            due = (plan(envelope.message) for envelope in envelopes)
            await outbox.add(session, *(message for message in due if message is not None))

        return react

    for fact, plan in ACCOUNT_MAILS.items():
        subscriptions.react(f"notifications.mail_from.{fact.type}", fact, sending(plan))
    subscriptions.deliver("notifications.mail", MailDue, MAIL, parts[MailService].deliver)
