"""The subscriptions of e-mail: the channel that delivers them, and the e-mails with links that people request."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tradepost.accounts.messages import (
    AccountEnded,
    EmailChangeAsked,
    PasswordResetRequested,
    VerificationRequested,
)
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.messages import Channel, Envelope, Message, React, Subscriptions, Traced
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.resources import Resources
from tradepost.notifications.mail.messages import EmailDue
from tradepost.notifications.mail.service import MailService
from tradepost.notifications.mail.smtp import CONNECTIONS

MAIL: Final = Channel("mail", concurrency=CONNECTIONS, timeout=60.0)

ASKED_FOR: Final[Mapping[type[Message], Callable[[Any], EmailDue]]] = {
    VerificationRequested: lambda fact: EmailDue("verify_email", fact.user_id, {"token_id": fact.token_id}),
    EmailChangeAsked: lambda fact: EmailDue(
        "confirm_email_change", fact.user_id, {"token_id": fact.token_id}
    ),
    PasswordResetRequested: lambda fact: EmailDue(
        "password_reset", fact.user_id, {"token_id": fact.token_id}
    ),
}
"""A requested link goes out by e-mail alone, whatever the person's preferences."""


def subscribe(subscriptions: Subscriptions, resources: Resources) -> None:
    """Deliver due e-mails over the mail channel, and turn requests for links into due e-mails."""
    outbox = resources[Outbox]

    def sending(plan: Callable[[Any], EmailDue]) -> React:
        async def react(db: WriteSession, envelopes: Sequence[Envelope[Any]]) -> None:
            await outbox.add(
                db, *(Traced(plan(envelope.message), envelope.traceparent) for envelope in envelopes)
            )

        return react

    for fact, plan in ASKED_FOR.items():
        subscriptions.react(f"notifications.mail_from.{fact.type}", fact, sending(plan))
    subscriptions.deliver("notifications.mail", EmailDue, MAIL, resources[MailService].deliver)
    subscriptions.deliver("notifications.farewells", AccountEnded, MAIL, resources[MailService].say_farewell)
