"""What e-mails say: a pair of templates for each kind, text and HTML; the text's first line is the subject."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined, TemplateNotFound, select_autoescape

from tradepost.core.wire.characters import is_control

SUBJECT: Final = "Subject: "
LONGEST_SUBJECT: Final = 150


@dataclass(frozen=True, slots=True)
class Letter:
    """An e-mail's words."""

    subject: str
    text: str
    html: str


def one_line(text: str) -> str:
    """Return ``text`` without anything that could begin a line of its own or turn the letters after it around."""
    return " ".join("".join(" " if is_control(letter) else letter for letter in text).split())


class Letters:
    """Writes letters. Reads and compiles every template when it is made: do that off the event loop.

    What a template names and is not given fails the letter: a hole in an e-mail is worse than a message that stays
    undelivered and says why. In HTML, everything that is filled in is escaped.
    """

    def __init__(self, *, project: str, public_url: str, api_path: str) -> None:
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
            "api_url": f"{public_url}{api_path}",
        }
        self._templates = {name: environment.get_template(name) for name in environment.list_templates()}

    @property
    def kinds(self) -> list[str]:
        """The names of all letters, sorted."""
        texts = {name.removesuffix(".txt") for name in self._templates if name.endswith(".txt")}
        return sorted(
            kind for kind in texts if not kind.startswith("_") and f"{kind}.html" in self._templates
        )

    def write(self, kind: str, *, name: str | None, link: str | None, params: Mapping[str, Any]) -> Letter:
        """Write a letter to somebody of this first ``name``, None for who is not to be named."""
        if kind not in self.kinds:
            raise TemplateNotFound(kind)
        given = {
            key: one_line(value) if isinstance(value, str) else value for key, value in params.items()
        } | {"name": one_line(name) if name else None, "link": link}
        subject, _, text = self._templates[f"{kind}.txt"].render(given).partition("\n")
        if not subject.startswith(SUBJECT):
            raise ValueError(f"{kind}.txt does not begin with its subject")
        return Letter(
            one_line(subject.removeprefix(SUBJECT))[:LONGEST_SUBJECT],
            text.strip() + "\n",
            self._templates[f"{kind}.html"].render(given),
        )
