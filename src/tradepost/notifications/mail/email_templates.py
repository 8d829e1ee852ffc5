"""The words of e-mails: a pair of templates for each, text and HTML; the first line of the text is the subject."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, TemplateNotFound, select_autoescape

from tradepost.core.wire.characters import without_controls

SUBJECT: Final = "Subject: "
LONGEST_SUBJECT: Final = 150


@dataclass(frozen=True, slots=True)
class EmailText:
    """The words of an e-mail."""

    subject: str
    text: str
    html: str


def one_line(text: str) -> str:
    """Return ``text`` without characters that could begin a line of their own or reverse the direction of what follows."""
    return " ".join(without_controls(text).split())


class EmailTemplates:
    """Renders e-mails. Its constructor reads and compiles every template: call it off the event loop.

    A value that is missing raises: a hole in an e-mail is worse than a dead message that says why. In HTML every value is
    escaped.
    """

    def __init__(self, *, project: str, public_url: str) -> None:
        environment = Environment(
            loader=PackageLoader(__package__),
            autoescape=select_autoescape(["html"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            auto_reload=False,
        )
        environment.globals |= {
            "project": one_line(project),
            "public_url": public_url,
        }
        self._templates = {name: environment.get_template(name) for name in environment.list_templates()}

    @property
    def names(self) -> list[str]:
        """The names of all pairs of templates, sorted."""
        texts = {name.removesuffix(".txt") for name in self._templates if name.endswith(".txt")}
        return sorted(
            name for name in texts if not name.startswith("_") and f"{name}.html" in self._templates
        )

    def render(
        self,
        template: str,
        *,
        first_name: str | None,
        link: str | None,
        unsubscribe: str | None = None,
        values: Mapping[str, Any],
    ) -> EmailText:
        """Render an e-mail; ``first_name`` is None for a person who is not to be named.

        ``unsubscribe`` is the link that switches e-mails of this kind off, where that is possible.
        """
        if template not in self.names:
            raise TemplateNotFound(template)
        given = {
            key: one_line(value) if isinstance(value, str) else value for key, value in values.items()
        } | {
            "name": one_line(first_name) if first_name else None,
            "link": link,
            "unsubscribe": unsubscribe,
        }
        subject, _, text = self._templates[f"{template}.txt"].render(given).partition("\n")
        if not subject.startswith(SUBJECT):
            raise ValueError(f"{template}.txt does not begin with its subject")
        return EmailText(
            one_line(subject.removeprefix(SUBJECT))[:LONGEST_SUBJECT],
            text.strip() + "\n",
            self._templates[f"{template}.html"].render(given),
        )
