"""Messages of media, which only media itself subscribes to."""

from dataclasses import dataclass
from typing import ClassVar

from tradepost.core.messaging.messages import Message


@dataclass(frozen=True, slots=True)
class FileDoomed(Message):
    """A file or variant can no longer be reached; its bytes are to be deleted, and then its row."""

    type: ClassVar[str] = "media.file_doomed.v1"
    name: str
