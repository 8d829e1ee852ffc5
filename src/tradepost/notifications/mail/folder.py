"""A mailer that writes ``.eml`` files into a folder, for developers without a mail server."""

import asyncio
import email
import email.policy
import re
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Final

import aiofiles

from tradepost.notifications.mail.composition import Email

KEPT: Final = 500
"""E-mails in the folder; older ones are deleted."""
TIDIED_EVERY: Final = 50
"""E-mails written between two deletions of older ones."""
SHOWN: Final = 100
_NAME: Final = re.compile(r"[0-9A-Za-z_-]{1,100}")


@dataclass(frozen=True, slots=True)
class FiledEmail:
    """An e-mail in the folder, as a page shows it."""

    name: str
    sender: str
    recipient: str
    subject: str
    date: str
    text: str
    html: str


class MailFolder:
    """Writes files that any mail program opens. All work on files runs in threads, so that no disk blocks the loop."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._written = 0

    async def send(self, mail: Email) -> None:
        """Write an e-mail; the same one again replaces its file."""
        half = await asyncio.to_thread(self._begin, mail)
        async with aiofiles.open(half, "wb") as file:
            await file.write(mail.content)
        await asyncio.to_thread(self._finish, mail, half)

    async def close(self) -> None:
        """Do nothing: no file stays open."""

    async def newest(self) -> list[FiledEmail]:
        """Return the newest e-mails, the last one first."""
        return await asyncio.to_thread(self._newest)

    async def find(self, name: str) -> FiledEmail | None:
        """Return the e-mail of this file name."""
        return await asyncio.to_thread(self._read, name)

    def _begin(self, mail: Email) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True)
        # Renamed at the end, so that a reader never sees half an e-mail. It holds a link: readable by its owner alone.
        half = self.directory / f".{mail.filed_as}.half"
        half.touch(mode=0o600)
        return half

    def _finish(self, mail: Email, half: Path) -> None:
        half.replace(self.directory / f"{mail.filed_as}.eml")
        self._written += 1
        if self._written % TIDIED_EVERY == 0:
            for path in self._paths()[KEPT:]:
                path.unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        return sorted(self.directory.glob("*.eml"), reverse=True)

    def _newest(self) -> list[FiledEmail]:
        found = (self._read(path.stem) for path in self._paths()[:SHOWN])
        return [mail for mail in found if mail is not None]

    def _read(self, name: str) -> FiledEmail | None:
        if not _NAME.fullmatch(name):
            return None
        try:
            content = (self.directory / f"{name}.eml").read_bytes()
        except OSError:
            return None
        parsed = email.message_from_bytes(content, policy=email.policy.default)
        return FiledEmail(
            name=name,
            sender=str(parsed["From"] or ""),
            recipient=str(parsed["To"] or ""),
            subject=str(parsed["Subject"] or ""),
            date=str(parsed["Date"] or ""),
            text=_body(parsed, "plain"),
            html=_body(parsed, "html"),
        )


def _body(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    return str(part.get_content()) if part is not None else ""
