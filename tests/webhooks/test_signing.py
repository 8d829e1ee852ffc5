"""Secrets and signatures, held against the library of the rules we sign by."""

from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tradepost.core.secret_keys import SecretKeys
from tradepost.webhooks.signing import Signer

SIGNER = Signer(SecretKeys("a key of at least thirty-two bytes for tests"))
BODY = b'{"type":"items.created","data":{"title":"\\u00e9"}}'


def headers(*nonces: str, now: datetime | None = None) -> dict[str, str]:
    return SIGNER.headers(7, nonces, message_id="msg_1", now=now or datetime.now(UTC), body=BODY)


def test_the_library_accepts_what_we_sign() -> None:
    assert Webhook(SIGNER.secret(7, "n")).verify(BODY, headers("n"))["type"] == "items.created"


def test_each_of_two_secrets_does() -> None:
    both = headers("new", "old")
    assert both["webhook-signature"].count("v1,") == 2
    for nonce in ("new", "old"):
        Webhook(SIGNER.secret(7, nonce)).verify(BODY, both)


def test_a_receiver_keeps_its_secret_when_the_key_is_exchanged() -> None:
    exchanged = Signer(
        SecretKeys("another key of thirty-two bytes!", "a key of at least thirty-two bytes for tests")
    )
    signed = exchanged.headers(7, ["n"], message_id="msg_1", now=datetime.now(UTC), body=BODY)
    for secret in (SIGNER.secret(7, "n"), exchanged.secret(7, "n")):
        assert Webhook(secret).verify(BODY, signed)["type"] == "items.created"


@pytest.mark.parametrize(
    "secret",
    [
        SIGNER.secret(8, "n"),
        SIGNER.secret(7, "m"),
        Signer(SecretKeys("another key of thirty-two bytes!")).secret(7, "n"),
    ],
)
def test_no_other_secret_does(secret: str) -> None:
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(BODY, headers("n"))


def test_nothing_may_be_changed() -> None:
    library = Webhook(SIGNER.secret(7, "n"))
    for changed in (
        {"webhook-id": "msg_2"},
        {"webhook-timestamp": str(int(datetime.now(UTC).timestamp()) + 60)},
    ):
        with pytest.raises(WebhookVerificationError):
            library.verify(BODY, headers("n") | changed)
    with pytest.raises(WebhookVerificationError):
        library.verify(BODY + b" ", headers("n"))
    with pytest.raises(WebhookVerificationError):
        library.verify(BODY, headers("n", now=datetime.now(UTC) - timedelta(minutes=10)))
