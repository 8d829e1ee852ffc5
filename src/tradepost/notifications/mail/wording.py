"""The words of an e-mail, and who finds them; the engine of the templates is imported with the first e-mail."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tradepost.core.wire.characters import without_controls


@dataclass(frozen=True, slots=True)
class EmailText:
    """The words of an e-mail."""

    subject: str
    text: str
    html: str


class Wording(Protocol):
    """Finds the words of e-mails."""

    def render(
        self,
        template: str,
        *,
        first_name: str | None,
        link: str | None,
        unsubscribe: str | None = None,
        values: Mapping[str, Any],
    ) -> EmailText:
        """Return the words of an e-mail, as ``EmailTemplates`` does."""
        ...


def one_line(text: str) -> str:
    """Return ``text`` without characters that could begin a line of their own or reverse the direction of what follows."""
    return " ".join(without_controls(text).split())
