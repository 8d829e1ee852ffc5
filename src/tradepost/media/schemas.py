"""Answers about files, and the words for what a file is for and where it is in its life."""

from enum import StrEnum

from pydantic import Field

from tradepost.core.wire.schemas import Output


class Category(StrEnum):
    """What a file is for."""

    AVATARS = "avatars"
    ITEMS = "items"
    DOCUMENTS = "documents"
    PROCESSED = "processed"


class FileState(StrEnum):
    """The life of a file: on its way in, served, to be removed."""

    PENDING = "pending"
    STORED = "stored"
    DOOMED = "doomed"


class UploadedAvatar(Output):
    """A stored picture, as it is served under ``url``."""

    filename: str
    content_type: str
    size: int = Field(description="Bytes of what is served")
    url: str


class UploadedFile(UploadedAvatar):
    """A stored file, and what its owner calls it."""

    original_name: str


class UploadedFiles(Output):
    """The files that one call stored."""

    uploaded_files: list[UploadedFile]


class UsageRead(Output):
    """What a person's files take up, and the most they may."""

    user_id: int
    files: int
    bytes: int
    quota_files: int
    quota_bytes: int


class ProcessedPicture(Output):
    """A picture made to measure; sizes are width and height in pixels, such as ``640x480``."""

    filename: str
    url: str
    original_size: str
    new_size: str
    quality: int
