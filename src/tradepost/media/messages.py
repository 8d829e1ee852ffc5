"""What media tells of files, to itself."""

from dataclasses import dataclass
from typing import ClassVar

from tradepost.core.messaging.messages import Message


@dataclass(frozen=True, slots=True)
class FileDoomed(Message):
    """Nobody can reach this file any more; its bytes are to go, and then its row."""

    type: ClassVar[str] = "media.file_doomed.v1"
    name: str
