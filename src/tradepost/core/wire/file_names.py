"""Names that clients give their files: as plain text, and as part of a sentence that people read."""

from typing import Final

NAME_LIMIT: Final = 255
SHOWN_LIMIT: Final = 80
"""Characters of a name that a sentence shows."""


def plain_name(text: str) -> str:
    """Return a client's name of a file as text that every database and every client takes.

    Control characters and lone surrogates are left out. Everything else is kept, ``../`` too: no path is ever made of it.
    """
    kept = "".join(character for character in text if character >= " " and not "\x7f" <= character <= "\x9f")
    return kept.encode("utf-8", "ignore").decode()[:NAME_LIMIT]


def file_in_words(position: int, name: str | None) -> str:
    """Return what a sentence calls a file of a form: its position among the form's files, from 1 on, and its name."""
    if not name:
        return f"File {position}"
    shown = name if len(name) <= SHOWN_LIMIT else name[: SHOWN_LIMIT - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return f'File {position} ("{shown}")'
