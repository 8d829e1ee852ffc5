"""Delivery of e-mails: from a due message to one composed e-mail in the hands of a mailer."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import structlog

from tradepost.accounts.farewells import Farewells
from tradepost.accounts.messages import AccountEnded
from tradepost.accounts.recovery import RecoveryService
from tradepost.core.messaging.messages import Envelope, Undeliverable
from tradepost.core.observability.trace_context import trace_id
from tradepost.notifications.kinds import KINDS_BY_NAME
from tradepost.notifications.mail.composition import Email, Mailbox, compose
from tradepost.notifications.mail.email_templates import EmailTemplates, EmailText
from tradepost.notifications.mail.messages import EmailDue
from tradepost.notifications.preferences.unsubscribe import UnsubscribeLinks

log = structlog.get_logger(__name__)


class Mailer(Protocol):
    """A way to send e-mails, chosen by the settings."""

    async def send(self, mail: Email, /) -> None:
        """Hand an e-mail on; ``Undeliverable`` is final, any other error means a retry."""
        ...

    async def close(self) -> None:
        """Close what is open."""
        ...


class NoMailer:
    """Refuses every e-mail where no mail server is set: each is kept as a dead message that says why."""

    async def send(self, _mail: Email, /) -> None:
        raise Undeliverable("no e-mail can be sent: SMTP_HOST is not set")

    async def close(self) -> None:
        """Do nothing: nothing is open."""


class UnreliableMailer:
    """A mailer around another that fails on purpose: ``fail`` is asked before each e-mail, and raises while there is trouble."""

    def __init__(self, mailer: Mailer, fail: Callable[[], None]) -> None:
        self._mailer = mailer
        self._fail = fail

    async def send(self, mail: Email, /) -> None:
        self._fail()
        await self._mailer.send(mail)

    async def close(self) -> None:
        await self._mailer.close()


class MailService:
    """Composes and sends e-mails to the address that the account has at that moment, or to that of a link."""

    def __init__(
        self,
        *,
        recovery: RecoveryService,
        farewells: Farewells,
        templates: EmailTemplates,
        unsubscribe_links: UnsubscribeLinks,
        mailer: Mailer,
        sender: Mailbox,
    ) -> None:
        self._recovery = recovery
        self._farewells = farewells
        self._unsubscribe_links = unsubscribe_links
        self._templates = templates
        self._mailer = mailer
        self._sender = sender

    async def deliver(self, envelope: Envelope[EmailDue]) -> None:
        """Send one e-mail. One whose account or link is gone is settled without sending."""
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
        # A stranger can register anybody's address under a name that is an advertisement, or ask for it to be theirs: until
        # the address is proved, no text that was typed in under the account, such as a name or a title, is sent there.
        proved = addressee.is_proved
        kind = KINDS_BY_NAME.get(due.template)
        is_optional = kind is not None and not kind.email.fixed
        unsubscribe = self._unsubscribe_links.url(user.id, due.template) if is_optional else None
        words = self._templates.render(
            due.template,
            first_name=user.first_name if proved else None,
            link=addressee.link,
            unsubscribe=unsubscribe,
            values=due.params if proved else _without_texts(due.params),
        )
        recipient = Mailbox(addressee.email, user.full_name if proved else "")
        await self._send(envelope, due.template, words, recipient, unsubscribe)

    async def say_farewell(self, envelope: Envelope[AccountEnded]) -> None:
        """Tell the address of an account that is gone, for the last time; nothing that was typed in under it."""
        address = self._farewells.address(envelope.message)
        if address is None:
            log.info("e-mail not sent", message=envelope.id, reason="its key counts no more")
            return
        words = self._templates.render("account_ended", first_name=None, link=None, values={})
        await self._send(envelope, "account_ended", words, Mailbox(address))

    async def _send(
        self,
        envelope: Envelope[Any],
        template: str,
        words: EmailText,
        recipient: Mailbox,
        unsubscribe: str | None = None,
    ) -> None:
        moment = envelope.created_at
        stamp = f"{moment:%Y%m%dT%H%M%S%f}"
        email = compose(
            words,
            sender=self._sender,
            recipient=recipient,
            message_id=f"{stamp}.{envelope.id}@{self._sender.email.rpartition('@')[2]}",
            date=moment,
            filed_as=f"{stamp}-{envelope.id}-{template}",
            unsubscribe=unsubscribe,
            trace=None if envelope.traceparent is None else trace_id(envelope.traceparent),
        )
        await self._mailer.send(email)
        log.info("e-mail sent", message=envelope.id, template=template)


def _without_texts(params: Mapping[str, int | str]) -> Mapping[str, int | str]:
    """Return ``params`` with each text empty: templates do without it."""
    return {name: "" if isinstance(value, str) else value for name, value in params.items()}
