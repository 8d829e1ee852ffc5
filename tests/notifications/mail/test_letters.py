"""What e-mails say: every kind has its words, whole ones, and what is filled in stays text."""

import dataclasses
from typing import Any

import pytest
from jinja2 import TemplateNotFound, UndefinedError

from tests.notifications.mail.test_headers import NASTY
from tradepost.notifications.kinds import KINDS, Choice, Kind
from tradepost.notifications.mail.letters import Letters

LETTERS = Letters(project="Trade & <post>", public_url="https://market.example.com", api_path="/api/v1")
LINK = "https://market.example.com/account/reset-password#token=abc"
PARAMS: dict[str, Any] = {
    "item_id": 7,
    "item_title": "Lamp",
    "webhook_id": 3,
    "url": "https://x",
    "reason": "Gone.",
}


def sample(kind: Kind[Any]) -> Any:
    """Return a fact of a kind, with values of the right types."""
    values = {
        field.name: "text" if "str" in str(field.type) else 7 for field in dataclasses.fields(kind.fact)
    }
    return kind.fact(**values)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_kind_can_be_told_by_email(kind: Kind[Any]) -> None:
    if kind.email is Choice.NEVER:
        return
    fact = sample(kind)
    params = kind.letter(fact) if kind.letter else kind.note(fact).data
    assert params is not None
    letter = LETTERS.write(kind.name, name=None, link=LINK, params=params)
    assert letter.subject


@pytest.mark.parametrize("kind", LETTERS.kinds)
@pytest.mark.parametrize("name", [None, "Ada"])
def test_a_letter_is_whole(kind: str, name: str | None) -> None:
    letter = LETTERS.write(kind, name=name, link=LINK, params=PARAMS)
    greeting = "Hello Ada," if name else "Hello,"
    assert letter.text.startswith(greeting)
    assert f"<p>{greeting}</p>" in letter.html
    for text in (letter.subject, letter.text, letter.html):
        assert "{{" not in text
        assert "{%" not in text
        assert "None" not in text
    assert "\n" not in letter.subject
    assert "Trade & <post>" in letter.text
    assert "Trade &amp; &lt;post&gt;" in letter.html
    assert (LINK in letter.text) == (LINK in letter.html)


@pytest.mark.parametrize("nasty", NASTY)
def test_what_is_filled_in_stays_text(nasty: str) -> None:
    for kind in LETTERS.kinds:
        plain = LETTERS.write(kind, name="A", link=LINK, params=PARAMS)
        params = {key: nasty if isinstance(value, str) else value for key, value in PARAMS.items()}
        letter = LETTERS.write(kind, name=nasty, link=LINK, params=params)
        assert letter.html.count("<") <= plain.html.count("<"), "no tag more; fewer without a title"
        assert letter.text.count("\n") <= plain.text.count("\n"), "no line more"


def test_a_hole_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        LETTERS.write("item_created", name="Ada", link=None, params={"item_id": 7})
    with pytest.raises(TemplateNotFound):
        LETTERS.write("_layout", name="Ada", link=None, params={})
