"""E-mails as files in a folder, for developers without a mail server."""

import asyncio
import email
import email.policy
import re
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path
from typing import Final

import aiofiles

from tradepost.notifications.mail.composition import Mail

KEPT: Final = 500
"""E-mails in the folder; older ones go."""
TIDIED_EVERY: Final = 50
"""E-mails written between two looks for older ones."""
SHOWN: Final = 100
_NAME: Final = re.compile(r"[0-9A-Za-z_-]{1,100}")


@dataclass(frozen=True, slots=True)
class FiledMail:
    """An e-mail from the folder, as far as a page shows it."""

    name: str
    sender: str
    recipient: str
    subject: str
    date: str
    text: str
    html: str


class MailFolder:
    """Writes ``.eml`` files that any mail program opens. All work on files is done in threads."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._written = 0

    async def send(self, mail: Mail) -> None:
        """Put ``mail`` into the folder; the same one again takes its own place."""
        half = await asyncio.to_thread(self._begin, mail)
        async with aiofiles.open(half, "wb") as file:
            await file.write(mail.content)
        await asyncio.to_thread(self._finish, mail, half)

    async def close(self) -> None:
        """There is nothing to close."""

    async def newest(self) -> list[FiledMail]:
        """Return the newest e-mails, the last one first."""
        return await asyncio.to_thread(self._newest)

    async def find(self, name: str) -> FiledMail | None:
        """Return the e-mail that is filed under ``name``."""
        return await asyncio.to_thread(self._read, name)

    def _begin(self, mail: Mail) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True)
        # Whoever looks meanwhile sees a whole e-mail or none. It holds a link: it is for its owner's eyes.
        half = self.directory / f".{mail.filed_as}.half"
        half.touch(mode=0o600)
        return half

    def _finish(self, mail: Mail, half: Path) -> None:
        half.replace(self.directory / f"{mail.filed_as}.eml")
        self._written += 1
        if self._written % TIDIED_EVERY == 0:
            for path in self._paths()[KEPT:]:
                path.unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        return sorted(self.directory.glob("*.eml"), reverse=True)

    def _newest(self) -> list[FiledMail]:
        found = (self._read(path.stem) for path in self._paths()[:SHOWN])
        return [mail for mail in found if mail is not None]

    def _read(self, name: str) -> FiledMail | None:
        if not _NAME.fullmatch(name):
            return None
        try:
            content = (self.directory / f"{name}.eml").read_bytes()
        except OSError:
            return None
        parsed = email.message_from_bytes(content, policy=email.policy.default)
        return FiledMail(
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
