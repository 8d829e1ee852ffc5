"""The way out for all e-mails, and those that somebody asked for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tradepost.accounts.messages import PasswordResetRequested, VerificationRequested
from tradepost.core.database.sessions import WriteSession
from tradepost.core.messaging.messages import Channel, Envelope, Message, React, Subscriptions
from tradepost.core.messaging.outbox import Outbox
from tradepost.core.resources import Resources
from tradepost.notifications.mail.messages import MailDue
from tradepost.notifications.mail.service import MailService
from tradepost.notifications.mail.smtp import CONNECTIONS

MAIL: Final = Channel("mail", concurrency=CONNECTIONS, timeout=60.0)

ASKED_FOR: Final[Mapping[type[Message], Callable[[Any], MailDue]]] = {
    VerificationRequested: lambda fact: MailDue("verify_email", fact.user_id, {"token_id": fact.token_id}),
    PasswordResetRequested: lambda fact: MailDue("password_reset", fact.user_id, {"token_id": fact.token_id}),
}
"""What carries a link that was asked for goes by e-mail and no other way, whatever the person prefers."""


def subscribe(subscriptions: Subscriptions, resources: Resources) -> None:
    """Send what is due, and have due what was asked for."""
    outbox = resources[Outbox]

    def sending(plan: Callable[[Any], MailDue]) -> React:
        async def react(db: WriteSession, envelopes: Sequence[Envelope[Any]]) -> None:
            await outbox.add(db, *(plan(envelope.message) for envelope in envelopes))

        return react

    for fact, plan in ASKED_FOR.items():
        subscriptions.react(f"notifications.mail_from.{fact.type}", fact, sending(plan))
    subscriptions.deliver("notifications.mail", MailDue, MAIL, resources[MailService].deliver)
