"""From a message to an e-mail that is on its way."""

from collections.abc import Mapping
from typing import Protocol

import structlog

from tradepost.accounts.recovery import RecoveryService
from tradepost.core.messaging.messages import Envelope, Undeliverable
from tradepost.notifications.mail.composition import Mail, Mailbox, compose
from tradepost.notifications.mail.letters import Letters
from tradepost.notifications.mail.messages import MailDue

log = structlog.get_logger(__name__)


class Mailer(Protocol):
    """A way out for e-mails, chosen by settings."""

    async def send(self, mail: Mail, /) -> None:
        """Hand ``mail`` on; ``Undeliverable`` when it can never be, any other error when it may be later."""
        ...

    async def close(self) -> None:
        """Let go of what is held open."""
        ...


class NoMailer:
    """Stands where there is no mail server: what should be sent is kept as a dead message that says why."""

    async def send(self, _mail: Mail, /) -> None:
        raise Undeliverable("no e-mail can be sent: SMTP_HOST is not set")

    async def close(self) -> None:
        """There is nothing to close."""


class MailService:
    """Writes and sends e-mails, each as its message says and to who has the account now."""

    def __init__(
        self, *, recovery: RecoveryService, letters: Letters, mailer: Mailer, sender: Mailbox
    ) -> None:
        self._recovery = recovery
        self._letters = letters
        self._mailer = mailer
        self._sender = sender

    async def deliver(self, envelope: Envelope[MailDue]) -> None:
        """Send one e-mail. What nobody could use any more is settled without sending."""
        due = envelope.message
        token_id = due.params.get("token_id")
        addressee = await self._recovery.addressee(
            due.user_id, token_id=token_id if isinstance(token_id, int) else None
        )
        if addressee is None or (token_id is not None and addressee.link is None):
            reason = "the account is gone" if addressee is None else "its link is not good any more"
            log.info("e-mail not sent", message=envelope.id, template=due.template, reason=reason)
            return
        user = addressee.user
        # A stranger can register anybody's address, under a name that is an advertisement: until the address is proved,
        # nothing that was typed in with it, nor by whoever is logged in there, a title say, is sent there.
        proved = user.email_verified_at is not None
        params = due.params if proved else _without_texts(due.params)
        letter = self._letters.write(
            due.template, name=user.first_name if proved else None, link=addressee.link, params=params
        )
        moment = envelope.created_at
        stamp = f"{moment:%Y%m%dT%H%M%S%f}"
        mail = compose(
            letter,
            sender=self._sender,
            recipient=Mailbox(user.email, user.full_name if proved else ""),
            message_id=f"{stamp}.{envelope.id}@{self._sender.email.rpartition('@')[2]}",
            date=moment,
            filed_as=f"{stamp}-{envelope.id}-{due.template}",
        )
        await self._mailer.send(mail)


def _without_texts(params: Mapping[str, int | str]) -> Mapping[str, int | str]:
    """Return ``params`` with nothing in place of each text: templates do without."""
    return {name: "" if isinstance(value, str) else value for name, value in params.items()}
