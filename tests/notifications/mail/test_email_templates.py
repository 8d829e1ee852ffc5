"""What e-mails say: every kind has its words, whole ones, and what is filled in stays text."""

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest
from jinja2 import TemplateNotFound, UndefinedError

from tests.notifications.mail.test_headers import NASTY
from tradepost.notifications.kinds import KINDS, ChannelPolicy, NotificationKind
from tradepost.notifications.mail.email_templates import EmailTemplates

TEMPLATES = EmailTemplates(project="Trade & <post>", public_url="https://market.example.com")
LINK = "https://market.example.com/account/reset-password#token=abc"
PARAMS: dict[str, Any] = {
    "item_id": 7,
    "item_title": "Lamp",
    "webhook_id": 3,
    "webhooks": 2,
    "api_keys": 2,
    "codes_left": 9,
    "event_id": 5,
    "event_title": "Repair café",
    "starts": "2026-12-05 18:00 (Europe/Berlin)",
    "hours": 24,
    "url": "https://x",
    "reason": "Gone.",
}


def sample(kind: NotificationKind[Any]) -> Any:
    """Return a fact of a kind, with values of the right types."""
    samples = {"tuple[int, ...]": (7,), str(datetime): datetime(2026, 12, 5, 17, tzinfo=UTC)}
    values = {
        field.name: samples.get(str(field.type), "text" if "str" in str(field.type) else 7)
        for field in dataclasses.fields(kind.fact)
    }
    return kind.fact(**values)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_can_be_told_by_email(kind: NotificationKind[Any]) -> None:
    if kind.email is ChannelPolicy.NEVER:
        return
    fact = sample(kind)
    for note in kind.notes(fact):
        values = kind.email_values(fact) if kind.email_values else note.data
        assert values is not None
        assert TEMPLATES.render(kind.name, first_name=None, link=LINK, values=values).subject


@pytest.mark.parametrize("template", TEMPLATES.names)
@pytest.mark.parametrize("name", [None, "Ada"])
def test_an_email_is_whole(template: str, name: str | None) -> None:
    email = TEMPLATES.render(template, first_name=name, link=LINK, values=PARAMS)
    greeting = "Hello Ada," if name else "Hello,"
    assert email.text.startswith(greeting)
    assert f"<p>{greeting}</p>" in email.html
    for text in (email.subject, email.text, email.html):
        assert "{{" not in text
        assert "{%" not in text
        assert "None" not in text
    assert "\n" not in email.subject
    assert "Trade & <post>" in email.text
    assert "Trade &amp; &lt;post&gt;" in email.html
    assert (LINK in email.text) == (LINK in email.html)


@pytest.mark.parametrize("nasty", NASTY)
def test_what_is_filled_in_stays_text(nasty: str) -> None:
    for template in TEMPLATES.names:
        plain = TEMPLATES.render(template, first_name="A", link=LINK, values=PARAMS)
        values = {key: nasty if isinstance(value, str) else value for key, value in PARAMS.items()}
        email = TEMPLATES.render(template, first_name=nasty, link=LINK, values=values)
        assert email.html.count("<") <= plain.html.count("<"), "no tag more; fewer without a title"
        assert email.text.count("\n") <= plain.text.count("\n"), "no line more"


def test_a_hole_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        TEMPLATES.render("item_created", first_name="Ada", link=None, values={"item_id": 7})
    with pytest.raises(TemplateNotFound):
        TEMPLATES.render("_layout", first_name="Ada", link=None, values={})
