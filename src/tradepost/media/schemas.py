"""Answers about files, and the words for what a file is for and where it is in its life."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pydantic import Field

from tradepost.core.wire.schemas import Output, PageInfo


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

    filename: str = Field(description="The name under which it is served", examples=["3f0c9a51d2.jpg"])
    content_type: str = Field(description="The type of what is served", examples=["image/jpeg"])
    size: int = Field(description="Bytes of what is served", examples=[48213])
    url: str = Field(
        description="The path under which it is served",
        examples=["/api/v1/upload/files/items/3f0c9a51d2.jpg"],
    )


class UploadedFile(UploadedAvatar):
    """A stored file, and what its owner calls it."""

    original_name: str = Field(description="The name it was sent with", examples=["lamp.jpg"])


@dataclass(frozen=True, slots=True)
class FileSelection:
    """The files that match every given field."""

    owner_id: int | None = None
    category: Category | None = None


class FileRead(UploadedFile):
    """A stored file as staff see it in a list."""

    id: int = Field(description="The file's number", examples=[1])
    category: Category = Field(description="What it is for")
    owner_id: int = Field(description="Whose quota it takes up", examples=[2])
    subject_id: int | None = Field(description="The item that it belongs to; `null` for none", examples=[1])
    created_at: datetime = Field(description="When it was sent")


class FilePage(PageInfo):
    """A part of the list of files."""

    files: list[FileRead] = Field(description="The files of this part, the newest first")


class UploadedFiles(Output):
    """The files that one call stored."""

    uploaded_files: list[UploadedFile] = Field(description="The files, in the order in which they were sent")


class UsageRead(Output):
    """What a person's files take up, and the most they may."""

    user_id: int = Field(description="The person")
    files: int = Field(description="How many files there are")
    bytes: int = Field(description="How many bytes they have")
    quota_files: int = Field(description="How many files there may be")
    quota_bytes: int = Field(description="How many bytes they may have")


class ProcessedPicture(Output):
    """A picture made to measure; sizes are width and height in pixels, such as ``640x480``."""

    filename: str = Field(description="The name under which it is served", examples=["9b21e07f44.jpg"])
    url: str = Field(
        description="The path under which it is served",
        examples=["/api/v1/upload/files/processed/9b21e07f44.jpg"],
    )
    original_size: str = Field(description="Width and height of what was sent", examples=["640x480"])
    new_size: str = Field(description="Width and height of what was made", examples=["320x240"])
    quality: int = Field(description="Of the JPEG, 1 to 95", examples=[85])
