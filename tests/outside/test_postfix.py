"""Postfix's own answers: final for a mailbox that it does not have, and tried again whatever else it refuses."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from tests.outside import postfix
from tradepost.core.clock import SystemClock
from tradepost.core.messaging.messages import Undeliverable
from tradepost.notifications.mail.composition import Email, Mailbox, compose
from tradepost.notifications.mail.email_templates import EmailText
from tradepost.notifications.mail.smtp import Encryption, MailFailed, SmtpMailer, SmtpOptions

pytestmark = pytest.mark.skipif(
    postfix.BINARY is None or not postfix.IS_ROOT,
    reason="needs Postfix, and root to start it (Debian: apt-get install postfix)",
)

REFUSED = "smtpd_recipient_restrictions = check_recipient_access inline:{{ {{known@example.com={}}} }}"
SERVICES = {
    "plain": ["smtpd_helo_required = yes"],
    "helo": ["smtpd_helo_restrictions = reject_non_fqdn_helo_hostname"],
    "named": ["smtpd_helo_restrictions = check_helo_access inline:{ shop.example.com=REJECT }"],
    "client": ["smtpd_client_restrictions = check_client_access inline:{ 127.0.0.1=REJECT }"],
    "sender": ["smtpd_sender_restrictions = check_sender_access inline:{ shop@example.com=REJECT }"],
    "code": ["smtpd_sender_restrictions = check_sender_access inline:{ {shop@example.com=550 5.1.8 no} }"],
    "full": [REFUSED.format("552 5.2.2 full")],
    "grey": [REFUSED.format("450 4.2.0 grey")],
    "closed": [REFUSED.format("550 5.2.1 closed")],
    "uncoded": [REFUSED.format("550 no such user")],
    "size": ["message_size_limit = 200"],
}


@pytest.fixture(scope="module")
def ports() -> Iterator[dict[str, int]]:
    with postfix.running(SERVICES) as ports:
        yield ports


@pytest_asyncio.fixture
async def mailers() -> AsyncIterator[list[SmtpMailer]]:
    """Mailers that a test made, closed at its end."""
    made: list[SmtpMailer] = []
    yield made
    for mailer in made:
        await mailer.close()


def email_to(recipient: str) -> Email:
    return compose(
        EmailText("Hello", "Hello.\n", "<p>Hello.</p>"),
        sender=Mailbox("shop@example.com", "Shop"),
        recipient=Mailbox(recipient),
        message_id="1@example.com",
        date=datetime.now(UTC),
        filed_as="1",
    )


def mailer_for(port: int, hello: str) -> SmtpMailer:
    return SmtpMailer(SmtpOptions("127.0.0.1", port, Encryption.NONE, hello), SystemClock())


async def test_a_known_mailbox_gets_its_email(ports: dict[str, int], mailers: list[SmtpMailer]) -> None:
    mailers.append(mailer := mailer_for(ports["plain"], "shop.example.com"))
    for _ in range(2):
        await mailer.send(email_to("known@example.com"))


@pytest.mark.parametrize(
    ("service", "recipient", "answer"),
    [("plain", "unknown@example.com", "550 5.1.1"), ("closed", "known@example.com", "550 5.2.1")],
)
async def test_an_answer_about_the_mailbox_is_final(
    ports: dict[str, int], mailers: list[SmtpMailer], service: str, recipient: str, answer: str
) -> None:
    mailers.append(mailer := mailer_for(ports[service], "shop.example.com"))
    with pytest.raises(Undeliverable) as caught:
        await mailer.send(email_to(recipient))
    assert f"the mail server answered {answer}" in str(caught.value)
    assert recipient not in str(caught.value)


@pytest.mark.parametrize(
    ("service", "hello", "recipient", "answer"),
    [
        ("helo", "localhost", "known@example.com", "504 5.5.2"),
        ("named", "shop.example.com", "known@example.com", "554 5.7.1"),
        ("client", "shop.example.com", "known@example.com", "554 5.7.1"),
        ("sender", "shop.example.com", "known@example.com", "554 5.7.1"),
        ("code", "shop.example.com", "known@example.com", "550 5.1.8"),
        ("plain", "shop.example.com", "somebody@elsewhere.example", "554 5.7.1"),
        ("full", "shop.example.com", "known@example.com", "552 5.2.2"),
        ("grey", "shop.example.com", "known@example.com", "450 4.2.0"),
        # Postfix adds the code where its configuration gives none.
        ("uncoded", "shop.example.com", "known@example.com", "550 5.7.1"),
        ("size", "shop.example.com", "known@example.com", "552 5.3.4"),
    ],
)
async def test_any_other_refusal_is_tried_again(
    *, ports: dict[str, int], mailers: list[SmtpMailer], service: str, hello: str, recipient: str, answer: str
) -> None:
    mailers.append(mailer := mailer_for(ports[service], hello))
    with pytest.raises(MailFailed) as caught:
        await mailer.send(email_to(recipient))
    assert f"the mail server answered {answer}" in str(caught.value)
    assert recipient not in str(caught.value)
